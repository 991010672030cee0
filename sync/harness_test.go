package objsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/cdc"
	"edgefog.dev/isgw/chunks/chunkstest"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// The harness runs whole sites inside a synctest bubble: real catalogs on Pebble
// in memory, a proposer that applies one command at a time, chunk stores in
// memory, and wires between the sites that can be cut and that count.

const bk1 = "Hawaii/Cola/bk1"

// testCodec is shared by all tests. The coder makes its channels with its first
// work, so that is done here, outside every bubble.
var testCodec = sync.OnceValue(func() *chunks.Codec {
	c, err := chunks.NewCodec()
	if err != nil {
		panic(err)
	}
	raw := make([]byte, 1000)
	b := chunks.Buffer{Chunk: c.Encode(chunks.Sum(raw), raw, nil)}
	if err := c.Decode(&b); err != nil {
		panic(err)
	}
	return c
})

func TestMain(m *testing.M) {
	testCodec()
	os.Exit(m.Run())
}

// testSite is one site.
type testSite struct {
	t      *testing.T
	id     state.SiteID
	name   string
	epoch  uint32
	since  uint32 // the epoch of the last restoration that the site was told of
	db     *pebble.DB
	cat    *catalog.Catalog
	chunks *chunkstest.Faulty
	log    *slog.Logger

	splitter *cdc.Splitter
	versions uint32 // history of buckets that links make; 0 is 1
	// unbounded makes them keep every version with an id of its own.
	unbounded bool

	ensure  sync.Mutex
	mu      sync.Mutex // serialises apply
	nth     byte       // of incarnations made
	applies int
	ingests []*catalogpb.Ingest
	fail    error // what Propose returns instead, when set

	// Of a site that is simulated with its disk: what takes an entry instead of the
	// catalog alone, and its clock.
	commit func(ctx context.Context, e siteEntry) (*raftfsmpb.Result, error)
	clock  func() time.Time
}

func newTestSite(t *testing.T, n byte) *testSite {
	t.Helper()
	s := &testSite{
		t:      t,
		id:     state.SiteID{0: 0x51, 15: n},
		name:   fmt.Sprintf("site%d", n),
		epoch:  1,
		since:  1,
		chunks: chunkstest.NewFaulty(t, &mortal{Store: chunkstest.NewMemory(testCodec())}),

		splitter: cdc.NewSplitter(nil),
	}
	s.log = testLogger(t, s.name)
	db, err := pebble.Open("", &pebble.Options{
		FS: vfs.NewMem(), DisableWAL: true, Logger: quietPebble{t}, MemTableSize: 4 << 20,
		// Tables of older formats are written with channels from a pool, which
		// another bubble may have made.
		FormatMajorVersion: pebble.FormatNewest,
	})
	if err != nil {
		t.Fatalf("open pebble: %v", err)
	}
	s.db = db
	if s.cat, err = catalog.New(db); err != nil {
		t.Fatalf("new catalog: %v", err)
	}
	s.cat.SetSelf(s.id, s.epoch, s.since)
	return s
}

// testLogger shows what a site logs when tests run verbosely.
func testLogger(t *testing.T, site string) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", site)
}

// mortal is a store that loses its power after so many batches.
type mortal struct {
	chunks.Store

	mu   sync.Mutex
	dies bool
	left int
}

func (m *mortal) dieAfter(batches int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dies, m.left = true, batches
}

func (m *mortal) revive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dies = false
}

func (m *mortal) Put(ctx context.Context, batch []chunks.Chunk) error {
	m.mu.Lock()
	m.left--
	dead := m.dies && m.left < 0
	m.mu.Unlock()
	if dead {
		return errors.New("the power is gone")
	}
	return m.Store.Put(ctx, batch)
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(bytes.TrimRight(p, "\n")))
	return len(p), nil
}

type quietPebble struct{ t *testing.T }

