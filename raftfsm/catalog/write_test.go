package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

func TestWrite(t *testing.T) {
	s := testSite(t, 1).makeBucket(2)
	first := s.put(100, "k", "one")
	if first.GetGeneration() != 1 || first.GetTime() != 100 || idOf(first.GetDot()) != (dotID{s.id, 1, 1}) || len(first.GetContext()) != 0 {
		t.Fatalf("first version: %v", first)
	}
	second := s.put(50, "k", "two") // the clock went back
	if second.GetGeneration() != 2 || second.GetTime() != 101 || !sameDot(first, second.GetContext()[0]) {
		t.Fatalf("second version: %v", second)
	}
	third := s.del(200, "k")
	if third.GetGeneration() != 3 || len(third.GetContext()) != 1 || third.GetContext()[0].GetSeq() != 2 || third.GetRoot() != nil {
		t.Fatalf("tombstone: %v", third)
	}
	versions, err := s.cat.Versions(testPath, []byte("k"))
	if err != nil || len(versions) != 2 || Live(versions[0]) || versions[1].GetEtag() != "two" {
		t.Fatalf("kept: %v %v", versions, err)
	}
	if rec := s.del(300, "k"); rec != nil {
		t.Fatalf("deleting a deleted key made %v", rec)
	}
	if rec := s.del(300, "other"); rec != nil {
		t.Fatalf("deleting no key made %v", rec)
	}
	if got, err := s.cat.ByDot(testPath, second.GetDot()); err != nil || !proto.Equal(got, second) {
		t.Fatalf("by dot: %v %v", got, err)
	}
	if _, err := s.cat.ByDot(testPath, first.GetDot()); !errors.Is(err, ErrNoRecord) {
		t.Fatalf("a dropped record by dot: %v", err)
	}
	if st := s.state(); st.GetObjects() != 0 || st.GetBytes() != 0 || st.GetSeq() != 3 {
		t.Fatalf("state: %v", st)
	}
	s.put(400, "k", "three")
	s.put(400, "l", "xx")
	if st := s.state(); st.GetObjects() != 2 || st.GetBytes() != 7 {
		t.Fatalf("state: %v", st)
	}
	s.check()
}

func TestWriteConditions(t *testing.T) {
	s := testSite(t, 1).makeBucket(1)
	rec := s.put(1, "live", "etag")
	s.put(1, "dead", "gone")
	dead := s.del(2, "dead")
	for _, c := range []struct {
		name, key string
		cond      *pb.Conditions
		ok        bool
	}{
		{"match", "live", &pb.Conditions{IfMatch: "etag"}, true},
		{"match, other", "live", &pb.Conditions{IfMatch: "other"}, false},
		{"match any", "live", &pb.Conditions{IfMatch: "*"}, true},
		{"match any, absent", "none", &pb.Conditions{IfMatch: "*"}, false},
		{"match any, deleted", "dead", &pb.Conditions{IfMatch: "*"}, false},
		{"match, deleted", "dead", &pb.Conditions{IfMatch: "gone"}, false},
		{"none match", "live", &pb.Conditions{IfNoneMatch: "etag"}, false},
		{"none match, other", "live", &pb.Conditions{IfNoneMatch: "other"}, true},
		{"none match any", "live", &pb.Conditions{IfNoneMatch: "*"}, false},
		{"none match any, absent", "none", &pb.Conditions{IfNoneMatch: "*"}, true},
		{"none match any, deleted", "dead", &pb.Conditions{IfNoneMatch: "*"}, true},
		{"head", "live", &pb.Conditions{Head: rec.GetDot()}, true},
		{"head, other", "live", &pb.Conditions{Head: dead.GetDot()}, false},
		{"head, absent", "none", &pb.Conditions{Head: dead.GetDot()}, false},
		{"head, deleted", "dead", &pb.Conditions{Head: dead.GetDot()}, true},
		{"both, one fails", "live", &pb.Conditions{IfMatch: "etag", IfNoneMatch: "*"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if why := unmet(c.cond, s.head(c.key)); (why == "") != c.ok {
				t.Fatalf("unmet: %q", why)
			}
			if c.ok {
				return
			}
			w := putCmd(c.key, "new")
			w.Conditions = c.cond
			res := s.refused(raftfsmpb.Code_CONFLICT, 9, w)
			if !proto.Equal(res.GetRecord(), s.head(c.key)) {
				t.Fatalf("result has %v, not the head", res.GetRecord())
			}
		})
	}
	w := putCmd("live", "new")
	w.Conditions = &pb.Conditions{IfMatch: "etag", Head: rec.GetDot()}
	s.must(10, w)
	s.check()
}

