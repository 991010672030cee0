package plan

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

const (
	// MaxManifest is the most links that one plan brings to what manifests say.
	MaxManifest = 1000
	// maxUndo is the most commands that a plan names to undo it.
	maxUndo = 8
)

// target is one link as a manifest wants it.
type target struct {
	old      *statepb.Service // nil when the link is to be made
	service  *statepb.Service
	revision uint64
}

func (t *target) changes() bool { return t.old == nil || !proto.Equal(t.old, t.service) }

// added and removed are the paths that the link did not, and will not, serve.
func (t *target) added() []*statepb.Served   { return without(t.service, t.old) }
func (t *target) removed() []*statepb.Served { return without(t.old, t.service) }

func without(a, b *statepb.Service) []*statepb.Served {
	var left []*statepb.Served
	for _, served := range a.GetServes() {
		if !serves(b, served.GetPath()) {
			left = append(left, served)
		}
	}
	return left
}

// applyManifest brings links to what manifests say of them, in one transaction.
func (b *builder) applyManifest(req *adminpb.PlanApplyManifest) error {
	targets, err := b.targets(req)
	if err != nil {
		return err
	}
	b.Plan.Command = "isgwctl apply -f FILE"
	for _, t := range targets {
		b.depends("service "+t.service.GetName(), t.revision)
		if !t.changes() {
			continue
		}
		if b.Txn == nil {
			b.Txn = &statepb.Txn{}
		}
		object := state.Wrap(t.service)
		key, err := state.KeyOf(object)
		if err != nil {
			return fmt.Errorf("plan a manifest: %w", err)
		}
		b.Txn.Checks = append(b.Txn.Checks, key.Check(t.revision))
		b.Txn.Puts = append(b.Txn.Puts, object)
	}
	if b.Txn == nil {
		b.Plan.Impact = "Nothing: everything is so already."
		return nil
	}
	for _, t := range targets {
		if len(targets) > 1 {
			b.about = "link " + t.service.GetName() + ": "
		}
		b.targetSteps(t)
	}
	b.about = ""
	for _, t := range targets {
		if t.old.GetDisabled() && len(t.added()) > 0 {
			b.running(t.service)
		}
	}
	if slices.ContainsFunc(targets, func(t *target) bool { return len(t.added()) > 0 }) {
		b.loop()
	}
	b.manifestImpact(targets)
	b.manifestUndo(targets)
	return nil
}

// targets works out what is wanted of each link, and refuses what cannot be.
func (b *builder) targets(req *adminpb.PlanApplyManifest) ([]*target, error) {
	switch n := len(req.GetServices()); {
	case n == 0:
		return nil, invalid("the manifest names no service")
	case n > MaxManifest:
		return nil, invalid("a manifest has at most %d services for one plan, not %d", MaxManifest, n).next("apply it in parts")
	}
	var targets []*target
	all := b.cfg.Services()
	for _, want := range req.GetServices() {
		name := want.GetSettings().GetName()
		if slices.ContainsFunc(targets, func(t *target) bool { return t.service.GetName() == name }) {
			return nil, invalid("the manifest names service %s twice", name)
		}
		t, err := b.target(name, want)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
		all = slices.DeleteFunc(all, func(s *statepb.Service) bool { return s.GetName() == name })
	}
	// Paths may move from one link to another of the same manifest.
	for _, t := range targets {
		all = append(all, t.service)
	}
	for _, t := range targets {
		if err := servedOnceAmong(b.cfg, t.service, all); err != nil {
			return nil, err
		}
	}
	return targets, nil
}

