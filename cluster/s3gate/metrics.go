package s3gate

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/s3err"
)

// RequestCount is how many requests of one operation were answered with one
// status.
type RequestCount struct {
	Operation string // as versitygw names it: s3_PutObject
	Status    int
	Count     uint64
}

// Stats are the counts of a gate. They only grow, except those under way.
type Stats struct {
	// Requests are the requests that were answered, ordered by operation and
	// status. A request that was too malformed to have an operation is not
	// among them.
	Requests []RequestCount
	// BytesIn and BytesOut are the bytes that crossed the clients' connections,
	// headers included.
	BytesIn, BytesOut uint64
	// Connections are those open now.
	Connections int64
	// TurnedAway are the connections that were one too many.
	TurnedAway uint64
}

// counters implement versitygw's metrics.Manager.
type counters struct {
	in, out     atomic.Uint64
	connections atomic.Int64
	turnedAway  atomic.Uint64

	mu       sync.RWMutex
	requests map[requestKind]*atomic.Uint64
}

type requestKind struct {
	operation string
	status    int
}

func newCounters() *counters {
	return &counters{requests: make(map[requestKind]*atomic.Uint64)}
}

// Send counts a request. The operations and statuses are those of versitygw's
// code, so their number is bounded.
func (c *counters) Send(_ fiber.Ctx, err error, action string, _ int64, status int) {
	if err != nil {
		status = http.StatusInternalServerError
		var s3e s3err.S3Error
		if errors.As(err, &s3e) {
			status = s3e.StatusCode()
		}
	} else if status == 0 {
		status = http.StatusOK
	}
	kind := requestKind{action, status}
	c.mu.RLock()
	n := c.requests[kind]
	c.mu.RUnlock()
	if n == nil {
		c.mu.Lock()
		if n = c.requests[kind]; n == nil {
			n = new(atomic.Uint64)
			c.requests[kind] = n
		}
		c.mu.Unlock()
	}
	n.Add(1)
}

// Close is part of metrics.Manager; there is nothing to close.
func (c *counters) Close() {}

func (c *counters) stats() Stats {
	s := Stats{BytesIn: c.in.Load(), BytesOut: c.out.Load(), Connections: c.connections.Load(), TurnedAway: c.turnedAway.Load()}
	c.mu.RLock()
	for kind, n := range c.requests {
		s.Requests = append(s.Requests, RequestCount{Operation: kind.operation, Status: kind.status, Count: n.Load()})
	}
	c.mu.RUnlock()
	slices.SortFunc(s.Requests, func(a, b RequestCount) int {
		return cmp.Or(cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Status, b.Status))
	})
	return s
}
