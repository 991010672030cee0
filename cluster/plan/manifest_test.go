package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

func wants(services ...*adminpb.PlanApplyService) *adminpb.PlanRequest {
	return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_ApplyManifest{ApplyManifest: &adminpb.PlanApplyManifest{Services: services}}}
}

func link(name string, serves ...string) *adminpb.PlanApplyService {
	return &adminpb.PlanApplyService{Settings: &adminpb.PlanEditService{Name: name}, Serves: &adminpb.PlanServes{Paths: serves}}
}

// TestManifest: what a manifest says is what the link has afterwards, by one
// transaction; the same manifest again is nothing to do.
func TestManifest(t *testing.T) {
	for _, c := range []struct {
		name string
		req  *adminpb.PlanRequest
		what []string
		text []string
		then string // of hawaii
	}{
		{
			"as it is", wants(&adminpb.PlanApplyService{
				Settings: &adminpb.PlanEditService{
					Name: "hawaii", Remote: new("ccow://10.3.32.240:14000"), LagTargetSeconds: new(45.0), Connections: new(uint32(0)),
					Direction: new("send+receive"), Replication: new("initial+continuous"),
				},
				Enabled: new(true), Serves: &adminpb.PlanServes{Paths: []string{"Hawaii/Cola/bk1"}},
			}),
			nil, []string{"  nothing\n", "everything is so already"}, "10.3.32.240:14000 45 true [Hawaii/Cola/bk1]",
		},
		{
			"nothing is said", wants(&adminpb.PlanApplyService{Settings: &adminpb.PlanEditService{Name: "hawaii"}}),
			nil, []string{"  nothing\n"}, "10.3.32.240:14000 45 true [Hawaii/Cola/bk1]",
		},
		{
			"settings", wants(&adminpb.PlanApplyService{
				Settings: &adminpb.PlanEditService{Name: "hawaii", Remote: new(""), LagTargetSeconds: new(0.0), Connections: new(uint32(4))}, Enabled: new(false),
			}),
			[]string{"~ setting hawaii", "~ setting hawaii", "~ setting hawaii", "~ link hawaii"},
			[]string{"lag target 45s → 0s", "connections 0 → 4", `remote ccow://10.3.32.240:14000 → ""`, "enabled → disabled", "1 served path will not",
				"!  reach    no remote", "`isgwctl service edit hawaii --remote ccow://10.3.32.240:14000 --connections 0 --lag-target 45s`", "`isgwctl service enable hawaii`"},
			" 0 false [Hawaii/Cola/bk1]",
		},
		{
			"a list is the whole list", wants(link("hawaii", "Hawaii/Pepsi", "Hawaii/Cola/bk2")),
			[]string{"+ serve Hawaii/Cola/bk2", "+ serve Hawaii/Pepsi", "- serve Hawaii/Cola/bk1"},
			[]string{"!  exists   not here yet", "Changes of Hawaii/Cola/bk1 stop", "Nothing is deleted", "`isgwctl service unserve hawaii Hawaii/Cola/bk2`", "`isgwctl service serve hawaii Hawaii/Cola/bk1`"},
			"10.3.32.240:14000 45 true [Hawaii/Cola/bk2 Hawaii/Pepsi]",
		},
		{
			"an empty list", wants(link("hawaii")), []string{"- serve Hawaii/Cola/bk1"}, []string{"12 objects, 3.0 MiB"}, "10.3.32.240:14000 45 true []",
		},
		{
			"several", wants(link("hawaii", "Hawaii/Cola/bk1", "Hawaii/Pepsi"), link("maui", "Hawaii/Cola")),
			[]string{"+ serve Hawaii/Pepsi", "+ link maui", "+ serve Hawaii/Cola"},
			[]string{"link maui: no remote", "over link maui", "`isgwctl service delete maui`", "isgwctl apply -f FILE"},
			"10.3.32.240:14000 45 true [Hawaii/Cola/bk1 Hawaii/Pepsi]",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, facts := previewSite(t, true)
			p, err := Show(s.Config, c.req, facts, now)
			if err != nil {
				t.Fatal(err)
			}
			var what []string
			for _, w := range p.Plan.GetWhat() {
				what = append(what, w.GetSign()+" "+w.GetKind()+" "+w.GetName())
			}
			if !slices.Equal(what, c.what) || (p.Txn == nil) != (len(what) == 0) {
				t.Errorf("what %q, want %q; transaction %v", what, c.what, p.Txn)
			}
			flat := strings.Join(strings.Fields(p.Plan.GetText()), " ")
			for _, part := range c.text {
				if !strings.Contains(p.Plan.GetText(), part) && !strings.Contains(flat, part) {
					t.Errorf("the text lacks %q:\n%s", part, p.Plan.GetText())
				}
			}
			s.must(p.Txn, nil)
			got, _, _ := s.Service("hawaii")
			described, err := GetService(s.Config, "hawaii")
			if err != nil {
				t.Fatal(err)
			}
			is := fmt.Sprintf("%s %v %v %v", strings.TrimPrefix(got.GetRemote(), "ccow://"), described.GetLagTargetSeconds(), described.GetEnabled(), described.GetServes())
			if is != c.then {
				t.Errorf("the link is %q, want %q", is, c.then)
			}
			again, err := Show(s.Config, c.req, facts, now)
			if err != nil || again.Txn != nil || len(again.Plan.GetWhat()) != 0 {
				t.Errorf("again it is\n%s%v", again.Plan.GetText(), err)
			}
		})
	}
}

