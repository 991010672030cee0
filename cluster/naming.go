package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// namingPatience is how long the first write after a start waits for the other sites to
// say that this one is intact.
const namingPatience = 2 * time.Second

// naming decides in which epoch a site that was started names what it writes. If its
// data directory was put back from a backup and nobody has said so, it would give the
// names of what it has lost to something else, and no site could tell the two apart
// any more. The other sites know: those that it sends to say at the beginning of a
// session whether they have heard of more than this site has. When all of them say that
// they have not, it goes on in the epoch that it was in. Otherwise it goes on in another
// one as soon as it writes: that makes sure, and costs an entry in the vectors of the
// buckets that are written.
type naming struct {
	mu      sync.Mutex
	waiting map[string]bool // links of which the other site has not said it
	all     chan struct{}   // closed when all of them have

	wanted  chan struct{} // something is to be written
	settled chan struct{} // closed when anything may be
	stopped chan struct{} // closed when the node stops before
}

// newNaming returns what a site begins with that sends over these links.
func newNaming(links []string) *naming {
	n := &naming{
		waiting: make(map[string]bool), all: make(chan struct{}),
		wanted: make(chan struct{}, 1), settled: make(chan struct{}), stopped: make(chan struct{}),
	}
	for _, link := range links {
		n.waiting[link] = true
	}
	if len(n.waiting) == 0 {
		close(n.all) // nobody has heard of anything
	}
	return n
}

// sending are the links over which a site sends to one that it has met.
func sending(cfg *state.Config) (links []string) {
	for _, s := range cfg.Services() {
		if len(s.GetPeer()) > 0 && s.GetDirection() != state.DirectionReceive {
			links = append(links, s.GetName())
		}
	}
	return links
}

// intact notes that the other site of a link has heard of nothing that is lost here.
func (n *naming) intact(link string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.waiting[link] {
		return
	}
	if delete(n.waiting, link); len(n.waiting) == 0 {
		close(n.all)
	}
}

// wait returns when a name may be given.
func (n *naming) wait(ctx context.Context) error {
	select {
	case <-n.settled:
		return nil
	default:
	}
	select {
	case n.wanted <- struct{}{}:
	default:
	}
	select {
	case <-n.settled:
		return nil
	case <-n.stopped:
		return errors.New("the node stops")
	case <-ctx.Done():
		return fmt.Errorf("wait for the linked sites to say that this site is intact: %w", ctx.Err())
	}
}

// run settles the matter, and returns then or when ctx ends. raise begins another epoch;
// it is tried until it succeeds.
func (n *naming) run(ctx context.Context, raise func(context.Context) error) {
	if n.decide(ctx, raise) {
		close(n.settled)
	} else {
		close(n.stopped)
	}
}

// decide waits for what settles the matter; it is false when ctx ended before.
func (n *naming) decide(ctx context.Context, raise func(context.Context) error) bool {
	select {
	case <-n.all:
		return true
	case <-n.wanted:
		return n.patient(ctx) || n.raised(ctx, raise)
	case <-ctx.Done():
		return false
	}
}

// patient reports whether the other sites say it in time.
func (n *naming) patient(ctx context.Context) bool {
	patience := time.NewTimer(namingPatience)
	defer patience.Stop()
	select {
	case <-n.all:
		return true
	case <-patience.C:
	case <-ctx.Done():
	}
	return false
}

// raised raises the epoch; it is false when ctx ended.
func (n *naming) raised(ctx context.Context, raise func(context.Context) error) bool {
	for ctx.Err() == nil {
		if raise(ctx) == nil {
			return true
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return false
}

// goOn begins another epoch, which goes on from the present one.
func (s *site) goOn(ctx context.Context) error {
	var was, is uint32
	err := s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		site, _, _ := cfg.Site()
		was, is = site.GetEpoch(), plan.NextEpoch(site.GetEpoch(), s.node.opts.Clock())
		return plan.RaiseEpoch(cfg, is, false)
	})
	switch {
	case err == nil:
		s.log.Info("another epoch begins: not all linked sites have said that this one has lost nothing", "epoch", is, "was", was)
	case !errors.Is(err, context.Canceled):
		s.log.Warn("epoch cannot be raised; writes wait for it", "error", err)
	}
	return err
}

// proposeNamed commits a command. What names versions, or moves a bucket's log, waits
// until it is settled in which epoch.
func (s *site) proposeNamed(ctx context.Context, cmd *raftfsmpb.Command) (*raftfsmpb.Result, error) {
	if names(cmd) {
		if err := s.naming.wait(ctx); err != nil {
			return nil, err
		}
	}
	return s.replica.Propose(ctx, cmd)
}

func names(cmd *raftfsmpb.Command) bool {
	switch c := cmd.GetCommand().(type) {
	case *raftfsmpb.Command_Ingest:
		return len(c.Ingest.GetRecords())+len(c.Ingest.GetHold()) > 0
	case *raftfsmpb.Command_Write, *raftfsmpb.Command_Purge, *raftfsmpb.Command_SetAttribute,
		*raftfsmpb.Command_SetBucketAttribute, *raftfsmpb.Command_Trim:
		return true
	}
	return false
}
