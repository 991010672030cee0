package objsync

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"sync"
	"time"

	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// Engine is the receiving end of one link. Run does its work; Status and Kick
// may be called at any time from any goroutine.
type Engine struct {
	o    EngineOptions
	kick chan struct{}
	// amend hands amendments to the goroutine of Run; over is closed when it ends.
	amend chan *amendOp
	over  chan struct{}
	// mends are keys to be looked at again.
	mends chan mendRequest
	long  longGate // of comparisons that operators ask for

	// Of the goroutine of Run.
	ctx      context.Context // of Run
	count    Counters
	delay    time.Duration // see Status.Delay
	failures map[versionKey]mishap
	rates    rateMeter
	mending  int // requests of Mend under way
	// absent are the buckets that did not exist at the sender when they were to be
	// opened: what is written to them afterwards is all that is ever written.
	absent map[string]bool
	// lost are the buckets of which the sender has lost what was taken from it.
	lost map[string]loss

	mu      sync.Mutex
	status  Status
	notices []Notice
}

// mishap is what is remembered of a version that failed, across sessions.
type mishap struct {
	n     int
	kind  failure
	cause string
}

// maxMishaps bounds what is remembered; what is forgotten is tried once more.
const maxMishaps = 10_000

// NewEngine returns an engine that has not started.
func NewEngine(o EngineOptions) (*Engine, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	e := &Engine{
		o: o, kick: make(chan struct{}, 1), mends: make(chan mendRequest, maxMends), amend: make(chan *amendOp), over: make(chan struct{}),
		long: newLongGate(), failures: make(map[versionKey]mishap), absent: make(map[string]bool), lost: make(map[string]loss),
	}
	now := o.Clock()
	e.status = Status{State: StateConnecting, Since: now, PeerName: o.PeerName, Lag: Lag{Since: now}}
	return e, nil
}

// Kick ends the pause before the next attempt to connect, and makes an open
// session look again at which buckets both sides serve. It is to be called
// when the config changed or the peer has connected from its side.
func (e *Engine) Kick() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// Status returns where the receiving direction stands.
func (e *Engine) Status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status
}

// Run receives until ctx ends, connecting again whenever a session breaks, and
// returns when everything it started has ended. It is called once. The error
// is ctx's.
func (e *Engine) Run(ctx context.Context) error {
	defer close(e.over)
	e.ctx = ctx
	log := e.o.Logger
	failed, told := 0, ""
	for {
		s := newSession(e, log)
		err := s.run(ctx)
		if ctx.Err() != nil {
			e.disconnected(ctx.Err(), s)
			return ctx.Err()
		}
		if s.went(err) {
			failed, told = 0, ""
		}
		pause := jitter(backoff(failed, e.o.BackoffMin, e.o.BackoffMax), e.random())
		pause = max(pause, e.o.BackoffMin/10)
		failed++
		e.countError(err)
		e.disconnected(err, s)
		level := slog.LevelWarn
		if err.Error() == told {
			level = slog.LevelDebug // a peer that is away fills no log
		}
		told = err.Error()
		log.Log(ctx, level, "link: no session", "session", s.name, "cause", err, "again_in", pause.Round(time.Millisecond))
		if err := e.wait(ctx, pause); err != nil {
			return err
		}
	}
}

// forget forgets buckets that did not exist at the sender and that it lists no more, and
// what it had lost in an epoch that is over there.
func (e *Engine) forget(listed []*linkpb.ServedBucket) {
	if len(listed) > 0 {
		maps.DeleteFunc(e.lost, func(_ string, l loss) bool { return l.epoch < listed[0].GetEpoch() })
	}
	if len(e.absent) == 0 {
		return
	}
	still := make(map[string]bool)
	for _, sb := range listed {
		if e.absent[sb.GetPath()] {
			still[sb.GetPath()] = true
		}
	}
	e.absent = still
}

// went reports whether a session went well enough that the next pause is short: a
// line that breaks now and then is tried again at once, but a peer that sends
// nonsense, or a disk that fails, as soon as a session is open, is not.
func (s *session) went(err error) bool {
	if !s.useful {
		return false
	}
	faulty := errors.As(err, new(*integrityError)) || errors.As(err, new(*localError))
	return !faulty || s.o.Clock().Sub(s.opened) >= s.o.BackoffMax
}

// wait pauses until the time is over or somebody kicks.
func (e *Engine) wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		case <-e.kick:
			return nil
		case op := <-e.amend:
			e.amendStored(op)
		}
	}
}

// random draws 8 bytes; without randomness the pause is just the longest.
func (e *Engine) random() uint64 {
	var b [8]byte
	if _, err := io.ReadFull(e.o.Rand, b[:]); err != nil {
		return ^uint64(0)
	}
	return binary.LittleEndian.Uint64(b[:])
}

// integrityError says that the far end sent what it must not.
type integrityError struct{ err error }

func (e *integrityError) Error() string { return e.err.Error() }
func (e *integrityError) Unwrap() error { return e.err }

func violated(format string, args ...any) error {
	return &integrityError{fmt.Errorf(format, args...)}
}

// localError says that this site's own store or log failed.
type localError struct{ err error }

func (e *localError) Error() string { return "this site: " + e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// countError counts why a session has ended. That the settings of the other site
// refuse one, or that it is only starting, is no error: the state tells it, for as
// long as it is so.
func (e *Engine) countError(err error) {
	var refused *link.Refused
	switch {
	case err == nil:
	case errors.As(err, new(*integrityError)):
		e.count.IntegrityErrors++
	case errors.As(err, new(*localError)):
		e.count.LocalErrors++
	case errors.As(err, &refused):
		if refused.Code == link.CodeInvalid || !refused.Code.Lasts() && refused.Code != link.CodeStarting {
			e.count.RemoteErrors++
		}
	default:
		var fault *link.Fault
		if errors.As(err, &fault) && fault.Kind == link.FaultProtocol {
			e.count.IntegrityErrors++
			return
		}
		e.count.NetworkErrors++
	}
}

// blame remembers a failure of a version and says how often it has failed.
func (e *Engine) blame(key versionKey, kind failure, cause string) int {
	if len(e.failures) >= maxMishaps {
		clear(e.failures)
	}
	m := mishap{n: e.failures[key].n + 1, kind: kind, cause: cause}
	e.failures[key] = m
	return m.n
}

// delayed takes the age at which a version was applied into the average.
func (e *Engine) delayed(age time.Duration) {
	const weight = 9 // of the versions before
	age = max(age, time.Microsecond)
	if e.delay == 0 {
		e.delay = age
		return
	}
	e.delay = (weight*e.delay + age) / (weight + 1)
}
