package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"edgefog.dev/isgw/chunks"
)

// Store is a chunks.Store in a local directory. Its methods may be called by
// any number of goroutines at once.
type Store struct {
	opts        Options
	segmentsDir string
	lock        io.Closer
	index       *index
	filter      *filter
	readers     readers
	queue       *queue
	committer   *committer

	// calls are the calls under way, which Close waits for. They are counted
	// and not held by a lock, because fn of Chunks may call the store.
	calls  sync.WaitGroup
	life   sync.RWMutex // held to begin a call
	closed bool         // guarded by life

	// indexMu is held from reading a location to writing it changed. Nothing
	// else is locked before or after it.
	indexMu sync.Mutex

	stop       context.CancelFunc // ends the filter's loading
	stopCommit chan struct{}
	workers    sync.WaitGroup
	requests   sync.Pool // of *request

	held, bytes                     atomic.Uint64 // written under indexMu
	written, corrupt, syncs, looked atomic.Uint64
	diskBytes                       atomic.Int64
}

var _ chunks.Store = (*Store)(nil)

// Open opens the store in o.Dir and makes it when there is none. It recovers
// from whatever ended the last use, as the package's comment says; ctx bounds
// that, and an Open that was ended can be repeated. The time of a recovery is
// that of reading the unsealed segments, of which there is at most one after a
// crash; when the index is lost, that of reading all of them. Two stores cannot
// be open on one directory.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	if o.Codec == nil {
		codec, err := chunks.NewCodec()
		if err != nil {
			return nil, fmt.Errorf("open chunk store: %w", err)
		}
		o.Codec = codec
	}
	s := &Store{
		opts:        o,
		segmentsDir: o.FS.PathJoin(o.Dir, segmentsName),
		filter:      newFilter(o.FilterBytes),
		queue:       newQueue(o.GroupBytes),
		stopCommit:  make(chan struct{}),
	}
	s.readers = readers{fs: o.FS, dir: s.segmentsDir, limit: o.MaxOpenSegments, open: make(map[uint32]*reader)}
	s.requests.New = func() any { return &request{done: make(chan error, 1)} }
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("open chunk store %s: %w", o.Dir, err)
	}
	return s, nil
}

// open does the work of Open and leaves nothing open when it fails.
func (s *Store) open(ctx context.Context) (err error) {
	o := &s.opts
	if err := makeDirs(o.FS, s.segmentsDir); err != nil {
		return err
	}
	s.lock, err = o.FS.Lock(o.FS.PathJoin(o.Dir, lockName))
	if err != nil {
		return fmt.Errorf("lock the directory (does another process use it?): %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.lock.Close())
		}
	}()
	if err := checkFormat(o.FS, o.Dir); err != nil {
		return err
	}
	if err := s.openOrRebuild(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.index.close())
		}
	}()
	held, bytes, err := s.index.counts()
	if err != nil {
		return err
	}
	s.held.Store(held)
	s.bytes.Store(bytes)
	next, err := s.recoverSegments(ctx)
	if err != nil {
		return err
	}
	s.committer = &committer{
		s: s,
		w: segmentWriter{
			fs: o.FS, dir: s.segmentsDir, size: o.SegmentSize, reserve: max(0, o.ReserveBytes), next: next,
			buf: make([]byte, 0, writeSize+recordHeaderSize),
		},
		seen:  make(map[chunks.ID]struct{}),
		ended: make(map[uint32]mark),
	}
	loading, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.workers.Go(func() { s.loadFilter(loading) })
	s.workers.Go(func() { s.committer.run(s.stopCommit) })
	return nil
}

// loadFilter adds the index's chunks to the filter. Until it is done look-ups
// go to the index, so a large store opens at once.
func (s *Store) loadFilter(ctx context.Context) {
	err := s.index.locations(ctx, func(id chunks.ID, _ location) error {
		s.filter.add(&id)
		return nil
	})
	if err != nil {
		if ctx.Err() == nil {
			s.opts.Logger.Error("chunk store: load the filter", "err", err)
		}
		return
	}
	s.filter.ready.Store(true)
}

