package catalog

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

func dot(origin byte, epoch uint32, seq uint64) *pb.Dot {
	id := siteID(origin)
	return &pb.Dot{Origin: id.Bytes(), Epoch: epoch, Seq: seq}
}

func vector(upto ...*pb.Dot) *pb.Vector { return MergeVector(nil, &pb.Vector{Upto: upto}) }

// content and tombstone make records of key k.
func content(generation uint64, time int64, d *pb.Dot, context ...*pb.Dot) *pb.Record {
	return &pb.Record{Key: []byte("k"), Kind: pb.RecordKind_RECORD_VERSION, Generation: generation, Time: time,
		Dot: d, Root: &pb.Root{Size: 1}, Context: context}
}

func tombstone(generation uint64, time int64, d *pb.Dot, context ...*pb.Dot) *pb.Record {
	return &pb.Record{Key: []byte("k"), Kind: pb.RecordKind_RECORD_TOMBSTONE, Generation: generation, Time: time, Dot: d, Context: context}
}

// marker is a delete marker without an id, of a bucket whose versioning was suspended.
func marker(generation uint64, time int64, d *pb.Dot, context ...*pb.Dot) *pb.Record {
	r := tombstone(generation, time, d, context...)
	r.Versioning = pb.Versioning_VERSIONING_SUSPENDED
	return r
}

func entryOf(r *pb.Record, via byte, again bool) *pb.LogEntry {
	e := &pb.LogEntry{Key: r.GetKey(), Dot: r.GetDot(), Kind: r.GetKind(), Again: again}
	if via != 0 {
		id := siteID(via)
		e.Via = id.Bytes()
	}
	return e
}