// TestManifestAsCreate: a manifest makes the link that the commands make.
func TestManifestAsCreate(t *testing.T) {
	s, facts := previewSite(t, false)
	create, err := Show(s.Config, createRequest("", "Hawaii/Cola/bk1"), facts, now)
	if err != nil {
		t.Fatal(err)
	}
	want := link("hawaii", "Hawaii/Cola/bk1")
	want.Settings.Remote, want.Settings.LagTargetSeconds = new("ccow://10.3.32.240:14000"), new(45.0)
	apply, err := Show(s.Config, wants(want), facts, now)
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(create.Txn, apply.Txn) {
		t.Errorf("the manifest makes\n%v\nthe command\n%v", apply.Txn, create.Txn)
	}
	if got := Remotes(s.Config, wants(want)); !slices.Equal(got, []Remote{{Address: "10.3.32.240:14000"}}) {
		t.Errorf("it dials %v", got)
	}
	s.must(apply.Txn, nil)
	if got := Remotes(s.Config, wants(want)); len(got) != 0 {
		t.Errorf("what is so already dials %v", got)
	}
}

// TestManifestAsksForWhatIs: what a link serves can be asked for as it is, also
// what could not be added now: a bucket beside its tenant, and a path whose
// namespace is gone.
func TestManifestAsksForWhatIs(t *testing.T) {
	s, facts := previewSite(t, true)
	s.must(s.create(namespace, "Maui"))
	for _, path := range []string{"Maui/Cola", "Hawaii/Cola"} {
		s.must(Serve(s.Config, "hawaii", path))
	}
	s.must(s.remove(namespace, "Maui"))
	p, err := Show(s.Config, wants(link("hawaii", "Maui/Cola", "Hawaii/Cola/bk1", "Hawaii/Cola")), facts, now)
	if err != nil || p.Txn != nil {
		t.Errorf("what is so is a change: %v, %v", p, err)
	}
}

// TestManifestMovesPaths: a path goes from one link to a site to another by one
// manifest; with only one half of it that is refused.
func TestManifestMovesPaths(t *testing.T) {
	s, facts := previewSite(t, true)
	s.must(CreateService(s.Config, &adminpb.CreateServiceRequest{Type: "isgw", Name: "maui"}, now))
	for _, name := range []string{"hawaii", "maui"} {
		old, revision, _ := s.Service(name)
		bound := proto.CloneOf(old)
		bound.Peer = peer.Bytes()
		s.must(replace(bound, revision))
	}
	if _, err := Show(s.Config, wants(link("maui", "Hawaii/Cola")), facts, now); !errors.Is(err, state.ErrConflict) || !strings.Contains(err.Error(), "service hawaii serves Hawaii/Cola/bk1 to the same site") {
		t.Errorf("two links with one bucket: %v", err)
	}
	p, err := Show(s.Config, wants(link("maui", "Hawaii/Cola"), link("hawaii")), facts, now)
	if err != nil {
		t.Fatal(err)
	}
	s.must(p.Txn, nil)
}

