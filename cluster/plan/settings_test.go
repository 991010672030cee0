package plan

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// edit is a change of settings of the link hawaii.
func edit(change func(*adminpb.PlanEditService, *adminpb.LinkSettings)) *adminpb.PlanEditService {
	e := &adminpb.PlanEditService{Name: "hawaii", Settings: &adminpb.LinkSettings{}}
	change(e, e.Settings)
	return e
}

// eachSetting changes one setting each, to a value that is not its default.
var eachSetting = []struct {
	name   string
	change *adminpb.PlanEditService
	step   string // of the plan
	flags  string // of the command
	back   string // of the way back
	impact string
}{
	{"remote", edit(func(e *adminpb.PlanEditService, _ *adminpb.LinkSettings) { e.Remote = new("ccow://h:1") }), `remote "" → ccow://h:1`, "--remote ccow://h:1", `--remote ""`, ""},
	{"connections", edit(func(e *adminpb.PlanEditService, _ *adminpb.LinkSettings) { e.Connections = new(uint32(4)) }), "connections 0 → 4", "--connections 4", "--connections 0", ""},
	{"lag target", edit(func(e *adminpb.PlanEditService, _ *adminpb.LinkSettings) { e.LagTargetSeconds = new(90.0) }), "lag target 0s → 1m30s", "--lag-target 1m30s", "--lag-target 0s", ""},
	{"send", edit(func(e *adminpb.PlanEditService, _ *adminpb.LinkSettings) { e.Direction = new("send") }), "direction send+receive → send", "--direction send", "--direction send+receive", "Nothing comes in over it any more"},
	{"receive", edit(func(e *adminpb.PlanEditService, _ *adminpb.LinkSettings) { e.Direction = new("receive") }), "direction send+receive → receive", "--direction receive", "--direction send+receive", "Nothing leaves this site over it any more"},
	{"initial", edit(func(e *adminpb.PlanEditService, _ *adminpb.LinkSettings) { e.Replication = new("initial") }), "replication initial+continuous → initial", "--replication initial", "--replication initial+continuous", "`isgwctl service resync hawaii`"},
	{"continuous", edit(func(e *adminpb.PlanEditService, _ *adminpb.LinkSettings) { e.Replication = new("continuous") }), "replication initial+continuous → continuous", "--replication continuous", "--replication initial+continuous", "only changes come in"},
	{"tunnel", edit(func(_ *adminpb.PlanEditService, s *adminpb.LinkSettings) { s.Tunnel = new(true) }), "tunnel false → true", "--tunnel true", "--tunnel false", "inside SSH"},
	{"local", edit(func(_ *adminpb.PlanEditService, s *adminpb.LinkSettings) { s.Local = new("0.0.0.0:14000") }), `local address "" → 0.0.0.0:14000`, "--local 0.0.0.0:14000", `--local ""`, "reaches it at 0.0.0.0:14000"},
	{"chunk cache", edit(func(_ *adminpb.PlanEditService, s *adminpb.LinkSettings) { s.ChunkCache = new(uint64(1 << 30)) }), "chunk cache 0 → 1Gi", "--chunk-cache 1Gi", "--chunk-cache 0", "at most 1.0 GiB of memory"},
	{"profile", edit(func(_ *adminpb.PlanEditService, s *adminpb.LinkSettings) { s.Profile = new("embedded") }), `resource profile "" → embedded`, "--resource-profile embedded", `--resource-profile ""`, "spares memory"},
	{"send limit", edit(func(_ *adminpb.PlanEditService, s *adminpb.LinkSettings) {
		s.SendLimit = new("10MiB/s, 1MiB/s@08:00-18:00")
	}), "send limit none → 10MiB/s,1MiB/s@08:00-18:00", "--send-limit 10MiB/s,1MiB/s@08:00-18:00", "--send-limit none", "It sends at most 10MiB/s"},
	{"receive limit", edit(func(_ *adminpb.PlanEditService, s *adminpb.LinkSettings) { s.ReceiveLimit = new("64KiB/s") }), "receive limit none → 64KiB/s", "--receive-limit 64KiB/s", "--receive-limit none", "It receives at most 64KiB/s"},
	{"server", edit(func(_ *adminpb.PlanEditService, s *adminpb.LinkSettings) { s.Server = new("base") }), `server "" → base`, "--server base", `--server ""`, "bounds of link base"},
	{"annotations", edit(func(_ *adminpb.PlanEditService, s *adminpb.LinkSettings) {
		s.Annotations = &adminpb.LinkAnnotations{Values: map[string]string{"team": "it's us"}}
	}), `annotations {} → {"team":"it's us"}`, `--annotations '{"team":"it'\''s us"}'`, "--annotations '{}'", ""},
	{"resources", edit(func(_ *adminpb.PlanEditService, s *adminpb.LinkSettings) {
		s.Resources = &adminpb.LinkResources{RequestCpuMillis: 1500, LimitCpuMillis: 2000, LimitMemoryBytes: 4 << 30}
	}), `resources {} → {"limits":{"cpu":"2","memory":"4Gi"},"requests"…`, `--resources '{"limits":{"cpu":"2","memory":"4Gi"},"requests":{"cpu":"1500m"}}'`, "--resources '{}'", "the memory and the threads"},
	{"placement", edit(func(_ *adminpb.PlanEditService, s *adminpb.LinkSettings) {
		s.Placement = new(`{"tolerations": [{"operator": "Exists"}]}`)
	}), `placement {} → {"tolerations":[{"operator":"Exists"}]}`, `--placement '{"tolerations":[{"operator":"Exists"}]}'`, "--placement '{}'", ""},
}

