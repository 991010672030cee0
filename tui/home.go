package tui

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/tui/chart"
	"edgefog.dev/isgw/tui/screen"
	"edgefog.dev/isgw/tui/table"
)

// homePage answers whether replication is healthy, and if not, why and what to do.
type homePage struct {
	m      *Model
	alerts *table.Table[*adminpb.Alert]
	sites  *table.Table[*adminpb.ConsoleSite]
	links  *table.Table[*adminpb.ConsoleLink] // beside the rest on a wide terminal; it has no keys
	zoom   int                                // on a wide terminal: both, this alone, or what is beside it alone
}

func newHomePage(m *Model) *homePage {
	text := func(*adminpb.Alert) string { return "" }
	return &homePage{
		m: m,
		alerts: table.New(func(a *adminpb.Alert) string { return a.GetKey() }, text,
			table.Column[*adminpb.Alert]{Width: 2, Draw: table.Text(false, func(a *adminpb.Alert) (string, screen.Role) {
				return status(a.GetSeverity(), a.GetGlyph())
			})},
			table.Column[*adminpb.Alert]{Title: "", Width: 12, Draw: table.Text(false, func(a *adminpb.Alert) (string, screen.Role) {
				if a.GetService() == "" {
					return "this site", screen.Plain
				}
				return a.GetService(), screen.Plain
			})},
			table.Column[*adminpb.Alert]{Width: 10, Priority: 2, Draw: table.Text(false, func(a *adminpb.Alert) (string, screen.Role) { return a.GetWord(), screen.Strong })},
			table.Column[*adminpb.Alert]{Width: 24, Flex: true, Draw: table.Text(false, func(a *adminpb.Alert) (string, screen.Role) { return a.GetCause(), screen.Plain })},
		),
		sites: table.New(func(s *adminpb.ConsoleSite) string { return s.GetSiteId() + s.GetName() },
			func(*adminpb.ConsoleSite) string { return "" }, siteColumns()...).Passive(),
		links: table.New(func(l *adminpb.ConsoleLink) string { return l.GetName() },
			func(*adminpb.ConsoleLink) string { return "" }, linkColumns()...).Passive(),
	}
}

func siteColumns() []table.Column[*adminpb.ConsoleSite] {
	type site = adminpb.ConsoleSite
	return []table.Column[*site]{
		{Title: "SITES", Width: 14, Flex: true, Draw: table.Text(false, func(s *site) (string, screen.Role) {
			if s.GetHere() {
				return s.GetName() + " (this)", screen.Strong
			}
			return s.GetName(), screen.Plain
		})},
		{Title: "NODES", Width: 5, Right: true, Draw: table.Text(true, func(s *site) (string, screen.Role) {
			switch {
			case s.GetNodes() == 0:
				return unknown, screen.Dim
			case s.GetHere():
				role := screen.Plain
				if s.GetNodesUp() < s.GetNodes() {
					role = screen.Warn
				}
				return fmt.Sprintf("%d/%d", s.GetNodesUp(), s.GetNodes()), role
			}
			return fmt.Sprint(s.GetNodes()), screen.Plain
		})},
		{Title: "LEADER", Width: 10, Priority: 3, Draw: table.Text(false, func(s *site) (string, screen.Role) {
			if s.GetLeader() == "" {
				return unknown, screen.Dim
			}
			return s.GetLeader(), screen.Plain
		})},
		{Title: "TERM", Width: 4, Right: true, Priority: 4, Draw: table.Text(true, func(s *site) (string, screen.Role) {
			if s.GetTerm() == 0 {
				return unknown, screen.Dim
			}
			return fmt.Sprint(s.GetTerm()), screen.Plain
		})},
		{Title: "LINKS", Width: 9, Draw: func(r screen.Rect, s *site) {
			x := r.Text(0, 0, screen.Plain, fmt.Sprint(s.GetLinks()))
			if n := s.GetLinksFailed(); n > 0 {
				x = r.Text(x+1, 0, screen.Bad, fmt.Sprintf("X%d", n))
			}
			if n := s.GetLinksWarning(); n > 0 {
				r.Text(x+1, 0, screen.Warn, fmt.Sprintf("!%d", n))
			}
		}},
		{Title: "OUT/s", Width: 6, Right: true, Draw: table.Text(true, func(s *site) (string, screen.Role) { return optionalSize(s.OutRate), screen.Plain })},
		{Title: "IN/s", Width: 6, Right: true, Draw: table.Text(true, func(s *site) (string, screen.Role) { return optionalSize(s.InRate), screen.Plain })},
		{Title: "FREE", Width: 6, Right: true, Priority: 2, Draw: table.Text(true, func(s *site) (string, screen.Role) {
			if s.FreeFraction == nil {
				return unknown, screen.Dim
			}
			text, role := fmt.Sprintf("%.0f%%", s.GetFreeFraction()*100), screen.Plain
			if s.GetFreeFraction() < 0.15 {
				text, role = text+" !", screen.Warn
			}
			return text, role
		})},
	}
}

