package tui

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/tui/screen"
	"edgefog.dev/isgw/tui/table"
)

// The sections of a link's page.
const (
	sectionOverview = iota
	sectionBuckets
	sectionFailed
	sectionConfig
	sectionEvents
	sections
)

var ranges = []struct {
	name    string
	seconds uint32
}{{"15m", 900}, {"1h", 3600}, {"6h", 6 * 3600}, {"24h", 24 * 3600}}

// linkPage is one link: its state and cause, its charts, its buckets.
type linkPage struct {
	m       *Model
	name    string
	section int
	reach   int // index of ranges
	zoom    int // of the overview: one of the zoom constants
	history history
	buckets *table.Table[*adminpb.BucketStatus]
	events  *table.Table[*adminpb.LinkEvent]
	faults  *faultList

	asked   asked
	rows    bool             // the call under way is for the buckets too
	service *adminpb.Service // without its buckets; nil until it came
	listed  time.Time        // when the buckets were told, by the node's clock; zero: not yet
	again   time.Time        // they are not asked for before
	failed  error
}

// The states of all buckets of a link are one answer, which with ten thousand of them is
// most of a megabyte: they are asked for again after a time that grows with their
// number. Up to oftenListed that is with each snapshot, or nearly; of more it is said
// when they were told.
const (
	rowTime     = time.Millisecond // for each bucket
	oftenListed = 2000
)

// openLink shows a link, openFailed what failed on it.
func (m *Model) openLink(name string) tea.Cmd { return m.open(newLinkPage(m, name)) }

func (m *Model) openFailed(name string) tea.Cmd {
	p := newLinkPage(m, name)
	p.section = sectionFailed
	return m.open(p)
}

// seeFailed is the key that opens what failed on a link, from pages that list links;
// nothing where nothing is in quarantine.
func (m *Model) seeFailed(name string) []binding {
	if m.link(name).GetQuarantined() == 0 {
		return nil
	}
	return []binding{{keys: []string{"f"}, short: "failed", long: "see what failed on the link", do: func() tea.Cmd { return m.openFailed(name) }}}
}

func newLinkPage(m *Model, name string) *linkPage {
	p := &linkPage{m: m, name: name, faults: newFaultList(m), history: history{m: m, span: ranges[0].seconds, cross: -1}}
	p.buckets = table.New(func(b *adminpb.BucketStatus) string { return b.GetPath() },
		func(b *adminpb.BucketStatus) string { return b.GetPath() + " " + b.GetState() + " " + b.GetCause() }, p.bucketColumns()...)
	p.events = table.New(func(e *adminpb.LinkEvent) string { return e.GetTime().AsTime().String() + e.GetText() },
		func(e *adminpb.LinkEvent) string { return e.GetText() + " " + e.GetPrincipal() }, eventColumns()...)
	p.history.arrived = func() { p.events.SetRows(p.history.got.GetEvents()) }
	return p
}

// worse is the backlog of the direction that is further behind.
func worse(b *adminpb.BucketStatus) *adminpb.Backlog {
	send, receive := b.GetSend(), b.GetReceive()
	if receive.GetLagSeconds() > send.GetLagSeconds() || send == nil {
		return receive
	}
	return send
}

