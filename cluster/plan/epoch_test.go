package plan

import (
	"math"
	"testing"
	"time"
)

func TestNextEpoch(t *testing.T) {
	for _, c := range []struct {
		was  uint32
		now  time.Time
		want uint32
	}{
		{1, time.Unix(1_800_000_000, 0), 1_800_000_000},
		{1_800_000_000, time.Unix(1_800_000_000, 5), 1_800_000_001}, // twice in one second
		{1_800_000_000, time.Unix(1_700_000_000, 0), 1_800_000_001}, // the clock went back
		{1, time.Unix(-5, 0), 2},
		{1, time.Unix(math.MaxUint32+1, 0), 2},
	} {
		if got := NextEpoch(c.was, c.now); got != c.want {
			t.Errorf("after %d at %v: %d, want %d", c.was, c.now.UTC(), got, c.want)
		}
	}
}
