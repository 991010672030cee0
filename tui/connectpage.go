package tui

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/tui/screen"
	"edgefog.dev/isgw/tui/table"
)

// connectPage chooses a site, and shows each attempt to reach one of its nodes
// with the reason why it failed.
type connectPage struct {
	m        *Model
	profiles *table.Table[Profile]
}

func newConnectPage(m *Model) *connectPage {
	p := &connectPage{m: m, profiles: table.New(
		func(p Profile) string { return p.Name },
		func(p Profile) string { return p.Name + " " + p.addresses() },
		table.Column[Profile]{Title: "PROFILE", Width: 12, Flex: true, Draw: table.Text(false, func(p Profile) (string, screen.Role) { return p.Name, screen.Plain })},
		table.Column[Profile]{Title: "NODES", Width: 20, Flex: true, Draw: table.Text(false, func(p Profile) (string, screen.Role) {
			if len(p.Endpoints) == 0 {
				return unknown, screen.Dim
			}
			text := strings.TrimPrefix(p.Endpoints[0].label(), "https://")
			if more := len(p.Endpoints) - 1; more > 0 {
				text += fmt.Sprintf(" +%d", more)
			}
			return text, screen.Plain
		})},
		table.Column[Profile]{Title: "LAST SEEN", Width: 10, Priority: 2, Draw: table.Text(false, func(p Profile) (string, screen.Role) {
			if m.conn.live && m.conn.profile == p.Name {
				return "now", screen.Plain
			}
			return ago(p.Seen, m.shown), screen.Dim
		})},
		table.Column[Profile]{Title: "STATE", Width: 24, Flex: true, Draw: table.Text(false, m.profileState)},
	)}
	return p
}

// ago writes when something was, for people.
func ago(at, now time.Time) string {
	switch d := now.Sub(at); {
	case at.IsZero():
		return "never"
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return at.UTC().Format("2006-01-02")
}

func (m *Model) profileState(p Profile) (string, screen.Role) {
	c := &m.conn
	switch {
	case p.Fault != "":
		return "X  " + p.Fault, screen.Bad
	case c.profile != p.Name:
		return unknown, screen.Dim
	case c.live:
		return "ok connected", screen.Good
	case len(c.tries) > 0:
		text := ".. trying " + c.upcoming().short()
		if len(c.nodes) > 1 {
			text += fmt.Sprintf(" (%d/%d)", c.current+1, len(c.nodes))
		}
		return text, screen.Dim
	case slices.ContainsFunc(c.attempts, func(a attempt) bool { return a.refused }):
		return "X  refused", screen.Bad // a wrong authority, or who calls is not known
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

func (p *connectPage) refresh() { p.profiles.SetRows(p.m.opts.Profiles) }

func (p *connectPage) bindings() []binding {
	out := moving(p.profiles)
	selected, ok := p.profiles.Selected()
	if ok {
		out = append(out, binding{keys: []string{"enter"}, short: "connect", long: "connect", off: selected.Fault, do: func() tea.Cmd {
			for i, q := range p.m.opts.Profiles {
				if q.Name == selected.Name {
					return p.m.useProfile(i)
				}
			}
			return nil
		}})
	}
	off := ""
	if p.m.opts.Keeper == nil {
		off = errNoKeeper.Error()
	}
	out = append(out, binding{keys: []string{"a"}, short: "add", long: "add a profile", off: off, do: func() tea.Cmd { p.m.push(newProfileForm(p.m, nil)); return nil }})
	if !ok {
		return out
	}
	if off == "" && !selected.Kept {
		off = selected.Name + " is from the command line and is not kept; a keeps a profile"
	}
	return append(out,
		binding{keys: []string{"e"}, short: "edit", long: "edit the profile", off: off, do: func() tea.Cmd { p.m.push(newProfileForm(p.m, &selected)); return nil }},
		binding{keys: []string{"d"}, short: "forget", long: "forget the profile", off: off, do: func() tea.Cmd { p.m.forgetProfile(selected); return nil }},
	)
}

func (p *connectPage) render(r screen.Rect) {
	y := prose(r, 2, 1, r.W-4, screen.Plain, "Connect to a node of a site. If it goes away, the next one of the profile is tried.") + 1
	if len(p.m.opts.Profiles) == 0 {
		y = prose(r, 2, y, r.W-4, screen.Plain, "No profiles yet. A profile is how to reach a site: an address, what to trust, and who you are. a adds one.")
		prose(r, 2, y, r.W-4, screen.Dim, "isgwctl profile add NAME --connect https://HOST:PORT --fingerprint HEX --token-file FILE")
		return
	}
	rows := min(len(p.m.opts.Profiles), max((r.H-y)/3, 1)) + 1
	p.profiles.Render(r.Sub(0, y, r.W, rows))
	y += rows + 1
	if p.m.opts.Keeper != nil && r.H-y > 8 {
		x := r.Text(2, y, screen.Key, "a")
		r.Text(x+2, y, screen.Dim, "add a profile (address, CA or fingerprint, token or client certificate)")
		y += 2
	}
	if p.m.conn.profile != "" {
		p.attempts(r, y)
	}
}

// attempts shows what became of the last try of each node.
func (p *connectPage) attempts(r screen.Rect, y int) {
	c := &p.m.conn
	title := "Trying "
	if c.live {
		title = "Nodes of "
	}
	r.Text(2, y, screen.Title, title+c.profile)
	y++
	glyphs := map[string]struct {
		glyph string
		role  screen.Role
	}{"queued": {"  ", screen.Dim}, "trying": {"..", screen.First}, "ok": {"ok", screen.Good}, "failed": {"X ", screen.Bad}}
	name := 8
	for _, n := range c.nodes {
		name = min(max(name, screen.Width(n.short())), r.W/3)
	}
	for i, n := range c.nodes {
		a := c.attempts[i]
		g := glyphs[a.word]
		text := a.why
		switch a.word {
		case "queued":
			text = "queued"
		case "trying":
			if text = a.step.doing(); a.step == stepDial && a.why != "" {
				text = a.why // to be read while it is tried again and again
			}
		case "ok":
			text = "connected"
		}
		r.Fit(4, y, name, screen.Plain, n.short())
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
	how := " --profile " + c.profile
	if selected, ok := p.profiles.Selected(); ok && !selected.Kept {
		how = " with the same --connect"
	}
	prose(r, 2, y+1, r.W-4, screen.Dim, "Stuck? isgwctl doctor"+how+" prints every step with its reason.")
}

func milliseconds(d time.Duration) string {
	if d >= 10*time.Second {
		return span(d.Seconds())
	}
	return fmt.Sprintf("%.0fms", math.Max(float64(d)/float64(time.Millisecond), 1))
}
