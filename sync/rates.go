package objsync

import (
	"math"
	"time"
)

// rateWindow is the time constant of the moving averages.
const rateWindow = 10 * time.Second

// rateMeter turns counters into moving averages: an exponentially weighted mean
// whose weights follow from the time between two updates, so that it does not
// matter how regularly it is updated.
type rateMeter struct {
	at    time.Time
	last  [3]float64
	value [3]float64
}

// update takes the counters as they stand: versions, their bytes, bytes of the
// transfer. Updates closer than 100 ms are left for the next one.
func (m *rateMeter) update(now time.Time, counters ...float64) {
	if m.at.IsZero() {
		m.at = now
		copy(m.last[:], counters)
		return
	}
	dt := now.Sub(m.at)
	if dt < 100*time.Millisecond {
		return
	}
	keep := math.Exp(-dt.Seconds() / rateWindow.Seconds())
	for i, c := range counters {
		m.value[i] = m.value[i]*keep + (c-m.last[i])/dt.Seconds()*(1-keep)
		if m.value[i] < 0.01 {
			m.value[i] = 0
		}
	}
	copy(m.last[:], counters)
	m.at = now
}

func (m *rateMeter) rates() Rates {
	return Rates{Versions: m.value[0], VersionBytes: m.value[1], Bytes: m.value[2]}
}
