package tui

import (
	tea "github.com/charmbracelet/bubbletea"
)

// filterable is a page whose list can be filtered.
type filterable interface {
	SetFilter(s string)
	Filter() string
	Counts() (seen, all int)
}

// listed is a page with such a list.
type listed interface{ list() filterable }

// listSeen is the list of the page that is seen, or nil.
func (m *Model) listSeen() filterable {
	if l, ok := m.seen().(listed); ok {
		return l.list()
	}
	return nil
}

// modal is a page that has all the keys for a while.
type modal interface{ modal() bool }

// bindings are all keys that work here, now. Keys that are typed as text are
// not among them.
func (m *Model) bindings() []binding {
	if d := m.top(); d != nil {
		return d.bindings()
	}
	if m.filter != nil {
		return m.filterBindings()
	}
	if p, ok := m.seen().(modal); ok && p.modal() {
		return m.seen().bindings()
	}
	return append(m.seen().bindings(), m.everywhere()...)
}

// everywhere are the keys that work on every page.
func (m *Model) everywhere() []binding {
	var out []binding
	if l := m.listSeen(); l != nil {
		out = append(out, binding{keys: []string{"/"}, short: "filter", long: "filter the list", do: func() tea.Cmd {
			m.filter = newInput(l.Filter(), false)
			return nil
		}})
	}
	if !m.choose {
		for i := range m.root {
			out = append(out, binding{keys: []string{string(rune('1' + i))}, long: "page " + pageNames[i], group: "1-7", as: "the pages", do: func() tea.Cmd { return m.turn(i) }})
		}
		mode := "read-only mode"
		if m.readOnly.Load() {
			mode = "end read-only mode"
		}
		out = append(out,
			binding{keys: []string{"r"}, long: "refresh", do: func() tea.Cmd { return m.refresh() }},
			binding{keys: []string{"ctrl+t"}, long: mode, do: func() tea.Cmd {
				m.readOnly.Store(!m.readOnly.Load())
				m.say(map[bool]string{true: "read-only: nothing can be changed from here", false: "changes are possible again"}[m.readOnly.Load()])
				return nil
			}},
			binding{keys: []string{"ctrl+o"}, long: "choose another site", do: func() tea.Cmd { m.choose = true; return nil }},
		)
	}
	out = append(out,
		binding{keys: []string{":"}, short: "command", long: "find a command", do: func() tea.Cmd { m.push(newPalette(m, m.bindings())); return nil }},
		m.help(),
	)
	switch {
	case m.choose && m.snapshot != nil:
		out = append(out, binding{keys: []string{"esc"}, short: "back", long: "back to the site", do: func() tea.Cmd { m.choose = false; return nil }})
	case !m.choose && len(m.above) > 0:
		out = append(out, binding{keys: []string{"esc"}, short: "back", long: "back", do: func() tea.Cmd {
			m.up(len(m.above) - 1)
			return m.reload()
		}})
	default:
		if l := m.listSeen(); l != nil && l.Filter() != "" {
			out = append(out, binding{keys: []string{"esc"}, short: "show all", long: "show the whole list", do: func() tea.Cmd { l.SetFilter(""); return nil }})
		}
		out = append(out, binding{keys: []string{"q"}, short: "quit", long: "quit", do: func() tea.Cmd { return m.quit() }})
	}
	return append(out, m.always()...)
}

// help shows the keys that work where one is.
func (m *Model) help() binding {
	return binding{keys: []string{"?"}, short: "help", long: "the keys that work here", do: func() tea.Cmd {
		m.push(&helpDialog{m: m, keys: m.bindings(), page: m.seen().crumbs()})
		return nil
	}}
}

// helpIn shows the keys that work in a dialog in which nothing is typed.
func (m *Model) helpIn(title string) binding {
	b := m.help()
	b.do = func() tea.Cmd {
		m.push(&helpDialog{m: m, keys: append(m.bindings(), m.always()...), page: []string{title}})
		return nil
	}
	return b
}

// always are the keys that work wherever one is.
func (m *Model) always() []binding {
	return []binding{
		{keys: []string{"ctrl+c"}, long: "quit from everywhere", do: func() tea.Cmd { return m.quit() }},
		{keys: []string{"ctrl+z"}, long: "suspend; fg comes back", do: func() tea.Cmd { return tea.Suspend }},
		{keys: []string{"ctrl+l"}, long: "draw the screen anew", do: func() tea.Cmd { return tea.ClearScreen }},
	}
}

// refresh shows the newest snapshot at once and asks again for the rest.
func (m *Model) refresh() tea.Cmd {
	if m.waiting != nil {
		return m.adopt()
	}
	m.conn.resume = m.now // try again now, if there is no connection
	m.outdate()
	return tea.Batch(m.reconnect(m.now), m.reload())
}

// filterBindings are the keys while a filter is typed: everything else is text.
func (m *Model) filterBindings() []binding {
	end := func(keep bool) func() tea.Cmd {
		return func() tea.Cmd {
			if !keep {
				m.filter.set("")
				m.filtered()
			}
			m.filter = nil
			return nil
		}
	}
	move := func(n int) func() tea.Cmd {
		return func() tea.Cmd {
			if s, ok := m.listSeen().(scroller); ok {
				s.Move(n)
			}
			return nil
		}
	}
	return []binding{
		{keys: []string{"enter"}, short: "keep the filter", long: "keep the filter", do: end(true)},
		{keys: []string{"esc"}, short: "show all", long: "show all", do: end(false)},
		{keys: []string{"down"}, long: "down", do: move(1)},
		{keys: []string{"up"}, long: "up", do: move(-1)},
	}
}

// filtered applies the filter as it is typed.
func (m *Model) filtered() {
	if l := m.listSeen(); l != nil && m.filter != nil {
		l.SetFilter(m.filter.text())
	}
}

// changing makes a binding that opens a change: it says why when nothing can
// be changed.
func (m *Model) changing(key, short, long string, do func() tea.Cmd) binding {
	return binding{keys: []string{key}, short: short, long: long, off: m.forbidden(), do: do}
}
