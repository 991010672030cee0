package cluster

import (
	"slices"
	"testing"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// TestServeList: an entry of a bucket goes before that of its tenant, and each has a
// direction of its own.
func TestServeList(t *testing.T) {
	buckets := func(tenant string) []*statepb.Bucket {
		return []*statepb.Bucket{{Path: tenant + "/b1"}, {Path: tenant + "/b2"}, {Path: tenant + "/b3"}}
	}
	service := func(edit func(*statepb.Service)) *statepb.Service {
		s := &statepb.Service{Name: "x", Type: state.TypeLink, Serves: []*statepb.Served{
			{Path: "n/s", Direction: state.DirectionSend},
			{Path: "n/t", Include: []string{"a/"}},
			{Path: "n/t/b2", Direction: state.DirectionReceive, Deletes: state.DeletesKeep},
			{Path: "n/u/b1", Exclude: []string{"tmp/"}},
		}, Resyncs: []*statepb.Resync{{Path: "n/t", Time: 7}}}
		if edit != nil {
			edit(s)
		}
		return s
	}
	r := &runner{}
	list := servedBy(service(nil), buckets)
	r.served.Store(list)
	if want := []string{"n/s/b1", "n/s/b2", "n/s/b3", "n/t/b1", "n/t/b3", "n/u/b1"}; !slices.Equal(list.buckets, want) {
		t.Errorf("%v are let out, want %v", list.buckets, want)
	}
	for path, want := range map[string]bool{
		"n/s/b1": false, "n/t/b1": true, "n/t/b2": true, "n/t/new": true, "n/u/b1": true, "n/u/b2": false, "n/tt/b1": false, "n": false, "": false,
	} {
		if r.accepts(path) != want {
			t.Errorf("%q is let in: %v, want %v", path, !want, want)
		}
	}
	if got := r.terms("n/t/b1"); !slices.Equal(got.Filter.Include, []string{"a/"}) || got.Filter.KeepDeletes || got.Resync != 7 {
		t.Errorf("a bucket of a tenant goes by %+v", got)
	}
	if got := r.terms("n/t/b2"); got.Filter.Include != nil || !got.Filter.KeepDeletes || got.Resync != 7 {
		t.Errorf("a bucket with an entry of its own goes by %+v", got)
	}
	if got := r.terms("n/u/b1"); !slices.Equal(got.Filter.Exclude, []string{"tmp/"}) || got.Resync != 0 {
		t.Errorf("a served bucket goes by %+v", got)
	}
	for name, c := range map[string]struct {
		edit func(*statepb.Service)
		same bool
	}{
		"nothing":            {nil, true},
		"remote":             {func(s *statepb.Service) { s.Remote = "ccow://h:1" }, true},
		"a prefix":           {func(s *statepb.Service) { s.Serves[1].Include = []string{"b/"} }, false},
		"deletes":            {func(s *statepb.Service) { s.Serves[2].Deletes = "" }, false},
		"a path's direction": {func(s *statepb.Service) { s.Serves[3].Direction = state.DirectionReceive }, false},
		"a re-sync":          {func(s *statepb.Service) { s.Resyncs[0].Time++ }, false},
		"one path less":      {func(s *statepb.Service) { s.Serves = s.Serves[1:] }, false},
	} {
		if got := list.same(servedBy(service(c.edit), buckets)); got != c.same {
			t.Errorf("after a change of %s the lists are the same: %v", name, got)
		}
	}
	if list := servedBy(service(func(s *statepb.Service) { s.Direction = state.DirectionReceive }), buckets); len(list.buckets) != 0 {
		t.Errorf("a link that only receives lets out %v", list.buckets)
	}
}
