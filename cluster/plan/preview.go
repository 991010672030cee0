package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// Facts are what a plan is told of the world outside the config. All of them
// are about the description: none changes the transaction.
type Facts struct {
	Site      string        // this site's name
	LagTarget time.Duration // of links that set none
	LogKeep   time.Duration // how long changes are kept for sites that are away
	// Bucket returns what a bucket of this site holds; false when there is none.
	Bucket func(path string) (objects, bytes uint64, ok bool)
	// Pending returns what waits of what a link brings, in a bucket or, when that is
	// empty, in all; with keys only of those, and what of each. Without it nothing does.
	Pending func(service, bucket string, keys []string) (all Pending, of map[string]Pending, err error)
	// Reach is what was heard from remotes, by address; one that nobody asked is
	// not there.
	Reach map[string]*Reach
}

// Reach is what was heard from an address.
type Reach struct {
	Address string
	Site    state.SiteID // who answered, when Failure is empty
	Name    string
	Took    time.Duration
	Failure string // in words; empty when a paired site answered
}

// Preview is a change that is described and can be made.
type Preview struct {
	Plan *adminpb.Plan
	// Txn carries the change out; nil when there is nothing to change in the config.
	Txn *statepb.Txn
	// Amends says that what is pending is to be changed, as the request has it; then
	// there is no Txn.
	Amends bool
	// Pair is the token with which the sites are to be paired before; nil when
	// that is not part of the change.
	Pair *identity.Token
}

// maxReached is the most addresses that are asked for one plan.
const maxReached = 16

// Remote is an address that a link dials.
type Remote struct {
	Address string
	Tunnel  bool // it is dialled with SSH, and must not be without
}

// Remotes are the addresses that a change makes links dial: what is worth asking
// for [Facts.Reach] before the change is shown. Of a manifest they are those
// that differ from what the links have, and not more than a few.
func Remotes(cfg *state.Config, req *adminpb.PlanRequest) []Remote {
	var remotes []Remote
	add := func(remote string, tunnel bool) {
		address := addressOf(remote)
		if address == "" {
			return
		}
		if i := slices.IndexFunc(remotes, func(r Remote) bool { return r.Address == address }); i >= 0 {
			remotes[i].Tunnel = remotes[i].Tunnel || tunnel
		} else if len(remotes) < maxReached {
			remotes = append(remotes, Remote{address, tunnel})
		}
	}
	edit := func(r *adminpb.PlanEditService, old *statepb.Service) {
		tunnel := old.GetTunnel()
		if set := r.GetSettings(); set != nil && set.Tunnel != nil {
			tunnel = set.GetTunnel()
		}
		add(r.GetRemote(), tunnel)
	}
	switch change := req.GetChange().(type) {
	case *adminpb.PlanRequest_CreateService:
		create := change.CreateService.GetService()
		add(create.GetRemote(), create.GetSettings().GetTunnel())
	case *adminpb.PlanRequest_EditService:
		old, _, _ := cfg.Service(change.EditService.GetName())
		edit(change.EditService, old)
	case *adminpb.PlanRequest_ApplyManifest:
		for _, s := range change.ApplyManifest.GetServices() {
			if old, _, _ := cfg.Service(s.GetSettings().GetName()); old.GetRemote() != s.GetSettings().GetRemote() {
				edit(s.GetSettings(), old)
			}
		}
	}
	return remotes
}

// addressOf is the HOST:PORT of a remote, or "" when it is none.
func addressOf(remote string) string {
	plain, err := ParseRemote(remote)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(plain, "ccow://")
}

// NeedsReach says whether a plan can be forbidden by who answers at the remote:
// then it is asked again before the plan is carried out.
func NeedsReach(req *adminpb.PlanRequest) bool {
	create := req.GetCreateService()
	return create.GetToken() != "" && addressOf(create.GetService().GetRemote()) != ""
}

