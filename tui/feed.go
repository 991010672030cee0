package tui

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// feed carries what a node tells from the command that listens to the one that
// hands it to the model. It holds the newest snapshot only: a console that
// draws more slowly than a site changes skips states and never queues them.
type feed struct {
	ready chan struct{} // holds a token while there is something to take

	mu       sync.Mutex
	node     Node
	snapshot *adminpb.ConsoleSnapshot
	step     step
}

func newFeed() *feed { return &feed{ready: make(chan struct{}, 1)} }

// put hands over a snapshot, or with nil only that the node lives.
func (f *feed) put(node Node, s *adminpb.ConsoleSnapshot) {
	f.mu.Lock()
	f.node = node
	if s != nil {
		f.snapshot = s
	}
	f.mu.Unlock()
	f.wake()
}

func (f *feed) wake() {
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

// reach notes how far the attempt came.
func (f *feed) reach(s step) {
	f.mu.Lock()
	f.step = s
	f.mu.Unlock()
	f.wake()
}

// traced is a context in which the way to a node is followed.
func (f *feed) traced(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectDone: func(_, _ string, err error) {
			if err == nil {
				f.reach(stepConnect)
			}
		},
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err == nil {
				f.reach(stepTLS)
			}
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				f.reach(stepSent)
			}
		},
	})
}

// stepMsg says that an attempt came further.
type stepMsg struct {
	generation int
	at         time.Time
	step       step
}

// heardMsg says that the node of a connection told something.
type heardMsg struct {
	generation int
	at         time.Time
	node       Node
	snapshot   *adminpb.ConsoleSnapshot // nil: nothing changed
}

// endedMsg says that a connection is over.
type endedMsg struct {
	generation int
	at         time.Time
	err        error
}

// listen is a command that dials a node and hands what it tells to the feed
// until ctx ends or the node is gone.
func listen(ctx context.Context, o Options, e Endpoint, generation int, f *feed, wrap func(Node) Node) tea.Cmd {
	return func() tea.Msg {
		raw, err := o.Dial(e)
		if err != nil {
			return endedMsg{generation, o.Clock(), err}
		}
		defer raw.Close()
		node := wrap(raw)
		err = node.Watch(f.traced(ctx), min(o.Interval, time.Second), func(s *adminpb.ConsoleSnapshot) error {
			if s.GetHeartbeat() {
				s = nil
			}
			f.put(node, s)
			return ctx.Err()
		})
		return endedMsg{generation, o.Clock(), err}
	}
}

// next is a command that waits for the feed.
func next(ctx context.Context, o Options, generation int, f *feed) tea.Cmd {
	return func() tea.Msg {
		select {
		case <-ctx.Done():
			return nil
		case <-f.ready:
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.node == nil {
			return stepMsg{generation, o.Clock(), f.step}
		}
		msg := heardMsg{generation, o.Clock(), f.node, f.snapshot}
		f.snapshot = nil
		return msg
	}
}