// enter begins a call; leave ends it.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return chunks.ErrClosed
	}
	s.calls.Add(1)
	return nil
}

func (s *Store) leave() { s.calls.Done() }

// find returns where a chunk lies. The filter spares most look-ups of chunks
// that are not there.
func (s *Store) find(id *chunks.ID) (location, bool, error) {
	if !s.filter.maybe(id) {
		return location{}, false, nil
	}
	return s.index.lookup(id)
}

// Has implements chunks.Store. A chunk that is known to be damaged is absent.
func (s *Store) Has(ctx context.Context, ids []chunks.ID, present []bool) error {
	if len(ids) != len(present) {
		panic(fmt.Sprintf("store: Has of %d IDs with room for %d answers", len(ids), len(present)))
	}
	if err := s.enter(ctx); err != nil {
		return fmt.Errorf("look up chunks: %w", err)
	}
	defer s.leave()
	if s.index.failed.Load() {
		return fmt.Errorf("look up chunks: %w", errIndexFailed)
	}
	s.looked.Add(uint64(len(ids)))
	for i := range ids {
		if i%1024 == 1023 && ctx.Err() != nil {
			return fmt.Errorf("look up chunks: %w", ctx.Err())
		}
		loc, found, err := s.find(&ids[i])
		if err != nil {
			return err
		}
		present[i] = found && !loc.damaged
	}
	return nil
}

// Put implements chunks.Store. Batches of several MiB use the disk best, but
// small ones that are put at the same time are committed together. When ctx
// ends while the batch is being written, Put waits for the result and returns
// that.
func (s *Store) Put(ctx context.Context, batch []chunks.Chunk) error {
	for i := range batch {
		if err := checkChunk(&batch[i]); err != nil {
			return err
		}
	}
	if err := s.enter(ctx); err != nil {
		return fmt.Errorf("put chunks: %w", err)
	}
	defer s.leave()
	if s.index.failed.Load() {
		return fmt.Errorf("put chunks: %w", errIndexFailed)
	}
	r := s.requests.Get().(*request)
	defer func() {
		clear(r.batch)
		r.batch, r.bytes = r.batch[:0], 0
		s.requests.Put(r)
	}()
	for i := range batch {
		loc, found, err := s.find(&batch[i].ID)
		if err != nil {
			return err
		}
		if !found || loc.damaged {
			r.batch = append(r.batch, batch[i])
			r.bytes += int64(len(batch[i].Data))
		}
	}
	if len(r.batch) == 0 {
		return nil
	}
	return s.queue.do(ctx, r)
}

// checkChunk refuses what no codec makes, because it could not be read again.
func checkChunk(c *chunks.Chunk) error {
	if c.ID.IsZero() || !c.Encoding.Valid() || c.RawLen == 0 || c.RawLen > chunks.MaxRaw ||
		len(c.Data) == 0 || len(c.Data) > int(c.RawLen) {
		return fmt.Errorf("put chunk %s: encoding %d, %d raw bytes, %d stored bytes: %w",
			c.ID, c.Encoding, c.RawLen, len(c.Data), chunks.ErrCorrupt)
	}
	return nil
}

// Get implements chunks.Store. A chunk that cannot be verified twice is marked
// as damaged.
func (s *Store) Get(ctx context.Context, id chunks.ID, b *chunks.Buffer) error {
	if err := s.enter(ctx); err != nil {
		return fmt.Errorf("get chunk %s: %w", id, err)
	}
	defer s.leave()
	loc, found, err := s.find(&id)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("get chunk %s: %w", id, chunks.ErrNotFound)
	}
	err = s.read(id, loc, b)
	if err == nil || !errors.Is(err, chunks.ErrCorrupt) {
		return err
	}
	// The chunk may have been replaced meanwhile, or the fault have been one
	// of memory: only a second failure in the same place counts.
	again, found, findErr := s.find(&id)
	if findErr == nil && found {
		if err = s.read(id, again, b); err == nil || !errors.Is(err, chunks.ErrCorrupt) {
			return err
		}
	}
	s.corrupt.Add(1)
	if found && !again.damaged {
		s.opts.Logger.Error("chunk store: a chunk is damaged", "chunk", id, "segment", segmentName(again.segment), "offset", again.offset, "err", err)
		if markErr := s.markDamaged(&id, again); markErr != nil {
			s.opts.Logger.Error("chunk store: mark a damaged chunk", "chunk", id, "err", markErr)
		}
	}
	return err
}

