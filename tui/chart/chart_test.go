package chart_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/tui/chart"
	"edgefog.dev/isgw/tui/screen"
)

var gap = math.NaN()

func TestSpark(t *testing.T) {
	for _, c := range []struct {
		values []float64
		w      int
		want   string
	}{
		{[]float64{0, 1, 2, 3, 4, 5, 6, 7}, 8, "▁▂▃▄▅▆▇█"},
		{[]float64{0, 0, 0}, 3, "▁▁▁"},
		{[]float64{1, gap, 1}, 3, "█ █"},
		{[]float64{0, 9, 0, 0}, 2, "█▁"}, // no peak is lost
		{nil, 3, "   "},
		{[]float64{1}, 3, "███"},
	} {
		cv := screen.New(c.w, 1)
		chart.Spark(cv.All(), 0, 0, c.w, screen.Plain, c.values)
		if got := cv.Encode(screen.Colourless()); got != c.want {
			t.Errorf("Spark(%v) = %q, want %q", c.values, got, c.want)
		}
	}
}

func TestNice(t *testing.T) {
	for in, want := range map[float64]float64{0: 1, -3: 1, 1: 1, 1.2: 2, 3: 4, 41: 50, 79: 80, 99: 100, 0.03: 0.04, math.Inf(1): 1} {
		if got := chart.Nice(in); math.Abs(got-want) > 1e-12 {
			t.Errorf("Nice(%v) = %v, want %v", in, got, want)
		}
	}
}

func draw(w, h int, c chart.Chart) []string {
	cv := screen.New(w, h)
	c.Label = func(v float64) string { return fmt.Sprintf("%.0f", v) }
	c.Draw(cv.All())
	return strings.Split(cv.Encode(screen.Colourless()), "\n")
}

func TestChart(t *testing.T) {
	start := time.Date(2026, 11, 22, 11, 49, 0, 0, time.UTC)
	values := []float64{0, 0, 0, 0, gap, gap, gap, gap, 40, 40, 40, 40}
	lines := draw(32, 7, chart.Chart{
		Title: "lag s", Times: true, Target: 20, TargetName: "target 20",
		Series: []chart.Series{{Name: "lag", Values: values}},
		Start:  start, End: start.Add(15 * time.Minute),
	})
	want := []string{
		" lag s   ─ lag  ┄ target 20     ",
		"    40┤                ⠉⠉⠉⠉⠉⠉⠉⠉ ",
		"    20┤┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄ ",
		"      │                         ",
		"      │⣀⣀⣀⣀⣀⣀⣀⣀                 ",
		"     0└──────────────────────── ",
		"       11:49           12:04:00 ",
	}
	if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestChartWithoutValues(t *testing.T) {
	lines := draw(40, 5, chart.Chart{Title: "lag s", Series: []chart.Series{{Values: []float64{gap}}}, Empty: "nothing yet"})
	if !strings.Contains(strings.Join(lines, "\n"), "nothing yet") {
		t.Errorf("an empty chart does not say so:\n%s", strings.Join(lines, "\n"))
	}
}

// A step is drawn without holes, whatever the height.
func TestSteepLinesAreWhole(t *testing.T) {
	values := make([]float64, 64)
	for i := 32; i < 64; i++ {
		values[i] = 100
	}
	lines := draw(40, 14, chart.Chart{Title: "x", Series: []chart.Series{{Values: values}}})
	for y := 1; y <= 12; y++ {
		if !strings.ContainsFunc(lines[y], func(r rune) bool { return r > 0x2800 && r <= 0x28ff }) {
			t.Errorf("row %d has no dot:\n%s", y, strings.Join(lines, "\n"))
		}
	}
}