func newEditSite(t *testing.T) *site {
	s := newSite(t)
	s.must(s.link("hawaii"))
	s.must(s.link("base"))
	return s
}

// TestEachSetting: every setting is planned with what it was and is, what it does
// and the way back; the link has it afterwards, at creation as by an edit; the
// same again is nothing to do; and the way back leads back.
func TestEachSetting(t *testing.T) {
	var flags []string
	for _, c := range eachSetting {
		t.Run(c.name, func(t *testing.T) {
			s := newEditSite(t)
			before, _, _ := s.Service("hawaii")
			req := &adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditService{EditService: c.change}}
			p, err := Show(s.Config, req, Facts{Site: "north"}, now)
			if err != nil {
				t.Fatal(err)
			}
			if w := p.Plan.GetWhat(); len(w) != 1 || w[0].GetText() != c.step {
				t.Errorf("what happens: %v, want %s", w, c.step)
			}
			if want := "isgwctl service edit hawaii " + c.flags; p.Plan.GetCommand() != want {
				t.Errorf("command %s, want %s", p.Plan.GetCommand(), want)
			}
			if want := "`isgwctl service edit hawaii " + c.back + "`"; p.Plan.GetUndo() != want {
				t.Errorf("undo %s, want %s", p.Plan.GetUndo(), want)
			}
			if !strings.Contains(p.Plan.GetImpact(), c.impact) || !strings.HasSuffix(p.Plan.GetImpact(), goesOn) {
				t.Errorf("impact %s, want %s", p.Plan.GetImpact(), c.impact)
			}
			s.must(p.Txn, nil)
			edited, _, _ := s.Service("hawaii")
			if proto.Equal(before, edited) {
				t.Fatal("the link is as it was")
			}
			if again, err := Show(s.Config, req, Facts{}, now); err != nil || again.Txn != nil || len(again.Plan.GetWhat()) > 0 {
				t.Errorf("the same again: %v, %v", again.Plan.GetWhat(), err)
			}
			// What a link is described as makes the same link anew.
			d, err := GetService(s.Config, "hawaii")
			if err != nil {
				t.Fatal(err)
			}
			s.must(DeleteService(s.Config, "hawaii"))
			s.must(CreateService(s.Config, &adminpb.CreateServiceRequest{
				Type: "isgw", Name: "hawaii", Remote: d.GetRemote(), Direction: d.GetDirection(), Replication: d.GetReplication(),
				Connections: d.GetConnections(), LagTargetSeconds: d.GetLagTargetSeconds(), Settings: d.GetSettings(),
			}, now))
			if made, _, _ := s.Service("hawaii"); !proto.Equal(made, edited) {
				t.Errorf("made anew it is %v, not %v", made, edited)
			}
			// What it is without the change is what it was.
			back := proto.CloneOf(edited)
			for _, kind := range settings {
				if err := kind.set(back, describedEdit(t, before), ownSettings(describedEdit(t, before))); err != nil {
					t.Fatal(err)
				}
			}
			if len(different(back, before)) > 0 {
				t.Errorf("back it is %v, not %v", back, before)
			}
		})
		flags = append(flags, strings.Fields(c.flags)[0])
	}
	for _, kind := range settings {
		if !slices.Contains(flags, kind.flag) {
			t.Errorf("no test changes %s", kind.flag)
		}
	}
}

