package chunkstest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"edgefog.dev/isgw/chunks"
)

// Codec returns the codec that the tests of a process share.
var Codec = sync.OnceValue(func() *chunks.Codec {
	c, err := chunks.NewCodec()
	if err != nil {
		panic(err)
	}
	return c
})

// Random returns n random bytes, which do not compress, the same for the same
// seed.
func Random(seed uint64, n int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	p := make([]byte, n)
	rand.NewChaCha8(key).Read(p)
	return p
}

// Text returns n bytes that compress, the same for the same seed.
func Text(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := make([]byte, 0, n+16)
	for len(p) < n {
		p = fmt.Appendf(p, "line %d of %d\n", rng.IntN(1000), seed)
	}
	return p[:n]
}

// Encode returns raw as a chunk with memory of its own.
func Encode(raw []byte) chunks.Chunk {
	return Codec().Encode(chunks.Sum(raw), raw, nil)
}

// Batch returns n chunks of distinct content, some of which compress, of 1 to
// maxLen raw bytes, and the contents.
func Batch(seed uint64, n, maxLen int) (batch []chunks.Chunk, raws [][]byte) {
	rng := rand.New(rand.NewPCG(seed, 2))
	for i := range n {
		// Eight bytes at least, so that contents differ.
		length := min(maxLen, 8+rng.IntN(maxLen))
		raw := Random(seed<<20+uint64(i), length)
		if i%3 == 1 {
			raw = Text(seed<<20+uint64(i), length)
		}
		batch, raws = append(batch, Encode(raw)), append(raws, raw)
	}
	return batch, raws
}

// Run runs the conformance suite. open returns a new, empty store, whose Close
// the suite calls.
func Run(t *testing.T, open func(t *testing.T) chunks.Store) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s chunks.Store)
	}{
		{"Empty", testEmpty},
		{"RoundTrip", testRoundTrip},
		{"Lengths", testLengths},
		{"Duplicates", testDuplicates},
		{"SlicesAreNotKept", testSlicesAreNotKept},
		{"BufferIsReused", testBufferIsReused},
		{"EndedContext", testEndedContext},
		{"Concurrent", testConcurrent},
		{"CloseWaits", testCloseWaits},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			c.run(t, s)
			if err := s.Close(); err != nil && !errors.Is(err, chunks.ErrClosed) {
				t.Errorf("Close: %v", err)
			}
			testClosed(t, s)
		})
	}
}