// TestRules is the table of all rules: what each says in each situation that
// differs.
func TestRules(t *testing.T) {
	r := content
	type rs = []*pb.Record
	here := Situation{Self: siteID(1), Epoch: 2, Seq: 100, Versions: 1}
	with := func(f func(*Situation)) Situation { s := here; f(&s); return s }
	decide := func(s Situation, rec *pb.Record) func() any {
		return func() any { v, _ := Decide(s, rec); return v.String() }
	}
	order := func(a, b *pb.Record) func() any {
		return func() any { return [2]int{Compare(a, b), Compare(b, a)} }
	}
	conflict := func(a, b *pb.Record) func() any {
		return func() any { return [2]bool{Conflict(a, b), Conflict(b, a)} }
	}
	is := func(v any) func() any { return func() any { return v } }
	big := r(1, 1, dot(2, 1, 1))
	big.Metadata = map[string]string{"x": strings.Repeat("y", MaxRecordSize)}
	badKind := r(1, 1, dot(2, 1, 1))
	badKind.Kind = 7
	noKey := r(1, 1, dot(2, 1, 1))
	noKey.Key = nil
	badKey := r(1, 1, dot(2, 1, 1))
	badKey.Key = []byte{0xff}
	badRoot := r(1, 1, dot(2, 1, 1))
	badRoot.Root = &pb.Root{Id: []byte("short")}
	huge := r(1, 1, dot(2, 1, 1))
	huge.Root = &pb.Root{Size: math.MaxUint64}
	seen := func(d ...*pb.Dot) func(*Situation) { return func(s *Situation) { s.Seen = vector(d...) } }
	has := func(r ...*pb.Record) func(*Situation) { return func(s *Situation) { s.Existing = r } }
	both := func(f ...func(*Situation)) Situation {
		return with(func(s *Situation) {
			for _, f := range f {
				f(s)
			}
		})
	}

	for _, c := range []struct {
		name string
		got  func() any
		want any
	}{
		{"order: generation before time", order(r(2, 1, dot(2, 1, 1)), r(1, 9, dot(3, 1, 1))), [2]int{1, -1}},
		{"order: time before origin", order(r(1, 2, dot(2, 1, 1)), r(1, 1, dot(3, 1, 1))), [2]int{1, -1}},
		{"order: origin", order(r(1, 1, dot(3, 1, 1)), r(1, 1, dot(2, 9, 9))), [2]int{1, -1}},
		{"order: epoch", order(r(1, 1, dot(2, 2, 1)), r(1, 1, dot(2, 1, 9))), [2]int{1, -1}},
		{"order: sequence", order(r(1, 1, dot(2, 1, 2)), r(1, 1, dot(2, 1, 1))), [2]int{1, -1}},
		{"order: the same record", order(r(1, 1, dot(2, 1, 2)), r(1, 1, dot(2, 1, 2))), [2]int{0, 0}},
		{"order: negative times", order(r(1, -1, dot(2, 1, 1)), r(1, -2, dot(2, 1, 2))), [2]int{1, -1}},

		{"conflict: neither knew", conflict(r(1, 1, dot(2, 1, 1)), r(1, 2, dot(3, 1, 1))), [2]bool{true, true}},
		{"conflict: one knew", conflict(r(1, 1, dot(2, 1, 1)), r(2, 2, dot(3, 1, 1), dot(2, 1, 1))), [2]bool{false, false}},
		{"conflict: one knew a later one", conflict(r(1, 1, dot(2, 1, 1)), r(3, 2, dot(3, 1, 1), dot(2, 1, 5))), [2]bool{false, false}},
		{"conflict: one knew an earlier one", conflict(r(1, 1, dot(2, 1, 5)), r(3, 2, dot(3, 1, 1), dot(2, 1, 1))), [2]bool{true, true}},
		{"conflict: one knew a later epoch", conflict(r(1, 1, dot(2, 1, 5)), r(3, 2, dot(3, 1, 1), dot(2, 2, 1))), [2]bool{false, false}},
		{"conflict: the same record", conflict(r(1, 1, dot(2, 1, 1)), r(1, 1, dot(2, 1, 1))), [2]bool{false, false}},

		{"covers: nothing", is(Covers(nil, dot(2, 1, 1))), false},
		{"covers: up to", is(Covers(vector(dot(2, 1, 5)), dot(2, 1, 5))), true},
		{"covers: not above", is(Covers(vector(dot(2, 1, 5)), dot(2, 1, 6))), false},
		{"covers: not another epoch", is(Covers(vector(dot(2, 2, 5)), dot(2, 1, 1))), false},
		{"covers: not another origin", is(Covers(vector(dot(2, 1, 5)), dot(3, 1, 1))), false},
		{"cap: below the dot", is(Covers(CapVector(vector(dot(2, 1, 5)), []*pb.Dot{dot(2, 1, 4)}), dot(2, 1, 3))), true},
		{"cap: not the dot", is(Covers(CapVector(vector(dot(2, 1, 5)), []*pb.Dot{dot(2, 1, 4)}), dot(2, 1, 4))), false},
		{"cap: the first dot leaves nothing", is(len(CapVector(vector(dot(2, 1, 5)), []*pb.Dot{dot(2, 1, 1)}).GetUpto())), 0},
		{"cap: a dot above changes nothing", is(Covers(CapVector(vector(dot(2, 1, 5)), []*pb.Dot{dot(2, 1, 6)}), dot(2, 1, 5))), true},
		{"merge: outside order does not matter", is(Covers(MergeVector(nil, &pb.Vector{Upto: []*pb.Dot{dot(3, 1, 1), dot(2, 1, 1), dot(3, 1, 4)}}), dot(3, 1, 4))), true},

		{"generation: after a head", is(NextGeneration(r(7, 1, dot(2, 1, 1)), 100)), uint64(8)},
		{"generation: of a new key", is(NextGeneration(nil, 100)), uint64(101)},
		{"generation: stays acceptable", is(NextGeneration(r(MaxGeneration, 1, dot(2, 1, 1)), 0)), uint64(MaxGeneration)},
		{"time: the clock's", is(NextTime(r(1, 5, dot(2, 1, 1)), 9)), int64(9)},
		{"time: after the head's", is(NextTime(r(1, 5, dot(2, 1, 1)), 5)), int64(6)},
		{"time: of a new key", is(NextTime(nil, 5)), int64(5)},
		{"time: stays acceptable", is(NextTime(r(1, MaxTime, dot(2, 1, 1)), 5)), int64(MaxTime)},
		{"context: the last of each origin", func() any {
			got := Context(rs{r(3, 1, dot(3, 1, 4), dot(1, 1, 1), dot(2, 1, 9)), r(2, 1, dot(2, 1, 7), dot(1, 1, 8))})
			return slices.EqualFunc(got, []*pb.Dot{dot(1, 1, 8), dot(2, 1, 9), dot(3, 1, 4)}, func(a, b *pb.Dot) bool { return proto.Equal(a, b) })
		}, true},
		{"deletion of one record: above it", func() any {
			of := r(4, 10, dot(2, 1, 1))
			g, tm := Deletion(of)
			return Compare(tombstone(g, tm, dot(1, 1, 1)), of)
		}, 1},
		{"deletion of one record: below its successor", func() any {
			g, tm := Deletion(r(4, 10, dot(2, 1, 1)))
			return Compare(tombstone(g, tm, dot(9, 1, 1)), r(5, 1, dot(2, 1, 2)))
		}, -1},

		{"decide: news", decide(here, r(1, 1, dot(2, 1, 1))), "apply"},
		{"decide: greater than the head", decide(with(has(r(1, 1, dot(3, 1, 1)))), r(2, 1, dot(2, 1, 1))), "apply"},
		{"decide: less than the head, no history", decide(with(has(r(2, 1, dot(3, 1, 1)))), r(1, 1, dot(2, 1, 1))), "superseded"},
		{"decide: less than the head, history", decide(both(has(r(2, 1, dot(3, 1, 1))), func(s *Situation) { s.Versions = 2 }), r(1, 1, dot(2, 1, 1))), "apply"},
		{"decide: less than a full history", decide(both(has(r(3, 1, dot(3, 1, 2)), r(2, 1, dot(3, 1, 1))), func(s *Situation) { s.Versions = 2 }), r(1, 1, dot(2, 1, 1))), "superseded"},
		{"decide: a tombstone is no history", decide(both(has(r(2, 1, dot(3, 1, 1))), func(s *Situation) { s.Versions = 9 }), tombstone(1, 1, dot(2, 1, 1))), "superseded"},
		{"decide: content below a tombstone, no history", decide(with(has(tombstone(2, 1, dot(3, 1, 1)))), r(1, 1, dot(2, 1, 1))), "superseded"},
		{"decide: a tombstone of no key", decide(here, tombstone(1, 1, dot(2, 1, 1))), "apply"},
		{"decide: here already", decide(with(has(r(1, 1, dot(2, 1, 1)))), r(1, 1, dot(2, 1, 1))), "here"},
		{"decide: here already, in the history", decide(with(has(r(2, 1, dot(3, 1, 1)), r(1, 1, dot(2, 1, 1)))), r(1, 1, dot(2, 1, 1))), "here"},
		{"decide: covered and absent", decide(with(seen(dot(2, 1, 1))), r(1, 1, dot(2, 1, 1))), "covered"},
		{"decide: covered, absent, greater than the head", decide(both(seen(dot(2, 1, 1)), has(r(1, 1, dot(3, 1, 1)))), r(2, 1, dot(2, 1, 1))), "covered"},
		{"decide: covered, but pending", decide(both(seen(dot(2, 1, 1)), func(s *Situation) { s.Pending = true }), r(1, 1, dot(2, 1, 1))), "apply"},
		{"decide: a covered tombstone above a live head", decide(both(seen(dot(2, 1, 1)), has(r(1, 1, dot(3, 1, 1)))), tombstone(2, 1, dot(2, 1, 1))), "apply"},
		{"decide: a covered tombstone below a live head", decide(both(seen(dot(2, 1, 1)), has(r(3, 1, dot(3, 1, 1)))), tombstone(2, 1, dot(2, 1, 1))), "covered"},
		{"decide: a covered tombstone of no key", decide(with(seen(dot(2, 1, 1))), tombstone(2, 1, dot(2, 1, 1))), "covered"},
		{"decide: a covered tombstone above another", decide(both(seen(dot(2, 1, 1)), has(tombstone(1, 1, dot(3, 1, 1)))), tombstone(2, 1, dot(2, 1, 1))), "covered"},
		{"decide: a covered purge above a delete marker", decide(both(seen(dot(2, 1, 1)), has(marker(1, 1, dot(3, 1, 1)))), tombstone(2, 1, dot(2, 1, 1))), "apply"},
		{"decide: a covered purge below a delete marker", decide(both(seen(dot(2, 1, 1)), has(marker(3, 1, dot(3, 1, 1)))), tombstone(2, 1, dot(2, 1, 1))), "covered"},
		{"decide: own, dropped", decide(here, r(1, 1, dot(1, 2, 100))), "covered"},
		{"decide: own, dropped, even if pending", decide(with(func(s *Situation) { s.Pending = true }), r(1, 1, dot(1, 2, 100))), "covered"},
		{"decide: own, never written", decide(here, r(1, 1, dot(1, 2, 101))), "invalid"},
		{"decide: own, of an epoch to come", decide(here, r(1, 1, dot(1, 3, 1))), "invalid"},
		{"decide: own, of a former epoch, lost", decide(with(seen(dot(1, 1, 50))), r(1, 1, dot(1, 1, 51))), "apply"},
		{"decide: own, of a former epoch, seen", decide(with(seen(dot(1, 1, 50))), r(1, 1, dot(1, 1, 50))), "covered"},
		{"decide: generation 0", decide(here, r(0, 1, dot(2, 1, 1))), "invalid"},
		{"decide: the greatest generation", decide(here, r(MaxGeneration, 1, dot(2, 1, 1))), "apply"},
		{"decide: too great a generation", decide(here, r(MaxGeneration+1, 1, dot(2, 1, 1))), "invalid"},
		{"decide: too great a time", decide(here, r(1, MaxTime+1, dot(2, 1, 1))), "invalid"},
		{"decide: too small a time", decide(here, r(1, math.MinInt64, dot(2, 1, 1))), "invalid"},
		{"decide: a kind of a later release", decide(here, badKind), "invalid"},
		{"decide: no key", decide(here, noKey), "invalid"},
		{"decide: a key that is not UTF-8", decide(here, badKey), "invalid"},
		{"decide: a root that is no id", decide(here, badRoot), "invalid"},
		{"decide: an absurd size", decide(here, huge), "invalid"},
		{"decide: too large a record", decide(here, big), "invalid"},
		{"decide: no origin", decide(here, r(1, 1, &pb.Dot{Seq: 1})), "invalid"},
		{"decide: sequence 0", decide(here, r(1, 1, dot(2, 1, 0))), "invalid"},
		{"decide: context out of order", decide(here, r(1, 1, dot(2, 1, 1), dot(4, 1, 1), dot(3, 1, 1))), "invalid"},
		{"decide: context names an origin twice", decide(here, r(1, 1, dot(2, 1, 1), dot(3, 1, 1), dot(3, 2, 1))), "invalid"},

		{"offer: news", is(Offer(entryOf(r(1, 1, dot(2, 1, 5)), 0, false), siteID(3), nil)), true},
		{"offer: not back where it came from", is(Offer(entryOf(r(1, 1, dot(2, 1, 5)), 3, false), siteID(3), nil)), false},
		{"offer: not what is seen", is(Offer(entryOf(r(1, 1, dot(2, 1, 5)), 0, false), siteID(3), vector(dot(2, 1, 5)))), false},
		{"offer: announced again", is(Offer(entryOf(tombstone(1, 1, dot(2, 1, 5)), 0, true), siteID(3), vector(dot(2, 1, 5)))), true},
		{"offer: announced again, but came from there", is(Offer(entryOf(tombstone(1, 1, dot(2, 1, 5)), 3, true), siteID(3), nil)), false},

		{"announce: the peer has forgotten the tombstone", is(Announce(tombstone(2, 1, dot(2, 1, 5)), r(1, 1, dot(3, 1, 1)), vector(dot(2, 1, 5)))), true},
		{"announce: the peer does not know it yet", is(Announce(tombstone(2, 1, dot(2, 1, 5)), r(1, 1, dot(3, 1, 1)), nil)), false},
		{"announce: the head is content", is(Announce(r(2, 1, dot(2, 1, 5)), r(1, 1, dot(3, 1, 1)), vector(dot(2, 1, 5)))), false},
		{"announce on taking: a conflict", is(AnnounceApplied(tombstone(2, 1, dot(2, 1, 5)), r(1, 1, dot(3, 1, 1)), false)), true},
		{"announce on taking: it knew the head", is(AnnounceApplied(tombstone(2, 1, dot(2, 1, 5), dot(3, 1, 1)), r(1, 1, dot(3, 1, 1)), false)), false},
		{"announce on taking: dropped here before", is(AnnounceApplied(tombstone(2, 1, dot(2, 1, 5), dot(3, 1, 1)), r(1, 1, dot(3, 1, 1)), true)), true},
		{"announce on taking: a delete marker, in conflict", is(AnnounceApplied(tombstone(2, 1, dot(2, 1, 5)), marker(1, 1, dot(3, 1, 1)), false)), true},
		{"announce on taking: nothing was there", is(AnnounceApplied(tombstone(2, 1, dot(2, 1, 5)), nil, true)), false},

		{"dropped there: seen and absent", is(DroppedThere(r(1, 1, dot(2, 1, 5)), nil, vector(dot(2, 1, 5)))), true},
		{"dropped there: not seen", is(DroppedThere(r(1, 1, dot(2, 1, 5)), nil, vector(dot(2, 1, 4)))), false},
		{"dropped there: kept", is(DroppedThere(r(1, 1, dot(2, 1, 5)), r(1, 1, dot(2, 1, 5)), vector(dot(2, 1, 5)))), false},
		{"dropped there: a successor is kept", is(DroppedThere(r(1, 1, dot(2, 1, 5)), r(2, 1, dot(3, 1, 1)), vector(dot(2, 1, 5)))), false},
		{"dropped there: something lesser lives", is(DroppedThere(r(2, 1, dot(2, 1, 5)), r(1, 1, dot(3, 1, 1)), vector(dot(2, 1, 5)))), true},
		{"dropped there: a tombstone here", is(DroppedThere(tombstone(1, 1, dot(2, 1, 5)), nil, vector(dot(2, 1, 5)))), false},

		{"untold: the record and what it replaces", func() any {
			dots, all := Untold(r(3, 1, dot(2, 1, 7), dot(2, 1, 4), dot(3, 1, 1)))
			return [2]any{len(dots), all}
		}, [2]any{3, false}},
		{"untold: too much", func() any {
			_, all := Untold(&pb.Record{Kind: pb.RecordKind_RECORD_VERSION, Context: make([]*pb.Dot, maxUntold+1)})
			return all
		}, true},
		{"retain: the head alone", func() any {
			kept, dropped := Retain(rs{r(2, 1, dot(2, 1, 2)), r(1, 1, dot(2, 1, 1))}, 1)
			return [2]int{len(kept), len(dropped)}
		}, [2]int{1, 1}},
		{"retain: versions 0 is 1", func() any { kept, _ := Retain(rs{r(2, 1, dot(2, 1, 2))}, 0); return len(kept) }, 1},
		{"retain: a tombstone below goes", func() any {
			kept, _ := Retain(rs{r(3, 1, dot(2, 1, 3)), tombstone(2, 1, dot(2, 1, 2)), r(1, 1, dot(2, 1, 1))}, 2)
			return len(kept) == 2 && kept[1].GetGeneration() == 1
		}, true},
		{"retain: a tombstone above stays", func() any {
			kept, _ := Retain(rs{tombstone(3, 1, dot(2, 1, 3)), r(2, 1, dot(2, 1, 2)), r(1, 1, dot(2, 1, 1))}, 2)
			return len(kept) == 2 && !Live(kept[0]) && kept[1].GetGeneration() == 2
		}, true},
	} {
		if got := c.got(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// drawRecords draws records of one key with distinct dots, as sites write them:
// each with the context of some of the records before it.
func drawRecords(t *rapid.T) []*pb.Record {
	n := rapid.IntRange(1, 12).Draw(t, "records")
	var out []*pb.Record
	seq := map[byte]uint64{}
	for range n {
		origin := rapid.ByteRange(2, 5).Draw(t, "origin")
		seq[origin] += uint64(rapid.IntRange(1, 3).Draw(t, "step"))
		var known []*pb.Record
		for _, r := range out {
			if rapid.Bool().Draw(t, "known") {
				known = append(known, r)
			}
		}
		slices.SortFunc(known, func(a, b *pb.Record) int { return Compare(b, a) })
		var head *pb.Record
		if len(known) > 0 {
			head = known[0]
		}
		r := content(NextGeneration(head, 0), NextTime(head, rapid.Int64Range(0, 5).Draw(t, "clock")), dot(origin, 1, seq[origin]), Context(known)...)
		if rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
			r.Kind, r.Root = pb.RecordKind_RECORD_TOMBSTONE, nil
		}
		out = append(out, r)
	}
	return out
}

// TestBadTagsAreNamedAlike: what is wrong with a record is stored with it on every node of a
// site, so of several tags that are wrong always the same is named.
func TestBadTagsAreNamedAlike(t *testing.T) {
	tags := map[string]string{"good": "v"}
	for name := range strings.SplitSeq("h b e c g d f", " ") {
		tags[name] = strings.Repeat("x", maxTagValue+1)
	}
	for range 100 {
		if err := checkTags(tags); err == nil || !strings.Contains(err.Error(), `"b"`) {
			t.Fatalf("found %v", err)
		}
	}
	tags[""] = "v"
	if err := checkTags(tags); err == nil || !strings.Contains(err.Error(), `""`) {
		t.Fatalf("with an empty name: %v", err)
	}
	if err := checkTags(map[string]string{"good": "v"}); err != nil {
		t.Fatal(err)
	}
}

func TestOrderIsTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func() *pb.Record {
			return content(rapid.Uint64Range(1, 2).Draw(t, "g"), rapid.Int64Range(-1, 1).Draw(t, "t"),
				dot(rapid.ByteRange(1, 2).Draw(t, "o"), rapid.Uint32Range(1, 2).Draw(t, "e"), rapid.Uint64Range(1, 2).Draw(t, "s")))
		}
		a, b, c := draw(), draw(), draw()
		if Compare(a, b) != -Compare(b, a) {
			t.Fatalf("%v and %v compare differently from both sides", a, b)
		}
		if (Compare(a, b) == 0) != (CompareDots(a.GetDot(), b.GetDot()) == 0 && a.GetGeneration() == b.GetGeneration() && a.GetTime() == b.GetTime()) {
			t.Fatalf("%v and %v are taken for one record", a, b)
		}
		if Compare(a, b) >= 0 && Compare(b, c) >= 0 && Compare(a, c) < 0 {
			t.Fatalf("not transitive: %v %v %v", a, b, c)
		}
		if Conflict(a, b) != Conflict(b, a) {
			t.Fatalf("conflict of %v and %v depends on the side", a, b)
		}
		// The order of rows is the order of records, greatest first.
		row := func(r *pb.Record) []byte {
			return versionKey(nil, 1, r)
		}
		if bytes.Compare(row(a), row(b)) != -Compare(a, b) {
			t.Fatalf("rows of %v and %v are ordered differently", a, b)
		}
	})
}