func (p *homePage) crumbs() []string {
	if p.m.wide() && p.zoom != paneBoth {
		return []string{"Home", [panes]string{"", "health", "links"}[p.zoom]}
	}
	return []string{"Home"}
}

func (p *homePage) refresh() {
	p.alerts.SetRows(p.m.snapshot.GetAlerts())
	p.sites.SetRows(p.m.snapshot.GetSites())
	// What is wrong comes first: the list beside the rest has no keys to look further.
	links := slices.Clone(p.m.snapshot.GetLinks())
	slices.SortStableFunc(links, func(a, b *adminpb.ConsoleLink) int { return cmp.Compare(urgency(a), urgency(b)) })
	p.links.SetRows(links)
}

// urgency orders links: failed ones first, then those that want attention.
func urgency(l *adminpb.ConsoleLink) int {
	switch l.GetSeverity() {
	case adminpb.Severity_SEVERITY_FAILED:
		return 0
	case adminpb.Severity_SEVERITY_WARNING:
		return 1
	}
	return 2
}

func (p *homePage) bindings() []binding {
	var out []binding
	open := binding{keys: []string{"enter"}, short: "open", long: "open the link", do: p.openAlert}
	if a, ok := p.alerts.Selected(); !ok {
		open.short, open.long = "links", "see the links"
	} else {
		out = moving(p.alerts)
		if a.GetService() == "" {
			open.long = "see the whole alert"
		}
	}
	out = append(out, open)
	if a, ok := p.alerts.Selected(); ok {
		out = append(out, p.m.seeFailed(a.GetService())...)
	}
	if p.m.wide() {
		out = append(out, binding{keys: []string{"z"}, short: "zoom", long: "zoom health or links", do: func() tea.Cmd { p.zoom = (p.zoom + 1) % panes; return nil }})
	}
	return append(out,
		p.m.changing("n", "new link", "make a link", func() tea.Cmd { return p.m.newLink() }),
		p.m.changing("s", "serve bucket", "serve a bucket on a link", func() tea.Cmd { return p.m.serveSomewhere() }),
		binding{keys: []string{"/"}, short: "find", long: "find a link by its name", do: func() tea.Cmd {
			cmd := p.m.turn(pageLinks)
			p.m.filter = newInput("", false)
			return cmd
		}},
	)
}

func (p *homePage) openAlert() tea.Cmd {
	a, ok := p.alerts.Selected()
	switch {
	case !ok:
		return p.m.turn(pageLinks)
	case a.GetService() == "":
		p.m.see(a.GetWord(), "isgwctl status", [][2]string{{"cause", a.GetCause()}, {"what to do", a.GetNextStep()}})
		return nil
	}
	return p.m.openLink(a.GetService())
}

