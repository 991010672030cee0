package ccow

import (
	"context"
	"sync"
)

// lane is a bounded number of connections for one kind of request.
type lane struct {
	places chan struct{}

	mu   sync.Mutex
	idle []*conn
}

func newLane(n int) lane { return lane{places: make(chan struct{}, n)} }

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

// pop takes the idle connection that was used last, or nil.
func (l *lane) pop() *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := len(l.idle); n > 0; n = len(l.idle) {
		c := l.idle[n-1]
		l.idle = l.idle[:n-1]
		select {
		case <-c.done:
		default:
			return c
		}
	}
	return nil
}

// push keeps a connection for the next request.
func (l *lane) push(c *conn) {
	c.reused = true
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle = append(l.idle, c)
}

func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.idle {
		c.Close()
	}
	l.idle = nil
}