// TestDecisionsConverge: sites that get the same records, each in an order of its
// own and some twice, agree on the head; those that keep as much keep the same.
func TestDecisionsConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := drawRecords(t)
		var heads []*pb.Record
		keptBy := map[int][]*pb.Record{}
		for site := range 4 {
			versions := rapid.IntRange(1, 3).Draw(t, "versions")
			s := Situation{Self: siteID(byte(100 + site)), Epoch: 1, Versions: versions}
			arriving := rapid.Permutation(append(slices.Clone(records), records[:len(records)/2]...)).Draw(t, "order")
			for _, r := range arriving {
				if v, why := Decide(s, r); v == Apply {
					s.Existing, _ = Retain(Insert(s.Existing, r), versions)
				} else if v == Invalid {
					t.Fatalf("%v is invalid: %s", r, why)
				}
			}
			heads = append(heads, s.Existing[0])
			if same, ok := keptBy[versions]; ok && !slices.Equal(same, s.Existing) {
				t.Fatalf("sites that keep %d versions keep %v and %v", versions, same, s.Existing)
			}
			keptBy[versions] = s.Existing
		}
		want := slices.MaxFunc(records, Compare)
		for _, h := range heads {
			if h != want {
				t.Fatalf("head %v, the greatest is %v", h, want)
			}
		}
	})
}

