package catalog

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// at is a cursor in a peer's log, with its initial copy done.
func at(seq uint64) *pb.Cursor {
	return &pb.Cursor{Epoch: 1, Incarnation: []byte("inc"), Seq: seq, InitialDone: true}
}

// page is what an engine makes of a page of from's whole log for to, with the
// bodies of the held keys still under way.
func page(to, from *site, expect, next *pb.Cursor, held ...string) *pb.Ingest {
	to.t.Helper()
	log, err := from.cat.Log(testPath, expect.GetSeq(), 0)
	if err != nil {
		to.t.Fatalf("log: %v", err)
	}
	in := &pb.Ingest{Bucket: testPath, Peer: from.id.Bytes(), Expect: expect, Cursor: next, Seen: log.Seen}
items:
	for _, item := range log.Entries {
		if item.Record == nil {
			continue
		}
		for _, key := range held {
			if string(item.Record.GetKey()) == key {
				in.Hold = append(in.Hold, &pb.Pending{Record: item.Record, Reason: pb.PendingReason_PENDING_TRANSFERRING, Seq: item.Seq})
				continue items
			}
		}
		in.Records = append(in.Records, item.Record)
	}
	return in
}

func (s *site) seen() *pb.Vector {
	s.t.Helper()
	v, err := s.cat.Seen(testPath)
	if err != nil {
		s.t.Fatalf("seen: %v", err)
	}
	return v
}

func (s *site) decide(r *pb.Record) Verdict {
	s.t.Helper()
	v, _, err := s.cat.Decide(testPath, []*pb.Record{r})
	if err != nil {
		s.t.Fatalf("decide: %v", err)
	}
	return v[0]
}

func (s *site) pendingKeys(peer *site) string {
	s.t.Helper()
	list, err := s.cat.Pending(testPath, peer.id, nil, 0)
	if err != nil {
		s.t.Fatalf("pending: %v", err)
	}
	var keys []byte
	for _, p := range list {
		keys = append(keys, p.GetRecord().GetKey()...)
	}
	if n, err := s.cat.PendingCount(testPath, peer.id); err != nil || n != len(list) {
		s.t.Fatalf("pending count %d %v, of %d", n, err, len(list))
	}
	return string(keys)
}

func TestIngest(t *testing.T) {
	a, b := testSite(t, 1).makeBucket(1), testSite(t, 2).makeBucket(1)
	one := b.put(1, "a", "one")
	two := b.put(2, "b", "two")
	in := page(a, b, nil, at(2))
	in.MergedIncarnation = []byte("inc")
	if res := a.must(10, in); res.GetApplied() != 2 || a.body("a") != "one" || a.body("b") != "two" {
		t.Fatalf("first page: %v", res)
	}
	// The record is stored as it came; the log tells where it came from.
	if got := a.head("a"); !proto.Equal(got, one) {
		t.Fatalf("stored %v, sent %v", got, one)
	}
	log, err := a.cat.Log(testPath, 0, 0)
	if err != nil || len(log.Entries) != 2 || !log.AtEnd || !bytes.Equal(log.Entries[0].Entry.GetVia(), b.id[:]) || log.Entries[1].Entry.GetCommitted() != 10 {
		t.Fatalf("log: %v %v", log, err)
	}
	if !Covers(a.seen(), two.GetDot()) || len(a.state().GetMerged()) != 2 {
		t.Fatalf("state after the page: %v", a.state())
	}
	if c, err := a.cat.Cursor(testPath, b.id); err != nil || c.GetSeq() != 2 || !bytes.Equal(c.GetSite(), b.id[:]) {
		t.Fatalf("cursor: %v %v", c, err)
	}
	// Own records that come back, and records that are here, are no news.
	own := a.put(11, "c", "mine")
	a.del(12, "c")
	if v := a.decide(own); v != Covered {
		t.Fatalf("own record that was superseded: %v", v)
	}
	if v := a.decide(one); v != Here {
		t.Fatalf("a record that is here: %v", v)
	}
	before := a.cat.Digest()
	if res := take(a, b, nil, own, one, two); res.GetApplied() != 0 || !bytes.Equal(before, a.cat.Digest()) {
		t.Fatalf("known records changed the state: %v", res)
	}
	// Edits on top of it, in both directions.
	three := a.put(13, "a", "three")
	if three.GetGeneration() != 2 || len(three.GetContext()) != 1 {
		t.Fatalf("edit: %v", three)
	}
	take(b, a, nil, three)
	if b.body("a") != "three" {
		t.Fatalf("b has %q", b.body("a"))
	}
	a.check()
	b.check()
}

