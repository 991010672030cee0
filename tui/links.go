package tui

import (
	"cmp"
	"fmt"
	"math"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/tui/chart"
	"edgefog.dev/isgw/tui/screen"
	"edgefog.dev/isgw/tui/table"
)

// linksPage is the list of links; beside it, on a wide terminal, the selected
// one's charts.
type linksPage struct {
	m       *Model
	links   *table.Table[*adminpb.ConsoleLink]
	history history // of the selected link
	wide    bool    // the columns that are rarely needed
	zoom    int     // on a wide terminal: both, the list alone, or what is beside it alone
}

// What of a wide terminal's two parts is seen.
const (
	paneBoth = iota
	paneList
	panePreview
	panes
)

func newLinksPage(m *Model) *linksPage {
	return &linksPage{m: m, history: history{m: m, span: 900, cross: -1}, links: table.New(
		func(l *adminpb.ConsoleLink) string { return l.GetName() },
		func(l *adminpb.ConsoleLink) string {
			return strings.Join([]string{l.GetName(), l.GetPeerName(), l.GetRoute(), l.GetStateWord(), l.GetCause()}, " ")
		},
		linkColumns()...)}
}

// optionally orders what is not known before everything that is.
func optionally[N cmp.Ordered](a, b *N) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return cmp.Compare(*a, *b)
}

type linkColumn = table.Column[*adminpb.ConsoleLink]

// column is a column of links, left out when there is no room for those up to
// its priority.
func column(title string, width, priority int, right bool, cell func(*adminpb.ConsoleLink) (string, screen.Role), compare func(a, b *adminpb.ConsoleLink) int) linkColumn {
	return linkColumn{Title: title, Width: width, Priority: priority, Right: right, Draw: table.Text(right, cell), Compare: compare}
}

// by orders by a number that may not be known.
func by[N cmp.Ordered](pick func(*adminpb.ConsoleLink) *N) func(a, b *adminpb.ConsoleLink) int {
	return func(a, b *adminpb.ConsoleLink) int { return optionally(pick(a), pick(b)) }
}

func plainCell(text func(*adminpb.ConsoleLink) string) func(*adminpb.ConsoleLink) (string, screen.Role) {
	return func(l *adminpb.ConsoleLink) (string, screen.Role) { return text(l), screen.Plain }
}

var (
	statusColumn = column("ST", 2, 0, false, func(l *adminpb.ConsoleLink) (string, screen.Role) { return status(l.GetSeverity(), l.GetGlyph()) },
		func(a, b *adminpb.ConsoleLink) int { return cmp.Compare(a.GetSeverity(), b.GetSeverity()) })
	nameColumn = flexible(column("NAME", 10, 0, false, plainCell((*adminpb.ConsoleLink).GetName),
		func(a, b *adminpb.ConsoleLink) int { return strings.Compare(a.GetName(), b.GetName()) }))
)

func flexible(c linkColumn) linkColumn { c.Flex = true; return c }

// prior is the column with another priority.
func prior(c linkColumn, priority int) linkColumn { c.Priority = priority; return c }

