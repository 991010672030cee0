package objsync

import (
	"context"
	"fmt"
	"testing"
	"time"

	"edgefog.dev/isgw/sync/link/linkpb"
)

// TestPendingDuringScan has a site copy another one, which has deleted a version and
// forgotten that, while this version is pending from a third site. It is applied after
// the copy has ended, as an exception to what the site covers.
func TestPendingDuringScan(t *testing.T) {
	three(t, nil, func(t *testing.T, s *trio) {
		a, b := s.a, s.b
		large := random(1, 3<<20)
		a.put(bk1, "k", large)
		for n := range 20 {
			a.put(bk1, fmt.Sprint("x", n), []byte("stays"))
		}
		s.ab.start()
		s.ba.start()
		synced(t, time.Minute, s.ab, s.ba)
		s.ab.halt()
		s.ba.halt()
		b.del(bk1, "k")
		pause(time.Hour)
		b.trim(bk1, time.Now())

		open := make(chan struct{})
		s.ca.wire.gate = func(ctx context.Context, h *linkpb.ChunkHeader) error {
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
		s.ac.start()
		s.ca.start()
		until(t, time.Minute, "k to be pending", func() bool { return len(s.ca.pendingOf(bk1)) == 1 })
		s.bc.start()
		s.cb.start()
		synced(t, time.Minute, s.bc, s.cb)
		pause(time.Minute)
		close(open)
		synced(t, time.Minute, s.ac, s.ca, s.bc, s.cb)
		pause(time.Minute)
		synced(t, time.Minute, s.ac, s.ca, s.bc, s.cb)
		sameHeads(t, bk1, s.sites()...)
		for _, site := range s.sites() {
			if keys := site.listing(bk1); len(keys) != 20 {
				t.Errorf("%s has %d keys, want 20: k was deleted", site.name, len(keys))
			}
		}
	})
}
