package ccow

import (
	"context"
	"net"
	"sync"
)

// inbox is the listener of the HTTP server: it yields connections whose
// handshake is over, whoever dialled them.
type inbox struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	addr  net.Addr
}

func newInbox(l net.Listener) *inbox {
	in := &inbox{conns: make(chan net.Conn), done: make(chan struct{}), addr: &net.TCPAddr{}}
	if l != nil {
		in.addr = l.Addr()
	}
	return in
}

// put hands a connection to the server; it is false when the inbox is closed
// or ctx ends first.
func (in *inbox) put(ctx context.Context, c *conn) bool {
	c.first.awaited.Store(true)
	select {
	case in.conns <- c:
		return true
	case <-in.done:
	case <-ctx.Done():
	}
	return false
}

// Accept implements net.Listener.
func (in *inbox) Accept() (net.Conn, error) {
	select {
	case c := <-in.conns:
		return c, nil
	case <-in.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (in *inbox) Close() error {
	in.once.Do(func() { close(in.done) })
	return nil
}

// Addr implements net.Listener.
func (in *inbox) Addr() net.Addr { return in.addr }
