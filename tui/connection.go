package tui

import (
	"context"
	"errors"
	"time"

	"edgefog.dev/isgw/cluster/admin"
)

// How long the console waits. Together they bound a fail-over: silence, a look
// at the clock and one attempt are under five seconds.
const (
	silenceTime = 2500 * time.Millisecond // without a word, a node counts as gone
	attemptTime = 2 * time.Second         // for the first word of a node
	roundTime   = time.Second             // between two rounds over all nodes
	pulse       = 500 * time.Millisecond  // between two looks at the clock
)

// attempt is what became of the last try to reach an endpoint.
type attempt struct {
	word string // queued, trying, ok, failed
	why  string
	took time.Duration
}

// connection is which node the console speaks to, and what it tries when that
// one is gone. It does no I/O: it decides, and the model's commands do.
type connection struct {
	profile  int // index of the profile, -1 when none is chosen
	nodes    []Endpoint
	attempts []attempt

	current    int
	generation int // of the feed; what carries another one is too late
	live       bool
	node       Node
	cancel     context.CancelFunc

	started time.Time // of the attempt
	heard   time.Time // the last word of a node
	lost    time.Time // when the last live connection ended
	retries int       // attempts since then
	resume  time.Time // no attempt before
	trip    time.Duration
}

// choose takes the nodes of a profile; the first attempt is made by begin.
func (c *connection) choose(index int, nodes []Endpoint) {
	c.drop()
	*c = connection{profile: index, nodes: nodes, attempts: make([]attempt, len(nodes)), generation: c.generation, current: -1}
	for i := range c.attempts {
		c.attempts[i].word = "queued"
	}
}

// drop ends the connection there is.
func (c *connection) drop() {
	if c.cancel != nil {
		c.cancel()
	}
	c.cancel, c.node, c.live = nil, nil, false
	c.generation++
}

// begin moves to the next node and returns it and the generation of the attempt.
func (c *connection) begin(now time.Time, cancel context.CancelFunc) (Endpoint, int) {
	c.drop()
	c.current = (c.current + 1) % len(c.nodes)
	c.started, c.cancel = now, cancel
	c.retries++
	c.attempts[c.current] = attempt{word: "trying"}
	return c.nodes[c.current], c.generation
}

// hear notes a word of the node of a generation, and says whether it counts.
func (c *connection) hear(m heardMsg) bool {
	if m.generation != c.generation || c.cancel == nil {
		return false
	}
	if !c.live {
		c.live, c.retries, c.trip = true, 0, m.at.Sub(c.started)
		c.attempts[c.current] = attempt{word: "ok", took: c.trip}
	}
	c.node, c.heard = m.node, m.at
	return true
}

// fail notes that the current attempt or connection is over; the next one may
// begin at c.resume.
func (c *connection) fail(now time.Time, err error) {
	if c.live {
		c.lost, c.retries = now, 0
	}
	if c.current >= 0 {
		c.attempts[c.current] = attempt{word: "failed", why: reason(err), took: now.Sub(c.started)}
	}
	c.drop()
	c.resume = now
	if len(c.nodes) > 0 && c.retries > 0 && c.retries%len(c.nodes) == 0 {
		c.resume = now.Add(roundTime) // all were tried
	}
}

// overdue says why the current node should be given up, or nil.
func (c *connection) overdue(now time.Time) error {
	switch {
	case c.cancel == nil:
		return nil
	case c.live && now.Sub(c.heard) > silenceTime:
		return errors.New("it has said nothing for " + age(now.Sub(c.heard)))
	case !c.live && now.Sub(c.started) > attemptTime:
		return errors.New("no answer within " + span(attemptTime.Seconds()))
	}
	return nil
}

// due says whether an attempt should begin.
func (c *connection) due(now time.Time) bool {
	return len(c.nodes) > 0 && c.cancel == nil && !now.Before(c.resume)
}

// upcoming is the node that is tried now or next.
func (c *connection) upcoming() Endpoint {
	if c.cancel != nil && c.current >= 0 {
		return c.nodes[c.current]
	}
	return c.nodes[(c.current+1)%len(c.nodes)]
}

// reason is an error in one sentence.
func reason(err error) string {
	if err == nil {
		return "the node ended the connection"
	}
	var failure *admin.Error
	if errors.As(err, &failure) && failure.Hint != "" {
		return failure.Message + "; " + failure.Hint
	}
	return err.Error()
}
