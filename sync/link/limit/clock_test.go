package limit

import (
	"testing"
	"time"
	"unsafe"
)

// setBack is what a clock says, whose time of day was set back, though the process's
// own time goes on: no Go function makes such a time, but the system does.
func setBack(now time.Time, by time.Duration) time.Time {
	if now == now.Round(0) {
		panic("a time without a monotonic reading")
	}
	wall := (*uint64)(unsafe.Pointer(&now)) // seconds above 30 bits of nanoseconds
	*wall -= uint64(by/time.Second) << 30
	return now
}

// TestClockSetBack sets the time of day back into the hours of a limit, from after them.
func TestClockSetBack(t *testing.T) {
	back := time.Duration(0)
	l := New(func() time.Time { return setBack(time.Now(), back) })
	evening := time.Now().Round(0).Add(-time.Hour) // as a schedule makes it, of a date
	l.Set(func(now time.Time) (uint64, time.Time) {
		if now.Round(0).Before(evening) {
			return 1000, evening
		}
		return 0, evening.Add(23 * time.Hour)
	})
	if r := l.Rate(); r != 0 {
		t.Fatalf("the rate is %d after the hours of the limit", r)
	}
	back = 3 * time.Hour
	if r := l.Rate(); r != 1000 {
		t.Errorf("the rate is %d after the clock was set back into the hours of the limit", r)
	}
	back = 0
	if r := l.Rate(); r != 0 {
		t.Errorf("the rate is %d after the clock was set forward again", r)
	}
}
