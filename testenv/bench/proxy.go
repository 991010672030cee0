package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// wire carries the connections that one site dials to the other, and counts
// what crosses.
type wire interface {
	// address is where the site dials.
	address() string
	// crossed is the number of bytes that crossed in both directions so far.
	crossed() int64
	// close breaks the connections and waits until nothing of the wire runs.
	close()
}

// splice is a wire that only counts. The kernel moves the bytes between the
// two sockets, so it costs a fraction of what copying them would, and the
// kernel's own count of received bytes is the answer.
type splice struct {
	ln     net.Listener
	target string
	group  sync.WaitGroup

	mu     sync.Mutex
	live   map[*net.TCPConn]struct{} // the sockets that are read from
	done   int64                     // bytes that others gave, to their end
	closed bool
}

// newSplice listens on a free port of loopback for connections to target.
func newSplice(target string) (*splice, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the wire: %w", err)
	}
	s := &splice{ln: ln, target: target, live: map[*net.TCPConn]struct{}{}}
	s.group.Go(s.accept)
	return s, nil
}

func (s *splice) address() string { return s.ln.Addr().String() }

func (s *splice) accept() {
	for {
		in, err := s.ln.Accept()
		if err != nil {
			return // closed
		}
		s.group.Go(func() { s.carry(in.(*net.TCPConn)) })
	}
}

func (s *splice) carry(in *net.TCPConn) {
	defer in.Close()
	far, err := net.DialTimeout("tcp", s.target, 10*time.Second)
	if err != nil {
		return // the site that dialled sees its connection end
	}
	out := far.(*net.TCPConn)
	defer out.Close()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.live[in], s.live[out] = struct{}{}, struct{}{}
	s.mu.Unlock()

	var both sync.WaitGroup
	for _, way := range [][2]*net.TCPConn{{in, out}, {out, in}} {
		both.Go(func() {
			from, to := way[0], way[1]
			n, err := io.Copy(to, from)
			s.mu.Lock()
			s.done += n
			delete(s.live, from)
			s.mu.Unlock()
			if err != nil {
				// Nothing more can cross in this direction: end both.
				from.Close()
				to.Close()
				return
			}
			to.CloseWrite()
		})
	}
	both.Wait()
}

func (s *splice) crossed() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := s.done
	for c := range s.live {
		total += received(c)
	}
	return total
}

func (s *splice) close() {
	s.ln.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.live {
		c.CloseRead()
		c.CloseWrite()
	}
	s.mu.Unlock()
	s.group.Wait()
}

// received is what the kernel counts of a socket: bytes of content in order,
// without headers and retransmissions. The end of the stream would count as one
// more, but a socket that has ended is not asked.
func received(c *net.TCPConn) int64 {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	var n int64
	// An error means a closed socket.
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = int64(info.Bytes_received)
		}
	})
	return n
}

// delayed is a wire with the round trip of a long line. It delays and does not
// slow: what arrives leaves a moment later, however much it is, as long as the
// far end takes it. It ends TCP at both sides, so TCP does not see the delay:
// what is measured is how the program copes with it, not how a kernel does.
type delayed struct {
	ln      net.Listener
	target  string
	oneWay  time.Duration
	bound   int64
	counted atomic.Int64
	group   sync.WaitGroup
	ctx     context.Context
	cancel  context.CancelFunc
}

// newDelayed listens on a free port of a host for connections to target. Each
// direction of each connection holds up to bound bytes, which must be more than
// what the line carries in one round trip.
func newDelayed(host, target string, roundTrip time.Duration, bound int64) (*delayed, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("listen for the delayed wire: %w", err)
	}
	d := &delayed{ln: ln, target: target, oneWay: roundTrip / 2, bound: bound}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.group.Go(d.accept)
	return d, nil
}

func (d *delayed) address() string { return d.ln.Addr().String() }
func (d *delayed) crossed() int64  { return d.counted.Load() }

func (d *delayed) close() {
	d.cancel()
	d.ln.Close()
	d.group.Wait()
}

func (d *delayed) accept() {
	for {
		in, err := d.ln.Accept()
		if err != nil {
			return // closed
		}
		d.group.Go(func() {
			defer in.Close()
			dialer := net.Dialer{Timeout: 10 * time.Second}
			out, err := dialer.DialContext(d.ctx, "tcp", d.target)
			if err != nil {
				return // the site that dialled sees its connection end
			}
			defer out.Close()
			d.carry(in, out)
		})
	}
}

