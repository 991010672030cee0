package ccow

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// keeper dials the connections that a peer without our address asked for, and
// serves the peer on them.
type keeper struct {
	c *Client

	mu    sync.Mutex
	stops []context.CancelFunc
	wg    sync.WaitGroup
}

// want makes the keeper hold n connections.
func (k *keeper) want(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.c.ctx.Err() != nil {
		return
	}
	for len(k.stops) > n {
		k.stops[len(k.stops)-1]()
		k.stops = k.stops[:len(k.stops)-1]
	}
	for len(k.stops) < n {
		ctx, stop := context.WithCancel(k.c.ctx)
		k.stops = append(k.stops, stop)
		k.wg.Go(func() { k.hold(ctx) })
	}
}

// wait ends the keeper after its client's context has ended.
func (k *keeper) wait() {
	k.mu.Lock()
	for _, stop := range k.stops {
		stop()
	}
	k.stops = nil
	k.mu.Unlock()
	k.wg.Wait()
}

// hold keeps one connection open until ctx ends.
func (k *keeper) hold(ctx context.Context) {
	e := k.c.e
	wait := e.o.BackoffMin
	for ctx.Err() == nil {
		c, err := e.dial(ctx, &k.c.o, alpnReverse)
		if err == nil {
			wait = e.o.BackoffMin
			if !e.inbox.put(ctx, c) {
				c.Close()
			}
			select {
			case <-c.done:
			case <-ctx.Done():
				c.Close()
			}
		} else if ctx.Err() == nil {
			e.o.Logger.Debug("connection that the peer wants failed", "peer", k.c.o.PeerName, "service", k.c.o.Service, "reason", err)
		}
		pause(ctx, jitter(wait))
		wait = min(2*wait, e.o.BackoffMax)
	}
}

// jitter spreads a pause over half of it to all of it, so that many that broke
// at once do not come back at once.
func jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(rand.Int64N(int64(d/2)+1))
}
