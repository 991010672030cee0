package objsync

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/cdc"
	"edgefog.dev/isgw/chunks/chunkstest"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// simSite is a site that can lose its power. Like a real one it has a log, whose
// entries are synced before they are applied, a catalog in a Pebble without a
// write-ahead log, and a store of chunks. What was not synced is gone after a
// crash: the catalog is then that of some earlier entry, and what the log has more
// is applied again.
type simSite struct {
	*testSite
	rng *rand.Rand // of everything that may happen at any time; under mu

	// skew is how wrong the clock is; it changes only while the site is down. jump
	// is added for the stamps of entries, and may change at any time.
	skew, jump time.Duration

	fs    *vfs.MemFS
	log   []simEntry
	last  int64 // stamp of the last entry
	power *simPower
	held  *simChunks
}

// simEntry is an entry of the log, and what the catalog was once it was applied.
type simEntry struct {
	siteEntry
	result *raftfsmpb.Result
	digest []byte // nil until it was applied for the first time
}

// simPower is the time from one start of a site to its end.
type simPower struct {
	off   chan struct{} // closed when it goes
	turn  chan struct{} // held by whoever writes to the log
	users sync.WaitGroup
}

func (p *simPower) gone() bool {
	select {
	case <-p.off:
		return true
	default:
		return false
	}
}

var errPower = errors.New("the power is gone")

// keyEntries is where the number of entries applied lies beside the catalog.
var keyEntries = []byte("\x00entries")

func newSimSite(t *testing.T, n byte, seed uint64) *simSite {
	t.Helper()
	s := &simSite{
		testSite: &testSite{
			t: t, id: state.SiteID{0: 0x51, 15: n}, name: fmt.Sprintf("site%d", n), epoch: 1,
			splitter: cdc.NewSplitter(nil),
		},
		rng: rand.New(rand.NewPCG(seed, uint64(n))),
		fs:  vfs.NewCrashableMem(),
	}
	s.testSite.log = testLogger(t, s.name)
	s.held = newSimChunks(s)
	s.testSite.chunks = chunkstest.NewFaulty(t, s.held)
	s.testSite.commit = s.commit
	return s
}

// up reports whether the site runs.
func (s *simSite) up() bool { return s.power != nil }

// boot starts the site from what its disk has, and checks that what it applies again
// leads to where it was.
func (s *simSite) boot() {
	s.t.Helper()
	db, err := pebble.Open("", &pebble.Options{
		FS: s.fs, DisableWAL: true, Logger: quietPebble{s.t}, MemTableSize: 1 << 20,
		FormatMajorVersion: pebble.FormatNewest,
	})
	if err != nil {
		s.t.Fatalf("%s: open pebble after a crash: %v", s.name, err)
	}
	s.db = db
	if s.cat, err = catalog.New(db); err != nil {
		s.t.Fatalf("%s: new catalog: %v", s.name, err)
	}
	applied := uint64(0)
	if raw, closer, err := db.Get(keyEntries); err == nil {
		applied = binary.BigEndian.Uint64(raw)
		_ = closer.Close()
	}
	s.epoch, s.since = 1, 1
	for _, e := range s.log[:applied] {
		s.epoch, s.since = max(s.epoch, e.epoch, e.start), max(s.since, e.epoch)
	}
	s.cat.SetSelf(s.id, s.epoch, s.since)
	for i := int(applied); i < len(s.log); {
		n := min(len(s.log)-i, 1+s.rng.IntN(8))
		s.applyEntries(i, n)
		i += n
	}
	s.power = &simPower{off: make(chan struct{}), turn: make(chan struct{}, 1)}
	skew := s.skew
	s.clock = func() time.Time { return time.Now().Add(skew) }
	s.held.switchOn(s.power)
}

