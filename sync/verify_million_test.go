package objsync

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// TestMillion compares buckets of a million versions that are equal, and brings one
// up to date in which ten differ after the sender's log was trimmed.
func TestMillion(t *testing.T) {
	if os.Getenv("ISGW_LONG") == "" {
		t.Skip("a million versions at two sites take minutes: set ISGW_LONG=1")
	}
	const keys, each = 1_000_000, 1000
	a, b := newTestSite(t, 1), newTestSite(t, 2)
	defer a.close()
	defer b.close()
	a.makeBucket(bk1, 1)
	b.makeBucket(bk1, 1)
	key := func(i int) string { return fmt.Sprintf("photos/%07d.jpg", i*7919%keys) }
	for n := 0; n < keys; n += each {
		var records []*catalogpb.Record
		a.apply(func(batch *catalog.Batch) *raftfsmpb.Result {
			var last *raftfsmpb.Result
			for i := range each {
				last = batch.Write(&catalogpb.Write{Bucket: bk1, Record: &catalogpb.Record{
					Key: []byte(key(n + i)), Kind: catalogpb.RecordKind_RECORD_VERSION, Time: int64(n + i + 1), Etag: fmt.Sprint(n + i)}}, 1)
				records = append(records, last.GetRecord())
			}
			return last
		})
		b.ok(b.apply(func(batch *catalog.Batch) *raftfsmpb.Result {
			return batch.Ingest(&catalogpb.Ingest{Bucket: bk1, Peer: a.id.Bytes(), Records: records}, 1)
		}))
	}
	x, y := connect(t, a, b, nil, bk1)
	seq := func(s *testSite) *catalogpb.BucketState {
		st, err := s.cat.Bucket(bk1)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	for _, h := range []*half{x, y} {
		there := seq(h.peer)
		seen, err := h.peer.cat.Seen(bk1)
		if err != nil {
			t.Fatal(err)
		}
		h.site.mustDo(&raftfsmpb.Command{Command: &raftfsmpb.Command_Ingest{Ingest: &catalogpb.Ingest{
			Bucket: bk1, Peer: h.peer.id.Bytes(), Seen: seen,
			Cursor: &catalogpb.Cursor{Epoch: 1, Incarnation: there.GetIncarnation(), Seq: there.GetSeq(), InitialDone: true}}}})
	}
	engine, err := NewEngine(y.opts)
	if err != nil {
		t.Fatal(err)
	}
	y.engine = engine
	began := time.Now()
	got, found := y.verify(VerifyOptions{})
	took := time.Since(began)
	if !got.Equal() || got.Versions != keys || took > 5*time.Second {
		t.Errorf("equal buckets: %v, %+v, %q", took, got, found)
	}
	t.Logf("verify of %d equal versions: %v, %d requests, %d bytes", got.Versions, took, got.Requests, y.wire.compared)
	began = time.Now()
	got, _ = y.verify(VerifyOptions{Prefix: []byte("photos/05")})
	t.Logf("verify of %d of them by prefix: %v, %d requests", got.Versions, time.Since(began), got.Requests)

	for i := range 10 {
		a.put(bk1, key(i*100_003), nil)
	}
	for range keys/10_000 + 2 {
		a.trim(bk1, time.Now().Add(time.Hour))
	}
	if st := seq(a); st.GetTrimmed() != st.GetSeq() {
		t.Fatalf("the log is trimmed up to %d of %d", st.GetTrimmed(), st.GetSeq())
	}
	y.wire.compared, y.wire.compares = 0, 0
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began = time.Now()
	x.start()
	y.start()
	defer x.halt()
	defer y.halt()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for y.engine.Status().State != StateInSync {
		if <-poll.C; time.Since(began) > time.Minute {
			t.Fatalf("not in sync: %+v", y.engine.Status())
		}
	}
	took = time.Since(began)
	runtime.ReadMemStats(&after)
	if y.wire.compared > 5<<20 || y.wire.scanned > 0 || took > 10*time.Second {
		t.Errorf("resync: %v, %d bytes, %d records in pages", took, y.wire.compared, y.wire.scanned)
	}
	for i := range 10 {
		k := key(i * 100_003)
		if p, q := a.headDot(k), b.headDot(k); p != q {
			t.Errorf("key %s: %s and %s", k, p, q)
		}
	}
	t.Logf("resync with 10 of %d differing: %v, %d requests, %d bytes on the wire, %d KiB allocated in all",
		keys, took, y.wire.compares, y.wire.compared, (after.TotalAlloc-before.TotalAlloc)>>10)
}

// headDot names the head of a key.
func (s *testSite) headDot(key string) string {
	r, err := s.cat.Head(bk1, []byte(key))
	if err != nil {
		return err.Error()
	}
	return keyOf(r.GetDot()).String()
}
