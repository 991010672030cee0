package objsync

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"edgefog.dev/isgw/sync/link/linkpb"
)

// TestWrittenBeforeTold has a site that was put back to a backup write before it is told
// so, in another epoch. Nothing is lost: neither what it had written before and others
// have, nor what it writes then.
func TestWrittenBeforeTold(t *testing.T) {
	for name, more := range map[string]int{"less than was lost": 3, "more than was lost": 9} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { writtenBeforeTold(t, more) })
		})
	}
}

func writtenBeforeTold(t *testing.T, more int) {
	x, y := newSimSite(t, 1, 1), newTestSite(t, 2)
	defer y.close()
	x.boot()
	x.ensureBucket(bk1)
	y.ensureBucket(bk1)
	fall := func() {
		x.cutPower()
		x.fallen(true)
	}
	defer fall()
	link := func() (*half, *half) {
		hx, hy := connect(t, x.testSite, y, nil, bk1)
		hx.start()
		hy.start()
		return hx, hy
	}
	put := func(from, to int, as string) {
		for i := from; i < to; i++ {
			x.put(bk1, fmt.Sprint(as, i), []byte(fmt.Sprint(as, i, " of x")))
		}
	}
	put(0, 5, "kept")
	hx, hy := link()
	synced(t, time.Minute, hx, hy)
	b := x.backup()
	put(0, 5, "lost")
	synced(t, time.Minute, hx, hy)
	hx.halt()
	hy.halt()
	fall()
	x.restore(b)
	x.boot()
	x.must(siteEntry{start: 100}) // as a node does that nobody has told that it is intact
	put(0, more, "since")

	hx, hy = link()
	until(t, 10*time.Second, "both to say so", func() bool {
		return hy.engine.Status().State == StateStalled && hx.local.Status().Forgot == bk1
	})
	pause(time.Minute)
	if n := len(y.listing(bk1)); n != 10 {
		t.Errorf("%d keys at the other site, want 10: nothing is taken, and nothing removed", n)
	}
	hx.halt()
	hy.halt()
	x.must(siteEntry{epoch: 200})
	hx, hy = link()
	synced(t, time.Minute, hx, hy)
	hx.halt()
	hy.halt()
	sameHeads(t, bk1, x.testSite, y)
	if n, want := len(y.listing(bk1)), 10+more; n != want {
		t.Errorf("%d keys, want %d: %v", n, want, y.listing(bk1))
	}
}

// TestGoesOnInAnotherEpoch has a sender begin another epoch without having been put
// back: the link goes on from where it was, also while it is paused, and after it fell
// in a copy.
func TestGoesOnInAnotherEpoch(t *testing.T) {
	pair(t, func(o *EngineOptions) { o.page = 7 }, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		for i := range 30 {
			x.site.put(bk1, fmt.Sprint("k", i), []byte("value"))
		}
		raise := func(epoch uint32) {
			x.site.must(siteEntry{start: epoch})
			x.site.put(bk1, "k1", fmt.Append(nil, "written in epoch ", epoch))
		}
		pages := 0
		y.wire.page = func(*linkpb.ScanPage) {
			if pages++; pages == 3 {
				pause(2 * time.Second) // those before it are committed meanwhile
				raise(9)
			}
		}
		x.start()
		y.start()
		synced(t, time.Minute, x, y)
		sameHeads(t, bk1, x.site, y.site)
		if pages > 7 {
			t.Errorf("%d pages were read: the copy began anew", pages)
		}

		y.wire.page = func(*linkpb.ScanPage) { t.Error("it is scanned") }
		y.wire.offers()
		raise(19)
		synced(t, time.Minute, x, y)
		y.set(Settings{Paused: true})
		pause(5 * time.Second)
		raise(29)
		pause(time.Minute)
		if got := y.engine.Status(); got.State != StatePaused || got.BacklogVersions != 1 {
			t.Errorf("while it is paused: %+v", got)
		}
		y.set(Settings{})
		synced(t, time.Minute, x, y)
		y.halt()
		raise(39)
		raise(49)
		y.start()
		synced(t, time.Minute, x, y)
		sameHeads(t, bk1, x.site, y.site)
		if offered := y.wire.offers(); offered > 4 {
			t.Errorf("%d records were offered, want those that were written", offered)
		}
		if c := y.cursor(bk1); c.GetEpoch() != 49 || !c.GetInitialDone() {
			t.Errorf("the cursor is %v", c)
		}
	})
}
