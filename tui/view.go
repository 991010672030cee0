package tui

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/tui/screen"
)

// The least size that the pages are drawn at.
const (
	leastWidth  = 60
	leastHeight = 16
)

func (m *Model) tooSmall() bool { return m.w < leastWidth || m.h < leastHeight }

// View draws the frame: exactly as many cells as the terminal has.
func (m *Model) View() string {
	c := screen.New(m.w, m.h)
	all := c.All()
	if m.tooSmall() {
		m.card(all)
		return c.Encode(m.theme)
	}
	m.header(all.Sub(0, 0, all.W, 1))
	body := all.Sub(0, 1, all.W, all.H-3)
	if len(m.above) == 0 && !m.choose {
		m.tabs(body.Sub(0, 0, body.W, 1))
		body = body.Sub(0, 1, body.W, body.H-1)
	}
	m.seen().render(body)
	if m.stale() && !m.choose {
		body.Restyle(screen.Dim)
	}
	if d := m.top(); d != nil {
		under := all.Sub(0, 1, all.W, all.H-3)
		under.Restyle(screen.Off)
		d.render(under)
	}
	m.longNotice(all.Sub(0, all.H-2-noticeRows, all.W, noticeRows))
	spare := !m.statusLine(all.Sub(0, all.H-2, all.W, 1))
	m.footer(all.Sub(0, all.H-2, all.W, 2), spare)
	return c.Encode(m.theme)
}

// card is what a terminal shows that is too small for the pages: the verdict
// all the same.
func (m *Model) card(r screen.Rect) {
	lines := screen.Wrap(fmt.Sprintf("%dx%d is too small: the console needs %dx%d", m.w, m.h, leastWidth, leastHeight), max(r.W, 1))
	text, role := "not connected", screen.Dim
	if s := m.snapshot; s != nil {
		text, role = verdict(s)
		if m.stale() {
			text, role = "? "+age(m.silence())+" ago: "+text, screen.Dim
		}
	}
	top := screen.Wrap(text, max(r.W, 1))
	room := max(r.H-1-len(lines), 1)
	for y, line := range top[:min(len(top), room)] {
		r.Text(0, y, role, line)
	}
	y := min(len(top), room) + 1
	if y+len(lines) > r.H-1 {
		y--
	}
	for i, line := range lines {
		r.Text(0, y+i, screen.Plain, line)
	}
	if r.H > y+len(lines) {
		r.Text(0, r.H-1, screen.Dim, "ctrl-c quits")
	}
}

// verdict is the answer to "is replication healthy?" in one line, in the words
// of the node: isgwctl status --check says the same.
func verdict(s *adminpb.ConsoleSnapshot) (string, screen.Role) {
	v := s.GetVerdict()
	switch {
	case !s.GetInitialised():
		return "X " + v.GetSentence(), screen.Bad
	case v.GetHealthy():
		return "ok " + v.GetSentence(), screen.Good
	}
	for _, a := range s.GetAlerts() {
		if a.GetSeverity() == adminpb.Severity_SEVERITY_FAILED {
			return "X " + v.GetSentence(), screen.Bad
		}
	}
	return "! " + v.GetSentence(), screen.Warn
}

func (m *Model) header(r screen.Rect) {
	x := r.W
	x = r.Right(x-1, 0, screen.Dim, m.nodeTime().UTC().Format("15:04:05Z"))
	mode, role := "RW", screen.Plain
	if m.readOnly.Load() || m.snapshot.GetCaller().GetRole() == "viewer" { // whoever only may look
		mode, role = "RO", screen.Warn
	}
	x = r.Right(x-2, 0, role, mode)
	state, role := m.connectionState()
	state = screen.Truncate(state, max(r.W*3/5, 12))
	x = r.Right(x-2, 0, role, state)

	left := r.Sub(0, 0, max(x-1, 0), 1)
	at := left.Text(0, 0, screen.Dim, "isgwctl")
	crumbs := m.seen().crumbs()
	if m.snapshot != nil && !m.choose {
		crumbs = append([]string{m.snapshot.GetSiteName()}, crumbs...)
	}
	for i, crumb := range crumbs {
		sep := " ▸ "
		if i == 0 {
			sep = " "
		}
		at = left.Text(at, 0, screen.Dim, sep)
		room := left.W - at
		for _, rest := range crumbs[i+1:] {
			room -= min(screen.Width(rest), 8) + 3
		}
		role := screen.Plain
		if i == len(crumbs)-1 {
			role = screen.Strong
		}
		at = left.Text(at, 0, role, screen.Truncate(crumb, max(room, 3)))
	}
}