func TestIngestCursors(t *testing.T) {
	a, b := testSite(t, 1).makeBucket(1), testSite(t, 2).makeBucket(1)
	b.put(1, "a", "one")
	scan := func(seq uint64, next string) *pb.Cursor {
		c := at(seq)
		c.InitialDone, c.Scan = false, &pb.Scan{FirstSeq: seq, NextKey: []byte(next)}
		return c
	}
	ingest := func(expect, next *pb.Cursor) *pb.Ingest { return page(a, b, expect, next) }
	a.refused(raftfsmpb.Code_CONFLICT, 1, ingest(at(0), at(1))) // none is stored
	a.must(1, ingest(nil, scan(1, "")))
	if Covers(a.seen(), b.head("a").GetDot()) {
		t.Fatal("the sender's vector was merged before the initial copy was done")
	}
	a.refused(raftfsmpb.Code_CONFLICT, 1, ingest(nil, at(1)))                // one is stored
	a.refused(raftfsmpb.Code_CONFLICT, 1, ingest(at(1), at(1)))              // it has a scan
	a.refused(raftfsmpb.Code_CONFLICT, 1, ingest(scan(1, "k"), at(1)))       // elsewhere
	a.must(1, ingest(scan(1, ""), scan(1, "k")))                             // goes on
	a.refused(raftfsmpb.Code_CONFLICT, 1, ingest(scan(1, ""), scan(1, "k"))) // twice
	done := page(a, b, scan(1, "k"), at(1))
	done.Seen = b.seen()
	a.must(1, done)
	if !Covers(a.seen(), b.head("a").GetDot()) {
		t.Fatal("the sender's vector was not merged when the initial copy was done")
	}
	b.put(2, "b", "two")
	other := at(2)
	other.Incarnation = []byte("other")
	a.refused(raftfsmpb.Code_CONFLICT, 1, ingest(other, at(2)))
	epoch := at(1)
	epoch.Epoch = 2
	a.refused(raftfsmpb.Code_CONFLICT, 1, ingest(epoch, at(2)))
	a.refused(raftfsmpb.Code_INVALID, 1, ingest(at(1), at(0))) // goes back
	foreign := at(2)
	foreign.Site = a.id.Bytes()
	a.refused(raftfsmpb.Code_INVALID, 1, ingest(at(1), foreign))
	// A scan anew may go back, and the vector waits for its end.
	a.must(1, ingest(at(1), scan(0, "")))
	again := scan(0, "")
	again.InitialDone = true
	withSeen := ingest(scan(0, ""), again)
	withSeen.Seen = vector(dot(9, 1, 99))
	a.must(1, withSeen)
	if Covers(a.seen(), dot(9, 1, 99)) {
		t.Fatal("the sender's vector was merged during a scan")
	}
	// Without a cursor no demand is made of it; with expect alone it is.
	a.must(1, ingest(nil, nil))
	a.must(1, ingest(again, nil))
	a.refused(raftfsmpb.Code_CONFLICT, 1, &pb.Ingest{Bucket: testPath, Peer: b.id.Bytes(), Expect: at(7)})
	a.check()
}