var (
	routeColumn = flexible(column("ROUTE", 14, 4, false, func(l *adminpb.ConsoleLink) (string, screen.Role) { return l.GetRoute(), screen.Dim },
		func(a, b *adminpb.ConsoleLink) int { return strings.Compare(a.GetRoute(), b.GetRoute()) }))
	stateColumn = column("STATE", 10, 6, false, func(l *adminpb.ConsoleLink) (string, screen.Role) {
		_, role := status(l.GetSeverity(), "")
		return l.GetStateWord(), role
	}, nil)
	outColumn = column("OUT/s", 6, 0, true, func(l *adminpb.ConsoleLink) (string, screen.Role) {
		if !l.GetEnabled() || l.GetPaused() {
			return "paused", screen.Dim
		}
		return optionalSize(l.OutRate), screen.Plain
	}, by(func(l *adminpb.ConsoleLink) *float64 { return l.OutRate }))
	inColumn = column("IN/s", 6, 7, true, plainCell(func(l *adminpb.ConsoleLink) string { return optionalSize(l.InRate) }),
		by(func(l *adminpb.ConsoleLink) *float64 { return l.InRate }))
	lagColumn = column("LAG", 6, 0, true, func(l *adminpb.ConsoleLink) (string, screen.Role) {
		if overTarget(l) {
			return optionalSpan(l.LagSeconds), screen.Warn
		}
		return optionalSpan(l.LagSeconds), screen.Plain
	}, by(func(l *adminpb.ConsoleLink) *float64 { return l.LagSeconds }))
	backlogColumn = column("BACKLOG", 7, 0, true, plainCell(func(l *adminpb.ConsoleLink) string { return optionalCount(l.BacklogVersions) }),
		by(func(l *adminpb.ConsoleLink) *uint64 { return l.BacklogVersions }))
	drainColumn = column("DRAIN", 7, 3, true, func(l *adminpb.ConsoleLink) (string, screen.Role) {
		if text := drain(l); text != "never" {
			return text, screen.Plain
		}
		return "never", screen.Warn
	}, by(func(l *adminpb.ConsoleLink) *float64 { return l.DrainSeconds }))
	sparkColumn = linkColumn{Title: "15 MIN", Width: 10, Priority: 5, Draw: func(r screen.Rect, l *adminpb.ConsoleLink) {
		chart.Spark(r, 0, 0, r.W, screen.First, points(l.GetSparkOut()))
	}}
	targetColumn = column("TARGET", 6, 5, true, plainCell(func(l *adminpb.ConsoleLink) string { return span(l.GetLagTargetSeconds()) }), nil)
	bytesColumn  = column("BYTES", 6, 2, true, plainCell(func(l *adminpb.ConsoleLink) string { return optionalSize(l.BacklogBytes) }),
		by(func(l *adminpb.ConsoleLink) *uint64 { return l.BacklogBytes }))
	slopeColumn = column("SLOPE", 7, 3, true, plainCell(func(l *adminpb.ConsoleLink) string {
		if l.Slope == nil {
			return unknown
		}
		return signed(l.GetSlope()) + "/s"
	}), by(func(l *adminpb.ConsoleLink) *float64 { return l.Slope }))
	latencyColumn = column("RTT", 6, 4, true, plainCell(func(l *adminpb.ConsoleLink) string { return optionalMillis(l.LatencySeconds) }),
		by(func(l *adminpb.ConsoleLink) *float64 { return l.LatencySeconds }))
	errorsColumn = column("ERRORS", 6, 1, true, plainCell(func(l *adminpb.ConsoleLink) string { return scaled(float64(l.GetErrors())) }),
		func(a, b *adminpb.ConsoleLink) int { return cmp.Compare(a.GetErrors(), b.GetErrors()) })
	servesColumn = column("SERVES", 6, 6, true, plainCell(func(l *adminpb.ConsoleLink) string { return scaled(float64(len(l.GetServes()))) }), nil)
)

func linkColumns() []linkColumn {
	return []linkColumn{statusColumn, nameColumn, routeColumn, stateColumn, outColumn, inColumn, lagColumn, backlogColumn, drainColumn, sparkColumn}
}

// wideColumns begin with what the others leave out.
func wideColumns() []linkColumn {
	return []linkColumn{statusColumn, nameColumn, prior(stateColumn, 0), prior(inColumn, 0), bytesColumn, slopeColumn, latencyColumn, errorsColumn, targetColumn, servesColumn,
		prior(outColumn, 8), prior(lagColumn, 7), prior(backlogColumn, 9), prior(drainColumn, 10), prior(routeColumn, 11), prior(sparkColumn, 12)}
}

// signed writes a number with its sign.
func signed(v float64) string {
	if v > 0 {
		return "+" + scaled(v)
	}
	return scaled(v)
}

func (p *linksPage) crumbs() []string {
	seen, all := p.links.Counts()
	out := []string{fmt.Sprintf("Links %d/%d", seen, all)}
	if p.m.wide() && !p.wide && p.zoom != paneBoth {
		out = append(out, [panes]string{"", "list", "link"}[p.zoom])
	}
	return out
}

func (p *linksPage) refresh()         { p.links.SetRows(p.m.snapshot.GetLinks()) }
func (p *linksPage) list() filterable { return p.links }

// outdate has the history asked for once more.
func (p *linksPage) outdate() { p.history.asked.leave() }

// load asks for the history of the selected link where it is shown.
func (p *linksPage) load() tea.Cmd {
	l, ok := p.links.Selected()
	if !ok || !p.m.wide() || p.wide || p.zoom == paneList {
		return nil
	}
	return p.history.load(l.GetName())
}

