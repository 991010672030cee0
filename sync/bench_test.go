package objsync_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/cdc"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/chunks/store"
	"edgefog.dev/isgw/raftfsm"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
	objsync "edgefog.dev/isgw/sync"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// The benchmarks run two sites with real raft logs and real chunk stores on
// disk, joined without a network: what they measure is the work of both ends.
// ISGW_BENCH_DIR names a directory on the disk to be measured.

const benchBucket = "Hawaii/Cola/bk1"

type benchSite struct {
	b       *testing.B
	id      state.SiteID
	replica *raftfsm.Replica
	chunks  *store.Store
	codec   *chunks.Codec
}

func newBenchSite(b *testing.B, n byte, bucket bool) *benchSite {
	b.Helper()
	return newBenchSiteOf(b, state.SiteID{0: 0x51, 15: n}, bucket)
}

func newBenchSiteOf(b *testing.B, id state.SiteID, bucket bool) *benchSite {
	b.Helper()
	n := id[15]
	dir, err := os.MkdirTemp(os.Getenv("ISGW_BENCH_DIR"), "isgw-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &benchSite{b: b, id: id}
	ctx := context.Background()
	if s.codec, err = chunks.NewCodec(); err != nil {
		b.Fatal(err)
	}
	if s.chunks, err = store.Open(ctx, store.Options{Dir: dir + "/chunks", Codec: s.codec}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.chunks.Close() })
	if s.replica, err = raftfsm.Open(ctx, raftfsm.Options{Dir: dir + "/raft", NodeID: "n1", Logger: slog.New(slog.DiscardHandler)}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.replica.Close(context.Background()) })
	if err := s.replica.Bootstrap(ctx); err != nil {
		b.Fatal(err)
	}
	puts := []*statepb.Object{
		state.Wrap(&statepb.Site{Id: s.id.Bytes(), Name: fmt.Sprint("site", n), Epoch: 1, IdentityPublic: make([]byte, 32)}),
		state.Wrap(&statepb.Namespace{Name: "Hawaii"}),
		state.Wrap(&statepb.Tenant{Path: "Hawaii/Cola"}),
	}
	if bucket {
		puts = append(puts, state.Wrap(&statepb.Bucket{Path: benchBucket, Incarnation: bytes.Repeat([]byte{n}, 16)}))
	}
	s.propose(&raftfsmpb.Command{Command: &raftfsmpb.Command_Config{Config: &statepb.Txn{Puts: puts}}})
	return s
}

func (s *benchSite) propose(cmd *raftfsmpb.Command) *raftfsmpb.Result {
	res, err := s.replica.Propose(context.Background(), cmd)
	if err == nil {
		err = raftfsm.ResultError(res)
	}
	if err != nil {
		s.b.Fatal(err)
	}
	return res
}

func (s *benchSite) site() objsync.Site {
	return objsync.Site{
		ID: s.id, Name: fmt.Sprint("site", s.id[15]), Epoch: func() uint32 { return 1 },
		Catalog: s.replica.Catalog(), Chunks: s.chunks, Propose: s.replica.Propose,
	}
}

// put stores content in batches and writes the version.
func (s *benchSite) put(key string, content io.Reader) {
	ctx := context.Background()
	var batch []chunks.Chunk
	var size int
	flush := func() {
		if err := s.chunks.Put(ctx, batch); err != nil {
			s.b.Fatal(err)
		}
		batch, size = batch[:0], 0
	}
	add := func(id chunks.ID, raw []byte) error {
		c := s.codec.Encode(id, raw, nil)
		c.Data = bytes.Clone(c.Data)
		batch = append(batch, c)
		if size += len(c.Data); size > 8<<20 {
			flush()
		}
		return nil
	}
	tree := manifest.NewBuilder(add)
	sp := cdc.NewSplitter(content)
	for {
		raw, err := sp.Next()
		if err == io.EOF {
			break
		}
		id := chunks.Sum(raw)
		_ = add(id, raw)
		if err := tree.Add(id, len(raw)); err != nil {
			s.b.Fatal(err)
		}
	}
	ref, err := tree.Finish()
	if err != nil {
		s.b.Fatal(err)
	}
	flush()
	s.write(key, &catalogpb.Root{Level: uint32(ref.Level), Id: ref.ID[:], Size: ref.Size})
}

func (s *benchSite) write(key string, root *catalogpb.Root) {
	s.propose(&raftfsmpb.Command{Command: &raftfsmpb.Command_Write{Write: &catalogpb.Write{
		Bucket: benchBucket,
		Record: &catalogpb.Record{
			Key: []byte(key), Kind: catalogpb.RecordKind_RECORD_VERSION, Time: time.Now().UnixNano(), Root: root,
			Etag: "0123456789abcdef0123456789abcdef", Headers: map[string]string{"content-type": "application/octet-stream"},
		},
	}}})
}