func (p *linkPage) bucketColumns() []table.Column[*adminpb.BucketStatus] {
	type bucket = adminpb.BucketStatus
	lag := func(b *bucket) *float64 {
		if w := worse(b); w != nil {
			return w.LagSeconds
		}
		return nil
	}
	both := func(b *bucket, pick func(*adminpb.Backlog) *uint64) *uint64 {
		var sum *uint64
		for _, d := range []*adminpb.Backlog{b.GetSend(), b.GetReceive()} {
			if d == nil || pick(d) == nil {
				continue
			}
			if sum == nil {
				sum = new(uint64)
			}
			*sum += *pick(d)
		}
		return sum
	}
	versions := func(d *adminpb.Backlog) *uint64 { return d.Versions }
	bytes := func(d *adminpb.Backlog) *uint64 { return d.Bytes }
	return []table.Column[*bucket]{
		{Title: "BUCKET", Width: 16, Flex: true, Draw: table.Text(false, func(b *bucket) (string, screen.Role) { return b.GetPath(), screen.Plain }),
			Compare: func(a, b *bucket) int { return strings.Compare(a.GetPath(), b.GetPath()) }},
		{Title: "LAG", Width: 6, Right: true, Draw: table.Text(true, func(b *bucket) (string, screen.Role) { return optionalSpan(lag(b)), screen.Plain }),
			Compare: func(a, b *bucket) int { return optionally(lag(a), lag(b)) }},
		{Title: "OLDEST UNSENT", Width: 16, Flex: true, Priority: 4, Draw: table.Text(false, func(b *bucket) (string, screen.Role) {
			if key := worse(b).GetOldestKey(); key != "" {
				return key, screen.Dim
			}
			return unknown, screen.Dim
		})},
		{Title: "BACKLOG", Width: 7, Right: true, Draw: table.Text(true, func(b *bucket) (string, screen.Role) { return optionalCount(both(b, versions)), screen.Plain }),
			Compare: func(a, b *bucket) int { return optionally(both(a, versions), both(b, versions)) }},
		{Title: "BYTES", Width: 6, Right: true, Priority: 2, Draw: table.Text(true, func(b *bucket) (string, screen.Role) { return optionalSize(both(b, bytes)), screen.Plain })},
		{Title: "FAILED", Width: 6, Right: true, Priority: 5, Draw: table.Text(true, func(b *bucket) (string, screen.Role) {
			if n := quarantined(b); n > 0 {
				return scaled(float64(n)), screen.Warn
			}
			return "0", screen.Plain
		})},
		{Title: "STATE", Width: 20, Flex: true, Draw: func(r screen.Rect, b *bucket) {
			text, role := bucketState(b, p.link().GetLagTargetSeconds(), r.W)
			r.Text(0, 0, role, screen.Truncate(text, r.W))
		}},
	}
}

// bucketState is a bucket's state as glyph and words. One that is behind within
// the link's target, in seconds, is busy and no cause for worry, as the link itself
// is. When it caught up is said where w cells are enough for it.
func bucketState(b *adminpb.BucketStatus, target float64, w int) (string, screen.Role) {
	glyphs := map[string]struct {
		glyph string
		role  screen.Role
	}{
		"synced": {"ok", screen.Good}, "behind": {"!", screen.Warn}, "copying": {"..", screen.First},
		"waiting": {"..", screen.Dim}, "stalled": {"X", screen.Bad}, "one-way": {"!", screen.Warn},
		"copied": {"ok", screen.Good}, "paused": {"||", screen.Dim},
	}
	g, ok := glyphs[b.GetState()]
	if !ok {
		g.glyph, g.role = "?", screen.Dim
	}
	if lag := worse(b).GetLagSeconds(); b.GetState() == "behind" && target > 0 && lag <= target {
		g.glyph, g.role = "..", screen.First
	}
	text := fmt.Sprintf("%-2s %s", g.glyph, b.GetState())
	switch {
	case b.GetCause() != "":
		text += "  " + b.GetCause()
	case b.GetState() == "copying" && b.GetTotalKeys() > 0:
		text += fmt.Sprintf("  %s of %s keys", scaled(float64(b.GetCopiedKeys())), scaled(float64(b.GetTotalKeys())))
	case b.GetState() == "synced" && b.GetCaughtUp() != nil:
		at := "caught up " + b.GetCaughtUp().AsTime().UTC().Format("15:04:05Z")
		for _, whole := range []string{text + "  " + at, fmt.Sprintf("%-2s %s", g.glyph, at)} {
			if screen.Width(whole) <= w {
				text = whole
				break
			}
		}
	}
	return text, g.role
}

func (p *linkPage) crumbs() []string {
	out := []string{"Links", p.name}
	if p.section == sectionOverview && p.zoom != zoomNone {
		out = append(out, zoomNames[p.zoom])
	}
	return out
}

func (p *linkPage) refresh() {}

// list is what a filter and the moving keys work on: the list that is seen, or nil.
func (p *linkPage) list() filterable {
	switch p.section {
	case sectionEvents:
		return p.events
	case sectionOverview, sectionBuckets:
		return p.buckets
	case sectionFailed:
		return p.faults.table
	}
	return nil
}

// modal says that the page has all the keys, while values are read off charts.
func (p *linkPage) modal() bool { return p.history.cross >= 0 && p.charted(p.link()) }

// link is the link as the snapshot has it; nil when it is gone.
func (p *linkPage) link() *adminpb.ConsoleLink { return p.m.link(p.name) }

func (p *linkPage) load() tea.Cmd {
	if p.link() == nil {
		return nil
	}
	p.history.span = ranges[p.reach].seconds
	var faults tea.Cmd
	if p.section == sectionFailed {
		faults = p.faults.load(p.name)
	}
	return tea.Batch(p.history.load(p.name), faults, p.loadService())
}

