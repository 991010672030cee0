package objsync

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"edgefog.dev/isgw/sync/link/linkpb"
)

// TestPendingDuringScan has a site copy another one, which has deleted a version and
// forgotten that, while this version is pending from a third site. It is applied after
// the copy has ended, as an exception to what the site covers.
func TestPendingDuringScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := newTestSite(t, 1), newTestSite(t, 2), newTestSite(t, 3)
		sites := []*testSite{a, b, c}
		for _, s := range sites {
			s.ensureBucket(bk1)
		}
		ab, ba := connect(t, a, b, nil, bk1)
		ac, ca := connect(t, a, c, nil, bk1)
		bc, cb := connect(t, b, c, nil, bk1)
		halves := []*half{ab, ba, ac, ca, bc, cb}
		defer func() {
			for _, h := range halves {
				h.halt()
			}
			for _, s := range sites {
				s.close()
			}
		}()
		large := random(1, 3<<20)
		a.put(bk1, "k", large)
		for n := range 20 {
			a.put(bk1, fmt.Sprint("x", n), []byte("stays"))
		}
		ab.start()
		ba.start()
		synced(t, time.Minute, ab, ba)
		ab.halt()
		ba.halt()
		b.del(bk1, "k")
		pause(time.Hour)
		b.trim(bk1, time.Now())

		open := make(chan struct{})
		ca.wire.gate = func(ctx context.Context, h *linkpb.ChunkHeader) error {
			if h.GetRawLength() < 30_000 {
				return nil
			}
			select {
			case <-open:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		ac.start()
		ca.start()
		until(t, time.Minute, "k to be pending", func() bool { return len(ca.pendingOf(bk1)) == 1 })
		bc.start()
		cb.start()
		synced(t, time.Minute, bc, cb)
		pause(time.Minute)
		close(open)
		synced(t, time.Minute, ac, ca, bc, cb)
		pause(time.Minute)
		synced(t, time.Minute, ac, ca, bc, cb)
		sameHeads(t, bk1, sites...)
		for _, s := range sites {
			if keys := s.listing(bk1); len(keys) != 20 {
				t.Errorf("%s has %d keys, want 20: k was deleted", s.name, len(keys))
			}
		}
	})
}
