package tui

import (
	"context"
	"sync/atomic"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/tui/screen"
)

// page is one screen. It draws itself into a rectangle and lends its bindings.
type page interface {
	// crumbs say where one is, from the root on.
	crumbs() []string
	// render draws the page; the rectangle is all it has.
	render(r screen.Rect)
	// bindings are the keys that work on it, moving first.
	bindings() []binding
	// refresh takes the model's snapshot, which is new.
	refresh()
}

// dialog lies above a page and takes every key but ctrl-c.
type dialog interface {
	render(r screen.Rect)
	bindings() []binding
	// typed takes a key that has no binding: text. Paste is text as well.
	typed(msg tea.KeyMsg) tea.Cmd
}

// The pages of the root, in the order of their numbers.
const (
	pageHome = iota
	pageLinks
	pageBuckets
	pageCluster
	pageSnapshots
	pageEvents
	pageTasks
	rootPages
)

var pageNames = [rootPages]string{"Home", "Links", "Buckets", "Cluster", "Snapshots", "Events", "Tasks"}

// Model is the console. Make it with [NewModel]; Bubble Tea calls it from one
// goroutine.
type Model struct {
	opts     Options
	theme    screen.Theme
	readOnly *atomic.Bool

	w, h  int
	now   time.Time // the last look at the clock
	shown time.Time // the clock that the screen shows: it moves once an interval

	conn     connection
	ctx      context.Context          // of the current connection
	snapshot *adminpb.ConsoleSnapshot // what the screen shows; nil: nothing was heard yet
	waiting  *adminpb.ConsoleSnapshot // the newest one, shown at the next interval
	taken    time.Time                // when snapshot was told
	skew     time.Duration            // of the node's clock, which all times that it tells are by

	root    [rootPages]page
	current int
	above   []page // opened from the root page, the last one is seen
	connect *connectPage
	choose  bool // S0 is shown

	dialogs []dialog // the last one has the keys
	filter  *input   // the filter that is typed now

	notice   string // the last thing that happened, in words
	bad      bool
	noticeAt time.Time

	serial        int // generation of requests of dialogs and pages
	profileSerial int // of the last change of the profiles
	parent        context.Context
}

// NewModel returns the console, not connected yet. Everything it starts ends
// with ctx.
func NewModel(ctx context.Context, o Options) (*Model, error) {
	o, theme, err := o.settle()
	if err != nil {
		return nil, err
	}
	m := &Model{opts: o, theme: theme, readOnly: new(atomic.Bool), parent: ctx, ctx: ctx, w: 80, h: 24}
	m.readOnly.Store(o.ReadOnly)
	m.now = o.Clock()
	m.shown = m.now
	m.root[pageHome] = newHomePage(m)
	m.root[pageLinks] = newLinksPage(m)
	for i := pageBuckets; i < rootPages; i++ {
		m.root[i] = absentPage{m, i}
	}
	m.connect = newConnectPage(m)
	m.connect.refresh()
	m.choose = true
	return m, nil
}

// pulseMsg is a look at the clock.
type pulseMsg time.Time

func (m *Model) tick() tea.Cmd {
	clock := m.opts.Clock
	return tea.Tick(pulse, func(time.Time) tea.Msg { return pulseMsg(clock()) })
}

// Init starts the clock and, when it was asked for, the connection.
func (m *Model) Init() tea.Cmd {
	cmds := []tea.Cmd{m.tick(), m.askBackground()}
	if m.opts.Connect && len(m.opts.Profiles) > 0 && len(m.opts.Profiles[0].Endpoints) > 0 {
		cmds = append(cmds, m.useProfile(0))
	}
	return tea.Batch(cmds...)
}

// backgroundMsg is what the terminal said of its background. It may come after
// the first frame, which does not wait for it.
type backgroundMsg string

func (m *Model) askBackground() tea.Cmd {
	ask, ctx := m.opts.background, m.parent
	if ask == nil {
		return nil
	}
	return func() tea.Msg { return backgroundMsg(ask(ctx)) }
}

// backgroundIs takes the theme that suits the background.
func (m *Model) backgroundIs(answer string) {
	light, known := lightBackground(answer)
	if !known {
		return
	}
	name := screen.Dark
	if light {
		name = screen.Light
	}
	theme, err := screen.NewTheme(name)
	if err == nil { // both names are known
		theme.ASCII = m.theme.ASCII
		m.theme = theme
	}
}