// Within one batch a command sees what the ones before it did.
func TestBatchSeesItself(t *testing.T) {
	s := testSite(t, 1)
	onlyNew := putCmd("k", "two")
	onlyNew.Conditions = &pb.Conditions{IfNoneMatch: "*"}
	results := s.run(
		step{now: 1, cmd: bucketObj(testPath, 3, 1)},
		step{now: 2, cmd: putCmd("k", "one")},
		step{now: 3, cmd: onlyNew},
		step{now: 4, cmd: putCmd("k", "three")},
		step{now: 5, cmd: delCmd("k")},
		step{now: 6, cmd: &statepb.Bucket{Path: testPath}, remove: true},
		step{now: 7, cmd: putCmd("k", "four")},
		step{now: 8, cmd: bucketObj(testPath, 3, 2)},
		step{now: 9, cmd: putCmd("k", "five")},
	)
	var codes []string
	for _, r := range results {
		codes = append(codes, r.GetCode().String())
	}
	if got := strings.Join(codes, " "); got != "OK OK CONFLICT OK OK OK NOT_FOUND OK OK" {
		t.Fatalf("codes: %s", got)
	}
	if v, err := s.cat.Versions(testPath, []byte("k")); err != nil || len(v) != 1 || v[0].GetGeneration() != 4 || v[0].GetDot().GetSeq() != 4 {
		t.Fatalf("after the bucket was made again: %v %v", v, err)
	}
	s.check()
}

func TestWriteRefuses(t *testing.T) {
	s := testSite(t, 1).makeBucket(1)
	edit := func(f func(*pb.Write)) *pb.Write { w := putCmd("k", "x"); f(w); return w }
	for _, c := range []struct {
		name string
		code raftfsmpb.Code
		cmd  *pb.Write
	}{
		{"no bucket", raftfsmpb.Code_NOT_FOUND, edit(func(w *pb.Write) { w.Bucket = "Hawaii/Cola/none" })},
		{"no record", raftfsmpb.Code_INVALID, &pb.Write{Bucket: testPath}},
		{"no key", raftfsmpb.Code_INVALID, edit(func(w *pb.Write) { w.Record.Key = nil })},
		{"long key", raftfsmpb.Code_INVALID, edit(func(w *pb.Write) { w.Record.Key = bytes.Repeat([]byte("x"), MaxKey+1) })},
		{"no kind", raftfsmpb.Code_INVALID, edit(func(w *pb.Write) { w.Record.Kind = 0 })},
		{"root", raftfsmpb.Code_INVALID, edit(func(w *pb.Write) { w.Record.Root.Id = []byte("x") })},
		{"size", raftfsmpb.Code_INVALID, edit(func(w *pb.Write) { w.Record.Root.Size = MaxObjectSize + 1 })},
		{"metadata", raftfsmpb.Code_INVALID, edit(func(w *pb.Write) { w.Record.Metadata["x"] = strings.Repeat("x", MaxRecordSize) })},
		{"upload", raftfsmpb.Code_NOT_FOUND, edit(func(w *pb.Write) { w.Upload = "none" })},
	} {
		t.Run(c.name, func(t *testing.T) { s.refused(c.code, 1, c.cmd) })
	}
	s.cat.SetSelf(siteID(0), 0, 0)
	s.cat.SetSelf([16]byte{}, 0, 0)
	s.refused(raftfsmpb.Code_INVALID, 1, putCmd("k", "x"))
}

// A deletion on the condition of a head loses against what another site wrote
// over that head meanwhile; one without does not.
func TestDeletionOfOneRecord(t *testing.T) {
	for _, c := range []struct {
		name string
		cond bool
		want string
	}{{"of one record", true, "two"}, {"of the key", false, ""}} {
		t.Run(c.name, func(t *testing.T) {
			a, b := testSite(t, 1).makeBucket(1), testSite(t, 2).makeBucket(1)
			rec := a.put(10, "k", "one")
			take(b, a, nil, rec)
			newer := a.put(20, "k", "two")
			w := delCmd("k")
			if c.cond {
				w.Conditions = &pb.Conditions{Head: rec.GetDot()}
			}
			gone := b.must(30, w).GetRecord()
			take(b, a, nil, newer)
			take(a, b, nil, gone)
			if a.body("k") != c.want || b.body("k") != c.want {
				t.Fatalf("heads %q and %q, want %q", a.body("k"), b.body("k"), c.want)
			}
			a.check()
			b.check()
		})
	}
}

