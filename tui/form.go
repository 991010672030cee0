package tui

import (
	"fmt"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/tui/screen"
)

// field is one line of a form: a text or a choice.
type field struct {
	label   string
	help    string
	input   *input
	choices []string
	chosen  int
}

// form asks for the parts of a change. Enter goes on to the next field, and
// from the last one to the plan; nothing is changed before that.
type form struct {
	m      *Model
	title  string
	fields []*field
	focus  int
	fault  string
	done   string // what the last enter does; empty: it reviews the plan
	note   string // at the bottom; empty: that nothing is changed yet
	submit func() tea.Cmd

	loading bool                   // what the fields are to show has not come yet
	show    func(*adminpb.Service) // makes the fields of what came
}

func (f *form) value(i int) string {
	if fl := f.fields[i]; fl.input == nil {
		return fl.choices[fl.chosen]
	}
	return f.fields[i].input.text()
}

// refuse says what is wrong with a field.
func (f *form) refuse(i int, why string) tea.Cmd {
	f.focus, f.fault = i, why
	return nil
}

func (f *form) bindings() []binding {
	cancel := binding{keys: []string{"esc"}, short: "cancel", long: "cancel: nothing was changed", do: func() tea.Cmd { f.m.pop(); return nil }}
	if f.loading {
		return []binding{cancel}
	}
	move := func(n int) func() tea.Cmd {
		return func() tea.Cmd {
			f.focus, f.fault = (f.focus+n+len(f.fields))%len(f.fields), ""
			return nil
		}
	}
	review := func() tea.Cmd { f.fault = ""; return f.submit() }
	done := f.done
	if done == "" {
		done = "review the plan"
	}
	enter := binding{keys: []string{"enter"}, short: "next field", long: "the next field", do: move(1)}
	if f.focus == len(f.fields)-1 {
		enter = binding{keys: []string{"enter"}, short: done, long: done, do: review}
	}
	out := []binding{
		enter,
		{keys: []string{"tab", "down"}, long: "the next field", do: move(1)},
		{keys: []string{"shift+tab", "up"}, long: "the field before", do: move(-1)},
	}
	if f.focus < len(f.fields)-1 {
		out = append(out, binding{keys: []string{"ctrl+s"}, short: done, long: done, do: review})
	}
	if fl := f.fields[f.focus]; fl.input == nil {
		pick := func(n int) func() tea.Cmd {
			return func() tea.Cmd { fl.chosen = (fl.chosen + n + len(fl.choices)) % len(fl.choices); return nil }
		}
		out = append(out,
			binding{keys: []string{"right", " ", "l"}, short: "choose", long: "the next choice", do: pick(1)},
			binding{keys: []string{"left", "h"}, long: "the choice before", do: pick(-1)})
	}
	return append(out, cancel)
}

func (f *form) typed(msg tea.KeyMsg) tea.Cmd {
	if f.loading {
		return nil
	}
	if in := f.fields[f.focus].input; in != nil {
		f.m.edit(in, msg)
	}
	return nil
}

func (f *form) render(r screen.Rect) {
	spaced := 1
	if r.H >= len(f.fields)*2+8 {
		spaced = 2
	}
	box := centred(r, 78, len(f.fields)*spaced+8).Box(f.title)
	if f.loading {
		box.Text(1, 0, screen.Dim, ".. loading")
		return
	}
	// What has no room is above or below, and the field with the focus is seen.
	seen := min(max((box.H-4)/spaced, 1), len(f.fields))
	top := max(f.focus-seen+1, 0)
	if seen < len(f.fields) {
		box.Right(box.W-2, 0, screen.Dim, fmt.Sprintf("%d of %d", f.focus+1, len(f.fields)))
	}
	for i, fl := range f.fields[top : top+seen] {
		f.renderField(box, 1+i*spaced, fl, top+i == f.focus)
	}
	y := 1 + seen*spaced
	text, role := f.fields[f.focus].help, screen.Dim
	if f.fault != "" {
		text, role = "X  "+f.fault, screen.Bad
	}
	for i, line := range bothEnds(text, box.W-5, max(box.H-1-y, 1)) {
		box.Text(3, y+i, role, line)
	}
	note := f.note
	if note == "" {
		note = "nothing is changed before you apply the plan"
	}
	box.Text(3, box.H-1, screen.Dim, screen.Truncate(note, box.W-5))
}

