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

// reply is what became of a call of the node for a page or dialog.
type reply[T any] struct {
	serial int
	newest *int // serial of the newest call of this kind; the replies to others are late
	take   func(T, error) tea.Cmd
	res    T
	err    error
}

// deliver hands the reply over, if it is the newest one.
func (r reply[T]) deliver(*Model) tea.Cmd {
	if r.serial != *r.newest {
		return nil
	}
	return r.take(r.res, r.err)
}

// call asks the node something for a page or dialog. The model takes the answer in
// its own goroutine, or drops it if *newest is another call's by then. A call that
// is the only one of its kind has a new(int).
func call[T any](m *Model, newest *int, ask func(context.Context, Node) (T, error), take func(T, error) tea.Cmd) tea.Cmd {
	serial := m.nextSerial()
	*newest = serial
	node, ctx := m.conn.node, m.ctx
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
