package plan

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

func createRequest(token string, serves ...string) *adminpb.PlanRequest {
	return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_CreateService{CreateService: &adminpb.PlanCreateService{
		Service: &adminpb.CreateServiceRequest{Type: "isgw", Name: "hawaii", Remote: "ccow://10.3.32.240:14000", LagTargetSeconds: 45},
		Token:   token, Serves: serves,
	}}}
}

func editRequest(seconds float64) *adminpb.PlanRequest {
	return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditService{EditService: &adminpb.PlanEditService{Name: "hawaii", LagTargetSeconds: &seconds}}}
}

var (
	serveRequest   = &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Serve{Serve: &adminpb.ServeRequest{Name: "hawaii", Path: "Hawaii/Cola/bk2"}}}
	unserveRequest = &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Unserve{Unserve: &adminpb.UnserveRequest{Name: "hawaii", Path: "Hawaii/Cola/bk1"}}}
	enableRequest  = &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Enable{Enable: &adminpb.EnableServiceRequest{Name: "hawaii"}}}
	disableRequest = &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Disable{Disable: &adminpb.DisableServiceRequest{Name: "hawaii"}}}
	deleteRequest  = &adminpb.PlanRequest{Change: &adminpb.PlanRequest_DeleteService{DeleteService: &adminpb.DeleteServiceRequest{Name: "hawaii"}}}
)

// previewSite has a bucket with objects, and one link that serves it if made.
func previewSite(t *testing.T, link bool) (*site, Facts) {
	s := newSite(t)
	s.must(s.create(namespace, "Hawaii"))
	s.must(s.create(tenant, "Hawaii/Cola"))
	s.must(s.create(bucket, "Hawaii/Cola/bk1"))
	if link {
		s.must(CreateService(s.Config, createRequest("").GetCreateService().GetService(), now))
		s.must(Serve(s.Config, "hawaii", "Hawaii/Cola/bk1"))
	}
	return s, Facts{
		Site: "north", LagTarget: 30 * time.Second, LogKeep: 168 * time.Hour,
		Bucket: func(path string) (uint64, uint64, bool) { return 12, 3 << 20, path == "Hawaii/Cola/bk1" },
	}
}

