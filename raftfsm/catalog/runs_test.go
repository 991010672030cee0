package catalog

import (
	"testing"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

func TestPlace(t *testing.T) {
	history := []*pb.Run{{Epoch: 3, Last: 10}, {Epoch: 7, Last: 20}}
	for _, c := range []struct {
		name string
		at   uint32
		seq  uint64
		want Placement
	}{
		{"the present epoch", 9, 30, Within},
		{"behind its end", 9, 31, Beyond},
		{"an epoch that is still to come", 10, 1, Beyond},
		{"the last run", 7, 20, Within},
		{"behind the last run", 7, 21, Beyond},
		{"the first run", 3, 10, Within},
		{"behind the first run", 3, 11, Beyond},
		{"an epoch in which nothing was written", 5, 10, Within},
		{"more than was written before it", 5, 11, Beyond},
		{"before all runs", 2, 1, Former},
	} {
		if got := Place(history, 9, 30, c.at, c.seq); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if got := Place(nil, 9, 30, 8, 31); got != Former {
		t.Errorf("without runs %d, want %d", got, Former)
	}
}

// A site that goes on in another epoch keeps its places, gives other names, and claims
// of its former epochs what it wrote in them, whatever its peers have heard of.
func TestGoesOnInAnotherEpoch(t *testing.T) {
	a, b := testSite(t, 1).makeBucket(1), testSite(t, 2).makeBucket(1)
	a.put(1, "k1", "v")
	a.put(1, "k2", "v")
	stored := at(5)
	a.must(1, &pb.Ingest{Bucket: testPath, Peer: b.id.Bytes(), Cursor: stored})
	a.must(1, &pb.PeerProgress{Bucket: testPath, Peer: b.id.Bytes(), Cursor: &pb.Cursor{Epoch: 1, Incarnation: a.state().GetIncarnation(), Seq: 1, InitialDone: true}})

	a.cat.SetSelf(a.id, 8, 1)
	behind, err := a.cat.Behind(testPath, b.id, maxBehind)
	if err != nil || behind.Scan || behind.Entries != 1 {
		t.Errorf("before it writes, the peer is behind by %+v, %v", behind, err)
	}
	r := a.put(2, "k3", "v")
	if d := r.GetDot(); d.GetEpoch() != 8 || d.GetSeq() != 3 {
		t.Errorf("the name is %v", d)
	}
	c, err := a.cat.Cursor(testPath, b.id)
	if err != nil || !c.GetInitialDone() {
		t.Errorf("the cursor is %v, %v", c, err)
	}
	if behind, err = a.cat.Behind(testPath, b.id, maxBehind); err != nil || behind.Scan || behind.Entries != 2 {
		t.Errorf("the peer is behind by %+v, %v", behind, err)
	}

	a.must(2, &pb.Ingest{Bucket: testPath, Peer: b.id.Bytes(), Expect: stored, Cursor: at(6), Seen: vector(dot(1, 1, 9), dot(2, 1, 6))})
	seen, err := a.cat.Seen(testPath)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		d    *pb.Dot
		want bool
	}{{dot(1, 1, 2), true}, {dot(1, 1, 3), false}, {dot(1, 8, 3), true}, {dot(1, 8, 4), false}, {dot(2, 1, 6), true}} {
		if got := Covers(seen, c.d); got != c.want {
			t.Errorf("%v is covered: %v, want %v", c.d, got, c.want)
		}
	}

	a.cat.SetSelf(a.id, 20, 20) // restored
	if c, err = a.cat.Cursor(testPath, b.id); err != nil || c.GetInitialDone() {
		t.Errorf("the cursor is %v, %v: a restored site scans", c, err)
	}
	if runs := a.cat.Runs(a.state()); runs != nil {
		t.Errorf("a restored site goes on from %v", runs)
	}
	a.put(3, "k4", "v")
	if seen, err = a.cat.Seen(testPath); err != nil || !Covers(seen, dot(1, 8, 3)) || Covers(seen, dot(1, 1, 3)) {
		t.Errorf("it has seen %v, %v", seen, err)
	}
}

func TestRunsAreBounded(t *testing.T) {
	a := testSite(t, 1).makeBucket(1)
	for n := range uint32(maxRuns + 10) {
		a.cat.SetSelf(a.id, 1+n, 1)
		a.put(1, "k", "v")
	}
	if n := len(a.state().GetRuns()); n != maxRuns {
		t.Errorf("%d runs are kept, want %d", n, maxRuns)
	}
}
