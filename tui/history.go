package tui

import (
	"context"
	"fmt"
	"math"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/tui/chart"
	"edgefog.dev/isgw/tui/screen"
)

// history is what the node remembers of one link, as a page shows it.
type history struct {
	m    *Model
	name string
	span uint32 // seconds

	asked  asked
	points uint32 // that were asked for
	reach  uint32 // the span that was
	got    *adminpb.HistoryResponse
	failed error

	arrived func() // called when got is new; may be nil
	cross   int    // cells from the right at which values are read; -1: nowhere
	width   int    // of the charts, when they were last drawn
}

// move moves the place at which values are read by n cells to the left.
func (h *history) move(n int) { h.cross = max(min(h.cross+n, h.width-1), 0) }

// events are what happened to the link, the newest first.
func (h *history) events() []*adminpb.LinkEvent { return h.got.GetEvents() }

// load asks for a link's history, unless that is on its way.
func (h *history) load(name string) tea.Cmd {
	same := name == h.name
	if !same {
		h.name, h.got = name, nil
	}
	// Two points for a cell, one for each of its columns of dots. Over a slow
	// line one: what is sent of a chart is sent when it moves on by a point.
	points := h.m.w * 2
	if h.m.opts.Interval > time.Second {
		points = h.m.w
	}
	wanted := uint32(min(max(points, leastWidth), 600))
	if h.asked.waits() && same && h.reach == h.span && h.points == wanted {
		return nil
	}
	h.reach, h.points = h.span, wanted
	req := &adminpb.HistoryRequest{Service: name, RangeSeconds: h.span, Points: wanted}
	ask := func(ctx context.Context, node Node) (*adminpb.HistoryResponse, error) { return node.History(ctx, req) }
	return call(h.m, &h.asked, ask, func(res *adminpb.HistoryResponse, err error) tea.Cmd {
		if h.failed = err; err == nil {
			h.got = res
			if h.arrived != nil {
				h.arrived()
			}
		}
		return nil
	})
}

// series is one line of the history by its name; its values are NaN in gaps.
func (h *history) series(name string) []float64 {
	for _, s := range h.got.GetSeries() {
		if s.GetName() == name {
			return points(s.GetPoints())
		}
	}
	return nil
}

// render draws as many charts as there is room for: throughput, lag, backlog.
func (h *history) render(r screen.Rect, l *adminpb.ConsoleLink) {
	if h.name != l.GetName() || h.got == nil {
		if h.failed != nil {
			drawFailure(r, 0, h.failed)
		} else {
			prose(r, 1, 0, r.W-2, screen.Dim, ".. loading what the node remembers")
		}
		return
	}
	start := h.got.GetStart().AsTime()
	end := start
	if out := h.series("out"); len(out) > 1 {
		end = start.Add(time.Duration(h.got.GetStepSeconds() * float64(len(out)-1) * float64(time.Second)))
	}
	h.width = chart.PlotWidth(r.W)
	drawCharts(r, trend{cross: min(h.cross, h.width-1), out: h.series("out"), in: h.series("in"), lag: h.series("lag"), backlog: h.series("backlog"),
		target: h.got.GetLagTargetSeconds(), start: start, end: end})
}

// trend is how a link, or all of them, did over some time.
type trend struct {
	name                  string // of what; empty where the page says it
	out, in, lag, backlog []float64
	target                float64 // of the lag, 0: none
	start, end            time.Time
	cross                 int // as history has it
}

// drawCharts draws a trend in as many charts as there is room for.
func drawCharts(r screen.Rect, t trend) {
	unit, divisor := rateUnit(t.out, t.in)
	const empty = "nothing is known of this time"
	if t.name != "" {
		t.name += ", "
	}
	charts := []chart.Chart{
		{Title: t.name + "throughput " + unit, Series: []chart.Series{
			{Name: "out", Role: screen.First, Values: divided(t.out, divisor)},
			{Name: "in", Role: screen.Second, Values: divided(t.in, divisor), Dotted: true},
		}, Label: axisLabel, Empty: empty},
		{Title: t.name + "lag s", Series: []chart.Series{{Name: "lag", Role: screen.First, Values: t.lag}},
			Target: t.target, TargetName: "target " + span(t.target), Label: axisLabel, Empty: empty},
		{Title: t.name + "backlog versions", Series: []chart.Series{{Name: "backlog", Role: screen.First, Values: t.backlog}}, Label: scaled, Empty: empty},
	}
	n := min(max(r.H/6, 1), len(charts))
	if r.H >= 9 {
		n = max(n, 2)
	}
	y := 0
	for i := range n {
		height := (r.H - y) / (n - i)
		c := charts[i]
		c.Start, c.End, c.Cross = t.start, t.end, t.cross+1
		if i == n-1 {
			c.Times = true
			height = r.H - y
		}
		c.Draw(r.Sub(0, y, r.W, height))
		y += height
	}
}

// rateUnit picks the unit in which the end of the axis is a short number.
func rateUnit(series ...[]float64) (string, float64) {
	top := 0.0
	for _, values := range series {
		for _, v := range values {
			if !math.IsNaN(v) {
				top = math.Max(top, v)
			}
		}
	}
	switch top = chart.Nice(top); {
	case top >= 1e9:
		return "GB/s", 1e9
	case top >= 1e6:
		return "MB/s", 1e6
	case top >= 1e3:
		return "kB/s", 1e3
	}
	return "B/s", 1
}

func divided(values []float64, by float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = v / by
	}
	return out
}

// axisLabel writes a number of an axis in at most five cells.
func axisLabel(v float64) string {
	if v != 0 && v < 10 && v != math.Trunc(v) {
		return fmt.Sprintf("%.2g", v)
	}
	return scaled(v)
}
