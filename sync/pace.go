package objsync

import (
	"fmt"
	"math"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/sync/link/limit"
)

// How the limits of a link pace it. A site limits what it lets out where it sends
// it, and what it takes where it asks for it; and each tells the other its limit, so
// that the sender keeps to the lower of both and what is on its way is as much as
// the line is allowed to carry. Chunks, pages of scans and batches of changes wait for
// their turn, while heartbeats and everything else that a session needs go on: the lag
// that they tell stays true.

const (
	// pieceTime bounds what of a log or of a scan goes out at once, by the time that
	// it takes at the limit; least is for records of usual size.
	pieceTime    = 500 * time.Millisecond
	leastBatch   = 4 << 10
	leastRecords = 8
	recordSize   = 400 // bytes of a record on the wire, about
	// frameCost is what a chunk costs beside its bytes: header, frame, encryption.
	frameCost = 128
	// receiveAhead is how far what is asked for may run ahead of this site's own
	// limit: the sender is told of it and keeps it evenly.
	receiveAhead = time.Second
	// smallAhead is how far small versions are asked for ahead at a limit.
	smallAhead = 2 * time.Second
	fetchSlow  = 16 << 10
)

// chunkCost is what a chunk costs at a limit.
func chunkCost(data []byte) int { return len(data) + len(data)>>9 + frameCost }

// piece is how many bytes of records go out at once at a rate, at most most.
func piece(rate uint64, least, most int) int {
	if rate == 0 {
		return most
	}
	return int(min(uint64(most), max(uint64(least), uint64(float64(rate)*pieceTime.Seconds()))))
}

// recordPace paces the records of a change stream while its link is limited. They go
// before chunks, which pay for both: a version that nobody has heard of cannot
// overtake others. By themselves they keep to the limit too, and a receiver that has
// enough of them takes no more. It belongs to the goroutine of the stream.
type recordPace struct {
	limit *limit.Limiter
	owed  float64   // bytes that are not paid off
	paid  time.Time // up to here
	timer *time.Timer
}

func newRecordPace(l *limit.Limiter) *recordPace {
	p := &recordPace{limit: l, timer: time.NewTimer(time.Hour)}
	p.timer.Stop()
	return p
}

// may reports whether a batch may be sent now. If not, the timer says when, unless the
// rate changes.
func (p *recordPace) may() bool {
	rate := p.pay()
	if p.owed <= 0 {
		return true
	}
	p.timer.Reset(time.Duration(math.Ceil(p.owed / rate * float64(time.Second))))
	return false
}

// sent takes a batch of n bytes into account.
func (p *recordPace) sent(n int) {
	p.limit.Charge(n)
	p.pay()
	p.owed += float64(n)
}

// pay takes off what the rate that holds now has allowed since the last time, and
// returns it.
func (p *recordPace) pay() (rate float64) {
	now := time.Now()
	passed := now.Sub(p.paid)
	p.paid = now
	if rate = float64(p.limit.Rate()); rate == 0 {
		p.owed = 0
		return 0
	}
	p.owed = max(0, p.owed-rate*passed.Seconds())
	return rate
}

// within is a budget for a link that may carry no more than rate bytes per second;
// 0 is no limit. raw is how many raw bytes come with each byte that is counted.
//
// A limit says what a line that was not measured yet carries, and one that is so slow
// that a chunk takes seconds cannot be measured by what arrives. One chunk is always
// asked for, whatever the budget.
func (b budget) within(rate uint64, rtt time.Duration, raw float64) budget {
	if rate == 0 {
		return b
	}
	ahead := float64(rate) * max(raw, 1)
	carries := func(d time.Duration) int64 { return int64(min(ahead*d.Seconds(), float64(b.total))) }
	b.large = min(b.large, carries(2*rtt+largeAhead))
	b.total = min(b.total, b.large+carries(smallAhead))
	b.fetch = min(b.fetch, max(fetchSlow, b.large/8))
	return b
}

// mayFetch reports whether this site's own limit lets more be asked for.
func (s *session) mayFetch() bool { return s.o.Limit.Owed() <= receiveAhead }

// heldBy says how a limit holds a direction back in which there is work, in the words
// that holding has for a rate; the zero Hold when it does not.
func heldBy(l *limit.Limiter, holding func(rate uint64) Hold) Hold {
	if !l.Held() {
		return Hold{}
	}
	return holding(l.Rate())
}

// plainHold is what is said of a limit of which nothing but its rate is known.
func plainHold(rate uint64) Hold {
	return Hold{Words: fmt.Sprintf("held to %d bytes a second by a limit", rate)}
}

// compression measures how many raw bytes come with each byte on the wire, over
// the last chunks.
type compression struct{ raw, wire float64 }

func (c *compression) arrived(raw int64, wire int) {
	c.raw += float64(raw)
	c.wire += float64(wire)
	if c.wire > 64*chunks.MaxRaw {
		c.raw, c.wire = c.raw/2, c.wire/2
	}
}

func (c *compression) ratio() float64 {
	if c.wire == 0 {
		return 1
	}
	return c.raw / c.wire
}