func (p *linksPage) bindings() []binding {
	out := moving(p.links)
	for i, b := range out { // what is beside the list follows the selection
		do := b.do
		out[i].do = func() tea.Cmd { return tea.Batch(do(), p.m.reload()) }
	}
	new := p.m.changing("n", "new", "make a link", func() tea.Cmd { return p.m.newLink() })
	l, ok := p.links.Selected()
	if !ok {
		return append(out, new)
	}
	name := l.GetName()
	out = append(out, binding{keys: []string{"enter"}, short: "open", long: "open the link", do: func() tea.Cmd { return p.m.openLink(name) }}, new)
	changes := p.m.linkChanges(l)
	out = append(append(append(out, changes[:3]...), p.m.seeFailed(name)...), changes[3:]...)
	if p.m.wide() && !p.wide {
		out = append(out, binding{keys: []string{"z"}, short: "zoom", long: "zoom the list or the link", do: func() tea.Cmd {
			p.zoom = (p.zoom + 1) % panes
			return p.m.reload()
		}})
	}
	columns := map[bool]string{false: "wide", true: "usual"}[p.wide]
	return append(out,
		binding{keys: []string{"o"}, short: "sort", long: "sort by the next column", do: func() tea.Cmd { p.links.NextSort(); return nil }},
		binding{keys: []string{"O"}, long: "turn the order round", do: func() tea.Cmd { p.links.Reverse(); return nil }},
		binding{keys: []string{"w"}, short: columns, long: "other columns", do: func() tea.Cmd {
			if p.wide = !p.wide; p.wide {
				p.links.SetColumns(wideColumns()...)
			} else {
				p.links.SetColumns(linkColumns()...)
			}
			return p.m.reload()
		}},
		binding{keys: []string{"v"}, short: "yaml", long: "see the link as YAML", do: func() tea.Cmd { return p.m.viewLink(name) }},
		binding{keys: []string{" "}, short: "mark", long: "mark for copy and export", do: func() tea.Cmd { p.links.Mark(); return nil }},
		binding{keys: []string{"y"}, short: "copy", long: "copy the marked names", do: func() tea.Cmd {
			names := p.links.Marked()
			if len(names) == 0 {
				names = []string{name}
			}
			return p.m.copy(strings.Join(names, "\n"))
		}},
		binding{keys: []string{"x"}, short: "export", long: "write the list to a file", do: p.export},
	)
}

// export writes the marked links, or all that are listed, as a CSV file with
// the exact numbers.
func (p *linksPage) export() tea.Cmd {
	marked := map[string]bool{}
	for _, name := range p.links.Marked() {
		marked[name] = true
	}
	rows := [][]string{{"name", "route", "state", "out_bytes_per_second", "in_bytes_per_second", "lag_seconds", "lag_target_seconds", "backlog_versions", "backlog_bytes", "cause"}}
	for _, l := range p.links.Seen() {
		if len(marked) == 0 || marked[l.GetName()] {
			rows = append(rows, []string{l.GetName(), l.GetRoute(), l.GetStateWord(), exact(l.OutRate), exact(l.InRate), exact(l.LagSeconds),
				exact(&l.LagTargetSeconds), exact(l.BacklogVersions), exact(l.BacklogBytes), l.GetCause()})
		}
	}
	return p.m.save("links.csv", csvText(rows))
}

func (p *linksPage) render(r screen.Rect) {
	if p.m.snapshot == nil {
		return
	}
	if _, all := p.links.Counts(); all == 0 {
		noLinksYet(r, 1)
		return
	}
	seen, _ := p.links.Counts()
	left := r
	l, ok := p.links.Selected()
	if p.m.wide() && ok && !p.wide && p.zoom != paneList {
		left = r.Sub(0, 0, r.W/2, r.H)
		if p.zoom == panePreview {
			p.preview(r, l)
			return
		}
		p.preview(r.Sub(left.W+1, 0, r.W-left.W-1, r.H), l)
	} else if ok && r.H > 8 {
		// A line or two say why the selected link is as it is, and where the list
		// leaves room another.
		rows := 1
		if r.H > 14 {
			rows = 2
		}
		rows = max(rows, min(r.H-2-seen, 3))
		left = r.Sub(0, 0, r.W, r.H-rows-1)
		p.why(r.Sub(0, r.H-rows, r.W, rows), l)
	}
	p.links.Render(left)
	if seen == 0 {
		left.Text(2, 2, screen.Dim, "nothing matches the filter; esc shows all")
	}
}