func (p *homePage) render(r screen.Rect) {
	s := p.m.snapshot
	if s == nil {
		return
	}
	left := r
	switch {
	case !p.m.wide() || p.zoom == paneList:
	case p.zoom == panePreview:
		p.aside(r.Sub(0, 1, r.W, r.H-1))
		return
	default:
		left = r.Sub(0, 0, r.W*11/20, r.H)
		p.aside(r.Sub(left.W+1, 1, r.W-left.W-1, r.H-1))
	}
	y := p.head(left.Sub(0, 1, left.W, 3)) + 2
	room := left.H - y
	if len(s.GetLinks()) == 0 && len(s.GetAlerts()) == 0 {
		y = p.empty(left, y)
	} else if len(s.GetAlerts()) > 0 {
		// The list of what is wrong grows into the room that the rest leaves, and
		// is as long whichever alert is selected.
		about, trends := 0, 4
		for _, a := range s.GetAlerts() {
			about = max(about, len(p.about(left, a)))
		}
		if p.m.wide() {
			trends = 12
		}
		rows := min(len(s.GetAlerts()), max(room-about-len(s.GetSites())-4-trends, min(room/4, 8), 2))
		part := left.Sub(0, y, left.W, rows+1)
		p.alerts.Render(part)
		part.Text(1, 0, screen.Title, "NEEDS ATTENTION")
		if n := len(s.GetAlerts()); n > rows {
			first, last := p.alerts.Window()
			part.Right(part.W-1, 0, screen.Dim, fmt.Sprintf("%d-%d of %d", first, last, n))
		}
		y += rows + 1
		if a, ok := p.alerts.Selected(); ok {
			for i, line := range p.about(left, a) {
				if line.next {
					left.Text(2, y+i, screen.Key, "→")
				}
				left.Text(4, y+i, line.role, line.text)
			}
		}
		y += about + 1
	}
	rows := min(len(s.GetSites()), max(left.H-y-7, min(left.H-y-2, 4), 1))
	part := left.Sub(0, y, left.W, rows+1)
	p.sites.Render(part)
	if n := len(s.GetSites()); n > rows {
		part.Text(2, 0, screen.Title, fmt.Sprintf("SITES %d of %d", rows, n))
	}
	y += rows + 2
	switch room := left.H - y; {
	case len(s.GetLinks()) == 0:
	case p.m.wide() && room >= 12:
		p.charts(left.Sub(0, y, left.W, room))
		y = left.H
	case room >= 4:
		p.trends(left.Sub(0, y, left.W, 4))
		y += 5
	}
	if !p.m.wide() {
		lastChanges(left.Sub(0, y, left.W, max(left.H-y, 0)), s.GetLastChanges())
	}
}

// lastChanges writes the last change in a line, or where there is room a list of them.
func lastChanges(r screen.Rect, changes []*adminpb.Change) {
	switch {
	case len(changes) == 0 || r.H < 1:
	case r.H < 4 || len(changes) == 1:
		r.Text(1, 0, screen.Dim, screen.Truncate("last change: "+change(changes[0]), r.W-2))
	default:
		r.Text(1, 0, screen.Title, "LAST CHANGES")
		for i, c := range changes[:min(len(changes), r.H-1)] {
			role := screen.Dim
			if c.GetFailed() {
				role = screen.Warn
			}
			r.Text(1, i+1, role, screen.Truncate(change(c), r.W-2))
		}
	}
}

// head writes the verdict, and in a narrow terminal goes on in a second line.
func (p *homePage) head(r screen.Rect) int {
	text, role := verdict(p.m.snapshot)
	lines := wrapped(text, r.W-2, 2)
	if next := p.m.snapshot.GetVerdict().GetNextStep(); len(lines) == 1 && next != "" && len(p.m.snapshot.GetAlerts()) == 0 {
		r.Text(1, 0, role, lines[0])
		r.Text(1, 1, screen.Dim, screen.Truncate("→ "+p.m.nextStep(next, "", p.bindings()), r.W-2))
		return 2
	}
	for i, line := range lines {
		r.Text(1, i, role, line)
	}
	return len(lines)
}

// aboutLine is a line about an alert; next begins what to do.
type aboutLine struct {
	text string
	role screen.Role
	next bool
}

