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
