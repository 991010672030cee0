package tui

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/exp/teatest"
)

// flow runs the whole program on a terminal that a test plays, by the clock of
// package synctest: how busy the machine is changes nothing.
type flow struct {
	t     *testing.T
	p     *tea.Program
	out   lockedBuffer
	ended chan struct{}
	final tea.Model
	err   error
}

// startFlow starts the program in the bubble of a test, until that ends.
func startFlow(t *testing.T, o Options) *flow {
	t.Helper()
	o.Getenv = func(k string) string { return map[string]string{"NO_COLOR": "1", "TERM": "xterm"}[k] }
	ctx, cancel := context.WithCancel(context.Background())
	m, err := NewModel(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	f := &flow{t: t, ended: make(chan struct{})}
	f.p = tea.NewProgram(m, tea.WithInput(nil), tea.WithOutput(&f.out), tea.WithoutSignalHandler())
	go func() {
		defer close(f.ended)
		f.final, f.err = f.p.Run()
	}()
	f.p.Send(tea.WindowSizeMsg{Width: 80, Height: 24})
	t.Cleanup(func() {
		f.finish()
		cancel()
		time.Sleep(2 * pulse) // the last look at the clock is waited for by nobody
	})
	return f
}

// wait polls until what was written since the last wait has the text.
func (f *flow) wait(limit time.Duration, text string) time.Duration {
	f.t.Helper()
	start := time.Now()
	teatest.WaitFor(f.t, &f.out, func(b []byte) bool { return strings.Contains(string(b), text) },
		teatest.WithDuration(limit), teatest.WithCheckInterval(10*time.Millisecond))
	return time.Since(start)
}

// finish ends the program.
func (f *flow) finish() *Model {
	f.t.Helper()
	f.p.Quit()
	<-f.ended
	if f.err != nil {
		f.t.Errorf("the program ended with %v", f.err)
	}
	m, _ := f.final.(*Model)
	return m
}

func (f *flow) keys(keys ...string) {
	for _, k := range keys {
		f.p.Send(keyMsg(k))
	}
}

func nodes(ns map[string]*fakeNode) func(Endpoint) (Node, error) {
	return func(e Endpoint) (Node, error) { return ns[e.Target], nil }
}

func TestFlowFromConnectToAppliedPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newFakeNode(unhealthy())
		var copied string
		f := startFlow(t, Options{
			Profiles: []Profile{{Name: "oahu", Endpoints: []Endpoint{{Target: "a"}}}}, Connect: true, Dial: nodes(map[string]*fakeNode{"a": node}),
			Clipboard: func(text string) error { copied = text; return nil },
		})
		f.wait(3*time.Second, "NOT HEALTHY")
		f.keys("enter")
		f.wait(3*time.Second, "throughput")
		f.keys("p")
		f.wait(3*time.Second, "WHAT WILL HAPPEN")
		f.keys("y")
		f.wait(3*time.Second, "sent to clipboard")
		f.keys("a")
		f.wait(3*time.Second, "ok: pause kauai-cold")
		node.mu.Lock()
		defer node.mu.Unlock()
		if len(node.applied) != 1 || !strings.HasPrefix(copied, "isgwctl service create") {
			t.Errorf("applied %v, copied %q", node.applied, copied)
		}
	})
}

// A node that says nothing more, and one that refuses: within five seconds the
// console is with another one, and where it was.
func TestFlowFailOver(t *testing.T) {
	for name, fault := range map[string]func(*fakeNode){
		"silent": func(n *fakeNode) { n.mute = true },
		"gone":   func(n *fakeNode) { n.down = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, second := newFakeNode(unhealthy()), newFakeNode(unhealthy())
				second.snapshot.NodeName = "oahu-7"
				f := startFlow(t, Options{
					Profiles: []Profile{{Name: "oahu", Endpoints: []Endpoint{{Target: "a"}, {Target: "b"}}}}, Connect: true,
					Dial: nodes(map[string]*fakeNode{"a": first, "b": second}),
				})
				f.wait(3*time.Second, "oahu-2 ok")
				f.keys("2", "/", "k", "a", "enter")
				f.wait(3*time.Second, "filter /ka")
				first.set(fault)
				if took := f.wait(6*time.Second, "oahu-7 ok"); took > 5*time.Second {
					t.Errorf("the fail-over took %v", took)
				}
				f.keys("g")
				final := f.finish()
				if page := final.root[pageLinks].(*linksPage); final.current != pageLinks || page.links.Filter() != "ka" {
					t.Errorf("after the fail-over: page %d, filter %q", final.current, page.links.Filter())
				}
			})
		})
	}
}

