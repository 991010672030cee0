package s3gate

import "time"

// minRate is the least rate in bytes per second that a transfer must keep up over
// the stall timeout. A modem is ten times as fast; a client that sends a byte a
// second to hold a connection is not.
const minRate = 512

// progress judges one direction of a connection by the time that was spent waiting
// for the client. The time that the server takes for its own part is not charged.
type progress struct {
	limit time.Duration // in which need bytes must have moved
	need  int

	waited time.Duration // since the last time that enough had moved
	moved  int
}

func newProgress(limit time.Duration) progress {
	return progress{limit: limit, need: max(1, int(limit.Seconds()*minRate))}
}

// left is how long the client may be waited for from now on.
func (p *progress) left() time.Duration { return max(0, p.limit-p.waited) }

// add accounts for bytes that moved after a wait.
func (p *progress) add(n int, waited time.Duration) {
	p.waited += waited
	p.moved += n
	if p.moved >= p.need {
		p.waited, p.moved = 0, 0
	}
}

// reset begins anew, for another request.
func (p *progress) reset() { p.waited, p.moved = 0, 0 }