// connectionState says which node is watched and how old its words are.
func (m *Model) connectionState() (string, screen.Role) {
	c := &m.conn
	switch {
	case c.live:
		name := c.nodes[c.current].short()
		if m.snapshot.GetNodeName() != "" {
			name = m.snapshot.GetNodeName()
		}
		return name + " ok " + milliseconds(c.trip), screen.Good
	case c.profile == "" || len(c.nodes) == 0:
		return "not connected", screen.Dim
	case m.snapshot != nil:
		return fmt.Sprintf("%s ? stale %s, retry %d → %s", m.snapshot.GetNodeName(), age(m.silence()), max(c.retries, 1), c.upcoming().short()), screen.Warn
	}
	return ".. trying " + c.upcoming().short(), screen.Dim
}

func (m *Model) tabs(r screen.Rect) {
	failed, warned := 0, 0
	for _, a := range m.snapshot.GetAlerts() {
		switch a.GetSeverity() {
		case adminpb.Severity_SEVERITY_FAILED:
			failed++
		case adminpb.Severity_SEVERITY_WARNING:
			warned++
		}
	}
	end := r.W - 1
	if warned > 0 {
		end = r.Right(end, 0, screen.Warn, "!"+strconv.Itoa(warned)) - 1
	}
	if failed > 0 {
		r.Right(end, 0, screen.Bad, "X"+strconv.Itoa(failed))
	}
	x := 1
	for i, name := range pageNames {
		n := strconv.Itoa(i + 1)
		switch {
		case i == m.current:
			if i == 0 {
				x = 0
			}
			x = r.Text(x, 0, screen.Accent, "["+n+" "+name+"]")
		case r.W < 76:
			x = r.Text(x, 0, screen.Dim, n)
		default:
			x = r.Text(x, 0, screen.Dim, n+" "+name)
		}
		x++
	}
}

// statusLine is the row above the footer: what is typed, what happened last, or
// how old the page is. It says whether there is anything.
func (m *Model) statusLine(r screen.Rect) bool {
	if l := m.listSeen(); l != nil && m.top() == nil {
		seen, all := l.Counts()
		count := fmt.Sprintf("%d of %d", seen, all)
		switch {
		case m.filter != nil:
			x := r.Text(1, 0, screen.Key, "/")
			m.filter.render(r, x, 0, max(r.W-x-len(count)-2, 1), true)
			r.Right(r.W-1, 0, screen.Dim, count)
			return true
		case l.Filter() != "" && m.notice == "":
			r.Right(r.W-1, 0, screen.Dim, count)
			r.Text(1, 0, screen.Dim, screen.Truncate("filter /"+l.Filter(), r.W-len(count)-4))
			return true
		}
	}
	switch {
	case m.notice != "":
		lines, role := m.noticeLines(r.W)
		r.Text(1, 0, role, lines[len(lines)-1])
	case m.stale():
		old := age(m.silence()) + " old; nothing can be changed until a node answers"
		text := "? these values are " + old
		if screen.Width(text) > r.W-2 {
			text = "? " + old
		}
		r.Text(1, 0, screen.Warn, screen.Truncate(text, r.W-2))
	default:
		return false
	}
	return true
}

// noticeRows are as many rows as a notice may take: what it says to do is at its end.
const noticeRows = 3

// noticeLines are a notice in lines of w cells, the last one cut off if need be.
func (m *Model) noticeLines(w int) ([]string, screen.Role) {
	role := screen.Plain
	if m.bad {
		role = screen.Warn
	}
	return wrapped(m.notice, w-2, noticeRows), role
}

// longNotice draws a notice over what is there, above the status line. The last line
// of it is the status line's, unless a filter is typed there.
func (m *Model) longNotice(r screen.Rect) {
	if m.notice == "" {
		return
	}
	above, role := m.noticeLines(r.W)
	if m.filter == nil || m.top() != nil {
		above = above[:len(above)-1]
	}
	over := r.Sub(0, r.H-len(above), r.W, len(above))
	over.Clear()
	for y, line := range above {
		over.Text(1, y, role, line)
	}
}

