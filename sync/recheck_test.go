package objsync

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// learned is a source that has learned from others.
type learned struct {
	link.Source
	times atomic.Uint64
}

func (l *learned) Served(ctx context.Context) (*linkpb.Served, error) {
	out, err := l.Source.Served(ctx)
	for _, b := range out.GetBuckets() {
		b.Learned = l.times.Load()
	}
	return out, err
}

// TestComparesUnderLoad has a comparison due while a bucket is written to faster than
// it is taken.
func TestComparesUnderLoad(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		from := &learned{Source: y.wire}
		y.opts.Source = from
		propose := y.opts.Propose
		y.opts.Propose = func(ctx context.Context, cmd *raftfsmpb.Command) (*raftfsmpb.Result, error) {
			pause(300 * time.Millisecond)
			return propose(ctx, cmd)
		}
		x.site.put(bk1, "first", []byte("v"))
		x.start()
		y.start()
		synced(t, time.Minute, x, y)
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
					x.site.put(bk1, fmt.Sprint("k", i%100), []byte(fmt.Sprint(i)))
				}
			}
		}()
		pause(time.Second)
		from.times.Store(1)
		y.engine.Kick()
		until(t, 3*time.Minute, "it is compared", func() bool {
			c, err := y.site.cat.Cursor(bk1, x.site.id)
			return err == nil && c.GetLearned() == 1 && c.GetScan() == nil
		})
		close(stop)
		<-done
		synced(t, time.Minute, x, y)
		sameHeads(t, bk1, x.site, y.site)
	})
}