// describedEdit names every setting that a link has.
func describedEdit(t *testing.T, s *statepb.Service) *adminpb.PlanEditService {
	t.Helper()
	return &adminpb.PlanEditService{
		Remote: new(s.GetRemote()), Connections: new(s.GetConnections()), LagTargetSeconds: new(float64(s.GetLagTarget()) / 1e9),
		Direction: new(directionOf(s.GetDirection())), Replication: new(replicationOf(s.GetReplication())), Settings: describeSettings(s),
	}
}

// TestSettingsRefused: a bad value is refused with one sentence, by an edit as at
// creation.
func TestSettingsRefused(t *testing.T) {
	own := func(change func(*adminpb.LinkSettings)) *adminpb.LinkSettings {
		s := &adminpb.LinkSettings{}
		change(s)
		return s
	}
	many := map[string]string{}
	for i := range state.MaxAnnotations + 1 {
		many[strings.Repeat("x", i+1)] = ""
	}
	for _, c := range []struct {
		settings *adminpb.LinkSettings
		kind     error
		says     string
	}{
		{own(func(s *adminpb.LinkSettings) { s.Local = new("14000") }), state.ErrInvalid, `local address "14000" is not HOST:PORT`},
		{own(func(s *adminpb.LinkSettings) { s.Local = new(":14000") }), state.ErrInvalid, "is not HOST:PORT"},
		{own(func(s *adminpb.LinkSettings) { s.Local = new("h:0") }), state.ErrInvalid, "no port from 1 to 65535"},
		{own(func(s *adminpb.LinkSettings) { s.Local = new("a b:1") }), state.ErrInvalid, "name or address of a host"},
		{own(func(s *adminpb.LinkSettings) { s.ChunkCache = new(uint64(1)) }), state.ErrInvalid, "a chunk cache is from 8Mi to 1Ei, not 1"},
		{own(func(s *adminpb.LinkSettings) { s.Profile = new("fast") }), state.ErrInvalid, `no resource profile "fast"`},
		{own(func(s *adminpb.LinkSettings) { s.SendLimit = new("1") }), state.ErrInvalid, "a limit is from 16KiB/s"},
		{own(func(s *adminpb.LinkSettings) { s.ReceiveLimit = new("fast") }), state.ErrInvalid, "not a rate"},
		{own(func(s *adminpb.LinkSettings) { s.Server = new("none") }), state.ErrNotFound, "service none does not exist"},
		{own(func(s *adminpb.LinkSettings) { s.Server = new("hawaii") }), state.ErrInvalid, "cannot be its own server"},
		{own(func(s *adminpb.LinkSettings) { s.Server = new("client") }), state.ErrConflict, "makes use of server base itself"},
		{own(func(s *adminpb.LinkSettings) {
			s.Annotations = &adminpb.LinkAnnotations{Values: map[string]string{"a b": ""}}
		}), state.ErrInvalid, `annotation name "a b"`},
		{own(func(s *adminpb.LinkSettings) { s.Annotations = &adminpb.LinkAnnotations{Values: many} }), state.ErrInvalid, "more than 64"},
		{own(func(s *adminpb.LinkSettings) {
			s.Resources = &adminpb.LinkResources{RequestCpuMillis: 2, LimitCpuMillis: 1}
		}), state.ErrInvalid, "the request of 2m cpu is above the limit of 1m"},
		{own(func(s *adminpb.LinkSettings) { s.Resources = &adminpb.LinkResources{LimitMemoryBytes: 1 << 62} }), state.ErrInvalid, "more than anything has"},
		{own(func(s *adminpb.LinkSettings) { s.Placement = new("{") }), state.ErrInvalid, "placement cannot be read"},
	} {
		s := newEditSite(t)
		s.must(CreateService(s.Config, &adminpb.CreateServiceRequest{Type: "isgw", Name: "client", Settings: &adminpb.LinkSettings{Server: new("base")}}, now))
		txn, err := EditService(s.Config, &adminpb.PlanEditService{Name: "hawaii", Settings: c.settings})
		refusal{c.kind, c.says, ""}.check(t, txn, err)
		s.must(DeleteService(s.Config, "hawaii"))
		txn, err = CreateService(s.Config, &adminpb.CreateServiceRequest{Type: "isgw", Name: "hawaii", Settings: c.settings}, now)
		refusal{c.kind, c.says, ""}.check(t, txn, err)
	}
}