// carry moves bytes both ways until both have ended.
func (d *delayed) carry(in, out net.Conn) {
	stop := context.AfterFunc(d.ctx, func() {
		in.Close()
		out.Close()
	})
	defer stop()
	// The kernel has answered the one that dialled at once; over the real line
	// its first byte would have left a round trip later.
	connected := time.Now().Add(2 * d.oneWay)
	var both sync.WaitGroup
	both.Go(func() { delayWay(out, in, d.oneWay, d.bound, connected, &d.counted) })
	both.Go(func() { delayWay(in, out, d.oneWay, d.bound, time.Time{}, &d.counted) })
	both.Wait()
}

// segment is what one read has given; nil data is the end of the stream.
type segment struct {
	data []byte
	due  time.Time
}

// Of one direction: how much is read at a time, and below which size a segment is
// kept in memory of its own size.
const (
	delayRead  = 256 << 10
	delaySmall = delayRead / 4
)

// delayWay moves bytes from a connection to another until an end or an error.
// Each leaves a delay after it arrived, the first not before a delay after
// earliest. At most bound bytes wait.
func delayWay(to, from net.Conn, delay time.Duration, bound int64, earliest time.Time, counted *atomic.Int64) {
	var (
		waiting = newQueue(bound)
		pool    = sync.Pool{New: func() any { return new([delayRead]byte) }}
		done    sync.WaitGroup
	)
	done.Go(func() {
		defer waiting.end()
		for {
			buf := pool.Get().(*[delayRead]byte)
			n, err := from.Read(buf[:])
			if n > 0 {
				now := time.Now()
				if now.Before(earliest) {
					now = earliest
				}
				counted.Add(int64(n))
				data := buf[:n]
				if n < delaySmall {
					data = append([]byte(nil), data...)
					pool.Put(buf)
				}
				if !waiting.put(segment{data: data, due: now.Add(delay)}) {
					return
				}
			}
			if err != nil {
				if errors.Is(err, io.EOF) {
					waiting.put(segment{due: time.Now().Add(delay)})
				}
				return
			}
		}
	})
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s, ok := waiting.take()
		if !ok {
			break
		}
		if wait := time.Until(s.due); wait > 0 {
			timer.Reset(wait)
			<-timer.C
		}
		if s.data == nil {
			if half, ok := to.(interface{ CloseWrite() error }); ok {
				half.CloseWrite()
			} else {
				to.Close()
			}
			continue
		}
		if _, err := to.Write(s.data); err != nil {
			// Nothing more can cross: end the reader and drop what waits.
			from.Close()
			to.Close()
			waiting.shut()
			break
		}
		waiting.gone(len(s.data))
		if cap(s.data) == delayRead {
			pool.Put((*[delayRead]byte)(s.data[:delayRead]))
		}
	}
	done.Wait()
}

// queue holds the segments of one direction that wait, up to a number of bytes.
type queue struct {
	mu       sync.Mutex
	change   sync.Cond
	segments []segment // those before head are taken
	head     int
	left     int64 // bytes that may still be put
	ended    bool  // nothing is put any more
	closed   bool  // nothing is put or taken any more
}

func newQueue(bound int64) *queue {
	q := &queue{left: bound}
	q.change.L = &q.mu
	return q
}

// put waits until there is any room and puts a segment in, also one beyond the bound,
// so that one larger than that passes. It is false when the queue was shut.
func (q *queue) put(s segment) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.left <= 0 && !q.closed {
		q.change.Wait()
	}
	if q.closed {
		return false
	}
	q.left -= int64(len(s.data))
	if len(q.segments) == cap(q.segments) && q.head > len(q.segments)/2 { // rather than to grow
		n := copy(q.segments, q.segments[q.head:])
		clear(q.segments[n:])
		q.segments, q.head = q.segments[:n], 0
	}
	q.segments = append(q.segments, s)
	q.change.Broadcast()
	return true
}

// take waits for the oldest segment, of which gone is to be called once it has left.
// It is false at the end.
func (q *queue) take() (segment, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.head == len(q.segments) && !q.ended && !q.closed {
		q.change.Wait()
	}
	if q.head == len(q.segments) || q.closed {
		return segment{}, false
	}
	s := q.segments[q.head]
	q.segments[q.head] = segment{}
	q.head++
	return s, true
}

// gone makes room for n bytes.
func (q *queue) gone(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left += int64(n)
	q.change.Broadcast()
}

// end says that nothing more is put.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.change.Broadcast()
}

// shut ends the queue at once.
func (q *queue) shut() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.change.Broadcast()
}
