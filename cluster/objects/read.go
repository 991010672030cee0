package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

const (
	// directLimit is the length of a range up to which chunks are read by the
	// calling goroutine, one after the other.
	directLimit = 512 << 10
	// maxAhead is how many chunks of one range are in memory at most.
	maxAhead = 8
	// fetchers read the chunks of one range.
	fetchers = 2
	// slotBytes is what a chunk takes in memory: its stored form and its raw
	// bytes.
	slotBytes = 2 * chunks.MaxRaw
)

// Object is a version that can be read. It stays readable when the key gets
// another version.
type Object struct {
	// Record describes the version. It must not be changed.
	Record *catalogpb.Record

	store *Store
	ref   manifest.Ref
}

// Get returns the content of a key for reading. The errors are those of Head.
func (s *Store) Get(ctx context.Context, bucket, key string) (*Object, error) {
	rec, err := s.Head(ctx, bucket, key)
	if err != nil {
		return nil, err
	}
	return s.Open(rec)
}

// Open returns the version of a record for reading. The error wraps
// chunks.ErrCorrupt when the record's root cannot be one.
func (s *Store) Open(rec *catalogpb.Record) (*Object, error) {
	ref, err := RootRef(rec.GetRoot())
	if err != nil {
		return nil, fmt.Errorf("open object %q: %w", rec.GetKey(), err)
	}
	return &Object{Record: rec, store: s, ref: ref}, nil
}

// Size returns the length of the content in bytes.
func (o *Object) Size() int64 { return int64(o.ref.Size) }

// Reader returns a reader of n bytes from off; n is -1 for all that follow. A
// range that does not lie in the content is ErrRange. Nothing is read before
// the first call of one of the reader's methods. The reader must be closed, and
// the context must last until then.
func (o *Object) Reader(ctx context.Context, off, n int64) (*Reader, error) {
	size := o.Size()
	if n < 0 {
		n = size - off
	}
	if off < 0 || n < 0 || off > size || n > size-off {
		return nil, fmt.Errorf("read %d bytes at %d of %d: %w", n, off, size, ErrRange)
	}
	return &Reader{o: o, ctx: ctx, off: uint64(off), left: uint64(n)}, nil
}

// Reader gives the verified bytes of a range. It must not be used by two
// goroutines at once. After an error every call returns that error.
type Reader struct {
	o    *Object
	ctx  context.Context
	off  uint64 // of the next byte that was not taken from a chunk
	left uint64 // bytes of the range from there
	cur  []byte // bytes taken and not given
	err  error

	src source
}

// source gives the chunks of a range in order.
type source interface {
	// next returns the next chunk and its place; the bytes are valid until
	// the call after. The error is io.EOF after the last.
	next() (manifest.Leaf, []byte, error)
	// close releases everything and waits for what runs.
	close()
}

// Prime reads the first chunk, so that a failure can still be reported before
// any byte was given.
func (r *Reader) Prime() error {
	if len(r.cur) == 0 && r.left > 0 {
		r.advance()
	}
	return r.err
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(r.cur) == 0 && !r.advance() {
		return 0, r.err
	}
	n := copy(p, r.cur)
	r.cur = r.cur[n:]
	return n, nil
}

// WriteTo implements io.WriterTo without a copy of the bytes.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for len(r.cur) > 0 || r.advance() {
		n, err := w.Write(r.cur)
		total += int64(n)
		r.cur = r.cur[n:]
		if err != nil {
			return total, err
		}
	}
	if errors.Is(r.err, io.EOF) {
		return total, nil
	}
	return total, r.err
}

// Failed returns the error that ended the reading early, or nil while there is
// none. The end of the range and Close are no failures.
func (r *Reader) Failed() error {
	if r.err == nil || r.err == io.EOF || r.err == errReaderClosed {
		return nil
	}
	return r.err
}

var errReaderClosed = errors.New("read object: the reader is closed")

// Close releases the reader and waits for its goroutines. It returns nil.
func (r *Reader) Close() error {
	if r.src != nil {
		r.src.close()
		r.src = nil
	}
	r.cur = nil
	if r.err == nil {
		r.err = errReaderClosed
	}
	return nil
}

// advance takes the next chunk and reports whether there are bytes to give.
func (r *Reader) advance() bool {
	if r.err != nil {
		return false
	}
	if r.left == 0 {
		r.err = io.EOF
		return false
	}
	if r.src == nil {
		r.src = r.open()
	}
	leaf, raw, err := r.src.next()
	if err == io.EOF {
		err = fmt.Errorf("the manifest ends %d bytes early: %w", r.left, chunks.ErrCorrupt)
	}
	if err == nil && (uint64(len(raw)) != leaf.Size || r.off < leaf.Offset || r.off >= leaf.Offset+leaf.Size) {
		err = fmt.Errorf("chunk %s has %d bytes at %d where %d at %d were due: %w", leaf.ID, len(raw), leaf.Offset, leaf.Size, r.off, chunks.ErrCorrupt)
	}
	if err != nil {
		r.err = fmt.Errorf("read object %q: %w", r.o.Record.GetKey(), err)
		return false
	}
	raw = raw[r.off-leaf.Offset:]
	raw = raw[:min(uint64(len(raw)), r.left)]
	r.off += uint64(len(raw))
	r.left -= uint64(len(raw))
	r.cur = raw
	return true
}

