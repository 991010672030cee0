package tui

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// refusal is an error of a node with more to say than there is room for.
func refusal() *admin.Error {
	err := admin.Errorf(admin.CodeFailed, "read the catalog of Hawaii/Cola/photos: %s", strings.Repeat("a page cannot be read; ", 30)).WithHint("see the log of the node")
	err.Node, err.RequestID = "oahu-2", "0123456789abcdef01234567"
	return err
}

// An error says what failed and what to do, which node said so and to which request, in
// three lines at most; r tries again and y copies all of it.
func TestErrorsOfANode(t *testing.T) {
	const source = "request 0123456789abcdef01234567, says oahu-2"
	for _, c := range []struct {
		name, keys string
		set        func(*fakeNode, error)
		again      string // on the screen when it was tried again
	}{
		{"a plan", "2 j j p", func(n *fakeNode, err error) { n.refuses = err }, "WHAT WILL HAPPEN"},
		{"a plan that is applied", "2 j j p a", func(n *fakeNode, err error) { n.fails = err }, "WHAT WILL HAPPEN"},
		{"a manifest", "2 j j v", func(n *fakeNode, err error) { n.unread = err }, "name: maui"},
		{"buckets", "2 j j enter tab", func(n *fakeNode, err error) { n.unread = err }, "Hawaii/Cola/bk1"},
		{"what failed", "2 j j f", func(n *fakeNode, err error) {
			n.faults = func(*adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error) {
				if err != nil {
					return nil, err
				}
				return faultsOf("maui"), nil
			}
		}, "a.jpg"},
	} {
		for _, size := range sizes {
			copied := ""
			s := newStill(t, unhealthy(), Options{Theme: "mono", Clipboard: func(text string) error { copied = text; return nil }}).size(size.w, size.h)
			c.set(s.node, refusal())
			s.press(strings.Fields(c.keys)...)
			first, last := s.rowOf("X read the catalog"), s.rowOf(source)
			if first < 0 || last < first || last-first >= 3 {
				t.Errorf("%s at %v: rows %d to %d\n%s", c.name, size, first, last, s.screenOf())
			}
			if !strings.Contains(words(strings.ReplaceAll(s.screenOf(), "│", "")), "see the log of the node") {
				t.Errorf("%s at %v: it is not said what to do\n%s", c.name, size, s.screenOf())
			}
			s.press("y")
			if want := reason(refusal()) + "\nnode: oahu-2\nrequest: 0123456789abcdef01234567"; copied != want {
				t.Errorf("%s: copied %q, want %q", c.name, copied, want)
			}
			c.set(s.node, nil)
			s.press("r")
			s.wantNot(source)
			s.want(c.again)
		}
	}
	// Where no node said so there is nobody to ask.
	s := newStill(t, unhealthy(), Options{})
	s.node.refuses = errDown
	s.press("2", "p")
	s.want("X connection refused")
	s.wantNot("request", "says")
}

// silent is a node that answers nothing; it notes why what it was asked ended.
type silent struct {
	*fakeNode
	ended chan error
}

func (n *silent) wait(ctx context.Context) error {
	<-ctx.Done()
	n.ended <- ctx.Err()
	return ctx.Err()
}

func (n *silent) Service(ctx context.Context, _ string, _ bool) (*adminpb.Service, error) {
	return nil, n.wait(ctx)
}

func (n *silent) Plan(ctx context.Context, _ *adminpb.PlanRequest) (*adminpb.Plan, error) {
	return nil, n.wait(ctx)
}

func (n *silent) Buckets(ctx context.Context, _ string, _ int) (Paths, error) {
	return Paths{}, n.wait(ctx)
}

func (n *silent) Apply(ctx context.Context, _ *adminpb.ApplyRequest) (*adminpb.ApplyResponse, error) {
	return nil, n.wait(ctx)
}

// start runs a command and those that it is made of, each in a goroutine.
func start(cmd tea.Cmd) {
	go func() {
		if batch, ok := cmd().(tea.BatchMsg); ok {
			for _, c := range batch {
				start(c)
			}
		}
	}()
}

// Whoever leaves a page or dialog ends what it waits for; a plan that is being applied
// is not called back.
func TestLeavingEndsTheCalls(t *testing.T) {
	for _, c := range []struct {
		before, key, leave string
		ends               bool
	}{
		{"2", "enter", "esc", true}, {"2", "enter", "1", true}, {"2", "v", "esc", true}, {"2", "e", "esc", true}, {"2", "s", "esc", true}, {"2", "p", "esc", true},
		{"2 p", "a", "esc", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStill(t, unhealthy(), Options{}).press(strings.Fields(c.before)...)
			node := &silent{fakeNode: s.node, ended: make(chan error, 1)}
			s.conn.node, s.ctx = node, t.Context()
			_, cmd := s.Update(keyMsg(c.key))
			start(cmd)
			synctest.Wait()
			_, _ = s.Update(keyMsg(c.leave))
			synctest.Wait()
			var why error
			select {
			case why = <-node.ended:
			default:
			}
			if ended := errors.Is(why, context.Canceled); ended != c.ends {
				t.Errorf("after %s %s and %s the call ended: %v", c.before, c.key, c.leave, ended)
			}
		})
	}
}

// A page that is slower than the site changes is filled all the same: what is on its way
// is not asked for again.
func TestAnswersThatTakeLong(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).press("2")
	_, cmd := s.Update(keyMsg("enter"))
	answers := replies(cmd)
	snapshot := unhealthy()
	for i := range 3 {
		now := noon.Add(time.Duration(i+1) * time.Second)
		_, _ = s.Update(heardMsg{s.watched(), now, s.node, snapshot})
		if again := replies(s.pulsed(now)); len(again) > 0 {
			t.Fatalf("%d calls are made while those before are under way", len(again))
		}
	}
	for _, msg := range answers {
		_, _ = s.Update(msg)
	}
	s.want("Hawaii/Cola/bk1", "throughput")
	s.wantNot("loading")
}
