package s3gate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3err"
)

const (
	// idleTimeout closes a connection that has no request.
	idleTimeout = 2 * time.Minute
	// headerLimit is the greatest header of a request in bytes; s3api sets it.
	headerLimit = 8 << 10
	// firstByteGrace is how long a connection that was never used may still
	// bring its first request when Serve is told to end.
	firstByteGrace = 250 * time.Millisecond
	// workerIdle ends a goroutine that has no connection.
	workerIdle = time.Second
	// lingerTime and lingerBytes bound what is still read of a body that was refused,
	// so that its sender gets to read why: a connection that is closed over bytes on
	// their way is reset, and the answer is lost.
	lingerTime  = time.Second
	lingerBytes = 8 << 20
	// maxBodyTime bounds a whole request body; within it bytes must keep
	// moving, see Options.StallTimeout.
	maxBodyTime = 24 * time.Hour
)

// Serve answers requests on ln until ctx ends. Then it takes no more, lets those
// under way finish for the drain timeout, closes what is left and returns nil.
// It owns ln, and returns an error when ln fails. A gate serves once.
func (g *Gate) Serve(ctx context.Context, ln net.Listener) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if !g.backend.base.CompareAndSwap(nil, &base) {
		_ = ln.Close()
		return errors.New("serve S3: this gate has served before")
	}
	guarded := &guardedListener{Listener: ln, gate: g, open: make(map[*guardedConn]struct{})}

	g.app.Handler() // builds the routes
	srv := g.app.Server()
	srv.Name = "isgw"
	srv.ReadTimeout = g.header
	srv.IdleTimeout = idleTimeout
	srv.MaxIdleWorkerDuration = workerIdle
	srv.CloseOnShutdown = true
	// guardedListener turns away what is too much, without a goroutine for it; what
	// it has closed may still be in fasthttp's hands for a moment.
	srv.Concurrency = 2*g.maxConnections + 64
	// A form is never read ahead of the signature, into memory or files.
	srv.DisablePreParseMultipartForm = true
	srv.ErrorHandler = unreadable
	srv.HeaderReceived = func(*fasthttp.RequestHeader) fasthttp.RequestConfig {
		return fasthttp.RequestConfig{ReadTimeout: maxBodyTime}
	}

	var serving net.Listener = guarded
	if g.tls != nil {
		serving = tls.NewListener(guarded, g.tls)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(serving) }()
	select {
	case err := <-served:
		served <- fmt.Errorf("serve S3 on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
		// Shutdown knows only a listener that Serve has got to.
		_ = guarded.Close()
		guarded.hurryUnused()
		draining, stop := context.WithTimeout(context.WithoutCancel(ctx), g.drain)
		defer stop()
		if err := srv.ShutdownWithContext(draining); err != nil {
			g.logger.Warn("S3 requests were cut off at shutdown", "after", g.drain, "error", err)
		}
	}
	cancel()
	guarded.closeAll()
	err := <-served
	guarded.conns.Wait()
	return err
}

// unreadable answers what came on a connection and is no whole request.
func unreadable(ctx *fasthttp.RequestCtx, err error) {
	var answer s3err.S3Error = s3err.GetAPIError(s3err.ErrCannotParseHTTPRequest)
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		answer = s3err.GetRequestHeaderSectionTooLargeErr(headerLimit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		answer = errTimeout
	case errors.Is(err, io.ErrUnexpectedEOF):
		answer = s3err.GetAPIError(s3err.ErrIncompleteBody)
	}
	ctx.Response.Reset()
	ctx.SetContentType("application/xml")
	ctx.SetStatusCode(answer.StatusCode())
	ctx.SetBody(answer.XMLBody("", ""))
	ctx.SetConnectionClose()
}

// guardedListener knows its connections, so that they can be counted, timed
// and closed.
type guardedListener struct {
	net.Listener
	gate    *Gate
	conns   sync.WaitGroup // connections whose goroutine is not done with them
	hurried atomic.Bool    // no request is to come any more
	closing sync.Once

	mu   sync.Mutex
	open map[*guardedConn]struct{}
}

// Close implements net.Listener, and may be called again.
func (l *guardedListener) Close() error {
	var err error
	l.closing.Do(func() { err = l.Listener.Close() })
	return err
}

// Accept implements net.Listener.
func (l *guardedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	for err == nil && l.gate.counts.connections.Load() >= int64(l.gate.maxConnections) {
		l.turnAway(c)
		c, err = l.Listener.Accept()
	}
	if err != nil {
		return nil, err
	}
	gc := &guardedConn{Conn: c, listener: l, in: newProgress(l.gate.stall), out: newProgress(l.gate.stall)}
	l.conns.Add(1)
	l.gate.counts.connections.Add(1)
	l.mu.Lock()
	l.open[gc] = struct{}{}
	l.mu.Unlock()
	return gc, nil
}

