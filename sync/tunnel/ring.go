package tunnel

import (
	"math/bits"
	"os"
	"sync"
	"time"
)

// What waits at most between a connection's user and its channel. Coming in it only
// has to keep both busy: two packets. Going out it is what the link's transport hands
// over in one go, for which the two then wake each other once, and the kernel is
// called once.
const (
	inRing  = 64 << 10
	outRing = 256 << 10
	// leastRing is what a ring begins with.
	leastRing = 4 << 10
)

// ring is a bounded queue of bytes between the user of a connection, whose
// calls end at a deadline, and a pump, which waits inside of x/crypto and cannot
// be interrupted.
type ring struct {
	mu    sync.Mutex
	cond  sync.Cond // whatever changes
	size  int       // the most that fits in
	buf   []byte    // grows with what is written
	start int       // of the oldest byte
	count int
	err   error // nothing is put in any more; told when the ring is empty
	shut  error // nothing is put in or taken out any more

	deadline time.Time // of the user
	timer    *time.Timer
}

func newRing(size int) *ring {
	r := &ring{size: size}
	r.cond.L = &r.mu
	return r
}

// setDeadline ends the user's calls at a time; the zero time ends none.
func (r *ring) setDeadline(t time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deadline = t
	switch wait := time.Until(t); {
	case t.IsZero() || wait <= 0:
		if r.timer != nil {
			r.timer.Stop()
		}
		r.cond.Broadcast()
	case r.timer == nil:
		r.timer = time.AfterFunc(wait, r.wake)
	default:
		r.timer.Reset(wait)
	}
}

func (r *ring) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cond.Broadcast()
}

// expired reports whether the user's time is over; r.mu is held.
func (r *ring) expired() bool {
	return !r.deadline.IsZero() && !time.Now().Before(r.deadline)
}

// free returns the room behind the newest byte that is in one piece; r.mu is held.
func (r *ring) free() []byte {
	if r.count == 0 {
		r.start = 0
	}
	end := r.start + r.count
	if end < len(r.buf) {
		return r.buf[end:]
	}
	return r.buf[end-len(r.buf) : r.start]
}

// fit makes the ring as large as it may be for n bytes, unless there is something in
// it, and returns how large it is; r.mu is held.
func (r *ring) fit(n int) int {
	if r.count == 0 && len(r.buf) < min(n, r.size) {
		r.buf = make([]byte, min(r.size, max(leastRing, 1<<bits.Len(uint(n-1)))))
		r.start = 0
	}
	return len(r.buf)
}

// filled returns the oldest bytes that are in one piece; r.mu is held.
func (r *ring) filled() []byte {
	return r.buf[r.start:min(r.start+r.count, len(r.buf))]
}

// drop takes n bytes out; r.mu is held.
func (r *ring) drop(n int) {
	r.start = (r.start + n) % len(r.buf)
	r.count -= n
	r.cond.Broadcast()
}

// read gives the user what is there, and waits for the first byte.
func (r *ring) read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		switch {
		case r.shut != nil:
			return 0, r.shut
		case r.expired():
			return 0, os.ErrDeadlineExceeded
		case r.count > 0:
			n := copy(p, r.filled())
			if n == 0 { // nothing was asked for
				return 0, nil
			}
			r.drop(n)
			return n, nil
		case r.err != nil:
			return 0, r.err
		case len(p) == 0:
			return 0, nil
		}
		r.cond.Wait()
	}
}

// write takes all of p from the user and waits until the pump is through with
// it, so that nothing is lost when the connection is closed next. At the
// deadline it is enough that the ring has taken it: n counts that.
func (r *ring) write(p []byte) (n int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		switch {
		case r.shut != nil:
			return n, r.shut
		case n == len(p) && (n == 0 || r.count == 0):
			return n, nil
		case n < len(p) && r.err != nil:
			return n, r.err
		case r.expired():
			if n == len(p) {
				return n, nil
			}
			return n, os.ErrDeadlineExceeded
		case n < len(p) && r.count < r.fit(len(p)-n):
			k := copy(r.free(), p[n:])
			n += k
			r.count += k
			r.cond.Broadcast()
			continue
		}
		r.cond.Wait()
	}
}

// room waits until the pump can put bytes in and returns where; nil when the
// ring is shut.
func (r *ring) room() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.count == r.size && r.shut == nil {
		r.cond.Wait()
	}
	if r.shut != nil {
		return nil
	}
	r.fit(r.size)
	return r.free()
}

// fill says that the pump has put n bytes into the room.
func (r *ring) fill(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count += n
	r.cond.Broadcast()
}

// next waits for bytes that the pump is to take out; nil at the end.
func (r *ring) next() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.count == 0 && r.err == nil && r.shut == nil {
		r.cond.Wait()
	}
	if r.shut != nil || r.count == 0 {
		return nil
	}
	return r.filled()
}

// taken says that the pump is through with the first n bytes of next.
func (r *ring) taken(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(n)
}

// end says that nothing more is put in: what is there is read to its end, and
// err after it.
func (r *ring) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
	r.cond.Broadcast()
}

// close ends everything at once with err.
func (r *ring) close(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shut == nil {
		r.shut = err
	}
	if r.timer != nil {
		r.timer.Stop()
	}
	r.cond.Broadcast()
}
