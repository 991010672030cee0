package tui

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

// binding is what a key does here. Footer, help and palette are made of
// bindings, and nothing else reacts to keys but text that is typed.
type binding struct {
	keys  []string // as tea.KeyMsg.String names them; the first is shown
	short string   // in the footer; empty: not there
	long  string   // in help and palette; empty: in neither
	off   string   // why it does not work now; empty: it does
	group string   // help has one line for neighbours of one group, with these keys
	as    string   // and this text
	do    func() tea.Cmd
}

// label is how the binding's keys are shown.
func (b binding) label() string {
	var out []string
	for _, k := range b.keys {
		out = append(out, keyName(k))
	}
	return strings.Join(out, " ")
}

func keyName(k string) string {
	switch k {
	case "enter":
		return "↵"
	case "up":
		return "↑"
	case "down":
		return "↓"
	case "left":
		return "←"
	case "right":
		return "→"
	case " ":
		return "space"
	}
	return strings.Replace(k, "ctrl+", "ctrl-", 1)
}

// spelled are the names of keys where there are no signs for them.
var spelled = strings.NewReplacer("↵", "enter", "↑", "up", "↓", "down", "←", "left", "→", "right")

// spell is a label of keys as this terminal can show it.
func (m *Model) spell(label string) string {
	if m.theme.ASCII {
		return spelled.Replace(label)
	}
	return label
}

// find returns the binding of a key.
func find(bindings []binding, key string) (binding, bool) {
	for _, b := range bindings {
		for _, k := range b.keys {
			if k == key {
				return b, true
			}
		}
	}
	return binding{}, false
}

// scroller is a list that moves.
type scroller interface {
	Move(n int)
	Page() int
	First()
	Last()
}

// moving are the bindings of a list.
func moving(s scroller) []binding {
	move := func(n func() int) func() tea.Cmd {
		return func() tea.Cmd { s.Move(n()); return nil }
	}
	fixed := func(n int) func() int { return func() int { return n } }
	return []binding{
		{keys: []string{"j", "down"}, long: "down", group: "j k ↓ ↑", as: "down, up", do: move(fixed(1))},
		{keys: []string{"k", "up"}, long: "up", group: "j k ↓ ↑", as: "down, up", do: move(fixed(-1))},
		{keys: []string{"ctrl+d", "pgdown"}, long: "a page down", group: "ctrl-d ctrl-u", as: "a page down, up", do: move(func() int { return max(s.Page()-1, 1) })},
		{keys: []string{"ctrl+u", "pgup"}, long: "a page up", group: "ctrl-d ctrl-u", as: "a page down, up", do: move(func() int { return -max(s.Page()-1, 1) })},
		{keys: []string{"g", "home"}, long: "to the first", group: "g G", as: "to the first, last", do: func() tea.Cmd { s.First(); return nil }},
		{keys: []string{"G", "end"}, long: "to the last", group: "g G", as: "to the first, last", do: func() tea.Cmd { s.Last(); return nil }},
	}
}
