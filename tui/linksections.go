package tui

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/manifest"
	"edgefog.dev/isgw/tui/chart"
	"edgefog.dev/isgw/tui/screen"
	"edgefog.dev/isgw/tui/table"
)

// What of the overview has all the room.
const (
	zoomNone = iota
	zoomCharts
	zoomBuckets
	zooms
)

var zoomNames = [zooms]string{"", "charts", "buckets"}

// quarantined is how many versions of a bucket cannot be applied now.
func quarantined(b *adminpb.BucketStatus) uint64 {
	return b.GetSend().GetQuarantined() + b.GetReceive().GetQuarantined()
}

func (p *linkPage) overview(r screen.Rect, l *adminpb.ConsoleLink) {
	y := p.m.stateLines(r, l, p.bindings())
	numbers := linkNumbers(l, r.W-2)
	switch p.zoom {
	case zoomBuckets:
		p.bucketList(r.Sub(0, y, r.W, r.H-y))
		return
	case zoomCharts:
		p.history.render(r.Sub(0, y-1, r.W, r.H-y+1), l)
		return
	}
	seen, _ := p.buckets.Counts()
	if seen == 0 {
		seen = len(p.service.GetServes())
	}
	rows := min(max(seen, 1), max((r.H-y)/4, 1)) + 1
	wide := p.m.wide()
	charts := r.Sub(0, y, r.W, r.H-y-rows-len(numbers)-1)
	if wide { // the numbers are beside the charts
		charts = r.Sub(0, y-1, r.W, r.H-y-rows+1)
	}
	if charts.H < 6 { // too low for axes: small charts, if the buckets do not need the room
		if rows > seen && charts.H >= 3 {
			smallCharts(charts, l)
		} else {
			rows += max(charts.H, 0)
		}
		charts = r.Sub(0, 0, 0, 0)
	}
	if wide && charts.H > 0 {
		beside := charts.Sub(charts.W-52, 0, 52, charts.H)
		charts = charts.Sub(0, 0, charts.W-53, charts.H)
		p.history.render(charts.Box("charts"), l)
		p.beside(beside, l)
	} else {
		p.history.render(charts, l)
		for i, line := range numbers {
			r.Text(1, r.H-rows-len(numbers)-1+i, screen.Plain, screen.Truncate(line, r.W-2))
		}
	}
	p.bucketList(r.Sub(0, r.H-rows, r.W, rows))
}

// smallCharts are the last quarter of an hour where there is no room for axes.
func smallCharts(r screen.Rect, l *adminpb.ConsoleLink) {
	for y, row := range []struct {
		name   string
		points []*adminpb.SparkPoint
		role   screen.Role
	}{
		{"out", l.GetSparkOut(), screen.First},
		{"lag", l.GetSparkLag(), screen.Warn},
		{"backlog", l.GetSparkBacklog(), screen.Second},
	} {
		r.Text(1, y, screen.Dim, row.name)
		chart.Spark(r, 10, y, r.W-20, row.role, points(row.points))
	}
	r.Right(r.W-1, 0, screen.Dim, "15 min")
}

// beside is what a wide terminal shows beside the charts: settings, numbers and
// the last events.
func (p *linkPage) beside(r screen.Rect, l *adminpb.ConsoleLink) {
	facts := p.factRows(l, min(len(l.GetServes()), 2))
	if len(facts) > r.H-13 {
		facts = facts[:max(r.H-13, 4)]
	}
	backlog, trend, _ := strings.Cut(backlogWords(l), ", ")
	now := []string{
		"out " + perSecond(l.OutRate) + "   in " + perSecond(l.InRate) + "   rtt " + optionalMillis(l.LatencySeconds),
		backlog,
		trend,
		"in flight " + size(float64(l.GetInFlightBytes())) + "   pending " + scaled(float64(l.GetPending())),
		"errors " + scaled(float64(l.GetErrors())) + "   quarantined " + scaled(float64(l.GetQuarantined())),
	}
	now = slices.DeleteFunc(now, func(line string) bool { return line == "" })
	y := len(facts) + 2
	drawFacts(r.Sub(0, 0, r.W, y).Box("link"), facts)
	box := r.Sub(0, y, r.W, len(now)+2).Box("now")
	for i, line := range now {
		box.Text(1, i, screen.Plain, screen.Truncate(line, box.W-2))
	}
	y += len(now) + 2
	box = r.Sub(0, y, r.W, r.H-y).Box("events")
	for i, e := range p.history.events() {
		_, role := status(e.GetSeverity(), "")
		x := box.Text(1, i, screen.Dim, e.GetTime().AsTime().UTC().Format("15:04:05")) + 1
		x = box.Text(x, i, role, e.GetGlyph()) + 1
		box.Text(max(x, 13), i, screen.Plain, screen.Truncate(eventWords(e), box.W-14))
	}
}

