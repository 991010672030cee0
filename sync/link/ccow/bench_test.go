package ccow

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/sync/link/linkpb"
	"edgefog.dev/isgw/sync/link/linktest"
)

// BenchmarkFetch streams chunks over loopback, both ends in one process: the
// bytes per second of one operation, which is one chunk. Small ones show what a
// frame costs, large ones what a byte does.
func BenchmarkFetch(b *testing.B) {
	for _, c := range []struct{ size, streams int }{{64 << 10, 1}, {64 << 10, 2}, {64 << 10, 4}, {1 << 10, 1}} {
		b.Run(fmt.Sprintf("size=%d/streams=%d", c.size, c.streams), func(b *testing.B) {
			size, streams := c.size, c.streams
			body := make([]byte, size)
			rand.NewChaCha8([32]byte{1}).Read(body)
			header := &linkpb.ChunkHeader{Id: make([]byte, chunks.IDSize), RawLength: uint32(size), Length: uint32(size)}
			near, far := twoSites(b, nil)
			far.serve("hawaii", &linktest.Source{OnFetch: func(ctx context.Context, req *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
				for range req.GetWants()[0].GetChildren()[0] {
					if err := fn(header, body); err != nil {
						return err
					}
				}
				return nil
			}})
			link := client(b, near, far, nil)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			var got atomic.Int64
			var wg sync.WaitGroup
			for i := range streams {
				n := b.N / streams
				if i == 0 {
					n += b.N % streams
				}
				wg.Go(func() {
					err := link.Fetch(context.Background(), &linkpb.FetchRequest{Wants: []*linkpb.Want{{Children: []uint32{uint32(n)}}}},
						func(_ *linkpb.ChunkHeader, body []byte) error { got.Add(int64(len(body))); return nil })
					if err != nil {
						b.Error(err)
					}
				})
			}
			wg.Wait()
			if got.Load() != int64(b.N)*int64(size) {
				b.Fatalf("%d bytes arrived", got.Load())
			}
		})
	}
}
