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
	asked    asked
	applying bool // the call under way is one to apply the plan

	plan   *adminpb.Plan
	before map[planItem]bool // what the plan had that was overtaken
	gone   []planItem        // what this one has not of it
	moved  string            // why it was planned again
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
	return call(d.m, &d.asked, ask, func(plan *adminpb.Plan, err error) tea.Cmd {
		if d.failed = err; err == nil {
			d.show(plan)
		}
		return nil
	})
}

// leave ends the call under way. What is applied is: the node has it.
func (d *planDialog) leave() {
	if !d.applying {
		d.asked.leave()
	}
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
	return call(d.m, &d.asked, ask, d.applied)
}

// applied takes what became of the plan.
func (d *planDialog) applied(res *adminpb.ApplyResponse, err error) tea.Cmd {
	d.applying = false
	left := !slices.Contains(d.m.dialogs, dialog(d)) // meanwhile, so that it is told elsewhere
	unchanged := errors.New("nothing was changed: " + res.GetReason())
	switch {
	case err != nil && left:
		d.m.complain(fmt.Errorf("%s: %s", d.title, reason(whyNotApplied(err))))
	case err != nil:
		d.failed = whyNotApplied(err)
	case res.GetOutcome() == adminpb.ApplyResponse_OUTCOME_CONFLICT && left:
		d.m.complain(fmt.Errorf("%s: %w", d.title, unchanged))
	case res.GetOutcome() == adminpb.ApplyResponse_OUTCOME_CONFLICT && res.GetPlan() == nil:
		d.plan, d.name, d.failed = nil, nil, unchanged // nothing is left to do
	case res.GetOutcome() == adminpb.ApplyResponse_OUTCOME_CONFLICT:
		d.overtaken(res)
	default:
		if !left { // the form that led here is done as well
			d.m.dialogs = nil
		}
		if text, short := d.done(res); short {
			d.m.complain(errors.New(firstLine(text)))
		} else {
			d.m.say("ok: " + firstLine(text))
		}
		d.m.outdate()
		return d.m.reload()
	}
	return nil
}

// overtaken shows the plan as it is now, and how it differs from the one before.
func (d *planDialog) overtaken(res *adminpb.ApplyResponse) {
	now := itemsOf(res.GetPlan())
	d.before, d.gone = map[planItem]bool{}, nil
	for _, item := range itemsOf(d.plan) {
		d.before[item] = true
		if !slices.Contains(now, item) {
			d.gone = append(d.gone, item)
		}
	}
	d.top, d.moved = 0, res.GetReason()
	d.show(res.GetPlan())
}

// whyNotApplied is an error of applying a plan. Where no answer came, the node may
// have applied it all the same.
func whyNotApplied(err error) error {
	var failure *admin.Error
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) || !errors.As(err, &failure) {
		return err
	}
	switch failure.Code {
	case admin.CodeInterrupted, admin.CodeTimeout, admin.CodeUnavailable:
		unsure := *failure
		unsure.Message, unsure.Hint = "it is not known whether it was applied: "+reason(err)+". Applied again, it is done once.", ""
		return &unsure
	}
	return err
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
	case d.asked.waits():
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
	leave := binding{keys: []string{"esc"}, short: "cancel", long: "cancel: nothing was changed", do: func() tea.Cmd { d.m.pop(); return nil }}
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
	if !d.asked.waits() && (d.failed != nil || d.moved != "") {
		out = append(out, binding{keys: []string{again}, short: "plan again", long: "plan it again", do: d.ask})
	}
	switch {
	case d.failed != nil:
		out = append(out, d.m.copyingFailure(copied, d.failed))
	case d.plan != nil:
		out = append(out, binding{keys: []string{copied}, short: "copy command", long: "copy the same as a command", do: func() tea.Cmd { return d.m.copy(d.plan.GetCommand()) }})
	}
	if d.plan != nil {
		out = append(out, binding{keys: []string{saved}, short: "save", long: "write the plan to a file", do: func() tea.Cmd { return d.m.save("plan.txt", d.plan.GetText()+"\n") }})
	}
	if d.name == nil {
		out = append(out, d.m.helpIn(d.title))
	}
	return append(out, leave)
}

func (d *planDialog) typed(msg tea.KeyMsg) tea.Cmd {
	if d.name != nil && msg.String() != "enter" {
		d.m.edit(d.name, msg)
	}
	return nil
}

