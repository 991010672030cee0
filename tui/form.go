package tui

import (
	"context"
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

	asked   asked
	loading bool                   // what the fields are to show has not come yet
	show    func(*adminpb.Service) // makes the fields of what came
}

// leave ends the call under way.
func (f *form) leave() { f.asked.leave() }

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

// picker chooses one of several names by typing a part of it. What is typed can be
// chosen itself where it is free: it is the first row then, and one goes up to it.
type picker struct {
	m      *Model
	title  string
	all    []string // what is known to choose from
	found  []string // of those: they have what is typed in them; what is typed comes first
	free   bool     // names that are not among them can be typed
	typing bool     // what is typed is the first row
	chosen bool     // and the operator went to it
	query  *input
	cursor int
	pick   func(string) tea.Cmd

	ask    func(ctx context.Context, node Node, filter string) (Paths, error) // nil: all is known
	offer  func(paths []string) []string                                      // what is offered of them
	asked  asked
	got    bool
	filter string // that the last answer was for
	more   uint64 // how many the answer left out
	failed error
}

func newPicker(m *Model, title string, all []string, pick func(string) tea.Cmd) *picker {
	p := &picker{m: m, title: title, all: slices.Clone(all), query: newInput("", false), pick: pick}
	p.search()
	return p
}

// leave ends the call under way.
func (p *picker) leave() { p.asked.leave() }

// text is what is typed.
func (p *picker) text() string { return strings.TrimSpace(p.query.text()) }

// load asks the node for what has in it what is typed, unless all of that is known.
// One question is under way at a time.
func (p *picker) load() tea.Cmd {
	filter := p.text()
	known := p.got && p.failed == nil && (filter == p.filter || p.more == 0 && containsFold(filter, p.filter))
	if p.ask == nil || p.asked.waits() || known {
		return nil
	}
	ask := func(ctx context.Context, node Node) (Paths, error) { return p.ask(ctx, node, filter) }
	return call(p.m, &p.asked, ask, func(paths Paths, err error) tea.Cmd {
		if p.failed = err; err != nil {
			return nil // what is typed next asks again
		}
		p.got, p.filter, p.more = true, filter, paths.Matched-min(uint64(len(paths.First)), paths.Matched)
		p.all = p.offer(paths.First)
		p.search()
		return p.load() // more was typed meanwhile
	})
}

// containsFold says whether a text has another one in it, in letters of either case.
func containsFold(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
}

// search keeps the cursor on the name that it was on, if that is still there.
func (p *picker) search() {
	was := ""
	if p.cursor < len(p.found) {
		was = p.found[p.cursor]
	}
	text := p.text()
	p.typing = p.free && text != "" && !slices.Contains(p.all, text)
	p.found = nil
	if p.typing {
		p.found = []string{text}
	}
	for _, name := range p.all {
		if containsFold(name, text) {
			p.found = append(p.found, name)
		}
	}
	p.chosen = p.chosen && p.typing
	switch i := slices.Index(p.found, was); {
	case p.chosen || len(p.found) == 0:
		p.cursor = 0
	case slices.Contains(p.all, text): // the whole name is typed
		p.cursor = slices.Index(p.found, text)
	case i > 0 || i == 0 && !p.typing:
		p.cursor = i
	default:
		p.cursor = min(p.first(), len(p.found)-1)
	}
}

// first is the first row that is not what is typed.
func (p *picker) first() int {
	if p.typing {
		return 1
	}
	return 0
}

// choice is what enter takes.
func (p *picker) choice() string {
	if p.cursor < len(p.found) {
		return p.found[p.cursor]
	}
	return ""
}

func (p *picker) bindings() []binding {
	move := func(n int) func() tea.Cmd {
		return func() tea.Cmd {
			p.cursor = max(min(p.cursor+n, len(p.found)-1), 0)
			p.chosen = p.typing && p.cursor == 0
			return nil
		}
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
	return p.load()
}

func (p *picker) render(r screen.Rect) {
	height := min(len(p.all), 14) + 6
	if p.ask != nil {
		height = 20 // how much there is to choose from is not known
	}
	box := centred(r, 70, height).Box(p.title)
	x := box.Text(1, 0, screen.Key, "/")
	p.query.render(box, x, 0, box.W-x-1, true)
	notes, role := p.notes(box.W - 2)
	rows := max(box.H-1-len(notes), 1)
	top := max(p.cursor-rows+1, 0)
	for i := top; i < min(len(p.found), top+rows); i++ {
		role := screen.Plain
		if i == p.cursor {
			role = screen.Selected
			box.Text(1, i-top+1, screen.Accent, "▸")
		}
		room := box.W - 4
		const typed = "as it is typed"
		if p.typing && i == 0 {
			box.Right(box.W-1, 1-top, screen.Dim, typed)
			room -= len(typed) + 2
		}
		box.Text(3, i-top+1, role, screen.Truncate(p.found[i], room))
	}
	for i, line := range notes {
		box.Text(1, box.H-len(notes)+i, role, line)
	}
}

// notes are what is to be said below the rows.
func (p *picker) notes(w int) ([]string, screen.Role) {
	switch listed := len(p.found) - p.first(); {
	case p.failed != nil:
		return wrapped("! the list did not come, type the path: "+reason(p.failed), w, failureRows), screen.Warn
	case p.ask != nil && !p.got:
		return []string{".. asking which buckets there are"}, screen.Dim
	case p.more > 0:
		return wrapped(fmt.Sprintf("Not all are listed, %d more match: type more of the name.", p.more), w, 2), screen.Dim
	case listed > 0:
		return nil, screen.Dim
	case p.free:
		return wrapped("No other bucket has that in its path, NAMESPACE/TENANT/bucket.", w, 2), screen.Dim
	}
	return wrapped("None of the names has that in it.", w, 2), screen.Dim
}
