package tui

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// updating says whether -update was given, a flag of package teatest's: write the
// golden files anew.
func updating() bool { return flag.Lookup("update").Value.String() == "true" }

// still is a console that shows a snapshot and is connected, without a program
// around it: commands that a key returns are run until no more come.
type still struct {
	*Model
	t    *testing.T
	node *fakeNode

	keeper *fakeKeeper
}

func newStill(t *testing.T, s *adminpb.ConsoleSnapshot, o Options) *still {
	t.Helper()
	node := newFakeNode(s)
	o.Profiles = []Profile{
		{Name: "oahu", Kept: true, Secret: "token", CA: true, Seen: noon.Add(-2 * time.Minute), Endpoints: []Endpoint{{Name: "oahu-2", Target: "unix:/run/2"}, {Name: "oahu-1", Target: "unix:/run/1"}}},
		{Name: "lab", Kept: true, Seen: noon.Add(-26 * time.Hour), Endpoints: []Endpoint{{Target: "unix:/tmp/lab/admin.sock"}}},
	}
	keeper := &fakeKeeper{profiles: slices.Clone(o.Profiles)}
	o.Keeper = keeper
	o.Dial = func(Endpoint) (Node, error) { return node, nil }
	o.Clock = func() time.Time { return noon }
	ended, cancel := context.WithCancel(t.Context())
	cancel() // so that commands which wait for a node return at once
	m, err := NewModel(ended, o)
	if err != nil {
		t.Fatal(err)
	}
	st := &still{m, t, node, keeper}
	if s != nil {
		st.connect(s)
	}
	return st
}

// connect plays the messages of a connection that came about.
func (s *still) connect(snapshot *adminpb.ConsoleSnapshot) {
	msg := s.firstWord()
	msg.snapshot = snapshot
	_, _ = s.Update(msg)
}

// firstWord begins an attempt and returns the message of its success.
func (s *still) firstWord() heardMsg {
	m := s.Model
	m.conn.choose("oahu", m.opts.Profiles[0].Endpoints)
	_, cancel := context.WithCancel(s.t.Context())
	t := m.conn.begin(noon.Add(-18*time.Millisecond), m.parent, cancel)
	return heardMsg{generation: t.generation, at: noon, node: guard{s.node, m.readOnly}}
}

// watched is the generation of the connection that is watched, or of the first
// attempt that is under way.
func (m *Model) watched() int {
	if len(m.conn.tries) == 0 {
		return 0
	}
	return m.conn.tries[0].generation
}

// lose ends the connection.
func (m *Model) lose(err error) { m.conn.fail(m.watched(), noon, err) }

// attempt begins one.
func (m *Model) attempt() *try { return m.conn.begin(m.now, m.parent, func() {}) }

// run runs a command and what follows from it; commands that wait for the feed
// or the clock are left out.
func (s *still) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case tea.BatchMsg:
		for _, c := range msg {
			s.run(c)
		}
	case answer:
		_, cmd := s.Update(msg)
		s.run(cmd)
	}
}

func (s *still) size(w, h int) *still {
	s.w, s.h = w, h
	s.run(s.reload())
	return s
}

// press types keys: names of keys, or single characters.
func (s *still) press(keys ...string) *still {
	s.t.Helper()
	for _, k := range keys {
		_ = s.View() // what is seen decides what keys mean
		_, cmd := s.Update(keyMsg(k))
		s.run(cmd)
	}
	return s
}

// typing types a text character by character.
func (s *still) typing(text string) *still {
	for _, r := range text {
		s.press(string(r))
	}
	return s
}

func keyMsg(k string) tea.KeyMsg {
	if k == "space" || k == " " {
		return tea.KeyMsg{Type: tea.KeySpace, Runes: []rune{' '}}
	}
	for kind := tea.KeyType(-60); kind < 130; kind++ {
		if msg := (tea.KeyMsg{Type: kind}); kind != tea.KeyRunes && msg.String() == k && k != "" {
			return msg
		}
	}
	return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(k)}
}

var sizes = []struct{ w, h int }{{60, 16}, {80, 24}, {120, 32}, {140, 40}}

// looks are the ways to draw: theme and environment.
var looks = []struct {
	name string
	opts Options
}{
	{"color", Options{Theme: "dark"}},
	{"mono", Options{Theme: "mono"}},
	{"nocolor", Options{Getenv: func(k string) string { return map[string]string{"NO_COLOR": "1", "TERM": "xterm-256color"}[k] }}},
}

