package objects

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/cdc"
	"edgefog.dev/isgw/chunks/chunkstest"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

var testCodec = func() *chunks.Codec {
	c, err := chunks.NewCodec()
	if err != nil {
		panic(err)
	}
	return c
}()

// contentStore returns a Store that can do all that needs no catalog.
func contentStore(t testing.TB, c chunks.Store, memory int64) *Store {
	s := &Store{chunks: c, codec: testCodec, writing: newBlockPool(memory), reading: newReadBudget(memory)}
	big, slots := s.writing.bigFree.Load(), s.reading.free.Load()
	t.Cleanup(func() {
		if got := s.writing.bigFree.Load(); got != big {
			t.Errorf("%d big blocks are free at the end, %d at the start", got, big)
		}
		if got := s.reading.free.Load(); got != slots {
			t.Errorf("%d slots are free at the end, %d at the start", got, slots)
		}
	})
	return s
}

// split returns the root of a content by the slow, plain way.
func split(t testing.TB, raw []byte) manifest.Ref {
	t.Helper()
	b := manifest.NewBuilder(func(chunks.ID, []byte) error { return nil })
	for len(raw) > 0 {
		n := cdc.Cut(raw, true)
		if err := b.Add(chunks.Sum(raw[:n]), n); err != nil {
			t.Fatal(err)
		}
		raw = raw[n:]
	}
	ref, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func (s *Store) object(ref manifest.Ref) *Object {
	return &Object{Record: &catalogpb.Record{Key: []byte("k")}, store: s, ref: ref}
}

func readAll(t testing.TB, s *Store, ref manifest.Ref) []byte {
	t.Helper()
	r, err := s.object(ref).Reader(t.Context(), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestStoreBody stores bodies of many sizes and compares root, MD5 and content
// with the plain way.
func TestStoreBody(t *testing.T) {
	sizes := []int{0, 1, 4095, 4096, 4097, cdc.MinSize, 100_000, hashBeside, chunks.MaxRaw - 1, chunks.MaxRaw, chunks.MaxRaw + 1,
		baseBlock - 1, baseBlock, baseBlock + 1, bigBlock - 1, bigBlock, bigBlock + 1, 5<<20 + 77, 9 << 20}
	// With memory for one big block only, large bodies go through the base
	// block in turns.
	for _, memory := range []int64{DefaultMemoryBytes, 1} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("memory=%d,known=%v", memory, known), func(t *testing.T) {
				s := contentStore(t, chunkstest.NewMemory(testCodec), memory)
				for i, size := range sizes {
					raw := chunkstest.Random(uint64(i), size)
					if i%3 == 1 {
						raw = chunkstest.Text(uint64(i), size)
					}
					body := io.Reader(bytes.NewReader(raw))
					switch i % 3 {
					case 0:
						body = iotest.DataErrReader(body)
					case 1:
						body = iotest.HalfReader(body)
					}
					announced := int64(-1)
					if known {
						announced = int64(size)
					}
					c, err := s.storeBody(t.Context(), body, announced)
					if err != nil {
						t.Fatalf("%d bytes: %v", size, err)
					}
					if want := split(t, raw); c.ref != want {
						t.Errorf("%d bytes: root %v, want %v", size, c.ref, want)
					}
					if c.md5 != md5.Sum(raw) {
						t.Errorf("%d bytes: wrong MD5", size)
					}
					if !bytes.Equal(readAll(t, s, c.ref), raw) {
						t.Errorf("%d bytes: other bytes come back", size)
					}
				}
			})
		}
	}
}

