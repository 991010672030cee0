package tui

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/tui/screen"
)

// planDialog shows a change as the node planned it: the only door to any
// change. It applies the plan that was seen and no other.
type planDialog struct {
	m        *Model
	title    string
	req      *adminpb.PlanRequest
	serial   int  // generation of the call under way, 0: none
	applying bool // it is one to apply the plan

	plan   *adminpb.Plan
	before map[string]bool // items of the plan that was overtaken
	moved  string          // why it was planned again
	failed error
	name   *input // what must be typed, where the plan needs it
	top    int
	page   int
}

// change asks the node to plan a change and shows the plan.
func (m *Model) change(title string, req *adminpb.PlanRequest) tea.Cmd {
	d := &planDialog{m: m, title: title, req: req}
	m.push(d)
	return d.ask()
}

func (d *planDialog) ask() tea.Cmd {
	d.failed = nil
	ask := func(ctx context.Context, node Node) (*adminpb.Plan, error) { return node.Plan(ctx, d.req) }
	return call(d.m, &d.serial, ask, func(plan *adminpb.Plan, err error) tea.Cmd {
		d.serial = 0
		if d.failed = err; err == nil {
			d.show(plan)
		}
		return nil
	})
}

func (d *planDialog) show(plan *adminpb.Plan) {
	d.plan, d.name = plan, nil
	if plan.GetNeedsTypedName() != "" {
		d.name = newInput("", false)
	}
}

func (d *planDialog) apply() tea.Cmd {
	d.failed, d.applying = nil, true
	req := &adminpb.ApplyRequest{Plan: d.plan}
	if d.name != nil {
		req.TypedName = d.name.text()
	}
	ask := func(ctx context.Context, node Node) (*adminpb.ApplyResponse, error) { return node.Apply(ctx, req) }
	return call(d.m, &d.serial, ask, d.applied)
}

// applied takes what became of the plan.
func (d *planDialog) applied(res *adminpb.ApplyResponse, err error) tea.Cmd {
	d.serial, d.applying = 0, false
	left := !slices.Contains(d.m.dialogs, dialog(d)) // meanwhile, so that it is told elsewhere
	switch {
	case err != nil && left:
		d.m.complain(fmt.Errorf("%s: %s", d.title, whyNotApplied(err)))
	case err != nil:
		d.failed = errors.New(whyNotApplied(err))
	case res.GetOutcome() == adminpb.ApplyResponse_OUTCOME_CONFLICT && left:
		d.m.complain(fmt.Errorf("%s: nothing was changed: %s", d.title, res.GetReason()))
	case res.GetOutcome() == adminpb.ApplyResponse_OUTCOME_CONFLICT:
		d.before = map[string]bool{}
		for _, line := range d.lines(80) {
			d.before[line.item] = true
		}
		d.moved = res.GetReason()
		d.show(res.GetPlan())
	default:
		if !left { // the form that led here is done as well
			d.m.dialogs = nil
		}
		if text, short := d.done(res); short {
			d.m.complain(errors.New(firstLine(text)))
		} else {
			d.m.say("ok: " + firstLine(text))
		}
		return d.m.reload()
	}
	return nil
}

// whyNotApplied is an error of applying a plan. Where no answer came, the node may
// have applied it all the same.
func whyNotApplied(err error) string {
	var failure *admin.Error
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) || !errors.As(err, &failure) {
		return reason(err)
	}
	switch failure.Code {
	case admin.CodeInterrupted, admin.CodeTimeout, admin.CodeUnavailable:
		return "it is not known whether it was applied: " + reason(err) + ". Applied again, it is done once."
	}
	return reason(err)
}

// done says what was done, and whether that is less than what was asked for.
func (d *planDialog) done(res *adminpb.ApplyResponse) (text string, short bool) {
	switch {
	case res.GetAgain():
		return d.title + ": it had been applied before, nothing was done twice", false
	case res.GetFaults() != nil:
		did, short := faultsDone(d.plan.GetChange(), res.GetFaults())
		if short && res.GetFaults().GetVersions() == 0 { // which names the key itself
			return did, short
		}
		return d.title + ": " + did, short
	}
	return d.title, false
}

// ready says whether the plan can be applied, and if not, why.
func (d *planDialog) ready() string {
	switch {
	case d.serial != 0:
		return "waiting for the node"
	case d.plan == nil:
		return "there is no plan to apply"
	case d.plan.GetBlocked():
		return "a check failed: the plan cannot be applied"
	case len(d.plan.GetWhat()) == 0:
		return "there is nothing to change"
	}
	if d.name != nil && d.name.text() != d.plan.GetNeedsTypedName() {
		return "type the name first: " + d.plan.GetNeedsTypedName()
	}
	return d.m.forbidden()
}

func (d *planDialog) bindings() []binding {
	scroll := func(n int) func() tea.Cmd {
		return func() tea.Cmd { d.top += n; return nil }
	}
	leave := binding{keys: []string{"esc"}, short: "cancel", long: "cancel: nothing was changed", do: func() tea.Cmd { d.serial = 0; d.m.pop(); return nil }}
	if d.applying { // the node has it: leaving takes nothing back
		leave.short, leave.long = "back", "back: what the node does is said later"
		leave.do = func() tea.Cmd { d.m.pop(); return nil }
	}
	out := []binding{
		{keys: []string{"down"}, long: "down", do: scroll(1)},
		{keys: []string{"up"}, long: "up", do: scroll(-1)},
	}
	apply, again, copied, saved := "a", "r", "y", "x"
	if d.name != nil { // letters are the name
		apply, again, copied, saved = "ctrl+s", "ctrl+r", "ctrl+y", "ctrl+x"
	}
	if d.plan != nil || d.failed == nil {
		out = append(out, binding{keys: []string{apply}, short: "apply", long: "apply the plan", off: d.ready(), do: d.apply})
	}
	if d.serial == 0 && (d.failed != nil || d.moved != "") {
		out = append(out, binding{keys: []string{again}, short: "plan again", long: "plan it again", do: d.ask})
	}
	if d.plan != nil {
		out = append(out,
			binding{keys: []string{copied}, short: "copy command", long: "copy the same as a command", do: func() tea.Cmd { return d.m.copy(d.plan.GetCommand()) }},
			binding{keys: []string{saved}, short: "save", long: "write the plan to a file", do: func() tea.Cmd { return d.m.save("plan.txt", d.plan.GetText()+"\n") }},
		)
	}
	return append(out, leave)
}

