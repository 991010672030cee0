package cluster

import (
	"math"
	"testing"
	"time"
)

var nan = math.NaN()

func TestSlope(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		want   float64
		ok     bool
	}{
		{"nothing", nil, 0, false},
		{"too few", []float64{1, 2, 3, 4}, 0, false},
		{"only gaps", []float64{nan, nan, nan, nan, nan, nan}, 0, false},
		{"level", []float64{7, 7, 7, 7, 7}, 0, true},
		{"grows", []float64{0, 2, 4, 6, 8}, 2, true},
		{"drains", []float64{100, 90, 80, 70, 60, 50}, -10, true},
		{"drains with gaps", []float64{100, nan, 80, 70, nan, 50, 40}, -10, true},
		{"noise", []float64{0, 1, 0, 1, 0, 1, 0, 1, 0}, 0, true},
	} {
		got, ok := slope(c.values)
		if ok != c.ok || math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v %v, want %v %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func TestDrainTime(t *testing.T) {
	for _, c := range []struct {
		backlog uint64
		slope   float64
		want    float64
		ok      bool
	}{
		{0, 5, 0, true},
		{100, -10, 10, true},
		{100, 0, 0, false},
		{100, 3, 0, false},
		{100, nan, 0, false},
		{math.MaxUint64, -1e-9, 0, false},
	} {
		got, ok := drainTime(c.backlog, c.slope)
		if got != c.want || ok != c.ok {
			t.Errorf("%d at %v: %v %v, want %v %v", c.backlog, c.slope, got, ok, c.want, c.ok)
		}
	}
}

// TestTrend plays backlogs that change at known rates, a second at a time: while one
// drains the time that is told is the one that it takes, and one that grows or stands
// is never said to drain.
func TestTrend(t *testing.T) {
	const settled = leastPoints // seconds after which a slope is known
	for _, c := range []struct {
		name  string
		quiet int // seconds without a backlog before
		at    func(second int) float64
		until int // seconds
		slope float64
		// ends is the second in which it is gone; -1: never.
		ends  int
		slack float64 // of the time, seconds
	}{
		{"drains", 0, func(i int) float64 { return 6000 - 100*float64(i) }, 60, -100, 60, 0.001},
		{"comes at once and drains", 40, func(i int) float64 { return 1000 - 20*float64(i) }, 50, -20, 50, 0.001},
		{"drains slowly", 0, func(i int) float64 { return 100_000 - float64(i) }, 100, -1, 100_000, 0.01},
		{"grows", 40, func(i int) float64 { return 5 + 3*float64(i) }, 60, 3, -1, 0},
		{"stands", 40, func(int) float64 { return 70 }, 60, 0, -1, 0},
	} {
		h := newHistory()
		unix := int64(1_800_000_000)
		add := func(backlog float64) {
			unix++
			h.record(time.Unix(unix, 0), map[string]point{"a": only(measureBacklog, float32(backlog))})
		}
		for range c.quiet {
			add(0)
		}
		told := 0
		for i := range c.until {
			backlog := c.at(i)
			add(backlog)
			versions := uint64(backlog)
			grows, drains := trend(h.recent("a", time.Unix(unix, 0), slopeSeconds), &versions)
			switch {
			case i+1 < settled:
				if grows != nil || drains != nil {
					t.Fatalf("%s: a slope is told after %d values", c.name, i+1)
				}
				continue
			case grows == nil || c.slack < 1 && math.Abs(*grows-c.slope) > 1e-3:
				t.Fatalf("%s: after %d s the slope is %v, want %v", c.name, i, grows, c.slope)
			case c.ends < 0 && drains != nil:
				t.Fatalf("%s: after %d s it is said to drain in %v s", c.name, i, *drains)
			case c.ends >= 0 && (drains == nil || math.Abs(*drains-float64(c.ends-i)) > c.slack*max(1, *drains/float64(c.ends-i))):
				t.Fatalf("%s: after %d s it is said to drain in %v, and takes %d", c.name, i, drains, c.ends-i)
			}
			told++
		}
		if told < 20 {
			t.Errorf("%s: it was told %d times", c.name, told)
		}
	}
	// Nothing behind: gone already, however it went before.
	none := uint64(0)
	if grows, drains := trend([]float64{9, 7, 5, 3, 1, 0}, &none); grows == nil || *grows >= 0 || drains == nil || *drains != 0 {
		t.Errorf("nothing behind: %v, %v", grows, drains)
	}
	if grows, drains := trend([]float64{1, 2, 3, 4, 5, 6}, nil); grows != nil || drains != nil {
		t.Errorf("a backlog that nobody knows: %v, %v", grows, drains)
	}
}

// only is a point of one measure.
func only(measure int, v float32) point {
	p := gap
	p[measure] = v
	return p
}

func TestHistory(t *testing.T) {
	const start = 1_800_000_000 // a multiple of every step
	h := newHistory()
	for i := range int64(100) {
		if i >= 40 && i < 50 {
			continue // the node was down
		}
		p := only(measureOut, float32(i))
		p[measureLag] = float32(i % 10)
		h.record(time.Unix(start+i, 0), map[string]point{"a": p, "b": only(measureOut, 1)})
	}
	now := time.Unix(start+99, 0)

	at, first, step := h.query("a", now, 60, 60)
	if len(at) != 60 || first != start+40 || step != 1 {
		t.Fatalf("%d points from %d every %d s", len(at), first-start, step)
	}
	for i, p := range at {
		switch v := p[measureOut]; {
		case i < 10 && known(v), i >= 10 && v != float32(40+i):
			t.Errorf("second %d: %v", 40+i, v)
		}
		if known(p[measureBacklog]) {
			t.Errorf("second %d has a backlog that nobody told", 40+i)
		}
	}
	// Means and peaks of ten seconds, and a gap where nothing is known.
	at, first, step = h.query("a", now, 100, 10)
	if len(at) != 10 || first != start || step != 10 {
		t.Fatalf("%d points from %d every %d s", len(at), first-start, step)
	}
	for i, p := range at {
		if i == 4 {
			if known(p[measureOut]) || known(p[measureLag]) {
				t.Errorf("a gap became %v", p)
			}
		} else if math.Abs(float64(p[measureOut])-(float64(10*i)+4.5)) > 1e-3 || p[measureLag] != 9 {
			t.Errorf("ten seconds from %d: %v", 10*i, p)
		}
	}
	// The other rings tell the same, as far as they can.
	for _, seconds := range []int64{900, 21600, 86400} {
		at, first, step := h.query("", now, seconds, 2000)
		if int64(len(at))*step != seconds || first+seconds <= now.Unix() {
			t.Errorf("%d s: %d points from %d every %d s", seconds, len(at), first-start, step)
		}
		last := at[len(at)-1]
		if !known(last[measureOut]) || known(at[0][measureOut]) {
			t.Errorf("%d s: the first is %v and the last %v", seconds, at[0], last)
		}
		if known(last[measureInFlight]) {
			t.Errorf("%d s: in flight %v, which nobody told", seconds, last[measureInFlight])
		}
	}
	if at, _, _ := h.query("", now, 1, 1); at[0][measureOut] != 100 || at[0][measureLag] != 9 {
		t.Errorf("all links together: %v", at[0])
	}
	if recent := h.recent("a", now, 5); recent[0] == recent[0] || len(recent) != 5 {
		t.Errorf("backlog %v", recent)
	}
	if spark := h.sparks("a", now).out; len(spark) != sparkPoints || spark[0].Value != nil || spark[sparkPoints-1].Value == nil {
		t.Errorf("spark %v", spark)
	}
	// A link that is gone is forgotten; one that nobody knows is all gaps.
	h.record(now.Add(time.Second), map[string]point{"b": gap})
	if at, _, _ := h.query("a", now, 10, 10); known(at[9][measureOut]) {
		t.Errorf("a deleted link: %v", at[9])
	}
}

// TestRing lets time jump: rings are bounded, and old rounds do not show.
func TestRing(t *testing.T) {
	r := newRing(1, 900)
	r.add(1000, only(measureOut, 1))
	r.add(1900, only(measureOut, 2)) // one round later, the same place
	if p := r.at(1000); known(p[measureOut]) {
		t.Errorf("a point a round ago: %v", p)
	}
	if p := r.at(1900); p[measureOut] != 2 {
		t.Errorf("the newest point: %v", p)
	}
	for s := int64(1001); s < 1900; s++ {
		if known(r.at(s)[measureOut]) {
			t.Fatalf("second %d is known", s)
		}
	}
	r.add(1950, only(measureOut, 3))
	r.add(1e9, only(measureOut, 4)) // far ahead
	if known(r.at(1e9 - 50)[measureOut]) || r.at(1e9)[measureOut] != 4 {
		t.Errorf("after a jump: %v, %v", r.at(1e9-50), r.at(1e9))
	}
	r.add(5, only(measureOut, 8)) // back: it counts as now
	if r.at(1e9)[measureOut] != 6 {
		t.Errorf("after going back: %v", r.at(1e9))
	}
	for range 3 {
		for s := range int64(2000) {
			r.add(1e9+s, only(measureOut, 1))
		}
	}
	pages := 0
	for _, p := range r.pages {
		pages += len(p)
	}
	if pages != 900 {
		t.Errorf("the ring holds %d points", pages)
	}
}