func TestVectors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) []*pb.Dot {
			return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *pb.Dot {
				return dot(rapid.ByteRange(1, 3).Draw(t, "o"), rapid.Uint32Range(1, 2).Draw(t, "e"), rapid.Uint64Range(1, 4).Draw(t, "s"))
			}), 0, 6).Draw(t, label)
		}
		a, b, except := draw("a"), draw("b"), draw("except")
		va, vb := vector(a...), vector(b...)
		merged := MergeVector(va, vb)
		capped := CapVector(merged, except)
		for _, v := range []*pb.Vector{va, merged, capped} {
			if !slices.IsSortedFunc(v.GetUpto(), CompareDots) {
				t.Fatalf("not ordered: %v", v)
			}
		}
		if !proto.Equal(merged, MergeVector(vb, va)) {
			t.Fatalf("merging depends on the order")
		}
		for origin := byte(1); origin <= 3; origin++ {
			for epoch := uint32(1); epoch <= 2; epoch++ {
				for seq := uint64(1); seq <= 5; seq++ {
					d := dot(origin, epoch, seq)
					if Covers(merged, d) != (Covers(va, d) || Covers(vb, d)) {
						t.Fatalf("%v: merged covers %v, of %v and %v", d, Covers(merged, d), Covers(va, d), Covers(vb, d))
					}
					under := slices.ContainsFunc(except, func(x *pb.Dot) bool {
						return bytes.Equal(x.GetOrigin(), d.GetOrigin()) && x.GetEpoch() == epoch && x.GetSeq() <= seq
					})
					if Covers(capped, d) != (Covers(merged, d) && !under) {
						t.Fatalf("%v: capped covers %v", d, Covers(capped, d))
					}
				}
			}
		}
	})
}
