package tui

import (
	"fmt"
	"math"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/tui/screen"
	"edgefog.dev/isgw/tui/table"
)

// connectPage chooses a site, and shows each attempt to reach one of its nodes
// with the reason why it failed.
type connectPage struct {
	m        *Model
	profiles *table.Table[int] // indices of Options.Profiles
}

func newConnectPage(m *Model) *connectPage {
	profile := func(i int) Profile { return m.opts.Profiles[i] }
	p := &connectPage{m: m, profiles: table.New(
		func(i int) string { return fmt.Sprint(i) },
		func(i int) string { return profile(i).Name },
		table.Column[int]{Title: "PROFILE", Width: 12, Flex: true, Draw: table.Text(false, func(i int) (string, screen.Role) { return profile(i).Name, screen.Plain })},
		table.Column[int]{Title: "NODES", Width: 26, Flex: true, Draw: table.Text(false, func(i int) (string, screen.Role) {
			nodes := profile(i).Endpoints
			switch len(nodes) {
			case 0:
				return "none", screen.Dim
			case 1:
				return nodes[0].label(), screen.Plain
			}
			return fmt.Sprintf("%s +%d", nodes[0].label(), len(nodes)-1), screen.Plain
		})},
		table.Column[int]{Title: "STATE", Width: 16, Flex: true, Draw: table.Text(false, m.profileState)},
	)}
	rows := make([]int, len(m.opts.Profiles))
	for i := range rows {
		rows[i] = i
	}
	p.profiles.SetRows(rows)
	return p
}

func (m *Model) profileState(i int) (string, screen.Role) {
	c := &m.conn
	switch {
	case c.profile != i:
		return unknown, screen.Dim
	case c.live:
		return "ok connected", screen.Good
	case c.cancel != nil:
		return fmt.Sprintf(".. trying %s (%d/%d)", c.upcoming().short(), c.current+1, len(c.nodes)), screen.Dim
	}
	return "X  no node answers", screen.Bad
}

func (p *connectPage) crumbs() []string {
	version := p.m.opts.Version
	if version == "" {
		version = "connect"
	}
	return []string{version}
}

func (p *connectPage) refresh() {}

func (p *connectPage) bindings() []binding {
	out := moving(p.profiles)
	if i, ok := p.profiles.Selected(); ok && len(p.m.opts.Profiles[i].Endpoints) > 0 {
		out = append(out, binding{keys: []string{"enter"}, short: "connect", long: "connect", do: func() tea.Cmd { return p.m.useProfile(i) }})
	}
	return out
}

func (p *connectPage) render(r screen.Rect) {
	y := prose(r, 2, 1, r.W-4, screen.Plain, "Connect to any node of any site. One address is enough.") + 1
	if len(p.m.opts.Profiles) == 0 {
		prose(r, 2, y, r.W-4, screen.Plain, "No node is named. isgwctl --connect unix:DIR/admin.sock names one, DIR being its data directory; ISGW_CONNECT does the same.")
		return
	}
	rows := min(len(p.m.opts.Profiles), max((r.H-y)/3, 1)) + 1
	p.profiles.Render(r.Sub(0, y, r.W, rows))
	y += rows + 1
	c := &p.m.conn
	if c.profile < 0 {
		return
	}
	r.Text(2, y, screen.Title, "Trying "+p.m.opts.Profiles[c.profile].Name)
	y++
	glyphs := map[string]struct {
		glyph string
		role  screen.Role
	}{"queued": {"  ", screen.Dim}, "trying": {"..", screen.First}, "ok": {"ok", screen.Good}, "failed": {"X ", screen.Bad}}
	name := 8
	for _, n := range c.nodes {
		name = min(max(name, screen.Width(n.label())), r.W/3)
	}
	for i, n := range c.nodes {
		a := c.attempts[i]
		g := glyphs[a.word]
		text := a.why
		switch a.word {
		case "queued":
			text = "queued"
		case "trying":
			text = "waiting for its first word"
		case "ok":
			text = "connected"
		}
		r.Fit(4, y, name, screen.Plain, n.label())
		r.Text(5+name, y, g.role, g.glyph)
		took := ""
		if a.took > 0 {
			took = milliseconds(a.took)
		}
		r.Right(r.W-2, y, screen.Dim, took)
		for _, line := range screen.Wrap(text, max(r.W-name-19, 10)) {
			r.Text(8+name, y, screen.Plain, line)
			y++
		}
	}
	y++
	prose(r, 2, y, r.W-4, screen.Dim, "Stuck? isgwctl system status with the same --connect says more.")
}

func milliseconds(d time.Duration) string {
	if d >= 10*time.Second {
		return span(d.Seconds())
	}
	return fmt.Sprintf("%.0fms", math.Max(float64(d)/float64(time.Millisecond), 1))
}
