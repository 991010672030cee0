package tui

import (
	"context"
	"fmt"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/tui/screen"
	"edgefog.dev/isgw/tui/table"
)

// The sections of a link's page.
const (
	sectionOverview = iota
	sectionBuckets
	sectionConfig
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
	history history
	buckets *table.Table[*adminpb.BucketStatus]

	asked   int
	service *adminpb.Service // with its buckets; nil until it came
	failed  error
}

// openLink shows a link.
func (m *Model) openLink(name string) tea.Cmd {
	p := &linkPage{m: m, name: name, history: history{m: m, span: ranges[0].seconds}}
	p.buckets = table.New(func(b *adminpb.BucketStatus) string { return b.GetPath() },
		func(b *adminpb.BucketStatus) string { return b.GetPath() + " " + b.GetState() + " " + b.GetCause() }, bucketColumns()...)
	return m.open(p)
}

// worse is the backlog of the direction that is further behind.
func worse(b *adminpb.BucketStatus) *adminpb.Backlog {
	send, receive := b.GetSend(), b.GetReceive()
	if receive.GetLagSeconds() > send.GetLagSeconds() || send == nil {
		return receive
	}
	return send
}

func bucketColumns() []table.Column[*adminpb.BucketStatus] {
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
		{Title: "BYTES", Width: 6, Right: true, Priority: 2, Draw: table.Text(true, func(b *bucket) (string, screen.Role) { return optionalSizeOf(both(b, bytes)), screen.Plain })},
		{Title: "STATE", Width: 20, Flex: true, Draw: table.Text(false, func(b *bucket) (string, screen.Role) { return bucketState(b) })},
	}
}

// bucketState is a bucket's state as glyph and words.
func bucketState(b *adminpb.BucketStatus) (string, screen.Role) {
	glyphs := map[string]struct {
		glyph string
		role  screen.Role
	}{
		"synced": {"ok", screen.Good}, "behind": {"!", screen.Warn}, "copying": {"..", screen.First},
		"waiting": {"..", screen.Dim}, "stalled": {"X", screen.Bad}, "one-way": {"!", screen.Warn},
	}
	g, ok := glyphs[b.GetState()]
	if !ok {
		g.glyph, g.role = "?", screen.Dim
	}
	text := fmt.Sprintf("%-2s %s", g.glyph, b.GetState())
	switch {
	case b.GetCause() != "":
		text += "  " + b.GetCause()
	case b.GetState() == "copying" && b.GetTotalKeys() > 0:
		text += fmt.Sprintf("  %s of %s keys", scaled(float64(b.GetCopiedKeys())), scaled(float64(b.GetTotalKeys())))
	case b.GetState() == "synced" && b.GetCaughtUp() != nil:
		text += "  caught up " + b.GetCaughtUp().AsTime().UTC().Format("15:04:05Z")
	}
	return text, g.role
}

func (p *linkPage) crumbs() []string { return []string{"Links", p.name} }
func (p *linkPage) refresh()         {}

// list is what a filter works on: the buckets.
func (p *linkPage) list() filterable { return p.buckets }

// link is the link as the snapshot has it; nil when it is gone.
func (p *linkPage) link() *adminpb.ConsoleLink {
	for _, l := range p.m.snapshot.GetLinks() {
		if l.GetName() == p.name {
			return l
		}
	}
	return nil
}

// serviceMsg answers a request for a link with its buckets.
type serviceMsg struct {
	to      *linkPage
	serial  int
	service *adminpb.Service
	err     error
}

// deliver takes the answer if it is the newest one.
func (msg serviceMsg) deliver(*Model) tea.Cmd {
	if msg.serial != msg.to.asked {
		return nil
	}
	msg.to.failed = msg.err
	if msg.err == nil {
		msg.to.service = msg.service
		msg.to.buckets.SetRows(msg.service.GetStatus().GetBuckets())
	}
	return nil
}

func (p *linkPage) load() tea.Cmd {
	if p.link() == nil {
		return nil
	}
	p.asked = p.m.nextSerial()
	node, ctx, name, serial := p.m.conn.node, p.m.ctx, p.name, p.asked
	p.history.span = ranges[p.reach].seconds
	return tea.Batch(p.history.load(p.name), func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, callTime)
		defer cancel()
		service, err := node.Service(ctx, name)
		return serviceMsg{p, serial, service, err}
	})
}

