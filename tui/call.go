package tui

import (
	"context"
	"errors"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin"
)

// callTime bounds a call that a page or dialog makes.
const callTime = 10 * time.Second

var (
	errNotConnected = errors.New("not connected: changes wait until a node answers")
	// errEnded is why a call has no answer whose connection ended.
	errEnded = admin.Errorf(admin.CodeInterrupted, "the connection ended before the node answered")
)

// asked is the newest call of a kind that a page or dialog makes; the zero value is
// none. It belongs to the model's goroutine.
type asked struct {
	serial int // 0: none is under way
	stop   context.CancelFunc
}

// waits says whether a call is under way.
func (a *asked) waits() bool { return a.serial != 0 }

// leave ends the call under way: nobody wants its answer any more.
func (a *asked) leave() {
	if a.stop != nil {
		a.stop()
	}
	*a = asked{}
}

// reply is what became of a call of the node for a page or dialog.
type reply[T any] struct {
	serial int
	newest *asked // the newest call of this kind; the replies to others are late
	take   func(T, error) tea.Cmd
	res    T
	err    error
}

// deliver hands the reply over, if it is the newest one.
func (r reply[T]) deliver(*Model) tea.Cmd {
	if r.serial != r.newest.serial {
		return nil
	}
	r.newest.leave()
	return r.take(r.res, r.err)
}

// call asks the node something for a page or dialog, in place of what *newest waits
// for. The model takes the answer in its own goroutine, or drops it if *newest is
// another call's by then.
func call[T any](m *Model, newest *asked, ask func(context.Context, Node) (T, error), take func(T, error) tea.Cmd) tea.Cmd {
	newest.leave()
	serial, node := m.nextSerial(), m.conn.node
	ctx, stop := context.WithCancel(m.ctx)
	*newest = asked{serial, stop}
	return func() tea.Msg {
		r := reply[T]{serial: serial, newest: newest, take: take, err: errNotConnected}
		if node != nil {
			within, cancel := context.WithTimeout(ctx, callTime)
			defer cancel()
			r.res, r.err = ask(within, node)
		}
		var failure *admin.Error
		if errors.As(r.err, &failure) && failure.Code == admin.CodeInterrupted && ctx.Err() != nil {
			r.err = errEnded
		}
		return r
	}
}