// When every node is gone the console stays, says how old its values are, and
// goes on as soon as one is back.
func TestFlowAllNodesGoneAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newFakeNode(unhealthy())
		f := startFlow(t, Options{Profiles: []Profile{{Name: "oahu", Endpoints: []Endpoint{{Target: "a"}}}}, Connect: true, Dial: nodes(map[string]*fakeNode{"a": node})})
		f.wait(3*time.Second, "oahu-2 ok")
		node.set(func(n *fakeNode) { n.down = true })
		f.wait(3*time.Second, "stale")
		f.keys("2")
		f.wait(3*time.Second, "kauai-cold")
		f.keys("n")
		f.wait(3*time.Second, "changes wait until a node answers")
		node.set(func(n *fakeNode) { n.down, n.snapshot = false, healthy() })
		f.wait(5*time.Second, "oahu-2 ok")
	})
}

// The first frame comes although the only node swallows everything.
func TestFlowFirstFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newFakeNode(nil)
		node.mute = true
		f := startFlow(t, Options{Profiles: []Profile{{Name: "oahu", Endpoints: []Endpoint{{Target: "a"}}}}, Connect: true, Dial: nodes(map[string]*fakeNode{"a": node})})
		f.wait(3*time.Second, "Connect to a node")
		f.wait(6*time.Second, "nothing answered within 2s")
	})
}

// panicky is a console that breaks where it is told to.
type panicky struct {
	*Model
	where string
	armed bool
}

func (p *panicky) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	_, cmd := p.Model.Update(msg)
	if key, ok := msg.(tea.KeyMsg); ok && key.String() == "enter" {
		switch p.armed = true; p.where {
		case "Update":
			panic("a fault in Update")
		case "a command":
			return p, func() tea.Msg { panic("a fault in a command") }
		}
	}
	return p, cmd
}

func (p *panicky) View() string {
	if p.armed && p.where == "View" {
		panic("a fault in View")
	}
	return p.Model.View()
}

// A panic ends the program with an error, wherever it is, and gives the terminal back:
// the alternate screen is left and the cursor shown.
func TestPanicRestoresTheTerminal(t *testing.T) {
	for _, where := range []string{"a command", "Update", "View"} {
		t.Run(where, func(t *testing.T) { panicRestores(t, where) })
	}
}

func panicRestores(t *testing.T, where string) {
	node := newFakeNode(unhealthy())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	m, err := NewModel(ctx, Options{Profiles: []Profile{{Name: "oahu", Endpoints: []Endpoint{{Target: "a"}}}}, Connect: true,
		Dial: func(Endpoint) (Node, error) { return node, nil }})
	if err != nil {
		t.Fatal(err)
	}
	var out lockedBuffer
	in, typing := io.Pipe()
	defer typing.Close()
	p := tea.NewProgram(&panicky{Model: m, where: where}, tea.WithInput(in), tea.WithOutput(&out), tea.WithAltScreen(), tea.WithoutSignalHandler())
	ended := make(chan error, 1)
	go func() { _, err := p.Run(); ended <- err }()
	deadline := time.After(time.Minute)
	p.Send(tea.WindowSizeMsg{Width: 80, Height: 24})
	for sent := false; ; {
		select {
		case err := <-ended:
			if !errors.Is(err, tea.ErrProgramPanic) || !sent {
				t.Fatalf("the program ended with %v", err)
			}
			if text := out.String(); !strings.Contains(text, "\x1b[?1049l") || !strings.Contains(text, "\x1b[?25h") {
				t.Errorf("the terminal was not restored: %q", text[max(len(text)-200, 0):])
			}
			return
		case <-deadline:
			t.Fatal("the program did not end")
		case <-time.After(10 * time.Millisecond):
			if !sent && strings.Contains(out.String(), "NEEDS ATTENTION") {
				p.Send(keyMsg("enter"))
				sent = true
			}
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Read(p)
}

// String is what was not read yet.
func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestSavingOverwritesNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	first, err := saveFile("links.csv", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := saveFile("links.csv", []byte("2"))
	if err != nil || second == first || !strings.HasSuffix(second, "isgw-links-2.csv") {
		t.Errorf("the second file is %s after %s: %v", second, first, err)
	}
}