// why writes the cause of a link's state and the next step, from the last row on
// upwards.
func (p *linksPage) why(r screen.Rect, l *adminpb.ConsoleLink) {
	glyph, role := status(l.GetSeverity(), l.GetGlyph())
	text := l.GetCause()
	if next := p.m.nextStep(l.GetNextStep(), l.GetName(), p.bindings()); next != "" {
		text += " → " + next
	}
	state := glyph + " " + l.GetStateWord()
	at := screen.Width(state) + 3
	lines := wrapped(text, max(r.W-at-1, 10), r.H)
	y := r.H - max(len(lines), 1)
	r.Text(1, y, role, state)
	for i, line := range lines {
		r.Text(at, y+i, screen.Plain, line)
	}
}

func (p *linksPage) preview(r screen.Rect, l *adminpb.ConsoleLink) {
	box := r.Box(l.GetName())
	y := p.m.stateLines(box, l, p.bindings())
	numbers := linkNumbers(l, box.W-2)
	charts := box.Sub(0, y, box.W, box.H-y-len(numbers)-1)
	p.history.render(charts, l)
	for i, line := range numbers {
		box.Text(1, box.H-len(numbers)+i, screen.Plain, screen.Truncate(line, box.W-2))
	}
}

// stateLines write what state a link is in, why, and what to do with the keys that
// work here; it returns the row after them.
func (m *Model) stateLines(r screen.Rect, l *adminpb.ConsoleLink, here []binding) int {
	glyph, role := status(l.GetSeverity(), l.GetGlyph())
	x := r.Text(1, 0, role, glyph)
	x = r.Text(max(x+1, 4), 0, role, strings.ToUpper(l.GetStateWord())) + 2
	if l.LagSeconds != nil && l.GetLagSeconds() > 0 {
		text := span(l.GetLagSeconds()) + " behind"
		if l.GetLagTargetSeconds() > 0 {
			text += " (target " + span(l.GetLagTargetSeconds()) + ")"
		}
		x = r.Text(x, 0, screen.Strong, text) + 2
	}
	if l.GetOldestKey() != "" {
		r.Text(x, 0, screen.Dim, screen.Truncate("oldest unsent: "+l.GetOldestKey(), r.W-x-1))
	}
	y := 1
	if l.GetCause() != "" {
		r.Text(1, y, screen.Dim, "cause:")
		for _, line := range wrapped(l.GetCause(), r.W-9, 2) {
			r.Text(8, y, screen.Plain, line)
			y++
		}
	}
	if next := m.nextStep(l.GetNextStep(), l.GetName(), here); next != "" {
		r.Text(1, y, screen.Key, "→")
		for _, line := range wrapped(next, r.W-4, 2) {
			r.Text(3, y, screen.Plain, line)
			y++
		}
	}
	// A link that keeps up is synced and behind by turns: what is below does not
	// move for it.
	return max(y, 2) + 1
}

// backlogWords say how much is behind, and whether it gets less.
func backlogWords(l *adminpb.ConsoleLink) string {
	backlog := "backlog " + optionalCount(l.BacklogVersions) + " versions " + optionalSize(l.BacklogBytes)
	if l.Slope != nil && math.Abs(l.GetSlope()) >= 0.05 && l.GetBacklogVersions() > 0 {
		backlog += ", " + signed(l.GetSlope()) + "/s"
	}
	switch d := drain(l); d {
	case unknown:
	case "never":
		backlog += ", does not drain"
	case "growing":
		backlog += ", growing"
	default:
		backlog += ", drains in " + d
	}
	return backlog
}

// linkNumbers are the figures of a link, as many as fit into two lines of w cells.
func linkNumbers(l *adminpb.ConsoleLink, w int) []string {
	return []string{
		fitting(w, backlogWords(l), "out "+perSecond(l.OutRate), "in "+perSecond(l.InRate)),
		fitting(w, "in flight "+size(float64(l.GetInFlightBytes())), "rtt "+optionalMillis(l.LatencySeconds), "errors "+scaled(float64(l.GetErrors())),
			"pending "+scaled(float64(l.GetPending())), "quarantined "+scaled(float64(l.GetQuarantined()))),
	}
}

// fitting joins the first parts that fit into w cells.
func fitting(w int, parts ...string) string {
	out := parts[0]
	for _, p := range parts[1:] {
		if screen.Width(out)+3+screen.Width(p) > w {
			break
		}
		out += "   " + p
	}
	return out
}

func perSecond(v *float64) string {
	if v == nil || math.IsNaN(*v) {
		return unknown
	}
	return size(*v) + "/s"
}

func optionalMillis(v *float64) string {
	if v == nil {
		return unknown
	}
	return fmt.Sprintf("%.0fms", math.Max(*v*1000, 1))
}
