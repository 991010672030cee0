package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/iotest"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/chunkstest"
	"edgefog.dev/isgw/chunks/manifest"
)

func stored(t testing.TB, s *Store, raw []byte) manifest.Ref {
	t.Helper()
	c, err := s.storeBody(t.Context(), bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return c.ref
}

func leaves(t testing.TB, s *Store, ref manifest.Ref) (out []manifest.Leaf) {
	t.Helper()
	if err := manifest.Leaves(t.Context(), s.chunks.Get, ref, 0, manifest.All, func(l manifest.Leaf) error {
		out = append(out, l)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestReaderRanges reads ranges at and around the seams of chunks, in memory
// enough for read-ahead and in none.
func TestReaderRanges(t *testing.T) {
	for _, memory := range []int64{DefaultMemoryBytes, 0} {
		s := contentStore(t, chunkstest.NewMemory(testCodec), memory)
		raw := chunkstest.Random(5, 3<<20)
		ref := stored(t, s, raw)
		rnd := rand.New(rand.NewPCG(1, 2))
		type span struct{ off, n int64 }
		spans := []span{{0, 0}, {0, 1}, {0, -1}, {int64(len(raw)), 0}, {int64(len(raw)), -1}, {int64(len(raw)) - 1, 1}, {0, directLimit}, {0, directLimit + 1}}
		for _, l := range leaves(t, s, ref)[:20] {
			spans = append(spans, span{int64(l.Offset), int64(l.Size)}, span{int64(l.Offset + l.Size - 1), 2}, span{int64(l.Offset + 1), int64(l.Size)})
		}
		for range 50 {
			off := rnd.Int64N(int64(len(raw)))
			spans = append(spans, span{off, rnd.Int64N(int64(len(raw)) - off)})
		}
		for _, sp := range spans {
			want := raw[sp.off:]
			if sp.n >= 0 {
				want = want[:sp.n]
			}
			r, err := s.object(ref).Reader(t.Context(), sp.off, sp.n)
			if err != nil {
				t.Fatal(err)
			}
			if sp.off%2 == 0 {
				if err := r.Prime(); err != nil && err != io.EOF {
					t.Fatal(err)
				}
			}
			var got bytes.Buffer
			if _, err := r.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%d bytes at %d by WriteTo: %d bytes, error %v", sp.n, sp.off, got.Len(), err)
			}
			if err := r.Failed(); err != nil {
				t.Errorf("failed: %v", err)
			}
			r.Close()
			r, _ = s.object(ref).Reader(t.Context(), sp.off, sp.n)
			if err := iotest.TestReader(r, want); err != nil && len(want) < 1000 {
				t.Errorf("%d bytes at %d: %v", sp.n, sp.off, err)
			}
			r.Close()
		}
	}
}

func TestReaderRefusesRanges(t *testing.T) {
	s := contentStore(t, chunkstest.NewMemory(testCodec), 0)
	o := s.object(stored(t, s, []byte("ten bytes.")))
	for _, sp := range [][2]int64{{-1, 1}, {11, 0}, {11, -1}, {0, 11}, {10, 1}} {
		if _, err := o.Reader(t.Context(), sp[0], sp[1]); !errors.Is(err, ErrRange) {
			t.Errorf("%d bytes at %d: error %v, want ErrRange", sp[1], sp[0], err)
		}
	}
}

// TestReaderFails damages or drops one chunk, or a manifest node, and reads over
// it: what comes before is right, and then there is an error, by Read and by
// WriteTo, and again when asked again.
func TestReaderFails(t *testing.T) {
	raw := chunkstest.Random(6, 20<<20)
	for _, short := range []bool{true, false} {
		content := raw
		if short {
			content = raw[:400_000]
		}
		for _, which := range []int{0, 1, -1} {
			mem := chunkstest.NewMemory(testCodec)
			s := contentStore(t, mem, DefaultMemoryBytes)
			ref := stored(t, s, content)
			all := leaves(t, s, ref)
			if which < 0 {
				which = len(all) - 1
			}
			hit := all[which]
			if which%2 == 0 {
				mem.Damage(hit.ID)
			} else {
				mem.Drop(hit.ID)
			}
			want := chunks.ErrCorrupt
			if which%2 == 1 {
				want = chunks.ErrNotFound
			}
			r, _ := s.object(ref).Reader(t.Context(), 0, -1)
			var got bytes.Buffer
			_, err := r.WriteTo(&got)
			if !errors.Is(err, want) || !bytes.Equal(got.Bytes(), content[:hit.Offset]) {
				t.Errorf("short=%v, chunk %d: %d bytes, error %v; want %d bytes and %v", short, which, got.Len(), err, hit.Offset, want)
			}
			if _, again := r.Read(make([]byte, 1)); again == nil || again == io.EOF || r.Failed() == nil {
				t.Errorf("short=%v, chunk %d: the error is forgotten: %v", short, which, again)
			}
			r.Close()
			r, _ = s.object(ref).Reader(t.Context(), 0, -1)
			if b, err := io.ReadAll(struct{ io.Reader }{r}); !errors.Is(err, want) || len(b) != int(hit.Offset) {
				t.Errorf("short=%v, chunk %d: Read gave %d bytes, error %v", short, which, len(b), err)
			}
			r.Close()
		}
		mem := chunkstest.NewMemory(testCodec)
		s := contentStore(t, mem, DefaultMemoryBytes)
		ref := stored(t, s, content)
		mem.Drop(ref.ID)
		r, _ := s.object(ref).Reader(t.Context(), 0, -1)
		if err := r.Prime(); !errors.Is(err, chunks.ErrNotFound) {
			t.Errorf("short=%v, root dropped: error %v", short, err)
		}
		r.Close()
	}
}

// TestReaderLies reads an object whose record says another size than its chunks
// have.
func TestReaderLies(t *testing.T) {
	s := contentStore(t, chunkstest.NewMemory(testCodec), DefaultMemoryBytes)
	ref := stored(t, s, chunkstest.Random(7, 5000))
	for _, size := range []uint64{4999, 5001} {
		ref.Size = size
		r, err := s.object(ref).Reader(t.Context(), 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); !errors.Is(err, chunks.ErrCorrupt) {
			t.Errorf("size %d: %d bytes, error %v", size, len(b), err)
		}
		r.Close()
	}
}

// TestReaderClose leaves readers at every stage; the pools are checked at the
// end, and Close waits for what runs.
func TestReaderClose(t *testing.T) {
	faulty := chunkstest.NewFaulty(t, chunkstest.NewMemory(testCodec))
	s := contentStore(t, faulty, 4*slotBytes)
	ref := stored(t, s, chunkstest.Random(8, 4<<20))
	for i := range 30 {
		r, _ := s.object(ref).Reader(t.Context(), 0, -1)
		if i > 0 {
			io.CopyN(io.Discard, r, int64(i-1)*100_000)
		}
		r.Close()
		r.Close()
		if _, err := r.Read(make([]byte, 1)); err == nil {
			t.Error("a closed reader gives bytes")
		}
	}
	// A store that hangs is left when the reader is closed: it gives the first chunk
	// and hangs on those after it.
	var leaves []manifest.Leaf
	if err := manifest.Leaves(t.Context(), s.chunks.Get, ref, 0, manifest.All, func(l manifest.Leaf) error {
		leaves = append(leaves, l)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for i := range fetchers {
		faulty.Plan(chunkstest.Fault{Op: chunkstest.OpGet, ID: leaves[i+1].ID, Wait: make(chan struct{})})
	}
	r, _ := s.object(ref).Reader(t.Context(), 0, -1)
	if err := r.Prime(); err != nil {
		t.Fatal(err)
	}
	for len(faulty.Left()) > 0 {
		runtime.Gosched() // until both fetchers hang
	}
	r.Close()
	// So is one when the context ends.
	ctx, cancel := context.WithCancel(t.Context())
	r, _ = s.object(ref).Reader(ctx, 0, -1)
	if err := r.Prime(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context ended: error %v", err)
	}
	r.Close()
}

// TestReaderWriteFails passes on the error of the writer.
func TestReaderWriteFails(t *testing.T) {
	s := contentStore(t, chunkstest.NewMemory(testCodec), DefaultMemoryBytes)
	ref := stored(t, s, chunkstest.Random(8, 4<<20))
	gone := errors.New("the client went away")
	r, _ := s.object(ref).Reader(t.Context(), 0, -1)
	defer r.Close()
	if _, err := r.WriteTo(writerFunc(func(p []byte) (int, error) { return len(p) / 2, gone })); !errors.Is(err, gone) {
		t.Errorf("error %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{4 << 10, 8 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := contentStore(b, chunkstest.NewMemory(testCodec), DefaultMemoryBytes)
			ref := stored(b, s, chunkstest.Random(1, size))
			b.SetBytes(int64(size))
			for b.Loop() {
				r, _ := s.object(ref).Reader(b.Context(), 0, -1)
				if _, err := r.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
		})
	}
}
