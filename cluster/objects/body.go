package objects

import (
	"context"
	"crypto/md5"
	"fmt"
	"hash"
	"io"
	"sync"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/cdc"
	"edgefog.dev/isgw/chunks/manifest"
)

const (
	// storeWorkers hash, encode and store the blocks of one large body.
	storeWorkers = 2
	// maxInFlight is how many blocks of one body are being stored at most:
	// one for each worker and one to wait for each, so that a worker whose
	// block waits for the disk does not idle the other.
	maxInFlight = 2 * storeWorkers
	// hashBeside is the size from which a body of one block has its MD5 taken
	// by a goroutine of its own while it is stored.
	hashBeside = 128 << 10
	// maxEmptyReads is how often in a row a body may give nothing without an
	// error before it is taken to be broken.
	maxEmptyReads = 100
)

// content is what storing a body gives.
type content struct {
	ref manifest.Ref
	md5 [md5.Size]byte
}

// storeBody stores what body gives up to its io.EOF, whose bytes must be size
// unless size is negative, and returns when all of it is durable. The body is
// read by the calling goroutine only, and no longer when storeBody returns.
func (s *Store) storeBody(ctx context.Context, body io.Reader, size int64) (content, error) {
	b := s.firstBlock(size)
	n, eof, err := fill(body, b.buf)
	if err == nil {
		err = checkSize(int64(n), size, eof)
	}
	if err != nil {
		s.writing.put(b)
		return content{}, err
	}
	if eof {
		defer s.writing.put(b)
		return s.storeOne(ctx, b, b.buf[:n])
	}
	l := s.newLargeBody(ctx)
	defer l.close()
	return l.store(body, size, b, n)
}

// firstBlock returns the block that the beginning of a body is read into. A
// body of known size gets one that holds it and one byte more, so that its end
// is seen.
func (s *Store) firstBlock(size int64) *block {
	if size >= 0 && size < baseBlock {
		return s.writing.get(int(size) + 1)
	}
	if size >= baseBlock {
		if b := s.writing.tryBig(); b != nil {
			return b
		}
	}
	return s.writing.get(baseBlock)
}

// fill reads until buf is full or the body ends.
func fill(body io.Reader, buf []byte) (n int, eof bool, err error) {
	for empty := 0; n < len(buf); {
		m, err := body.Read(buf[n:])
		n += m
		if err == io.EOF {
			return n, true, nil
		}
		if err != nil {
			return n, false, fmt.Errorf("read body: %w", err)
		}
		if empty++; m > 0 {
			empty = 0
		}
		if empty == maxEmptyReads {
			return n, false, fmt.Errorf("read body: %w", io.ErrNoProgress)
		}
	}
	return n, false, nil
}

// checkSize compares the bytes that were read with those that were announced.
func checkSize(read, size int64, eof bool) error {
	if size < 0 || read == size || read < size && !eof {
		return nil
	}
	if read > size {
		return fmt.Errorf("the body has more than the announced %d bytes: %w", size, ErrBodySize)
	}
	return fmt.Errorf("the body ended after %d of the announced %d bytes: %w", read, size, ErrBodySize)
}

// storeOne stores a body that is whole in b. All its chunks and its manifest
// go to the store as one batch.
func (s *Store) storeOne(ctx context.Context, b *block, raw []byte) (content, error) {
	if len(raw) == 0 {
		return content{md5: md5.Sum(nil)}, nil
	}
	if len(raw) < hashBeside {
		ref, err := s.storeWhole(ctx, b, raw)
		return content{ref: ref, md5: md5.Sum(raw)}, err
	}
	var c content
	hashed := make(chan struct{})
	go func() {
		defer close(hashed)
		c.md5 = md5.Sum(raw)
	}()
	ref, err := s.storeWhole(ctx, b, raw)
	<-hashed
	c.ref = ref
	return c, err
}

func (s *Store) storeWhole(ctx context.Context, b *block, raw []byte) (manifest.Ref, error) {
	var ref manifest.Ref
	if n := cdc.Cut(raw, true); n == len(raw) {
		ref = manifest.Ref{ID: chunks.Sum(raw), Size: uint64(n)}
		b.pieces = append(b.pieces, piece{ref.ID, raw})
	} else {
		builder := manifest.NewBuilder(func(id chunks.ID, node []byte) error {
			b.pieces = append(b.pieces, piece{id, append([]byte(nil), node...)})
			return nil
		})
		for len(raw) > 0 {
			n := cdc.Cut(raw, true)
			p := piece{chunks.Sum(raw[:n]), raw[:n]}
			if err := builder.Add(p.id, n); err != nil {
				return ref, err
			}
			b.pieces = append(b.pieces, p)
			raw = raw[n:]
		}
		var err error
		if ref, err = builder.Finish(); err != nil {
			return ref, err
		}
	}
	return ref, s.storePieces(ctx, b)
}

// largeBody stores one body of several blocks. The calling goroutine reads
// and cuts; workers hash, encode and store whole blocks; one goroutine takes the
// MD5 in order. At most maxInFlight blocks are between them, and a body that
// gets no big block goes on with its one base block, in turns.
type largeBody struct {
	s      *Store
	ctx    context.Context
	cancel context.CancelFunc

	// Only the calling goroutine uses these.
	inFlight []*block // in the order of the content
	base     *block   // the base block when it is free
	hasBase  bool     // a base block was taken
	tail     []byte   // bytes after the last cut, until the next block is there
	builder  *manifest.Builder
	nodes    gather

	work chan *block
	sums chan *block
	md5  hash.Hash
	wg   sync.WaitGroup
}

