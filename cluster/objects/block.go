package objects

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"edgefog.dev/isgw/chunks"
)

const (
	// bigBlock is the buffer of a body that does not fit in less: what one
	// batch of chunks gathers, 2 MiB.
	bigBlock = 2 << 20
	// baseBlock is what every write may have although no big block is free:
	// room for the longest chunk twice, so that a cut is always found in it.
	baseBlock = 2 * chunks.MaxRaw
	// smallestBlock is the least buffer of a body of known size.
	smallestBlock = 4 << 10
	// encodeSlack is what zstd may add to data that it cannot compress.
	encodeSlack = 1 << 10
)

// piece is a chunk whose raw bytes are in a buffer of its block.
type piece struct {
	id  chunks.ID
	raw []byte
}

// block is a buffer of raw bytes with the memory that storing them takes. It
// belongs to one goroutine at a time.
type block struct {
	buf    []byte  // raw bytes, at its full length
	pieces []piece // of this block, in the order of the content

	arena   []byte // encoded bytes
	ids     []chunks.ID
	present []bool
	batch   []chunks.Chunk

	// For blocks that are stored by another goroutine than the reading one.
	waiting atomic.Int32  // steps that are not done yet
	done    chan struct{} // gets one value when the last step is done
	err     error         // of storing; valid after done
}

func newBlock(size int) *block {
	return &block{buf: make([]byte, size), done: make(chan struct{}, 1)}
}

// reset drops the pieces and keeps the memory.
func (b *block) reset() {
	clear(b.pieces)
	b.pieces = b.pieces[:0]
	b.err = nil
}

// blockPool hands out blocks. Big ones are bounded in number; the smaller ones
// are bounded by the number of writes under way.
type blockPool struct {
	bigFree atomic.Int64
	pools   [22]sync.Pool // by the binary logarithm of the size, up to bigBlock's
}

// newBlockPool bounds the big blocks to memory bytes, counting twice what they
// hold, because the encoded bytes take as much again. There is at least one.
func newBlockPool(memory int64) *blockPool {
	p := new(blockPool)
	p.bigFree.Store(max(1, memory/(2*bigBlock)))
	return p
}

// get returns a block of at least size bytes, which is at most baseBlock.
func (p *blockPool) get(size int) *block {
	size = max(size, smallestBlock)
	return p.take(bits.Len(uint(size - 1)))
}

// tryBig returns a big block, or nil when all are in use.
func (p *blockPool) tryBig() *block {
	if p.bigFree.Add(-1) < 0 {
		p.bigFree.Add(1)
		return nil
	}
	return p.take(bits.Len(uint(bigBlock - 1)))
}

func (p *blockPool) take(class int) *block {
	if b, ok := p.pools[class].Get().(*block); ok {
		return b
	}
	return newBlock(1 << class)
}

// put takes a block back. Nothing may use it or its pieces any more.
func (p *blockPool) put(b *block) {
	if b == nil {
		return
	}
	b.reset()
	p.pools[bits.Len(uint(len(b.buf)-1))].Put(b)
	if len(b.buf) == bigBlock {
		p.bigFree.Add(1)
	}
}

// storePieces makes the pieces of b durable: those that the store lacks are
// encoded, and all of them are put in one batch.
func (s *Store) storePieces(ctx context.Context, b *block) error {
	n := len(b.pieces)
	if n == 0 {
		return nil
	}
	b.ids, b.present = b.ids[:0], slices.Grow(b.present[:0], n)[:n]
	for i := range b.pieces {
		b.ids = append(b.ids, b.pieces[i].id)
	}
	clear(b.present)
	if err := s.chunks.Has(ctx, b.ids, b.present); err != nil {
		return fmt.Errorf("look up %d chunks: %w", n, err)
	}
	if cap(b.arena) == 0 && slices.Contains(b.present, false) {
		b.arena = make([]byte, 0, len(b.buf)+encodeSlack)
	}
	// A chunk's encoding is kept only when it is shorter than the chunk, so
	// that the rest of the arena always suffices for the chunks that follow.
	arena := b.arena
	b.batch = b.batch[:0]
	for i := range b.pieces {
		p := &b.pieces[i]
		// The same bytes twice in one block, as in a sparse file, go once.
		if b.present[i] || slices.Contains(b.ids[:i], p.id) {
			continue
		}
		c := s.codec.Encode(p.id, p.raw, arena)
		if c.Encoding != chunks.Raw {
			used := min(len(c.Data), cap(arena))
			arena = arena[used:used]
		}
		b.batch = append(b.batch, c)
	}
	if len(b.batch) == 0 {
		return nil
	}
	err := s.chunks.Put(ctx, b.batch)
	clear(b.batch)
	if err != nil {
		return fmt.Errorf("store %d chunks: %w", len(b.batch), err)
	}
	return nil
}

// gather collects pieces whose bytes are elsewhere, and stores them when a
// block is full. It is for manifest nodes and for chunks at seams.
type gather struct {
	store *Store
	b     *block
	used  int
}

// add copies raw.
func (g *gather) add(ctx context.Context, id chunks.ID, raw []byte) error {
	if g.b == nil {
		g.b = g.store.writing.get(baseBlock)
	}
	if g.used+len(raw) > len(g.b.buf) {
		if err := g.flush(ctx); err != nil {
			return err
		}
	}
	p := g.b.buf[g.used : g.used+len(raw)]
	g.used += copy(p, raw)
	g.b.pieces = append(g.b.pieces, piece{id, p})
	return nil
}

// flush stores what was added.
func (g *gather) flush(ctx context.Context) error {
	if g.b == nil {
		return nil
	}
	err := g.store.storePieces(ctx, g.b)
	g.b.reset()
	g.used = 0
	return err
}

// release gives the block back; what was not flushed is dropped.
func (g *gather) release() {
	g.store.writing.put(g.b)
	g.b = nil
}
