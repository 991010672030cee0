package ccow

import (
	"context"
	"net/http"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
)

// streamWindow is how much of an answer may wait to be sent. It gathers while
// one write runs, and is sent at once when none does.
const streamWindow = 256 << 10

// stream sends an answer of many frames. One goroutine adds, another one of the
// stream's own sends; what is added waits in a buffer of about streamWindow
// bytes, beyond which add blocks.
type stream struct {
	w      http.ResponseWriter
	c      *conn
	alive  time.Duration // between keep-alives when nothing else is sent; 0 for none
	cancel context.CancelCauseFunc

	wake  chan struct{} // something to send, or closed
	space chan struct{} // the buffer was taken
	over  chan struct{} // the sender has ended

	mu     sync.Mutex
	buf    *[]byte
	closed bool
	err    error
}

// newStream begins an answer. When sending fails cancel is called with the
// cause. The caller ends the stream with close.
func newStream(w http.ResponseWriter, c *conn, alive time.Duration, cancel context.CancelCauseFunc) *stream {
	s := &stream{w: w, c: c, alive: alive, cancel: cancel, buf: getBuffer(),
		wake: make(chan struct{}, 1), space: make(chan struct{}, 1), over: make(chan struct{})}
	w.Header().Set("Content-Type", contentType)
	go s.run()
	return s
}

// add queues one message, and the bytes that follow it, if any.
func (s *stream) add(ctx context.Context, kind frameKind, m proto.Message, body []byte) error {
	for {
		s.mu.Lock()
		if s.err != nil {
			defer s.mu.Unlock()
			return s.err
		}
		if len(*s.buf) < streamWindow {
			break
		}
		s.mu.Unlock()
		select {
		case <-s.space:
		case <-s.over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer s.mu.Unlock()
	out := *s.buf
	if m == nil {
		out = appendFrame(out, kind, 0)
	} else {
		var err error
		if out, err = appendMessage(out, kind, m); err != nil {
			return err
		}
	}
	if len(body) > 0 {
		out = append(appendFrame(out, frameBody, len(body)), body...)
	}
	*s.buf = out
	signal(s.wake)
	return nil
}

// close sends what is queued and waits for it.
func (s *stream) close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	signal(s.wake)
	<-s.over
	putBuffer(s.buf)
	return s.err
}

// run sends until the stream is closed and empty, or sending fails.
func (s *stream) run() {
	defer close(s.over)
	control := http.NewResponseController(s.w)
	spare := getBuffer()
	defer func() { putBuffer(spare) }()
	var tick <-chan time.Time
	if s.alive > 0 {
		t := time.NewTicker(s.alive)
		defer t.Stop()
		tick = t.C
	}
	for {
		s.mu.Lock()
		out, closed, full := s.buf, s.closed, len(*s.buf) > 0
		if full { // out is the sender's now
			s.buf = spare
		}
		s.mu.Unlock()
		if full {
			signal(s.space)
			err := s.send(control, *out)
			if cap(*out) > keepBuffer {
				*out = nil
			}
			*out = (*out)[:0]
			spare = out
			if err != nil {
				s.mu.Lock()
				s.err = err
				s.mu.Unlock()
				s.cancel(err)
				return
			}
			continue
		}
		if closed {
			return
		}
		select {
		case <-s.wake:
		case <-tick:
			s.mu.Lock()
			if len(*s.buf) == 0 {
				*s.buf = appendFrame(*s.buf, frameKeepAlive, 0)
			}
			s.mu.Unlock()
		}
	}
}

// send writes through HTTP and flushes it, in one go beneath TLS.
func (s *stream) send(control *http.ResponseController, p []byte) error {
	s.c.sock.cork()
	_, err := s.w.Write(p)
	if err == nil {
		err = control.Flush()
	}
	if uerr := s.c.sock.uncork(); err == nil {
		err = uerr
	}
	return err
}

// signal wakes whoever waits for ch, or the next one who will.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