// put stores a batch that must be accepted.
func put(t testing.TB, s chunks.Store, batch []chunks.Chunk) {
	t.Helper()
	if err := s.Put(context.Background(), batch); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

// Check fails the test unless s holds the contents, says so, and returns them.
func Check(t testing.TB, s chunks.Store, raws [][]byte) {
	t.Helper()
	ids := make([]chunks.ID, len(raws))
	for i, raw := range raws {
		ids[i] = chunks.Sum(raw)
	}
	present := make([]bool, len(ids))
	if err := s.Has(context.Background(), ids, present); err != nil {
		t.Fatalf("Has: %v", err)
	}
	var b chunks.Buffer
	for i, raw := range raws {
		if !present[i] {
			t.Fatalf("chunk %d of %d, %s, is absent", i, len(raws), ids[i])
		}
		if err := s.Get(context.Background(), ids[i], &b); err != nil {
			t.Fatalf("Get: %v", err)
		}
		if !bytes.Equal(b.Raw, raw) {
			t.Fatalf("chunk %s came back as other bytes", ids[i])
		}
		if b.Chunk.ID != ids[i] || int(b.Chunk.RawLen) != len(raw) {
			t.Fatalf("chunk %s came back as %s of %d bytes", ids[i], b.Chunk.ID, b.Chunk.RawLen)
		}
		// The stored form decodes to the same.
		var stored chunks.Buffer
		if err := s.GetStored(context.Background(), ids[i], &stored); err != nil {
			t.Fatalf("GetStored: %v", err)
		}
		if c := stored.Chunk; c.ID != ids[i] || c.Encoding != b.Chunk.Encoding || c.RawLen != b.Chunk.RawLen || !bytes.Equal(c.Data, b.Chunk.Data) {
			t.Fatalf("the stored form of chunk %s is not what Get returns", ids[i])
		}
		if err := Codec().Decode(&stored); err != nil {
			t.Fatalf("GetStored: %v", err)
		}
	}
}

func testEmpty(t *testing.T, s chunks.Store) {
	ctx := t.Context()
	id := chunks.Sum([]byte("nobody stored this"))
	present := []bool{true, true}
	if err := s.Has(ctx, []chunks.ID{id, {}}, present); err != nil || present[0] || present[1] {
		t.Errorf("Has: %v, %v", present, err)
	}
	if err := s.Has(ctx, nil, nil); err != nil {
		t.Errorf("Has of nothing: %v", err)
	}
	if err := s.Put(ctx, nil); err != nil {
		t.Errorf("Put of nothing: %v", err)
	}
	var b chunks.Buffer
	if err := s.Get(ctx, id, &b); !errors.Is(err, chunks.ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
	if err := s.GetStored(ctx, id, &b); !errors.Is(err, chunks.ErrNotFound) {
		t.Errorf("GetStored: %v", err)
	}
	if st := s.Stats(); st.Chunks != 0 || st.Bytes != 0 {
		t.Errorf("an empty store holds %d chunks of %d bytes", st.Chunks, st.Bytes)
	}
}

func testRoundTrip(t *testing.T, s chunks.Store) {
	var all [][]byte
	var bytes uint64
	for seed := range uint64(4) {
		batch, raws := Batch(seed+1, 50, 20_000)
		put(t, s, batch)
		all = append(all, raws...)
		for _, c := range batch {
			bytes += uint64(len(c.Data))
		}
	}
	Check(t, s, all)
	if st := s.Stats(); st.Chunks != uint64(len(all)) || st.Bytes != bytes || st.Written != uint64(len(all)) {
		t.Errorf("stats %+v, want %d chunks of %d bytes", st, len(all), bytes)
	}
}

func testLengths(t *testing.T, s chunks.Store) {
	var batch []chunks.Chunk
	var raws [][]byte
	for i, n := range []int{1, 2, 31, 4096, chunks.MaxRaw - 1, chunks.MaxRaw} {
		for _, raw := range [][]byte{Random(uint64(i)+100, n), bytes.Repeat([]byte{byte(i)}, n)} {
			raws = append(raws, raw)
			batch = append(batch, Encode(raw))
		}
	}
	put(t, s, batch)
	Check(t, s, raws)
}

func testDuplicates(t *testing.T, s chunks.Store) {
	batch, raws := Batch(5, 10, 5000)
	put(t, s, append(batch, batch...))
	put(t, s, batch)
	Check(t, s, raws)
	if st := s.Stats(); st.Chunks != 10 || st.Written != 10 {
		t.Errorf("%d chunks, %d written, want 10", st.Chunks, st.Written)
	}
}

func testSlicesAreNotKept(t *testing.T, s chunks.Store) {
	batch, raws := Batch(6, 20, 5000)
	keep := make([][]byte, len(raws))
	for i := range raws {
		keep[i] = bytes.Clone(raws[i])
		batch[i].Data = bytes.Clone(batch[i].Data)
	}
	put(t, s, batch)
	for i := range batch {
		clear(batch[i].Data)
		batch[i] = chunks.Chunk{}
	}
	Check(t, s, keep)
}

func testBufferIsReused(t *testing.T, s chunks.Store) {
	long, short := Random(7, 100_000), Text(8, 50)
	put(t, s, []chunks.Chunk{Encode(long), Encode(short)})
	var b chunks.Buffer
	for _, raw := range [][]byte{long, short, long} {
		if err := s.Get(t.Context(), chunks.Sum(raw), &b); err != nil || !bytes.Equal(b.Raw, raw) {
			t.Fatalf("Get of %d bytes: %d bytes, %v", len(raw), len(b.Raw), err)
		}
	}
	if err := s.Get(t.Context(), chunks.Sum([]byte("absent")), &b); !errors.Is(err, chunks.ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
	Check(t, s, [][]byte{long, short})
}

func testEndedContext(t *testing.T, s chunks.Store) {
	batch, raws := Batch(9, 1, 100)
	put(t, s, batch)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var b chunks.Buffer
	for what, err := range map[string]error{
		"Has": s.Has(ctx, []chunks.ID{batch[0].ID}, make([]bool, 1)),
		"Put": s.Put(ctx, []chunks.Chunk{Encode([]byte("another"))}),
		"Get": s.Get(ctx, batch[0].ID, &b),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: %v", what, err)
		}
	}
	Check(t, s, raws)
}

func testConcurrent(t *testing.T, s chunks.Store) {
	const writers, batches, shared = 6, 5, 8
	common, commonRaws := Batch(10, shared, 3000)
	var wg sync.WaitGroup
	var mu sync.Mutex
	all := commonRaws
	for w := range uint64(writers) {
		wg.Go(func() {
			for i := range uint64(batches) {
				batch, raws := Batch(100+w*batches+i, 5, 3000)
				if err := s.Put(context.Background(), append(batch, common...)); err != nil {
					t.Errorf("Put: %v", err)
					return
				}
				// What Put has acknowledged is there for everybody.
				var b chunks.Buffer
				for _, raw := range append(raws, commonRaws...) {
					if err := s.Get(context.Background(), chunks.Sum(raw), &b); err != nil || !bytes.Equal(b.Raw, raw) {
						t.Errorf("Get after Put: %v", err)
						return
					}
				}
				mu.Lock()
				all = append(all, raws...)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	Check(t, s, all)
	if st := s.Stats(); st.Chunks != uint64(len(all)) || st.Written != uint64(len(all)) {
		t.Errorf("%d chunks, %d written, want %d: duplicates are written once", st.Chunks, st.Written, len(all))
	}
}

// testCloseWaits closes the store while calls are under way: each succeeds or
// says that the store is closed.
func testCloseWaits(t *testing.T, s chunks.Store) {
	var wg sync.WaitGroup
	started := make(chan struct{}, 100)
	for w := range uint64(4) {
		wg.Go(func() {
			for i := range uint64(1000) {
				batch, raws := Batch(1000+w*1000+i, 2, 500)
				err := s.Put(context.Background(), batch)
				if err == nil {
					var b chunks.Buffer
					err = s.Get(context.Background(), chunks.Sum(raws[0]), &b)
				}
				if errors.Is(err, chunks.ErrClosed) {
					return
				}
				if err != nil {
					t.Errorf("while the store closes: %v", err)
					return
				}
				select {
				case started <- struct{}{}:
				default:
				}
			}
		})
	}
	<-started
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wg.Wait()
}

// testClosed uses a store that is closed.
func testClosed(t *testing.T, s chunks.Store) {
	var b chunks.Buffer
	c := Encode([]byte("too late"))
	for what, err := range map[string]error{
		"Has":   s.Has(context.Background(), []chunks.ID{c.ID}, make([]bool, 1)),
		"Put":   s.Put(context.Background(), []chunks.Chunk{c}),
		"Get":   s.Get(context.Background(), c.ID, &b),
		"Close": s.Close(),
	} {
		if !errors.Is(err, chunks.ErrClosed) {
			t.Errorf("%s of a closed store: %v", what, err)
		}
	}
	s.Stats()
}