// applyEntries applies n entries of the log from the i-th on in one batch.
func (s *simSite) applyEntries(i, n int) {
	batch := s.db.NewIndexedBatch()
	defer func() { _ = batch.Close() }()
	b := s.cat.Begin(batch)
	for k := i; k < i+n; k++ {
		res := s.log[k].do(s.testSite, b)
		if s.log[k].digest == nil {
			s.log[k].result = res
		} else if res.GetCode() != s.log[k].result.GetCode() {
			s.t.Errorf("%s: entry %d was %v, and %v when it was applied again", s.name, k, s.log[k].result.GetCode(), res.GetCode())
		}
	}
	if err := b.Flush(); err != nil {
		s.t.Errorf("%s: flush: %v", s.name, err)
	}
	_ = batch.Set(keyEntries, binary.BigEndian.AppendUint64(nil, uint64(i+n)), nil)
	if err := batch.Commit(pebble.NoSync); err != nil {
		s.t.Errorf("%s: commit: %v", s.name, err)
	}
	b.Done()
	digest := s.cat.Digest()
	if was := s.log[i+n-1].digest; len(was) != 0 && !bytes.Equal(was, digest) {
		s.t.Errorf("%s: applied again, entry %d leads to another catalog", s.name, i+n-1)
	}
	s.log[i+n-1].digest = digest
	for k := i; k < i+n-1; k++ {
		if s.log[k].digest == nil {
			s.log[k].digest = []byte{} // not known, but it was applied
		}
	}
}

// draw draws from what happens at any time.
func (s *simSite) draw(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.IntN(n)
}

// commit takes an entry into the log. When the power goes while it is synced, it
// may be there or not, and nobody is told.
func (s *simSite) commit(ctx context.Context, e siteEntry) (*raftfsmpb.Result, error) {
	p := s.power
	if p == nil {
		return nil, errPower
	}
	select {
	case p.turn <- struct{}{}:
	case <-p.off:
		return nil, errPower
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.turn }()
	if p.gone() {
		return nil, errPower
	}
	s.mu.Lock()
	s.last = max(s.last, time.Now().Add(s.skew+s.jump).UnixNano())
	e.now = s.last
	s.mu.Unlock()
	select {
	case <-time.After(time.Duration(s.draw(3000)) * time.Microsecond):
	case <-p.off:
		if s.draw(2) == 0 {
			s.log = append(s.log, simEntry{siteEntry: e})
		}
		return nil, errPower
	}
	s.log = append(s.log, simEntry{siteEntry: e})
	s.applyEntries(len(s.log)-1, 1)
	if s.draw(20) == 0 {
		if err := s.db.Flush(); err != nil {
			s.t.Errorf("%s: flush: %v", s.name, err)
		}
	}
	return s.log[len(s.log)-1].result, nil
}

// cutPower ends everything that the site does itself. What others do with it must
// have ended, and what it does with others is told by its errors.
func (s *simSite) cutPower() { close(s.power.off) }

// fallen waits for the end of what was under way when the power went, and leaves on
// the disk what a crash leaves, or all of it when the end was orderly.
func (s *simSite) fallen(orderly bool) {
	p := s.power
	p.users.Wait()
	p.turn <- struct{}{}
	if orderly {
		if err := s.db.Flush(); err != nil {
			s.t.Errorf("%s: flush: %v", s.name, err)
		}
	}
	disk := s.fs.CrashClone(vfs.CrashCloneCfg{})
	if err := s.db.Close(); err != nil {
		s.t.Errorf("%s: close pebble: %v", s.name, err)
	}
	s.fs, s.power, s.last = disk, nil, 0
	s.db, s.cat = nil, nil
}

// simBackup is a copy of everything that a site has on its disk.
type simBackup struct {
	fs     *vfs.MemFS
	log    []simEntry
	chunks map[chunks.ID]chunks.Chunk
}

// backup copies the disk of a site that runs.
func (s *simSite) backup() *simBackup {
	s.power.turn <- struct{}{}
	defer func() { <-s.power.turn }()
	if err := s.db.Flush(); err != nil {
		s.t.Fatalf("%s: flush: %v", s.name, err)
	}
	return &simBackup{fs: s.fs.CrashClone(vfs.CrashCloneCfg{}), log: slices.Clone(s.log), chunks: s.held.copied()}
}

// restore puts a site that is down back to a backup.
func (s *simSite) restore(b *simBackup) {
	// The backup stays good for another time.
	s.fs, s.log = b.fs.CrashClone(vfs.CrashCloneCfg{}), slices.Clone(b.log)
	s.held.replace(b.chunks)
}

// simChunks is a store of chunks on the disk of a site.
type simChunks struct {
	s *simSite

	mu    sync.Mutex
	power *simPower
	mem   *chunkstest.Memory
	all   map[chunks.ID]chunks.Chunk
}

var _ chunks.Store = (*simChunks)(nil)

func newSimChunks(s *simSite) *simChunks {
	c := &simChunks{s: s}
	c.replace(nil)
	return c
}

func (c *simChunks) switchOn(p *simPower) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.power = p
}