func (s *Store) newLargeBody(ctx context.Context) *largeBody {
	l := &largeBody{s: s, nodes: gather{store: s},
		work: make(chan *block, maxInFlight), sums: make(chan *block, maxInFlight), md5: md5.New()}
	l.ctx, l.cancel = context.WithCancel(ctx)
	l.builder = manifest.NewBuilder(func(id chunks.ID, raw []byte) error { return l.nodes.add(l.ctx, id, raw) })
	work, sums := l.work, l.sums
	for range storeWorkers {
		l.wg.Go(func() {
			for b := range work {
				b.err = l.storeBlock(b)
				b.step()
			}
		})
	}
	l.wg.Go(func() {
		for b := range sums {
			for i := range b.pieces {
				l.md5.Write(b.pieces[i].raw)
			}
			b.step()
		}
	})
	return l
}

// step marks one of a block's steps done.
func (b *block) step() {
	if b.waiting.Add(-1) == 0 {
		b.done <- struct{}{}
	}
}

// close waits for the goroutines and gives all blocks back.
func (l *largeBody) close() {
	l.cancel()
	l.stop()
	for _, b := range l.inFlight {
		<-b.done
		l.s.writing.put(b)
	}
	l.s.writing.put(l.base)
	l.nodes.release()
}

// stop ends the goroutines once they have done what they were given.
func (l *largeBody) stop() {
	if l.work != nil {
		close(l.work)
		close(l.sums)
		l.work, l.sums = nil, nil
	}
	l.wg.Wait()
}

// store reads the rest of the body whose first n bytes are in b.
func (l *largeBody) store(body io.Reader, size int64, b *block, n int) (content, error) {
	if len(b.buf) == baseBlock {
		l.hasBase = true
	}
	read := int64(n)
	for eof := false; ; {
		l.tail = append(l.tail[:0], b.cut(b.buf[:n], eof)...)
		l.submit(b)
		if eof {
			break
		}
		var err error
		if b, err = l.next(); err != nil {
			return content{}, err
		}
		kept := copy(b.buf, l.tail)
		m := 0
		m, eof, err = fill(body, b.buf[kept:])
		n = kept + m
		read += int64(m)
		if err == nil {
			err = checkSize(read, size, eof)
		}
		if err != nil {
			l.giveBack(b)
			return content{}, err
		}
	}
	for len(l.inFlight) > 0 {
		if err := l.collect(); err != nil {
			return content{}, err
		}
	}
	ref, err := l.builder.Finish()
	if err != nil {
		return content{}, err
	}
	if err := l.nodes.flush(l.ctx); err != nil {
		return content{}, err
	}
	l.stop()
	c := content{ref: ref}
	l.md5.Sum(c.md5[:0])
	return c, nil
}

// cut divides raw into the pieces of b and returns what is left after the last
// cut, nothing at the end of the body.
func (b *block) cut(raw []byte, eof bool) []byte {
	for {
		n := cdc.Cut(raw, eof)
		if n == 0 {
			return raw
		}
		b.pieces = append(b.pieces, piece{raw: raw[:n]})
		raw = raw[n:]
	}
}

// submit hands a block to the workers. The channels have room for all blocks
// that may be in flight.
func (l *largeBody) submit(b *block) {
	b.waiting.Store(2)
	l.inFlight = append(l.inFlight, b)
	l.work <- b
	l.sums <- b
}

// storeBlock hashes and stores the pieces of a block.
func (l *largeBody) storeBlock(b *block) error {
	for i := range b.pieces {
		b.pieces[i].id = chunks.Sum(b.pieces[i].raw)
	}
	return l.s.storePieces(l.ctx, b)
}

// next returns a block to read into. It waits only for blocks of this body.
func (l *largeBody) next() (*block, error) {
	for {
		for len(l.inFlight) > 0 && len(l.inFlight[0].done) > 0 {
			if err := l.collect(); err != nil {
				return nil, err
			}
		}
		if len(l.inFlight) < maxInFlight {
			if b := l.s.writing.tryBig(); b != nil {
				return b, nil
			}
			if b := l.base; b != nil {
				l.base = nil
				return b, nil
			}
			if !l.hasBase {
				l.hasBase = true
				return l.s.writing.get(baseBlock), nil
			}
		}
		if err := l.collect(); err != nil {
			return nil, err
		}
	}
}

// collect waits for the oldest block in flight, adds its chunks to the
// manifest and gives it back.
func (l *largeBody) collect() error {
	b := l.inFlight[0]
	select {
	case <-b.done:
	case <-l.ctx.Done():
		return fmt.Errorf("store body: %w", context.Cause(l.ctx))
	}
	l.inFlight = append(l.inFlight[:0], l.inFlight[1:]...)
	err := b.err
	for i := range b.pieces {
		if err == nil {
			err = l.builder.Add(b.pieces[i].id, len(b.pieces[i].raw))
		}
	}
	l.giveBack(b)
	return err
}

// giveBack keeps the base block for the next turn and returns any other.
func (l *largeBody) giveBack(b *block) {
	b.reset()
	if len(b.buf) == baseBlock {
		l.base = b
		return
	}
	l.s.writing.put(b)
}