// Update takes one message.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		if msg.Width > 0 && msg.Height > 0 { // a serial line does not know its size: 80x24
			m.w, m.h = msg.Width, msg.Height
		}
		return m, m.reload()
	case tea.KeyMsg:
		return m, m.keys(msg)
	case tea.ResumeMsg:
		return m, tea.ClearScreen
	case pulseMsg:
		return m, tea.Batch(m.pulsed(time.Time(msg)), m.tick())
	case heardMsg:
		return m, m.heard(msg)
	case stepMsg:
		if t := m.conn.find(msg.generation); t != nil {
			m.conn.advance(t, msg)
			return m, next(t.ctx, m.opts, t.generation, t.feed)
		}
	case endedMsg:
		if m.conn.find(msg.generation) != nil {
			m.conn.fail(msg.generation, msg.at, msg.err)
			return m, m.reconnect(msg.at)
		}
	case backgroundMsg:
		m.backgroundIs(string(msg))
	case answer:
		return m, msg.deliver(m)
	}
	return m, nil
}

// answer is a reply to a request of a page or dialog, which drops what is late.
type answer interface{ deliver(m *Model) tea.Cmd }

// useProfile connects to a site.
func (m *Model) useProfile(index int) tea.Cmd {
	p := m.opts.Profiles[index]
	if m.conn.profile != p.Name {
		m.snapshot, m.waiting, m.skew = nil, nil, 0
		m.up(0)
		m.dialogs = nil // their calls end with the connection
	}
	m.conn.choose(p.Name, p.Endpoints)
	m.choose = m.snapshot == nil
	return m.reconnect(m.now)
}

// reconnect begins an attempt if one is due.
func (m *Model) reconnect(now time.Time) tea.Cmd {
	if !m.conn.due(now) {
		return nil
	}
	ctx, cancel := context.WithCancel(m.parent)
	t := m.conn.begin(now, ctx, cancel)
	readOnly := m.readOnly
	wrap := func(n Node) Node { return guard{n, readOnly} }
	return tea.Batch(
		listen(ctx, m.opts, m.conn.nodes[t.index], t.generation, t.feed, wrap),
		next(ctx, m.opts, t.generation, t.feed),
	)
}

func (m *Model) pulsed(now time.Time) tea.Cmd {
	m.now = now
	m.conn.expire(now)
	cmds := []tea.Cmd{m.reconnect(now)}
	if now.Sub(m.shown) >= m.opts.Interval {
		m.shown = now
		if m.waiting != nil {
			cmds = append(cmds, m.adopt())
		}
		if m.notice != "" && now.Sub(m.noticeAt) > noticeTime {
			m.notice = ""
		}
	}
	return tea.Batch(cmds...)
}

// noticeTime is how long a notice stays, unless another comes.
const noticeTime = 8 * time.Second

func (m *Model) heard(msg heardMsg) tea.Cmd {
	first := !m.conn.live
	if !m.conn.hear(msg) {
		return nil
	}
	t := m.conn.find(msg.generation)
	m.ctx = t.ctx
	cmds := []tea.Cmd{next(t.ctx, m.opts, t.generation, t.feed)}
	if s := msg.snapshot; s != nil {
		m.waiting = s
		if skew := s.GetTime().AsTime().Sub(msg.at); s.GetTime() != nil && (skew-m.skew).Abs() >= leastSkew {
			m.skew = skew
		}
	}
	if first {
		m.now, m.shown = msg.at, msg.at
		cmds = append(cmds, m.seenProfile())
		m.outdate() // what was on its way came from another node
		if m.waiting != nil {
			cmds = append(cmds, m.adopt())
		}
	}
	return tea.Batch(cmds...)
}

// leastSkew is what counts as a clock that differs: how long a snapshot was on its way
// does not move every time on the screen.
const leastSkew = 5 * time.Second

// nodeTime is what the screen shows as the present, by the clock of the node.
func (m *Model) nodeTime() time.Time { return m.shown.Add(m.skew) }

// adopt shows the newest snapshot.
func (m *Model) adopt() tea.Cmd {
	if m.snapshot == nil {
		m.choose = false
	}
	m.snapshot, m.waiting, m.taken = m.waiting, nil, m.conn.heard
	for _, p := range m.root {
		p.refresh()
	}
	for _, p := range m.above {
		p.refresh()
	}
	return m.reload()
}

// loader is a page or dialog that asks the node for more than the snapshot has.
type loader interface{ load() tea.Cmd }

// reload lets what is seen ask the node for what it shows.
func (m *Model) reload() tea.Cmd {
	if !m.conn.live {
		return nil
	}
	if l, ok := m.seen().(loader); ok {
		return l.load()
	}
	return nil
}

// seen is the page that is shown.
func (m *Model) seen() page {
	switch {
	case m.choose:
		return m.connect
	case len(m.above) > 0:
		return m.above[len(m.above)-1]
	}
	return m.root[m.current]
}

// open shows a page above the current one.
func (m *Model) open(p page) tea.Cmd {
	m.above = append(m.above, p)
	p.refresh()
	return m.reload()
}