func (c *simChunks) copied() map[chunks.ID]chunks.Chunk {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.all)
}

func (c *simChunks) replace(all map[chunks.ID]chunks.Chunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all, c.mem = make(map[chunks.ID]chunks.Chunk), chunkstest.NewMemory(testCodec())
	c.keep(slices.Collect(maps.Values(all)))
}

// keep makes chunks durable; mu is held.
func (c *simChunks) keep(batch []chunks.Chunk) {
	for _, ch := range batch {
		if _, ok := c.all[ch.ID]; !ok {
			ch.Data = bytes.Clone(ch.Data)
			c.all[ch.ID] = ch
		}
	}
	if err := c.mem.Put(context.Background(), batch); err != nil {
		c.s.t.Errorf("put chunks: %v", err)
	}
}

// on returns the store as it is, unless the power is gone.
func (c *simChunks) on() (*chunkstest.Memory, *simPower, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.power == nil || c.power.gone() {
		return nil, nil, errPower
	}
	return c.mem, c.power, nil
}

func (c *simChunks) Has(ctx context.Context, ids []chunks.ID, present []bool) error {
	mem, _, err := c.on()
	if err != nil {
		return err
	}
	return mem.Has(ctx, ids, present)
}

// Put stores chunks. Of those that are being synced when the power goes some are
// there afterwards.
func (c *simChunks) Put(ctx context.Context, batch []chunks.Chunk) error {
	_, p, err := c.on()
	if err != nil {
		return err
	}
	select {
	case <-time.After(time.Duration(c.s.draw(4000)) * time.Microsecond):
	case <-p.off:
		some := batch[:c.s.draw(len(batch)+1)]
		c.mu.Lock()
		defer c.mu.Unlock()
		c.keep(some)
		return errPower
	case <-ctx.Done():
		return ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(batch)
	return nil
}

func (c *simChunks) Get(ctx context.Context, id chunks.ID, b *chunks.Buffer) error {
	mem, _, err := c.on()
	if err != nil {
		return err
	}
	return mem.Get(ctx, id, b)
}

func (c *simChunks) GetStored(ctx context.Context, id chunks.ID, b *chunks.Buffer) error {
	return c.Get(ctx, id, b)
}

func (c *simChunks) Stats() chunks.Stats {
	mem, _, err := c.on()
	if err != nil {
		return chunks.Stats{}
	}
	return mem.Stats()
}

func (c *simChunks) Close() error { return nil }

// use commits what a user asks for, beside everything else that goes on. What the
// rules forbid is refused with a word; what the power ends may have happened.
func (s *simSite) use(content []byte, cmd *raftfsmpb.Command) {
	var batch []chunks.Chunk
	if w := cmd.GetWrite(); w != nil && w.GetRecord().GetKind() == catalogpb.RecordKind_RECORD_VERSION {
		w.Record.Root, batch = s.cut(content)
		w.Record.Etag = fmt.Sprintf("%x", chunks.Sum(content))
	}
	s.power.users.Go(func() {
		ctx := context.Background()
		if len(batch) > 0 && s.chunks.Put(ctx, batch) != nil {
			return
		}
		res, err := s.propose(ctx, cmd)
		if err == nil && res.GetCode() != raftfsmpb.Code_OK && res.GetMessage() == "" {
			s.t.Errorf("%s: refused without a word: %v", s.name, res.GetCode())
		}
	})
}

// cut splits content into the chunks of a version.
func (s *simSite) cut(content []byte) (*catalogpb.Root, []chunks.Chunk) {
	var batch []chunks.Chunk
	add := func(id chunks.ID, raw []byte) error {
		ch := testCodec().Encode(id, raw, nil)
		ch.Data = bytes.Clone(ch.Data)
		batch = append(batch, ch)
		return nil
	}
	b := manifest.NewBuilder(add)
	s.splitter.Reset(bytes.NewReader(content))
	for {
		raw, err := s.splitter.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			id := chunks.Sum(raw)
			_ = add(id, raw)
			err = b.Add(id, len(raw))
		}
		if err != nil {
			s.t.Fatalf("split: %v", err)
		}
	}
	ref, err := b.Finish()
	if err != nil {
		s.t.Fatalf("finish: %v", err)
	}
	if ref.IsEmpty() {
		return nil, nil
	}
	return &catalogpb.Root{Level: uint32(ref.Level), Id: ref.ID[:], Size: ref.Size}, batch
}
