package objsync

import (
	"context"
	"fmt"
	"testing"
	"time"

	"edgefog.dev/isgw/sync/link/linkpb"
)

// TestOldestKeyAfterOvertaking holds up two versions that hundreds of later ones
// overtake: the oldest key that is not at the other site is the first of the two, then
// the second, and none when all is there, and the lag is its age.
func TestOldestKeyAfterOvertaking(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		held := map[uint32]chan struct{}{7777: make(chan struct{}), 8888: make(chan struct{})}
		y.wire.mu.Lock()
		y.wire.gate = func(ctx context.Context, h *linkpb.ChunkHeader) error {
			gate := held[uint32(h.GetRawLength())]
			if gate == nil {
				return nil
			}
			select {
			case <-gate:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		y.wire.mu.Unlock()
		oldest := func(key string, since time.Time) {
			t.Helper()
			out := x.local.Status()
			age := time.Duration(0)
			if key != "" {
				age = time.Since(since)
			}
			if out.OldestKey != key || (out.OldestBucket == bk1) != (key != "") || !out.Lag.Known || out.Lag.Age < age-time.Second || out.Lag.Age > age+time.Second {
				t.Errorf("the oldest key is %q of %q with a lag of %v; want %q and %v", out.OldestKey, out.OldestBucket, out.Lag, key, age)
			}
		}
		small := func(n int) {
			for i := range 100 {
				x.site.put(bk1, fmt.Sprintf("small-%d-%03d", n, i), random(uint64(100*n+i), 500))
			}
		}
		first := time.Now()
		x.site.put(bk1, "first", random(1, 7777))
		pause(2 * time.Second)
		small(1)
		pause(time.Second)
		second := time.Now()
		x.site.put(bk1, "second", random(2, 8888))
		pause(time.Second) // what is asked for with it waits with it
		small(2)
		for range 10 { // before the first goes to the pending table, and after
			oldest("first", first)
			pause(time.Second)
		}
		if n := len(y.site.listing(bk1)); n != 200 {
			t.Errorf("%d small versions have overtaken, want 200", n)
		}
		close(held[7777])
		pause(5 * time.Second)
		oldest("second", second)
		close(held[8888])
		synced(t, 30*time.Second, x, y)
		oldest("", time.Time{})
	})
}