// about is what the list of alerts has no room for: the whole cause of one and
// what to do, in two lines each at most.
func (p *homePage) about(r screen.Rect, a *adminpb.Alert) []aboutLine {
	most := 2
	if r.H < 16 {
		most = 1
	}
	var out []aboutLine
	add := func(role screen.Role, text string, next bool) {
		for i, line := range wrapped(text, r.W-6, most) {
			out = append(out, aboutLine{line, role, next && i == 0})
		}
	}
	if screen.Width(a.GetCause()) > r.W-34 && most > 1 {
		add(screen.Dim, a.GetCause(), false)
	}
	switch next := p.m.nextStep(a.GetNextStep(), a.GetService(), p.bindings()); {
	case next != "":
		add(screen.Plain, next, true)
	case a.GetService() != "":
		add(screen.Plain, p.m.spell("↵")+" opens the link: what waits, and since when it is so", true)
	}
	return out
}

func (p *homePage) empty(r screen.Rect, y int) int {
	if !p.m.snapshot.GetInitialised() {
		return prose(r, 1, y, r.W-2, screen.Plain, "This node belongs to no site yet. isgwctl system init makes one of it.") + 1
	}
	return noLinksYet(r, y) + 1
}

// noLinksYet says what a link is and how the first one is made.
func noLinksYet(r screen.Rect, y int) int {
	y = prose(r, 1, y, r.W-2, screen.Plain, "No links yet. A link copies buckets from one site to another. n makes one.")
	return prose(r, 1, y, r.W-2, screen.Dim, "isgwctl service create isgw NAME --remote ccow://HOST:PORT")
}

// trends are the sums over all links of the last quarter of an hour.
func (p *homePage) trends(r screen.Rect) {
	links := p.m.snapshot.GetLinks()
	r.Text(1, 0, screen.Title, "ALL LINKS, LAST 15 MIN")
	const now, peak = 9, 9
	r.Right(r.W-1-peak, 0, screen.Title, "now")
	r.Right(r.W-1, 0, screen.Title, "peak")
	add := func(a, b float64) float64 { return a + b }
	for i, row := range []struct {
		name   string
		pick   func(*adminpb.ConsoleLink) []*adminpb.SparkPoint
		now    func(*adminpb.ConsoleLink) *float64
		join   func(a, b float64) float64
		format func(float64) string
		role   screen.Role
	}{
		{"out", (*adminpb.ConsoleLink).GetSparkOut, outRate, add, func(v float64) string { return perSecond(&v) }, screen.First},
		{"lag max", (*adminpb.ConsoleLink).GetSparkLag, lagSeconds, math.Max, span, screen.Warn},
		{"backlog", (*adminpb.ConsoleLink).GetSparkBacklog, backlogVersions, add, scaled, screen.Second},
	} {
		last := together(links, row.now, row.join)
		values := upToNow(joined(links, row.pick, row.join), last)
		top := last
		for _, v := range values {
			if !math.IsNaN(v) {
				top = math.Max(v, zeroIfNaN(top))
			}
		}
		r.Text(1, i+1, screen.Dim, row.name)
		chart.Spark(r, 10, i+1, min(r.W-12-now-peak, 60), row.role, values)
		r.Right(r.W-1-peak, i+1, screen.Plain, row.format(last))
		r.Right(r.W-1, i+1, screen.Dim, row.format(top))
	}
}

// charts are the trends where there is room for axes.
func (p *homePage) charts(r screen.Rect) {
	links, end := p.m.snapshot.GetLinks(), p.m.snapshot.GetTime().AsTime()
	add := func(a, b float64) float64 { return a + b }
	sum := func(pick func(*adminpb.ConsoleLink) []*adminpb.SparkPoint, now func(*adminpb.ConsoleLink) *float64, join func(a, b float64) float64) []float64 {
		return upToNow(joined(links, pick, join), together(links, now, join))
	}
	out := sum((*adminpb.ConsoleLink).GetSparkOut, outRate, add)
	in := sum((*adminpb.ConsoleLink).GetSparkIn, func(l *adminpb.ConsoleLink) *float64 { return l.InRate }, add)
	lag := sum((*adminpb.ConsoleLink).GetSparkLag, lagSeconds, math.Max)
	target := 0.0
	for _, l := range links {
		if t := l.GetLagTargetSeconds(); t > 0 && (target == 0 || t < target) {
			target = t
		}
	}
	drawCharts(r, trend{name: "all links", out: out, in: in, lag: lag, backlog: sum((*adminpb.ConsoleLink).GetSparkBacklog, backlogVersions, add),
		target: target, start: end.Add(-15 * time.Minute), end: end, cross: -1})
}