// take ingests records of a peer without touching the cursor.
func take(to, from *site, hold []*pb.Record, records ...*pb.Record) *raftfsmpb.Result {
	in := &pb.Ingest{Bucket: testPath, Peer: from.id.Bytes(), Records: records}
	for _, r := range hold {
		in.Hold = append(in.Hold, &pb.Pending{Record: r, Reason: pb.PendingReason_PENDING_TRANSFERRING, Since: 1})
	}
	return to.must(1000, in)
}

func TestUploads(t *testing.T) {
	s := testSite(t, 1).makeBucket(1)
	create := func(key, id string) {
		s.must(5, &pb.CreateUpload{Upload: &pb.Upload{Id: id, Bucket: testPath, Key: []byte(key), Headers: map[string]string{"content-type": "x"}}})
	}
	part := func(id string, n uint32, body string) *pb.Part {
		p := &pb.Part{Number: n, Root: &pb.Root{Id: sum32(body), Size: uint64(len(body))}, Etag: body}
		s.must(6, &pb.PutPart{Bucket: testPath, Upload: id, Part: p})
		return p
	}
	create("k", "up1")
	create("k", "up2")
	create("j\x00", "up3")
	create("j", "up4")
	s.refused(raftfsmpb.Code_EXISTS, 5, &pb.CreateUpload{Upload: &pb.Upload{Id: "up1", Bucket: testPath, Key: []byte("z")}})
	s.refused(raftfsmpb.Code_INVALID, 5, &pb.CreateUpload{Upload: &pb.Upload{Id: "a\x00b", Bucket: testPath, Key: []byte("z")}})
	s.refused(raftfsmpb.Code_INVALID, 5, &pb.CreateUpload{Upload: &pb.Upload{Id: "up9", Bucket: testPath}})
	s.refused(raftfsmpb.Code_INVALID, 6, &pb.PutPart{Bucket: testPath, Upload: "up1", Part: &pb.Part{Number: 10_001}})
	s.refused(raftfsmpb.Code_INVALID, 6, &pb.PutPart{Bucket: testPath, Upload: "up1", Part: &pb.Part{}})
	s.refused(raftfsmpb.Code_NOT_FOUND, 6, &pb.PutPart{Bucket: testPath, Upload: "none", Part: &pb.Part{Number: 1}})
	s.refused(raftfsmpb.Code_NOT_FOUND, 6, &pb.AbortUpload{Bucket: testPath, Upload: "none"})

	part("up1", 2, "bb")
	p3 := part("up1", 3, "cc")
	p1 := part("up1", 1, "aa")
	part("up1", 2, "b2") // replaces
	s.check()
	parts, more, err := s.cat.Parts(testPath, "up1", 0, 2)
	if err != nil || !more || len(parts) != 2 || parts[1].GetEtag() != "b2" || parts[0].GetTime() != 6 {
		t.Fatalf("parts: %v %v %v", parts, more, err)
	}
	if parts, more, err = s.cat.Parts(testPath, "up1", 2, 2); err != nil || more || len(parts) != 1 {
		t.Fatalf("last parts: %v %v %v", parts, more, err)
	}
	if _, _, err := s.cat.Parts(testPath, "none", 0, 0); !errors.Is(err, ErrNoUpload) {
		t.Fatalf("parts of no upload: %v", err)
	}

	complete := func(used []*pb.Part, numbers ...uint32) *pb.Write {
		w := putCmd("k", "whole")
		w.Upload, w.PartListDigest, w.Parts = "up1", PartListDigest(used), numbers
		return w
	}
	all, _, err := s.cat.Parts(testPath, "up1", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.refused(raftfsmpb.Code_PARTS_CHANGED, 7, complete([]*pb.Part{p1, p3}))              // all parts are meant
	s.refused(raftfsmpb.Code_PARTS_CHANGED, 7, complete([]*pb.Part{p1, p3}, 3, 1))        // not in order
	s.refused(raftfsmpb.Code_PARTS_CHANGED, 7, complete([]*pb.Part{p1, p3}, 1, 4))        // no such part
	s.refused(raftfsmpb.Code_PARTS_CHANGED, 7, complete(append(all[:1:1], p1, p3), 1, 1)) // one twice
	s.refused(raftfsmpb.Code_INVALID, 7, edited(complete(all), func(w *pb.Write) { w.Record.Key = []byte("z") }))
	s.refused(raftfsmpb.Code_INVALID, 7, edited(complete(all), func(w *pb.Write) { w.Record.Kind = pb.RecordKind_RECORD_TOMBSTONE }))
	if got, err := s.cat.Upload(testPath, "up1"); err != nil || got.GetBucket() != testPath || got.GetCreated() != 5 {
		t.Fatalf("upload: %v %v", got, err)
	}
	s.must(7, complete([]*pb.Part{p1, p3}, 1, 3))
	s.refused(raftfsmpb.Code_NOT_FOUND, 7, complete([]*pb.Part{p1, p3}, 1, 3))
	if _, err := s.cat.Upload(testPath, "up1"); !errors.Is(err, ErrNoUpload) {
		t.Fatalf("a completed upload: %v", err)
	}
	s.check()

	for _, c := range []struct{ prefix, delimiter, afterKey, afterID, want string }{
		{"", "", "", "", "up4 up3 up2"},
		{"j", "", "", "", "up4 up3"},
		{"k", "", "", "", "up2"},
		{"", "", "j", "", "up3 up2"},
		{"", "", "j", "up4", "up3 up2"},
		{"", "", "j", "up3", "up4 up3 up2"},
		{"", "", "k", "up2", ""},
		{"j", "", "k", "", ""},
		{"j", "", "a", "up4", "up4 up3"},
		{"", "j", "", "", "[j] up2"},
		{"", "\x00", "", "", "up4 [j\x00] up2"},
		{"", "\x00", "j", "up4", "[j\x00] up2"},
		{"", "\x00", "j\x00", "", "up2"},
		{"", "\x00", "j\x00", "up1", "up2"},
		{"j", "j", "", "", "up4 up3"},
		{"j", "\x00", "", "", "up4 [j\x00]"},
	} {
		items, more, err := s.cat.ListUploads(testPath, ListUploadsOptions{Prefix: []byte(c.prefix), Delimiter: []byte(c.delimiter), AfterKey: []byte(c.afterKey), AfterID: c.afterID})
		var ids []string
		for _, item := range items {
			if item.Upload == nil {
				ids = append(ids, "["+string(item.CommonPrefix)+"]")
			} else {
				ids = append(ids, item.Upload.GetId())
			}
		}
		if got := strings.Join(ids, " "); err != nil || more || got != c.want {
			t.Errorf("uploads of %+v: %q, more %v, %v", c, got, more, err)
		}
	}
	if items, more, err := s.cat.ListUploads(testPath, ListUploadsOptions{Limit: 2}); err != nil || !more || len(items) != 2 {
		t.Fatalf("page of uploads: %v %v %v", items, more, err)
	}
	part("up2", 7, "x")
	s.must(8, &pb.AbortUpload{Bucket: testPath, Upload: "up2"})
	s.must(8, &pb.AbortUpload{Bucket: testPath, Upload: "up3"})
	s.check()
}

func edited[M proto.Message](m M, f func(M)) M { f(m); return m }

func TestBuckets(t *testing.T) {
	s := testSite(t, 1).makeBucket(1)
	s.refused(raftfsmpb.Code_INVALID, 1, bucketObj(testPath, 1, 9)) // another incarnation
	s.refused(raftfsmpb.Code_INVALID, 1, bucketObj("Hawaii/Cola", 1, 9))
	s.refused(raftfsmpb.Code_INVALID, 1, bucketObj("Hawaii/Cola/NO", 1, 9))
	s.refused(raftfsmpb.Code_INVALID, 1, &statepb.Bucket{Path: "Hawaii/Cola/bk2"})
	s.must(1, bucketObj("Hawaii/Cola/bk2", 0, 2))
	remove := func(path string) *raftfsmpb.Result {
		return s.run(step{cmd: &statepb.Bucket{Path: path}, remove: true})[0]
	}
	if res := remove("Hawaii/Cola/none"); res.GetCode() != raftfsmpb.Code_NOT_FOUND {
		t.Fatalf("deleting no bucket: %v", res)
	}
	s.put(1, "k", "one")
	if res := remove(testPath); res.GetCode() != raftfsmpb.Code_NOT_EMPTY {
		t.Fatalf("deleting a bucket with an object: %v", res)
	}
	old := s.put(2, "k", "two")
	tomb := s.del(3, "k")
	s.must(3, &pb.CreateUpload{Upload: &pb.Upload{Id: "up", Bucket: testPath, Key: []byte("k")}})
	s.must(3, &pb.PutPart{Bucket: testPath, Upload: "up", Part: &pb.Part{Number: 1}})
	if res := remove(testPath); res.GetCode() != raftfsmpb.Code_OK {
		t.Fatalf("deleting a bucket: %v", res)
	}
	s.check()
	if _, err := s.cat.Bucket(testPath); !errors.Is(err, ErrNoBucket) {
		t.Fatalf("a deleted bucket: %v", err)
	}
	if _, err := s.cat.Head(testPath, []byte("k")); !errors.Is(err, ErrNoBucket) {
		t.Fatalf("head in a deleted bucket: %v", err)
	}
	if got := s.cat.Buckets(); len(got) != 1 || got[0].GetPath() != "Hawaii/Cola/bk2" || got[0].GetVersions() != 1 {
		t.Fatalf("buckets: %v", got)
	}
	for key := range s.rows() {
		if key[0] != rowBucket {
			t.Fatalf("row %q is left", key)
		}
	}
	s.must(5, bucketObj(testPath, 4, 7))
	st := s.state()
	if st.GetDeleted() || st.GetSeq() != 3 || st.GetTrimmed() != 3 || st.GetGenerationFloor() != 3 || len(st.GetMerged()) != 2 ||
		st.GetVersions() != 4 || st.GetIncarnation()[0] != 7 || st.GetNumber() != 1 {
		t.Fatalf("the bucket made again: %v", st)
	}
	// What another site still has of the bucket's former life is known here.
	peer := testSite(t, 2)
	if res := take(s, peer, nil, old, tomb); res.GetApplied() != 0 || s.body("k") != "" {
		t.Fatalf("records of the former life came back: %v", res)
	}
	if rec := s.put(6, "k", "new"); rec.GetGeneration() != 4 || rec.GetDot().GetSeq() != 4 {
		t.Fatalf("first write after: %v", rec)
	}
	// Fewer versions are kept from the next record on.
	for i := range 5 {
		s.put(7, "k", fmt.Sprint(i))
	}
	s.must(8, bucketObj(testPath, 2, 7))
	s.put(9, "k", "last")
	if v, err := s.cat.Versions(testPath, []byte("k")); err != nil || len(v) != 2 {
		t.Fatalf("versions: %v %v", v, err)
	}
	s.check()
}

func TestBatchMisuse(t *testing.T) {
	s := testSite(t, 1).makeBucket(1)
	panics := func(name string, f func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s: no panic", name)
			}
		}()
		f()
	}
	plain := s.db.NewBatch()
	defer plain.Close()
	panics("a batch without index", func() { s.cat.Begin(plain) })
	indexed := s.db.NewIndexedBatch()
	defer indexed.Close()
	b := s.cat.Begin(indexed)
	panics("done before flush", func() { b.Done() })
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	if res := b.Write(putCmd("k", "x"), 1); res.GetCode() == raftfsmpb.Code_OK {
		t.Fatal("a command after Flush was accepted")
	}
	panics("done after a failure", func() { b.Done() })
}

