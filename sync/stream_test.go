package objsync

import (
	"context"
	"fmt"
	"testing"
	"time"

	"edgefog.dev/isgw/sync/link/linkpb"
)

// TestParkedBucketComesBack has room again in the lane of a bucket that was parked, while
// another bucket is being opened and the sender goes on writing: what the old stream
// still says of it is not taken for a gap.
func TestParkedBucketComesBack(t *testing.T) {
	const (
		other = "Hawaii/Pepsi/bk1"
		lane  = 300
	)
	pair(t, func(o *EngineOptions) { o.PendingLimit, o.lane = 1, lane }, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.site.makeBucket(other, 1)
		x.site.put(other, "k", []byte("v"))
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		open := make(chan struct{})
		y.wire.gate = func(ctx context.Context, h *linkpb.ChunkHeader) error {
			if h.GetRawLength() != 3000 {
				return nil
			}
			select {
			case <-open:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		x.site.put(bk1, "blocked1", random(1, 3000))
		x.site.put(bk1, "blocked2", random(2, 3000))
		pause(100 * time.Millisecond)
		for i := range lane + 700 {
			x.site.put(bk1, fmt.Sprint("k", i), []byte("v"))
		}
		until(t, 10*time.Second, "what came is there although the cursor stands", func() bool { return len(y.site.listing(bk1)) >= lane*3/4 })
		pause(3 * time.Second)
		hold := make(chan struct{})
		y.wire.page = func(*linkpb.ScanPage) { <-hold }
		x.serve(bk1, other)
		y.serve(bk1, other)
		pause(2 * time.Second)
		close(open)
		for i := range 100 {
			x.site.put(bk1, fmt.Sprint("late", i), []byte("v"))
			pause(5 * time.Millisecond)
		}
		close(hold)
		synced(t, 60*time.Second, x, y)
		sameHeads(t, bk1, x.site, y.site)
		if c := y.engine.Status().Counters; c.IntegrityErrors != 0 || c.Sessions != 1 {
			t.Errorf("%d sessions, %d integrity errors", c.Sessions, c.IntegrityErrors)
		}
	})
}

// TestBacklogHoldsNothingBack serves a bucket while the log of another is being sent,
// which takes 9 s: it is told of, and copied, meanwhile.
func TestBacklogHoldsNothingBack(t *testing.T) {
	const other = "Hawaii/Pepsi/bk1"
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		y.halt()
		for i := range 6_000 {
			x.site.put(bk1, fmt.Sprint("k", i), []byte("v"))
		}
		y.wire.delay = func() time.Duration { return 400 * time.Millisecond }
		y.start()
		until(t, time.Minute, "it begins", func() bool { return len(y.site.listing(bk1)) > 100 })
		x.site.makeBucket(other, 1)
		x.site.put(other, "k", []byte("v"))
		y.mu.Lock()
		y.served = []string{bk1, other} // without a word to the engine: the sender tells it
		y.mu.Unlock()
		x.serve(bk1, other)
		at := time.Now()
		until(t, 5*time.Minute, "the other bucket is there", func() bool { return len(y.site.listingOf(other)) == 1 })
		if took := time.Since(at); took > 5*time.Second {
			t.Errorf("a bucket that was served waited %s for the backlog of another", took)
		}
	})
}
