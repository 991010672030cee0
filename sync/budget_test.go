package objsync

import (
	"testing"
	"time"
)

func TestBudgetFor(t *testing.T) {
	const window = 15 << 20
	for _, c := range []struct {
		name                string
		rate                float64
		rtt                 time.Duration
		total, large, fetch int64
	}{
		{"nothing known", 0, 0, window, largeFirst, largeFirst / 8},
		{"loopback", 600e6, 200 * time.Microsecond, window + 240_000, (window + 240_000) * 3 / 4, (window + 240_000) * 3 / 4 / 8},
		{"long and fast", 125e6, 100 * time.Millisecond, window + 25_000_000, (window + 25_000_000) * 3 / 4, fetchBytes},
		{"beyond what is granted", 1.25e9, 200 * time.Millisecond, window + lineMost, (window + lineMost) * 3 / 4, fetchBytes},
		{"slow", 1.25e6, 20 * time.Millisecond, window + 50_000, largeLeast, fetchLeast},
		{"round trip not known", 20e6, 0, window, 5_000_000, 625_000},
	} {
		got := budgetFor(window, lineMost, c.rate, c.rtt, 0)
		if want := (budget{total: c.total, large: c.large, fetch: c.fetch}); got != want {
			t.Errorf("%s: %+v, want %+v", c.name, got, want)
		}
		if got.large < got.fetch || got.large > got.total {
			t.Errorf("%s: %+v is not in order", c.name, got)
		}
	}
}

func TestLineMeter(t *testing.T) {
	var m lineMeter
	if m.rtt() != 0 || m.speed() != 0 {
		t.Fatal("something is known before anything came")
	}
	m.tripped(30 * time.Millisecond)
	m.tripped(10 * time.Millisecond)
	for range 6 {
		m.tripped(50 * time.Millisecond)
	}
	if m.rtt() != 10*time.Millisecond {
		t.Errorf("round trip %s", m.rtt())
	}
	for range 2 {
		m.tripped(50 * time.Millisecond)
	}
	if m.rtt() != 50*time.Millisecond {
		t.Errorf("the line is longer now, and the round trip is still %s", m.rtt())
	}

	now, pressed := time.Unix(1000, 0), false
	step := func(d time.Duration, n int64) {
		now = now.Add(d)
		m.arrived(n, now, pressed)
	}
	step(time.Hour, 5000) // the first bytes say nothing of the rate
	if m.speed() != 0 {
		t.Errorf("%f bytes per second after one arrival", m.speed())
	}
	for range 8 {
		step(25*time.Millisecond, 20)
	}
	if m.speed() != 0 {
		t.Errorf("little was asked for, and %f bytes per second are called the line's", m.speed())
	}
	pressed = true
	for range 4 {
		step(25*time.Millisecond, 25_000)
	}
	if got := m.speed(); got != 1e6 {
		t.Errorf("%f bytes per second instead of 1e6", got)
	}
	step(time.Minute, 1<<30) // after a pause
	if got := m.speed(); got != 1e6 {
		t.Errorf("a pause made %f bytes per second", got)
	}
	for range len(m.rates) {
		step(200*time.Millisecond, 2000)
	}
	if got := m.speed(); got != 1e4 {
		t.Errorf("the line became slow, and %f bytes per second are remembered", got)
	}
}