func (p *linkPage) bindings() []binding {
	out := moving(p.buckets)
	l := p.link()
	if l == nil {
		return out
	}
	out = append(out, p.m.linkChanges(l)...)
	return append(out,
		binding{keys: []string{"t"}, short: "range", long: "the next range of time", do: func() tea.Cmd {
			p.reach = (p.reach + 1) % len(ranges)
			return p.m.reload()
		}},
		binding{keys: []string{"tab"}, short: "section", long: "the next section", do: func() tea.Cmd { p.section = (p.section + 1) % sections; return nil }},
		binding{keys: []string{"shift+tab"}, long: "the section before", do: func() tea.Cmd { p.section = (p.section + sections - 1) % sections; return nil }},
		binding{keys: []string{"o"}, long: "sort by the next column", do: func() tea.Cmd { p.buckets.NextSort(); return nil }},
		binding{keys: []string{"O"}, long: "turn the order round", do: func() tea.Cmd { p.buckets.Reverse(); return nil }},
		binding{keys: []string{"y"}, long: "copy the show command", do: func() tea.Cmd { return p.m.copy("isgwctl service show " + p.name + " -s") }},
	)
}

func (p *linkPage) render(r screen.Rect) {
	l := p.link()
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
	case sectionConfig:
		p.config(body, l)
	}
}

func (p *linkPage) sections(r screen.Rect) {
	x := 1
	for i, name := range []string{"Overview", fmt.Sprintf("Buckets(%d)", len(p.service.GetStatus().GetBuckets())), "Config"} {
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
	end := r.W - 1
	for i := len(ranges) - 1; i >= 0; i-- {
		if i == p.reach {
			end = r.Right(end, 0, screen.Accent, "["+ranges[i].name+"]")
		} else {
			end = r.Right(end, 0, screen.Dim, ranges[i].name)
		}
		end--
	}
}

func (p *linkPage) overview(r screen.Rect, l *adminpb.ConsoleLink) {
	y := stateLines(r, l)
	seen, _ := p.buckets.Counts()
	numbers := linkNumbers(l, r.W-2)
	if seen == 0 {
		seen = len(p.service.GetServes())
	}
	rows := min(max(seen, 1), max((r.H-y)/4, 1)) + 1
	charts := r.Sub(0, y, r.W, r.H-y-rows-len(numbers)-1)
	if charts.H < 6 { // too low for a chart: the room is the buckets'
		rows += max(charts.H, 0)
		charts = r.Sub(0, 0, 0, 0)
	}
	if p.m.wide() && charts.H > 0 {
		facts := charts.Sub(charts.W-46, 0, 46, charts.H)
		charts = charts.Sub(0, 0, charts.W-47, charts.H)
		p.history.render(charts.Box(""), l)
		p.facts(facts.Box("link"), l)
	} else {
		p.history.render(charts, l)
	}
	y = r.H - rows - len(numbers)
	for i, line := range numbers {
		r.Text(1, y-1+i, screen.Plain, screen.Truncate(line, r.W-2))
	}
	p.bucketList(r.Sub(0, r.H-rows, r.W, rows))
}

func (p *linkPage) bucketList(r screen.Rect) {
	seen, all := p.buckets.Counts()
	switch {
	case p.failed != nil && p.service == nil:
		prose(r, 1, 0, r.W-2, screen.Warn, reason(p.failed))
	case p.service == nil:
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
		if seen == 0 {
			r.Text(2, 1, screen.Dim, "nothing matches the filter")
		}
	}
}

// facts are the settings and the state of a link as lines of name and value.
func (p *linkPage) facts(r screen.Rect, l *adminpb.ConsoleLink) {
	yes := map[bool]string{true: "yes", false: "no"}
	or := func(s string) string {
		if s == "" {
			return unknown
		}
		return s
	}
	rows := [][2]string{
		{"route", l.GetRoute()},
		{"peer", or(l.GetPeerName())},
		{"remote", or(l.GetRemote())},
		{"enabled", yes[l.GetEnabled()]},
		{"connected", yes[l.GetConnected()]},
		{"lag target", span(l.GetLagTargetSeconds())},
	}
	if s := p.service; s != nil {
		rows = append(rows,
			[2]string{"direction", s.GetDirection()},
			[2]string{"replication", s.GetReplication()},
			[2]string{"connections", fmt.Sprintf("%d open of %d", s.GetStatus().GetConnections(), s.GetConnections())},
			[2]string{"mode", or(s.GetStatus().GetMode())},
			[2]string{"io errors", fmt.Sprintf("%d here, %d there, %d network", s.GetStatus().GetLocalIoErrors(), s.GetStatus().GetRemoteIoErrors(), s.GetStatus().GetNetworkErrors())},
		)
	}
	rows = append(rows, [2]string{"serves", fmt.Sprint(len(l.GetServes()))})
	for _, s := range l.GetServes() {
		rows = append(rows, [2]string{"", s})
	}
	for y, row := range rows {
		r.Text(1, y, screen.Dim, row[0])
		r.Text(14, y, screen.Plain, screen.Truncate(row[1], r.W-15))
	}
}

func (p *linkPage) config(r screen.Rect, l *adminpb.ConsoleLink) { p.facts(r.Sub(0, 1, r.W, r.H-1), l) }
