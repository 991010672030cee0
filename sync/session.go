package objsync

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// session is one connection's worth of receiving. All its state belongs to the
// goroutine of run; everything that blocks is done on other goroutines (do),
// whose outcome comes back as a function that run calls. run waits for all of
// them before it returns.
type session struct {
	e   *Engine
	o   *EngineOptions
	log *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	events chan func()
	wg     sync.WaitGroup
	err    error // why the session ends; set once

	name   string // random, in the logs of both ends
	peer   *linkpb.Hello
	common link.Session // what both sides speak
	opened time.Time
	useful bool // something was received or confirmed: the next pause is short
	intact bool // by all that is known here, the sender has lost nothing that it wrote

	tr      *transfers
	line    lineMeter
	packed  compression
	buckets map[string]*bucket
	queue   []*bucket            // to be opened
	opening int                  // buckets that are being opened
	writing map[string]int       // openings, commits and amendments under way, by path
	dirty   map[*bucket]struct{} // to be looked at by step
	// reached says how far the log of a bucket that was closed was heard of.
	reached map[string]reach
	// reopened says when a bucket was opened again, delayed until when the next
	// opening waits.
	reopened, delayed map[string]time.Time
	resting           []*version // to be tried again at their restUntil
	amends            []*amendOp // to be carried out

	// mine and theirs are both sides' settings as they were looked at last, flow
	// what follows from them.
	mine, theirs Settings
	flow         flow
	paused       string // who paused the link; "" when nobody did

	queued     int64 // bytes of records in the lanes of all buckets
	long       longGate
	longBytes  int64 // of those that are of a long key
	served     servedState
	stream     streamState
	report     reportState
	heard      time.Time // the far end's last sign of life
	skew       time.Duration
	moved      time.Time // when something was last received or committed
	noSpace    time.Time // set while the store is full: when that was noticed
	putAgain   time.Time // when a failed Put is tried again
	putFailed  int
	lastReview time.Time
	published  time.Time
	news       bool // something happened that the status should show soon
}

// tick is how often a session looks at the clock.
const tick = 100 * time.Millisecond

func newSession(e *Engine, log *slog.Logger) *session {
	s := &session{
		e:       e,
		o:       &e.o,
		events:  make(chan func()),
		long:    newLongGate(),
		buckets: make(map[string]*bucket),
		dirty:   make(map[*bucket]struct{}),

		reached:  make(map[string]reach),
		reopened: make(map[string]time.Time),
		writing:  make(map[string]int),
		delayed:  make(map[string]time.Time),
	}
	s.tr = newTransfers(e.o.Workers, budgetFor(e.o.Window, e.o.Line, 0, 0, 0), &e.count)
	id := make([]byte, 8)
	if _, err := io.ReadFull(e.o.Rand, id); err == nil {
		s.name = sessionName(id)
	}
	s.log = log.With("session", s.name)
	return s
}

func sessionName(id []byte) string { return hex.EncodeToString(id) }

// do runs work on a goroutine of its own, and what it returns, if anything, on
// the session's.
func (s *session) do(work func(ctx context.Context) (then func())) {
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		if then := work(s.ctx); then != nil {
			s.events <- then
		}
	}()
}

// end makes the session end with a cause.
func (s *session) end(err error) {
	if s.err == nil {
		s.err = err
		s.cancel()
	}
}

func (s *session) over() bool { return s.err != nil }

// run opens the session and receives until it breaks or ctx ends, and returns why.
func (s *session) run(ctx context.Context) error {
	s.ctx, s.cancel = context.WithCancel(ctx)
	defer s.cancel()
	// Both are asked at once: on a long line a session begins a round trip sooner.
	ask := s.askServed()
	if err := s.greet(); err != nil {
		s.cancel()
		<-ask
		return err
	}
	now := s.o.Clock()
	s.opened, s.heard, s.moved = now, now, now
	s.e.count.Sessions++
	s.log.Info("link: session opened", "name", s.peer.GetSiteName(), "epoch", s.peer.GetEpoch(), "version", min(s.peer.GetVersion(), link.Version))
	s.served.busy = true
	s.do(func(context.Context) func() {
		got := <-ask
		return func() { s.onAsked(got) }
	})
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		s.step()
		if s.over() {
			break
		}
		select {
		case <-ctx.Done():
			s.end(ctx.Err())
		case <-s.e.kick:
			s.served.wanted = true
			s.arrange()
			s.wakeWaiting()
		case m := <-s.e.mends:
			s.onMend(m)
		case f := <-s.events:
			f()
			s.more()
		case op := <-s.e.amend:
			s.amends = append(s.amends, op)
		case <-ticker.C:
			s.onTick()
		}
	}
	s.close()
	return s.err
}

// more takes what else has come in, so that one step serves many events.
func (s *session) more() {
	for range 64 {
		select {
		case f := <-s.events:
			f()
		default:
			return
		}
	}
}

