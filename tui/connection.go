package tui

import (
	"context"
	"errors"
	"fmt"
	"time"

	"edgefog.dev/isgw/cluster/admin"
)

// How long the console waits. Together they bound a fail-over: silence, a look
// at the clock and one attempt are under five seconds.
const (
	silenceTime = 2500 * time.Millisecond // without a word, a node counts as gone
	attemptTime = 2 * time.Second         // for a node to answer, at each step up to its first word
	roundTime   = time.Second             // between two rounds over all nodes
	pulse       = 500 * time.Millisecond  // between two looks at the clock
)

// attempt is what became of the last try to reach an endpoint.
type attempt struct {
	word string // queued, trying, ok, failed
	step step   // while trying: how far it came
	why  string // of the last failure
	took time.Duration
	// refused: something answered, and it is not the site that is trusted, or the
	// caller is not known to it.
	refused bool
}

// step is how far an attempt to reach a node came.
type step uint8

const (
	stepDial    step = iota // no answer to the first packet yet
	stepConnect             // something accepted the connection
	stepTLS                 // it proved to be a node of the site
	stepSent                // it has the question
)

// doing says what an attempt waits for, and missing what did not come.
func (s step) doing() string {
	return [...]string{"connecting", "connected, waiting for TLS", "TLS ok, asking", "asked, waiting for its first word"}[s]
}

func (s step) missing() string {
	return [...]string{
		"nothing answered within %s: something drops the packets on the way, or the address is wrong",
		"something accepted the connection and said nothing for %s: it is no admin API, or hangs",
		"it is a node of the site and did not take the question for %s",
		"it took the question and said nothing for %s: the node hangs, or is overloaded",
	}[s]
}

// connection is which node the console speaks to, and what it tries when that
// one is gone. It does no I/O: it decides, and the model's commands do.
type connection struct {
	profile  string // name of the profile; empty when none is chosen
	nodes    []Endpoint
	attempts []attempt

	current    int
	generation int // of the feed; what carries another one is too late
	live       bool
	node       Node
	cancel     context.CancelFunc

	started time.Time // of the attempt
	moved   time.Time // when the attempt last came further
	heard   time.Time // the last word of a node
	lost    time.Time // when the last live connection ended
	retries int       // attempts since then
	resume  time.Time // no attempt before
	trip    time.Duration
}

// choose takes the nodes of a profile; the first attempt is made by begin.
func (c *connection) choose(profile string, nodes []Endpoint) {
	c.drop()
	*c = connection{profile: profile, nodes: nodes, attempts: make([]attempt, len(nodes)), generation: c.generation, current: -1}
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
	c.started, c.moved, c.cancel = now, now, cancel
	c.retries++
	c.attempts[c.current] = attempt{word: "trying", why: c.attempts[c.current].why}
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

// advance notes that the current attempt came further.
func (c *connection) advance(m stepMsg) {
	if !c.live {
		c.attempts[c.current].step, c.moved = m.step, m.at
	}
}

// fail notes that the current attempt or connection is over; the next one may
// begin at c.resume.
func (c *connection) fail(now time.Time, err error) {
	if c.live {
		c.lost, c.retries = now, 0
	}
	if c.current >= 0 {
		var failure *admin.Error
		refused := errors.As(err, &failure) && failure.Code == admin.CodeDenied
		c.attempts[c.current] = attempt{word: "failed", why: reason(err), took: now.Sub(c.started), refused: refused}
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
	case !c.live && now.Sub(c.moved) > attemptTime:
		return fmt.Errorf(c.attempts[c.current].step.missing(), span(attemptTime.Seconds()))
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