// GetStored implements chunks.Store. What the check of a record does not vouch
// for is read again by Get, which says what is wrong with it.
func (s *Store) GetStored(ctx context.Context, id chunks.ID, b *chunks.Buffer) error {
	if err := s.enter(ctx); err != nil {
		return fmt.Errorf("get chunk %s: %w", id, err)
	}
	defer s.leave()
	loc, found, err := s.find(&id)
	if err != nil {
		return err
	}
	if found && !loc.damaged && s.readStored(&id, loc, b) {
		return nil
	}
	return s.Get(ctx, id, b)
}

// readStored reads the record at loc and reports whether its check is right.
func (s *Store) readStored(id *chunks.ID, loc location, b *chunks.Buffer) bool {
	if loc.offset < recordHeaderSize {
		return false
	}
	data := b.Data(recordHeaderSize + int(loc.storedLen))
	b.Chunk, b.Raw = chunks.Chunk{}, nil
	if s.readers.readAt(loc.segment, data, int64(loc.offset)-recordHeaderSize) != nil {
		return false
	}
	rec, ok := parseRecordHeader(data)
	stored := data[recordHeaderSize:]
	if !ok || rec.id != *id || rec.encoding != loc.encoding || rec.rawLen != loc.rawLen ||
		rec.storedLen != loc.storedLen || rec.check == 0 || rec.check != checkOf(stored) {
		return false
	}
	b.Chunk = chunks.Chunk{ID: *id, Encoding: rec.encoding, RawLen: rec.rawLen, Data: stored}
	return true
}

// read reads and verifies the chunk at loc.
func (s *Store) read(id chunks.ID, loc location, b *chunks.Buffer) error {
	data := b.Data(int(loc.storedLen))
	b.Chunk, b.Raw = chunks.Chunk{}, nil
	if err := s.readers.readAt(loc.segment, data, int64(loc.offset)); err != nil {
		return fmt.Errorf("get chunk %s: %w", id, err)
	}
	b.Chunk = chunks.Chunk{ID: id, Encoding: loc.encoding, RawLen: loc.rawLen, Data: data}
	return s.opts.Codec.Decode(b)
}

// markDamaged marks the chunk at loc, unless it lies elsewhere by now. The mark
// need not be durable: it is found again.
func (s *Store) markDamaged(id *chunks.ID, loc location) error {
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	now, found, err := s.index.lookup(id)
	if err != nil || !found || now != loc {
		return err
	}
	loc.damaged = true
	u := s.index.update()
	u.setLocation(id, loc)
	return u.commit(false)
}

// Stats implements chunks.Store. Chunks and Bytes include what is marked as
// damaged; DiskBytes are the lengths of the segments, without what is
// preallocated in the last.
func (s *Store) Stats() chunks.Stats {
	return chunks.Stats{
		Chunks:      s.held.Load(),
		Bytes:       s.bytes.Load(),
		Written:     s.written.Load(),
		Corrupt:     s.corrupt.Load(),
		Syncs:       s.syncs.Load(),
		DiskBytes:   uint64(s.diskBytes.Load()),
		LookupsMade: s.looked.Load(),
	}
}

// Close implements chunks.Store. A second Close returns chunks.ErrClosed.
func (s *Store) Close() error {
	s.life.Lock()
	closed := s.closed
	s.closed = true
	s.life.Unlock()
	if closed {
		return fmt.Errorf("close chunk store %s: %w", s.opts.Dir, chunks.ErrClosed)
	}
	s.calls.Wait()
	s.stop()
	close(s.stopCommit)
	s.workers.Wait()
	err := errors.Join(s.committer.seal(), s.readers.close(), s.index.close(), s.lock.Close())
	if err != nil {
		return fmt.Errorf("close chunk store %s: %w", s.opts.Dir, err)
	}
	return nil
}