// A row that cannot be read stops the batch, and no later command hides it.
func TestBatchFailure(t *testing.T) {
	s := testSite(t, 1).makeBucket(1)
	s.put(1, "k", "one")
	if err := s.db.Set(headKey(nil, 1, []byte("k")), []byte{0x80}, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	indexed := s.db.NewIndexedBatch()
	defer indexed.Close()
	b := s.cat.Begin(indexed)
	if res := b.Write(putCmd("k", "two"), 2); res.GetCode() == raftfsmpb.Code_OK {
		t.Fatal("a write over a damaged row was accepted")
	}
	if res := b.Write(putCmd("other", "two"), 2); res.GetCode() == raftfsmpb.Code_OK {
		t.Fatal("a write after a failure was accepted")
	}
	if err := b.Flush(); err == nil {
		t.Fatal("Flush hides the failure")
	}
	if _, err := s.cat.Head(testPath, []byte("k")); err == nil {
		t.Fatal("Head hides the damage")
	}
}

func TestWatch(t *testing.T) {
	s := testSite(t, 1)
	w := s.cat.Watch()
	defer w.Stop()
	stopped := s.cat.Watch()
	stopped.Stop()
	stopped.Stop()
	signalled := func(w *Watcher) bool {
		select {
		case <-w.C:
			return true
		default:
			return false
		}
	}
	if signalled(w) {
		t.Fatal("a signal before anything happened")
	}
	s.makeBucket(1)
	s.put(1, "k", "one")
	if !signalled(w) || signalled(w) {
		t.Fatal("two commits were not one waiting signal")
	}
	other := openDB(t)
	t.Cleanup(func() { _ = other.Close() })
	if err := s.cat.Swap(other); err != nil {
		t.Fatal(err)
	}
	if !signalled(w) || signalled(stopped) {
		t.Fatal("signals after a swap")
	}
	if got := s.cat.Buckets(); len(got) != 0 {
		t.Fatalf("after a swap to an empty Pebble: %v", got)
	}
}