// goneSection has what was in the plan that was overtaken, and is not in this one.
const goneSection = "NOT IN THE PLAN ANY MORE"

// planItem is something that a plan says.
type planItem struct {
	section string
	mark    string // glyph or sign before it, drawn in role
	role    screen.Role
	lead    string // kind and name, before the text
	text    string
	plain   screen.Role // of the text
}

// itemsOf is a plan, item by item.
func itemsOf(p *adminpb.Plan) []planItem {
	signs := map[string]screen.Role{"+": screen.Good, "~": screen.Warn, "-": screen.Bad}
	var out []planItem
	for _, s := range p.GetWhat() {
		out = append(out, planItem{"WHAT WILL HAPPEN", s.GetSign(), signs[s.GetSign()], pad(s.GetKind(), 9) + pad(s.GetName(), 12), s.GetText(), screen.Plain})
	}
	if len(p.GetWhat()) == 0 {
		out = append(out, planItem{section: "WHAT WILL HAPPEN", text: "Nothing: it is so already."})
	}
	for _, c := range p.GetChecks() {
		glyph, role := status(c.GetSeverity(), c.GetGlyph())
		out = append(out, planItem{"CHECKS", glyph, role, pad(c.GetName(), 9), c.GetText(), screen.Plain})
	}
	for _, rest := range []planItem{
		{section: "IMPACT", text: p.GetImpact()}, {section: "UNDO", text: p.GetUndo()},
		{section: "THE SAME AS A COMMAND", text: p.GetCommand(), plain: screen.First},
	} {
		if rest.text != "" {
			out = append(out, rest)
		}
	}
	return out
}

// planLine is one line of a plan on the screen.
type planLine struct {
	item planItem // the whole of what it is a line of
	mark string
	lead string
	text string
	at   int // where the text begins, after the lead
}

// lines are the plan in lines of w cells. What the plan before had and this one has
// not comes first.
func (d *planDialog) lines(w int) []planLine {
	var out []planLine
	section := ""
	add := func(item planItem) {
		if item.section != section {
			section = item.section
			if len(out) > 0 {
				out = append(out, planLine{})
			}
			out = append(out, planLine{text: section, item: planItem{plain: screen.Title}})
		}
		mark, lead, at := item.mark, item.lead, screen.Width(item.lead)
		if at > w/2 { // a long name has a line to itself
			out = append(out, planLine{item: item, mark: mark, lead: screen.Truncate(lead, w-6)})
			mark, lead, at = "", "", 10
		}
		for _, line := range screen.Wrap(item.text, max(w-6-at, 10)) {
			out = append(out, planLine{item, mark, lead, line, at})
			mark, lead = "", ""
		}
	}
	for _, item := range d.gone {
		if item.lead == "" {
			item.lead = pad(strings.ToLower(item.section), 9)
		}
		item.section, item.plain = goneSection, screen.Dim
		add(item)
	}
	for _, item := range itemsOf(d.plan) {
		add(item)
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
		if d.failed != nil {
			drawFailure(box, 1, d.failed)
		} else {
			box.Text(1, 1, screen.Dim, ".. the node plans it")
		}
		return
	}
	bottom := 0
	if d.name != nil {
		bottom = 2
	}
	y := 0
	if d.moved != "" {
		y = prose(box, 1, y, box.W-2, screen.Warn, "! something moved, and nothing was changed: "+d.moved+". This is the plan as it is now; what is new is marked.")
	}
	if d.failed != nil {
		y = drawFailure(box, y, d.failed)
	}
	if d.asked.waits() {
		box.Text(1, y, screen.Dim, ".. waiting for the node")
		y++
	}
	lines := d.lines(box.W - 2)
	d.page = max(box.H-y-bottom, 1)
	d.top = max(min(d.top, len(lines)-d.page), 0)
	for i := range min(len(lines)-d.top, d.page) {
		line := lines[d.top+i]
		item := line.item
		if d.before != nil && item.section != "" && item.section != goneSection && !d.before[item] {
			box.Text(0, y+i, screen.Warn, "▸")
		}
		indent, strong := 5, screen.Strong
		switch {
		case item.plain == screen.Title:
			indent = 1
		case item.section == goneSection:
			strong = screen.Dim
		}
		box.Text(2, y+i, item.role, line.mark)
		box.Text(indent, y+i, strong, line.lead)
		box.Text(indent+line.at, y+i, item.plain, line.text)
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
