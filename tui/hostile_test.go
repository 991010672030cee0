package tui

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// hostile are names that try to leave their cells.
var hostile = []string{
	strings.Repeat("x", 300), "日本語の長い名前のリンクです日本語", "\x1b[2J\x1b[H", "a\r\nb\tc", "👩🏽\u200d💻👨\u200d👩\u200d👧\u200d👦🇩🇪", "e\u0301\u0302\u0303\u0304",
	"\u202eevil", "\x9b31m", "\xff\xfe\xfd", "क्षत्रिय", "ﷺ", "\u1100\u1161\u11a8", "\x1b]52;c;AAAA\x07", "\u200b\u200b", "",
}

func hostileSnapshot(r *rand.Rand) *adminpb.ConsoleSnapshot {
	s := unhealthy()
	name := func() string { return hostile[r.IntN(len(hostile))] }
	s.SiteName, s.NodeName, s.Verdict.Sentence, s.Verdict.NextStep = name(), name(), name()+" "+name(), name()
	for _, l := range s.Links {
		l.Name, l.PeerName, l.Route, l.Cause, l.NextStep, l.StateWord, l.Glyph, l.OldestKey = name(), name(), name(), name(), name(), name(), name(), name()
		l.LagSeconds, l.OutRate, l.DrainSeconds = some(math.Inf(1)), some(math.NaN()), some(1e300)
		l.BacklogVersions = some(uint64(math.MaxUint64))
	}
	for _, a := range s.Alerts {
		a.Service, a.Cause, a.NextStep, a.Glyph, a.Word = name(), name(), name(), name(), name()
	}
	for _, site := range s.Sites {
		site.Name, site.Leader = name(), name()
	}
	for _, c := range s.LastChanges {
		c.Principal, c.Text = name(), name()
	}
	return s
}

// TestEveryFrameFits: whatever the size, the page and the names, a frame has as
// many lines and cells as the terminal, and no control character.
func TestEveryFrameFits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	routes := []string{"", "2", "2 enter", "2 enter tab", "2 enter tab tab", "2 enter f j", "2 enter f enter", "2 enter f R", "2 enter shift+tab enter", "G enter", "3", "ctrl+o", "?", "2 ?", ":", "n", "2 e", "2 p", "2 p ?", "2 v ?", "2 D", "2 s", "2 /", "2 u"}
	check := func(s *still, what string) {
		t.Helper()
		frame := s.View()
		lines := strings.Split(frame, "\n")
		if len(lines) != max(s.h, 1) {
			t.Fatalf("%s: %d lines, want %d", what, len(lines), s.h)
		}
		for i, line := range lines {
			if got := ansi.StringWidth(line); got != s.w {
				t.Fatalf("%s: line %d has %d cells, want %d: %q", what, i, got, s.w, line)
			}
			if strings.ContainsFunc(ansi.Strip(line), func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x202e }) {
				t.Fatalf("%s: line %d has control characters: %q", what, i, line)
			}
		}
	}
	for n, route := range routes {
		for variant := range 3 {
			snapshot := hostileSnapshot(r)
			s := newStill(t, snapshot, Options{ASCII: variant == 2, Theme: []string{"dark", "mono", "light"}[variant]})
			s.node.faults = func(*adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error) {
				out := faultsOf("maui")
				for _, f := range out.Faults {
					f.Bucket, f.Key, f.Version, f.Kind, f.Reason, f.Cause = hostile[r.IntN(len(hostile))], hostile[r.IntN(len(hostile))], hostile[r.IntN(len(hostile))], "version", hostile[r.IntN(len(hostile))], hostile[r.IntN(len(hostile))]
				}
				out.Next = "more"
				return out, nil
			}
			s.press(strings.Fields(route)...)
			if n%2 == 1 {
				s.lose(errors.New(hostile[r.IntN(len(hostile))]))
				s.attempt()
			}
			for range 60 {
				s.w, s.h = 1+r.IntN(200), 1+r.IntN(60)
				check(s, fmt.Sprintf("%q variant %d at %dx%d", route, variant, s.w, s.h))
			}
		}
	}
	s := newStill(t, hostileSnapshot(r), Options{}) // all small sizes, where the edges are
	for w := 1; w <= 200; w += 1 + w/20 {
		for h := 1; h <= 60; h += 1 + h/10 {
			s.w, s.h = w, h
			check(s, fmt.Sprintf("home at %dx%d", w, h))
		}
	}
}