func TestShow(t *testing.T) {
	token, err := identity.NewToken(peer, key32(7), "10.3.32.240:14000", now, &counter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		link    bool
		req     *adminpb.PlanRequest
		reach   *Reach
		what    []string
		bound   []string
		text    []string // parts of the text
		command string
		typed   string
		blocked bool
	}{
		{
			name: "create with everything", req: createRequest(token.Encode(), "Hawaii/Cola/bk1", "Hawaii/Cola/new"),
			reach: &Reach{Address: "10.3.32.240:14000", Failure: "not paired"},
			what:  []string{"+ pairing " + peer.String(), "+ link hawaii", "+ serve Hawaii/Cola/bk1", "+ serve Hawaii/Cola/new"},
			bound: []string{"pairing " + peer.String() + " 0", "service hawaii 0"},
			text: []string{"WHAT WILL HAPPEN", "north <-> the other site, ccow://10.3.32.240:14000", "lag target 45s", "12 objects, 3.0 MiB", "does not exist here yet",
				"!  exists   not here yet: Hawaii/Cola/new", "First copy of up to 12 objects, 3.0 MiB", "`isgwctl service delete hawaii`"},
			command: "isgwctl service create isgw hawaii --remote ccow://10.3.32.240:14000 --lag-target 45s --pair TOKEN --serve Hawaii/Cola/bk1,Hawaii/Cola/new",
		},
		{
			name: "create before pairing", req: createRequest(""), reach: &Reach{Address: "10.3.32.240:14000", Failure: "nobody answers within 3s"},
			what: []string{"+ link hawaii"}, bound: []string{"service hawaii 0"},
			text:    []string{"!  reach    10.3.32.240:14000: nobody answers within 3s", "!  pairing  this site is paired with none yet", "Nothing flows until a bucket is served"},
			command: "isgwctl service create isgw hawaii --remote ccow://10.3.32.240:14000 --lag-target 45s",
		},
		{
			name: "create with the token of another site", req: createRequest(token.Encode()),
			reach: &Reach{Address: "10.3.32.240:14000", Site: far, Name: "west", Took: 171 * time.Millisecond},
			what:  []string{"+ pairing " + peer.String(), "+ link hawaii"}, bound: []string{"pairing " + peer.String() + " 0", "service hawaii 0"},
			text:    []string{"X  identity west answers at 10.3.32.240:14000", "answered in 171ms"},
			command: "isgwctl service create isgw hawaii --remote ccow://10.3.32.240:14000 --lag-target 45s --pair TOKEN", blocked: true,
		},
		{
			name: "serve", link: true, req: serveRequest, what: []string{"+ serve Hawaii/Cola/bk2"}, bound: []string{"service hawaii 6"},
			text: []string{"does not exist here yet", "service unserve hawaii Hawaii/Cola/bk2"}, command: "isgwctl service serve hawaii Hawaii/Cola/bk2",
		},
		{
			name: "unserve", link: true, req: unserveRequest, what: []string{"- serve Hawaii/Cola/bk1"}, bound: []string{"service hawaii 6"},
			text: []string{"Nothing is deleted", "12 objects"}, command: "isgwctl service unserve hawaii Hawaii/Cola/bk1",
		},
		{
			name: "enable what is enabled", link: true, req: enableRequest, bound: []string{"service hawaii 6"},
			text: []string{"  nothing\n", "enabled already"}, command: "isgwctl service enable hawaii",
		},
		{
			name: "disable", link: true, req: disableRequest, what: []string{"~ link hawaii"}, bound: []string{"service hawaii 6"},
			text: []string{"enabled → disabled", "kept for 168h", "1 served path will not"}, command: "isgwctl service disable hawaii",
		},
		{
			name: "delete", link: true, req: deleteRequest, what: []string{"- link hawaii", "- serve Hawaii/Cola/bk1"}, bound: []string{"service hawaii 6"},
			text: []string{"No object is deleted", "--serve Hawaii/Cola/bk1`"}, command: "isgwctl service delete hawaii", typed: "hawaii",
		},
		{
			name: "edit", link: true, req: editRequest(90), what: []string{"~ setting hawaii"}, bound: []string{"service hawaii 6"},
			text: []string{"lag target 45s → 1m30s", "`isgwctl service edit hawaii --lag-target 45s`"}, command: "isgwctl service edit hawaii --lag-target 1m30s",
		},
		{
			name: "edit nothing", link: true, req: editRequest(45), bound: []string{"service hawaii 6"},
			text: []string{"  nothing\n"}, command: "isgwctl service edit hawaii --lag-target 45s",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, facts := previewSite(t, c.link)
			if c.reach != nil {
				facts.Reach = map[string]*Reach{c.reach.Address: c.reach}
			}
			before := s.Revision()
			p, err := Show(s.Config, c.req, facts, now)
			if err != nil {
				t.Fatal(err)
			}
			if s.Revision() != before {
				t.Fatal("showing a plan changed the config")
			}
			var what, bound []string
			for _, w := range p.Plan.GetWhat() {
				what = append(what, w.GetSign()+" "+w.GetKind()+" "+w.GetName())
			}
			for _, b := range p.Plan.GetBound() {
				bound = append(bound, b.GetObject()+" "+string(rune('0'+b.GetRevision())))
			}
			if !slices.Equal(what, c.what) || !slices.Equal(bound, c.bound) {
				t.Errorf("what %q, bound %q\nwant %q, %q", what, bound, c.what, c.bound)
			}
			flat := strings.Join(strings.Fields(p.Plan.GetText()), " ")
			for _, part := range c.text {
				if !strings.Contains(p.Plan.GetText(), part) && !strings.Contains(flat, part) {
					t.Errorf("the text lacks %q:\n%s", part, p.Plan.GetText())
				}
			}
			if p.Plan.GetCommand() != c.command || p.Plan.GetNeedsTypedName() != c.typed || p.Plan.GetBlocked() != c.blocked {
				t.Errorf("command %q, typed %q, blocked %v", p.Plan.GetCommand(), p.Plan.GetNeedsTypedName(), p.Plan.GetBlocked())
			}
			if (p.Txn == nil) != (len(c.what) == 0) {
				t.Errorf("a transaction is %v, with steps %q", p.Txn, what)
			}
			if text := p.Plan.GetText(); c.req.GetCreateService().GetToken() != "" && strings.Contains(text, token.Encode()) {
				t.Errorf("the text shows the token:\n%s", text)
			}
			for line := range strings.Lines(p.Plan.GetText()) {
				if len([]rune(line)) > lineWidth+1 && !strings.HasPrefix(line, "  isgwctl") {
					t.Errorf("a line of %d characters: %q", len([]rune(line)), line)
				}
			}
			// The same again is the same plan; what it makes is what it says.
			again, err := Show(s.Config, proto.CloneOf(c.req), facts, now.Add(time.Hour))
			if err != nil || again.Plan.GetId() != p.Plan.GetId() || again.Plan.GetText() != p.Plan.GetText() {
				t.Errorf("shown again it is plan %s, %v", again.Plan.GetId(), err)
			}
			s.must(p.Txn, nil)
			if p.Txn == nil {
				return
			}
			later, err := Show(s.Config, c.req, facts, now)
			if err == nil && later.Plan.GetId() == p.Plan.GetId() {
				t.Error("a plan of another revision has the same id")
			}
			_, err = s.Apply(p.Txn, s.Revision()+1)
			if !errors.Is(err, state.ErrConflict) && !errors.Is(err, state.ErrExists) && !errors.Is(err, state.ErrNotFound) {
				t.Errorf("applied twice: %v, want a refusal", err)
			}
		})
	}
}