func (quietPebble) Infof(string, ...any)        {}
func (quietPebble) Errorf(string, ...any)       {}
func (q quietPebble) Fatalf(f string, a ...any) { q.t.Errorf(f, a...) }

func (s *testSite) close() {
	if err := s.db.Close(); err != nil {
		s.t.Errorf("close pebble: %v", err)
	}
}

// apply runs one thing on the catalog in a batch of its own.
func (s *testSite) apply(f func(b *catalog.Batch) *raftfsmpb.Result) *raftfsmpb.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := s.db.NewIndexedBatch()
	b := s.cat.Begin(batch)
	res := f(b)
	if err := b.Flush(); err != nil {
		s.t.Errorf("flush: %v", err)
	}
	if err := batch.Commit(pebble.NoSync); err != nil {
		s.t.Errorf("commit: %v", err)
	}
	b.Done()
	_ = batch.Close()
	s.applies++
	return res
}

// siteEntry is one thing that the log of a site holds: a command, or a change of its
// config.
type siteEntry struct {
	now      int64
	cmd      *raftfsmpb.Command
	bucket   *statepb.Bucket // made, to keep so many versions
	versions uint32
	remove   string // path of a bucket that is deleted
	epoch    uint32 // the site's from here on: it was restored
	start    uint32 // the site's from here on: it was started, and is not sure that it was not
}

// do applies an entry.
func (e siteEntry) do(s *testSite, b *catalog.Batch) *raftfsmpb.Result {
	switch {
	case e.bucket != nil:
		return b.PutBucket(e.bucket, e.versions, e.now)
	case e.remove != "":
		return b.DeleteBucket(e.remove)
	case e.epoch != 0:
		s.epoch, s.since = e.epoch, e.epoch
		s.cat.SetSelf(s.id, s.epoch, s.since)
		return &raftfsmpb.Result{}
	case e.start != 0:
		s.epoch = e.start
		s.cat.SetSelf(s.id, s.epoch, s.since)
		return &raftfsmpb.Result{}
	}
	switch c := e.cmd.GetCommand().(type) {
	case *raftfsmpb.Command_Write:
		return b.Write(c.Write, e.now)
	case *raftfsmpb.Command_Purge:
		return b.Purge(c.Purge, e.now)
	case *raftfsmpb.Command_SetAttribute:
		return b.SetAttribute(c.SetAttribute, e.now)
	case *raftfsmpb.Command_SetBucketAttribute:
		return b.SetBucketAttribute(c.SetBucketAttribute, e.now)
	case *raftfsmpb.Command_Ingest:
		s.ingests = append(s.ingests, c.Ingest)
		return b.Ingest(c.Ingest, e.now)
	case *raftfsmpb.Command_Progress:
		return b.Progress(c.Progress)
	case *raftfsmpb.Command_Trim:
		return b.Trim(c.Trim, e.now)
	}
	s.t.Errorf("unexpected command %T", e.cmd.GetCommand())
	return &raftfsmpb.Result{Code: raftfsmpb.Code_INVALID}
}

// run commits an entry.
func (s *testSite) run(ctx context.Context, e siteEntry) (*raftfsmpb.Result, error) {
	if s.commit != nil {
		return s.commit(ctx, e)
	}
	e.now = time.Now().UnixNano()
	return s.apply(func(b *catalog.Batch) *raftfsmpb.Result { return e.do(s, b) }), nil
}

// propose is a Proposer.
func (s *testSite) propose(ctx context.Context, cmd *raftfsmpb.Command) (*raftfsmpb.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	if fail != nil {
		return nil, fail
	}
	entry, err := sent(cmd)
	if err != nil {
		return nil, fmt.Errorf("propose: encode command: %w", err)
	}
	return s.run(ctx, siteEntry{cmd: entry})
}

// sent is a message as it comes out of a log, or from the other end of a line: a copy
// of what can be encoded.
func sent[M proto.Message](m M) (M, error) {
	raw, err := proto.Marshal(m)
	out := m.ProtoReflect().New().Interface().(M)
	if err == nil {
		err = proto.Unmarshal(raw, out)
	}
	return out, err
}

