package ccow

import (
	"bufio"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"edgefog.dev/isgw/sync/link"
)

const (
	writeBuffer = 256 << 10 // beneath TLS, so that its records leave in few writes
	readBuffer  = 64 << 10
)

// errStalled says that a peer did not move for the time that it may not move.
var errStalled = errors.New("the peer stopped moving")

// socket is a connection beneath TLS. It counts the bytes that cross, gathers
// writes, and holds the peer to progress instead of to absolute deadlines.
//
// Reads are by one goroutine at a time; so are the calls that set its pace.
type socket struct {
	net.Conn
	stall  time.Duration
	unsent func(net.Conn) int // bytes in the kernel's send buffer, or -1
	r      *bufio.Reader

	// Bytes until it is known whose they are, then the owner's meter.
	early link.Meter
	owner atomic.Pointer[link.Meter]

	pace pace

	mu    sync.Mutex // guards what follows, and the order of writes
	corks int
	wbuf  []byte
}

func newSocket(c net.Conn, stall time.Duration) *socket {
	s := &socket{Conn: c, stall: stall, unsent: unsent}
	s.r = bufio.NewReaderSize(rawReader{s}, readBuffer)
	return s
}

// own says whose bytes cross from now on, and counts those that crossed. It is
// called once, while nothing else uses the socket.
func (s *socket) own(m *link.Meter) {
	t := s.early.Traffic()
	m.AddRead(int(t.Read))
	m.AddWritten(int(t.Written))
	s.owner.Store(m)
}

func (s *socket) meter() *link.Meter {
	if m := s.owner.Load(); m != nil {
		return m
	}
	return &s.early
}

// Read implements net.Conn.
func (s *socket) Read(p []byte) (int, error) { return s.r.Read(p) }

// rawReader reads the connection itself.
type rawReader struct{ s *socket }

func (r rawReader) Read(p []byte) (int, error) {
	s := r.s
	if !s.pace.on {
		n, err := s.Conn.Read(p)
		s.meter().AddRead(n)
		return n, err
	}
	left := s.stall - s.pace.waited
	if left <= 0 {
		return 0, errStalled
	}
	start := time.Now()
	if err := s.Conn.SetReadDeadline(start.Add(left)); err != nil {
		return 0, err
	}
	n, err := s.Conn.Read(p)
	s.meter().AddRead(n)
	s.pace.took(n, time.Since(start))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errStalled
	}
	return n, err
}

// pace is the rule of least progress: quantum bytes have to arrive within the
// stall time of waiting for them. Time in which nobody waits does not count, so
// a slow receiver is not blamed on its sender.
type pace struct {
	on      bool
	quantum int
	got     int
	waited  time.Duration
}

// took counts a read.
func (p *pace) took(n int, d time.Duration) {
	p.got += n
	p.waited += d
	if p.got >= p.quantum {
		p.got, p.waited = 0, 0
	}
}

// expect starts the rule, or starts it afresh.
func (s *socket) expect(quantum int) { s.pace = pace{on: true, quantum: quantum} }

// relax ends the rule.
func (s *socket) relax() error {
	s.pace = pace{}
	return s.Conn.SetReadDeadline(time.Time{})
}

// cork makes writes gather until uncork. Corks nest.
func (s *socket) cork() {
	s.mu.Lock()
	s.corks++
	s.mu.Unlock()
}

// uncork undoes a cork; the last one sends what was gathered.
func (s *socket) uncork() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.corks--; s.corks > 0 {
		return nil
	}
	return s.flush()
}

// Write implements net.Conn. Gathered bytes whose write fails later are
// reported by the call that sends them.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.corks == 0 {
		return s.send(p)
	}
	if len(s.wbuf)+len(p) > writeBuffer {
		if err := s.flush(); err != nil {
			return 0, err
		}
		if len(p) > writeBuffer {
			return s.send(p)
		}
	}
	s.wbuf = append(s.wbuf, p...)
	return len(p), nil
}

func (s *socket) flush() error {
	if len(s.wbuf) == 0 {
		return nil
	}
	_, err := s.send(s.wbuf)
	s.wbuf = s.wbuf[:0]
	return err
}

// send writes all of p for as long as the peer moves: a write that does not
// end in time goes on when the peer took bytes meanwhile, be it only out of the
// kernel's buffer.
func (s *socket) send(p []byte) (int, error) {
	sent := 0
	waiting := s.unsent(s.Conn)
	for {
		if err := s.Conn.SetWriteDeadline(time.Now().Add(s.stall)); err != nil {
			return sent, err
		}
		n, err := s.Conn.Write(p[sent:])
		s.meter().AddWritten(n)
		sent += n
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return sent, err
		}
		now := s.unsent(s.Conn)
		if n == 0 && (now < 0 || now >= waiting) {
			return sent, errStalled
		}
		waiting = now
	}
}

// SetWriteDeadline does nothing: send has deadlines of its own.
func (s *socket) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline sets the deadline of reads only.
func (s *socket) SetDeadline(t time.Time) error { return s.Conn.SetReadDeadline(t) }
