package objsync

import (
	"fmt"
	"testing"
	"time"

	"edgefog.dev/isgw/sync/link/linkpb"
)

// TestLearnedByComparison has a site learn from one peer, by a comparison, that a
// version was deleted which it never had. The deletion itself is forgotten already, and
// another peer, whose place in the site's log is true, still has the version.
func TestLearnedByComparison(t *testing.T) {
	three(t, nil, func(t *testing.T, s *trio) {
		a, c := s.a, s.c
		c.put(bk1, "there from the beginning", []byte("stays"))
		both(t, s.bc, s.cb)
		apart(s.bc, s.cb)
		c.put(bk1, "k", []byte("deleted at a"))
		both(t, s.ac, s.ca)
		apart(s.ac, s.ca)
		a.del(bk1, "k")
		pause(time.Hour)
		a.trim(bk1, time.Now())

		both(t, s.ab, s.ba)
		both(t, s.bc, s.cb)
		sameHeads(t, bk1, s.sites()...)
		if keys := c.listing(bk1); len(keys) != 1 {
			t.Errorf("%d keys, want 1: %v", len(keys), keys)
		}

		// Nobody compares for ever.
		for _, h := range s.halves() {
			h.wire.mu.Lock()
			h.wire.compares = 0
			h.wire.mu.Unlock()
		}
		c.put(bk1, "later", []byte("later"))
		pause(time.Hour)
		synced(t, 5*time.Minute, s.ab, s.ba, s.bc, s.cb)
		sameHeads(t, bk1, s.sites()...)
		for _, h := range s.halves() {
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
	three(t, nil, func(t *testing.T, s *trio) {
		a, b, c := s.a, s.b, s.c
		s.cb.opts.page = 7
		a.put(bk1, "k", []byte("deleted at b"))
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

		read, brought := make(chan struct{}), make(chan struct{})
		pages := 0
		s.cb.wire.page = func(*linkpb.ScanPage) {
			if pages++; pages == 2 {
				close(read)
				<-brought
			}
		}
		s.bc.start()
		s.cb.start()
		<-read
		s.ac.start()
		s.ca.start()
		until(t, time.Minute, "k to be brought", func() bool {
			_, ok := c.listing(bk1)["k"]
			return ok
		})
		close(brought)
		synced(t, time.Minute, s.ac, s.ca, s.bc, s.cb)
		sameHeads(t, bk1, s.sites()...)
		for _, site := range s.sites() {
			if keys := site.listing(bk1); len(keys) != 20 {
				t.Errorf("%s has %d keys, want 20: k was deleted", site.name, len(keys))
			}
		}
	})
}