// eventWords is an event with who made it.
func eventWords(e *adminpb.LinkEvent) string {
	if e.GetPrincipal() != "" {
		return e.GetPrincipal() + "  " + e.GetText()
	}
	return e.GetText()
}

func eventColumns() []table.Column[*adminpb.LinkEvent] {
	type event = adminpb.LinkEvent
	return []table.Column[*event]{
		{Title: "TIME", Width: 20, Draw: table.Text(false, func(e *event) (string, screen.Role) {
			return instant(e.GetTime()), screen.Dim
		})},
		{Width: 2, Draw: table.Text(false, func(e *event) (string, screen.Role) { return status(e.GetSeverity(), e.GetGlyph()) })},
		{Title: "WHAT", Width: 24, Flex: true, Draw: table.Text(false, func(e *event) (string, screen.Role) { return e.GetText(), screen.Plain })},
		{Title: "BY", Width: 14, Priority: 1, Draw: table.Text(false, func(e *event) (string, screen.Role) {
			if e.GetPrincipal() == "" {
				return unknown, screen.Dim
			}
			return e.GetPrincipal(), screen.Plain
		})},
	}
}

func (p *linkPage) eventList(r screen.Rect) {
	seen, all := p.events.Counts()
	switch {
	case p.history.got == nil && p.history.failed != nil:
		drawFailure(r, 1, p.history.failed)
	case p.history.got == nil:
		r.Text(1, 1, screen.Dim, ".. loading what the node remembers")
	case all == 0:
		prose(r, 1, 1, r.W-2, screen.Plain, "Nothing happened to this link since the node started.")
	default:
		p.events.Render(r)
		if seen == 0 {
			r.Text(2, 1, screen.Dim, "nothing matches the filter")
			return
		}
		// The text of the selected one, where the list had no room for it.
		if e, ok := p.events.Selected(); ok && r.H > 10 && screen.Width(e.GetText()) > r.W-44 {
			lines := wrapped(e.GetText(), r.W-4, 3)
			foot := r.Sub(0, r.H-len(lines)-1, r.W, len(lines)+1)
			foot.Clear()
			for i, line := range lines {
				foot.Text(2, i+1, screen.Plain, line)
			}
		}
	}
}

func (p *linkPage) bucketList(r screen.Rect) {
	seen, all := p.buckets.Counts()
	switch {
	case p.failed != nil && p.listed.IsZero():
		drawFailure(r, 0, p.failed)
	case p.listed.IsZero():
		r.Text(1, 0, screen.Dim, ".. loading the buckets")
	case all == 0 && len(p.service.GetServes()) > 0:
		y := prose(r, 1, 0, r.W-2, screen.Dim, "The states of what is served come when the link runs:")
		for i, path := range p.service.GetServes() {
			r.Text(3, y+i, screen.Plain, screen.Truncate(path, r.W-4))
		}
	case all == 0:
		prose(r, 1, 0, r.W-2, screen.Plain, "No bucket is served on this link. s serves one.")
	default:
		p.buckets.Render(r)
		if all > oftenListed || p.failed != nil {
			r.Right(r.W-1, 0, screen.Dim, " at "+p.listed.UTC().Format("15:04:05Z"))
		}
		if seen == 0 {
			r.Text(2, 1, screen.Dim, "nothing matches the filter")
		}
	}
}

// facts are the settings and the state of a link as lines of name and value.
func (p *linkPage) facts(r screen.Rect, l *adminpb.ConsoleLink) {
	drawFacts(r, p.factRows(l, len(l.GetServes())))
}

func drawFacts(r screen.Rect, rows [][2]string) {
	for y, row := range rows {
		r.Text(1, y, screen.Dim, row[0])
		r.Text(14, y, screen.Plain, screen.Truncate(row[1], r.W-15))
	}
}