// TestServers: a server cannot become a client or go while it has clients, and is
// described with them.
func TestServers(t *testing.T) {
	s := newEditSite(t)
	s.must(EditService(s.Config, &adminpb.PlanEditService{Name: "hawaii", Settings: &adminpb.LinkSettings{Server: new("base")}}))
	s.must(s.link("other"))
	txn, err := EditService(s.Config, &adminpb.PlanEditService{Name: "base", Settings: &adminpb.LinkSettings{Server: new("other")}})
	refusal{state.ErrConflict, "service base is the server of hawaii", "another server first"}.check(t, txn, err)
	txn, err = DeleteService(s.Config, "base")
	refusal{state.ErrNotEmpty, "service base is still the server of hawaii", `isgwctl service edit hawaii --server ""`}.check(t, txn, err)
	s.must(EditService(s.Config, &adminpb.PlanEditService{Name: "base", Settings: &adminpb.LinkSettings{Profile: new("embedded")}}))
	if d, err := GetService(s.Config, "hawaii"); err != nil || d.GetEffectiveProfile() != "embedded" {
		t.Errorf("a client has the profile %q, %v", d.GetEffectiveProfile(), err)
	}
	if d, err := GetService(s.Config, "base"); err != nil || !slices.Equal(d.GetClients(), []string{"hawaii"}) {
		t.Errorf("described as %v, %v", d, err)
	}
}

// TestEditSite: the profile of the site holds for links without one.
func TestEditSite(t *testing.T) {
	s := newEditSite(t)
	s.must(EditService(s.Config, &adminpb.PlanEditService{Name: "base", Settings: &adminpb.LinkSettings{Profile: new("performance")}}))
	change := func(profile *string) *adminpb.PlanRequest {
		return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditSite{EditSite: &adminpb.PlanEditSite{Profile: profile}}}
	}
	p, err := Show(s.Config, change(new("embedded")), Facts{}, now)
	if err != nil {
		t.Fatal(err)
	}
	if p.Plan.GetCommand() != "isgwctl system edit --resource-profile embedded" || p.Plan.GetUndo() != "`isgwctl system edit --resource-profile performance`" ||
		!strings.HasPrefix(p.Plan.GetImpact(), "1 link has no profile of its own") || p.Plan.GetWhat()[0].GetText() != "profile performance → embedded" {
		t.Errorf("planned as\n%s", p.Plan.GetText())
	}
	s.must(p.Txn, nil)
	for name, want := range map[string]string{"hawaii": "embedded", "base": "performance"} {
		if d, err := GetService(s.Config, name); err != nil || d.GetEffectiveProfile() != want {
			t.Errorf("%s has the profile %s, %v", name, d.GetEffectiveProfile(), err)
		}
	}
	if again, err := Show(s.Config, change(new("embedded")), Facts{}, now); err != nil || again.Txn != nil {
		t.Errorf("the same again: %v, %v", again, err)
	}
	for _, c := range []struct {
		cfg  *state.Config
		req  *adminpb.PlanEditSite
		want refusal
	}{
		{s.Config, &adminpb.PlanEditSite{Profile: new("fast")}, refusal{state.ErrInvalid, `no resource profile "fast"`, "embedded"}},
		{s.Config, &adminpb.PlanEditSite{}, refusal{state.ErrInvalid, "nothing is to be changed", "profile"}},
		{state.New(), &adminpb.PlanEditSite{Profile: new("embedded")}, refusal{state.ErrNotFound, "not initialised", "system init"}},
	} {
		txn, err := EditSite(c.cfg, c.req)
		c.want.check(t, txn, err)
	}
}