// scenes are what is drawn.
var scenes = []struct {
	name string
	set  func(*testing.T, Options) *still
}{
	{"home", func(t *testing.T, o Options) *still { return newStill(t, unhealthy(), o) }},
	{"home-healthy", func(t *testing.T, o Options) *still { return newStill(t, healthy(), o) }},
	{"home-empty", func(t *testing.T, o Options) *still { return newStill(t, noLinks(), o) }},
	{"home-stale", func(t *testing.T, o Options) *still {
		s := newStill(t, unhealthy(), o)
		s.lose(errDown)
		s.attempt()
		s.now, s.shown = noon.Add(12*time.Second), noon.Add(12*time.Second)
		return s
	}},
	{"links", func(t *testing.T, o Options) *still { return newStill(t, unhealthy(), o).press("2", "j", "j") }},
	{"link", func(t *testing.T, o Options) *still { return newStill(t, unhealthy(), o).press("2", "j", "j", "enter") }},
	{"links-wide", func(t *testing.T, o Options) *still { return newStill(t, unhealthy(), o).press("2", "j", "j", "w") }},
	{"link-buckets", func(t *testing.T, o Options) *still {
		return newStill(t, unhealthy(), o).press("2", "j", "j", "enter", "tab")
	}},
	{"link-failed", func(t *testing.T, o Options) *still {
		return newStill(t, unhealthy(), o).press("2", "j", "j", "enter", "tab", "tab")
	}},
	{"link-failed-empty", func(t *testing.T, o Options) *still {
		return newStill(t, unhealthy(), o).press("2", "j", "enter", "f")
	}},
	{"plan-resync", func(t *testing.T, o Options) *still {
		return newStill(t, unhealthy(), o).press("2", "j", "j", "enter", "T").typing("mau")
	}},
	{"link-config", func(t *testing.T, o Options) *still {
		return newStill(t, unhealthy(), o).press("2", "j", "j", "enter", "shift+tab", "shift+tab")
	}},
	{"link-events", func(t *testing.T, o Options) *still {
		return newStill(t, unhealthy(), o).press("2", "j", "j", "enter", "shift+tab")
	}},
	{"link-crosshair", func(t *testing.T, o Options) *still {
		return newStill(t, unhealthy(), o).press("2", "j", "j", "enter", "z", "c", "H", "H", "left")
	}},
	{"yaml", func(t *testing.T, o Options) *still { return newStill(t, unhealthy(), o).press("2", "j", "j", "v") }},
	{"plan", func(t *testing.T, o Options) *still { return newStill(t, unhealthy(), o).press("2", "j", "j", "p") }},
	{"plan-again", func(t *testing.T, o Options) *still {
		s := newStill(t, unhealthy(), o)
		s.node.conflict = true
		return s.press("2", "j", "j", "p", "a")
	}},
	{"plan-failed", func(t *testing.T, o Options) *still {
		s := newStill(t, unhealthy(), o)
		s.node.refuses = refusal()
		return s.press("2", "j", "j", "p")
	}},
	{"serve", func(t *testing.T, o Options) *still {
		return newStill(t, unhealthy(), o).press("2", "j", "j", "s").typing("so")
	}},
	{"form", func(t *testing.T, o Options) *still {
		return newStill(t, unhealthy(), o).press("n").typing("kauai-cold").press("enter").typing("kauai.example:14000").press("enter")
	}},
	{"connect", func(t *testing.T, o Options) *still {
		s := newStill(t, nil, o)
		s.conn.choose("oahu", s.opts.Profiles[0].Endpoints)
		s.attempt().started = noon.Add(-41 * time.Millisecond)
		s.lose(errDown)
		s.attempt()
		return s
	}},
	{"profile", func(t *testing.T, o Options) *still {
		return newStill(t, unhealthy(), o).press("ctrl+o", "a").typing("kauai").press("tab").typing("https://kauai.example:7443").press("tab")
	}},
	{"forget", func(t *testing.T, o Options) *still {
		return newStill(t, unhealthy(), o).press("ctrl+o", "d").typing("oa")
	}},
	{"help", func(t *testing.T, o Options) *still { return newStill(t, unhealthy(), o).press("2", "?") }},
	{"palette", func(t *testing.T, o Options) *still {
		return newStill(t, unhealthy(), o).press("2", ":").typing("link")
	}},
	{"filter", func(t *testing.T, o Options) *still { return newStill(t, unhealthy(), o).press("2", "/").typing("ka") }},
	{"absent", func(t *testing.T, o Options) *still { return newStill(t, unhealthy(), o).press("3") }},
}

func TestGolden(t *testing.T) {
	for _, scene := range scenes {
		for _, look := range looks {
			for _, size := range sizes {
				name := fmt.Sprintf("%s-%dx%d-%s", scene.name, size.w, size.h, look.name)
				t.Run(name, func(t *testing.T) {
					s := scene.set(t, look.opts).size(size.w, size.h)
					compare(t, name, s.View())
				})
			}
		}
	}
	for _, size := range []struct{ w, h int }{{40, 10}, {80, 24}} {
		for _, name := range []string{"home", "link"} {
			for _, look := range []struct {
				name string
				opts Options
			}{{"ascii", Options{ASCII: true, Getenv: looks[2].opts.Getenv}}, {"light", Options{Theme: "light"}}} {
				file := fmt.Sprintf("%s-%dx%d-%s", name, size.w, size.h, look.name)
				t.Run(file, func(t *testing.T) {
					for _, scene := range scenes {
						if scene.name == name {
							compare(t, file, scene.set(t, look.opts).size(size.w, size.h).View())
						}
					}
				})
			}
		}
	}
}

func compare(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if updating() {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test ./tui -update writes it", err)
	}
	if strings.TrimSuffix(string(want), "\n") != got {
		t.Errorf("%s differs; look at it and run go test ./tui -update\ngot\n%s\nwant\n%s", path, got, want)
	}
}
