package catalog

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

const testPath = "Hawaii/Cola/bk1"

// tester is what *testing.T, *testing.B and *rapid.T have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// step is one thing that a site's FSM applies: a command or a change of a bucket.
type step struct {
	epoch  uint32
	now    int64
	cmd    proto.Message
	remove bool // of a *statepb.Bucket: delete it
}

// site is a catalog with the history of everything that was applied to it.
type site struct {
	t     tester
	id    state.SiteID
	epoch uint32
	db    *pebble.DB
	cat   *Catalog
	steps []step
}

func siteID(n byte) state.SiteID { return state.SiteID{0: 0x51, 15: n} }

func openDB(t tester) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem(), DisableWAL: true, Logger: quiet{t}, MemTableSize: 1 << 20})
	if err != nil {
		t.Fatalf("open pebble: %v", err)
	}
	return db
}

type quiet struct{ t tester }

func (quiet) Infof(string, ...any)        {}
func (quiet) Errorf(string, ...any)       {}
func (q quiet) Fatalf(f string, a ...any) { q.t.Fatalf(f, a...) }

// newSite makes a site of its own; close it when the test ends.
func newSite(t tester, n byte) *site {
	t.Helper()
	s := &site{t: t, id: siteID(n), epoch: 1}
	s.open()
	return s
}

func (s *site) open() {
	s.t.Helper()
	s.db = openDB(s.t)
	cat, err := New(s.db)
	if err != nil {
		s.t.Fatalf("new catalog: %v", err)
	}
	cat.SetSelf(s.id, s.epoch, s.epoch)
	s.cat = cat
}

func (s *site) close() {
	if err := s.db.Close(); err != nil {
		s.t.Fatalf("close pebble: %v", err)
	}
}

// testSite is newSite for a plain test.
func testSite(t *testing.T, n byte) *site {
	s := newSite(t, n)
	t.Cleanup(s.close)
	return s
}

func apply(b *Batch, st step) *raftfsmpb.Result {
	switch m := st.cmd.(type) {
	case *pb.Write:
		return b.Write(m, st.now)
	case *pb.Ingest:
		return b.Ingest(m, st.now)
	case *pb.CreateUpload:
		return b.CreateUpload(m, st.now)
	case *pb.PutPart:
		return b.PutPart(m, st.now)
	case *pb.AbortUpload:
		return b.AbortUpload(m)
	case *pb.PeerProgress:
		return b.Progress(m)
	case *pb.Trim:
		return b.Trim(m, st.now)
	case *pb.Purge:
		return b.Purge(m, st.now)
	case *pb.SetAttribute:
		return b.SetAttribute(m, st.now)
	case *pb.SetBucketAttribute:
		return b.SetBucketAttribute(m, st.now)
	case *statepb.Bucket:
		if st.remove {
			return b.DeleteBucket(m.GetPath())
		}
		return b.PutBucket(m, m.GetVersions(), st.now)
	}
	panic(fmt.Sprintf("step of kind %T", st.cmd))
}

// run applies steps in one batch and returns their results.
func (s *site) run(steps ...step) []*raftfsmpb.Result {
	s.t.Helper()
	batch := s.db.NewIndexedBatch()
	b := s.cat.Begin(batch)
	results := make([]*raftfsmpb.Result, len(steps))
	for i, st := range steps {
		st.epoch = s.epoch
		s.steps = append(s.steps, st)
		results[i] = apply(b, st)
	}
	s.commit(b, batch)
	return results
}

func (s *site) commit(b *Batch, batch *pebble.Batch) {
	s.t.Helper()
	if err := b.Flush(); err != nil {
		s.t.Fatalf("flush: %v", err)
	}
	if err := batch.Commit(pebble.NoSync); err != nil {
		s.t.Fatalf("commit: %v", err)
	}
	b.Done()
	if err := batch.Close(); err != nil {
		s.t.Fatalf("close batch: %v", err)
	}
}

// do applies one step and returns its result.
func (s *site) do(now int64, cmd proto.Message) *raftfsmpb.Result {
	s.t.Helper()
	return s.run(step{now: now, cmd: cmd})[0]
}

// must is do for a command that has to be accepted.
func (s *site) must(now int64, cmd proto.Message) *raftfsmpb.Result {
	s.t.Helper()
	res := s.do(now, cmd)
	if res.GetCode() != raftfsmpb.Code_OK {
		s.t.Fatalf("%T: %v %s", cmd, res.GetCode(), res.GetMessage())
	}
	return res
}