// turnAway closes a connection that is one too many, with an answer if it is read
// in the clear. The answer fits a new connection's buffer, so that nobody waits.
func (l *guardedListener) turnAway(c net.Conn) {
	l.gate.counts.turnedAway.Add(1)
	if l.gate.tls == nil {
		body := s3err.GetAPIError(s3err.ErrSlowDown).XMLBody("", "")
		_ = c.SetWriteDeadline(time.Now().Add(firstByteGrace))
		_, _ = fmt.Fprintf(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nRetry-After: 1\r\n"+
			"Connection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	_ = c.Close()
}

// closeAll closes what lies beneath every connection, so that the goroutine
// that serves it ends, and closes the connection itself.
func (l *guardedListener) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		_ = c.Conn.Close()
	}
}

// hurryUnused leaves the connections on which no request has come yet a short
// time: clients keep some in store, and fasthttp would wait for their first
// request. A request that is on its way still counts as one under way.
func (l *guardedListener) hurryUnused() {
	l.hurried.Store(true)
	l.mu.Lock()
	var unused []*guardedConn
	for c := range l.open {
		if !c.used.Load() {
			unused = append(unused, c)
		}
	}
	l.mu.Unlock()
	for _, c := range unused {
		_ = c.SetReadDeadline(time.Now().Add(firstByteGrace))
	}
}

// guardedConn ends when bytes do not move: a slow transfer lives as long as it makes
// progress. A deadline that was set, for a header or an idle connection, holds as it
// is; one far away, as for a body, does not replace the judgement by progress. One
// goroutine reads at a time, and one writes.
type guardedConn struct {
	net.Conn
	listener *guardedListener
	closing  sync.Once
	used     atomic.Bool // a byte has come
	lingers  atomic.Bool // a request with a body was refused

	mu          sync.Mutex
	read, write time.Time // deadlines that were set from outside; zero for none
	in, out     progress
	bounded     bool  // no more than allowance may be read
	allowance   int64 // bytes
}

// Read implements net.Conn.
func (c *guardedConn) Read(p []byte) (int, error) {
	began := time.Now()
	c.mu.Lock()
	deadline := c.deadline(c.read, &c.in, began)
	if c.bounded {
		if c.allowance <= 0 {
			c.mu.Unlock()
			return 0, errPreamble
		}
		p = p[:min(int64(len(p)), c.allowance)]
	}
	c.mu.Unlock()
	if err := c.Conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.in.add(n, time.Since(began))
	c.allowance -= int64(n)
	c.mu.Unlock()
	c.listener.gate.counts.in.Add(uint64(n))
	if n > 0 {
		c.used.Store(true)
	} else if err != nil && !c.used.Load() {
		// A connection that never asked for anything ends without an answer.
		return 0, io.EOF
	}
	return n, err
}

// Write implements net.Conn. What does not fit the time for all of p goes on as long
// as enough of it moves.
func (c *guardedConn) Write(p []byte) (written int, err error) {
	for {
		began := time.Now()
		c.mu.Lock()
		judged := !near(c.write, began)
		deadline := c.deadline(c.write, &c.out, began)
		c.mu.Unlock()
		if err := c.Conn.SetWriteDeadline(deadline); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(p[written:])
		written += n
		c.listener.gate.counts.out.Add(uint64(n))
		c.mu.Lock()
		c.out.add(n, time.Since(began))
		more := judged && c.out.left() > 0
		c.mu.Unlock()
		if err == nil || !more || !errors.Is(err, os.ErrDeadlineExceeded) {
			return written, err
		}
	}
}

// deadline returns when a read or a write that begins now must be done; c.mu is
// held.
func (c *guardedConn) deadline(set time.Time, p *progress, now time.Time) time.Time {
	if !c.used.Load() && c.listener.hurried.Load() {
		if soon := now.Add(firstByteGrace); set.IsZero() || set.After(soon) {
			return soon
		}
		return set
	}
	if near(set, now) {
		return set
	}
	return now.Add(p.left())
}

// near says whether a deadline is one of a header or of an idle connection.
func near(set, now time.Time) bool { return !set.IsZero() && !set.After(now.Add(idleTimeout)) }

// SetDeadline implements net.Conn.
func (c *guardedConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn. It also wakes a read under way.
func (c *guardedConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.read = t
	c.in.reset() // another request's header or body
	c.mu.Unlock()
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *guardedConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	c.write = t
	c.mu.Unlock()
	return c.Conn.SetWriteDeadline(t)
}

// Close implements net.Conn.
func (c *guardedConn) Close() error {
	if c.lingers.CompareAndSwap(true, false) {
		c.linger()
	}
	err := c.Conn.Close()
	c.closing.Do(func() {
		l := c.listener
		l.mu.Lock()
		delete(l.open, c)
		l.mu.Unlock()
		l.gate.counts.connections.Add(-1)
		l.conns.Done()
	})
	return err
}

// linger tells the client that no more comes, and reads what it still sends until it
// has understood.
func (c *guardedConn) linger() {
	tcp, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || tcp.CloseWrite() != nil || c.Conn.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	n, _ := io.CopyN(io.Discard, c.Conn, lingerBytes) // whatever ends it, the connection is closed now
	c.listener.gate.counts.in.Add(uint64(n))
}