// together joins what links say of themselves now; NaN where none says anything.
// A point of a small chart is the mean of some time that may be half a minute ago.
func together(links []*adminpb.ConsoleLink, now func(*adminpb.ConsoleLink) *float64, join func(a, b float64) float64) float64 {
	last := math.NaN()
	for _, l := range links {
		switch v := now(l); {
		case v == nil:
		case math.IsNaN(last):
			last = *v
		default:
			last = join(last, *v)
		}
	}
	return last
}

// upToNow ends a chart with the present where its last point is of a time that is
// not over yet, so that the first minute of a node is not empty.
func upToNow(values []float64, now float64) []float64 {
	if n := len(values); n > 0 && math.IsNaN(values[n-1]) {
		values[n-1] = now
	}
	return values
}

func outRate(l *adminpb.ConsoleLink) *float64    { return l.OutRate }
func lagSeconds(l *adminpb.ConsoleLink) *float64 { return l.LagSeconds }

// backlogVersions is how many versions wait on a link, nil where nobody knows.
func backlogVersions(l *adminpb.ConsoleLink) *float64 {
	if l.BacklogVersions == nil {
		return nil
	}
	n := float64(l.GetBacklogVersions())
	return &n
}

func zeroIfNaN(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}

// joined combines the small charts of links point by point. A link counts from
// its first known point to its last; where one has a gap between, so has the
// sum, because what is known of the others is not the whole.
func joined(links []*adminpb.ConsoleLink, pick func(*adminpb.ConsoleLink) []*adminpb.SparkPoint, join func(a, b float64) float64) []float64 {
	var out []float64
	gaps := map[int]bool{}
	for _, l := range links {
		values := points(pick(l))
		known := func(v float64) bool { return !math.IsNaN(v) }
		first := slices.IndexFunc(values, known)
		last := len(values) - 1
		for last > first && !known(values[last]) {
			last--
		}
		for i, v := range values {
			switch {
			case i >= len(out):
				out = append(out, v)
			case math.IsNaN(out[i]):
				out[i] = v
			case known(v):
				out[i] = join(out[i], v)
			}
			if first >= 0 && i > first && i < last && !known(v) {
				gaps[i] = true
			}
		}
	}
	for i := range gaps {
		out[i] = math.NaN()
	}
	return out
}

func change(c *adminpb.Change) string {
	text := c.GetTime().AsTime().UTC().Format("15:04:05Z") + " " + c.GetPrincipal() + "  " + c.GetText()
	if c.GetFailed() {
		text += " (failed)"
	}
	return text
}

// aside is what a wide terminal shows beside the rest: links and changes.
func (p *homePage) aside(r screen.Rect) {
	s := p.m.snapshot
	rows := max(min(len(s.GetLinks()), r.H*3/5), 1)
	box := r.Sub(0, 0, r.W, rows+3).Box(fmt.Sprintf("links %d", len(s.GetLinks())))
	if len(s.GetLinks()) == 0 {
		box.Text(1, 0, screen.Dim, "none")
	}
	p.links.Render(box.Sub(0, 0, box.W-1, box.H))
	box = r.Sub(0, rows+3, r.W, r.H-rows-3).Box("last changes")
	for i, c := range s.GetLastChanges() {
		role := screen.Plain
		if c.GetFailed() {
			role = screen.Warn
		}
		box.Text(1, i, role, screen.Truncate(change(c), box.W-2))
	}
	if len(s.GetLastChanges()) == 0 {
		box.Text(1, 0, screen.Dim, "none since the node started")
	}
}