// ensureBucket makes a bucket unless it exists: two links may want it at once.
func (s *testSite) ensureBucket(path string) {
	s.ensure.Lock()
	defer s.ensure.Unlock()
	if _, err := s.cat.Bucket(path); err != nil {
		versions := max(1, s.versions)
		if s.unbounded {
			versions = 0
		}
		s.makeBucket(path, versions)
	}
}

func (s *testSite) makeBucket(path string, versions uint32) {
	s.t.Helper()
	s.must(siteEntry{bucket: s.newBucket(path), versions: versions})
}

// newBucket is a bucket with an incarnation of its own.
func (s *testSite) newBucket(path string) *statepb.Bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nth++
	return &statepb.Bucket{Path: path, Incarnation: append(bytes.Repeat([]byte{s.id[15]}, 15), s.nth), Created: 1}
}

func (s *testSite) deleteBucket(path string) {
	s.t.Helper()
	s.must(siteEntry{remove: path})
}

// must commits an entry that has to be accepted.
func (s *testSite) must(e siteEntry) {
	s.t.Helper()
	res, err := s.run(context.Background(), e)
	if err != nil {
		s.t.Fatalf("%s: %v", s.name, err)
	}
	s.ok(res)
}

func (s *testSite) ok(res *raftfsmpb.Result) {
	s.t.Helper()
	if res.GetCode() != raftfsmpb.Code_OK {
		s.t.Fatalf("%s: %v %s", s.name, res.GetCode(), res.GetMessage())
	}
}

func (s *testSite) site() Site {
	return Site{
		ID: s.id, Name: s.name, Epoch: func() uint32 { return s.epoch },
		Catalog: s.cat, Chunks: s.chunks, Propose: s.propose, Logger: s.log, Clock: s.clock,
	}
}

// store splits content, stores it, and returns its root.
func (s *testSite) store(content []byte) *catalogpb.Root {
	s.t.Helper()
	ctx := context.Background()
	put := func(id chunks.ID, raw []byte) error {
		ch := testCodec().Encode(id, raw, nil)
		ch.Data = bytes.Clone(ch.Data)
		return s.chunks.Put(ctx, []chunks.Chunk{ch})
	}
	b := manifest.NewBuilder(put)
	sp := s.splitter
	sp.Reset(bytes.NewReader(content))
	for {
		raw, err := sp.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			s.t.Fatalf("split: %v", err)
		}
		id := chunks.Sum(raw)
		if err := put(id, raw); err != nil {
			s.t.Fatalf("put: %v", err)
		}
		if err := b.Add(id, len(raw)); err != nil {
			s.t.Fatalf("add: %v", err)
		}
	}
	ref, err := b.Finish()
	if err != nil {
		s.t.Fatalf("finish: %v", err)
	}
	if ref.IsEmpty() {
		return nil
	}
	return &catalogpb.Root{Level: uint32(ref.Level), Id: ref.ID[:], Size: ref.Size}
}

// put writes an object.
func (s *testSite) put(path, key string, content []byte) *catalogpb.Record {
	s.t.Helper()
	root := s.store(content)
	res, err := s.propose(context.Background(), &raftfsmpb.Command{Command: &raftfsmpb.Command_Write{Write: &catalogpb.Write{
		Bucket: path,
		Record: &catalogpb.Record{Key: []byte(key), Kind: catalogpb.RecordKind_RECORD_VERSION, Time: time.Now().UnixNano(), Root: root, Etag: fmt.Sprintf("%x", chunks.Sum(content))},
	}}})
	if err != nil {
		s.t.Fatalf("%s: put %s: %v", s.name, key, err)
	}
	s.ok(res)
	return res.GetRecord()
}

