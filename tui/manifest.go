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
// prints it, or all that is known of a row of a list.
type viewer struct {
	m       *Model
	title   string
	file    string // the name that x saves it as; empty: it is not saved
	command string // that prints the same

	lines  []string // nil until the text came
	ask    func() tea.Cmd
	asked  asked
	failed error

	rows   []viewedRow // lines as they are broken for a width, 0: not yet
	width  int
	top    int
	height int
}

// viewedRow is a row of a viewer: the name of what is on it, and the rest.
type viewedRow struct{ name, text string }

// fold breaks the lines into rows of w cells. What goes on in another row is indented
// more than where it began.
func (v *viewer) fold(w int) {
	if v.width == w {
		return
	}
	v.rows, v.width = nil, w
	for _, line := range v.lines {
		indent := min(len(line)-len(strings.TrimLeft(line, " "))+2, w/4)
		parts := []string{line}
		if screen.Width(line) > w {
			parts = screen.Fold(line, w-indent)
		}
		named := strings.Index(parts[0], ": ") + 1 // how much of it is a name
		v.rows = append(v.rows, viewedRow{parts[0][:named], parts[0][named:]})
		for _, part := range parts[1:] {
			v.rows = append(v.rows, viewedRow{"", strings.Repeat(" ", indent) + part})
		}
	}
}

// see shows all that is known of a row of a list. Names of what is empty are left out.
func (m *Model) see(title, command string, facts [][2]string) {
	v := &viewer{m: m, title: title, command: command, lines: []string{}}
	for _, fact := range facts {
		if fact[1] != "" {
			v.lines = append(v.lines, fact[0]+": "+fact[1])
		}
	}
	m.push(v)
}

// viewLink shows a link as isgwctl service show -s -o yaml prints it.
func (m *Model) viewLink(name string) tea.Cmd {
	v := &viewer{m: m, title: name + " as YAML", file: "link-" + fileName(name) + ".yaml", command: "isgwctl service show " + name + " -s -o yaml"}
	m.push(v)
	ask := func(ctx context.Context, node Node) (string, error) {
		service, err := node.Service(ctx, name, true)
		if err != nil {
			return "", err
		}
		return manifest.YAML(service)
	}
	v.ask = func() tea.Cmd {
		v.failed = nil
		return call(m, &v.asked, ask, func(text string, err error) tea.Cmd {
			if v.failed = err; err == nil {
				v.lines, v.width = strings.Split(strings.TrimSuffix(text, "\n"), "\n"), 0
			}
			return nil
		})
	}
	return v.ask()
}

// leave ends the call under way.
func (v *viewer) leave() { v.asked.leave() }

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
func (v *viewer) Move(n int) { v.top = max(min(v.top+n, len(v.rows)-v.height), 0) }

// Page is how many lines are seen.
func (v *viewer) Page() int { return v.height }

// First shows the beginning.
func (v *viewer) First() { v.top = 0 }

// Last shows the end.
func (v *viewer) Last() { v.Move(len(v.rows)) }

func (v *viewer) bindings() []binding {
	out := moving(v)
	if len(v.rows) > v.height {
		out[0].short = "down"
		out[1].short = "up"
	}
	if v.lines != nil {
		out = append(out, binding{keys: []string{"y"}, short: "copy command", long: "copy the command that prints it", do: func() tea.Cmd { return v.m.copy(v.command) }})
	}
	if v.lines != nil && v.file != "" {
		out = append(out, binding{keys: []string{"x"}, short: "save", long: "write it to a file", do: func() tea.Cmd {
			return v.m.save(v.file, strings.Join(v.lines, "\n")+"\n")
		}})
	}
	if v.failed != nil {
		out = append(out, binding{keys: []string{"r"}, short: "ask again", long: "ask again", do: v.ask}, v.m.copyingFailure("y", v.failed))
	}
	return append(out, v.m.helpIn(v.title), binding{keys: []string{"esc", "q", "v"}, short: "back", long: "back", do: func() tea.Cmd { v.m.pop(); return nil }})
}

func (v *viewer) typed(tea.KeyMsg) tea.Cmd { return nil }

func (v *viewer) render(r screen.Rect) {
	outer := centred(r, 110, r.H)
	box := outer.Box(screen.Truncate(v.title, outer.W-24))
	v.height = max(box.H, 1)
	v.fold(box.W - 2)
	v.Move(0)
	switch {
	case v.failed != nil:
		drawFailure(box, 1, v.failed)
		return
	case v.lines == nil:
		box.Text(1, 1, screen.Dim, ".. loading")
		return
	}
	for y, row := range v.rows[v.top:min(len(v.rows), v.top+v.height)] {
		box.Text(box.Text(1, y, screen.Dim, row.name), y, screen.Plain, row.text)
	}
	if n := len(v.rows); n > v.height {
		outer.Right(outer.W-2, 0, screen.Dim, fmt.Sprintf(" %d-%d of %d ", v.top+1, min(v.top+v.height, n), n))
	}
}
