package chunkstest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"edgefog.dev/isgw/chunks"
)

// Memory is a chunks.Store that keeps chunks in memory without bound. It is the
// reference: short enough to be seen to be right. Its methods may be called by
// any number of goroutines at once.
type Memory struct {
	codec *chunks.Codec

	mu     sync.Mutex
	chunks map[chunks.ID]chunks.Chunk // nil when closed
	stats  chunks.Stats
}

var _ chunks.Store = (*Memory)(nil)

// NewMemory returns an empty store that verifies with codec.
func NewMemory(codec *chunks.Codec) *Memory {
	return &Memory{codec: codec, chunks: make(map[chunks.ID]chunks.Chunk)}
}

// begin locks the store for a call that may go ahead.
func (m *Memory) begin(ctx context.Context, what string) error {
	m.mu.Lock()
	err := ctx.Err()
	if err == nil && m.chunks == nil {
		err = chunks.ErrClosed
	}
	if err != nil {
		m.mu.Unlock()
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Has implements chunks.Store.
func (m *Memory) Has(ctx context.Context, ids []chunks.ID, present []bool) error {
	if err := m.begin(ctx, "look up chunks"); err != nil {
		return err
	}
	defer m.mu.Unlock()
	for i, id := range ids {
		_, present[i] = m.chunks[id]
	}
	m.stats.LookupsMade += uint64(len(ids))
	return nil
}

// Put implements chunks.Store.
func (m *Memory) Put(ctx context.Context, batch []chunks.Chunk) error {
	if err := m.begin(ctx, "put chunks"); err != nil {
		return err
	}
	defer m.mu.Unlock()
	for _, c := range batch {
		if _, ok := m.chunks[c.ID]; ok {
			continue
		}
		c.Data = slices.Clone(c.Data)
		m.chunks[c.ID] = c
		m.stats.Chunks++
		m.stats.Written++
		m.stats.Bytes += uint64(len(c.Data))
	}
	m.stats.DiskBytes = m.stats.Bytes
	m.stats.Syncs++
	return nil
}

// Get implements chunks.Store.
func (m *Memory) Get(ctx context.Context, id chunks.ID, b *chunks.Buffer) error {
	if err := m.begin(ctx, "get chunk"); err != nil {
		return err
	}
	c, ok := m.chunks[id]
	m.mu.Unlock()
	if !ok {
		return fmt.Errorf("get chunk %s: %w", id, chunks.ErrNotFound)
	}
	data := b.Data(len(c.Data))
	copy(data, c.Data)
	c.Data = data
	b.Chunk = c
	if err := m.codec.Decode(b); err != nil {
		m.mu.Lock()
		m.stats.Corrupt++
		m.mu.Unlock()
		return err
	}
	return nil
}

// GetStored implements chunks.Store.
func (m *Memory) GetStored(ctx context.Context, id chunks.ID, b *chunks.Buffer) error {
	return m.Get(ctx, id, b)
}

// Damage flips a bit of a chunk that the store holds, and reports whether it
// does.
func (m *Memory) Damage(id chunks.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.chunks[id]
	if ok {
		c.Data = slices.Clone(c.Data) // Get may be copying the old bytes
		c.Data[len(c.Data)/2] ^= 1
		m.chunks[id] = c
	}
	return ok
}

// Drop removes a chunk, and reports whether the store held it.
func (m *Memory) Drop(id chunks.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.chunks[id]
	if ok {
		delete(m.chunks, id)
		m.stats.Chunks--
		m.stats.Bytes -= uint64(len(c.Data))
	}
	return ok
}

// Stats implements chunks.Store.
func (m *Memory) Stats() chunks.Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

// Close implements chunks.Store.
func (m *Memory) Close() error {
	if err := m.begin(context.Background(), "close chunk store"); err != nil {
		return err
	}
	m.chunks = nil
	m.mu.Unlock()
	return nil
}