func (s *testSite) del(path, key string) {
	s.t.Helper()
	res, err := s.propose(context.Background(), &raftfsmpb.Command{Command: &raftfsmpb.Command_Write{Write: &catalogpb.Write{
		Bucket: path,
		Record: &catalogpb.Record{Key: []byte(key), Kind: catalogpb.RecordKind_RECORD_TOMBSTONE, Time: time.Now().UnixNano()},
	}}})
	if err != nil {
		s.t.Fatalf("%s: delete %s: %v", s.name, key, err)
	}
	s.ok(res)
}

func (s *testSite) trim(path string, before time.Time) {
	s.t.Helper()
	res, err := s.propose(context.Background(), &raftfsmpb.Command{Command: &raftfsmpb.Command_Trim{Trim: &catalogpb.Trim{
		Bucket: path, Before: before.UnixNano(), Horizon: before.UnixNano(), Limit: 1 << 20,
	}}})
	if err != nil {
		s.t.Fatalf("%s: trim: %v", s.name, err)
	}
	s.ok(res)
}

// read returns the content of a key's head; ok is false when there is none. It
// fails the test when a chunk of it is missing or damaged.
func (s *testSite) read(path, key string) (content []byte, ok bool) {
	s.t.Helper()
	r, err := s.cat.Head(path, []byte(key))
	if err != nil || !catalog.Live(r) {
		return nil, false
	}
	ref, err := rootOf(r)
	if err != nil {
		s.t.Fatalf("%s: %s: %v", s.name, key, err)
	}
	ctx := context.Background()
	var buf chunks.Buffer
	err = manifest.Leaves(ctx, s.chunks.Get, ref, 0, ref.Size, func(l manifest.Leaf) error {
		if err := s.chunks.Get(ctx, l.ID, &buf); err != nil {
			return err
		}
		content = append(content, buf.Raw...)
		return nil
	})
	if err != nil {
		s.t.Fatalf("%s: visible version of %s without its content: %v", s.name, key, err)
	}
	return content, true
}

// listingOf is listing; a bucket that does not exist has no keys.
func (s *testSite) listingOf(path string) map[string]string {
	if _, err := s.cat.Bucket(path); err != nil {
		return nil
	}
	return s.listing(path)
}

// listing is every live key of a bucket with the name of its head.
func (s *testSite) listing(path string) map[string]string {
	s.t.Helper()
	out := make(map[string]string)
	var from []byte
	for {
		page, err := s.cat.List(path, catalog.ListOptions{From: from})
		if err != nil {
			s.t.Fatalf("%s: list: %v", s.name, err)
		}
		for _, it := range page.Items {
			out[string(it.Record.GetKey())] = keyOf(it.Record.GetDot()).String() + " " + it.Record.GetEtag()
		}
		if !page.Truncated {
			return out
		}
		from = page.Next
	}
}

// half is one end of a link in a test: what it offers and what it receives.
type half struct {
	site   *testSite
	peer   *testSite
	local  *Local // for the peer
	wire   *wire  // to the peer's Local
	engine *Engine
	opts   EngineOptions

	settings atomic.Pointer[Settings] // nil: nothing is limited
	terms    atomic.Pointer[Terms]    // of every bucket; nil: everything

	mu     sync.Mutex
	served []string
	fixed  []string // instead of served, and never changed

	stop    context.CancelFunc
	stopped chan struct{}
}

func (h *half) list() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fixed != nil {
		return h.fixed
	}
	return slices.Clone(h.served)
}

// serve replaces the list of buckets of this end.
func (h *half) serve(paths ...string) {
	h.mu.Lock()
	h.served = paths
	h.mu.Unlock()
	h.local.Kick()
	if h.engine != nil {
		h.engine.Kick()
	}
}

