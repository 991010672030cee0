package store

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/chunkstest"
)

// These benchmarks write to the disk of the temporary directory: TMPDIR chooses
// it. The unit of work is a batch of 64 chunks of 64 KiB that do not compress.
const (
	benchChunks = 64
	benchLen    = 64 << 10
)

// stamped returns a batch whose chunks are new in every turn: IDs of what the
// store takes on trust, since to hash is not what is measured.
func stamped(data [][]byte, turn uint64, batch []chunks.Chunk) []chunks.Chunk {
	batch = batch[:0]
	for i := range data {
		id := chunks.Sum(fmt.Appendf(nil, "%d %d", turn, i))
		batch = append(batch, chunks.Chunk{ID: id, RawLen: benchLen, Data: data[i]})
	}
	return batch
}

func benchData() [][]byte {
	data := make([][]byte, benchChunks)
	for i := range data {
		data[i] = chunkstest.Random(uint64(i), benchLen)
	}
	return data
}

func benchStore(b *testing.B) *Store {
	s, err := Open(b.Context(), Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// BenchmarkIngest puts new chunks, by one goroutine and by several, and compares
// with a file that is written and synced every 4 MiB and every 32.
func BenchmarkIngest(b *testing.B) {
	data := benchData()
	for _, writers := range []int{1, 8} {
		b.Run(fmt.Sprintf("store, %d at once", writers), func(b *testing.B) {
			s := benchStore(b)
			b.SetBytes(benchChunks * benchLen)
			b.ReportAllocs()
			var wg sync.WaitGroup
			turns := make(chan uint64)
			for range writers {
				wg.Go(func() {
					var batch []chunks.Chunk
					for turn := range turns {
						batch = stamped(data, turn, batch)
						if err := s.Put(context.Background(), batch); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for i := range b.N {
				turns <- uint64(i)
			}
			close(turns)
			wg.Wait()
		})
	}
	all := bytes.Join(data, nil)
	for _, every := range []int{1, 8} {
		b.Run(fmt.Sprintf("file, sync every %d MiB", every*len(all)>>20), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			b.SetBytes(int64(len(all)))
			for i := range b.N {
				if _, err := f.Write(all); err != nil {
					b.Fatal(err)
				}
				if i%every == every-1 || i == b.N-1 {
					if err := f.Sync(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkPutSmall puts durable chunks of 4 KiB, by a number of goroutines at
// once: the time of one, and how many groups it takes.
func BenchmarkPutSmall(b *testing.B) {
	raw := chunkstest.Random(1, 4096)
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := benchStore(b)
			before := s.Stats().Syncs
			b.ReportAllocs()
			b.ResetTimer()
			var next atomic.Int64
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						c := chunks.Chunk{ID: chunks.Sum(fmt.Append(nil, i)), RawLen: 4096, Data: raw}
						if err := s.Put(context.Background(), []chunks.Chunk{c}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(s.Stats().Syncs-before)/float64(b.N), "groups/op")
		})
	}
}

// BenchmarkRecover opens a store whose last segment the index knows nothing of,
// which is more than any crash leaves: 64 MiB are read and verified.
func BenchmarkRecover(b *testing.B) {
	const n = 64 << 20 / benchLen
	for b.Loop() {
		b.StopTimer()
		o := Options{Dir: b.TempDir(), Logger: slog.New(slog.DiscardHandler)}
		s, err := Open(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		var batch []chunks.Chunk
		for i := range uint64(n) {
			batch = append(batch, chunkstest.Encode(chunkstest.Random(i, benchLen)))
		}
		if err := s.Put(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(o.Dir, rebuildName), nil, 0o600); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if s, err = Open(b.Context(), o); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if got := s.Stats().Chunks; got != n {
			b.Fatalf("%d chunks after recovery, want %d", got, n)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.SetBytes(n * benchLen)
}

// BenchmarkHas looks up IDs, known and unknown, in a store of 50,000 chunks.
func BenchmarkHas(b *testing.B) {
	s := benchStore(b)
	const n = 50_000
	ids := make([]chunks.ID, n)
	batch := make([]chunks.Chunk, n)
	for i := range ids {
		ids[i] = chunks.Sum(fmt.Append(nil, i))
		batch[i] = chunks.Chunk{ID: ids[i], RawLen: 1, Data: []byte{1}}
	}
	if err := s.Put(context.Background(), batch); err != nil {
		b.Fatal(err)
	}
	unknown := make([]chunks.ID, n)
	for i := range unknown {
		unknown[i] = chunks.Sum(fmt.Append(nil, -1-i))
	}
	for name, ask := range map[string][]chunks.ID{"known": ids, "unknown": unknown} {
		b.Run(name, func(b *testing.B) {
			present := make([]bool, 1000)
			for i := range b.N {
				at := i * 1000 % n
				if err := s.Has(context.Background(), ask[at:at+1000], present); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "look-ups/s")
		})
	}
}

// BenchmarkGet reads and verifies chunks of 64 KiB, stored raw and compressed.
func BenchmarkGet(b *testing.B) {
	for _, kind := range []string{"raw", "compressed"} {
		b.Run(kind, func(b *testing.B) {
			s := benchStore(b)
			var ids []chunks.ID
			var batch []chunks.Chunk
			for i := range uint64(256) {
				data := chunkstest.Random(i, benchLen)
				if kind == "compressed" {
					for j := range data { // sixteen letters: four bits a byte
						data[j] = 'a' + data[j]%16
					}
				}
				c := chunkstest.Encode(data)
				ids, batch = append(ids, c.ID), append(batch, c)
			}
			if err := s.Put(context.Background(), batch); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(benchLen)
			b.ReportAllocs()
			var buf chunks.Buffer
			for i := 0; b.Loop(); i++ {
				if err := s.Get(context.Background(), ids[i%len(ids)], &buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGetStored reads chunks as they are sent to another site.
func BenchmarkGetStored(b *testing.B) {
	s := benchStore(b)
	var ids []chunks.ID
	var batch []chunks.Chunk
	for i := range uint64(256) {
		c := chunkstest.Encode(chunkstest.Random(i, benchLen))
		ids, batch = append(ids, c.ID), append(batch, c)
	}
	if err := s.Put(context.Background(), batch); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(benchLen)
	b.ReportAllocs()
	var buf chunks.Buffer
	for i := 0; b.Loop(); i++ {
		if err := s.GetStored(context.Background(), ids[i%len(ids)], &buf); err != nil {
			b.Fatal(err)
		}
	}
}
