package ccow

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/sync/link"
)

// The protocols that a handshake chooses from.
const (
	alpnLink    = "isgw/1"         // the dialling side asks
	alpnReverse = "isgw-reverse/1" // the dialling side answers
	alpnPair    = "isgw-pair/1"    // the dialling side brings a token
)

// sendBuffer is the send buffer of a connection. One of the kernel's default
// size bounds what a long line carries.
const sendBuffer = 4 << 20

// conn is a connection after its handshake: TLS over a socket. It implements
// net.Conn for net/http.
type conn struct {
	*tls.Conn
	sock    *socket
	alpn    string
	peer    *identity.PeerInfo
	service string
	// accepted says that the other side dialled.
	accepted bool
	// unopened is why the opening could not be sent, until confirm reads what the
	// peer says of that.
	unopened error
	// confirmed is called when confirm has read that: the other side has one handshake
	// less under way.
	confirmed func()
	// On connections on which this side asks; only their lane touches them.
	answers *headReader

	first firstRequest
	once  sync.Once
	done  chan struct{} // closed with the connection
	ended func()        // called once when it closes; set before it is shared
}

// served reports whether the other side is the one that asks.
func (c *conn) served() bool { return (c.alpn == alpnLink) == c.accepted }

// firstRequest keeps the limit that net/http sets for the head of a connection's
// first request until the first byte of that has come: connections are opened
// before they are needed, and wait for as long as it takes.
type firstRequest struct {
	awaited atomic.Bool
	limit   atomic.Int64 // time.Duration from the first byte on; 0 for none
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.first.awaited.Swap(false) {
		if d := time.Duration(c.first.limit.Load()); d > 0 && err == nil {
			err = c.Conn.SetReadDeadline(time.Now().Add(d))
		}
	}
	return n, err
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	if !c.first.awaited.Load() {
		return c.Conn.SetReadDeadline(t)
	}
	c.first.limit.Store(0)
	if !t.IsZero() {
		c.first.limit.Store(int64(max(time.Until(t), 1)))
	}
	return nil
}

// Write sends p at once, in as few writes as it takes.
func (c *conn) Write(p []byte) (int, error) {
	c.sock.cork()
	n, err := c.Conn.Write(p)
	if uerr := c.sock.uncork(); err == nil {
		err = uerr
	}
	return n, err
}

// Close ends the connection at once. No TLS closure alert is sent: every answer
// says in a frame that it is complete, and waiting for a peer that may be
// stalled would hold up whoever closes.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = c.sock.Conn.Close()
		close(c.done)
		if c.ended != nil {
			c.ended()
		}
	})
	return err
}

// tune sets up a TCP connection.
func tune(c net.Conn) {
	tcp := beneath(c)
	if tcp == nil {
		return
	}
	// Errors leave the kernel's settings, with which everything works too.
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3})
	if sendBufferAllowed(sendBuffer) {
		_ = tcp.SetWriteBuffer(sendBuffer)
	}
}

// beneath is the TCP connection that carries c, through whatever else; nil when
// there is none.
func beneath(c net.Conn) *net.TCPConn {
	for {
		switch under := c.(type) {
		case *net.TCPConn:
			return under
		case interface{ NetConn() net.Conn }:
			c = under.NetConn()
		default:
			return nil
		}
	}
}

// halfCloser finds what ends the writing side of a connection, in it or beneath.
func halfCloser(c net.Conn) interface{ CloseWrite() error } {
	for {
		if half, ok := c.(interface{ CloseWrite() error }); ok {
			return half
		}
		under, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = under.NetConn()
	}
}

// handshake runs the TLS handshake on either side. The caller still owns raw's
// end when it fails.
func (e *Endpoint) handshake(ctx context.Context, raw net.Conn, server bool, config *tls.Config, proof *proof) (*conn, error) {
	sock := newSocket(raw, e.o.Stall)
	var t *tls.Conn
	if server {
		t = tls.Server(sock, config)
	} else {
		t = tls.Client(sock, config)
	}
	if err := t.HandshakeContext(ctx); err != nil {
		sock.own(e.o.Meters.Get(link.MeterKey{}))
		if proof.err != nil { // what crypto/tls reports may have lost the type
			return nil, proof.err
		}
		return nil, err
	}
	return &conn{Conn: t, sock: sock, alpn: t.ConnectionState().NegotiatedProtocol, peer: proof.peer, done: make(chan struct{})}, nil
}

// linger closes a connection so that the peer can still read what was sent to
// it last: closing at once while bytes of the peer are unread would reset it.
func linger(ctx context.Context, raw net.Conn) {
	defer raw.Close()
	half := halfCloser(raw)
	if half == nil || half.CloseWrite() != nil || raw.SetReadDeadline(time.Now().Add(time.Second)) != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	var buf [4096]byte
	for n := 0; n < 64<<10; {
		k, err := raw.Read(buf[:])
		if err != nil {
			return
		}
		n += k
	}
}
