package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestLinkEvents: a link that was disabled and enabled says so, with how it stood
// meanwhile and who did it, the newest first.
func TestLinkEvents(t *testing.T) {
	t.Parallel()
	s := startSite(t, "alpha")
	s.ctl(0, "service", "create", "isgw", "hawaii")
	s.ctl(0, "service", "create", "isgw", "maui")
	type event struct {
		Time                   time.Time
		Glyph, Text, Principal string
	}
	var events []event
	// await polls until the states of the link are these, the newest first, and so
	// are the changes. A state is seen at the next second, which may be before the
	// change is recorded that led to it: between both there is no order.
	await := func(states, changes []string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; <-time.After(10 * time.Millisecond) {
			out, _ := s.ctl(0, "link", "events", "hawaii", "-o", "json")
			if err := json.Unmarshal([]byte(out), &events); err != nil {
				t.Fatal(err)
			}
			var stood, changed []string
			for _, e := range events {
				if e.Principal != "" {
					changed = append(changed, e.Text)
					continue
				}
				word, _, _ := strings.Cut(e.Text, ":")
				stood = append(stood, e.Glyph+" "+word)
			}
			if slices.Equal(stood, states) && slices.Equal(changed, changes) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("want %q and %q, have\n%s", states, changes, out)
			}
		}
	}
	await([]string{"! unpaired"}, []string{"create service hawaii"})
	s.ctl(0, "service", "disable", "hawaii")
	await([]string{"|| disabled", "! unpaired"}, []string{"disable hawaii", "create service hawaii"})
	s.ctl(0, "service", "enable", "hawaii")
	await([]string{"! unpaired", "|| disabled", "! unpaired"}, []string{"enable hawaii", "disable hawaii", "create service hawaii"})
	if !slices.IsSortedFunc(events, func(a, b event) int { return b.Time.Compare(a.Time) }) {
		t.Errorf("the newest are not the first: %v", events)
	}
	for _, e := range events {
		if e.Principal != "" && !strings.HasPrefix(e.Principal, "local:") {
			t.Errorf("%q was done by %q", e.Text, e.Principal)
		}
	}
	if out, _ := s.ctl(0, "link", "events", "maui", "-o", "name"); strings.Contains(out, "able") {
		t.Errorf("what happened to hawaii is told of maui:\n%s", out)
	}
}