// refused is do for a command that has to be refused with a code.
func (s *site) refused(code raftfsmpb.Code, now int64, cmd proto.Message) *raftfsmpb.Result {
	s.t.Helper()
	before := s.cat.Digest()
	res := s.do(now, cmd)
	if res.GetCode() != code || res.GetMessage() == "" {
		s.t.Fatalf("%T: %v %q, want %v with a message", cmd, res.GetCode(), res.GetMessage(), code)
	}
	if !bytes.Equal(before, s.cat.Digest()) {
		s.t.Fatalf("%T was refused but changed the state", cmd)
	}
	return res
}

func bucketObj(path string, versions uint32, incarnation byte) *statepb.Bucket {
	return &statepb.Bucket{Path: path, Versions: versions, Incarnation: bytes.Repeat([]byte{incarnation}, 16), Created: 1}
}

func (s *site) makeBucket(versions uint32) *site {
	s.t.Helper()
	s.must(1, bucketObj(testPath, versions, s.id[15]))
	return s
}

func putCmd(key, body string) *pb.Write {
	return &pb.Write{Bucket: testPath, Record: &pb.Record{
		Key: []byte(key), Kind: pb.RecordKind_RECORD_VERSION, Etag: body,
		Root:     &pb.Root{Id: sum32(body), Size: uint64(len(body))},
		Headers:  map[string]string{"content-type": "text/plain", "cache-control": "no-cache"},
		Metadata: map[string]string{"a": "1", "b": "2"},
	}}
}

func sum32(body string) []byte {
	s := sumOf([]byte(body))
	return s.bytes()
}

func delCmd(key string) *pb.Write {
	return &pb.Write{Bucket: testPath, Record: &pb.Record{Key: []byte(key), Kind: pb.RecordKind_RECORD_TOMBSTONE}}
}

func (s *site) put(now int64, key, body string) *pb.Record {
	s.t.Helper()
	return s.must(now, putCmd(key, body)).GetRecord()
}

func (s *site) del(now int64, key string) *pb.Record {
	s.t.Helper()
	return s.must(now, delCmd(key)).GetRecord()
}

// head returns a key's head, nil if there is none.
func (s *site) head(key string) *pb.Record {
	s.t.Helper()
	r, err := s.cat.Head(testPath, []byte(key))
	if err != nil {
		return nil
	}
	return r
}

// body returns the ETag of a live key, and "" of one that does not exist.
func (s *site) body(key string) string {
	s.t.Helper()
	if r := s.head(key); Live(r) {
		return r.GetEtag()
	}
	return ""
}

func (s *site) state() *pb.BucketState {
	s.t.Helper()
	st, err := s.cat.BucketAny(testPath)
	if err != nil {
		s.t.Fatalf("bucket state: %v", err)
	}
	return st
}

// check makes sure that the catalog does not contradict itself, that what it
// holds in memory is what it would load, and that replaying all steps in one
// batch leads to the same digest.
func (s *site) check() {
	s.t.Helper()
	for _, st := range s.cat.buckets {
		if err := s.cat.Check(context.Background(), st.state.GetPath()); err != nil {
			s.t.Fatalf("site %s: %v", s.id, err)
		}
	}
	loaded, err := New(s.db)
	if err != nil {
		s.t.Fatalf("load: %v", err)
	}
	loaded.SetSelf(s.id, s.epoch, s.epoch)
	if !bytes.Equal(loaded.Digest(), s.cat.Digest()) {
		s.t.Fatalf("site %s: digest in memory is not that of the rows", s.id)
	}
	for path, b := range s.cat.buckets {
		if got, want := loaded.buckets[path].told(s.id), b.told(s.id); !proto.Equal(got, want) {
			s.t.Fatalf("site %s: tells %v, after loading %v", s.id, want, got)
		}
	}
}

// replay applies the steps of s to a new site, so many to a batch.
func (s *site) replay(perBatch int) *site {
	s.t.Helper()
	r := &site{t: s.t, id: s.id, epoch: 1}
	r.open()
	for rest := s.steps; len(rest) > 0; {
		n := 1
		for n < len(rest) && n < perBatch && rest[n].epoch == rest[0].epoch {
			n++
		}
		r.epoch = rest[0].epoch
		r.cat.SetSelf(r.id, r.epoch, r.epoch)
		r.run(rest[:n]...)
		rest = rest[n:]
	}
	return r
}

// rows returns every row of the site's Pebble.
func (s *site) rows() map[string]string {
	s.t.Helper()
	out := make(map[string]string)
	err := scan(s.db, nil, nil, func(key, value []byte) (bool, error) {
		out[string(key)] = string(value)
		return true, nil
	})
	if err != nil {
		s.t.Fatalf("rows: %v", err)
	}
	return out
}