// target is what one part of a manifest makes of a link.
func (b *builder) target(name string, want *adminpb.PlanApplyService) (*target, error) {
	t := &target{}
	old, revision, ok := b.cfg.Service(name)
	base := old
	if ok {
		t.old, t.revision = old, revision
		if old.GetType() != state.TypeLink {
			return nil, refuse(state.ErrConflict, "service %s is of type %s, not %s", name, old.GetType(), state.TypeLink)
		}
	} else {
		var err error
		if base, err = newService(b.cfg, &adminpb.CreateServiceRequest{Name: name, Type: state.TypeLink}, b.now); err != nil {
			return nil, err
		}
	}
	var err error
	if t.service, err = edited(base, want.GetSettings()); err != nil {
		return nil, named(name, err)
	}
	if want.Enabled != nil {
		t.service.Disabled = !want.GetEnabled()
	}
	if want.Serves != nil {
		if err := setServed(b.cfg, t.service, want.GetServes().GetPaths()); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// named has a refusal begin with "service NAME", which says of several services
// which one it is.
func named(name string, err error) error {
	refusal, ok := err.(*Error)
	if !ok || strings.HasPrefix(refusal.Message, "service "+name+" ") {
		return err
	}
	return refuse(refusal.Kind, "service %s: %s", name, refusal.Message).next("%s", refusal.Next)
}

// setServed makes a service serve these paths and no others. What it serves
// already is not looked at again, so that what is there can always be asked for.
func setServed(cfg *state.Config, service *statepb.Service, paths []string) error {
	before := proto.CloneOf(service)
	service.Serves = nil
	var more []string
	for _, path := range paths {
		p, err := ParseServed(path)
		if err != nil {
			return named(service.GetName(), err)
		}
		path = p.String()
		i, found := slices.BinarySearchFunc(before.GetServes(), path, compareServed)
		at, twice := slices.BinarySearchFunc(service.GetServes(), path, compareServed)
		switch {
		case twice || slices.Contains(more, path):
			return invalid("service %s: the list of what it serves has %s twice", service.GetName(), path)
		case found:
			service.Serves = slices.Insert(service.Serves, at, before.GetServes()[i])
		default:
			more = append(more, path)
		}
	}
	slices.Sort(more) // tenants come before their buckets
	for _, path := range more {
		if err := listServed(cfg, service, path); err != nil {
			return named(service.GetName(), err)
		}
	}
	return nil
}

// targetSteps says what happens to one link.
func (b *builder) targetSteps(t *target) {
	if !t.changes() {
		return
	}
	name := t.service.GetName()
	if t.old == nil {
		text := b.settings(t.service, nil)
		if n := t.service.GetConnections(); n > 0 {
			text += fmt.Sprintf(", %d %s", n, plural(int(n), "connection", "connections"))
		}
		if t.service.GetDisabled() {
			text += ", disabled"
		}
		b.step("+", "link", name, "%s", text)
		b.reach(t.service.GetRemote())
		b.paired(t.service, nil)
	} else {
		was, is := settingsOf(t.old), settingsOf(t.service)
		for i := range is {
			if was[i] != is[i] {
				b.step("~", "setting", name, "%s %s → %s", is[i].name, was[i].value, is[i].value)
			}
		}
		if t.old.GetRemote() != t.service.GetRemote() {
			b.reach(t.service.GetRemote())
		}
		switch {
		case t.service.GetDisabled() && !t.old.GetDisabled():
			b.step("~", "link", name, "enabled → disabled")
			if n := len(t.service.GetServes()); n > 0 {
				b.check(warning, "serves", "%d served %s will not be replicated over this link", n, plural(n, "path", "paths"))
			}
		case t.old.GetDisabled() && !t.service.GetDisabled():
			b.step("~", "link", name, "disabled → enabled")
		}
	}
	for _, served := range t.added() {
		b.step("+", "serve", served.GetPath(), "over link %s, %s", name, b.holds(served.GetPath()))
	}
	for _, served := range t.removed() {
		b.step("-", "serve", served.GetPath(), "off link %s, %s", name, b.holds(served.GetPath()))
	}
	if len(t.added()) > 0 {
		b.missing(t.added())
	}
}

// manifestImpact says what all of it does to what runs.
func (b *builder) manifestImpact(targets []*target) {
	var added []*statepb.Served
	var removed []string
	made, restarted, disabled := false, false, false
	for _, t := range targets {
		added = append(added, t.added()...)
		for _, served := range t.removed() {
			removed = append(removed, served.GetPath())
		}
		if t.old == nil {
			made = true
			continue
		}
		restarted = restarted || settingsOf(t.old) != settingsOf(t.service)
		disabled = disabled || t.service.GetDisabled() && !t.old.GetDisabled()
	}
	var impact []string
	if made || len(added) > 0 {
		impact = append(impact, b.copies(added))
	}
	if n := len(removed); n > 0 {
		what := removed[0]
		if n > 1 {
			what = fmt.Sprintf("%s and %d more", what, n-1)
		}
		impact = append(impact, "Changes of "+what+" stop crossing the link in both directions. Nothing is deleted, at either site.")
	}
	if restarted {
		impact = append(impact, "A link whose settings change is started anew with them and goes on where it was.")
	}
	if disabled {
		impact = append(impact, fmt.Sprintf("Nothing flows over what is disabled, and its lag rises; changes are kept for %s.", span(b.facts.LogKeep)))
	}
	if len(impact) == 0 {
		impact = append(impact, "The link goes on where it was: only what changed meanwhile is sent.")
	}
	b.Plan.Impact = strings.Join(impact, " ")
}

// manifestUndo names the commands that bring everything back.
func (b *builder) manifestUndo(targets []*target) {
	var undo []string
	for _, t := range targets {
		name := t.service.GetName()
		if t.old == nil {
			undo = append(undo, "`isgwctl service delete "+name+"`")
			continue
		}
		edit := ""
		was, is := settingsOf(t.old), settingsOf(t.service)
		for i := range was {
			if was[i] != is[i] {
				edit += " " + was[i].flag + " " + was[i].value
			}
		}
		if edit != "" {
			undo = append(undo, "`isgwctl service edit "+name+edit+"`")
		}
		if t.old.GetDisabled() != t.service.GetDisabled() {
			verb := map[bool]string{true: "disable", false: "enable"}[t.old.GetDisabled()]
			undo = append(undo, "`isgwctl service "+verb+" "+name+"`")
		}
		for _, served := range t.added() {
			undo = append(undo, "`isgwctl service unserve "+name+" "+served.GetPath()+"`")
		}
		for _, served := range t.removed() {
			undo = append(undo, "`isgwctl service serve "+name+" "+served.GetPath()+"`")
		}
	}
	rest := ""
	if n := len(undo); n > maxUndo {
		undo, rest = undo[:maxUndo], fmt.Sprintf(" and %d more; `isgwctl export` before it keeps what is there now", n-maxUndo)
	}
	b.Plan.Undo = strings.Join(undo, ", ") + rest + ". What was copied stays at both sites."
}
