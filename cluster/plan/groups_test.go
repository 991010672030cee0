package plan

import (
	"errors"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// group is a manifest that says nothing of a link but its group.
func group(name, server string, clients ...string) *adminpb.PlanApplyService {
	return &adminpb.PlanApplyService{
		Settings: &adminpb.PlanEditService{Name: name},
		Group:    &adminpb.PlanGroup{Server: server, Clients: clients},
	}
}

// TestGroups: a manifest gives the services of a group one server, whoever of them
// it is about; its list of clients is the whole list; and again is nothing.
func TestGroups(t *testing.T) {
	for _, c := range []struct {
		name   string
		before []*adminpb.PlanApplyService // applied first
		apply  []*adminpb.PlanApplyService
		then   string // each service with its server
		says   string // of a refusal
		kind   error
	}{
		{"of the server", nil, []*adminpb.PlanApplyService{group("s", "s", "a", "b")}, "a=s b=s c= s=", "", nil},
		{"of another", nil, []*adminpb.PlanApplyService{group("c", "s", "a", "b")}, "a=s b=s c=s s=", "", nil},
		{"of a client", nil, []*adminpb.PlanApplyService{group("a", "s", "a", "b")}, "a=s b=s c= s=", "", nil},
		{"a client leaves", []*adminpb.PlanApplyService{group("s", "s", "a", "b")}, []*adminpb.PlanApplyService{group("s", "s", "b")}, "a= b=s c= s=", "", nil},
		{"a client says nothing of others", []*adminpb.PlanApplyService{group("s", "s", "a", "b")}, []*adminpb.PlanApplyService{group("a", "s", "a")}, "a=s b=s c= s=", "", nil},
		{"all leave", []*adminpb.PlanApplyService{group("s", "s", "a", "b")}, []*adminpb.PlanApplyService{group("s", "")}, "a= b= c= s=", "", nil},
		{"one leaves by itself", []*adminpb.PlanApplyService{group("s", "s", "a", "b")}, []*adminpb.PlanApplyService{group("a", "")}, "a= b=s c= s=", "", nil},
		{"another server", []*adminpb.PlanApplyService{group("s", "s", "a", "b")}, []*adminpb.PlanApplyService{group("s", ""), group("c", "c", "a")}, "a=c b= c= s=", "", nil},
		{"server and client change places", []*adminpb.PlanApplyService{group("s", "s", "a")}, []*adminpb.PlanApplyService{group("a", "a", "s")}, "a= b= c= s=a", "", nil},
		{"with services that are made", nil, []*adminpb.PlanApplyService{group("new", "s", "fresh"), {Settings: &adminpb.PlanEditService{Name: "fresh"}}}, "a= b= c= fresh=s new=s s=", "", nil},
		{"nothing is said", []*adminpb.PlanApplyService{group("s", "s", "a")}, []*adminpb.PlanApplyService{{Settings: &adminpb.PlanEditService{Name: "s"}}, {Settings: &adminpb.PlanEditService{Name: "a"}}}, "a=s b= c= s=", "", nil},
		{"nobody's client", nil, []*adminpb.PlanApplyService{group("s", "s", "nobody")}, "", "service s: service nobody, which its group has, does not exist", state.ErrNotFound},
		{"nobody's server", nil, []*adminpb.PlanApplyService{group("s", "nobody")}, "", "service nobody does not exist", state.ErrNotFound},
		{"two servers", nil, []*adminpb.PlanApplyService{group("s", "s", "a"), group("b", "b", "a")}, "", "service a is in the groups of s and b", state.ErrInvalid},
		{"clients without server", nil, []*adminpb.PlanApplyService{group("s", "", "a")}, "", "has no server", state.ErrInvalid},
		{"server of its server", nil, []*adminpb.PlanApplyService{group("a", "s"), group("s", "b")}, "", "makes use of server b itself", state.ErrConflict},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			for _, name := range []string{"a", "b", "c", "s"} {
				s.must(s.link(name))
			}
			if c.before != nil {
				p, err := Show(s.Config, wants(c.before...), Facts{}, now)
				if err != nil {
					t.Fatal(err)
				}
				s.must(p.Txn, nil)
			}
			p, err := Show(s.Config, wants(c.apply...), Facts{}, now)
			if c.says != "" {
				if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v, want %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			s.must(p.Txn, nil)
			var got []string
			for _, service := range s.Services() {
				got = append(got, service.GetName()+"="+service.GetServer())
			}
			if text := strings.Join(got, " "); text != c.then {
				t.Errorf("the servers are %s, want %s", text, c.then)
			}
			if again, err := Show(s.Config, wants(c.apply...), Facts{}, now); err != nil || again.Txn != nil {
				t.Errorf("again it is %v, %v", again.Plan.GetWhat(), err)
			}
		})
	}
}
