package catalog

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

const (
	none       = pb.RetentionMode_RETENTION_NONE
	governance = pb.RetentionMode_RETENTION_GOVERNANCE
	compliance = pb.RetentionMode_RETENTION_COMPLIANCE
)

// attrCmd sets an attribute of the version of a key; nil is the null version.
func attrCmd(key string, target *pb.Dot, field string, v *pb.Value) *pb.SetAttribute {
	return &pb.SetAttribute{Bucket: testPath, Key: []byte(key), Target: target, Field: field, Value: v}
}

func bypassing(cmd *pb.SetAttribute) *pb.SetAttribute {
	cmd.Bypass = true
	return cmd
}

func (s *site) hold(now int64, r *pb.Record, on bool) *pb.Record {
	s.t.Helper()
	return s.must(now, attrCmd(string(r.GetKey()), targetOf(r), FieldHold, &pb.Value{Hold: on})).GetRecord()
}

func (s *site) retain(now int64, r *pb.Record, mode pb.RetentionMode, until int64) *pb.Record {
	s.t.Helper()
	return s.must(now, attrCmd(string(r.GetKey()), targetOf(r), FieldRetention, &pb.Value{Mode: mode, Until: until})).GetRecord()
}

func TestLockRules(t *testing.T) {
	for _, c := range []struct {
		name          string
		lock          Lock
		now           int64
		plain, bypass bool // whether a removal is forbidden
	}{
		{"no lock", Lock{}, 5, false, false},
		{"hold", Lock{Hold: true}, 5, true, true},
		{"governance", Lock{Mode: governance, Until: 6}, 5, true, false},
		{"governance, over", Lock{Mode: governance, Until: 5}, 5, false, false},
		{"compliance", Lock{Mode: compliance, Until: 6}, 5, true, true},
		{"compliance, over", Lock{Mode: compliance, Until: 5}, 5, false, false},
		{"compliance over, hold", Lock{Mode: compliance, Until: 5, Hold: true}, 5, true, true},
	} {
		if (c.lock.Forbids(c.now, false) != "") != c.plain || (c.lock.Forbids(c.now, true) != "") != c.bypass {
			t.Errorf("%s: forbids %q, with bypass %q", c.name, c.lock.Forbids(c.now, false), c.lock.Forbids(c.now, true))
		}
	}
	for _, c := range []struct {
		name          string
		lock          Lock
		mode          pb.RetentionMode
		until         int64
		plain, bypass bool // whether it is too weak
	}{
		{"from nothing", Lock{}, governance, 9, false, false},
		{"over", Lock{Mode: compliance, Until: 5}, none, 0, false, false},
		{"governance longer", Lock{Mode: governance, Until: 9}, governance, 10, false, false},
		{"governance shorter", Lock{Mode: governance, Until: 9}, governance, 8, true, false},
		{"governance lifted", Lock{Mode: governance, Until: 9}, none, 0, true, false},
		{"governance to compliance", Lock{Mode: governance, Until: 9}, compliance, 9, false, false},
		{"governance to shorter compliance", Lock{Mode: governance, Until: 9}, compliance, 8, true, false},
		{"compliance longer", Lock{Mode: compliance, Until: 9}, compliance, 10, false, false},
		{"compliance shorter", Lock{Mode: compliance, Until: 9}, compliance, 8, true, true},
		{"compliance to governance", Lock{Mode: compliance, Until: 9}, governance, 10, true, true},
		{"compliance lifted", Lock{Mode: compliance, Until: 9}, none, 0, true, true},
	} {
		if (c.lock.Weakens(c.mode, c.until, 5, false) != "") != c.plain || (c.lock.Weakens(c.mode, c.until, 5, true) != "") != c.bypass {
			t.Errorf("%s: %q, with bypass %q", c.name, c.lock.Weakens(c.mode, c.until, 5, false), c.lock.Weakens(c.mode, c.until, 5, true))
		}
	}
}

