package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"edgefog.dev/isgw/cluster/admin"
)

// How long the console waits. Together they bound a fail-over: silence, a look at
// the clock, and two more where the next node gives no answer either, and the one
// after it, are under five seconds.
const (
	silenceTime = 2500 * time.Millisecond // without a word, a node counts as gone
	attemptTime = 2 * time.Second         // for a node to answer, at each step up to its first word
	headStart   = 400 * time.Millisecond  // of an attempt, before the next node is tried beside it
	roundTime   = time.Second             // between two rounds over all nodes
	pulse       = 500 * time.Millisecond  // between two looks at the clock
)

// maxTries bounds how many nodes are tried at once.
const maxTries = 3

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

// try is an attempt that is under way, or the connection that it became.
type try struct {
	generation int // of what it tells
	index      int // of the node
	ctx        context.Context
	cancel     context.CancelFunc
	feed       *feed
	started    time.Time
	moved      time.Time // when it last came further
}

// connection is which node the console speaks to, and what it tries when that
// one is gone. It does no I/O: it decides, and the model's commands do.
//
// A node that gives no answer is not waited for to the end: the next one is tried
// beside it, and who says the first word is the one that is watched.
type connection struct {
	profile  string // name of the profile; empty when none is chosen
	nodes    []Endpoint
	attempts []attempt

	tries   []*try // under way; while live the one that is watched
	begun   int    // attempts so far: the generation of the last one
	current int    // the node that is watched, or was tried last
	live    bool
	node    Node

	heard   time.Time // the last word of a node
	lost    time.Time // when the last live connection ended
	retries int       // attempts since then
	resume  time.Time // no attempt before
	trip    time.Duration
}

// choose takes the nodes of a profile; the first attempt is made by begin.
func (c *connection) choose(profile string, nodes []Endpoint) {
	c.drop()
	*c = connection{profile: profile, nodes: nodes, attempts: make([]attempt, len(nodes)), begun: c.begun, current: -1}
	for i := range c.attempts {
		c.attempts[i].word = "queued"
	}
}

// drop ends the connection there is, and all attempts.
func (c *connection) drop() {
	for _, t := range c.tries {
		t.cancel()
	}
	c.tries, c.node, c.live = nil, nil, false
}

// find is the attempt or connection of a generation; nil when it is over, and what
// it still tells is too late.
func (c *connection) find(generation int) *try {
	for _, t := range c.tries {
		if t.generation == generation {
			return t
		}
	}
	return nil
}

// begin begins an attempt to reach the next node that is not tried already.
func (c *connection) begin(now time.Time, ctx context.Context, cancel context.CancelFunc) *try {
	c.current = c.following()
	c.begun++
	c.retries++
	t := &try{generation: c.begun, index: c.current, ctx: ctx, cancel: cancel, feed: newFeed(), started: now, moved: now}
	c.tries = append(c.tries, t)
	c.attempts[t.index] = attempt{word: "trying", why: c.attempts[t.index].why}
	return t
}

// following is the node to try next.
func (c *connection) following() int {
	for i := 1; i < len(c.nodes); i++ {
		next := (c.current + i) % len(c.nodes)
		if !slices.ContainsFunc(c.tries, func(t *try) bool { return t.index == next }) {
			return next
		}
	}
	return max(c.current, 0) // the only one
}

// hear notes a word of the node of a generation, and says whether it counts. The
// first word ends all other attempts.
func (c *connection) hear(m heardMsg) bool {
	t := c.find(m.generation)
	if t == nil {
		return false
	}
	if !c.live {
		for _, other := range c.tries {
			if other != t {
				other.cancel()
				c.attempts[other.index] = attempt{word: "queued"}
			}
		}
		c.tries, c.current, c.live, c.retries, c.trip = []*try{t}, t.index, true, 0, m.at.Sub(t.started)
		c.attempts[t.index] = attempt{word: "ok", took: c.trip}
	}
	c.node, c.heard = m.node, m.at
	return true
}

// advance notes that an attempt came further.
func (c *connection) advance(t *try, m stepMsg) {
	if !c.live {
		c.attempts[t.index].step, t.moved = m.step, m.at
	}
}

// fail notes that the attempt or connection of a generation is over; the next one
// may begin at c.resume.
func (c *connection) fail(generation int, now time.Time, err error) {
	t := c.find(generation)
	if t == nil {
		return
	}
	if c.live {
		c.lost, c.retries = now, 0
	}
	var failure *admin.Error
	refused := errors.As(err, &failure) && failure.Code == admin.CodeDenied
	c.attempts[t.index] = attempt{word: "failed", why: reason(err), took: now.Sub(t.started), refused: refused}
	t.cancel()
	c.tries = slices.DeleteFunc(c.tries, func(o *try) bool { return o == t })
	c.node, c.live = nil, false
	c.resume = now
	if c.retries > 0 && c.retries%len(c.nodes) == 0 {
		c.resume = now.Add(roundTime) // all were tried
	}
}

// expire gives up what has taken too long.
func (c *connection) expire(now time.Time) {
	for _, t := range slices.Clone(c.tries) {
		switch {
		case c.live && now.Sub(c.heard) > silenceTime:
			c.fail(t.generation, now, errors.New("it has said nothing for "+age(now.Sub(c.heard))))
		case !c.live && now.Sub(t.moved) > attemptTime:
			c.fail(t.generation, now, fmt.Errorf(c.attempts[t.index].step.missing(), span(attemptTime.Seconds())))
		}
	}
}

// due says whether an attempt should begin: none is under way, or those that are
// had their head start.
func (c *connection) due(now time.Time) bool {
	n := len(c.tries)
	if c.live || n >= min(len(c.nodes), maxTries) || now.Before(c.resume) {
		return false
	}
	return n == 0 || now.Sub(c.tries[n-1].started) >= headStart
}

// upcoming is the node that is tried now or next.
func (c *connection) upcoming() Endpoint {
	if len(c.tries) > 0 {
		return c.nodes[c.current]
	}
	return c.nodes[c.following()]
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
