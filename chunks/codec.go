package chunks

import (
	"fmt"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

// Codec encodes and decodes chunks. It holds pooled zstd state, so one Codec
// is made for each process; it may be used by any number of goroutines.
type Codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// NewCodec returns a codec.
func NewCodec() (*Codec, error) {
	// EncodeAll and DecodeAll borrow one of the concurrency's states, so the
	// bound is on memory as well as on cores.
	n := max(2, runtime.GOMAXPROCS(0))
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(false),
		zstd.WithEncoderConcurrency(n),
		zstd.WithWindowSize(MaxRaw),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(n),
		zstd.WithDecoderMaxMemory(MaxRaw),
		zstd.WithDecoderMaxWindow(1<<20),
		// Decode gives room for the declared length, and no more is unfolded.
		zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	return &Codec{enc: enc, dec: dec}, nil
}

// Encode returns the stored form of raw bytes whose ID is already known. Its
// Data are raw itself when compression saves less than 4 %; otherwise they are
// appended to dst[:0], which must not overlap raw. It panics when raw is empty
// or longer than MaxRaw: no splitter makes such a chunk.
func (c *Codec) Encode(id ID, raw, dst []byte) Chunk {
	if len(raw) == 0 || len(raw) > MaxRaw {
		panic(fmt.Sprintf("chunks: encode %d bytes", len(raw)))
	}
	out := c.enc.EncodeAll(raw, dst[:0])
	if len(out)*100 <= len(raw)*96 {
		return Chunk{ID: id, Encoding: Zstd, RawLen: uint32(len(raw)), Data: out}
	}
	return Chunk{ID: id, Encoding: Raw, RawLen: uint32(len(raw)), Data: raw}
}

// Decode checks b.Chunk in full and sets b.Raw: the lengths are within their
// bounds before anything is allocated, the decoded bytes are exactly as many
// as declared, and their BLAKE3 is the ID. The error wraps ErrCorrupt.
func (c *Codec) Decode(b *Buffer) error {
	ch := &b.Chunk
	b.Raw = nil
	if ch.RawLen == 0 || ch.RawLen > MaxRaw {
		return fmt.Errorf("decode chunk %s: raw length %d is not within 1 to %d: %w", ch.ID, ch.RawLen, MaxRaw, ErrCorrupt)
	}
	if len(ch.Data) > int(ch.RawLen) {
		return fmt.Errorf("decode chunk %s: %d encoded bytes exceed the raw length %d: %w", ch.ID, len(ch.Data), ch.RawLen, ErrCorrupt)
	}
	raw := ch.Data
	switch ch.Encoding {
	case Raw:
	case Zstd:
		if cap(b.raw) < int(ch.RawLen) {
			b.raw = make([]byte, 0, roundUp(int(ch.RawLen)))
		}
		out, err := c.dec.DecodeAll(ch.Data, b.raw[:0:ch.RawLen])
		if err != nil {
			return fmt.Errorf("decode chunk %s: %w: %w", ch.ID, err, ErrCorrupt)
		}
		raw = out
	default:
		return fmt.Errorf("decode chunk %s: unknown encoding %d: %w", ch.ID, ch.Encoding, ErrCorrupt)
	}
	if len(raw) != int(ch.RawLen) {
		return fmt.Errorf("decode chunk %s: %d bytes instead of %d: %w", ch.ID, len(raw), ch.RawLen, ErrCorrupt)
	}
	if sum := Sum(raw); sum != ch.ID {
		return fmt.Errorf("decode chunk %s: the bytes hash to %s: %w", ch.ID, sum, ErrCorrupt)
	}
	b.Raw = raw
	return nil
}

// roundUp gives buffers that grow in a few steps instead of with every chunk.
func roundUp(n int) int {
	const step = 32 << 10
	return min((n+step-1)/step*step, MaxRaw)
}
