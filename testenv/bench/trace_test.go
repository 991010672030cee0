package main

import (
	"math"
	"testing"
	"time"
)

func TestTrace(t *testing.T) {
	const ms = time.Millisecond
	// Nothing for half a second, then 100 bytes in 10 ms, and a slow end.
	tr := trace{{0, 0}, {500 * ms, 0}, {600 * ms, 1000}, {700 * ms, 2000}, {800 * ms, 3000}, {1800 * ms, 4000}}
	for n, want := range map[int64]time.Duration{1: 500*ms + ms/10, 500: 550 * ms, 1000: 600 * ms, 3500: 1300 * ms, 4000: 1800 * ms, 4001: 0} {
		if got := tr.reached(n); got != want {
			t.Errorf("%d bytes had crossed after %v, want %v", n, got, want)
		}
	}
	// A tenth of what crossed was headers: 3600 bytes of content.
	if got := tr.steady(3600); math.Abs(got-9000) > 1e-6 {
		t.Errorf("steady at %v bytes a second, want 9000", got)
	}
	if got := trace(nil).steady(100); got != 0 {
		t.Errorf("%v bytes a second without a sample", got)
	}
	if got := (trace{{ms, 10}}).steady(100); got != 0 {
		t.Errorf("%v bytes a second of one sample", got)
	}
}