func TestEffectiveLock(t *testing.T) {
	own := func(mode pb.RetentionMode, until int64, hold bool) *pb.Record {
		return &pb.Record{Lock: &pb.Lock{Mode: mode, Until: until, Hold: hold}}
	}
	hold := func(on bool) *pb.Record { return &pb.Record{Field: FieldHold, Value: &pb.Value{Hold: on}} }
	retention := func(mode pb.RetentionMode, until int64) *pb.Record {
		return &pb.Record{Field: FieldRetention, Value: &pb.Value{Mode: mode, Until: until}}
	}
	for _, c := range []struct {
		name       string
		version    *pb.Record
		attributes []*pb.Record
		want       Lock
	}{
		{"nothing", &pb.Record{}, nil, Lock{}},
		{"its own", own(governance, 9, true), nil, Lock{governance, 9, true}},
		{"hold lifted", own(governance, 9, true), []*pb.Record{hold(false)}, Lock{governance, 9, false}},
		{"governance lifted", own(governance, 9, true), []*pb.Record{retention(none, 0)}, Lock{none, 0, true}},
		{"compliance longer", own(compliance, 9, false), []*pb.Record{retention(compliance, 10), hold(true)}, Lock{compliance, 10, true}},
		{"compliance shorter", own(compliance, 9, false), []*pb.Record{retention(compliance, 8)}, Lock{compliance, 9, false}},
		{"compliance lifted", own(compliance, 9, false), []*pb.Record{retention(governance, 20)}, Lock{compliance, 9, false}},
		{"tags", own(governance, 9, false), []*pb.Record{{Field: FieldTags, Value: &pb.Value{}}}, Lock{governance, 9, false}},
	} {
		if got := EffectiveLock(c.version, c.attributes); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		slices.Reverse(c.attributes)
		if got := EffectiveLock(c.version, c.attributes); got != c.want {
			t.Errorf("%s, in another order: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestVoided(t *testing.T) {
	attribute := func(generation uint64, field string, v *pb.Value) *pb.Record {
		return &pb.Record{Kind: pb.RecordKind_RECORD_ATTRIBUTE, Dot: dot(2, 1, generation), Generation: generation, Field: field, Value: v}
	}
	on, off := &pb.Value{Hold: true}, &pb.Value{}
	governed, complied := &pb.Value{Mode: governance, Until: 9}, &pb.Value{Mode: compliance, Until: 9}
	for _, c := range []struct {
		name    string
		purge   *pb.Record
		version *pb.Record
		here    []*pb.Record
		void    bool
	}{
		{"no lock", &pb.Record{At: 5}, &pb.Record{}, nil, false},
		{"a hold not known", &pb.Record{At: 5, Bypass: true}, &pb.Record{}, []*pb.Record{attribute(1, FieldHold, on)}, true},
		{"a hold lifted, not known", &pb.Record{At: 5}, &pb.Record{}, []*pb.Record{attribute(1, FieldHold, off)}, false},
		{"a hold known, and later lifted", &pb.Record{At: 5, Known: []*pb.Record{attribute(2, FieldHold, off)}}, &pb.Record{}, []*pb.Record{attribute(1, FieldHold, on)}, false},
		{"a hold newer than what is known", &pb.Record{At: 5, Known: []*pb.Record{attribute(1, FieldHold, off)}}, &pb.Record{}, []*pb.Record{attribute(2, FieldHold, on)}, true},
		{"retention known, hold not", &pb.Record{At: 5, Known: []*pb.Record{attribute(9, FieldRetention, governed)}}, &pb.Record{}, []*pb.Record{attribute(1, FieldHold, on)}, true},
		{"governance not known", &pb.Record{At: 5}, &pb.Record{}, []*pb.Record{attribute(1, FieldRetention, governed)}, true},
		{"governance not known, bypassed", &pb.Record{At: 5, Bypass: true}, &pb.Record{}, []*pb.Record{attribute(1, FieldRetention, governed)}, false},
		{"governance not known, over", &pb.Record{At: 9}, &pb.Record{}, []*pb.Record{attribute(1, FieldRetention, governed)}, false},
		{"compliance not known", &pb.Record{At: 5, Bypass: true}, &pb.Record{}, []*pb.Record{attribute(1, FieldRetention, complied)}, true},
		{"written with compliance", &pb.Record{At: 5, Bypass: true}, &pb.Record{Lock: &pb.Lock{Mode: compliance, Until: 9}}, nil, true},
		{"written with compliance, over", &pb.Record{At: 9}, &pb.Record{Lock: &pb.Lock{Mode: compliance, Until: 9}}, nil, false},
		{"written with governance, which the writer saw", &pb.Record{At: 5}, &pb.Record{Lock: &pb.Lock{Mode: governance, Until: 9}}, nil, false},
		{"tags not known", &pb.Record{At: 5}, &pb.Record{}, []*pb.Record{attribute(1, FieldTags, off)}, false},
	} {
		if why := Voided(c.purge, c.version, c.here); (why != "") != c.void {
			t.Errorf("%s: %q", c.name, why)
		}
	}
}

func TestLockedVersions(t *testing.T) {
	s := testSite(t, 1).makeBucket(0)
	s.put(1, "unlocked", "x")
	s.refused(raftfsmpb.Code_INVALID, 1, attrCmd("unlocked", nil, FieldHold, &pb.Value{Hold: true}))
	s.must(1, purgeCmd("unlocked", nil))
	s.locking(&pb.DefaultLock{})
	one := s.put(2, "k", "one")
	s.retain(3, one, governance, 100)
	cmd := purgeCmd("k", one.GetDot())
	s.refused(raftfsmpb.Code_LOCKED, 10, cmd)
	s.refused(raftfsmpb.Code_LOCKED, 10, attrCmd("k", one.GetDot(), FieldRetention, &pb.Value{Mode: governance, Until: 50}))
	s.refused(raftfsmpb.Code_INVALID, 10, bypassing(attrCmd("k", one.GetDot(), FieldRetention, &pb.Value{Mode: compliance, Until: 9})))
	s.must(10, bypassing(attrCmd("k", one.GetDot(), FieldRetention, &pb.Value{Mode: governance, Until: 50})))
	s.retain(11, one, compliance, 60)
	cmd.Bypass = true
	s.refused(raftfsmpb.Code_LOCKED, 59, cmd)
	s.hold(20, one, true)
	s.refused(raftfsmpb.Code_LOCKED, 70, cmd)
	v, err := s.cat.View(testPath, []byte("k"))
	if err != nil || v.Lock != (Lock{compliance, 60, true}) || !v.Latest {
		t.Fatalf("view: %+v %v", v, err)
	}
	s.del(21, "k") // a delete marker removes nothing
	s.hold(22, one, false)
	s.must(70, cmd)
	s.lists("k:-*")
	s.check()

	marker := s.head("k")
	if res := s.refused(raftfsmpb.Code_INVALID, 71, attrCmd("k", marker.GetDot(), FieldTags, &pb.Value{})); !res.GetMarker() {
		t.Fatalf("an attribute of a delete marker: %v", res)
	}
	s.refused(raftfsmpb.Code_NOT_FOUND, 71, attrCmd("k", dot(9, 1, 1), FieldTags, &pb.Value{}))
	s.refused(raftfsmpb.Code_NOT_FOUND, 71, attrCmd("k", nil, FieldTags, &pb.Value{}))
	s.refused(raftfsmpb.Code_INVALID, 71, attrCmd("k", marker.GetDot(), "colour", &pb.Value{}))
}

// TestDefaultRetention: versions get the retention of their bucket, unless they
// bring one.
func TestDefaultRetention(t *testing.T) {
	s := testSite(t, 1).makeBucket(0)
	w := putCmd("k", "x")
	w.Record.Lock = &pb.Lock{Hold: true}
	s.refused(raftfsmpb.Code_INVALID, 1, w)
	s.locking(&pb.DefaultLock{Mode: governance, Days: 2})
	const day = int64(24 * time.Hour)
	if got := s.put(1000, "k", "x").GetLock(); !proto.Equal(got, &pb.Lock{Mode: governance, Until: 1000 + 2*day}) {
		t.Fatalf("default: %v", got)
	}
	if got := s.must(1000, w).GetRecord().GetLock(); !proto.Equal(got, &pb.Lock{Mode: governance, Until: 1000 + 2*day, Hold: true}) {
		t.Fatalf("default and hold: %v", got)
	}
	w.Record.Lock = &pb.Lock{Mode: compliance, Until: 2000}
	if got := s.must(1000, w).GetRecord().GetLock(); !proto.Equal(got, w.Record.Lock) {
		t.Fatalf("its own: %v", got)
	}
	s.refused(raftfsmpb.Code_INVALID, 2000, w)
	s.locking(&pb.DefaultLock{Mode: compliance, Years: 1})
	if got := s.put(1000, "k", "x").GetLock(); got.GetUntil() != 1000+365*day || got.GetMode() != compliance {
		t.Fatalf("years: %v", got)
	}
	if got := s.del(2000, "k").GetLock(); got != nil {
		t.Fatalf("a delete marker is locked: %v", got)
	}
}

// TestLockedNull: the null version can be locked once the bucket has object lock;
// what would take its place is refused here, and kept beside it from elsewhere.
func TestLockedNull(t *testing.T) {
	s := testSite(t, 1).makeBucket(0)
	null := s.put(1, "k", "null")
	s.locking(&pb.DefaultLock{})
	s.hold(2, null, true)
	s.refused(raftfsmpb.Code_LOCKED, 3, purgeCmd("k", nil))
	over := content(9, 9, dot(2, 1, 1))
	take(s, &site{id: siteID(2)}, nil, over)
	if all, err := s.cat.Versions(testPath, []byte("k")); err != nil || len(all) != 2 {
		t.Fatalf("kept: %v %v", all, err)
	}
	s.lists("k:~*")

	// A purge of the null version by a site that did not know of a lock.
	s.hold(4, over, true)
	purge := &pb.Record{Key: []byte("k"), Kind: pb.RecordKind_RECORD_PURGE, Target: over.GetDot(), Dot: dot(2, 1, 2), Generation: 9, Time: 10, At: 5,
		Context: []*pb.Dot{over.GetDot()}}
	take(s, &site{id: siteID(2)}, nil, purge)
	s.lists("k:~*")
	v, err := s.cat.Version(testPath, []byte("k"), nil)
	if err != nil || !v.Lock.Hold || v.Record.GetDot().GetOrigin()[15] != 1 || v.Record.GetRoot().GetSize() != 1 {
		t.Fatalf("written again: %+v %v", v, err)
	}
	// The same, inferred from a scan.
	before := v.Record
	s.must(6, Follow(testPath, before).GetPurge())
	v, err = s.cat.Version(testPath, []byte("k"), nil)
	if err != nil || !v.Lock.Hold || Compare(v.Record, before) <= 0 {
		t.Fatalf("written again: %+v %v", v, err)
	}
	s.check()
}

// TestRevokedPurge: a purge that did not know of a hold is revoked, and who has
// carried it out gets the version back with its attributes.
func TestRevokedPurge(t *testing.T) {
	a, b := testSite(t, 1).makeBucket(0), testSite(t, 2).makeBucket(0)
	for _, s := range []*site{a, b} {
		s.locking(&pb.DefaultLock{})
	}
	v := a.put(2, "k", "one")
	tags := a.must(3, attrCmd("k", v.GetDot(), FieldTags, &pb.Value{Tags: map[string]string{"x": "1"}})).GetRecord()
	take(b, a, nil, tags, v) // the attribute waits for its version
	if got, err := b.cat.View(testPath, []byte("k")); err != nil || got.Tags["x"] != "1" {
		t.Fatalf("attributes that came first: %+v %v", got, err)
	}
	b.hold(4, v, true)
	purge := a.must(5, purgeCmd("k", v.GetDot())).GetRecord()
	a.lists()
	from := b.state().GetSeq()
	take(b, a, nil, purge)
	b.lists("k:one*")
	page, err := b.cat.Log(testPath, from, 0)
	if err != nil || len(page.Entries) != 2 || !page.Entries[0].Record.GetRevoked() || !page.Entries[1].Entry.GetAgain() {
		t.Fatalf("log: %+v %v", page, err)
	}
	back := page.Entries[1].Record
	if scan, err := b.cat.ScanKeys(testPath, []byte("k"), 0); err != nil || !proto.Equal(scan.Records[len(scan.Records)-1], back) {
		t.Fatalf("scan: %v %v", scan, err)
	}
	if by, err := b.cat.ByDot(testPath, v.GetDot()); err != nil || !proto.Equal(by, back) {
		t.Fatalf("by dot: %v %v", by, err)
	}
	// The version alone is enough: it brings the revocation and the attributes.
	if verdicts, _, err := a.cat.Decide(testPath, []*pb.Record{v, back}); err != nil || verdicts[0] != Superseded || verdicts[1] != Apply {
		t.Fatalf("verdicts: %v %v", verdicts, err)
	}
	take(a, b, nil, back, page.Entries[0].Record)
	a.lists("k:one*")
	got, err := a.cat.View(testPath, []byte("k"))
	if err != nil || got.Tags["x"] != "1" || !got.Lock.Hold || len(got.Record.GetKnown()) != 0 {
		t.Fatalf("taken back: %+v %v", got, err)
	}
	// Other sites have carried the purge out too, and have seen the version.
	end := a.state().GetSeq()
	if again, err := a.cat.Log(testPath, end-1, 0); err != nil || !again.Entries[0].Entry.GetAgain() || len(again.Entries[0].Record.GetKnown()) != 3 {
		t.Fatalf("the version is not announced again: %+v %v", again, err)
	}
	// A purge in knowledge of all that ends it.
	a.hold(8, v, false)
	last := a.must(9, purgeCmd("k", v.GetDot())).GetRecord()
	page, err = a.cat.Log(testPath, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range page.Entries {
		if item.Record != nil {
			take(b, a, nil, item.Record)
		}
	}
	b.lists()
	a.lists()
	if reg := b.must(10, purgeCmd("k", v.GetDot())); reg.GetRemoved() || !last.GetBypass() && last.GetRevoked() {
		t.Fatalf("what is left: %v", reg)
	}
}

// A site that has carried a purge out hears of its revocation, gets the version from a
// peer that lacks its attributes as well, and then from the one that revoked the purge:
// the attributes come along, and go on to those who cover them.
func TestRevokedPurgeBringsAttributesLate(t *testing.T) {
	a, b, c := testSite(t, 1).makeBucket(0), testSite(t, 2).makeBucket(0), testSite(t, 3).makeBucket(0)
	for _, s := range []*site{a, b, c} {
		s.locking(&pb.DefaultLock{})
	}
	v := a.put(2, "k", "one")
	take(b, a, nil, v)
	hold := b.hold(4, v, true)
	purge := a.must(5, purgeCmd("k", v.GetDot())).GetRecord()
	take(a, b, nil, hold) // too late: it is dropped, and covered from now on
	from := b.state().GetSeq()
	take(b, a, nil, purge)
	page, err := b.cat.Log(testPath, from, 0)
	if err != nil || len(page.Entries) != 2 {
		t.Fatalf("log: %+v %v", page, err)
	}
	revocation, back := page.Entries[0].Record, page.Entries[1].Record

	take(a, c, nil, revocation, v)
	if got, err := a.cat.View(testPath, []byte("k")); err != nil || got.Lock.Hold {
		t.Fatalf("without its attributes: %+v %v", got, err)
	}
	end := a.state().GetSeq()
	for range 2 { // the second time it is no news
		take(a, b, nil, back)
		got, err := a.cat.View(testPath, []byte("k"))
		if err != nil || !got.Lock.Hold {
			t.Fatalf("with its attributes: %+v %v", got, err)
		}
		page, err := a.cat.Log(testPath, end, 0)
		if err != nil || len(page.Entries) != 1 || !page.Entries[0].Entry.GetAgain() || !Offer(page.Entries[0].Entry, c.id, vector(hold.GetDot())) {
			t.Fatalf("log: %+v %v", page, err)
		}
	}
}
