package tui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// What is longer than a line of the viewer goes on in the next one, and the events of
// a link are shown whole as well.
func TestTheViewerCutsNothing(t *testing.T) {
	var cause []string
	for i := range 60 {
		cause = append(cause, fmt.Sprintf("w%02d", i))
	}
	text := strings.Join(cause, " ")
	all := func(s *still) string {
		seen := ""
		for range 60 {
			seen += s.screenOf()
			s.press("j")
		}
		return seen
	}
	for _, size := range [][2]int{{60, 16}, {80, 24}, {140, 40}} {
		s := newStill(t, unhealthy(), Options{}).size(size[0], size[1])
		s.node.service = serviceOf("maui")
		s.node.service.Status.Buckets[1].Cause = text
		s.node.history = historyOf(20)
		s.node.history.Events[0].Text = text
		s.press("2", "j", "j", "v")
		seen := all(s)
		s.press("esc", "enter", "shift+tab", "enter")
		events := all(s)
		for _, word := range cause {
			if !strings.Contains(seen, word) || !strings.Contains(events, word) {
				t.Fatalf("at %v %q is not shown in\n%s\nor in\n%s", size, word, seen, events)
			}
		}
	}
}

// That there is more to scroll to is written on the frame: at the end of a plan or of
// the help no word is hidden behind it.
func TestTheLastLineOfWhatScrolls(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).size(60, 16)
	s.node.plan = planOf(nil)
	s.node.plan.Command = "isgwctl link pause maui" + strings.Repeat(" --and-more", 6) + " --last"
	s.press("2", "j", "j", "p")
	for range 40 {
		s.press("down")
	}
	s.want(strings.Repeat(" --and-more", 2)+" --last", "more ─┘")
	s = newStill(t, unhealthy(), Options{}).size(60, 16).press("2", "?")
	for range 40 {
		s.press("j")
	}
	s.want("draw the screen anew   ", "more ─┘")
}

// The palette knows a command by its name in the footer as well.
func TestPaletteKnowsShortNames(t *testing.T) {
	for query, want := range map[string]string{"unserve": "┌ stop serving on maui", "yaml": "┌ maui as YAML", "resume": "no command has these words"} {
		s := newStill(t, unhealthy(), Options{}).press("2", "j", "j", ":").typing(query)
		if query != "resume" {
			s.press("enter")
		}
		s.want(want)
	}
}

// On the smallest screen what is wrong is told whole somewhere, and so is what to do.
func TestSixtyBySixteenTellsAll(t *testing.T) {
	snapshot := unhealthy()
	cause := "the disk of /var/lib/isgw/alpha has less than 5 % free, and collects what nobody needs"
	snapshot.Alerts = append(snapshot.Alerts, &adminpb.Alert{Severity: adminpb.Severity_SEVERITY_WARNING, Glyph: "!", Word: "node", Cause: cause, NextStep: "free space: writes are refused when it is full", Key: "node"})
	l := snapshot.Links[2]
	l.Cause, l.NextStep = "3 versions are in quarantine", "see why with `isgwctl link failed maui`; they are tried again by themselves"
	s := newStill(t, snapshot, Options{}).size(60, 16).press("j", "j", "enter")
	for _, word := range strings.Fields(cause + " free space: writes are refused when it is full") {
		s.want(word)
	}
	s.press("esc", "2", "j", "j")
	if text := words(s.screenOf()); !strings.Contains(text, "see why with f; they are tried again by themselves") {
		t.Errorf("the next step is cut off:\n%s", s.screenOf())
	}
	s.lose(errDown)
	s.now, s.shown = noon.Add(12*time.Minute), noon.Add(12*time.Minute)
	s.press("1")
	s.want("12m00s old", "until a node answers")
}

// A paste that is too long for a field changes nothing, and that is said.
func TestPasteThatIsTooLong(t *testing.T) {
	for _, keys := range []string{"2 /", ":", "s", "n", "n tab", "2 e", "2 j j enter T", "ctrl+o a", "ctrl+o d"} {
		s := newStill(t, unhealthy(), Options{}).press(strings.Fields(keys)...).typing("ab")
		before := s.screenOf()
		for _, garbage := range []string{strings.Repeat("x", 100_000), strings.Repeat("日本\x1b[2J\n\t", 20_000)} {
			_, cmd := s.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(garbage), Paste: true})
			s.run(cmd)
		}
		s.want("what was pasted is too long and was left out: 4096 characters fit")
		s.notice = ""
		if after := s.screenOf(); after != before {
			t.Errorf("after %q a paste that is too long changed\n%s\ninto\n%s", keys, before, after)
		}
	}
}

// What is wrong with something very long is said all the same, at its end, and is
// written over nothing else.
func TestRefusalsOfWhatIsVeryLong(t *testing.T) {
	for _, size := range sizes {
		long := strings.Repeat("wörter und 日本 ", 250)
		s := newStill(t, unhealthy(), Options{}).size(size.w, size.h).press("n").typing("x")
		s.fields(fieldTarget).set(long)
		s.press("ctrl+s")
		s.want("is no duration; write 30s,", "nothing is changed before you apply the plan")
		s.fields(fieldTarget).set("")
		s.fields(fieldTarget + 4).set(long)
		s.press("ctrl+s")
		if text := words(s.screenOf()); strings.Contains(text, "WHAT WILL HAPPEN") || !strings.Contains(text, "▸ CHUNK CACHE") {
			t.Fatalf("%v is not refused:\n%s", long[:20], s.screenOf())
		}
		s.want("X chunk cache: ", "512Mi or 1Gi", "nothing is changed before you apply the plan  ")
		s.fields(fieldTarget + 4).set("")
		s.node.refuses = admin.Errorf(admin.CodeInvalid, "service name %q has a blank in it", long)
		s.press("ctrl+s")
		if text := words(s.screenOf()); !strings.Contains(text, "X service name") || !strings.Contains(text, "has a blank in it") {
			t.Errorf("the refusal is cut off:\n%s", s.screenOf())
		}
	}
}

// fields is an input of the form that is shown.
func (s *still) fields(i int) *input { return s.top().(*form).fields[i].input }

// A node that tells one series of a history in fewer points than another ends nothing.
func TestHistoryOfUnevenSeries(t *testing.T) {
	saved := ""
	s := newStill(t, unhealthy(), Options{Save: func(name string, data []byte) (string, error) { saved = string(data); return name, nil }})
	s.node.history = historyOf(4)
	s.node.history.Series[2].Points = s.node.history.Series[2].Points[:2]
	s.press("2", "j", "j", "enter", "c", "left", "esc", "x")
	if lines := strings.Split(strings.TrimSpace(saved), "\n"); len(lines) != 5 || strings.Split(lines[4], ",")[3] != "" || strings.Split(lines[4], ",")[4] == "" {
		t.Errorf("saved %q", saved)
	}
}