func TestShowRefuses(t *testing.T) {
	s, facts := previewSite(t, true)
	for _, c := range []struct {
		req  *adminpb.PlanRequest
		kind error
		says string
	}{
		{createRequest(""), state.ErrExists, "exists already"},
		{createRequest("sesame"), state.ErrExists, "exists already"},
		{&adminpb.PlanRequest{}, state.ErrInvalid, "no change"},
		{editRequest(-1), state.ErrInvalid, "a lag target is from 1ms"},
		{editRequest(1e9), state.ErrInvalid, "a lag target is from 1ms"},
		{&adminpb.PlanRequest{Change: &adminpb.PlanRequest_DeleteService{DeleteService: &adminpb.DeleteServiceRequest{Name: "none"}}}, state.ErrNotFound, "does not exist"},
	} {
		_, err := Show(s.Config, c.req, facts, now)
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v, want %q", c.req, err, c.says)
		}
	}
	bare, facts := previewSite(t, false)
	if _, err := Show(bare.Config, createRequest("sesame"), facts, now); !errors.Is(err, state.ErrInvalid) {
		t.Errorf("a word as token: %v", err)
	}
}

// TestRemote keeps the remote and the subject of a change in step with the changes there are.
func TestRemote(t *testing.T) {
	if got := Remotes(nil, createRequest("")); !slices.Equal(got, []Remote{{Address: "10.3.32.240:14000"}}) {
		t.Errorf("create dials %v", got)
	}
	if got := Remotes(nil, serveRequest); len(got) != 0 {
		t.Errorf("serve dials %v", got)
	}
	s := newSite(t)
	s.must(&statepb.Txn{Puts: []*statepb.Object{state.Wrap(&statepb.Service{Name: "inside", Type: state.TypeLink, Tunnel: true})}}, nil)
	edit := func(name, remote string, tunnel *bool) *adminpb.PlanEditService {
		return &adminpb.PlanEditService{Name: name, Remote: &remote, Settings: &adminpb.LinkSettings{Tunnel: tunnel}}
	}
	manifest := func(edits ...*adminpb.PlanEditService) *adminpb.PlanRequest {
		apply := new(adminpb.PlanApplyManifest)
		for _, e := range edits {
			apply.Services = append(apply.Services, &adminpb.PlanApplyService{Settings: e})
		}
		return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_ApplyManifest{ApplyManifest: apply}}
	}
	on, off := true, false
	for name, c := range map[string]struct {
		req  *adminpb.PlanRequest
		want []Remote
	}{
		"a link that is made with a tunnel": {&adminpb.PlanRequest{Change: &adminpb.PlanRequest_CreateService{CreateService: &adminpb.PlanCreateService{
			Service: &adminpb.CreateServiceRequest{Name: "new", Remote: "ccow://h:1", Settings: &adminpb.LinkSettings{Tunnel: &on}},
		}}}, []Remote{{"h:1", true}}},
		"one that has it":   {&adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditService{EditService: edit("inside", "ccow://h:1", nil)}}, []Remote{{"h:1", true}}},
		"one that loses it": {&adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditService{EditService: edit("inside", "ccow://h:1", &off)}}, []Remote{{"h:1", false}}},
		"manifests":         {manifest(edit("inside", "ccow://h:1", nil), edit("new", "ccow://h:2", nil), edit("other", "ccow://h:3", &on)), []Remote{{"h:1", true}, {"h:2", false}, {"h:3", true}}},
		"one of two":        {manifest(edit("new", "ccow://h:2", nil), edit("other", "ccow://h:2", &on)), []Remote{{"h:2", true}}},
	} {
		if got := Remotes(s.Config, c.req); !slices.Equal(got, c.want) {
			t.Errorf("%s: dials %v, want %v", name, got, c.want)
		}
	}
	for _, req := range []*adminpb.PlanRequest{createRequest(""), serveRequest, unserveRequest, enableRequest, disableRequest, deleteRequest, editRequest(1)} {
		if Subject(req) != "hawaii" {
			t.Errorf("%v is about %q", req, Subject(req))
		}
	}
}