// TestPlacementPlanned: a plan says where a link may run; where the only node does
// not fit it is a warning, because the link runs there all the same.
func TestPlacementPlanned(t *testing.T) {
	s := newEditSite(t)
	show := func(placement string) *adminpb.Plan {
		t.Helper()
		p, err := Show(s.Config, &adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditService{EditService: &adminpb.PlanEditService{Name: "hawaii", Settings: &adminpb.LinkSettings{Placement: &placement}}}}, Facts{}, now)
		if err != nil {
			t.Fatal(err)
		}
		s.must(p.Txn, nil)
		return p.Plan
	}
	p := show(need(`{"key":"type","operator":"In","values":["isgw"]}`))
	if c := p.GetChecks(); len(c) != 1 || c[0].GetSeverity() != warning || !strings.Contains(c[0].GetText(), "north-1: its labels do not meet type In isgw; it runs there all the same") {
		t.Errorf("checks: %v", c)
	}
	if d, _ := GetService(s.Config, "hawaii"); len(d.GetNodes()) != 0 {
		t.Errorf("it is told to run on %v", d.GetNodes())
	}
	labels, err := ParseLabels([]string{"type=isgw"})
	if err != nil {
		t.Fatal(err)
	}
	s.must(LabelNode(s.Config, "n1", labels))
	if txn, err := LabelNode(s.Config, "n1", labels); txn != nil || err != nil {
		t.Errorf("the same labels again: %v, %v", txn, err)
	}
	if txn, err := LabelNode(s.Config, "n9", labels); txn != nil || !errors.Is(err, state.ErrNotFound) {
		t.Errorf("labels of no node: %v, %v", txn, err)
	}
	if d, _ := GetService(s.Config, "hawaii"); !slices.Equal(d.GetNodes(), []string{"north-1"}) {
		t.Errorf("it is told to run on %v", d.GetNodes())
	}
	p = show(need(`{"key":"type","operator":"Exists"}`))
	if c := p.GetChecks(); len(c) != 1 || c[0].GetSeverity() != passes || c[0].GetText() != "it may run on north-1" {
		t.Errorf("checks: %v", c)
	}
	if p = show("{}"); len(p.GetChecks()) != 0 {
		t.Errorf("checks: %v", p.GetChecks())
	}
}

// TestOverlap: a bucket is on one link to a site, also while the links have not met
// it, by the address that they dial; who answers there is looked at in plans.
func TestOverlap(t *testing.T) {
	s := newSite(t)
	s.walkThrough() // hawaii serves Hawaii/Cola/bk1
	s.must(EditService(s.Config, &adminpb.PlanEditService{Name: "hawaii", Remote: new("ccow://h:1")}))
	create := func(name, remote string, serves ...string) *adminpb.PlanRequest {
		return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_CreateService{CreateService: &adminpb.PlanCreateService{
			Service: &adminpb.CreateServiceRequest{Type: "isgw", Name: name, Remote: remote}, Serves: serves,
		}}}
	}
	if _, err := Show(s.Config, create("two", "ccow://h:1", "Hawaii/Cola,exclude=x"), Facts{}, now); !errors.Is(err, state.ErrConflict) ||
		!strings.Contains(err.Error(), "service two cannot serve Hawaii/Cola: service hawaii serves Hawaii/Cola/bk1 to the same site, ccow://h:1") {
		t.Errorf("the same address: %v", err)
	}
	p, err := Show(s.Config, create("two", "ccow://h:2", "Hawaii/Cola"), Facts{}, now)
	if err != nil {
		t.Fatal(err)
	}
	s.must(p.Txn, nil)
	txn, err := EditService(s.Config, &adminpb.PlanEditService{Name: "two", Remote: new("ccow://h:1")})
	refusal{state.ErrConflict, "to the same site, ccow://h:1", "unserve it there first"}.check(t, txn, err)
	// hawaii has met its peer, which answers at the other address too.
	s.must(BindPeer(s.Config, "hawaii", peer))
	facts := Facts{Reach: map[string]*Reach{"h:3": {Address: "h:3", Site: peer, Name: "south"}}}
	p, err = Show(s.Config, create("three", "ccow://h:3", "Hawaii/Cola/bk1"), facts, now)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(p.Plan.GetChecks(), func(c *adminpb.PlanCheck) bool {
		return c.GetName() == "overlap" && c.GetSeverity() == warning && strings.Contains(c.GetText(), "service hawaii serves Hawaii/Cola/bk1 to the same site, south")
	}) {
		t.Errorf("checks: %v", p.Plan.GetChecks())
	}
	p, err = Show(s.Config, create("three", "ccow://h:3", "Hawaii/Pepsi/bk1"), facts, now)
	if err != nil || slices.ContainsFunc(p.Plan.GetChecks(), func(c *adminpb.PlanCheck) bool { return c.GetName() == "overlap" }) {
		t.Errorf("another bucket: %v, %v", p.Plan.GetChecks(), err)
	}
}