func TestIngestRefuses(t *testing.T) {
	a, b := testSite(t, 1).makeBucket(1), testSite(t, 2)
	in := func(f func(*pb.Ingest)) *pb.Ingest {
		return edited(&pb.Ingest{Bucket: testPath, Peer: b.id.Bytes(), Records: []*pb.Record{content(1, 1, dot(2, 1, 1))}, Cursor: at(1)}, f)
	}
	for _, c := range []struct {
		name string
		code raftfsmpb.Code
		f    func(*pb.Ingest)
	}{
		{"no bucket", raftfsmpb.Code_NOT_FOUND, func(in *pb.Ingest) { in.Bucket = "Hawaii/Cola/none" }},
		{"no peer", raftfsmpb.Code_INVALID, func(in *pb.Ingest) { in.Peer = nil }},
		{"itself", raftfsmpb.Code_INVALID, func(in *pb.Ingest) { in.Peer = a.id.Bytes() }},
		{"a record without a name", raftfsmpb.Code_INVALID, func(in *pb.Ingest) { in.Records[0].Dot = nil }},
		{"a held record without a name", raftfsmpb.Code_INVALID, func(in *pb.Ingest) { in.Hold = []*pb.Pending{{}} }},
		{"a long cause", raftfsmpb.Code_INVALID, func(in *pb.Ingest) {
			in.Hold = []*pb.Pending{{Record: content(1, 1, dot(2, 1, 2)), Cause: string(make([]byte, 5000))}}
		}},
		{"a settled record without a name", raftfsmpb.Code_INVALID, func(in *pb.Ingest) { in.Settle = []*pb.Dot{{}} }},
		{"a vector that names no site", raftfsmpb.Code_INVALID, func(in *pb.Ingest) { in.Seen = &pb.Vector{Upto: []*pb.Dot{{Seq: 1}}} }},
		{"a scan's vector that names no site", raftfsmpb.Code_INVALID, func(in *pb.Ingest) {
			in.Cursor.Scan = &pb.Scan{Seen: &pb.Vector{Upto: []*pb.Dot{{Seq: 1}}}}
		}},
		{"a vector of too many", raftfsmpb.Code_INVALID, func(in *pb.Ingest) { in.Seen = &pb.Vector{Upto: make([]*pb.Dot, MaxOrigins+1)} }},
		{"a long incarnation", raftfsmpb.Code_INVALID, func(in *pb.Ingest) { in.Cursor.Incarnation = make([]byte, 65) }},
		{"a long merged incarnation", raftfsmpb.Code_INVALID, func(in *pb.Ingest) { in.MergedIncarnation = make([]byte, 65) }},
		{"a record too large to be held", raftfsmpb.Code_INVALID, func(in *pb.Ingest) {
			in.Records[0].Etag = string(make([]byte, 2*MaxRecordSize+1))
		}},
		{"too much held", raftfsmpb.Code_INVALID, func(in *pb.Ingest) {
			for i := range MaxPending + 1 {
				in.Hold = append(in.Hold, &pb.Pending{Record: content(1, 1, dot(2, 1, uint64(i+1)))})
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a.refused(c.code, 1, in(c.f))
			if a.body("k") != "" {
				t.Fatal("a refused command applied a record")
			}
		})
	}
	a.must(1, in(func(*pb.Ingest) {}))
	a.check()
}

// What is pending is not told, is applied although the vector covers it, and is
// settled by whichever peer gives it.
func TestPending(t *testing.T) {
	a, b, c := testSite(t, 1).makeBucket(1), testSite(t, 2).makeBucket(1), testSite(t, 3).makeBucket(1)
	b.put(1, "w", "small")
	big := b.put(2, "x", "large")
	b.put(3, "y", "small")
	z := b.put(4, "z", "large too")
	a.must(10, page(a, b, nil, at(4), "x", "z"))
	a.check()
	if a.pendingKeys(b) != "xz" || a.body("y") != "small" || a.body("x") != "" {
		t.Fatalf("after the page: pending %q", a.pendingKeys(b))
	}
	if got := a.seen(); Covers(got, big.GetDot()) || !Covers(got, dot(2, 1, 1)) {
		t.Fatalf("told: %v", got)
	}
	if p, err := a.cat.Pending(testPath, b.id, big.GetDot(), 1); err != nil || len(p) != 1 || string(p[0].GetRecord().GetKey()) != "z" {
		t.Fatalf("pending after x: %v %v", p, err)
	}
	if v := a.decide(big); v != Apply {
		t.Fatalf("a pending record: %v", v)
	}
	// The entry is replaced, not doubled.
	a.must(11, &pb.Ingest{Bucket: testPath, Peer: b.id.Bytes(), Hold: []*pb.Pending{{Record: big, Reason: pb.PendingReason_PENDING_QUARANTINED, Cause: "hash"}}})
	if p, err := a.cat.Pending(testPath, b.id, nil, 0); err != nil || len(p) != 2 || p[0].GetCause() != "hash" {
		t.Fatalf("replaced: %v %v", p, err)
	}
	a.check()
	// Another site has it: that settles the entry of the first.
	take(c, b, nil, big)
	if res := take(a, c, nil, c.head("x")); res.GetApplied() != 1 || a.pendingKeys(b) != "z" || a.body("x") != "large" {
		t.Fatalf("from another site: %v, pending %q", res, a.pendingKeys(b))
	}
	if got := a.seen(); !Covers(got, dot(2, 1, 3)) || Covers(got, z.GetDot()) {
		t.Fatalf("told: %v", got)
	}
	// Gone at the sender: from now on the vector counts.
	a.must(12, &pb.Ingest{Bucket: testPath, Peer: b.id.Bytes(), Settle: []*pb.Dot{z.GetDot(), dot(2, 1, 77)}})
	if a.pendingKeys(b) != "" || !Covers(a.seen(), z.GetDot()) || a.decide(z) != Covered {
		t.Fatalf("settled: pending %q, %v", a.pendingKeys(b), a.decide(z))
	}
	// A record that was dropped on purpose is not held: it would come back.
	if take(a, b, []*pb.Record{z}); a.pendingKeys(b) != "" {
		t.Fatal("a dropped record is pending")
	}
	// One that is here, or has lost, is not held either.
	if take(a, b, []*pb.Record{big}); a.pendingKeys(b) != "" {
		t.Fatal("a record that is here is pending")
	}
	a.put(13, "new", "one")
	two := a.put(14, "new", "two")
	if take(a, b, []*pb.Record{edited(content(1, 1, dot(2, 1, 9)), func(r *pb.Record) {
		r.Key, r.Context = []byte("new"), []*pb.Dot{two.GetDot()}
	})}); a.pendingKeys(b) != "" {
		t.Fatal("a record that has lost is pending")
	}
	a.check()
}

// A pending record must not make others believe that what it replaces was
// deleted here.
func TestPendingHidesWhatItReplaces(t *testing.T) {
	a, b, c := testSite(t, 1).makeBucket(1), testSite(t, 2).makeBucket(1), testSite(t, 3).makeBucket(1)
	old := b.put(1, "k", "old")
	take(c, b, nil, old)
	b.put(2, "k", "large and new")
	a.must(3, page(a, b, nil, at(2), "k"))
	sp, err := a.cat.ScanKeys(testPath, nil, 0)
	if err != nil || len(sp.Records) != 0 || !sp.Done {
		t.Fatalf("scan: %v %v", sp, err)
	}
	dropped, resume, err := c.cat.DroppedThere(testPath, nil, nil, sp.Records, sp.Seen)
	if err != nil || len(dropped) != 0 || resume != nil {
		t.Fatalf("the old version is taken for deleted: %v %v", dropped, err)
	}
	// Once it is settled, the old version may go.
	take(a, b, nil, b.head("k"))
	a.del(9, "k")
	take(a, b, nil)
	if !Covers(a.seen(), old.GetDot()) {
		t.Fatalf("told: %v", a.seen())
	}
}

// Records that break the rules are quarantined by name and block nothing.
func TestQuarantine(t *testing.T) {
	a, b := testSite(t, 1).makeBucket(1), testSite(t, 2)
	wild := content(MaxGeneration+1, 1, dot(2, 1, 1))
	forged := content(1, 1, dot(1, 1, 55))
	good := content(1, 1, dot(2, 1, 2))
	in := &pb.Ingest{Bucket: testPath, Peer: b.id.Bytes(), Records: []*pb.Record{wild, forged, good}, Cursor: at(2), Seen: vector(dot(2, 1, 2), dot(1, 1, 99))}
	if res := a.must(5, in); res.GetApplied() != 1 {
		t.Fatalf("applied: %v", res)
	}
	p, err := a.cat.Pending(testPath, b.id, nil, 0)
	if err != nil || len(p) != 2 || p[0].GetReason() != pb.PendingReason_PENDING_QUARANTINED || p[0].GetCause() == "" || p[0].GetSince() != 5 {
		t.Fatalf("quarantine: %v %v", p, err)
	}
	if Covers(a.seen(), wild.GetDot()) || Covers(a.seen(), dot(1, 1, 99)) {
		t.Fatalf("told: %v", a.seen())
	}
	verdicts, why, err := a.cat.Decide(testPath, []*pb.Record{wild, forged, good})
	if err != nil || verdicts[0] != Invalid || verdicts[1] != Invalid || verdicts[2] != Here || why[0] == "" || why[1] == "" || why[2] != "" {
		t.Fatalf("verdicts: %v %q %v", verdicts, why, err)
	}
	a.check()
}

// Deleted here while written there: both end with the same head.
func TestConcurrentDeleteAndWrite(t *testing.T) {
	for _, c := range []struct {
		name         string
		write, erase int64
		want         string
	}{{"the write is later", 20, 10, "new"}, {"the deletion is later", 10, 20, ""}} {
		t.Run(c.name, func(t *testing.T) {
			a, b := testSite(t, 1).makeBucket(2), testSite(t, 2).makeBucket(1)
			take(b, a, nil, a.put(1, "k", "old"))
			written := b.put(c.write, "k", "new")
			erased := a.del(c.erase, "k")
			if !Conflict(written, erased) {
				t.Fatal("no conflict")
			}
			take(a, b, nil, written)
			take(b, a, nil, erased)
			if a.body("k") != c.want || b.body("k") != c.want {
				t.Fatalf("heads %q and %q, want %q", a.body("k"), b.body("k"), c.want)
			}
			if idOf(a.head("k").GetDot()) != idOf(b.head("k").GetDot()) {
				t.Fatal("the heads are different records")
			}
			a.check()
			b.check()
		})
	}
}

// A tombstone is trimmed; a site that was away offers the old version.
func TestNothingDeletedComesBack(t *testing.T) {
	a, b := testSite(t, 1).makeBucket(1), testSite(t, 2).makeBucket(1)
	old := b.put(1, "k", "old")
	keep := b.put(1, "keep", "x")
	a.must(2, page(a, b, nil, at(2)))
	a.del(3, "k")
	if res := a.must(100, &pb.Trim{Bucket: testPath, Before: 50, Horizon: 50}); res.GetApplied() != 3 {
		t.Fatalf("trimmed: %v", res)
	}
	if st := a.state(); st.GetTrimmed() != 3 || st.GetGenerationFloor() != 2 || a.head("k") != nil {
		t.Fatalf("after the trim: %v, head %v", st, a.head("k"))
	}
	if res := take(a, b, nil, old, keep); res.GetApplied() != 0 || a.body("k") != "" {
		t.Fatalf("the deleted key is back: %v", res)
	}
	// The site that was away finds out by a scan.
	if _, err := a.cat.Log(testPath, 0, 0); !errors.Is(err, ErrTrimmed) {
		t.Fatalf("log: %v", err)
	}
	sp, err := a.cat.ScanKeys(testPath, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	dropped, _, err := b.cat.DroppedThere(testPath, nil, nil, sp.Records, sp.Seen)
	if err != nil || len(dropped) != 1 || !proto.Equal(dropped[0], old) {
		t.Fatalf("dropped there: %v %v", dropped, err)
	}
	// What is written next beats everything that was.
	if rec := a.put(101, "k", "new"); rec.GetGeneration() != 3 {
		t.Fatalf("next write: %v", rec)
	}
	a.check()
	b.check()
}

// A peer that has forgotten a tombstone takes in versions that lose against it; the
// site that still has the tombstone announces it again, once for what comes together.
// What comes later has it announced once more: the peer may have heard the first time
// before it had that version.
func TestTombstoneIsAnnouncedAgain(t *testing.T) {
	a, b, c := testSite(t, 1).makeBucket(1), testSite(t, 2).makeBucket(1), testSite(t, 3).makeBucket(1)
	tomb := content(5, 5, dot(3, 1, 2))
	tomb.Kind, tomb.Root = pb.RecordKind_RECORD_TOMBSTONE, nil
	take(a, c, nil, tomb)
	lost := content(2, 2, dot(4, 1, 1))
	// b has seen the tombstone, dropped it, and then taken the version.
	in := &pb.Ingest{Bucket: testPath, Peer: c.id.Bytes(), Cursor: at(2), Seen: vector(tomb.GetDot())}
	b.must(1, in)
	take(b, c, nil, lost)
	if b.body("k") != "" && b.head("k") == nil {
		t.Fatal("b does not have the version")
	}
	a.must(1, &pb.PeerProgress{Bucket: testPath, Peer: b.id.Bytes(), Cursor: &pb.Cursor{Epoch: 1, Incarnation: a.state().GetIncarnation(), Seq: 1, InitialDone: true}, Seen: b.seen()})
	for after := range uint64(2) {
		take(a, b, nil, lost, content(1, 1, dot(4, 1, 2)))
		log, err := a.cat.Log(testPath, 1+after, 0)
		if err != nil || len(log.Entries) != 1 || !log.Entries[0].Entry.GetAgain() {
			t.Fatalf("log: %v %v", log, err)
		}
		if !Offer(log.Entries[0].Entry, b.id, b.seen()) {
			t.Fatal("the tombstone is not offered")
		}
	}
	if res := take(b, a, nil, tomb); res.GetApplied() != 1 || Live(b.head("k")) {
		t.Fatalf("b after it: %v %v", res, b.head("k"))
	}
	// The tombstone goes with its last entry only.
	a.must(2000, &pb.PeerProgress{Bucket: testPath, Peer: b.id.Bytes()})
	a.must(1, &pb.Ingest{Bucket: testPath, Peer: c.id.Bytes(), Cursor: at(2), Seen: vector(tomb.GetDot())})
	for range 2 {
		if res := a.must(2000, &pb.Trim{Bucket: testPath, Before: 2000, Limit: 1}); res.GetApplied() != 1 || a.head("k") == nil {
			t.Fatalf("before the last entry: %v", res)
		}
	}
	a.must(2000, &pb.Trim{Bucket: testPath, Before: 2000})
	if a.head("k") != nil {
		t.Fatal("the tombstone is left")
	}
	for _, s := range []*site{a, b, c} {
		s.check()
	}
}

// A bucket deleted when a record had come whose place in the peer's log the cursor had
// not passed: the vector does not cover it, and what was deleted stays deleted when the
// bucket is made again.
func TestBucketDeletedBeforeTheVector(t *testing.T) {
	for _, versioning := range []pb.Versioning{pb.Versioning_VERSIONING_NEVER, pb.Versioning_VERSIONING_ENABLED} {
		a, b := testSite(t, 1).makeBucket(0), testSite(t, 2).makeBucket(0)
		if versioning != pb.Versioning_VERSIONING_NEVER {
			b.must(1, &pb.SetBucketAttribute{Bucket: testPath, Field: FieldVersioning, Value: &pb.Value{Versioning: versioning}})
		}
		v := b.put(1, "k", "one")
		take(a, b, nil, v)
		a.must(3, &pb.Purge{Bucket: testPath, Key: []byte("k"), Target: v.GetDot(), Inferred: !HasID(v)})
		remove := func(kept bool) {
			t.Helper()
			if res := a.run(step{cmd: &statepb.Bucket{Path: testPath}, remove: true})[0]; res.GetCode() != raftfsmpb.Code_OK {
				t.Fatalf("delete: %v", res)
			}
			a.check()
			if st, _ := a.cat.BucketAny(testPath); (st.GetTrimmed() < st.GetSeq()) != kept {
				t.Fatalf("the log is kept up to %d of %d", st.GetTrimmed(), st.GetSeq())
			}
		}
		remove(true)
		a.must(4, bucketObj(testPath, 0, 9))
		if take(a, b, nil, v); a.body("k") != "" {
			t.Fatal("the deleted key is back")
		}
		// The vector speaks for it once the cursor has passed it.
		a.must(5, &pb.Ingest{Bucket: testPath, Peer: b.id.Bytes(), Cursor: at(b.state().GetSeq()), Seen: b.seen()})
		remove(false)
	}
}

// A bucket deleted while its first copy was under way: what was deleted in it
// stays deleted when it is made again.
func TestBucketDeletedDuringInitialCopy(t *testing.T) {
	a, b := testSite(t, 1).makeBucket(2), testSite(t, 2).makeBucket(1)
	b.put(1, "k", "one")
	half := at(1)
	half.InitialDone, half.Scan = false, &pb.Scan{FirstSeq: 1, NextKey: []byte("l")}
	in := page(a, b, nil, half)
	a.must(2, in)
	a.del(3, "k")
	if v, err := a.cat.Versions(testPath, []byte("k")); err != nil || len(v) != 2 {
		t.Fatalf("versions: %v %v", v, err)
	}
	if res := a.run(step{cmd: &statepb.Bucket{Path: testPath}, remove: true})[0]; res.GetCode() != raftfsmpb.Code_OK {
		t.Fatalf("delete: %v", res)
	}
	a.check()
	a.must(4, bucketObj(testPath, 2, 9))
	if v, err := a.cat.Versions(testPath, []byte("k")); err != nil || len(v) != 1 || Live(v[0]) {
		t.Fatalf("versions: %v %v", v, err)
	}
	if take(a, b, nil, b.head("k")); a.body("k") != "" {
		t.Fatal("the deleted key is back")
	}
	// Until the copy is complete the tombstone stays, and goes then.
	if res := a.must(9, &pb.Trim{Bucket: testPath, Before: 9}); res.GetApplied() != 1 || a.head("k") == nil {
		t.Fatalf("trim: %v", res)
	}
	a.must(5, page(a, b, nil, at(1)))
	if st := a.state(); len(st.GetIncomplete()) != 0 {
		t.Fatalf("state: %v", st)
	}
	a.must(9, &pb.Trim{Bucket: testPath, Before: 9})
	if a.head("k") != nil {
		t.Fatal("the tombstone is left")
	}
	a.check()
}

// After a restore from a backup the epoch is higher: the site scans anew, takes
// back what it had written and lost, and its new records have new names.
func TestRestoredSite(t *testing.T) {
	a, b := testSite(t, 1).makeBucket(1), testSite(t, 2).makeBucket(1)
	b.put(1, "x", "x")
	a.must(2, page(a, b, nil, at(1)))
	first := a.put(3, "k", "one") // sequence 2: in the backup
	a.epoch = 2
	a.cat.SetSelf(a.id, 2, 2)
	old, err := a.cat.Cursor(testPath, b.id)
	if err != nil || old.GetSeq() != 1 || old.GetInitialDone() {
		t.Fatalf("cursor of the former epoch does not demand a scan: %v %v", old, err)
	}
	lost := content(2, 9, dot(1, 1, 3), first.GetDot())
	if v := a.decide(lost); v != Apply {
		t.Fatalf("an own record that was lost: %v", v)
	}
	if res := take(a, b, nil, first, lost); res.GetApplied() != 1 || idOf(a.head("k").GetDot()).seq != 3 {
		t.Fatalf("taking it back: %v", res)
	}
	if v := a.decide(content(1, 1, dot(1, 2, 50))); v != Invalid {
		t.Fatalf("a forged record: %v", v)
	}
	rec := a.put(10, "k", "two")
	if rec.GetDot().GetEpoch() != 2 || rec.GetDot().GetSeq() != 4 || rec.GetGeneration() != 3 {
		t.Fatalf("new record: %v", rec)
	}
	if got := a.seen(); !Covers(got, first.GetDot()) || Covers(got, lost.GetDot()) || !Covers(got, rec.GetDot()) {
		t.Fatalf("told: %v", got)
	}
	if now, err := a.cat.Cursor(testPath, b.id); err != nil || !proto.Equal(now, old) {
		t.Fatalf("cursor after the first write: %v %v", now, err)
	}
	a.must(11, page(a, b, old, at(1)))
	a.check()
}

// A site that has forgotten its own deletion with its bucket takes in a version that
// loses against it. The site that took the deletion from there, and has not heard of
// the other's progress since, announces it all the same: what came with the version,
// or the log that it came from, says that its sender knew of the deletion.
func TestDeletionForgottenByItsWriter(t *testing.T) {
	for name, tell := range map[string]func(in *pb.Ingest, a *site){
		"by a scan": func(in *pb.Ingest, a *site) {
			in.Cursor = &pb.Cursor{Epoch: 1, Incarnation: []byte{9}, Seq: 3, Scan: &pb.Scan{FirstSeq: 3, Seen: a.seen()}}
		},
		"by a scan under way": func(in *pb.Ingest, a *site) {
			c := &pb.Cursor{Epoch: 1, Incarnation: []byte{9}, Seq: 3, Scan: &pb.Scan{FirstSeq: 3, Seen: a.seen()}}
			in.Expect, in.Cursor = c, proto.CloneOf(c)
			in.Cursor.Scan.NextKey = []byte("z")
		},
		"by its log":                   func(in *pb.Ingest, a *site) { in.Cursor, in.Seen = at(3), a.seen() },
		"by a part of its log":         func(in *pb.Ingest, a *site) { in.Cursor = at(3) },
		"by a record that was pending": func(in *pb.Ingest, a *site) { in.Expect = at(3) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := testSite(t, 1).makeBucket(1), testSite(t, 2).makeBucket(1)
			a.put(1, "k", "old")
			tomb := a.del(2, "k")
			take(b, a, nil, tomb)
			in := &pb.Ingest{Bucket: testPath, Peer: a.id.Bytes(), Records: []*pb.Record{content(1, 1, dot(4, 1, 1))}}
			tell(in, a)
			if in.Expect != nil {
				b.must(3, &pb.Ingest{Bucket: testPath, Peer: a.id.Bytes(), Cursor: in.Expect})
			}
			b.must(4, in)
			log, err := b.cat.Log(testPath, 1, 0)
			if err != nil || len(log.Entries) != 1 || !sameDot(log.Entries[0].Record, tomb.GetDot()) || !Offer(log.Entries[0].Entry, a.id, a.seen()) {
				t.Fatalf("log: %v %v", log, err)
			}
			b.check()
		})
	}
}

// A scan that learns is counted when it has ended, for the peer that it read, and only
// if this site covers more for it.
func TestLearned(t *testing.T) {
	a, b := testSite(t, 1).makeBucket(1), testSite(t, 2).makeBucket(1)
	scanning := func(learns bool) *pb.Cursor {
		c := at(5)
		c.InitialDone, c.Scan = false, &pb.Scan{Learns: learns}
		return c
	}
	var stored *pb.Cursor
	step := func(next *pb.Cursor, seen ...*pb.Dot) uint64 {
		t.Helper()
		a.must(1, &pb.Ingest{Bucket: testPath, Peer: b.id.Bytes(), Expect: stored, Cursor: next, Seen: vector(seen...)})
		stored = next
		if n := LearnedElsewhere(a.state().GetLearned(), b.id); n != 0 {
			t.Errorf("%d are told to the peer itself", n)
		}
		return LearnedElsewhere(a.state().GetLearned(), siteID(9))
	}
	for i, c := range []struct {
		next *pb.Cursor
		seen []*pb.Dot
		want uint64
	}{
		{scanning(true), nil, 0},
		{at(5), []*pb.Dot{dot(3, 1, 7)}, 1},
		{at(6), []*pb.Dot{dot(3, 1, 8)}, 1}, // by the log
		{scanning(false), nil, 1},
		{at(6), []*pb.Dot{dot(3, 1, 9)}, 1}, // it made sure
		{scanning(true), nil, 1},
		{at(6), []*pb.Dot{dot(3, 1, 9)}, 1}, // nothing more
		{scanning(true), nil, 1},
		{at(6), []*pb.Dot{dot(4, 1, 1)}, 2},
	} {
		if got := step(c.next, c.seen...); got != c.want {
			t.Errorf("step %d: %d scans were counted, want %d", i, got, c.want)
		}
	}
}

// The end of a scan whose vector is untold leaves a mark with the cursor if the bucket
// is copied from others too, and only the end of a scan that makes sure takes it away.
func TestRecheck(t *testing.T) {
	scanning := func(untold bool) *pb.Cursor {
		c := at(5)
		c.InitialDone, c.Scan = false, &pb.Scan{Untold: untold}
		return c
	}
	part := at(6)
	part.InitialDone, part.Part = false, "once:"
	type step struct {
		next *pb.Cursor
		want bool
	}
	for name, c := range map[string]struct {
		others bool
		steps  []step
	}{
		"alone":        {false, []step{{scanning(true), false}, {at(6), false}}},
		"it made sure": {true, []step{{scanning(false), false}, {at(6), false}}},
		"a part":       {true, []step{{scanning(true), false}, {part, false}}},
		"marked": {true, []step{
			{scanning(true), false}, {at(6), true},
			{at(7), true}, // by the log
			{scanning(false), false}, {at(8), false},
		}},
		"untold again": {true, []step{{scanning(true), false}, {at(6), true}, {scanning(true), false}, {at(7), true}}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b, other := testSite(t, 1).makeBucket(1), testSite(t, 2).makeBucket(1), testSite(t, 3).makeBucket(1)
			if c.others {
				a.must(1, &pb.Ingest{Bucket: testPath, Peer: other.id.Bytes(), Cursor: at(1)})
			}
			var stored *pb.Cursor
			for i, s := range c.steps {
				a.must(1, &pb.Ingest{Bucket: testPath, Peer: b.id.Bytes(), Expect: stored, Cursor: s.next})
				got, err := a.cat.Cursor(testPath, b.id)
				if err != nil {
					t.Fatal(err)
				}
				if got.GetRecheck() != s.want {
					t.Errorf("step %d: recheck %v, want %v", i, got.GetRecheck(), s.want)
				}
				stored = s.next
			}
		})
	}
}
