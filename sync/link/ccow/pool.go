package ccow

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
)

// poolKey names the connections that a peer dials for a link.
type poolKey struct {
	peer    state.SiteID
	service string
}

// pool keeps connections that a peer dialled until a client takes them. Each is
// watched meanwhile, so that no dead one is handed out.
type pool struct {
	users int // clients; guarded by Endpoint.mu

	mu     sync.Mutex // taken after Endpoint.mu, if both are
	want   int        // how many at most
	closed bool
	idle   []*parked
	added  chan struct{} // closed and replaced when a connection comes
	wg     sync.WaitGroup
}

// parked is a connection in a pool.
type parked struct {
	c    *conn
	over chan struct{} // closed when its watch has ended
	err  error         // why; valid after over
}

func newPool() *pool { return &pool{added: make(chan struct{})} }

// pool returns the pool of a link, or nil when no client waits for one.
func (e *Endpoint) pool(key poolKey) *pool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.pools[key]
}

// joinPool returns the pool of a link for one more client, making it if need be.
func (e *Endpoint) joinPool(key poolKey, want int) (*pool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errClosing
	}
	p := e.pools[key]
	if p == nil {
		p = newPool()
		e.pools[key] = p
	}
	p.users++
	p.mu.Lock()
	defer p.mu.Unlock()
	p.want = want // of the newest client: an older one is about to leave
	return p, nil
}

// wanted is how many connections the peer is asked for.
func (p *pool) wanted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.want
}

// leavePool ends a client's use; the last one closes what is parked.
func (e *Endpoint) leavePool(key poolKey, p *pool) {
	e.mu.Lock()
	p.users--
	last := p.users == 0
	if last && e.pools[key] == p {
		delete(e.pools, key)
	}
	e.mu.Unlock()
	if last {
		p.close()
	}
}

// put parks a connection. When there are more than wanted the oldest goes: the
// peer has dialled anew because it lost it.
func (p *pool) put(c *conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errClosing
	}
	pk := &parked{c: c, over: make(chan struct{})}
	p.idle = append(p.idle, pk)
	p.wg.Go(func() { p.watch(pk) })
	if len(p.idle) > p.want {
		p.idle[0].c.Close()
		p.idle = slices.Delete(p.idle, 0, 1)
	}
	close(p.added)
	p.added = make(chan struct{})
	return nil
}

// watch waits until a parked connection ends, says something, which its side
// may not, or is taken.
func (p *pool) watch(pk *parked) {
	_, pk.err = pk.c.sock.r.Peek(1)
	close(pk.over)
	if errors.Is(pk.err, os.ErrDeadlineExceeded) {
		return // take has interrupted it
	}
	pk.c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = slices.DeleteFunc(p.idle, func(o *parked) bool { return o == pk })
}

// take waits for a connection that lives.
func (p *pool) take(ctx context.Context) (*conn, error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, errClosing
		}
		if n := len(p.idle); n > 0 {
			pk := p.idle[n-1]
			p.idle = p.idle[:n-1]
			p.mu.Unlock()
			if pk.wakeUp() {
				return pk.c, nil
			}
			continue
		}
		added := p.added
		p.mu.Unlock()
		select {
		case <-added:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// wakeUp ends the watch of a connection that was taken out of its pool. It is
// false when the connection has ended.
func (pk *parked) wakeUp() bool {
	if pk.c.sock.Conn.SetReadDeadline(time.Unix(1, 0)) != nil {
		pk.c.Close()
		<-pk.over
		return false
	}
	<-pk.over
	if !errors.Is(pk.err, os.ErrDeadlineExceeded) || pk.c.sock.Conn.SetReadDeadline(time.Time{}) != nil {
		pk.c.Close()
		return false
	}
	return true
}

// close closes what is parked and waits for the watches.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for _, pk := range p.idle {
		pk.c.Close()
	}
	p.idle = nil
	close(p.added)
	p.added = make(chan struct{})
	p.mu.Unlock()
	p.wg.Wait()
}

// noConnection explains that a peer has dialled nothing for a link.
func noConnection(o *DialOptions) error {
	return &link.Fault{Kind: link.FaultNoConnection, Message: "no address is known for site " + o.PeerName +
		" and it has no connection open to this site for link " + o.Service +
		": check the link at that site, or give its address here with --remote"}
}
