package objsync

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"edgefog.dev/isgw/sync/link/linkpb"
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

// TestBroughtDuringScan has a site copy two others at once. One has deleted a version
// and forgotten that, the other still has it and brings it after the page of the first
// was read that says so, and before the copy has ended.
func TestBroughtDuringScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := newTestSite(t, 1), newTestSite(t, 2), newTestSite(t, 3)
		sites := []*testSite{a, b, c}
		for _, s := range sites {
			s.ensureBucket(bk1)
		}
		ab, ba := connect(t, a, b, nil, bk1)
		ac, ca := connect(t, a, c, nil, bk1)
		bc, cb := connect(t, b, c, func(o *EngineOptions) { o.page = 7 }, bk1)
		halves := []*half{ab, ba, ac, ca, bc, cb}
		defer func() {
			for _, h := range halves {
				h.halt()
			}
			for _, s := range sites {
				s.close()
			}
		}()
		a.put(bk1, "k", []byte("deleted at b"))
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

		read, brought := make(chan struct{}), make(chan struct{})
		pages := 0
		cb.wire.page = func(*linkpb.ScanPage) {
			if pages++; pages == 2 {
				close(read)
				<-brought
			}
		}
		bc.start()
		cb.start()
		<-read
		ac.start()
		ca.start()
		until(t, time.Minute, "k to be brought", func() bool {
			_, ok := c.listing(bk1)["k"]
			return ok
		})
		close(brought)
		synced(t, time.Minute, ac, ca, bc, cb)
		sameHeads(t, bk1, sites...)
		for _, s := range sites {
			if keys := s.listing(bk1); len(keys) != 20 {
				t.Errorf("%s has %d keys, want 20: k was deleted", s.name, len(keys))
			}
		}
	})
}
