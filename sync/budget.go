package objsync

import "time"

// budget bounds what is asked for and not durable yet.
type budget struct {
	total int64 // for everything
	large int64 // for large versions: the rest is left for small ones
	fetch int64 // bytes of one request for a large version
}

const (
	// lineMost bounds what a long line may add to the window.
	lineMost = 48 << 20
	// largeFirst is asked for of large versions before the line is known,
	// largeLeast however slow it is.
	largeFirst = 8 << 20
	largeLeast = 1 << 20
	// largeAhead is the time for which large versions keep the line filled
	// beyond its round trips. A small version waits no longer behind them.
	largeAhead = 250 * time.Millisecond
	fetchLeast = 128 << 10
)

// budgetFor decides how much is asked for at once. window is what may lie in
// memory, and line what a long line may add to it; rate is the bytes per second that arrive and rtt the round trip, each
// 0 when it is not known. got is what has come while the rate is not known: what is
// asked for doubles with every round trip until then, as TCP begins.
//
// What is on its way on a long line is not in memory, so it comes on top of the
// window: twice the product of rate and round trip, so that the rate that is
// measured can still double. On a slow line large versions do not use the whole
// window, because a small one would wait behind all of it.
func budgetFor(window, line int64, rate float64, rtt time.Duration, got int64) budget {
	b := budget{total: window + min(line, int64(2*rate*rtt.Seconds())), large: largeFirst + got}
	if rate > 0 {
		b.large = max(largeLeast, int64(rate*(2*rtt+largeAhead).Seconds()))
	}
	b.large = min(b.large, b.total*3/4)
	b.fetch = min(fetchBytes, max(fetchLeast, b.large/8))
	return b
}

// lineMeter measures the line of a session: the shortest of the last round
// trips, and the highest of the last rates at which content arrived. It belongs
// to the session's goroutine. The zero lineMeter is ready.
type lineMeter struct {
	trips [8]time.Duration
	trip  int // of trips: the next to be replaced
	rates [10]float64
	rate  int

	since time.Time // what follows is counted from here
	got   int64
	tried bool  // the line had as much to do as was allowed
	first int64 // what came before the first rate was known
}

// rateEvery is the least time over which a rate is measured; a round trip, when
// that is longer.
const rateEvery = 100 * time.Millisecond

// tripped takes the time that a short request took.
func (m *lineMeter) tripped(d time.Duration) {
	m.trips[m.trip] = max(d, 1)
	m.trip = (m.trip + 1) % len(m.trips)
}

// arrived takes bytes of content that came; pressed says that more would have been
// asked for if that had been allowed. A rate that nothing pressed says nothing of
// the line, unless it is a high one.
func (m *lineMeter) arrived(n int64, now time.Time, pressed bool) {
	m.tried = m.tried || pressed
	if m.speed() == 0 {
		m.first += n
	}
	d := now.Sub(m.since)
	switch every := max(rateEvery, m.rtt()); {
	case d < every:
		m.got += n
		return
	case d < 4*every:
		if rate := float64(m.got+n) / d.Seconds(); m.tried || rate > m.speed() && m.speed() > 0 {
			m.rates[m.rate] = rate
			m.rate = (m.rate + 1) % len(m.rates)
		}
	}
	// After a pause there is nothing to be measured yet.
	m.since, m.got, m.tried = now, 0, false
}

// rtt is the shortest of the last round trips, 0 when none is known. Longer ones
// have waited for something else than the line.
func (m *lineMeter) rtt() time.Duration {
	var least time.Duration
	for _, d := range m.trips {
		if d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	return least
}

// speed is the highest of the last rates in bytes per second, 0 when none is
// known. Lower ones were not always the line's.
func (m *lineMeter) speed() float64 {
	var most float64
	for _, r := range m.rates {
		most = max(most, r)
	}
	return most
}

func (m *lineMeter) budget(window, line int64) budget {
	return budgetFor(window, line, m.speed(), m.rtt(), m.first)
}
