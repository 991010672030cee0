package plan

import (
	"cmp"
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

// altered are the paths that the link serves with other options than before, as
// they are to be.
func (t *target) altered() []*statepb.Served {
	var all []*statepb.Served
	for _, served := range t.service.GetServes() {
		if before := entry(t.old, served.GetPath()); before != nil && Options(before) != Options(served) {
			all = append(all, served)
		}
	}
	return all
}

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
	}
	var err error
	if targets, err = b.groups(req, targets); err != nil {
		return nil, err
	}
	// Paths may move from one link to another of the same manifest.
	all := b.cfg.Services()
	for _, t := range targets {
		if t.old == nil {
			all = append(all, t.service)
		} else {
			all = replaced(all, t.service)
		}
	}
	for _, t := range targets {
		if err := servedOnceAmong(b.cfg, t.service, all); err != nil {
			return nil, err
		}
		if err := checkServer(t.service, all); err != nil {
			return nil, named(t.service.GetName(), err)
		}
	}
	return targets, nil
}

// groups gives the services of the groups that the manifest names their servers.
// Those that the manifest says nothing else of become targets as well.
func (b *builder) groups(req *adminpb.PlanApplyManifest, targets []*target) ([]*target, error) {
	find := func(name string) *target {
		if i := slices.IndexFunc(targets, func(t *target) bool { return t.service.GetName() == name }); i >= 0 {
			return targets[i]
		}
		old, revision, ok := b.cfg.Service(name)
		if !ok {
			return nil
		}
		t := &target{old: old, service: proto.CloneOf(old), revision: revision}
		targets = append(targets, t)
		return t
	}
	// First everybody leaves whose group does not have them any more.
	for _, want := range req.GetServices() {
		group, name := want.GetGroup(), want.GetSettings().GetName()
		if group == nil {
			continue
		}
		if group.GetServer() == "" && len(group.GetClients()) > 0 {
			return nil, invalid("service %s: a group of services has no server", name).next("name the one whose endpoint the others make use of")
		}
		find(name).service.Server = ""
		if slices.Contains(group.GetClients(), name) {
			continue // a client's own manifest does not end the others'
		}
		for _, client := range clientsOf(cmp.Or(group.GetServer(), name), b.cfg.Services()) {
			find(client).service.Server = ""
		}
	}
	named := map[string]string{}
	for _, want := range req.GetServices() {
		group, name := want.GetGroup(), want.GetSettings().GetName()
		server := group.GetServer()
		if server == "" {
			continue
		}
		members := slices.Clone(group.GetClients())
		if name != server {
			members = append(members, name)
		}
		for _, member := range members {
			t := find(member)
			switch other, has := named[member]; {
			case t == nil:
				return nil, refuse(state.ErrNotFound, "service %s: service %s, which its group has, does not exist", name, member).
					next("make it before, or in the same file")
			case has && other != server:
				return nil, invalid("service %s: service %s is in the groups of %s and %s", name, member, other, server)
			}
			named[member], t.service.Server = server, server
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
	var more []*statepb.Served
	for _, text := range paths {
		served, err := ParseServed(text)
		if err != nil {
			return named(service.GetName(), err)
		}
		path := served.GetPath()
		at, twice := slices.BinarySearchFunc(service.GetServes(), path, compareServed)
		switch {
		case twice || slices.ContainsFunc(more, func(s *statepb.Served) bool { return s.GetPath() == path }):
			return invalid("service %s: the list of what it serves has %s twice", service.GetName(), path)
		case serves(before, path):
			service.Serves = slices.Insert(service.Serves, at, served)
		default:
			more = append(more, served)
		}
	}
	// Tenants come before their buckets.
	slices.SortFunc(more, func(a, b *statepb.Served) int { return compareServed(a, b.GetPath()) })
	for _, served := range more {
		if err := listServed(cfg, service, served); err != nil {
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
		if t.service.GetDisabled() {
			text += ", disabled"
		}
		b.step("+", "link", name, "%s", text)
		b.reach(t.service.GetRemote())
		b.paired(t.service, nil)
		b.placed(t.service)
	} else {
		b.changed(t.old, t.service)
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
		b.step("+", "serve", served.GetPath(), "over link %s, %s", name, b.what(served))
	}
	for _, served := range t.altered() {
		b.step("~", "serve", served.GetPath(), "over link %s, %s → %s", name, optionWords(entry(t.old, served.GetPath())), optionWords(served))
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
	var impact, removed []string
	say := func(sentence string) {
		if !slices.Contains(impact, sentence) {
			impact = append(impact, sentence)
		}
	}
	edited, altered, disabled := false, false, false
	for _, t := range targets {
		for _, served := range t.removed() {
			removed = append(removed, served.GetPath())
		}
		altered = altered || len(t.altered()) > 0
		if t.old != nil {
			edited = edited || len(different(t.old, t.service)) > 0
			disabled = disabled || t.service.GetDisabled() && !t.old.GetDisabled()
		}
	}
	for _, sentence := range b.copiesAll(targets) {
		say(sentence)
	}
	if altered {
		say(optionImpact)
	}
	for _, t := range targets {
		if t.old != nil {
			for _, sentence := range impacts(t.old, t.service) {
				say(sentence)
			}
		}
	}
	if n := len(removed); n > 0 {
		what := removed[0]
		if n > 1 {
			what = fmt.Sprintf("%s and %d more", what, n-1)
		}
		impact = append(impact, "Changes of "+what+" stop crossing the link in both directions. Nothing is deleted, at either site.")
	}
	if edited {
		say(goesOn)
	}
	if disabled {
		impact = append(impact, fmt.Sprintf("Nothing flows over what is disabled, and its lag rises; changes are kept for %s.", span(b.facts.LogKeep)))
	}
	if len(impact) == 0 {
		impact = append(impact, "The link goes on where it was: only what changed meanwhile is sent.")
	}
	b.Plan.Impact = strings.Join(impact, " ")
}

// copiesAll says what the first copies are. Links that send are counted together.
func (b *builder) copiesAll(targets []*target) []string {
	var sending, receiving []*statepb.Served
	made := false
	for _, t := range targets {
		made = made || t.old == nil
		for _, served := range t.added() {
			if state.ServedSends(t.service, served) {
				sending = append(sending, served)
			} else {
				receiving = append(receiving, served)
			}
		}
	}
	var all []string
	if len(sending) > 0 || len(receiving) == 0 && made {
		all = append(all, b.copies(&statepb.Service{}, sending))
	}
	if len(receiving) > 0 {
		all = append(all, b.copies(&statepb.Service{Direction: state.DirectionReceive}, receiving))
	}
	return all
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
		if edit := flagsBack(t.old, t.service); edit != "" {
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
			undo = append(undo, "`isgwctl service serve "+name+" "+quoted(FormatServed(served))+"`")
		}
		for _, served := range t.altered() {
			undo = append(undo, "`isgwctl service serve "+name+" "+quoted(FormatServed(entry(t.old, served.GetPath())))+"`")
		}
	}
	rest := ""
	if n := len(undo); n > maxUndo {
		undo, rest = undo[:maxUndo], fmt.Sprintf(" and %d more; `isgwctl export` before it keeps what is there now", n-maxUndo)
	}
	b.Plan.Undo = strings.Join(undo, ", ") + rest + ". What was copied stays at both sites."
}
