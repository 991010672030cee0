package tui

import (
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// A next step names the key that does it, and a command where none does.
func TestNextStepsNameKeys(t *testing.T) {
	const why = "see why with `isgwctl link failed maui`; they are tried again by themselves, or at once by `isgwctl link retry maui --all`"
	for _, c := range []struct {
		text            string
		paused          bool
		home, its, none string // on Home, on the link's page, and in ASCII on Home where that differs
	}{
		{why, false, "see why with f; they are tried again by themselves, or at once by ↵ R", "see why with f; they are tried again by themselves, or at once by R",
			"see why with f; they are tried again by themselves, or at once by enter R"},
		{"isgwctl link failed maui has the cause of each", false, "f has the cause of each", "f has the cause of each", ""},
		{"see `isgwctl link failed maui` at the other site", false, "see `isgwctl link failed maui` at the other site", "see `isgwctl link failed maui` at the other site", ""},
		{"resume it where it was paused (isgwctl link resume maui)", false, "resume it where it was paused (isgwctl link resume maui)", "resume it where it was paused (isgwctl link resume maui)", ""},
		{"resume it where it was paused (isgwctl link resume maui)", true, "resume it where it was paused (↵ p)", "resume it where it was paused (p)", ""},
		{"enable it with `isgwctl service enable`", true, "enable it with ↵ E", "enable it with E", ""},
		{"copy it again with isgwctl service resync maui, or follow changes with isgwctl service edit maui --replication initial+continuous", false,
			"copy it again with ↵ T, or follow changes with ↵ e, REPLICATION initial+continuous", "copy it again with T, or follow changes with e, REPLICATION initial+continuous", ""},
		{"give the link another port (isgwctl service edit maui --local)", false, "give the link another port (↵ e, LOCAL)", "give the link another port (e, LOCAL)", ""},
		{"set it there too (isgwctl service edit maui --tunnel true), or take it back here (--tunnel false)", false,
			"set it there too (isgwctl service edit maui --tunnel true), or take it back here (--tunnel false)", "set it there too (isgwctl service edit maui --tunnel true), or take it back here (--tunnel false)", ""},
		{"raise connections, or wait", false, "raise connections, or wait", "raise connections, or wait", ""},
	} {
		snapshot := unhealthy()
		l := snapshot.Links[2]
		l.Enabled = !strings.Contains(c.text, "enable it")
		l.NextStep, l.Paused, snapshot.Alerts[1].NextStep = c.text, c.paused, c.text
		for _, ascii := range []bool{false, true} {
			s := newStill(t, snapshot, Options{ASCII: ascii}).press("j")
			home := c.home
			if ascii && c.none != "" {
				home = c.none
			}
			if !ascii || c.none != "" {
				if text := words(s.screenOf()); !strings.Contains(text, home) {
					t.Errorf("Home says not %q:\n%s", home, s.screenOf())
				}
			}
		}
		s := newStill(t, snapshot, Options{}).size(120, 32).press("2", "j", "j", "enter")
		if text := words(s.screenOf()); !strings.Contains(text, c.its) {
			t.Errorf("the link's page says not %q:\n%s", c.its, s.screenOf())
		}
	}
	s := newStill(t, noLinks(), Options{})
	s.snapshot.Verdict.NextStep = "make one with `isgwctl service create`"
	s.want("→ make one with n")
}

// The list of links says the same as Home, in the line about the selected one.
func TestNextStepOfTheSelectedLink(t *testing.T) {
	snapshot := unhealthy()
	l := snapshot.Links[2]
	l.Severity, l.Cause, l.NextStep = adminpb.Severity_SEVERITY_WARNING, "2 versions are in quarantine", "see why with `isgwctl link failed maui`"
	s := newStill(t, snapshot, Options{}).press("2", "j", "j")
	s.want("2 versions are in quarantine → see why with f")
	s.wantNot("isgwctl link failed")
}

// words is a screen as one line, its parts one space apart.
func words(screen string) string { return strings.Join(strings.Fields(screen), " ") }