// footer shows the keys that people need here, as many as there is room for, in
// the last row and, where that is spare, in the one above. Help and the way out
// are always among them.
func (m *Model) footer(r screen.Rect, spare bool) {
	type hint struct {
		label, text string
		off         bool
	}
	var hints, last []hint
	for _, b := range m.bindings() {
		if b.short == "" {
			continue
		}
		h := hint{m.spell(keyName(b.keys[0])), b.short, b.off != ""}
		switch b.keys[0] {
		case "?", "q", "esc", ":":
			last = append(last, h)
		default:
			hints = append(hints, h)
		}
	}
	one := func(h hint) int { return screen.Width(h.label) + screen.Width(h.text) + 3 }
	width := func(hs []hint) int {
		n := 0
		for _, h := range hs {
			n += one(h)
		}
		return n
	}
	draw := func(y int, hs []hint) {
		x := 1
		for _, h := range hs {
			key, text := screen.Key, screen.Dim
			if h.off {
				key, text = screen.Off, screen.Off
			}
			x = r.Text(x, y, key, h.label)
			x = r.Text(x+1, y, text, h.text) + 2
		}
	}
	for len(last) > 1 && width(last) > r.W-1 {
		last = last[1:]
	}
	first := cutHints(hints, r.W-1-width(last), one)
	draw(1, append(first, last...))
	if spare {
		draw(0, cutHints(hints[len(first):], r.W-1, one))
	}
}

// cutHints keeps the hints that fit, the first ones first.
func cutHints[T any](hints []T, room int, width func(T) int) []T {
	for i, h := range hints {
		if room -= width(h); room < 0 {
			return hints[:i:i]
		}
	}
	return hints[:len(hints):len(hints)]
}

// wrapped is a text in at most n lines of w cells, the last one cut off if need be.
func wrapped(text string, w, n int) []string {
	lines := screen.Wrap(text, w)
	if len(lines) > n {
		lines = append(lines[:n-1], screen.Truncate(strings.Join(lines[n-1:], " "), w))
	}
	return lines
}

// bothEnds is a text in at most n lines of w cells, without its middle if need be: what
// is wrong with a value stands before it or after it, however long that is.
func bothEnds(text string, w, n int) []string {
	lines := screen.Wrap(text, w)
	for room := n * w; len(lines) > n && room > 2; room -= max(w/8, 1) {
		begin := strings.TrimSuffix(screen.Truncate(text, room/2), "…")
		lines = screen.Wrap(begin+screen.TruncateStart(text, room/2), w)
	}
	return lines
}

// failureRows are as many rows as an error may take.
const failureRows = 3

// failureLines are an error in lines of w cells, what failed and what to do about it;
// source is which node said so, to which request, where one did.
func failureLines(err error, w int) (lines []string, source string) {
	var failure *admin.Error
	if !errors.As(err, &failure) || failure.RequestID == "" {
		return bothEnds("X "+reason(err), w, failureRows), ""
	}
	source = "  request " + failure.RequestID
	if failure.Node != "" {
		source += ", says " + failure.Node
	}
	return bothEnds("X "+reason(err), w, failureRows-1), screen.Truncate(source, w)
}

// drawFailure draws an error and returns the row after it.
func drawFailure(r screen.Rect, y int, err error) int {
	lines, source := failureLines(err, r.W-2)
	for _, line := range lines {
		r.Text(1, y, screen.Bad, line)
		y++
	}
	if source != "" {
		r.Text(1, y, screen.Dim, source)
		y++
	}
	return y
}

// copyingFailure is the key that copies all that is known of an error, for whoever is
// asked about it.
func (m *Model) copyingFailure(key string, err error) binding {
	return binding{keys: []string{key}, short: "copy error", long: "copy the error", do: func() tea.Cmd {
		text := reason(err)
		var failure *admin.Error
		if errors.As(err, &failure) && failure.RequestID != "" {
			text += fmt.Sprintf("\nnode: %s\nrequest: %s", failure.Node, failure.RequestID)
		}
		return m.copy(text)
	}}
}

// prose draws a text in lines of at most w cells and returns the row after it.
func prose(r screen.Rect, x, y, w int, role screen.Role, text string) int {
	for _, line := range screen.Wrap(text, w) {
		r.Text(x, y, role, line)
		y++
	}
	return y
}

// centred is the middle of r with at most w x h cells. It takes the whole width
// where hardly anything would be seen beside it.
func centred(r screen.Rect, w, h int) screen.Rect {
	w, h = min(w, r.W), min(h, r.H)
	if r.W-w < 16 {
		w = r.W
	}
	return r.Sub((r.W-w)/2, (r.H-h)/2, w, h)
}

// firstLine is a text up to its first line break.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
