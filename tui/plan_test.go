package tui

import (
	"strings"
	"syscall"
	"testing"

	"edgefog.dev/isgw/cluster/admin"
)

// A plan that was left while the node applied it is not cancelled: what came of it is
// said, wherever one is by then.
func TestWhatCameOfAPlanThatWasLeft(t *testing.T) {
	for _, c := range []struct {
		set  func(*fakeNode)
		want string
	}{
		{func(*fakeNode) {}, "ok: pause maui"},
		{func(n *fakeNode) { n.fails = admin.Errorf(admin.CodeDenied, "not you") }, "pause maui: not you"},
		{func(n *fakeNode) { n.fails = admin.Errorf(admin.CodeInterrupted, "interrupted") }, "it is not known whether it was applied: the connection ended"},
		{func(n *fakeNode) { n.conflict = true }, "pause maui: nothing was changed: service kauai-cold was changed"},
	} {
		s := newStill(t, unhealthy(), Options{}).press("2", "j", "j", "p")
		c.set(s.node)
		_, cmd := s.Update(keyMsg("a"))
		s.want("esc back") // and not cancel
		s.press("esc", "n")
		s.want("┌ new link")
		s.run(cmd)
		s.want(c.want, "┌ new link")
		s.press("esc")
		s.wantNot("WHAT WILL HAPPEN")
	}
	// It is not planned again before its answer is there.
	s := newStill(t, unhealthy(), Options{}).press("2", "j", "j", "p")
	s.node.conflict = true
	s.press("a")
	s.want("r plan again")
	_, cmd := s.Update(keyMsg("a"))
	s.press("r")
	s.run(cmd)
	s.want("ok: pause maui")
	// Before it is applied, leaving it is the end of it.
	s = newStill(t, unhealthy(), Options{}).press("2", "j", "j")
	_, cmd = s.Update(keyMsg("p"))
	s.press("esc")
	s.run(cmd)
	s.wantNot("WHAT WILL HAPPEN", "pause maui")
}

// When the change is not possible any more there is no plan as it is now: it is said
// why, and that nothing was changed.
func TestAPlanThatIsNotPossibleAnyMore(t *testing.T) {
	for _, size := range sizes {
		s := newStill(t, unhealthy(), Options{}).size(size.w, size.h)
		s.node.needsName = "maui"
		s.press("2", "j", "j", "D").typing("maui")
		s.node.conflict, s.node.gone = true, true
		s.press("ctrl+s")
		if text := words(strings.ReplaceAll(s.screenOf(), "│", "")); !strings.Contains(text, "X nothing was changed: somebody changed the config meanwhile: there is no service maui") {
			t.Errorf("it is not said why:\n%s", s.screenOf())
		}
		s.want("r plan again", "esc cancel")
		s.wantNot("the node plans it", "ctrl-s apply")
		s.press("r")
		s.want("WHAT WILL HAPPEN", "type maui to confirm")
	}
}

// Where no answer came, the plan may have been applied all the same.
func TestAPlanWithoutAnAnswer(t *testing.T) {
	refused := admin.Errorf(admin.CodeUnavailable, "no node answers at unix:/run/1: %w", syscall.ECONNREFUSED)
	for _, c := range []struct {
		err     error
		unknown bool
	}{
		{admin.Errorf(admin.CodeInterrupted, "interrupted"), true},
		{admin.Errorf(admin.CodeTimeout, "no node answers at unix:/run/1: it took too long"), true},
		{admin.Errorf(admin.CodeUnavailable, "no node answers at unix:/run/1: unexpected EOF"), true},
		{refused, false},
		{admin.Errorf(admin.CodeDenied, "not you"), false},
	} {
		s := newStill(t, unhealthy(), Options{})
		s.node.fails = c.err
		s.press("2", "j", "j", "p", "a")
		s.want("WHAT WILL HAPPEN")
		s.wantNot("interrupted")
		if got := strings.Contains(words(s.screenOf()), "it is not known whether it was applied"); got != c.unknown {
			t.Errorf("after %q it is said to be unknown: %v\n%s", c.err, got, s.screenOf())
		}
	}
}
