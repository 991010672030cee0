package tui

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// With more buckets than are offered at once, what is typed goes to the node: those that
// were left out are found, and the screen says that there are more.
func TestPickingAmongManyBuckets(t *testing.T) {
	for _, size := range sizes {
		s := newStill(t, unhealthy(), Options{}).size(size.w, size.h)
		for i := range 25_301 {
			s.node.buckets = append(s.node.buckets, fmt.Sprintf("Hawaii/Cola/bucket-%05d", i))
		}
		s.press("2", "j", "s")
		s.want("Not all are listed, 24301 more match", "Hawaii/Cola/bucket-00000")
		s.typing("COLA/bucket-2530")
		s.want("▸ Hawaii/Cola/bucket-25300")
		s.wantNot("more match", "bucket-00000")
		asked := slices.Clone(s.node.filters)
		s.typing("0")
		if now := s.node.filters; len(now) != len(asked) {
			t.Errorf("what is known is asked for again: %q", now[len(asked):])
		}
		s.press("enter")
		if got := s.node.asked[0].GetServe().GetPath(); got != "Hawaii/Cola/bucket-25300" {
			t.Errorf("it serves %q", got)
		}
		s.press("esc", "ctrl+u")
		s.want("Not all are listed, 24301 more match")
		if p := s.top().(*picker); len(p.all) > maxChoices+1 {
			t.Errorf("%d names are kept", len(p.all))
		}
	}
}

// One question is under way at a time, and the last one is for what is typed.
func TestPickingWhileTheNodeIsSlow(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).press("2", "j")
	for i := range 2000 {
		s.node.buckets = append(s.node.buckets, fmt.Sprintf("Hawaii/Cola/bucket-%05d", i))
	}
	_, first := s.Update(keyMsg("s"))
	for _, r := range "1999" {
		if _, cmd := s.Update(keyMsg(string(r))); cmd != nil {
			t.Fatal("a second question is asked before the first is answered")
		}
	}
	s.want(".. asking which buckets there are")
	s.run(first)
	if got := s.node.filters; !slices.Equal(got, []string{"", "1999"}) {
		t.Errorf("asked for %q", got)
	}
	s.want("▸ Hawaii/Cola/bucket-01999")
	// And when the list does not come, a path can be typed.
	s = newStill(t, unhealthy(), Options{}).size(60, 16)
	s.node.unread = refusal()
	s.press("2", "j", "s").typing("Hawaii/Cola/x")
	s.want("the list did not come, type the path", "▸ Hawaii/Cola/x")
	s.press("enter")
	if got := s.node.asked[0].GetServe().GetPath(); got != "Hawaii/Cola/x" {
		t.Errorf("it serves %q", got)
	}
}

// The row that is what is typed is taken when the operator went to it, and stays taken
// while more is typed.
func TestPickingWhatIsTyped(t *testing.T) {
	for keys, want := range map[string]string{
		"Hawaii/Cola/so":                 "Hawaii/Cola/sound",
		"Hawaii/Cola/so up":              "Hawaii/Cola/so",
		"Hawaii/Cola/so up u":            "Hawaii/Cola/sou",
		"Hawaii/Cola/so up down":         "Hawaii/Cola/sound",
		"Hawaii/Cola":                    "Hawaii/Cola", // the tenant, which is offered
		"Hawaii/New":                     "Hawaii/New",
		"Hawaii/Cola/sx backspace":       "Hawaii/Cola/sound",
		"Hawaii/Cola/sound,deletes=keep": "Hawaii/Cola/sound,deletes=keep",
	} {
		s := newStill(t, unhealthy(), Options{}).press("2", "j", "s")
		for i, k := range strings.Fields(keys) {
			if i == 0 {
				s.typing(k)
			} else {
				s.press(k)
			}
		}
		s.press("enter")
		if got := s.node.asked[0].GetServe().GetPath(); got != want {
			t.Errorf("after %q it serves %q, want %q", keys, got, want)
		}
	}
}
