package objects

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/cdc"
	"edgefog.dev/isgw/chunks/chunkstest"
	"edgefog.dev/isgw/chunks/manifest"
)

// TestJoin compares joined parts with the content in one piece, for parts of
// any size: many of them tiny, so that a chunk spans several.
func TestJoin(t *testing.T) {
	mem := chunkstest.NewMemory(testCodec)
	s := contentStore(t, mem, DefaultMemoryBytes)
	random := chunkstest.Random(11, 4<<20)
	text := chunkstest.Text(12, 4<<20)
	zeros := make([]byte, 4<<20)
	rapid.Check(t, func(r *rapid.T) {
		source := rapid.SampledFrom([][]byte{random, text, zeros}).Draw(r, "source")
		size := rapid.OneOf(
			rapid.IntRange(0, 5),
			rapid.IntRange(6, cdc.MinSize),
			rapid.IntRange(cdc.MinSize, cdc.MaxSize+100),
			rapid.IntRange(cdc.MaxSize, 1<<20),
		)
		var whole []byte
		var parts []manifest.Ref
		at := 0
		for range rapid.IntRange(0, 6).Draw(r, "parts") {
			n := min(size.Draw(r, "size"), len(source)-at)
			part := source[at : at+n]
			// Sometimes the next part is the same bytes again.
			if rapid.IntRange(0, 3).Draw(r, "again") > 0 {
				at += n
			}
			whole = append(whole, part...)
			parts = append(parts, stored(t, s, part))
		}
		got, err := s.join(context.Background(), parts)
		if err != nil {
			r.Fatal(err)
		}
		if want := split(t, whole); got != want {
			r.Fatalf("root %v, want %v", got, want)
		}
		if !bytes.Equal(readAll(t, s, got), whole) {
			r.Fatal("other bytes come back")
		}
	})
}

// counting counts the chunks read from a store.
type counting struct {
	chunks.Store
	gets atomic.Int64
}

func (c *counting) Get(ctx context.Context, id chunks.ID, b *chunks.Buffer) error {
	c.gets.Add(1)
	return c.Store.Get(ctx, id, b)
}

// TestJoinReadsLittle joins large parts and counts what is read: a few chunks
// at each seam, and the nodes of the manifests.
func TestJoinReadsLittle(t *testing.T) {
	c := &counting{Store: chunkstest.NewMemory(testCodec)}
	s := contentStore(t, c, DefaultMemoryBytes)
	raw := chunkstest.Random(13, 48<<20)
	var parts []manifest.Ref
	const n = 8
	for i := range n {
		parts = append(parts, stored(t, s, raw[i*len(raw)/n:(i+1)*len(raw)/n]))
	}
	c.gets.Store(0)
	got, err := s.join(t.Context(), parts)
	if err != nil {
		t.Fatal(err)
	}
	if want := split(t, raw); got != want {
		t.Fatalf("root %v, want %v", got, want)
	}
	if reads, limit := c.gets.Load(), int64(n*(1+10)); reads > limit {
		t.Errorf("%d chunks were read for %d seams, more than %d", reads, n-1, limit)
	}
	c.gets.Store(0)
	if one, err := s.join(t.Context(), parts[:1]); err != nil || one != parts[0] || c.gets.Load() != 0 {
		t.Errorf("one part: %v, %v, %d reads", one, err, c.gets.Load())
	}
}

func TestJoinFails(t *testing.T) {
	raw := chunkstest.Random(14, 3<<20)
	for _, op := range []chunkstest.Op{chunkstest.OpGet, chunkstest.OpPut, chunkstest.OpHas} {
		faulty := chunkstest.NewFaulty(t, chunkstest.NewMemory(testCodec))
		s := contentStore(t, faulty, DefaultMemoryBytes)
		parts := []manifest.Ref{stored(t, s, raw[:1<<20]), stored(t, s, raw[1<<20:])}
		broken := errors.New("the disk broke")
		skip := 0
		if op == chunkstest.OpGet {
			skip = 1 // past the first part's manifest
		}
		faulty.Plan(chunkstest.Fault{Op: op, Skip: skip, Err: broken})
		if _, err := s.join(t.Context(), parts); !errors.Is(err, broken) {
			t.Errorf("%s fails: error %v", op, err)
		}
	}
}
