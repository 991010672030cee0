package objsync

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestClockWasAhead puts a version into quarantine by a clock that is a month ahead, and
// is put right: the version is tried again in time.
func TestClockWasAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newTestSite(t, 1), newTestSite(t, 2)
		ahead := 30 * 24 * time.Hour
		b.clock = func() time.Time { return time.Now().Add(ahead) }
		x, y := connect(t, a, b, nil, bk1)
		defer func() {
			x.halt()
			y.halt()
			a.close()
			b.close()
		}()
		a.makeBucket(bk1, 1)
		putBad(t, x, y)
		y.halt()
		ahead = 0
		y.start()
		synced(t, 2*time.Hour, x, y)
	})
}
