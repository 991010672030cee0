package tui

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/tui/screen"
)

// helpDialog lists exactly the keys that work on the page below it.
type helpDialog struct {
	m    *Model
	keys []binding
	page []string
	top  int
	room int
}

func (h *helpDialog) bindings() []binding {
	scroll := func(n int) func() tea.Cmd {
		return func() tea.Cmd { h.top += n; return nil } // render keeps it in bounds
	}
	return []binding{
		{keys: []string{"j", "down"}, long: "down", do: scroll(1)},
		{keys: []string{"k", "up"}, long: "up", do: scroll(-1)},
		{keys: []string{"esc", "?", "q"}, short: "back", long: "back", do: func() tea.Cmd { h.m.pop(); return nil }},
	}
}

func (h *helpDialog) typed(tea.KeyMsg) tea.Cmd { return nil }

func (h *helpDialog) render(r screen.Rect) {
	type line struct {
		keys, text string
		off        bool
	}
	var shown []line
	for i, b := range h.keys {
		switch {
		case b.long == "", b.group != "" && i > 0 && h.keys[i-1].group == b.group:
		case b.group != "":
			shown = append(shown, line{b.group, b.as, false})
		default:
			shown = append(shown, line{b.label(), b.long, b.off != ""})
		}
	}
	columns := 1
	if r.W >= 76 {
		columns = 2
	}
	lines := len(shown)
	if lines <= r.H-2 {
		columns = 1
	}
	lines = (lines + columns - 1) / columns
	outer := centred(r, 36*columns+12, lines+2)
	box := outer.Box("keys that work on " + strings.Join(h.page, " ▸ "))
	h.room = box.H
	h.top = max(min(h.top, lines-box.H), 0)
	width := box.W / columns
	for i, b := range shown {
		y := i%lines - h.top
		part := box.Sub(i/lines*width, 0, width, box.H)
		if y < 0 || y >= box.H {
			continue
		}
		role, text := screen.Key, screen.Plain
		if b.off {
			role, text = screen.Off, screen.Off
			if mark := "  not now"; screen.Width(h.m.spell(b.keys)+mark) <= 13 {
				b.keys += mark
			}
		}
		part.Text(1, y, role, screen.Truncate(h.m.spell(b.keys), 13))
		part.Text(15, y, text, screen.Truncate(b.text, part.W-15))
	}
	if lines > box.H {
		outer.Right(outer.W-2, outer.H-1, screen.Dim, " j k more ")
	}
}

// palette finds a command by its name and runs it.
type palette struct {
	m      *Model
	all    []binding
	query  *input
	found  []binding
	cursor int
}

func newPalette(m *Model, all []binding) *palette {
	p := &palette{m: m, query: newInput("", false)}
	for _, b := range all {
		if b.long != "" && b.keys[0] != ":" {
			p.all = append(p.all, b)
		}
	}
	p.search()
	return p
}

func (p *palette) search() {
	p.found, p.cursor = nil, 0
	words := strings.Fields(strings.ToLower(p.query.text()))
	for _, b := range p.all {
		all := true
		for _, w := range words {
			all = all && strings.Contains(strings.ToLower(b.long+" "+b.short), w)
		}
		if all {
			p.found = append(p.found, b)
		}
	}
}

func (p *palette) bindings() []binding {
	move := func(n int) func() tea.Cmd {
		return func() tea.Cmd { p.cursor = max(min(p.cursor+n, len(p.found)-1), 0); return nil }
	}
	return []binding{
		{keys: []string{"enter"}, short: "run", long: "run", do: p.run},
		{keys: []string{"down", "ctrl+n"}, long: "down", do: move(1)},
		{keys: []string{"up", "ctrl+p"}, long: "up", do: move(-1)},
		{keys: []string{"esc"}, short: "back", long: "back", do: func() tea.Cmd { p.m.pop(); return nil }},
	}
}

func (p *palette) run() tea.Cmd {
	p.m.pop()
	if p.cursor >= len(p.found) {
		return nil
	}
	b := p.found[p.cursor]
	if b.off != "" {
		p.m.notice, p.m.bad, p.m.noticeAt = b.off, true, p.m.now
		return nil
	}
	return b.do()
}

func (p *palette) typed(msg tea.KeyMsg) tea.Cmd {
	p.m.edit(p.query, msg)
	p.search()
	return nil
}

func (p *palette) render(r screen.Rect) {
	box := centred(r, 60, min(len(p.all)+3, 18)).Box("command")
	x := box.Text(1, 0, screen.Key, ":")
	p.query.render(box, x, 0, box.W-x-1, true)
	rows := box.H - 1
	top := max(p.cursor-rows+1, 0)
	for i := top; i < min(len(p.found), top+rows); i++ {
		b, y := p.found[i], i-top+1
		role := screen.Plain
		if b.off != "" {
			role = screen.Off
		}
		if i == p.cursor {
			box.Text(1, y, screen.Accent, "▸")
			if b.off == "" {
				role = screen.Selected
			}
		}
		box.Text(3, y, role, screen.Truncate(b.long, box.W-18))
		box.Right(box.W-1, y, screen.Dim, screen.Truncate(p.m.spell(b.label()), 14))
	}
	if len(p.found) == 0 {
		box.Text(3, 1, screen.Dim, "no command has these words in its name")
	}
}
