package catalog

import (
	"testing"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// What is pending from one peer when an untold scan of another ends makes the bucket be
// compared once more with that one when it is applied, and not before: each time anew,
// also when it comes while such a comparison goes on.
func TestRecheckAwaits(t *testing.T) {
	a, b, other := testSite(t, 1).makeBucket(1), testSite(t, 2).makeBucket(1), testSite(t, 3).makeBucket(1)
	first, second, third := other.put(10, "k1", "1"), other.put(11, "k2", "2"), other.put(12, "k3", "3")
	var hold []*pb.Pending
	for _, r := range []*pb.Record{first, second, third} {
		hold = append(hold, &pb.Pending{Record: r})
	}
	a.must(20, &pb.Ingest{Bucket: testPath, Peer: other.id.Bytes(), Cursor: at(1), Hold: hold})
	stored := (*pb.Cursor)(nil)
	move := func(next *pb.Cursor, seen *pb.Vector) {
		t.Helper()
		a.must(30, &pb.Ingest{Bucket: testPath, Peer: b.id.Bytes(), Expect: stored, Cursor: next, Seen: seen})
		stored = next
	}
	scan := func(seq uint64, untold bool) {
		t.Helper()
		c := at(seq)
		c.InitialDone, c.Scan = false, &pb.Scan{Untold: untold}
		move(c, nil)
	}
	check := func(what string, recheck bool, awaited uint64) {
		t.Helper()
		c, err := a.cat.Cursor(testPath, b.id)
		if err != nil {
			t.Fatal(err)
		}
		var upto uint64
		for _, d := range c.GetAwaited().GetUpto() {
			upto = max(upto, d.GetSeq())
		}
		if c.GetRecheck() != recheck || upto != awaited {
			t.Errorf("%s: recheck %v and %d awaited, want %v and %d", what, c.GetRecheck(), upto, recheck, awaited)
		}
	}
	came := func(r *pb.Record) {
		t.Helper()
		if res := a.must(40, &pb.Ingest{Bucket: testPath, Peer: other.id.Bytes(), Records: []*pb.Record{r}}); res.GetApplied() != 1 {
			t.Fatalf("%s was not applied", r.GetKey())
		}
	}

	scan(5, true)
	check("scanning", false, 0)
	// The peer has seen the first two.
	move(at(6), &pb.Vector{Upto: []*pb.Dot{second.GetDot()}})
	check("scanned", true, second.GetDot().GetSeq())
	scan(6, false)
	check("making sure", false, second.GetDot().GetSeq())
	move(at(7), &pb.Vector{Upto: []*pb.Dot{third.GetDot()}})
	check("made sure, and seen more by the log", false, second.GetDot().GetSeq())
	came(third)
	check("what the scan did not speak of has come", false, second.GetDot().GetSeq())
	came(second)
	check("one has come", true, second.GetDot().GetSeq())
	move(at(8), nil)
	check("by the log", true, second.GetDot().GetSeq())
	scan(8, false)
	check("making sure again", false, first.GetDot().GetSeq())
	came(first)
	check("the other has come meanwhile", true, first.GetDot().GetSeq())
	page := at(8)
	page.InitialDone, page.Scan = false, &pb.Scan{NextKey: []byte("k2")}
	move(page, nil)
	check("the next page", true, first.GetDot().GetSeq())
	move(at(9), nil)
	check("made sure again", true, first.GetDot().GetSeq())
	scan(9, false)
	move(at(10), nil)
	check("at the end", false, 0)
	if c, err := a.cat.Cursor(testPath, other.id); err != nil || c.GetRecheck() || c.GetAwaited() != nil {
		t.Errorf("the cursor of the peer that brought them is %v, %v", c, err)
	}
}