// renderField draws one field in a line.
func (f *form) renderField(box screen.Rect, y int, fl *field, focus bool) {
	role := screen.Dim
	if focus {
		role = screen.Strong
		box.Text(1, y, screen.Accent, "▸")
	}
	box.Text(3, y, role, fl.label)
	const at = 17
	if fl.input != nil {
		fl.input.render(box, at, y, box.W-at-2, focus)
		return
	}
	x := at
	if all := strings.Join(fl.choices, "   "); screen.Width(all)+4 > box.W-at { // no room for all of them
		x = box.Text(x, y, screen.Accent, "["+fl.choices[fl.chosen]+"]")
		box.Text(x+1, y, screen.Dim, fmt.Sprintf("%d of %d", fl.chosen+1, len(fl.choices)))
		return
	}
	for n, c := range fl.choices {
		if n == fl.chosen {
			x = box.Text(x, y, screen.Accent, "["+c+"]")
		} else {
			x = box.Text(x, y, screen.Dim, " "+c+" ")
		}
		x++
	}
}

// picker chooses one of several names by typing a part of it.
type picker struct {
	m      *Model
	title  string
	all    []string
	found  []string
	free   bool // what is typed counts when nothing matches it
	query  *input
	cursor int
	failed error
	pick   func(string) tea.Cmd
}

func newPicker(m *Model, title string, all []string, free bool, pick func(string) tea.Cmd) *picker {
	p := &picker{m: m, title: title, all: slices.Clone(all), free: free, query: newInput("", false), pick: pick}
	p.search()
	return p
}

func (p *picker) add(name string) {
	if !slices.Contains(p.all, name) {
		p.all = append(p.all, name)
	}
}

// search keeps the cursor on the name that it was on, if that is still there.
func (p *picker) search() {
	was := ""
	if p.cursor < len(p.found) {
		was = p.found[p.cursor]
	}
	p.found = nil
	needle := strings.ToLower(p.query.text())
	for _, name := range p.all {
		if strings.Contains(strings.ToLower(name), needle) {
			p.found = append(p.found, name)
		}
	}
	p.cursor = max(slices.Index(p.found, was), 0)
}

// choice is what enter takes.
func (p *picker) choice() string {
	if p.cursor < len(p.found) {
		return p.found[p.cursor]
	}
	if p.free {
		return strings.TrimSpace(p.query.text())
	}
	return ""
}

func (p *picker) bindings() []binding {
	move := func(n int) func() tea.Cmd {
		return func() tea.Cmd { p.cursor = max(min(p.cursor+n, len(p.found)-1), 0); return nil }
	}
	off := ""
	if p.choice() == "" {
		off = "there is nothing to choose yet"
	}
	return []binding{
		{keys: []string{"enter"}, short: "choose", long: "choose", off: off, do: func() tea.Cmd { return p.pick(p.choice()) }},
		{keys: []string{"down", "ctrl+n"}, long: "down", do: move(1)},
		{keys: []string{"up", "ctrl+p"}, long: "up", do: move(-1)},
		{keys: []string{"esc"}, short: "cancel", long: "cancel", do: func() tea.Cmd { p.m.pop(); return nil }},
	}
}

func (p *picker) typed(msg tea.KeyMsg) tea.Cmd {
	p.m.edit(p.query, msg)
	p.search()
	return nil
}

func (p *picker) render(r screen.Rect) {
	box := centred(r, 70, min(max(len(p.all), 4)+5, 20)).Box(p.title)
	x := box.Text(1, 0, screen.Key, "/")
	p.query.render(box, x, 0, box.W-x-1, true)
	rows := box.H - 1
	top := max(p.cursor-rows+1, 0)
	for i := top; i < min(len(p.found), top+rows); i++ {
		role := screen.Plain
		if i == p.cursor {
			role = screen.Selected
			box.Text(1, i-top+1, screen.Accent, "▸")
		}
		box.Text(3, i-top+1, role, screen.Truncate(p.found[i], box.W-4))
	}
	switch {
	case p.failed != nil:
		prose(box, 1, 1, box.W-2, screen.Warn, "! the list did not come, type the path: "+reason(p.failed))
	case len(p.found) == 0 && p.free && p.query.text() != "":
		box.Text(1, 1, screen.Dim, screen.Truncate("enter takes it as it is typed", box.W-2))
	case len(p.found) == 0:
		box.Text(1, 1, screen.Dim, screen.Truncate("type NAMESPACE/TENANT/bucket", box.W-2))
	}
}
