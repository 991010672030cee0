package plan

import (
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
)

func TestResync(t *testing.T) {
	s := newSite(t)
	s.must(s.create(namespace, "Hawaii"))
	s.must(s.create(tenant, "Hawaii/Cola"))
	s.must(s.create(tenant, "Hawaii/Pepsi"))
	for _, name := range []string{"hawaii", "empty"} {
		s.must(CreateService(s.Config, &adminpb.CreateServiceRequest{Name: name, Type: state.TypeLink, Remote: "ccow://" + name + ":14000"}, now))
	}
	s.must(Serve(s.Config, "hawaii", "Hawaii/Cola"))
	s.must(Serve(s.Config, "hawaii", "Hawaii/Pepsi/bk1"))
	for _, c := range []struct {
		name, path string
		refused    string // words of the refusal; empty: it is remembered
	}{
		{"hawaii", "", ""},
		{"hawaii", "Hawaii/Cola", ""},
		{"hawaii", "Hawaii/Cola/any", ""},
		{"hawaii", "Hawaii/Pepsi", ""},
		{"hawaii", "Hawaii/Pepsi/bk1", ""},
		{"hawaii", "Hawaii/Pepsi/bk2", "does not serve"},
		{"hawaii", "Hawaii/Col", "does not serve"},
		{"hawaii", "//", "is empty"},
		{"empty", "", "serves nothing"},
		{"nobody", "", "does not exist"},
	} {
		txn, err := Resync(s.Config, c.name, c.path, now)
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s %q: %v, want a refusal with %q", c.name, c.path, err, c.refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %q: %v", c.name, c.path, err)
			continue
		}
		got := txn.GetPuts()[0].GetService().GetResyncs()
		if len(got) != 1 || got[0].GetPath() != c.path || got[0].GetTime() != now.UnixNano() {
			t.Errorf("%s %q: %v is remembered", c.name, c.path, got)
		}
	}
}

// A wish is nothing that two sites' manifests differ by, and an edit keeps it.
func TestResyncIsKept(t *testing.T) {
	s := newSite(t)
	s.must(s.create(namespace, "Hawaii"))
	s.must(s.create(tenant, "Hawaii/Cola"))
	s.must(s.create(tenant, "Hawaii/Pepsi"))
	s.must(CreateService(s.Config, &adminpb.CreateServiceRequest{Name: "hawaii", Type: state.TypeLink}, now))
	s.must(Serve(s.Config, "hawaii", "Hawaii/Cola"))
	s.must(Resync(s.Config, "hawaii", "", now))
	s.must(Serve(s.Config, "hawaii", "Hawaii/Pepsi"))
	s.must(SetEnabled(s.Config, "hawaii", false))
	service, _, _ := s.Service("hawaii")
	if got := state.ResyncOf(service.GetResyncs(), "Hawaii/Cola/bk1"); got != now.UnixNano() {
		t.Errorf("the wish is %d after edits", got)
	}
	s.must(Resync(s.Config, "hawaii", "Hawaii/Cola", now)) // the clock stood still
	service, _, _ = s.Service("hawaii")
	if got := state.ResyncOf(service.GetResyncs(), "Hawaii/Cola/bk1"); got <= now.UnixNano() {
		t.Errorf("the second wish is %d", got)
	}
}

// TestResyncPlan shows a re-sync before it is asked for.
func TestResyncPlan(t *testing.T) {
	s := newSite(t)
	s.must(s.create(namespace, "Hawaii"))
	s.must(s.create(tenant, "Hawaii/Cola"))
	s.must(s.create(tenant, "Hawaii/Pepsi"))
	s.must(s.create(bucket, "Hawaii/Cola/bk1"))
	s.must(CreateService(s.Config, &adminpb.CreateServiceRequest{Name: "hawaii", Type: state.TypeLink}, now))
	s.must(Serve(s.Config, "hawaii", "Hawaii/Cola"))
	s.must(Serve(s.Config, "hawaii", "Hawaii/Cola/bk2,exclude=tmp/"))
	s.must(Serve(s.Config, "hawaii", "Hawaii/Pepsi"))
	facts := Facts{Site: "alpha", Bucket: func(string) (uint64, uint64, bool) { return 12, 3 << 20, true }}
	show := func(path string) (*Preview, error) {
		return Show(s.Config, &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Resync{
			Resync: &adminpb.StartResyncRequest{Name: "hawaii", Path: path},
		}}, facts, now)
	}
	for _, c := range []struct {
		path, command string
		compared      string // with spaces between
	}{
		{"", "isgwctl service resync hawaii", "Hawaii/Cola Hawaii/Cola/bk2 Hawaii/Pepsi"},
		{"Hawaii/Cola", "isgwctl service resync hawaii Hawaii/Cola", "Hawaii/Cola Hawaii/Cola/bk2"},
		{"Hawaii/Cola/bk1", "isgwctl service resync hawaii Hawaii/Cola/bk1", "Hawaii/Cola/bk1"},
		{"Hawaii/Cola/bk2", "isgwctl service resync hawaii Hawaii/Cola/bk2", "Hawaii/Cola/bk2"},
	} {
		got, err := show(c.path)
		if err != nil {
			t.Fatalf("%q: %v", c.path, err)
		}
		var compared []string
		for _, step := range got.Plan.GetWhat() {
			compared = append(compared, step.GetName())
		}
		if got.Plan.GetCommand() != c.command || got.Plan.GetNeedsTypedName() != "hawaii" || strings.Join(compared, " ") != c.compared || got.Plan.GetBlocked() || len(got.Plan.GetBound()) == 0 {
			t.Errorf("%q: command %q compares %q, %v", c.path, got.Plan.GetCommand(), compared, got.Plan)
		}
		if resyncs := got.Txn.GetPuts()[0].GetService().GetResyncs(); len(resyncs) != 1 || resyncs[0].GetPath() != c.path {
			t.Errorf("%q: it would remember %v", c.path, resyncs)
		}
		for _, word := range []string{"only what differs crosses", "Nothing is removed", c.command} {
			if !strings.Contains(got.Plan.GetText(), word) {
				t.Errorf("%q: %q is not in\n%s", c.path, word, got.Plan.GetText())
			}
		}
	}
	if _, err := show("Hawaii/Fanta"); err == nil || !strings.Contains(err.Error(), "does not serve") {
		t.Errorf("of a path that is not served: %v", err)
	}
	s.must(SetPaused(s.Config, "hawaii", true))
	if got, err := show(""); err != nil || !strings.Contains(got.Plan.GetText(), "compared when it is resumed") {
		t.Errorf("of a paused link: %v, %v", got, err)
	}
}
