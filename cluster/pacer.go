package cluster

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/state/statepb"
	objsync "edgefog.dev/isgw/sync"
	"edgefog.dev/isgw/sync/link/limit"
)

// pacer keeps one direction of a link to the config's limit. Only the goroutine
// that reconciles calls follow.
type pacer struct {
	*limit.Limiter
	set *statepb.Limit // what was followed last
}

// follow makes a limit of the config hold; nil is none. Its times of day are by the
// zone of this machine.
func (p *pacer) follow(l *statepb.Limit) {
	if proto.Equal(p.set, l) {
		return
	}
	p.set = proto.CloneOf(l)
	mine := p.set
	p.Set(func(now time.Time) (uint64, time.Time) { return plan.RateAt(mine, now.Local()) })
}

// holding is the limit of one direction at a moment: the rate that holds, and in
// words whose it is and until when; 0 and no words when nothing is limited.
type holding struct {
	rate  uint64
	words string
}

// holdingOf judges the site's own limit and the rate that holds with the other
// site's.
func holdingOf(own *statepb.Limit, rate uint64, now time.Time) holding {
	mine, _ := plan.RateAt(own, now)
	switch {
	case rate != 0 && rate != mine:
		return holding{rate, plan.FormatRate(rate) + ", as the other site asks"}
	case plan.FormatLimit(own) == plan.FormatLimit(nil):
		return holding{}
	}
	return holding{mine, plan.LimitNow(own, now)}
}

// heldTo says in words whose limit holds a direction to a rate, and what to do about
// it. own is this site's limit of the direction and is called here, there the one that
// the other site has for it: "send", "receive".
func heldTo(own *statepb.Limit, here, there string, rate uint64, now time.Time) objsync.Hold {
	if mine, _ := plan.RateAt(own, now); mine != rate {
		return objsync.Hold{
			Words: fmt.Sprintf("held to %s by the other site's %s limit", plan.FormatRate(rate), there),
			Next:  "wait, or see the limits at the other site (isgwctl service show NAME -s)",
		}
	}
	words := fmt.Sprintf("held to %s by this site's %s limit", plan.FormatRate(rate), here)
	if times := plan.LimitTime(own, now); times != "" {
		words += " " + times
	}
	return objsync.Hold{Words: words, Next: fmt.Sprintf("wait, or raise the limit (isgwctl service edit NAME --%s-limit)", here)}
}
