package catalog

import (
	"testing"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

func settingCmd(field string, v *pb.Value) *pb.SetBucketAttribute {
	return &pb.SetBucketAttribute{Bucket: testPath, Field: field, Value: v}
}

func TestSettings(t *testing.T) {
	versioning := func(v pb.Versioning) *pb.SetBucketAttribute {
		return settingCmd(FieldVersioning, &pb.Value{Versioning: v})
	}
	lock := func(l *pb.DefaultLock) *pb.SetBucketAttribute { return settingCmd(FieldLock, &pb.Value{Lock: l}) }
	s := testSite(t, 1).makeBucket(0)
	s.refused(raftfsmpb.Code_NOT_FOUND, 1, &pb.SetBucketAttribute{Bucket: "Hawaii/Cola/none", Field: FieldTags})
	s.refused(raftfsmpb.Code_INVALID, 1, lock(&pb.DefaultLock{Enabled: true})) // without versioning
	s.refused(raftfsmpb.Code_INVALID, 1, versioning(pb.Versioning_VERSIONING_NEVER))
	s.refused(raftfsmpb.Code_INVALID, 1, settingCmd("colour", &pb.Value{}))
	s.refused(raftfsmpb.Code_INVALID, 1, settingCmd(FieldCORS, &pb.Value{Cors: make([]byte, MaxCORS+1)}))
	s.refused(raftfsmpb.Code_INVALID, 1, settingCmd(FieldTags, &pb.Value{Tags: map[string]string{"": "x"}}))
	s.must(2, versioning(enabled))
	s.must(3, versioning(suspended))
	s.must(4, versioning(enabled))
	for _, l := range []*pb.DefaultLock{
		{}, {Enabled: true, Days: 1}, {Enabled: true, Mode: governance}, {Enabled: true, Mode: governance, Days: 1, Years: 1},
		{Enabled: true, Mode: 7, Days: 1}, {Enabled: true, Mode: compliance, Years: 101},
	} {
		s.refused(raftfsmpb.Code_INVALID, 5, lock(l))
	}
	s.must(5, lock(&pb.DefaultLock{Enabled: true}))
	s.refused(raftfsmpb.Code_INVALID, 6, versioning(suspended))
	s.must(6, lock(&pb.DefaultLock{Enabled: true, Mode: governance, Days: 1}))
	s.must(7, settingCmd(FieldTags, &pb.Value{Tags: map[string]string{"a": "1"}, Cors: []byte("not of this field")}))
	s.must(8, settingCmd(FieldCORS, &pb.Value{Cors: []byte("rules")}))
	got, err := s.cat.BucketAttributes(testPath)
	if err != nil || got.Versioning != enabled || got.Tags["a"] != "1" || string(got.CORS) != "rules" ||
		!proto.Equal(got.Lock, &pb.DefaultLock{Enabled: true, Mode: governance, Days: 1}) {
		t.Fatalf("settings: %+v %v", got, err)
	}
	s.must(9, settingCmd(FieldTags, nil))
	if got, err := s.cat.BucketAttributes(testPath); err != nil || len(got.Tags) != 0 {
		t.Fatalf("tags that were cleared: %+v %v", got, err)
	}
	s.check()

	// They come first of a scan, and go on to other sites whatever those have seen.
	page, err := s.cat.ScanKeys(testPath, nil, 0)
	if err != nil || len(page.Records) != 4 {
		t.Fatalf("scan: %v %v", page, err)
	}
	other := testSite(t, 2).makeBucket(0)
	other.must(20, &pb.Ingest{Bucket: testPath, Peer: s.id.Bytes(), Cursor: at(9), Seen: page.Seen})
	take(other, s, nil, page.Records...)
	if got, err := other.cat.BucketAttributes(testPath); err != nil || got.Versioning != enabled || string(got.CORS) != "rules" || !got.Lock.GetEnabled() {
		t.Fatalf("settings elsewhere: %+v %v", got, err)
	}
	if verdicts, _, err := other.cat.Decide(testPath, page.Records); err != nil || verdicts[0] != Here {
		t.Fatalf("again: %v %v", verdicts, err)
	}
	other.check()
	take(s, other, nil, other.must(30, settingCmd(FieldCORS, &pb.Value{Cors: []byte("later")})).GetRecord())
	if got, err := s.cat.BucketAttributes(testPath); err != nil || string(got.CORS) != "later" {
		t.Fatalf("the last writer does not win: %+v %v", got, err)
	}
}

// TestSettingsMeet: of a suspension of versioning and object lock that were set at
// one time at two sites, the lock wins, at both.
func TestSettingsMeet(t *testing.T) {
	a, b := testSite(t, 1).makeBucket(0), testSite(t, 2).makeBucket(0)
	first := a.must(1, settingCmd(FieldVersioning, &pb.Value{Versioning: enabled})).GetRecord()
	take(b, a, nil, first)
	lock := a.must(2, settingCmd(FieldLock, &pb.Value{Lock: &pb.DefaultLock{Enabled: true}})).GetRecord()
	off := b.must(3, settingCmd(FieldVersioning, &pb.Value{Versioning: suspended})).GetRecord()
	take(a, b, nil, off)
	take(b, a, nil, lock)
	for _, s := range []*site{a, b} {
		if got, err := s.cat.BucketAttributes(testPath); err != nil || got.Versioning != enabled || !got.Lock.GetEnabled() {
			t.Fatalf("site %s: %+v %v", s.id, got, err)
		}
		if r := s.put(9, "k", "x"); !HasID(r) {
			t.Fatalf("site %s wrote %v", s.id, r)
		}
		s.check()
	}
}

// TestSettingsOfADeletedBucket: they go with the bucket.
func TestSettingsOfADeletedBucket(t *testing.T) {
	s := testSite(t, 1).makeBucket(0).locking(&pb.DefaultLock{})
	for _, unfinished := range []bool{false, true} {
		if unfinished {
			s.must(2, &pb.Ingest{Bucket: testPath, Peer: siteID(2).Bytes(), Cursor: at(1)}) // a first copy is under way
		}
		s.versioning(enabled)
		v := s.put(3, "k", "x")
		s.must(4, attrCmd("k", v.GetDot(), FieldTags, &pb.Value{Tags: map[string]string{"a": "1"}}))
		s.must(5, purgeCmd("k", v.GetDot()))
		if res := s.run(step{now: 6, cmd: bucketObj(testPath, 0, 1), remove: true})[0]; res.GetCode() != raftfsmpb.Code_OK {
			t.Fatalf("delete bucket: %v", res)
		}
		s.check()
		s.makeBucket(0)
		if got, err := s.cat.BucketAttributes(testPath); err != nil || got.Versioning != pb.Versioning_VERSIONING_NEVER || got.Lock.GetEnabled() {
			t.Fatalf("unfinished %v: %+v %v", unfinished, got, err)
		}
		s.check()
	}
}

func TestQuota(t *testing.T) {
	s := testSite(t, 1)
	limited := bucketObj(testPath, 0, 1)
	limited.Quota = 10
	s.must(1, limited)
	other := "Hawaii/Cola/bk2"
	s.must(1, bucketObj(other, 0, 2))
	size := func(n uint64, key string) *pb.Write {
		w := putCmd(key, "x")
		w.Record.Root.Size = n
		return w
	}
	s.must(2, size(10, "k"))
	s.refused(raftfsmpb.Code_QUOTA, 3, size(1, "l"))
	s.must(3, size(0, "l")) // an empty object takes no room
	s.must(3, size(7, "k")) // in place of the ten
	s.must(3, size(3, "l"))
	s.refused(raftfsmpb.Code_QUOTA, 3, size(4, "l"))
	if got := s.state().GetStored(); got != 10 {
		t.Fatalf("%d bytes are stored", got)
	}
	// A version takes no other's place.
	s.versioning(enabled)
	s.refused(raftfsmpb.Code_QUOTA, 4, size(1, "k"))
	s.must(5, purgeCmd("k", nil))
	v := s.must(6, size(7, "k")).GetRecord()
	s.refused(raftfsmpb.Code_QUOTA, 6, size(1, "k"))
	// What comes from elsewhere is not refused.
	r := content(9, 9, dot(2, 1, 1))
	r.Root.Size = 100
	take(s, &site{id: siteID(2)}, nil, r)
	if got := s.state().GetStored(); got != 110 {
		t.Fatalf("%d bytes are stored", got)
	}
	// Above the quota already: what does not grow is let through.
	s.versioning(suspended)
	s.must(7, size(99, "k"))
	s.refused(raftfsmpb.Code_QUOTA, 7, size(100, "k"))
	s.must(8, purgeCmd("k", v.GetDot()))
	s.must(8, purgeCmd("k", nil))
	s.check()

	// The tenant's holds for all of its buckets together, also within one batch.
	limited.Quota = 0
	s.must(9, limited)
	for _, path := range []string{testPath, other} {
		batch := s.db.NewIndexedBatch()
		b := s.cat.Begin(batch)
		if res := b.LimitTenant(path, 20); res.GetCode() != raftfsmpb.Code_OK {
			t.Fatal(res)
		}
		s.commit(b, batch)
	}
	if got := s.cat.tenants["Hawaii/Cola"]; got != 3 {
		t.Fatalf("the tenant stores %d bytes", got)
	}
	there := size(17, "k")
	there.Bucket = other
	res := s.run(step{now: 10, cmd: there}, step{now: 10, cmd: size(1, "k")})
	if res[0].GetCode() != raftfsmpb.Code_OK || res[1].GetCode() != raftfsmpb.Code_QUOTA {
		t.Fatalf("in one batch: %v", res)
	}
	if got := s.cat.tenants["Hawaii/Cola"]; got != 20 {
		t.Fatalf("the tenant stores %d bytes", got)
	}
	s.refused(raftfsmpb.Code_QUOTA, 11, size(1, "k"))
	loaded, err := New(s.db)
	if err != nil || loaded.tenants["Hawaii/Cola"] != 20 {
		t.Fatalf("loaded: %v", err)
	}
}
