package state

import (
	"fmt"
	"testing"

	"edgefog.dev/isgw/raftfsm/state/statepb"
)

func TestResyncs(t *testing.T) {
	var list []*statepb.Resync
	add := func(path string, at int64) {
		t.Helper()
		var err error
		if list, err = AddResync(list, path, at); err != nil {
			t.Fatal(err)
		}
		if err := validateResyncs(&statepb.Service{Name: "x", Resyncs: list}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(path string, at int64) {
		t.Helper()
		if got := ResyncOf(list, path); got != at {
			t.Errorf("%s was last asked for at %d, want %d, of %v", path, got, at, list)
		}
	}
	want("a/b/c", 0)
	add("a/b/c", 10)
	add("a/b/d", 11)
	want("a/b/c", 10)
	want("a/b/cc", 0)
	add("a/b", 5) // a clock that went back does not hide a wish
	want("a/b/c", 12)
	want("a/b/d", 12)
	want("a/bb/d", 0)
	if len(list) != 1 {
		t.Errorf("a wish for a tenant leaves those for its buckets: %v", list)
	}
	add("a/b/c", 12) // within one tick
	want("a/b/c", 13)
	want("a/b/d", 12)
	add("", 20)
	want("x/y/z", 20)
	if len(list) != 1 {
		t.Errorf("a wish for everything leaves others: %v", list)
	}
	for i := range MaxResyncs - 1 {
		add(fmt.Sprintf("a/b/k%03d", i), 30)
	}
	if _, err := AddResync(list, "a/b/one-more", 31); err == nil {
		t.Error("the list has no bound")
	}
	add("a/b", 31)
	want("a/b/k001", 31)
	for name, bad := range map[string][]*statepb.Resync{
		"no order": {{Path: "b", Time: 1}, {Path: "a", Time: 1}},
		"twice":    {{Path: "a", Time: 1}, {Path: "a", Time: 2}},
		"no time":  {{Path: "a"}},
	} {
		if validateResyncs(&statepb.Service{Name: "x", Resyncs: bad}) == nil {
			t.Errorf("%s: %v is admitted", name, bad)
		}
	}
}