// TestStoreBodyMany stores large bodies side by side in little memory: none may
// wait for another for ever.
func TestStoreBodyMany(t *testing.T) {
	s := contentStore(t, chunkstest.NewMemory(testCodec), 3*2*bigBlock)
	raw := chunkstest.Random(1, 7<<20)
	want := split(t, raw)
	errs := make(chan error)
	const n = 12
	for range n {
		go func() {
			c, err := s.storeBody(context.Background(), bytes.NewReader(raw), int64(len(raw)))
			if err == nil && c.ref != want {
				err = fmt.Errorf("root %v, want %v", c.ref, want)
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// TestKnownChunks stores content again: nothing is written, and what a store
// has is not encoded or put.
func TestKnownChunks(t *testing.T) {
	mem := chunkstest.NewMemory(testCodec)
	s := contentStore(t, mem, DefaultMemoryBytes)
	for _, size := range []int{5000, 300_000, 6 << 20} {
		raw := chunkstest.Random(9, size)
		if _, err := s.storeBody(t.Context(), bytes.NewReader(raw), int64(size)); err != nil {
			t.Fatal(err)
		}
		before := mem.Stats()
		if _, err := s.storeBody(t.Context(), bytes.NewReader(raw), int64(size)); err != nil {
			t.Fatal(err)
		}
		if after := mem.Stats(); after.Syncs != before.Syncs {
			t.Errorf("%d bytes: %d batches were put for content that is there", size, after.Syncs-before.Syncs)
		}
	}
	before := mem.Stats().Written
	if _, err := s.storeBody(t.Context(), bytes.NewReader(make([]byte, 8<<20)), 8<<20); err != nil {
		t.Fatal(err)
	}
	// The longest chunk of zeros, and one manifest node.
	if n := mem.Stats().Written - before; n != 2 {
		t.Errorf("8 MiB of zeros wrote %d chunks, want 2", n)
	}
}

func TestBodySize(t *testing.T) {
	s := contentStore(t, chunkstest.NewMemory(testCodec), DefaultMemoryBytes)
	for _, c := range []struct{ have, announced int }{
		{0, 1}, {1, 0}, {5000, 5001}, {5000, 4999}, {bigBlock, bigBlock + 1}, {bigBlock + 1, bigBlock}, {5 << 20, 6 << 20}, {6 << 20, 5 << 20},
	} {
		_, err := s.storeBody(t.Context(), bytes.NewReader(make([]byte, c.have)), int64(c.announced))
		if !errors.Is(err, ErrBodySize) {
			t.Errorf("%d bytes announced as %d: error %v, want ErrBodySize", c.have, c.announced, err)
		}
	}
}

// TestBodyFails breaks bodies off at many places.
func TestBodyFails(t *testing.T) {
	broken := errors.New("the line broke")
	s := contentStore(t, chunkstest.NewMemory(testCodec), DefaultMemoryBytes)
	raw := chunkstest.Random(3, 7<<20)
	for _, at := range []int{0, 1, 4000, bigBlock - 1, bigBlock, bigBlock + 5, 5 << 20, 7 << 20} {
		body := io.MultiReader(bytes.NewReader(raw[:at]), iotest.ErrReader(broken))
		for _, announced := range []int64{-1, int64(len(raw)) + 1} {
			if _, err := s.storeBody(t.Context(), body, announced); !errors.Is(err, broken) && at < len(raw) {
				t.Errorf("broken at %d: error %v", at, err)
			}
			body = io.MultiReader(bytes.NewReader(raw[:at]), iotest.ErrReader(broken))
		}
	}
	if _, err := s.storeBody(t.Context(), readerFunc(func([]byte) (int, error) { return 0, nil }), -1); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: error %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestStoreFails lets each call of the chunk store fail in turn.
func TestStoreFails(t *testing.T) {
	full := chunks.ErrNoSpace
	raw := chunkstest.Random(4, 9<<20)
	for _, size := range []int{100, 300_000, len(raw)} {
		for _, op := range []chunkstest.Op{chunkstest.OpHas, chunkstest.OpPut} {
			for skip := range 6 {
				if size < len(raw) && skip > 0 {
					continue
				}
				faulty := chunkstest.NewFaulty(t, chunkstest.NewMemory(testCodec))
				s := contentStore(t, faulty, DefaultMemoryBytes)
				faulty.Plan(chunkstest.Fault{Op: op, Skip: skip, Err: full})
				if _, err := s.storeBody(t.Context(), bytes.NewReader(raw[:size]), int64(size)); !errors.Is(err, full) {
					t.Errorf("%d bytes, %s fails after %d calls: error %v", size, op, skip, err)
				}
			}
		}
	}
}

// TestBodyCancelled ends the context while a store hangs.
func TestBodyCancelled(t *testing.T) {
	faulty := chunkstest.NewFaulty(t, chunkstest.NewMemory(testCodec))
	s := contentStore(t, faulty, DefaultMemoryBytes)
	ctx, cancel := context.WithCancel(t.Context())
	reached := make(chan struct{})
	faulty.Plan(chunkstest.Fault{Op: chunkstest.OpPut, Wait: make(chan struct{})}) // never closed: only the context ends it
	read := 0
	body := readerFunc(func(p []byte) (int, error) {
		if read += len(p); read > 2*bigBlock {
			close(reached)
			<-ctx.Done()
			return 0, ctx.Err()
		}
		rand.NewChaCha8([32]byte{byte(read)}).Read(p)
		return len(p), nil
	})
	done := make(chan error)
	go func() {
		_, err := s.storeBody(ctx, body, -1)
		done <- err
	}()
	select {
	case <-reached:
	case err := <-done:
		t.Fatalf("ended early: %v", err)
	}
	for len(faulty.Left()) > 0 { // the first block may not have come to the store
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}