// loadService asks for the link, and for its buckets where they are seen.
func (p *linkPage) loadService() tea.Cmd {
	rows := p.bucketsSeen() && !p.m.now.Before(p.again)
	if p.asked.waits() && (p.rows || !rows) {
		return nil // that is on its way
	}
	p.rows = rows
	return call(p.m, &p.asked, service(p.name, rows), func(s *adminpb.Service, err error) tea.Cmd {
		if p.failed = err; err != nil {
			return nil
		}
		p.service = s
		if all := s.GetStatus().GetBuckets(); rows {
			p.buckets.SetRows(all)
			p.listed, p.again = p.m.nodeTime(), p.m.now.Add(time.Duration(len(all))*rowTime)
		}
		return nil
	})
}

// bucketsSeen says whether the list of buckets is shown.
func (p *linkPage) bucketsSeen() bool {
	return p.section == sectionBuckets || p.section == sectionOverview && p.zoom != zoomCharts
}

// outdate has everything asked for once more.
func (p *linkPage) outdate() {
	p.leave()
	p.again = time.Time{}
}

// leave ends the calls under way.
func (p *linkPage) leave() {
	p.asked.leave()
	p.history.asked.leave()
	p.faults.asked.leave()
}

// problem is the error that is seen in place of what is asked for, or nil.
func (p *linkPage) problem() error {
	noHistory, noBuckets := p.history.failed, p.failed
	if p.history.got != nil {
		noHistory = nil
	}
	if !p.listed.IsZero() {
		noBuckets = nil
	}
	switch p.section {
	case sectionFailed:
		return p.faults.failed
	case sectionEvents:
		return noHistory
	case sectionOverview:
		return cmp.Or(noBuckets, noHistory)
	case sectionBuckets:
		return noBuckets
	}
	return nil
}

// service asks for a link, with its buckets or without.
func service(name string, buckets bool) func(context.Context, Node) (*adminpb.Service, error) {
	return func(ctx context.Context, node Node) (*adminpb.Service, error) {
		return node.Service(ctx, name, buckets)
	}
}

func (p *linkPage) bindings() []binding {
	l := p.link()
	if p.modal() {
		return append(append(p.crossBindings(), p.m.help()), p.m.always()...)
	}
	var out []binding
	if s, ok := p.list().(scroller); ok {
		out = moving(s)
	}
	if l == nil {
		return out
	}
	changes := p.m.linkChanges(l)
	compare := p.m.changing("T", "resync", "compare the sites anew", func() tea.Cmd {
		return p.m.change("re-sync "+p.name, &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Resync{Resync: &adminpb.StartResyncRequest{Name: p.name}}})
	})
	if p.section == sectionFailed { // the remedies first
		out = append(append(out, p.faults.bindings(p.name)...), compare)
		if a, ok := p.faults.table.Selected(); ok {
			out = append(out, p.seeing(func() { p.faults.see(p.name, a) }))
		}
		out = append(out, changes[:3]...)
	} else {
		out = append(append(out, changes[:3]...),
			binding{keys: []string{"f"}, short: "failed", long: "see what failed", do: func() tea.Cmd { return p.turn(sectionFailed) }},
			p.m.changing("R", "retry", "retry all in quarantine", func() tea.Cmd {
				return p.m.change("retry all in quarantine on "+p.name, &adminpb.PlanRequest{Change: &adminpb.PlanRequest_RetryFaults{RetryFaults: &adminpb.RetryFaultsRequest{Name: p.name}}})
			}), compare)
	}
	if e, ok := p.events.Selected(); ok && p.section == sectionEvents {
		out = append(out, p.seeing(func() {
			p.m.see("what happened to "+p.name, "isgwctl link events "+p.name, [][2]string{{"time", instant(e.GetTime())}, {"what", e.GetText()}, {"by", e.GetPrincipal()}})
		}))
	}
	section := func(n int) func() tea.Cmd {
		return func() tea.Cmd { return p.turn((p.section + n + sections) % sections) }
	}
	out = append(out,
		binding{keys: []string{"tab"}, short: "section", long: "the next section", do: section(1)},
		binding{keys: []string{"shift+tab"}, long: "the section before", do: section(-1)},
	)
	if p.charted(l) {
		out = append(out,
			binding{keys: []string{"t"}, short: "range", long: "the next range of time", do: func() tea.Cmd {
				p.reach = (p.reach + 1) % len(ranges)
				return p.m.reload()
			}},
			binding{keys: []string{"c"}, short: "crosshair", long: "read values off charts", do: func() tea.Cmd { p.history.cross = 0; return nil }},
		)
	}
	if p.section == sectionOverview {
		out = append(out, binding{keys: []string{"z"}, short: "zoom", long: "zoom charts or buckets", do: func() tea.Cmd {
			p.zoom = (p.zoom + 1) % zooms
			return p.m.reload()
		}})
	}
	out = append(out, changes[3:]...)
	if list, ok := p.list().(sortable); ok && p.section != sectionEvents {
		out = append(out,
			binding{keys: []string{"o"}, long: "sort by the next column", do: func() tea.Cmd { list.NextSort(); return nil }},
			binding{keys: []string{"O"}, long: "turn the order round", do: func() tea.Cmd { list.Reverse(); return nil }},
		)
	}
	copied := binding{keys: []string{"y"}, long: "copy the show command", do: func() tea.Cmd { return p.m.copy("isgwctl service show " + p.name + " -s") }}
	switch {
	case p.problem() != nil:
		copied = p.m.copyingFailure("y", p.problem())
	case p.section == sectionFailed:
		copied.long, copied.do = "copy the list command", func() tea.Cmd { return p.m.copy("isgwctl link failed " + p.name) }
	}
	return append(out,
		binding{keys: []string{"v"}, short: "yaml", long: "see it as YAML", do: func() tea.Cmd { return p.m.viewLink(p.name) }},
		copied,
		binding{keys: []string{"x"}, short: "export", long: "write it to a file", do: p.export},
	)
}