// TestManifestRefuses: each refusal that is due to one link begins with it.
func TestManifestRefuses(t *testing.T) {
	s, facts := previewSite(t, true)
	s.must(create(&statepb.Service{Name: "front", Type: state.TypeS3, Created: 1}))
	edit := func(change func(*adminpb.PlanEditService)) *adminpb.PlanRequest {
		e := &adminpb.PlanEditService{Name: "hawaii"}
		change(e)
		return wants(&adminpb.PlanApplyService{Settings: e})
	}
	many := make([]*adminpb.PlanApplyService, MaxManifest+1)
	for i := range many {
		many[i] = link(fmt.Sprint("l", i))
	}
	for _, c := range []struct {
		req  *adminpb.PlanRequest
		kind error
		says string
	}{
		{wants(), state.ErrInvalid, "the manifest names no service"},
		{wants(many...), state.ErrInvalid, "a manifest has at most 1000 services"},
		{wants(link("a"), link("a")), state.ErrInvalid, "the manifest names service a twice"},
		{wants(link("front")), state.ErrConflict, "service front is of type s3"},
		{wants(link("no name")), state.ErrInvalid, `service name "no name"`},
		{wants(link("a", "Hawaii")), state.ErrInvalid, "service a: a whole cluster"},
		{wants(link("a", "Hawaii/Cola", "Hawaii/Cola/")), state.ErrInvalid, "service a: "},
		{wants(link("a", "Hawaii/Cola", "Hawaii/Cola")), state.ErrInvalid, "service a: the list of what it serves has Hawaii/Cola twice"},
		{wants(link("a", "Hawaii/Cola/bk3", "Hawaii/Cola")), state.ErrExists, "service a serves Hawaii/Cola/bk3 already, with all of tenant"},
		{wants(link("a", "Maui/Cola")), state.ErrNotFound, "service a: cluster Maui does not exist"},
		{edit(func(e *adminpb.PlanEditService) { e.Remote = new("s3://x") }), state.ErrInvalid, "service hawaii: a link to s3://"},
		{edit(func(e *adminpb.PlanEditService) { e.Direction = new("up") }), state.ErrInvalid, `service hawaii: there is no direction "up"`},
		{edit(func(e *adminpb.PlanEditService) { e.Replication = new("once") }), state.ErrInvalid, `service hawaii: there is no replication type "once"`},
		{edit(func(e *adminpb.PlanEditService) { e.LagTargetSeconds = new(1e9) }), state.ErrInvalid, "service hawaii: a lag target is from 1ms"},
		{edit(func(e *adminpb.PlanEditService) { e.Connections = new(uint32(33)) }), state.ErrInvalid, "service hawaii: a link has 1 to 32 connections"},
	} {
		_, err := Show(s.Config, c.req, facts, now)
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
}

// TestManifestOptions: options of what is served are a part of the list; those that
// change are told with what they were, and the way back has them.
func TestManifestOptions(t *testing.T) {
	s, facts := previewSite(t, true)
	p, err := Show(s.Config, wants(link("hawaii", "Hawaii/Cola/bk1,exclude=tmp/", "Hawaii/Pepsi,direction=receive")), facts, now)
	if err != nil {
		t.Fatal(err)
	}
	var what []string
	for _, w := range p.Plan.GetWhat() {
		what = append(what, w.GetSign()+" "+w.GetName()+" "+w.GetText())
	}
	if want := []string{
		"+ Hawaii/Pepsi over link hawaii, does not exist here yet, direction=receive",
		"~ Hawaii/Cola/bk1 over link hawaii, no options → exclude=tmp/",
	}; !slices.Equal(what, want) {
		t.Errorf("what happens: %q, want %q", what, want)
	}
	if impact := p.Plan.GetImpact(); !strings.Contains(impact, "Nothing leaves this site; what the other site serves comes in.") || !strings.Contains(impact, optionImpact) {
		t.Errorf("impact: %s", impact)
	}
	if undo := p.Plan.GetUndo(); !strings.Contains(undo, "`isgwctl service serve hawaii Hawaii/Cola/bk1`") || !strings.Contains(undo, "`isgwctl service unserve hawaii Hawaii/Pepsi`") {
		t.Errorf("undo: %s", undo)
	}
	s.must(p.Txn, nil)
	p, err = Show(s.Config, wants(link("hawaii", "Hawaii/Cola/bk1")), facts, now)
	if err != nil {
		t.Fatal(err)
	}
	if undo := p.Plan.GetUndo(); !strings.Contains(undo, "`isgwctl service serve hawaii Hawaii/Pepsi,direction=receive`") || !strings.Contains(undo, "`isgwctl service serve hawaii Hawaii/Cola/bk1,exclude=tmp/`") {
		t.Errorf("undo of the way back: %s", undo)
	}
	s.must(p.Txn, nil)
	if _, err := Show(s.Config, wants(link("hawaii", "Hawaii/Cola/bk1", "Hawaii/Cola/bk1,exclude=x")), facts, now); !errors.Is(err, state.ErrInvalid) || !strings.Contains(err.Error(), "has Hawaii/Cola/bk1 twice") {
		t.Errorf("twice with options: %v", err)
	}
}

// TestManifestNamesNoMoreThanAFew: the way back of a large manifest is short,
// and so is the list of addresses that it has the node dial.
func TestManifestNamesNoMoreThanAFew(t *testing.T) {
	s, facts := previewSite(t, false)
	var all []*adminpb.PlanApplyService
	for i := range 20 {
		l := link(fmt.Sprint("l", i))
		l.Settings.Remote = new(fmt.Sprintf("ccow://10.0.0.%d:14000", i+1))
		all = append(all, l)
	}
	p, err := Show(s.Config, wants(all...), facts, now)
	if err != nil {
		t.Fatal(err)
	}
	if undo := p.Plan.GetUndo(); strings.Count(undo, "service delete") != maxUndo || !strings.Contains(undo, "12 more") {
		t.Errorf("undo is %s", undo)
	}
	if n := len(Remotes(s.Config, wants(all...))); n != maxReached {
		t.Errorf("it dials %d addresses", n)
	}
}