func (d *planDialog) typed(msg tea.KeyMsg) tea.Cmd {
	if d.name != nil && msg.String() != "enter" {
		d.m.edit(d.name, msg)
	}
	return nil
}

// planLine is one line of a plan on the screen.
type planLine struct {
	item  string // the whole of what it is a line of
	lead  string // kind and name, before the text
	text  string
	at    int    // where the text begins, after the lead
	mark  string // glyph or sign before it, drawn in role
	role  screen.Role
	plain screen.Role
}

func (d *planDialog) lines(w int) []planLine {
	p := d.plan
	var out []planLine
	add := func(mark string, role, plain screen.Role, lead, text string) {
		item, at := lead+text, screen.Width(lead)
		if at > w/2 { // a long name has a line to itself
			out = append(out, planLine{item: item, lead: screen.Truncate(lead, w-6), mark: mark, role: role, plain: plain})
			lead, mark, at = "", "", 10
		}
		for _, line := range screen.Wrap(text, max(w-6-at, 10)) {
			out = append(out, planLine{item, lead, line, at, mark, role, plain})
			lead, mark = "", ""
		}
	}
	head := func(text string) {
		if len(out) > 0 {
			out = append(out, planLine{})
		}
		out = append(out, planLine{text: text, plain: screen.Title})
	}
	head("WHAT WILL HAPPEN")
	signs := map[string]screen.Role{"+": screen.Good, "~": screen.Warn, "-": screen.Bad}
	for _, s := range p.GetWhat() {
		add(s.GetSign(), signs[s.GetSign()], screen.Plain, pad(s.GetKind(), 9)+pad(s.GetName(), 12), s.GetText())
	}
	if len(p.GetWhat()) == 0 {
		add("", screen.Plain, screen.Plain, "", "Nothing: it is so already.")
	}
	if len(p.GetChecks()) > 0 {
		head("CHECKS")
		for _, c := range p.GetChecks() {
			glyph, role := status(c.GetSeverity(), c.GetGlyph())
			add(glyph, role, screen.Plain, pad(c.GetName(), 9), c.GetText())
		}
	}
	if p.GetImpact() != "" {
		head("IMPACT")
		add("", screen.Plain, screen.Plain, "", p.GetImpact())
	}
	if p.GetUndo() != "" {
		head("UNDO")
		add("", screen.Plain, screen.Plain, "", p.GetUndo())
	}
	if p.GetCommand() != "" {
		head("THE SAME AS A COMMAND")
		add("", screen.Plain, screen.First, "", p.GetCommand())
	}
	return out
}

// pad fills a text with spaces to n cells and one more.
func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(n-screen.Width(s), 0)) + " "
}

func (d *planDialog) render(r screen.Rect) {
	outer := centred(r, 100, r.H)
	box := outer.Box(screen.Truncate(d.title, outer.W-20))
	if d.plan == nil {
		text, role := ".. the node plans it", screen.Dim
		if d.failed != nil {
			text, role = "X  "+reason(d.failed), screen.Bad
		}
		for i, line := range bothEnds(text, box.W-2, max(box.H-1, 1)) {
			box.Text(1, 1+i, role, line)
		}
		return
	}
	bottom := 0
	if d.name != nil {
		bottom = 2
	}
	y := 0
	if d.moved != "" {
		y = prose(box, 1, y, box.W-2, screen.Warn, "! something moved, and nothing was changed: "+d.moved+". This is the plan as it is now; new lines are marked.")
	}
	if d.failed != nil {
		for _, line := range bothEnds("X  "+reason(d.failed), box.W-2, max(box.H/2, 1)) {
			box.Text(1, y, screen.Bad, line)
			y++
		}
	}
	if d.serial != 0 {
		box.Text(1, y, screen.Dim, ".. waiting for the node")
		y++
	}
	lines := d.lines(box.W - 2)
	d.page = max(box.H-y-bottom, 1)
	d.top = max(min(d.top, len(lines)-d.page), 0)
	for i := range min(len(lines)-d.top, d.page) {
		line := lines[d.top+i]
		if d.before != nil && !d.before[line.item] {
			box.Text(0, y+i, screen.Warn, "▸")
		}
		indent := 5
		if line.plain == screen.Title {
			indent = 1
		}
		box.Text(2, y+i, line.role, line.mark)
		box.Text(indent, y+i, screen.Strong, line.lead)
		box.Text(indent+line.at, y+i, line.plain, line.text)
	}
	if len(lines) > d.page {
		outer.Right(outer.W-2, outer.H-1, screen.Dim, " ↑ ↓ more ")
	}
	if d.name != nil {
		x := box.Text(1, box.H-1, screen.Bad, "type "+screen.Truncate(d.plan.GetNeedsTypedName(), box.W/2)+" to confirm: ")
		d.name.render(box, x, box.H-1, box.W-x-1, true)
	}
	outer.Right(outer.W-2, 0, screen.Dim, " plan "+screen.Truncate(d.plan.GetId(), 8)+" ")
}