// factRows are the facts, with the first paths that are served.
func (p *linkPage) factRows(l *adminpb.ConsoleLink, paths int) [][2]string {
	yes := map[bool]string{true: "yes", false: "no"}
	or := func(s string) string {
		if s == "" {
			return unknown
		}
		return s
	}
	rows := [][2]string{
		{"route", l.GetRoute()},
		{"remote", or(l.GetRemote())},
		{"enabled", yes[l.GetEnabled()] + ", " + map[bool]string{true: "connected", false: "not connected"}[l.GetConnected()]},
		{"lag target", span(l.GetLagTargetSeconds())},
	}
	if s := p.service; s != nil {
		connections := fmt.Sprintf("%d open of %d", s.GetStatus().GetConnections(), s.GetConnections())
		if s.GetConnections() == 0 {
			connections = fmt.Sprintf("%d open, by default", s.GetStatus().GetConnections())
		}
		rows = append(rows,
			[2]string{"direction", s.GetDirection()},
			[2]string{"replication", s.GetReplication()},
			[2]string{"connections", connections},
			[2]string{"mode", or(s.GetStatus().GetMode())},
		)
		rows = append(rows, settingRows(s)...)
		if since := instant(s.GetStatus().GetConnectedSince()); since != "" {
			rows = append(rows, [2]string{"since", since})
		}
	}
	serves := fmt.Sprint(len(l.GetServes()))
	for _, path := range l.GetServes()[:paths] {
		rows = append(rows, [2]string{"serves", p.servedText(path)})
	}
	if more := len(l.GetServes()) - paths; more > 0 || paths == 0 {
		if paths > 0 {
			serves = fmt.Sprintf("and %d more", more)
		}
		rows = append(rows, [2]string{"serves", serves})
	}
	return rows
}

// servedText is a path that the link serves with its options, where they are known.
func (p *linkPage) servedText(path string) string {
	for _, served := range p.service.GetServed() {
		if served.GetPath() == path {
			return manifest.ServedText(served)
		}
	}
	return path
}

// export writes what the section shows: buckets, what failed, events or the history,
// with exact numbers.
func (p *linkPage) export() tea.Cmd {
	name := fileName(p.name)
	switch p.section {
	case sectionEvents:
		rows := [][]string{{"time", "state", "what", "by"}}
		for _, e := range p.events.Seen() {
			rows = append(rows, []string{e.GetTime().AsTime().UTC().Format(time.RFC3339), e.GetGlyph(), e.GetText(), e.GetPrincipal()})
		}
		return p.m.save("events-"+name+".csv", csvText(rows))
	case sectionFailed:
		return p.m.save("failed-"+name+".csv", csvText(p.faults.rows()))
	case sectionOverview:
		if p.zoom != zoomBuckets {
			return p.m.save("history-"+name+".csv", csvText(p.history.rows()))
		}
	}
	rows := [][]string{{"bucket", "state", "cause", "lag_seconds", "backlog_versions", "backlog_bytes", "quarantined"}}
	for _, b := range p.buckets.Seen() {
		w := cmp.Or(worse(b), &adminpb.Backlog{})
		rows = append(rows, []string{b.GetPath(), b.GetState(), b.GetCause(), exact(w.LagSeconds), exact(w.Versions), exact(w.Bytes), fmt.Sprint(quarantined(b))})
	}
	return p.m.save("buckets-"+name+".csv", csvText(rows))
}

// rows are the history, a line for each moment; what is not known is empty.
func (h *history) rows() [][]string {
	head := []string{"time"}
	var all [][]float64
	n := 0
	for _, s := range h.got.GetSeries() {
		head = append(head, s.GetName()+" "+s.GetUnit())
		values := points(s.GetPoints())
		all = append(all, values)
		n = max(n, len(values))
	}
	out := [][]string{head}
	for i := range n {
		at := h.got.GetStart().AsTime().Add(time.Duration(h.got.GetStepSeconds() * float64(i) * float64(time.Second)))
		row := []string{at.UTC().Format(time.RFC3339)}
		for _, values := range all {
			cell := ""
			if i < len(values) {
				cell = exact(&values[i])
			}
			row = append(row, cell)
		}
		out = append(out, row)
	}
	return out
}

// exact is a number for a file; empty where it is not known.
func exact[N float64 | uint64](v *N) string {
	switch n := any(v).(type) {
	case *uint64:
		if n != nil {
			return strconv.FormatUint(*n, 10)
		}
	case *float64:
		if n != nil && !math.IsNaN(*n) {
			return strconv.FormatFloat(*n, 'f', -1, 64)
		}
	}
	return ""
}

func csvText(rows [][]string) string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.WriteAll(rows) // into memory: it cannot fail
	return b.String()
}
