package objsync

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"edgefog.dev/isgw/sync/link/linkpb"
)

// TestBucketThatCannotBeMade has one of two buckets that cannot be made at the receiver:
// the link is not in sync, and says why.
func TestBucketThatCannotBeMade(t *testing.T) {
	const other = "Hawaii/Pepsi/bk1"
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.site.put(bk1, "k", []byte("v"))
		x.site.makeBucket(other, 1)
		x.site.put(other, "k", []byte("v"))
		x.serve(bk1, other)
		y.served = []string{bk1, other}
		var full atomic.Bool
		full.Store(true)
		ensure := y.opts.EnsureBucket
		y.opts.EnsureBucket = func(ctx context.Context, sb *linkpb.ServedBucket) error {
			if sb.GetPath() == other && full.Load() {
				return errors.New("the tenant has no room for it")
			}
			return ensure(ctx, sb)
		}
		x.start()
		y.start()
		until(t, time.Minute, "the first is there", func() bool { return len(y.site.listingOf(bk1)) == 1 })
		pause(30 * time.Second)
		st := y.engine.Status()
		if st.State != StateLagging || !strings.Contains(st.Cause, "has no room") || st.Lag.Known {
			t.Errorf("the link is %s because of %q, its lag is %+v", st.State, st.Cause, st.Lag)
		}
		if x.local.Status().InSync {
			t.Error("the sender calls it in sync")
		}
		full.Store(false)
		synced(t, time.Minute, x, y)
		sameHeads(t, other, x.site, y.site)
	})
}

// TestAbsentBucketsAreForgotten has a sender list ever new buckets that it does not have.
func TestAbsentBucketsAreForgotten(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		y.opts.Accepts = func(string) bool { return true }
		x.start()
		y.start()
		for i := range 20 {
			names := []string{bk1}
			for j := range 50 {
				names = append(names, fmt.Sprintf("Hawaii/Cola/none-%d-%d", i, j))
			}
			x.serve(names...)
			pause(20 * time.Second)
		}
		y.halt()
		if n := len(y.engine.absent); n != 50 {
			t.Errorf("%d buckets that were never there are remembered", n)
		}
	})
}
