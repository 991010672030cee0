package tunnel

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// rawConn is what x/crypto reads and writes. It remembers why the connection
// ended, which x/crypto does not tell its channels, and what came first.
type rawConn struct {
	net.Conn
	r        *bufio.Reader
	received atomic.Uint64

	wmu    sync.Mutex // guards what is written, and its order
	corked bool
	noting bool // notes may wait
	notes  int  // of them, waiting
	wbuf   []byte
	spill  *time.Timer // made with the first cork or note

	mu       sync.Mutex
	greeting []byte // the first bytes of the other side
	failed   error  // why reading ended, unless it was an orderly end
}

// readBuffer holds a packet of the largest usual size with its frame, so that
// it takes one system call.
const readBuffer = 64 << 10

func newRawConn(c net.Conn) *rawConn {
	return &rawConn{Conn: c, r: bufio.NewReaderSize(c, readBuffer)}
}

// Read implements net.Conn.
func (r *rawConn) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.received.Add(uint64(n))
	if len(r.greeting) < len(sshGreeting) || err != nil {
		r.mu.Lock()
		r.greeting = append(r.greeting, p[:min(n, len(sshGreeting)-len(r.greeting))]...)
		if err != nil && err != io.EOF && r.failed == nil {
			r.failed = err
		}
		r.mu.Unlock()
	}
	return n, err
}

// Of a corked connection: how much is gathered, a ring with the frames of its
// packets, and for how long at most.
const (
	gather     = outRing + 1<<10
	gatherTime = 2 * time.Millisecond
)

// A note is a short packet that x/crypto sends of itself: nearly all of them say that
// so much of the channel's window is free again, after each 128 KiB. Each by itself
// would cost both sides a system call, a segment, and two goroutines to be woken. So
// some wait for each other, or for what is sent next; but not so many that the other
// side would have to wait for the window, and not long.
const (
	noteSize = 256
	maxNotes = 4
	noteTime = 40 * time.Millisecond
)

// cork makes writes gather until uncork. x/crypto gives a packet in two pieces, the
// first of which does not fill the segments that it is sent in. It may wait in
// the middle, for its window or for new keys, for which the other side must have
// what was gathered: after a moment that is sent all the same.
func (r *rawConn) cork() {
	r.wmu.Lock()
	defer r.wmu.Unlock()
	r.corked = true
	r.spillIn(gatherTime)
}

// spillIn uncorks after d; r.wmu is held.
func (r *rawConn) spillIn(d time.Duration) {
	if r.spill == nil {
		r.spill = time.AfterFunc(d, func() { _ = r.uncork() }) // the next write meets the error again
	} else {
		r.spill.Reset(d)
	}
}

// uncork sends what was gathered.
func (r *rawConn) uncork() error {
	r.wmu.Lock()
	defer r.wmu.Unlock()
	r.corked = false
	if r.spill != nil {
		r.spill.Stop()
	}
	return r.flush()
}

// gatherNotes lets notes wait from now on. In the handshake each one is waited for.
func (r *rawConn) gatherNotes() {
	r.wmu.Lock()
	defer r.wmu.Unlock()
	r.noting = true
}

// flush sends what was gathered; r.wmu is held.
func (r *rawConn) flush() error {
	r.notes = 0
	if len(r.wbuf) == 0 {
		return nil
	}
	_, err := r.Conn.Write(r.wbuf)
	r.wbuf = r.wbuf[:0]
	return err
}

// Write implements net.Conn. Gathered bytes whose write fails later are reported by
// the call that sends them.
func (r *rawConn) Write(p []byte) (int, error) {
	r.wmu.Lock()
	defer r.wmu.Unlock()
	switch {
	case r.corked && len(r.wbuf)+len(p) <= gather:
		r.wbuf = append(r.wbuf, p...)
		return len(p), nil
	case !r.corked && r.noting && len(p) <= noteSize && r.notes < maxNotes-1:
		if r.notes++; r.notes == 1 {
			r.spillIn(noteTime)
		}
		r.wbuf = append(r.wbuf, p...)
		return len(p), nil
	case !r.corked && len(r.wbuf) > 0 && len(r.wbuf)+len(p) <= gather: // the last note
		r.wbuf = append(r.wbuf, p...)
		return len(p), r.flush()
	}
	if err := r.flush(); err != nil {
		return 0, err
	}
	return r.Conn.Write(p)
}

// sshGreeting begins what every side of SSH says first.
const sshGreeting = "SSH-"

// otherwise reports whether something was said, and it was not SSH.
func (r *rawConn) otherwise() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !bytes.HasPrefix([]byte(sshGreeting), r.greeting)
}

// fail ends the connection for a reason.
func (r *rawConn) fail(why error) {
	r.mu.Lock()
	if r.failed == nil {
		r.failed = why
	}
	r.mu.Unlock()
	r.Close()
}

// cause is why the connection ended, when x/crypto says err.
func (r *rawConn) cause(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		return r.failed
	}
	return err
}
