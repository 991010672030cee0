package tui

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// monkey types at random while the site changes, the connection comes and goes,
// replies come late and in any order, and the terminal is resized.
type monkey struct {
	*still
	r     *rand.Rand
	calls []tea.Cmd // under way
	trace []string
}

var monkeyKeys = strings.Fields("enter enter enter enter esc tab tab shift+tab up down left right j k g G o O w v y x z c t f R S T D n e s p E u a d r 1 2 2 2 3 ? : / space " +
	"ctrl+t ctrl+o ctrl+s ctrl+r ctrl+y ctrl+x ctrl+d ctrl+u backspace delete home end ctrl+w ctrl+a h l H L pgup pgdown maui alt+b 日 e\u0301")

func (m *monkey) start(cmd tea.Cmd) {
	if cmd != nil {
		m.calls = append(m.calls, cmd)
	}
}

// finish ends one of the calls under way.
func (m *monkey) finish() {
	if len(m.calls) == 0 {
		return
	}
	i := m.r.IntN(len(m.calls))
	cmd := m.calls[i]
	m.calls = append(m.calls[:i:i], m.calls[i+1:]...)
	switch msg := cmd().(type) {
	case tea.BatchMsg:
		m.calls = append(m.calls, msg...)
	case answer:
		_, cmd := m.Update(msg)
		m.start(cmd)
	}
}

func (m *monkey) step() {
	switch n := m.r.IntN(100); {
	case n < 55:
		k := monkeyKeys[m.r.IntN(len(monkeyKeys))]
		m.trace = append(m.trace, k)
		_, cmd := m.Update(keyMsg(k))
		m.start(cmd)
	case n < 75:
		m.finish()
	case n < 80:
		w, h := 1+m.r.IntN(170), 1+m.r.IntN(50)
		if m.r.IntN(2) == 0 {
			w, h = sizes[m.r.IntN(4)].w, sizes[m.r.IntN(4)].h
		}
		m.trace = append(m.trace, fmt.Sprintf("<%dx%d>", w, h))
		_, cmd := m.Update(tea.WindowSizeMsg{Width: w, Height: h})
		m.start(cmd)
	case n < 90:
		snapshot := []func() *adminpb.ConsoleSnapshot{unhealthy, healthy, noLinks, func() *adminpb.ConsoleSnapshot { return hostileSnapshot(m.r) }, func() *adminpb.ConsoleSnapshot { return &adminpb.ConsoleSnapshot{} }}[m.r.IntN(5)]()
		m.trace = append(m.trace, "<snapshot>")
		if m.conn.live {
			_, cmd := m.Update(heardMsg{generation: m.watched(), at: m.now, node: guard{m.node, m.readOnly}, snapshot: snapshot})
			m.start(cmd)
		}
		m.now = m.now.Add(time.Second)
		_ = m.pulsed(m.now)
	case n < 95:
		m.trace = append(m.trace, "<lost>")
		_, _ = m.Update(endedMsg{m.watched(), m.now, errDown})
	default:
		m.trace = append(m.trace, "<back>")
		if !m.conn.live && m.conn.profile != "" && len(m.conn.tries) < len(m.conn.nodes) {
			_, cmd := m.Update(heardMsg{generation: m.attempt().generation, at: m.now, node: guard{m.node, m.readOnly}, snapshot: unhealthy()})
			m.start(cmd)
		}
	}
}

// TestAtRandom: whatever is typed while whatever happens, nothing panics, and every
// frame has the size of the terminal.
func TestAtRandom(t *testing.T) {
	seeds := uint64(6)
	if os.Getenv("ISGW_LONG") != "" {
		seeds = 300
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			m := &monkey{still: newStill(t, unhealthy(), Options{ASCII: seed%2 == 1}), r: rand.New(rand.NewPCG(seed, 7))}
			done := false
			defer func() {
				if !done { // it panics, or failed
					t.Logf("the last that happened: %q", m.trace[max(len(m.trace)-40, 0):])
				}
			}()
			for range 400 {
				m.step()
				lines := strings.Split(m.View(), "\n")
				if len(lines) != m.h {
					t.Fatalf("%d lines of %d", len(lines), m.h)
				}
				for i, line := range lines {
					if got := ansi.StringWidth(line); got != m.w {
						t.Fatalf("line %d has %d cells of %d: %q", i, got, m.w, line)
					}
				}
			}
			done = true
		})
	}
}
