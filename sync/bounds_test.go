package objsync

import (
	"context"
	"fmt"
	"testing"
	"time"

	"edgefog.dev/isgw/chunks"
)

func TestBoundsAddUp(t *testing.T) {
	for _, embedded := range []bool{false, true} {
		for _, connections := range []int{0, 1, 8, 12, 32} {
			var last int64
			for cache := int64(MinCache); cache <= 1<<30; cache += cache / 7 {
				b := BoundsFor(embedded, cache, connections)
				if b.Most() > cache {
					t.Errorf("embedded %v, %d connections: %d bytes are divided into %d: %+v", embedded, connections, cache, b.Most(), b)
				}
				if b.Workers < 2 || b.Workers > 2*b.Connections || b.Window < leastWindow || b.Queue < 1<<20 || b.Nodes < 4 {
					t.Errorf("of %d bytes: %+v", cache, b)
				}
				if b.Window+b.Line < last {
					t.Errorf("%d bytes have less room for content than fewer: %+v", cache, b)
				}
				if connections < 8 { // more workers take from it
					last = b.Window + b.Line
				}
			}
		}
	}
	fast, small := BoundsFor(false, 0, 0), BoundsFor(true, 0, 0)
	if fast != (Bounds{Connections: 8, Workers: 16, Window: 15 << 20, Line: 48 << 20, Queue: 16 << 20, Nodes: 256}) {
		t.Errorf("the performance profile: %+v", fast)
	}
	if small.Connections != 2 || small.Workers > 4 || small.Most() > EmbeddedCache || small.Window >= fast.Window || small.Nodes >= fast.Nodes {
		t.Errorf("the embedded profile: %+v", small)
	}
	if got, want := BoundsFor(false, 1, 0), BoundsFor(false, MinCache, 0); got != want {
		t.Errorf("a bound below the least gives %+v, want %+v", got, want)
	}
}

// slowStore takes its time to make chunks durable.
type slowStore struct{ chunks.Store }

func (s slowStore) Put(ctx context.Context, batch []chunks.Chunk) error {
	pause(50 * time.Millisecond)
	return s.Store.Put(ctx, batch)
}

// TestBoundsHold measures what a link holds while it has more to do than its disk takes:
// content that was asked for and is not durable, and records that wait for it.
func TestBoundsHold(t *testing.T) {
	for _, c := range []struct {
		name     string
		embedded bool
		cache    int64
	}{{"8 MiB", false, 8 << 20}, {"embedded", true, 0}, {"performance", false, 0}} {
		t.Run(c.name, func(t *testing.T) {
			b := BoundsFor(c.embedded, c.cache, 0)
			pair(t, func(o *EngineOptions) { o.Use(b) }, func(t *testing.T, x, y *half) {
				for i := range 4 {
					path := fmt.Sprint(bk1, i)
					x.site.makeBucket(path, 1)
					y.site.makeBucket(path, 1)
					y.site.put(path, "here", []byte("so that the log is followed"))
					for j := range 40 {
						x.site.put(path, fmt.Sprint("k", j), random(uint64(100*i+j), 600_000))
					}
				}
				x.serve(bk1+"0", bk1+"1", bk1+"2", bk1+"3")
				y.serve(bk1+"0", bk1+"1", bk1+"2", bk1+"3")
				y.opts.Chunks = slowStore{y.site.chunks}
				x.start()
				y.start()
				var held, queued int64
				until(t, 10*time.Minute, "everything is here", func() bool {
					st := y.engine.Status()
					held, queued = max(held, st.InFlight), max(queued, st.Queued)
					return st.State == StateInSync
				})
				if held > b.Window+b.Line || queued > b.Queue+2*batchBytes {
					t.Errorf("held %d bytes of content and %d of records, the bounds are %d and %d", held, queued, b.Window+b.Line, b.Queue)
				}
				t.Logf("held %d of %d bytes of content at most, and %d of %d of records", held, b.Window+b.Line, queued, b.Queue)
				if held < b.Window/2 {
					t.Errorf("held %d bytes at most: the test shows nothing", held)
				}
				for i := range 4 {
					sameHeads(t, fmt.Sprint(bk1, i), x.site, y.site)
				}
			})
		})
	}
}