func (r *Reader) open() source {
	if r.left <= directLimit {
		return &direct{s: r.o.store, ctx: r.ctx, ref: r.o.ref, off: r.off, n: r.left}
	}
	return openAhead(r.ctx, r.o.store, r.o.ref, r.off, r.left)
}

var buffers = sync.Pool{New: func() any { return new(chunks.Buffer) }}

// direct reads the chunks of a short range one by one.
type direct struct {
	s      *Store
	ctx    context.Context
	ref    manifest.Ref
	off, n uint64
	leaves []manifest.Leaf
	listed bool
	buf    *chunks.Buffer
}

func (d *direct) next() (manifest.Leaf, []byte, error) {
	if !d.listed {
		d.listed = true
		if err := manifest.Leaves(d.ctx, d.s.chunks.Get, d.ref, d.off, d.n, func(l manifest.Leaf) error {
			d.leaves = append(d.leaves, l)
			return nil
		}); err != nil {
			return manifest.Leaf{}, nil, err
		}
	}
	if len(d.leaves) == 0 {
		return manifest.Leaf{}, nil, io.EOF
	}
	if d.buf == nil {
		d.buf = buffers.Get().(*chunks.Buffer)
	}
	leaf := d.leaves[0]
	d.leaves = d.leaves[1:]
	if err := d.s.chunks.Get(d.ctx, leaf.ID, d.buf); err != nil {
		return leaf, nil, err
	}
	return leaf, d.buf.Raw, nil
}

func (d *direct) close() {
	if d.buf != nil {
		buffers.Put(d.buf)
		d.buf = nil
	}
}

// readBudget bounds the chunks that all ranges together hold ahead of the one
// that each may have in any case.
type readBudget struct{ free atomic.Int64 }

func newReadBudget(memory int64) *readBudget {
	b := new(readBudget)
	b.free.Store(memory / slotBytes)
	return b
}

func (b *readBudget) take() bool {
	if b.free.Add(-1) >= 0 {
		return true
	}
	b.free.Add(1)
	return false
}

func (b *readBudget) give(n int) { b.free.Add(int64(n)) }

// ahead reads the chunks of a range before they are asked for. One goroutine
// walks the manifest and hands each leaf, with a free slot, to the fetchers and,
// in order, to the consumer.
type ahead struct {
	s      *Store
	cancel context.CancelFunc
	wg     sync.WaitGroup

	free  chan *slot // slots nobody uses
	order chan *slot // slots in the order of the content
	work  chan *slot
	slots int   // taken from the budget, beside the one that is always there
	err   error // of the walk; valid when order is closed

	last *slot // the slot whose bytes the consumer has
}

type slot struct {
	leaf manifest.Leaf
	buf  *chunks.Buffer
	err  error
	done chan struct{} // gets one value when buf is filled
}

func openAhead(ctx context.Context, s *Store, ref manifest.Ref, off, n uint64) *ahead {
	a := &ahead{s: s,
		free: make(chan *slot, maxAhead), order: make(chan *slot, maxAhead), work: make(chan *slot, maxAhead)}
	for i := range maxAhead {
		if i > 0 && !s.reading.take() {
			break
		}
		if i > 0 {
			a.slots++
		}
		a.free <- &slot{buf: buffers.Get().(*chunks.Buffer), done: make(chan struct{}, 1)}
	}
	ctx, a.cancel = context.WithCancel(ctx)
	a.wg.Go(func() {
		a.err = manifest.Leaves(ctx, s.chunks.Get, ref, off, n, func(l manifest.Leaf) error {
			select {
			case sl := <-a.free:
				sl.leaf = l
				// Neither blocks: the channels have room for every slot.
				a.order <- sl
				a.work <- sl
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		close(a.order)
		close(a.work)
	})
	for range fetchers {
		a.wg.Go(func() {
			for sl := range a.work {
				sl.err = s.chunks.Get(ctx, sl.leaf.ID, sl.buf)
				sl.done <- struct{}{}
			}
		})
	}
	return a
}

func (a *ahead) next() (manifest.Leaf, []byte, error) {
	if a.last != nil {
		a.free <- a.last
		a.last = nil
	}
	sl, ok := <-a.order
	if !ok {
		if a.err != nil {
			return manifest.Leaf{}, nil, a.err
		}
		return manifest.Leaf{}, nil, io.EOF
	}
	<-sl.done
	a.last = sl
	return sl.leaf, sl.buf.Raw, sl.err
}

func (a *ahead) close() {
	a.cancel()
	a.wg.Wait()
	if a.last != nil {
		buffers.Put(a.last.buf)
		a.last = nil
	}
	for sl := range a.order {
		buffers.Put(sl.buf)
	}
	for len(a.free) > 0 {
		buffers.Put((<-a.free).buf)
	}
	a.s.reading.give(a.slots)
}
