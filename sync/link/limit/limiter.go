package limit

import (
	"context"
	"math"
	"sync"
	"time"
)

// Schedule says which rate in bytes per second holds at a time, and when another
// one begins to. A rate of 0 is no limit; a zero until is never. It is asked
// with the time of the Limiter's clock, and is a pure function.
type Schedule func(now time.Time) (rate uint64, until time.Time)

const (
	// credit is the time without traffic that is made up for afterwards. It is
	// longer than timers are late, and 5 % of a second.
	credit = 50 * time.Millisecond
	// nap bounds a wait, so that a clock that is set, and a debt that was
	// forgiven, are noticed; leastNap keeps timers from firing for a few bytes.
	nap      = time.Second
	leastNap = time.Millisecond
	// A limit holds a link back from when at least heldOwed is owed until a quarter
	// longer than that takes, in which the next piece comes; and while the traffic of
	// the last seconds, a mean over heldOver, is at least heldShare of what the rate
	// allows. The first is for slow limits, on which a chunk is many seconds, the second
	// for fast ones, on which hardly anything is owed at any moment, and for a receiver,
	// whose sender keeps to the rate before it does.
	heldOwed  = 500 * time.Millisecond
	heldOver  = 5 * time.Second
	heldShare = 0.8
)

// Limiter admits bytes at a rate. Any number of goroutines may use it at once.
type Limiter struct {
	wall func() time.Time // for the schedule
	turn chan struct{}    // holds one while nobody is next to be admitted

	mu       sync.Mutex
	schedule Schedule
	peer     uint64 // rate that the other site asks for; 0: none
	// own is the schedule's rate from asked until until, by the wall.
	own          uint64
	asked, until time.Time
	bucket       bucket
	changed      chan struct{} // closed and replaced when the rate may be another one
}

// New returns a Limiter that limits nothing yet. The clock, time.Now when it is
// nil, is only what schedules go by: how long something takes is measured by the
// process's own.
func New(clock func() time.Time) *Limiter {
	if clock == nil {
		clock = time.Now
	}
	l := &Limiter{wall: clock, turn: make(chan struct{}, 1), changed: make(chan struct{})}
	l.turn <- struct{}{}
	return l
}

// Set makes a schedule hold from now on, also for those who wait; nil limits nothing.
func (l *Limiter) Set(s Schedule) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(time.Now())
	l.schedule, l.asked = s, time.Time{}
	l.wake()
}

// SetPeer makes the rate that the other site asks for hold too, in bytes per second;
// 0 is no limit.
func (l *Limiter) SetPeer(rate uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.peer == rate {
		return
	}
	l.settle(time.Now())
	l.peer = rate
	l.wake()
}

// Own returns the rate of the schedule now, in bytes per second; 0 is no limit.
func (l *Limiter) Own() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.look()
	return l.own
}

// Rate returns the rate that holds now, the lower of the schedule's and the other
// site's, in bytes per second; 0 is no limit.
func (l *Limiter) Rate() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(time.Now())
	return l.bucket.rate
}

// Owed returns how long what was admitted is not paid off yet: 0 when something
// may be admitted now.
func (l *Limiter) Owed() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(time.Now())
	return l.bucket.owed()
}

// Held reports whether the rate that holds now is what keeps more from passing: the
// traffic is as much as it allows, or nearly. Of a limit that nothing comes near, and
// of none, it is false.
func (l *Limiter) Held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(time.Now())
	return l.bucket.held()
}

// Charge takes n bytes into account that were not waited for.
func (l *Limiter) Charge(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(time.Now())
	l.bucket.charge(n)
}

// Wait waits until n bytes may go and takes them into account. Those who wait
// are admitted in the order in which they came. The error is ctx's, and then
// nothing is taken into account.
func (l *Limiter) Wait(ctx context.Context, n int) error {
	select {
	case <-l.turn:
	default:
		select {
		case <-l.turn:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { l.turn <- struct{}{} }()
	for {
		l.mu.Lock()
		l.settle(time.Now())
		owed, changed := l.bucket.owed(), l.changed
		if owed <= 0 {
			l.bucket.charge(n)
			l.mu.Unlock()
			return ctx.Err()
		}
		l.mu.Unlock()
		timer := time.NewTimer(min(max(owed, leastNap), nap))
		select {
		case <-timer.C:
		case <-changed:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// settle pays off what the rate has allowed since the last time, and looks at
// which rate holds from now on. l.mu is held.
func (l *Limiter) settle(now time.Time) {
	l.bucket.pay(now)
	l.look()
	l.bucket.setRate(lower(l.own, l.peer))
}

// look asks the schedule again when its answer has run out, or the clock was set
// back. l.mu is held.
func (l *Limiter) look() {
	now := l.wall().Round(0) // by the time of day, which may be set
	current := !l.asked.IsZero() && !now.Before(l.asked) && (l.until.IsZero() || now.Before(l.until))
	if current {
		return
	}
	l.own, l.asked, l.until = 0, now, time.Time{}
	if l.schedule != nil {
		l.own, l.until = l.schedule(now)
	}
}

// wake makes those who wait look again. l.mu is held.
func (l *Limiter) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// lower is the lower of two rates of which 0 is none.
func lower(a, b uint64) uint64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// bucket is the debt at a rate, as a pure function of the times it is told.
type bucket struct {
	rate uint64    // bytes per second; 0 is no limit
	debt float64   // bytes; negative is credit
	paid time.Time // up to here
	// holds is up to when the debt is taken for what holds the link back.
	holds time.Time
	// recent are the bytes charged, of which the old ones fade: divided by heldOver
	// they are the traffic.
	recent float64
}

// pay takes off what the rate has allowed since the last time.
func (b *bucket) pay(now time.Time) {
	passed := now.Sub(b.paid).Seconds()
	b.paid = now
	if passed > 0 {
		b.recent *= math.Exp(-passed / heldOver.Seconds())
	}
	if b.rate == 0 {
		b.debt = 0
		return
	}
	b.debt = max(b.debt-passed*float64(b.rate), -credit.Seconds()*float64(b.rate))
}

// setRate changes the rate from the time of the last pay on. A debt stays a
// number of bytes, and a credit does not grow.
func (b *bucket) setRate(rate uint64) {
	if b.rate == rate {
		return
	}
	b.rate = rate
	b.debt = max(b.debt, -credit.Seconds()*float64(rate))
	b.holds = time.Time{}
	b.hold()
}

func (b *bucket) charge(n int) {
	b.recent += float64(n)
	if b.rate != 0 {
		b.debt += float64(n)
	}
	b.hold()
}

// hold notes how long the debt holds the link back.
func (b *bucket) hold() {
	if owed := b.owed(); owed >= heldOwed {
		b.holds = b.paid.Add(owed + owed/4)
	}
}

// owed is how long the debt takes to be paid off, rounded up.
func (b *bucket) owed() time.Duration {
	if b.rate == 0 || b.debt <= 0 {
		return 0
	}
	return time.Duration(math.Ceil(b.debt / float64(b.rate) * float64(time.Second)))
}

// held says whether the rate is what keeps more from passing, at the time of the last
// pay.
func (b *bucket) held() bool {
	return b.rate != 0 && (b.paid.Before(b.holds) || b.recent >= heldShare*heldOver.Seconds()*float64(b.rate))
}