// receive starts the engine of r, which pulls from s; the result ends it.
func receive(b *testing.B, r, s *benchSite) (e *objsync.Engine, stop func()) {
	b.Helper()
	return receiveFrom(b, r, s, offer(b, r, s))
}

// offer is what s offers to r.
func offer(b *testing.B, r, s *benchSite) *objsync.Local {
	b.Helper()
	list := []string{benchBucket}
	local, err := objsync.NewLocal(objsync.LocalOptions{
		Site: s.site(), Service: "bench", Peer: r.id, Served: func() []string { return list },
	})
	if err != nil {
		b.Fatal(err)
	}
	return local
}

// receiveFrom starts the engine of r, which pulls from s by way of a source.
func receiveFrom(b *testing.B, r, s *benchSite, src link.Source) (e *objsync.Engine, stop func()) {
	b.Helper()
	e, err := objsync.NewEngine(objsync.EngineOptions{
		Site: r.site(), Service: "bench", Peer: s.id, PeerName: "s", Source: src, Codec: r.codec,
		Accepts: func(string) bool { return true },
		EnsureBucket: func(context.Context, *linkpb.ServedBucket) error {
			r.propose(&raftfsmpb.Command{Command: &raftfsmpb.Command_Config{Config: &statepb.Txn{Puts: []*statepb.Object{
				state.Wrap(&statepb.Bucket{Path: benchBucket, Incarnation: bytes.Repeat([]byte{99}, 16)}),
			}}}})
			return nil
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = e.Run(ctx) }()
	return e, func() { cancel(); <-done }
}

// await polls until the engine has everything.
func await(b *testing.B, e *objsync.Engine) {
	b.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	for e.Status().State != objsync.StateInSync {
		if time.Now().After(deadline) {
			b.Fatalf("not in sync: %+v", e.Status())
		}
		<-time.After(5 * time.Millisecond)
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func noise(seed uint64, n int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	out := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(out)
	return out
}

// BenchmarkSmallObjects copies 10,000 objects of 4 KiB into an empty site.
func BenchmarkSmallObjects(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		b.StopTimer()
		s, r := newBenchSite(b, 1, true), newBenchSite(b, 2, false)
		var g errgroup.Group
		g.SetLimit(256)
		for i := range n {
			g.Go(func() error {
				s.put(fmt.Sprintf("small/%06d", i), bytes.NewReader(noise(uint64(i), 4096)))
				return nil
			})
		}
		_ = g.Wait()
		b.StartTimer()
		at, cpu := time.Now(), cpuTime()
		e, stop := receive(b, r, s)
		await(b, e)
		b.ReportMetric(n/time.Since(at).Seconds(), "objects/s")
		b.ReportMetric((cpuTime()-cpu).Seconds()/n*1e6, "cpu-us/object")
		b.ReportMetric(float64(e.Status().Counters.Commits), "commits")
		stop()
	}
}

// BenchmarkLargeObject copies one object of 512 MiB that does not compress.
func BenchmarkLargeObject(b *testing.B) {
	const size = 512 << 20
	for b.Loop() {
		b.StopTimer()
		s, r := newBenchSite(b, 1, true), newBenchSite(b, 2, false)
		s.put("large", io.LimitReader(rand.NewChaCha8([32]byte{7}), size))
		b.StartTimer()
		at, cpu := time.Now(), cpuTime()
		e, stop := receive(b, r, s)
		await(b, e)
		b.ReportMetric(size/1e6/time.Since(at).Seconds(), "MB/s")
		b.ReportMetric((cpuTime()-cpu).Seconds()/(size/1e9), "cpu-s/GB")
		stop()
	}
}

// BenchmarkOneChange measures the time from the commit of a small version at
// one site until it is visible at the other.
func BenchmarkOneChange(b *testing.B) {
	s, r := newBenchSite(b, 1, true), newBenchSite(b, 2, false)
	e, stop := receive(b, r, s)
	defer stop()
	await(b, e)
	watch := r.replica.Catalog().Watch()
	defer watch.Stop()
	var all []time.Duration
	for i := 0; b.Loop(); i++ {
		content := noise(uint64(i), 1000)
		key := fmt.Sprint("k", i)
		s.put(key, bytes.NewReader(content))
		at := time.Now()
		for {
			if _, err := r.replica.Catalog().Head(benchBucket, []byte(key)); err == nil {
				break
			}
			<-watch.C
		}
		all = append(all, time.Since(at))
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}
