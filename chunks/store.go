package chunks

import (
	"context"
	"errors"
)

var (
	// ErrNotFound says that a store does not hold a chunk.
	ErrNotFound = errors.New("chunk not found")
	// ErrCorrupt says that bytes do not hold the chunk that they claim to hold.
	ErrCorrupt = errors.New("chunk is corrupt")
	// ErrClosed says that a store was closed.
	ErrClosed = errors.New("chunk store is closed")
	// ErrNoSpace says that a store's disk is full. Nothing of the batch was stored.
	ErrNoSpace = errors.New("no space left for chunks")
)

// Store keeps chunks. Every method may be called by any number of goroutines
// at once, and returns ctx.Err() (wrapped) when the context ends first.
type Store interface {
	// Has sets present[i] to whether the store holds ids[i]; the slices are of
	// equal length. A chunk that is reported present is durable.
	Has(ctx context.Context, ids []ID, present []bool) error

	// Put stores the chunks of a batch. When it returns nil all of them are
	// durable; when it returns an error any of them may be. Chunks that are
	// there already cost a look-up. The caller vouches for the chunks: each
	// was made by Codec.Encode or has passed Codec.Decode. Put does not keep
	// the slices after it returns.
	Put(ctx context.Context, batch []Chunk) error

	// Get reads a chunk into b and verifies it: b.Chunk is the stored form,
	// b.Raw the raw bytes, both valid until b is used again. The error is
	// ErrNotFound or ErrCorrupt (wrapped) when the chunk is absent or its
	// bytes are damaged.
	Get(ctx context.Context, id ID, b *Buffer) error

	// GetStored reads the stored form of a chunk into b.Chunk, for whoever
	// passes it on to a place that decodes it against its ID; b.Raw may be
	// empty. It is not decoded here if the store can tell more cheaply that
	// its disk returned what was written. Errors are those of Get.
	GetStored(ctx context.Context, id ID, b *Buffer) error

	// Stats returns counts of what the store holds and did.
	Stats() Stats

	// Close waits for calls under way and releases the store.
	Close() error
}

// Stats are a store's counts since it was opened, except Chunks and Bytes,
// which count what it holds.
type Stats struct {
	Chunks      uint64 // chunks held
	Bytes       uint64 // encoded bytes held
	Written     uint64 // chunks written
	Corrupt     uint64 // reads that found damaged bytes
	Syncs       uint64 // groups committed
	DiskBytes   uint64 // bytes of the files that hold the chunks
	LookupsMade uint64 // IDs asked for by Has
}

// Buffer receives a chunk from Store.Get and keeps its memory for the next
// one. The zero Buffer is ready; it must not be used by two goroutines at once.
type Buffer struct {
	// Chunk is the stored form.
	Chunk Chunk
	// Raw are the verified raw bytes. It shares memory with Chunk.Data when
	// the encoding is Raw.
	Raw []byte

	data []byte // backing memory of Chunk.Data
	raw  []byte // backing memory of Raw when it is decoded
}

// Data returns memory of exactly n bytes that belongs to the buffer, for a
// store to read encoded bytes into. It invalidates what the buffer held.
func (b *Buffer) Data(n int) []byte {
	if cap(b.data) < n {
		b.data = make([]byte, n)
	}
	b.data = b.data[:n]
	return b.data
}