// link is a link as the snapshot has it; nil when there is none of the name.
func (m *Model) link(name string) *adminpb.ConsoleLink {
	for _, l := range m.snapshot.GetLinks() {
		if l.GetName() == name {
			return l
		}
	}
	return nil
}

// turn shows a page of the root.
func (m *Model) turn(i int) tea.Cmd {
	m.up(0)
	m.current, m.choose = i, m.snapshot == nil
	return m.reload()
}

// leaver is a page or dialog that calls the node: what it waits for when one leaves
// it nobody wants any more.
type leaver interface{ leave() }

// up leaves all pages that were opened but the first n.
func (m *Model) up(n int) {
	for _, p := range m.above[n:] {
		if l, ok := p.(leaver); ok {
			l.leave()
		}
	}
	m.above = m.above[:n]
}

// outdate has the page that is seen ask once more, whatever is on its way or was told
// a moment ago.
func (m *Model) outdate() {
	if p, ok := m.seen().(interface{ outdate() }); ok {
		p.outdate()
	}
}

// push and pop show and end a dialog.
func (m *Model) push(d dialog) { m.dialogs = append(m.dialogs, d) }

func (m *Model) pop() {
	if n := len(m.dialogs); n > 0 {
		if l, ok := m.dialogs[n-1].(leaver); ok {
			l.leave()
		}
		m.dialogs = m.dialogs[:n-1]
	}
}

// top is the dialog that has the keys, or nil.
func (m *Model) top() dialog {
	if n := len(m.dialogs); n > 0 {
		return m.dialogs[n-1]
	}
	return nil
}

func (m *Model) say(text string)    { m.notice, m.bad, m.noticeAt = text, false, m.now }
func (m *Model) complain(err error) { m.notice, m.bad, m.noticeAt = reason(err), true, m.now }
func (m *Model) nextSerial() int    { m.serial++; return m.serial }
func (m *Model) wide() bool         { return m.w >= 120 && m.h >= 32 }
func (m *Model) stale() bool        { return m.snapshot != nil && !m.conn.live }
func (m *Model) silence() time.Duration {
	if m.taken.IsZero() {
		return 0
	}
	return max(m.shown.Sub(m.conn.heard), m.shown.Sub(m.conn.lost), 0)
}

// forbidden says why nothing can be changed now, or "".
func (m *Model) forbidden() string {
	s := m.snapshot
	switch {
	case s == nil:
		return "no node has answered yet"
	case !m.conn.live:
		return "not connected: changes wait until a node answers"
	case m.readOnly.Load():
		return "read-only mode: ctrl-t turns it off"
	case !s.GetInitialised():
		return "the node is not initialised: run isgwctl system init"
	case !s.GetQuorum():
		return "no quorum: nothing can be changed until a majority of the nodes is back"
	case s.GetCaller().GetRole() == "viewer":
		return "your role is viewer, which cannot change links; it needs operator"
	}
	return ""
}

// keys takes what was typed: a dialog first, then the page, then what works
// everywhere. Several characters in one message are several keys.
func (m *Model) keys(msg tea.KeyMsg) tea.Cmd {
	if msg.Type == tea.KeyRunes && len(msg.Runes) > 1 && !msg.Paste {
		var cmds []tea.Cmd
		for _, r := range msg.Runes {
			cmds = append(cmds, m.key(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}, Alt: msg.Alt}))
		}
		return tea.Sequence(cmds...)
	}
	return m.key(msg)
}

func (m *Model) key(msg tea.KeyMsg) tea.Cmd {
	switch msg.String() {
	case "ctrl+c":
		return m.quit()
	case "ctrl+z":
		return tea.Suspend
	case "ctrl+l": // something else wrote to the terminal
		return tea.ClearScreen
	}
	name := msg.String()
	if msg.Paste {
		name = "" // text, whatever it says
	}
	if _, isForm := m.top().(*form); msg.Alt && !isForm {
		// ESC and the next key, when a slow line delivers them together, look
		// like alt and that key. No key here is one with alt: they are two. A
		// form would lose what was typed, to somebody who moves by words.
		msg.Alt = false
		return tea.Sequence(m.key(tea.KeyMsg{Type: tea.KeyEsc}), m.key(msg))
	}
	if b, ok := find(m.bindings(), name); ok {
		if b.off != "" {
			m.notice, m.bad, m.noticeAt = b.off, true, m.now
			return nil
		}
		return b.do()
	}
	if d := m.top(); d != nil {
		return d.typed(msg)
	}
	if m.filter != nil {
		m.edit(m.filter, msg)
		m.filtered()
	}
	return nil
}

func (m *Model) quit() tea.Cmd {
	m.conn.drop()
	return tea.Quit
}