// close waits for all goroutines, and stores what has arrived: it need not be
// fetched again by the next session.
func (s *session) close() {
	s.cancel()
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	for waiting := true; waiting; {
		select {
		case f := <-s.events:
			f()
		case <-done:
			waiting = false
		}
	}
	s.saveArrived()
	for _, op := range s.amends {
		s.e.amendStored(op)
	}
}

// greet says hello. What operators want meanwhile does not wait for a peer that is
// slow to answer.
func (s *session) greet() error {
	done := make(chan error, 1)
	go func() { done <- s.hello() }()
	for {
		select {
		case err := <-done:
			return err
		case op := <-s.e.amend:
			s.e.amendStored(op)
		}
	}
}

// hello opens the session: it tells who asks and checks who answers.
func (s *session) hello() error {
	id := []byte(nil)
	if raw, err := hex.DecodeString(s.name); err == nil {
		id = raw
	}
	mine := &linkpb.Hello{
		Version:     link.Version,
		MinVersion:  link.MinVersion,
		Features:    link.Features(),
		Service:     s.o.Service,
		Site:        s.o.ID.Bytes(),
		SiteName:    s.o.Name,
		Epoch:       s.o.Epoch(),
		Clock:       s.o.Clock().UnixNano(),
		WantReverse: s.o.WantReverse,
		Direction:   s.o.Settings().Direction,
		Session:     id,
		Rate:        s.o.Limit.Own(),
	}
	theirs, err := s.o.Source.Hello(s.ctx, mine)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", s.o.PeerName, err)
	}
	if !bytes.Equal(theirs.GetSite(), s.o.Peer[:]) {
		return link.Refuse(link.CodeUnpaired, "site %q (%x) answers instead of the paired %s", theirs.GetSiteName(), theirs.GetSite(), s.o.PeerName)
	}
	if s.common, err = link.Negotiate(mine, theirs); err != nil {
		return err
	}
	s.peer = theirs
	s.theirs.Direction = theirs.GetDirection()
	s.o.Limit.SetPeer(theirs.GetRate())
	s.noteClock(theirs.GetClock())
	return nil
}

// noteClock learns the difference of the sender's clock to this site's.
func (s *session) noteClock(theirs int64) {
	if theirs != 0 {
		s.skew = time.Unix(0, theirs).Sub(s.o.Clock())
	}
}

// step starts whatever can be started.
func (s *session) step() {
	if s.over() {
		return
	}
	now := s.o.Clock()
	s.reviewServed()
	s.pump(now)
	s.collect(now)
	for b := range s.dirty {
		delete(s.dirty, b)
		if !b.closed {
			s.advance(b, now)
		}
	}
	s.runAmend()
	s.openMore()
	s.pump(now)
	s.runStream(now)
	s.runReport(now)
	s.publish(now)
}

// mark makes step look at a bucket.
func (s *session) mark(b *bucket) { s.dirty[b] = struct{}{} }

// onTick does what depends on time alone.
func (s *session) onTick() {
	now := s.o.Clock()
	if silent := now.Sub(s.heard); silent > s.o.SilentAfter {
		s.end(&link.Fault{Kind: link.FaultStalled, Message: fmt.Sprintf("nothing was heard of %s for %s", s.o.PeerName, silent.Round(time.Second))})
		return
	}
	// A long batch on a slow line is no silence.
	if mute := s.stream.mute(now); mute > 2*s.o.StallAfter {
		s.end(&link.Fault{Kind: link.FaultStalled, Message: fmt.Sprintf("nothing was heard of what changes at %s for %s, although it answers", s.o.PeerName, mute.Round(time.Second))})
		return
	}
	rest := s.resting[:0]
	for _, v := range s.resting {
		switch {
		case v.phase != phaseWaiting: // nobody waits for it any more
		case now.Before(v.restUntil):
			rest = append(rest, v)
		default:
			s.tr.add(v, now)
		}
	}
	s.resting = rest
	slow := now.Sub(s.lastReview) >= time.Second
	if slow {
		s.lastReview = now
	}
	for _, b := range s.buckets {
		s.mark(b)
		if slow {
			s.retry(b, now)
		}
	}
	s.unhold(now)
}

// collect takes the versions that have ended and decides what becomes of them.
func (s *session) collect(now time.Time) {
	for {
		ended := s.tr.take()
		if len(ended) == 0 {
			return
		}
		for _, v := range ended {
			s.mark(v.bucket)
			if v.phase == phaseFailed && judge(v.kind, s.e.blame(v.key(), v.kind, v.cause)) == verdictRetry {
				v.rewind()
				v.restUntil = now.Add(restAfterRefusal)
				s.resting = append(s.resting, v)
				continue
			}
			v.bucket.resolve(v)
			if v.phase == phaseFailed {
				s.log.Warn("link: version put in quarantine", "bucket", v.bucket.path, "key", string(v.rec.GetKey()), "dot", v.dot, "cause", v.cause)
			}
		}
	}
}

// restAfterRefusal is the pause before a refused version is asked for again.
const restAfterRefusal = time.Second
