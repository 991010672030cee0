package linktest

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Line is a simulated long line: connections in memory that deliver their bytes
// after a delay, share a capacity, and have a window of their own, as TCP has.
// It reads the time of package time alone, so that in a bubble of
// testing/synctest a run takes no longer than the work of its ends, and gives
// the same figures on a busy machine. Loss and slow start are not simulated.
// Set the fields before the first connection.
type Line struct {
	// Delay is the time from one end to the other: half a round trip.
	Delay time.Duration
	// Rate is the capacity in bytes per second in each direction.
	Rate float64
	// Window bounds the bytes of one connection and direction that were sent
	// and not read and acknowledged yet.
	Window int

	mu     sync.Mutex
	free   [2]time.Time // when the last byte that was accepted has left, by direction
	passed [2]uint64
	opened int
}

// Passed returns the bytes that were read at the line's ends, sent from the
// dialling sides to the accepting ones and back.
func (l *Line) Passed() (there, back uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.passed[0], l.passed[1]
}

// Opened returns the number of connections made so far.
func (l *Line) Opened() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.opened
}

// depart says when n bytes of a direction arrive that are sent now.
func (l *Line) depart(direction, n int) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.free[direction].Before(now) {
		l.free[direction] = now
	}
	l.free[direction] = l.free[direction].Add(time.Duration(float64(n) / l.Rate * 1e9))
	return l.free[direction].Add(l.Delay)
}

func (l *Line) arrived(direction, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passed[direction] += uint64(n)
}

// Listen returns a listener at one end of the line, and what dials it from the
// other: a function for ccow.Options.Dial that goes to it whatever the address.
func (l *Line) Listen() (net.Listener, func(ctx context.Context, network, address string) (net.Conn, error)) {
	ear := &lineListener{conns: make(chan net.Conn), done: make(chan struct{})}
	return ear, func(ctx context.Context, _, _ string) (net.Conn, error) {
		there, back := newFlow(l, 0), newFlow(l, 1)
		// Connecting takes a round trip.
		knock := time.NewTimer(2 * l.Delay)
		defer knock.Stop()
		select {
		case <-knock.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		select {
		case ear.conns <- &lineConn{in: there, out: back}:
		case <-ear.done:
			return nil, net.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		l.mu.Lock()
		l.opened++
		l.mu.Unlock()
		return &lineConn{in: back, out: there}, nil
	}
}

type lineListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *lineListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *lineListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *lineListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

// flow is one direction of a connection.
type flow struct {
	line      *Line
	direction int

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when something below changes
	queue   []segment
	unacked int
	ended   bool // the writing side has closed
	broken  bool // the reading side has
	read    time.Time
	write   time.Time // deadlines
}

type segment struct {
	data []byte
	at   time.Time // when it arrives
}

// segmentSize is what one connection puts on the line in one piece, so that
// several share it.
const segmentSize = 16 << 10

func newFlow(l *Line, direction int) *flow {
	return &flow{line: l, direction: direction, changed: make(chan struct{})}
}

// change lets f happen and wakes whoever waits.
func (f *flow) change(happen func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	happen()
	close(f.changed)
	f.changed = make(chan struct{})
}

// await waits for a change, or until a time if that is set. f.mu is held.
func (f *flow) await(until time.Time) {
	changed := f.changed
	f.mu.Unlock()
	defer f.mu.Lock()
	if until.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

func expired(deadline time.Time) bool { return !deadline.IsZero() && !time.Now().Before(deadline) }

// earlier is the earlier of two times of which either may not be set.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (f *flow) receive(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		var next time.Time
		switch {
		case f.broken:
			return 0, net.ErrClosed
		case expired(f.read):
			return 0, os.ErrDeadlineExceeded
		case len(f.queue) == 0 && f.ended:
			return 0, io.EOF
		case len(f.queue) > 0 && !time.Now().Before(f.queue[0].at):
			n := 0
			for n < len(p) && len(f.queue) > 0 && !time.Now().Before(f.queue[0].at) {
				k := copy(p[n:], f.queue[0].data)
				n += k
				if f.queue[0].data = f.queue[0].data[k:]; len(f.queue[0].data) == 0 {
					f.queue = f.queue[1:]
				}
			}
			f.line.arrived(f.direction, n)
			time.AfterFunc(f.line.Delay, func() { f.change(func() { f.unacked -= n }) })
			return n, nil
		case len(f.queue) > 0:
			next = f.queue[0].at
		}
		f.await(earlier(next, f.read))
	}
}

func (f *flow) transmit(p []byte) (sent int, err error) {
	for len(p) > 0 {
		piece := p[:min(len(p), segmentSize)]
		f.mu.Lock()
		for !f.ended && !f.broken && !expired(f.write) && f.unacked > 0 && f.unacked+len(piece) > f.line.Window {
			f.await(f.write)
		}
		switch {
		case f.ended || f.broken:
			f.mu.Unlock()
			return sent, net.ErrClosed
		case expired(f.write):
			f.mu.Unlock()
			return sent, os.ErrDeadlineExceeded
		}
		f.unacked += len(piece)
		f.queue = append(f.queue, segment{data: append([]byte(nil), piece...), at: f.line.depart(f.direction, len(piece))})
		close(f.changed)
		f.changed = make(chan struct{})
		f.mu.Unlock()
		sent += len(piece)
		p = p[len(piece):]
	}
	return sent, nil
}

// lineConn is one end of a connection.
type lineConn struct{ in, out *flow }

func (c *lineConn) Read(p []byte) (int, error)  { return c.in.receive(p) }
func (c *lineConn) Write(p []byte) (int, error) { return c.out.transmit(p) }

func (c *lineConn) Close() error {
	c.in.change(func() { c.in.broken = true })
	c.out.change(func() { c.out.ended = true })
	return nil
}

func (c *lineConn) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }
func (c *lineConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 2} }

func (c *lineConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *lineConn) SetReadDeadline(t time.Time) error {
	c.in.change(func() { c.in.read = t })
	return nil
}

func (c *lineConn) SetWriteDeadline(t time.Time) error {
	c.out.change(func() { c.out.write = t })
	return nil
}