// Name is what a plan is remembered by once it was carried out, the form that
// Txn.plan wants: a hash of its id with its change, because the id alone is the
// word of whoever sends it.
func Name(p *adminpb.Plan) ([]byte, error) {
	change, err := proto.MarshalOptions{Deterministic: true}.Marshal(p.GetChange())
	if err != nil {
		return nil, fmt.Errorf("name a plan: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "isgw applied plan 1\n%s\n", p.GetId())
	h.Write(change)
	return h.Sum(nil)[:state.PlanNameSize], nil
}

// MayApply refuses to carry a plan out as it stands now: one of its checks
// failed, or it wants a name typed, because it destroys something or is long work,
// and typed is not that.
func MayApply(p *adminpb.Plan, typed string) error {
	if p.GetBlocked() {
		var reasons []string
		for _, c := range p.GetChecks() {
			if c.GetSeverity() == failed {
				reasons = append(reasons, c.GetName()+": "+c.GetText())
			}
		}
		return refuse(state.ErrConflict, "the plan is blocked by a check that failed: %s", strings.Join(reasons, "; ")).
			next("nothing was changed; put that right and plan again")
	}
	if name := p.GetNeedsTypedName(); name != "" && typed != name {
		return invalid("the plan is about %s and wants its name typed", name).next("type %s", name)
	}
	return nil
}

// Subject is the name of the service that a change is about, or "" when it is
// about several.
func Subject(req *adminpb.PlanRequest) string {
	switch change := req.GetChange().(type) {
	case *adminpb.PlanRequest_CreateService:
		return change.CreateService.GetService().GetName()
	case *adminpb.PlanRequest_Serve:
		return change.Serve.GetName()
	case *adminpb.PlanRequest_Unserve:
		return change.Unserve.GetName()
	case *adminpb.PlanRequest_Enable:
		return change.Enable.GetName()
	case *adminpb.PlanRequest_Disable:
		return change.Disable.GetName()
	case *adminpb.PlanRequest_Pause:
		return change.Pause.GetName()
	case *adminpb.PlanRequest_Resume:
		return change.Resume.GetName()
	case *adminpb.PlanRequest_Resync:
		return change.Resync.GetName()
	case *adminpb.PlanRequest_RetryFaults:
		return change.RetryFaults.GetName()
	case *adminpb.PlanRequest_SkipFaults:
		return change.SkipFaults.GetName()
	case *adminpb.PlanRequest_DeleteService:
		return change.DeleteService.GetName()
	case *adminpb.PlanRequest_EditService:
		return change.EditService.GetName()
	case *adminpb.PlanRequest_ApplyManifest:
		if all := change.ApplyManifest.GetServices(); len(all) == 1 {
			return all[0].GetSettings().GetName()
		}
	}
	return ""
}

// Show plans a change and describes it. What could never be done as it is asked
// for is refused, as the change itself would be.
func Show(cfg *state.Config, req *adminpb.PlanRequest, facts Facts, now time.Time) (*Preview, error) {
	b := &builder{cfg: cfg, facts: facts, now: now, Preview: Preview{Plan: &adminpb.Plan{Change: req, ConfigRevision: cfg.Revision()}}}
	var err error
	switch change := req.GetChange().(type) {
	case *adminpb.PlanRequest_CreateService:
		err = b.createService(change.CreateService)
	case *adminpb.PlanRequest_Serve:
		err = b.serve(change.Serve.GetName(), change.Serve.GetPath())
	case *adminpb.PlanRequest_Unserve:
		err = b.unserve(change.Unserve.GetName(), change.Unserve.GetPath())
	case *adminpb.PlanRequest_Enable:
		err = b.enable(change.Enable.GetName(), true)
	case *adminpb.PlanRequest_Disable:
		err = b.enable(change.Disable.GetName(), false)
	case *adminpb.PlanRequest_Pause:
		err = b.pause(change.Pause.GetName(), true)
	case *adminpb.PlanRequest_Resume:
		err = b.pause(change.Resume.GetName(), false)
	case *adminpb.PlanRequest_Resync:
		err = b.resync(change.Resync.GetName(), change.Resync.GetPath())
	case *adminpb.PlanRequest_RetryFaults:
		err = b.retryFaults(change.RetryFaults.GetName(), change.RetryFaults.GetBucket(), change.RetryFaults.GetKeys())
	case *adminpb.PlanRequest_SkipFaults:
		err = b.skipFaults(change.SkipFaults.GetName(), change.SkipFaults.GetBucket(), change.SkipFaults.GetKeys())
	case *adminpb.PlanRequest_DeleteService:
		err = b.deleteService(change.DeleteService.GetName())
	case *adminpb.PlanRequest_EditService:
		err = b.editService(change.EditService)
	case *adminpb.PlanRequest_ApplyManifest:
		err = b.applyManifest(change.ApplyManifest)
	case *adminpb.PlanRequest_EditSite:
		err = b.editSite(change.EditSite)
	default:
		err = invalid("the request names no change that this node knows")
	}
	if err != nil {
		return nil, err
	}
	if err := b.bind(); err != nil {
		return nil, err
	}
	b.Plan.Text = text(b.Plan)
	return &b.Preview, nil
}

// builder collects a plan while it is worked out.
type builder struct {
	cfg   *state.Config
	facts Facts
	now   time.Time
	about string // what texts of checks begin with, where a plan has several links
	Preview
}

// bind names what the plan depends on, and the plan itself by it.
func (b *builder) bind() error {
	for _, c := range b.Txn.GetChecks() {
		key := state.Key{Kind: c.GetKey().GetKind(), Name: c.GetKey().GetName()}
		b.depends(key.String(), c.GetRevision())
	}
	slices.SortFunc(b.Plan.Bound, func(x, y *adminpb.BoundRevision) int { return strings.Compare(x.GetObject(), y.GetObject()) })
	b.Plan.Bound = slices.CompactFunc(b.Plan.Bound, func(x, y *adminpb.BoundRevision) bool { return x.GetObject() == y.GetObject() })
	change, err := proto.MarshalOptions{Deterministic: true}.Marshal(b.Plan.Change)
	if err != nil {
		return fmt.Errorf("name a plan: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "isgw plan 1\n%d\n", b.cfg.Revision())
	for _, r := range b.Plan.Bound {
		fmt.Fprintf(h, "%s %d\n", r.GetObject(), r.GetRevision())
	}
	h.Write(change)
	b.Plan.Id = hex.EncodeToString(h.Sum(nil)[:8])
	return nil
}

func (b *builder) depends(object string, revision uint64) {
	b.Plan.Bound = append(b.Plan.Bound, &adminpb.BoundRevision{Object: object, Revision: revision})
}

func (b *builder) step(sign, kind, name, format string, args ...any) {
	b.Plan.What = append(b.Plan.What, &adminpb.PlanStep{Sign: sign, Kind: kind, Name: name, Text: fmt.Sprintf(format, args...)})
}

func (b *builder) check(severity adminpb.Severity, name, format string, args ...any) {
	glyph := "ok"
	switch severity {
	case adminpb.Severity_SEVERITY_WARNING:
		glyph = "!"
	case adminpb.Severity_SEVERITY_FAILED:
		glyph = "X"
		b.Plan.Blocked = true
	}
	b.Plan.Checks = append(b.Plan.Checks, &adminpb.PlanCheck{Severity: severity, Glyph: glyph, Name: name, Text: b.about + fmt.Sprintf(format, args...)})
}

// heard is what was heard from a remote; nil when nobody asked.
func (b *builder) heard(remote string) *Reach { return b.facts.Reach[addressOf(remote)] }

const (
	passes  = adminpb.Severity_SEVERITY_OK
	warning = adminpb.Severity_SEVERITY_WARNING
	failed  = adminpb.Severity_SEVERITY_FAILED
)

func (b *builder) createService(req *adminpb.PlanCreateService) error {
	service, err := newService(b.cfg, req.GetService(), b.now)
	if err != nil {
		return err
	}
	for _, text := range req.GetServes() {
		if err := addServed(b.cfg, service, text); err != nil {
			return err
		}
	}
	if b.Txn, err = create(service); err != nil {
		return err
	}
	peer, err := b.pairing(req.GetToken())
	if err != nil {
		return err
	}
	b.step("+", "link", service.GetName(), "%s", b.settings(service, peer))
	for _, served := range service.GetServes() {
		b.step("+", "serve", served.GetPath(), "%s", b.what(served))
	}
	b.reach(service.GetRemote())
	b.paired(service, peer)
	b.serving(service.GetServes())
	b.overlap(service)
	b.placed(service)
	b.Plan.Impact = b.copies(service, service.GetServes())
	b.Plan.Undo = "`isgwctl service delete " + service.GetName() + "` ends the link; what was copied stays at both sites."
	b.Plan.Command = createCommand(service, req.GetToken() != "")
	return nil
}

// pairing reads a token and says with whom it pairs; nil when none is given.
func (b *builder) pairing(text string) (*identity.Token, error) {
	if text == "" {
		return nil, nil
	}
	token, err := identity.ParseToken(text)
	if err != nil {
		return nil, invalid("%v", err) // which says what to do
	}
	if token.Site == b.cfg.SiteID() {
		return nil, invalid("the token was made by this very site").next("use one that the other site made with `isgwctl site invite`")
	}
	if _, revision, ok := b.cfg.Pairing(token.Site); ok {
		b.depends("pairing "+token.Site.String(), revision)
		b.check(passes, "pairing", "paired with %s already: the token is not used", SiteName(b.cfg, token.Site))
		return token, nil
	}
	b.depends("pairing "+token.Site.String(), 0)
	b.Pair = token
	b.step("+", "pairing", token.Site.String(), "with the site at %s, by the token", token.Address)
	return token, nil
}

func (b *builder) paired(service *statepb.Service, token *identity.Token) {
	reach := b.heard(service.GetRemote())
	switch {
	case token != nil, len(b.cfg.Pairings()) == 0 && reach != nil && reach.Failure == "":
	case len(b.cfg.Pairings()) == 0:
		b.check(warning, "pairing", "this site is paired with none yet: the link waits, state unpaired")
	case service.GetRemote() == "":
		b.check(passes, "pairing", "paired with %s; whoever of them names this service first is its peer", b.pairedNames())
	default:
		b.check(passes, "pairing", "paired with %s", b.pairedNames())
	}
	if token != nil && reach != nil && reach.Failure == "" && reach.Site != token.Site {
		b.check(failed, "identity", "%s answers at %s, but the token is of another site (%s)", reach.Name, reach.Address, token.Site)
	}
}

func (b *builder) pairedNames() string {
	var names []string
	for _, p := range ListPairings(b.cfg) {
		names = append(names, p.GetSiteName())
	}
	const most = 4
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// reach says what was heard from the remote's address.
func (b *builder) reach(remote string) {
	switch r := b.heard(remote); {
	case remote == "":
		b.check(warning, "reach", "no remote: the other site has to dial this one")
	case r == nil:
	case b.Pair != nil && r.Failure != "":
		// Before the pairing nobody can say more than the pairing itself will.
	case r.Failure != "":
		b.check(warning, "reach", "%s: %s", r.Address, r.Failure)
	default:
		b.check(passes, "reach", "%s is %s, answered in %v", r.Address, r.Name, r.Took.Round(time.Millisecond))
	}
}

// serving looks at what is to flow.
func (b *builder) serving(serves []*statepb.Served) {
	b.missing(serves)
	b.loop()
}

// loop says why links in a ring do no harm.
func (b *builder) loop() {
	b.check(passes, "loop", "a version is never offered to the link that it came through")
}

// overlap warns of a bucket that another link to the site at the remote serves:
// when the sites meet the link is refused.
func (b *builder) overlap(service *statepb.Service) {
	r := b.heard(service.GetRemote())
	if r == nil || r.Failure != "" || len(service.GetPeer()) > 0 {
		return
	}
	met := proto.CloneOf(service)
	met.Peer = r.Site.Bytes()
	if err := servedOnce(b.cfg, met); err != nil {
		b.check(warning, "overlap", "%v", err)
	}
}

// missing warns of what is not here yet.
func (b *builder) missing(serves []*statepb.Served) {
	var missing []string
	for _, served := range serves {
		p, err := state.ParsePath(served.GetPath())
		if err == nil && PathExists(b.cfg, p) != nil {
			missing = append(missing, served.GetPath())
		}
	}
	if len(missing) > 0 {
		b.check(warning, "exists", "not here yet: %s; the link makes it when the other site has it", strings.Join(missing, ", "))
	}
}

func (b *builder) serve(name, text string) error {
	txn, err := Serve(b.cfg, name, text)
	if err != nil {
		return err
	}
	b.Txn = txn
	served, err := ParseServed(text)
	if err != nil {
		return err
	}
	path := served.GetPath()
	old, _, _ := b.cfg.Service(name)
	b.Plan.Command = "isgwctl service serve " + name + " " + quoted(FormatServed(served))
	b.running(old)
	if before := entry(old, path); before != nil {
		b.step("~", "serve", path, "over link %s, %s → %s", name, optionWords(before), optionWords(served))
		b.Plan.Impact = optionImpact
		b.Plan.Undo = fmt.Sprintf("`isgwctl service serve %s %s`", name, quoted(FormatServed(before)))
		return nil
	}
	added := []*statepb.Served{served}
	b.step("+", "serve", path, "over link %s, %s", name, b.what(served))
	b.serving(added)
	b.Plan.Impact = b.copies(old, added)
	b.Plan.Undo = fmt.Sprintf("`isgwctl service unserve %s %s` takes it off again; what was copied stays at both sites.", name, path)
	return nil
}

// running warns when a link does not run.
func (b *builder) running(service *statepb.Service) {
	if service.GetDisabled() {
		b.check(warning, "enabled", "link %s is disabled: nothing flows until it is enabled", service.GetName())
	}
}

func (b *builder) unserve(name, path string) error {
	txn, err := Unserve(b.cfg, name, path)
	if err != nil {
		return err
	}
	b.Txn = txn
	p, err := ParseServedPath(path)
	if err != nil {
		return err
	}
	path = p.String()
	old, _, _ := b.cfg.Service(name)
	b.step("-", "serve", path, "off link %s, %s", name, b.holds(path))
	b.Plan.Impact = "Changes of " + path + " stop crossing the link in both directions. Nothing is deleted, at either site."
	b.Plan.Undo = fmt.Sprintf("`isgwctl service serve %s %s` serves it again; only what changed meanwhile is sent.", name, quoted(FormatServed(entry(old, path))))
	b.Plan.Command = fmt.Sprintf("isgwctl service unserve %s %s", name, path)
	return nil
}

func (b *builder) enable(name string, enabled bool) error {
	service, revision, err := findService(b.cfg, name)
	if err != nil {
		return err
	}
	if b.Txn, err = SetEnabled(b.cfg, name, enabled); err != nil {
		return err
	}
	b.depends("service "+name, revision)
	verb, other := "enable", "disable"
	if !enabled {
		verb, other = other, verb
	}
	b.Plan.Command = "isgwctl service " + verb + " " + name
	if b.Txn == nil {
		b.Plan.Impact = fmt.Sprintf("Nothing: link %s is %sd already.", name, verb)
		return nil
	}
	b.step("~", "link", name, "%s", map[bool]string{true: "disabled → enabled", false: "enabled → disabled"}[enabled])
	b.Plan.Impact = "The link goes on where it was: only what changed meanwhile is sent."
	if !enabled {
		b.Plan.Impact = fmt.Sprintf("Nothing flows over %s in either direction, and its lag rises. Changes are kept for %s; after that it compares everything again.",
			name, span(b.facts.LogKeep))
		if n := len(service.GetServes()); n > 0 {
			b.check(warning, "serves", "%d served %s will not be replicated over this link", n, plural(n, "path", "paths"))
		}
	}
	b.Plan.Undo = "`isgwctl service " + other + " " + name + "`; settings and cursors are kept."
	return nil
}

func (b *builder) deleteService(name string) error {
	service, _, err := findService(b.cfg, name)
	if err != nil {
		return err
	}
	if b.Txn, err = DeleteService(b.cfg, name); err != nil {
		return err
	}
	b.step("-", "link", name, "%s", b.settings(service, nil))
	for _, served := range service.GetServes() {
		b.step("-", "serve", served.GetPath(), "%s", b.holds(served.GetPath()))
	}
	if n := len(service.GetServes()); n > 0 {
		b.check(warning, "serves", "%d served %s will not be replicated over this link", n, plural(n, "path", "paths"))
	}
	b.Plan.Impact = "The link ends. No object is deleted, at either site; the pairing of the sites stays."
	b.Plan.Undo = "`" + createCommand(service, false) + "` makes it again; both sides then compare what they have and send the difference."
	b.Plan.Command = "isgwctl service delete " + name
	b.Plan.NeedsTypedName = name
	return nil
}

func (b *builder) editService(req *adminpb.PlanEditService) error {
	old, revision, err := findService(b.cfg, req.GetName())
	if err != nil {
		return err
	}
	if b.Txn, err = EditService(b.cfg, req); err != nil {
		return err
	}
	name := old.GetName()
	b.depends("service "+name, revision)
	edited := old
	if puts := b.Txn.GetPuts(); len(puts) > 0 {
		edited = puts[0].GetService()
	}
	b.Plan.Command = "isgwctl service edit " + name
	for _, kind := range settings {
		if kind.named(req, ownSettings(req)) {
			b.Plan.Command += " " + kind.flag + " " + quoted(kind.value(edited))
		}
	}
	if req.Remote != nil {
		b.reach(edited.GetRemote())
	}
	if b.Txn == nil {
		b.Plan.Impact = "Nothing: the settings are so already."
		return nil
	}
	b.changed(old, edited)
	b.Plan.Impact = strings.Join(append(impacts(old, edited), goesOn), " ")
	b.Plan.Undo = "`isgwctl service edit " + name + flagsBack(old, edited) + "`"
	return nil
}
