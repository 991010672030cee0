package objsync

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// contests are the conflicts that a site lists, in words, with the content of each
// loser checked.
func (s *testSite) contests() []string {
	s.t.Helper()
	page, err := s.cat.Conflicts(bk1, nil, nil, nil, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, c := range page.Contests {
		if err := s.whole(c.Loser); err != nil {
			s.t.Errorf("%s: the loser of %s cannot be read: %v", s.name, c.Loser.GetKey(), err)
		}
		out = append(out, fmt.Sprintf("%s: %s lost against %s", c.Loser.GetKey(), keyOf(c.Loser.GetDot()), keyOf(c.Winner.GetDot())))
	}
	return out
}

// TestConcurrentEditsAreListed edits a key at both ends of a line of three sites that
// is cut, and deletes another at one end that is edited at the other. All sites keep
// the same winner and list the loser, whose content can be read, even where the bucket
// keeps one version, until somebody writes who has seen both.
func TestConcurrentEditsAreListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := newTestSite(t, 1), newTestSite(t, 2), newTestSite(t, 3)
		p, q := connect(t, a, b, nil, bk1)
		r, s := connect(t, b, c, nil, bk1)
		all := []*half{p, q, r, s}
		defer func() {
			for _, h := range all {
				h.halt()
			}
			for _, s := range []*testSite{a, b, c} {
				s.close()
			}
		}()
		a.makeBucket(bk1, 1)
		for _, h := range all {
			h.start()
		}
		a.put(bk1, "k", random(1, 3000))
		a.put(bk1, "gone", random(2, 3000))
		synced(t, time.Minute, all...)
		for _, h := range all {
			h.wire.cut()
		}
		pause(time.Second)
		lost := a.put(bk1, "k", random(3, 40_000))
		a.put(bk1, "gone", random(4, 40_000))
		pause(time.Second)
		won := c.put(bk1, "k", random(5, 40_000))
		c.put(bk1, "gone", random(6, 4000)) // of a generation above what a wrote
		c.del(bk1, "gone")
		for _, h := range all {
			h.wire.mend()
		}
		synced(t, 2*time.Minute, all...)
		sameHeads(t, bk1, a, b, c)
		want := fmt.Sprintf("k: %s lost against %s", keyOf(lost.GetDot()), keyOf(won.GetDot()))
		for _, s := range []*testSite{a, b, c} {
			list := s.contests()
			if len(list) == 0 || list[len(list)-1] != want {
				t.Errorf("%s lists %q, want %q at last", s.name, list, want)
			}
			history, err := s.cat.History(bk1, []byte("k"))
			if err != nil || len(history) != 2 || !history[0].Latest || keyOf(history[1].Record.GetDot()) != keyOf(lost.GetDot()) {
				t.Errorf("%s: history of k: %v %v", s.name, history, err)
			}
		}
		// At the site that edited what was deleted elsewhere, the edit can be had back.
		if list := a.contests(); len(list) != 2 {
			t.Errorf("%s lists %q, want the lost edit of a deleted key too", a.name, list)
		}
		// Somebody who has seen both writes, and deletes.
		b.put(bk1, "k", random(7, 3000))
		a.put(bk1, "gone", random(8, 3000))
		synced(t, time.Minute, all...)
		for _, s := range []*testSite{a, b, c} {
			if list := s.contests(); len(list) != 0 {
				t.Errorf("%s still lists %q", s.name, list)
			}
			if err := s.cat.Check(t.Context(), bk1); err != nil {
				t.Error(err)
			}
		}
		if _, err := a.cat.ByDot(bk1, lost.GetDot()); err == nil {
			t.Error("the loser is kept although the conflict has ended")
		}
	})
}