// connect makes both ends of a link between two sites; nothing runs yet.
func connect(t *testing.T, a, b *testSite, tune func(*EngineOptions), paths ...string) (x, y *half) {
	t.Helper()
	name := "hawaii"
	mk := func(s, p *testSite) *half {
		h := &half{site: s, peer: p, served: paths}
		l, err := NewLocal(LocalOptions{Site: s.site(), Service: name, Peer: p.id, PeerName: p.name, Settings: settingsFrom(&h.settings), Terms: h.termsOf, Served: h.list,
			Mend: func(path string, keys [][]byte) {
				if h.engine != nil {
					h.engine.Mend(path, keys)
				}
			}})
		if err != nil {
			t.Fatal(err)
		}
		h.local = l
		return h
	}
	x, y = mk(a, b), mk(b, a)
	x.wire, y.wire = newWire(t, y.local), newWire(t, x.local)
	for _, h := range []*half{x, y} {
		h.opts = EngineOptions{
			Site: h.site.site(), Service: name, Peer: h.peer.id, PeerName: h.peer.name, Settings: settingsFrom(&h.settings), Terms: h.termsOf,
			Source: h.wire, Codec: testCodec(),
			Accepts: func(path string) bool { return slices.Contains(h.list(), path) },
			EnsureBucket: func(_ context.Context, sb *linkpb.ServedBucket) error {
				h.site.ensureBucket(sb.GetPath())
				return nil
			},
			Rand: halfReader{},
		}
		if tune != nil {
			tune(&h.opts)
		}
	}
	return x, y
}

// halfReader is randomness that is always the same.
type halfReader struct{}

func (halfReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 0x5a
	}
	return len(p), nil
}

// start runs the engine of a half.
func (h *half) start() {
	h.site.t.Helper()
	e, err := NewEngine(h.opts)
	if err != nil {
		h.site.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.engine, h.stop, h.stopped = e, cancel, make(chan struct{})
	stopped := h.stopped
	go func() {
		defer close(stopped)
		_ = e.Run(ctx)
	}()
}

// halt stops the engine and waits for it.
func (h *half) halt() {
	if h.stop == nil {
		return
	}
	h.stop()
	<-h.stopped
	h.stop = nil
}

// until waits, in the bubble's time, for a condition.
func until(t *testing.T, within time.Duration, what string, cond func() bool) {
	t.Helper()
	began := time.Now()
	for {
		synctest.Wait()
		if cond() {
			return
		}
		waited := time.Since(began)
		if waited > within {
			t.Fatalf("after %s still not: %s", within, what)
		}
		pause(min(time.Second, 2*time.Millisecond+waited/20))
	}
}

// pause lets the bubble's time pass; nothing waits for it in real time.
func pause(d time.Duration) { <-time.After(d) }

// synced waits until both directions say that they are in sync.
func synced(t *testing.T, within time.Duration, halves ...*half) {
	t.Helper()
	until(t, within, "in sync", func() bool {
		for _, h := range halves {
			if h.engine.Status().State != StateInSync || !h.local.Status().InSync {
				return false
			}
		}
		return true
	})
}

// sameHeads checks that sites have the same heads, with their content.
func sameHeads(t *testing.T, path string, sites ...*testSite) {
	t.Helper()
	want := sites[0].listing(path)
	for _, s := range sites[1:] {
		got := s.listing(path)
		for k, v := range want {
			if got[k] != v {
				t.Errorf("key %s: %s has %q and %s has %q", k, sites[0].name, v, s.name, got[k])
			}
		}
		for k, v := range got {
			if _, ok := want[k]; !ok {
				t.Errorf("key %s: only %s has it, %q", k, s.name, v)
			}
		}
	}
	for _, s := range sites {
		for k := range want {
			s.read(path, k)
		}
		if err := s.cat.Check(context.Background(), path); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	}
}

// random makes content that does not compress and is the same for a seed.
func random(seed uint64, n int) []byte {
	r := rand.NewChaCha8([32]byte{0: byte(seed), 1: byte(seed >> 8), 2: byte(seed >> 16), 3: 1})
	out := make([]byte, n)
	_, _ = r.Read(out)
	return out
}