// TestMayApply: a plan is carried out only when no check failed, and when what
// it destroys was typed.
func TestMayApply(t *testing.T) {
	check := func(severity adminpb.Severity, name, text string) *adminpb.PlanCheck {
		return &adminpb.PlanCheck{Severity: severity, Name: name, Text: text}
	}
	blocked := &adminpb.Plan{Blocked: true, Checks: []*adminpb.PlanCheck{
		check(passes, "loop", "no loop"), check(failed, "identity", "west answers"), check(warning, "reach", "slow"), check(failed, "space", "none left"),
	}}
	for _, c := range []struct {
		name  string
		plan  *adminpb.Plan
		typed string
		kind  error
		want  string
	}{
		{"fine", &adminpb.Plan{Checks: []*adminpb.PlanCheck{check(warning, "reach", "slow")}}, "", nil, ""},
		{"blocked", blocked, "", state.ErrConflict, "blocked by a check that failed: identity: west answers; space: none left"},
		{"not typed", &adminpb.Plan{NeedsTypedName: "hawaii"}, "", state.ErrInvalid, "wants its name typed"},
		{"mistyped", &adminpb.Plan{NeedsTypedName: "hawaii"}, "Hawaii", state.ErrInvalid, "wants its name typed"},
		{"typed", &adminpb.Plan{NeedsTypedName: "hawaii"}, "hawaii", nil, ""},
	} {
		err := MayApply(c.plan, c.typed)
		if !errors.Is(err, c.kind) || c.kind != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %v with %q", c.name, err, c.kind, c.want)
		}
	}
}

// TestNameOfPlans: the name is of the length that the state wants, and another
// change or another id has another.
func TestNameOfPlans(t *testing.T) {
	name := func(p *adminpb.Plan) string {
		raw, err := Name(p)
		if err != nil || len(raw) != state.PlanNameSize {
			t.Fatalf("%x, %v", raw, err)
		}
		return string(raw)
	}
	one := name(&adminpb.Plan{Id: "1", Change: serveRequest})
	if one != name(&adminpb.Plan{Id: "1", Change: proto.CloneOf(serveRequest), Text: "whatever"}) {
		t.Error("the same plan has two names")
	}
	if one == name(&adminpb.Plan{Id: "2", Change: serveRequest}) || one == name(&adminpb.Plan{Id: "1", Change: unserveRequest}) {
		t.Error("two plans have one name")
	}
	for _, c := range []struct {
		req  *adminpb.PlanRequest
		want bool
	}{{createRequest("token"), true}, {createRequest(""), false}, {serveRequest, false}} {
		if NeedsReach(c.req) != c.want {
			t.Errorf("%v needs reach: %v", c.req, !c.want)
		}
	}
}