// seeing is the key that shows all of the selected row.
func (p *linkPage) seeing(see func()) binding {
	return binding{keys: []string{"enter"}, short: "open", long: "see the whole row", do: func() tea.Cmd { see(); return nil }}
}

// sortable is a list with an order that can be chosen.
type sortable interface {
	NextSort()
	Reverse()
}

// turn shows a section. What only that one shows is asked for now.
func (p *linkPage) turn(section int) tea.Cmd {
	p.section = section
	return p.m.reload()
}

// charted says whether charts are seen.
func (p *linkPage) charted(l *adminpb.ConsoleLink) bool {
	return l != nil && p.section == sectionOverview && p.zoom != zoomBuckets && p.history.width > 0
}

// crossBindings are the keys while values are read off the charts.
func (p *linkPage) crossBindings() []binding {
	move := func(n int) func() tea.Cmd {
		return func() tea.Cmd { p.history.move(n); return nil }
	}
	return []binding{
		{keys: []string{"left", "h"}, short: "earlier", long: "earlier", do: move(1)},
		{keys: []string{"right", "l"}, short: "later", long: "later", do: move(-1)},
		{keys: []string{"H", "pgup"}, short: "far earlier", long: "much earlier", do: move(10)},
		{keys: []string{"L", "pgdown"}, long: "much later", do: move(-10)},
		{keys: []string{"esc", "c"}, short: "end", long: "end reading values", do: func() tea.Cmd { p.history.cross = -1; return nil }},
	}
}

func (p *linkPage) render(r screen.Rect) {
	l := p.link()
	p.history.width = 0 // until charts are drawn
	p.sections(r.Sub(0, 0, r.W, 1))
	body := r.Sub(0, 1, r.W, r.H-1)
	if l == nil {
		prose(body, 1, 1, r.W-2, screen.Plain, "There is no link "+p.name+" any more. esc goes back.")
		return
	}
	switch p.section {
	case sectionOverview:
		p.overview(body, l)
	case sectionBuckets:
		p.bucketList(body)
	case sectionFailed:
		p.renderFaults(body, l)
	case sectionConfig:
		p.facts(body.Sub(0, 1, body.W, body.H-1), l)
	case sectionEvents:
		p.eventList(body)
	}
}

func (p *linkPage) sections(r screen.Rect) {
	count := func(name string, n int) string { return fmt.Sprintf("%s(%d)", name, n) }
	names := []string{"Overview", count("Buckets", int(p.link().GetBuckets())), count("Failed", int(p.link().GetQuarantined())), "Config", count("Events", len(p.history.events()))}
	narrow := r.W < 76
	x := 1
	for i, name := range names {
		if i == p.section {
			if i == 0 {
				x = 0
			}
			x = r.Text(x, 0, screen.Accent, "["+name+"]")
		} else {
			x = r.Text(x, 0, screen.Dim, name)
		}
		x++
	}
	if p.section != sectionOverview {
		return
	}
	end := r.W - 1
	for i := len(ranges) - 1; i >= 0; i-- {
		switch {
		case i == p.reach:
			end = r.Right(end, 0, screen.Accent, "["+ranges[i].name+"]") - 1
		case !narrow:
			end = r.Right(end, 0, screen.Dim, ranges[i].name) - 1
		}
	}
}
