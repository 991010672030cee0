package tui

import (
	"context"
	"fmt"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin/manifest"
	"edgefog.dev/isgw/tui/screen"
)

// viewer shows a text that is longer than the screen: an object as a command
// prints it.
type viewer struct {
	m       *Model
	title   string
	file    string // the name that x saves it as
	command string // that prints the same

	lines  []string // nil until the text came
	failed error
	top    int
	height int
}

// viewLink shows a link as isgwctl service show -s -o yaml prints it.
func (m *Model) viewLink(name string) tea.Cmd {
	v := &viewer{m: m, title: name + " as YAML", file: "link-" + fileName(name) + ".yaml", command: "isgwctl service show " + name + " -s -o yaml"}
	m.push(v)
	ask := func(ctx context.Context, node Node) (string, error) {
		service, err := node.Service(ctx, name)
		if err != nil {
			return "", err
		}
		return manifest.YAML(service)
	}
	return call(m, new(int), ask, func(text string, err error) tea.Cmd {
		if v.failed = err; err == nil {
			v.lines = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		}
		return nil
	})
}

// fileName is a name with nothing in it that means something in a path.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, name)
}

// Move, Page, First and Last make it a list that moves.
func (v *viewer) Move(n int) { v.top = max(min(v.top+n, len(v.lines)-v.height), 0) }

// Page is how many lines are seen.
func (v *viewer) Page() int { return v.height }

// First shows the beginning.
func (v *viewer) First() { v.top = 0 }

// Last shows the end.
func (v *viewer) Last() { v.Move(len(v.lines)) }

func (v *viewer) bindings() []binding {
	out := moving(v)
	if len(v.lines) > v.height {
		out[0].short = "down"
		out[1].short = "up"
	}
	if v.lines != nil {
		text := strings.Join(v.lines, "\n") + "\n"
		out = append(out,
			binding{keys: []string{"y"}, short: "copy command", long: "copy the command that prints it", do: func() tea.Cmd { return v.m.copy(v.command) }},
			binding{keys: []string{"x"}, short: "save", long: "write it to a file", do: func() tea.Cmd { return v.m.save(v.file, text) }},
		)
	}
	return append(out, binding{keys: []string{"esc", "q", "v"}, short: "back", long: "back", do: func() tea.Cmd { v.m.pop(); return nil }})
}

func (v *viewer) typed(tea.KeyMsg) tea.Cmd { return nil }

func (v *viewer) render(r screen.Rect) {
	outer := centred(r, 110, r.H)
	box := outer.Box(screen.Truncate(v.title, outer.W-24))
	v.height = max(box.H, 1)
	v.Move(0)
	switch {
	case v.failed != nil:
		prose(box, 1, 1, box.W-2, screen.Bad, "X  "+reason(v.failed))
		return
	case v.lines == nil:
		box.Text(1, 1, screen.Dim, ".. loading")
		return
	}
	for y, line := range v.lines[v.top:min(len(v.lines), v.top+v.height)] {
		key, value, ok := strings.Cut(line, ": ")
		if !ok {
			box.Text(1, y, screen.Plain, screen.Truncate(line, box.W-2))
			continue
		}
		x := box.Text(1, y, screen.Dim, screen.Truncate(key+":", box.W-2))
		box.Text(x+1, y, screen.Plain, screen.Truncate(value, box.W-2-x))
	}
	if n := len(v.lines); n > v.height {
		outer.Right(outer.W-2, 0, screen.Dim, fmt.Sprintf(" %d-%d of %d ", v.top+1, min(v.top+v.height, n), n))
	}
}
