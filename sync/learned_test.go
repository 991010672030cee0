package objsync

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestLearnedByComparison has a site learn from one peer, by a comparison, that a
// version was deleted which it never had. The deletion itself is forgotten already, and
// another peer, whose place in the site's log is true, still has the version.
func TestLearnedByComparison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := newTestSite(t, 1), newTestSite(t, 2), newTestSite(t, 3)
		sites := []*testSite{a, b, c}
		for _, s := range sites {
			s.ensureBucket(bk1)
		}
		ac, ca := connect(t, a, c, nil, bk1)
		bc, cb := connect(t, b, c, nil, bk1)
		ab, ba := connect(t, a, b, nil, bk1)
		halves := []*half{ac, ca, bc, cb, ab, ba}
		defer func() {
			for _, h := range halves {
				h.halt()
			}
			for _, s := range sites {
				s.close()
			}
		}()
		both := func(x, y *half) {
			t.Helper()
			x.start()
			y.start()
			synced(t, 5*time.Minute, x, y)
		}
		apart := func(x, y *half) {
			x.halt()
			y.halt()
		}

		c.put(bk1, "there from the beginning", []byte("stays"))
		both(bc, cb)
		apart(bc, cb)
		c.put(bk1, "k", []byte("deleted at a"))
		both(ac, ca)
		apart(ac, ca)
		a.del(bk1, "k")
		pause(time.Hour)
		a.trim(bk1, time.Now())

		both(ab, ba)
		both(bc, cb)
		sameHeads(t, bk1, sites...)
		if keys := c.listing(bk1); len(keys) != 1 {
			t.Errorf("%d keys, want 1: %v", len(keys), keys)
		}

		// Nobody compares for ever.
		for _, h := range halves {
			h.wire.mu.Lock()
			h.wire.compares = 0
			h.wire.mu.Unlock()
		}
		c.put(bk1, "later", []byte("later"))
		pause(time.Hour)
		synced(t, 5*time.Minute, ab, ba, bc, cb)
		sameHeads(t, bk1, sites...)
		for _, h := range halves {
			h.wire.mu.Lock()
			if n := h.wire.compares; n != 0 {
				t.Errorf("%s compared %d times with %s after all was equal", h.site.name, n, h.peer.name)
			}
			h.wire.mu.Unlock()
		}
	})
}
