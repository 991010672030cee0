package ccow

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// pipeDepth is the number of requests that may be under way on one connection
// for chunks. With one, a connection carries nothing for a round trip between
// two answers, which on a long line is most of the time. Other requests are not
// sent ahead: with one waiting in the socket, net/http does not see any more that
// the client has gone, before it writes to it.
const pipeDepth = 2

// lane is a bounded number of connections for one kind of request, each with a
// bounded number of requests under way.
type lane struct {
	most, depth int
	places      chan struct{} // one for each request under way

	mu    sync.Mutex
	open  []*pipe
	after time.Time     // no more are opened before, if there is one
	freed chan struct{} // closed and replaced when a request has ended
}

// pipe is one connection of a lane with the requests on it. They are answered
// in the order in which they were sent.
type pipe struct {
	ready chan struct{} // closed when c or err is set
	c     *conn
	err   error // there is no connection

	// confirmed is closed when the peer has said whether it wants the connection;
	// it is nil for one that the peer dialled. unwanted is what it said against it.
	confirmed chan struct{}
	unwanted  error

	// Of the lane, under its mutex.
	load int // requests that chose this connection and have not ended
	// used says that an answer has come on it, or that it was opened ahead: it may
	// have died while it was idle.
	used bool

	send sync.Mutex    // a request is written and queued in one go
	last chan struct{} // closed when the request sent last has ended; of send
}

func newLane(most, depth int) lane {
	return lane{most: most, depth: depth, places: make(chan struct{}, most*depth), freed: make(chan struct{})}
}

// enter waits for a place.
func (l *lane) enter(ctx context.Context) error {
	select {
	case l.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *lane) leave() { <-l.places }

// choose takes the connection for a request: an idle one, the one that was used
// last first; otherwise a new one while there may be more; otherwise the one
// with the fewest requests. mine says that the connection is new, and that the
// caller has to open it. stale says that it may have died since its last answer. When
// there are fewer connections than there may be, and none takes one more request, p is
// nil: freed is closed when that may have changed.
func (l *lane) choose() (p *pipe, mine, stale bool, freed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = slices.DeleteFunc(l.open, (*pipe).over)
	var best *pipe
	for _, o := range slices.Backward(l.open) {
		if best == nil || o.load < best.load {
			best = o
		}
	}
	switch {
	case best == nil, best.load > 0 && len(l.open) < l.most && !l.short():
		best = &pipe{ready: make(chan struct{})}
		l.open = append(l.open, best)
		mine = true
	case best.load >= l.depth && l.short():
		return nil, false, false, l.freed
	}
	best.load++
	return best, mine, best.used, nil
}

// short reports whether the lane does with the connections that it has.
func (l *lane) short() bool { return len(l.open) > 0 && time.Now().Before(l.after) }

// makeDo is told that one more connection is not to be had: for d the lane does with
// those that it has, unless it has none. first says that it did not so before.
func (l *lane) makeDo(d time.Duration) (enough, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = slices.DeleteFunc(l.open, (*pipe).over)
	if len(l.open) == 0 {
		return false, false
	}
	first = !l.short()
	l.after = time.Now().Add(d)
	return true, first
}

// reserve takes the places of new connections, so that there are n or more, which
// the caller opens and releases.
func (l *lane) reserve(n int) (fresh []*pipe) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = slices.DeleteFunc(l.open, (*pipe).over)
	for len(l.open) < n && !l.short() {
		p := &pipe{ready: make(chan struct{}), load: 1}
		l.open = append(l.open, p)
		fresh = append(fresh, p)
	}
	return fresh
}

// over reports whether a connection was opened and is closed.
func (p *pipe) over() bool {
	select {
	case <-p.ready:
	default:
		return false
	}
	if p.err != nil {
		return true
	}
	select {
	case <-p.c.done:
		return true
	default:
		return false
	}
}

// opened gives a new connection, or why there is none, to all who wait for it.
func (l *lane) opened(p *pipe, c *conn, err error) {
	p.c, p.err = c, err
	close(p.ready)
}

// release ends a request's use of a connection; used is noted of it.
func (l *lane) release(p *pipe, used bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.load--
	close(l.freed)
	l.freed = make(chan struct{})
	p.used = p.used || used
	if i := slices.Index(l.open, p); i >= 0 && p.load == 0 {
		// The next request takes the one that was used last.
		l.open = append(slices.Delete(l.open, i, i+1), p)
	}
}

// errLost says that a connection ended before the answer to a request that
// waited behind another one had begun.
var errLost = errors.New("the connection ended before the answer")

// turn is a request's place in the order of a connection's answers.
type turn struct {
	// before is closed when the request before has ended; for the first one, when
	// the peer has confirmed the connection, if it has to.
	before chan struct{}
	end    chan struct{} // closed when this one has
}

// post sends a request and queues it. The turn is to be ended in any case.
func (p *pipe) post(ctx context.Context, request []byte) (turn, error) {
	p.send.Lock()
	defer p.send.Unlock()
	t := turn{before: p.last, end: make(chan struct{})}
	if t.before == nil {
		t.before = p.confirmed // what the peer says of the connection comes first
	}
	p.last = t.end
	stop := context.AfterFunc(ctx, func() { p.c.Close() })
	_, err := p.c.Write(request)
	if !stop() && err == nil {
		err = ctx.Err() // the connection was closed behind the request
	}
	return t, err
}

// wait waits until the answers before are complete. When it fails the turn is
// ended, or will be. When ctx ends first, the answer that nobody wants any more
// closes the connection: at once, or when there are answers before it, which
// still come, once it is due. spawn runs what waits for that.
func (t turn) wait(ctx context.Context, p *pipe, spawn func(func())) error {
	if t.before != nil {
		select {
		case <-t.before:
		case <-ctx.Done():
			if t.before == p.confirmed {
				// No answer is to come before. Another request on the connection
				// would keep the peer from seeing that this one was given up.
				p.c.Close()
				close(t.end)
				return ctx.Err()
			}
			spawn(func() {
				<-t.before
				p.c.Close()
				close(t.end)
			})
			return ctx.Err()
		}
	}
	select {
	case <-p.c.done:
		close(t.end)
		if p.unwanted != nil {
			return p.unwanted
		}
		return errLost
	default:
		return nil
	}
}

// why is what a request that could not be sent failed with: err, unless the peer
// has said that it does not want the connection, which may be read only now.
func (p *pipe) why(ctx context.Context, err error) error {
	if p.confirmed == nil {
		return err
	}
	select {
	case <-p.confirmed:
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.unwanted != nil {
		return p.unwanted
	}
	return err
}

// close closes all connections. Nothing may be under way.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.open {
		if p.err == nil {
			p.c.Close()
		}
	}
	l.open = nil
}
