package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sync/semaphore"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

const (
	// inFlight is how many entries a proposer has in the log's pipeline: one
	// is being synced while the next is gathered and handed over.
	inFlight = 2

	// queueBytes bounds the commands that wait; each counts callOverhead more
	// than its bytes, so that their number is bounded too.
	queueBytes   = 8 << 20
	callOverhead = 1024
)

// proposer puts commands into the log. Two workers take turns: one gathers all
// commands that wait, up to MaxEntry bytes, into one entry and hands it to
// raft, then waits for it while the other gathers. A command that finds both
// idle goes at once; under load the groups grow by themselves.
//
// The two workers share one session. An entry whose outcome raft does not know
// is proposed again under the same number, and the state applies it once.
type proposer struct {
	raft     *raft.Raft
	role     *leadership
	clock    func() time.Time
	space    func() error  // why nothing may be written
	patience time.Duration // to lead again after leadership was lost

	ctx    context.Context // ended by close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	room  *semaphore.Weighted // of queueBytes
	queue chan *call          // never full: room admits fewer

	// Locks are channels of one token because their holders wait, and
	// simulated time must go on then. gather is taken before submit.
	gather chan struct{} // held by the worker that waits for calls and groups them
	held   *call         // taken, but did not fit the last group

	submit   chan struct{} // held while an entry is made and handed to raft
	session  uint64        // 0: none is open
	number   uint64        // of the last entry in it
	lastTime int64         // of the last entry

	entries, commands atomic.Uint64
}

// call is one command under way.
type call struct {
	raw   []byte
	state atomic.Int32
	done  chan outcome // holds one
}

const (
	callQueued    = iota
	callTaken     // by a worker, which will answer
	callAbandoned // by its caller, before a worker took it
)

// outcome is a command's result or why there is none.
type outcome struct {
	result *raftfsmpb.Result
	err    error
}

func (c *call) weight() int64 { return int64(len(c.raw)) + callOverhead }

func startProposer(r *raft.Raft, role *leadership, clock func() time.Time, space func() error, patience time.Duration) *proposer {
	p := &proposer{
		raft: r, role: role, clock: clock, space: space, patience: patience,
		room:   semaphore.NewWeighted(queueBytes),
		queue:  make(chan *call, queueBytes/callOverhead),
		gather: make(chan struct{}, 1),
		submit: make(chan struct{}, 1),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for range inFlight {
		p.wg.Go(p.work)
	}
	return p
}

// close refuses new commands, lets the entries in raft's hands finish and
// waits for the workers.
func (p *proposer) close() {
	p.cancel()
	p.wg.Wait()
}

// propose implements [Replica.Propose].
func (p *proposer) propose(ctx context.Context, cmd *raftfsmpb.Command) (*raftfsmpb.Result, error) {
	if cmd.GetCommand() == nil {
		return nil, fmt.Errorf("propose: %w: the command is empty", ErrInvalid)
	}
	raw, err := proto.Marshal(cmd)
	if err != nil {
		return nil, fmt.Errorf("propose: encode command: %w", err)
	}
	if len(raw) > MaxCommand {
		return nil, fmt.Errorf("propose: %w: the command has %d bytes, more than %d", ErrInvalid, len(raw), MaxCommand)
	}
	c := &call{raw: raw, done: make(chan outcome, 1)}
	if err := p.admit(ctx, c); err != nil {
		return nil, err
	}
	p.queue <- c
	select {
	case out := <-c.done:
		return out.result, out.err
	case <-ctx.Done():
		if c.state.CompareAndSwap(callQueued, callAbandoned) {
			return nil, fmt.Errorf("propose: %w", ctx.Err())
		}
		return nil, fmt.Errorf("propose: %w: %w", ErrUnknownOutcome, ctx.Err())
	case <-p.ctx.Done():
		if c.state.CompareAndSwap(callQueued, callAbandoned) {
			return nil, ErrClosed
		}
	}
	select { // a worker has it and will answer
	case out := <-c.done:
		return out.result, out.err
	case <-ctx.Done():
		return nil, fmt.Errorf("propose: %w: %w", ErrUnknownOutcome, ctx.Err())
	}
}

// admit waits until the queue has room for a call.
func (p *proposer) admit(ctx context.Context, c *call) error {
	if err := p.ctx.Err(); err != nil {
		return ErrClosed
	}
	if p.room.TryAcquire(c.weight()) {
		return nil
	}
	both, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	if err := p.room.Acquire(both, c.weight()); err != nil {
		if ctx.Err() == nil {
			return ErrClosed
		}
		return fmt.Errorf("propose: wait for room in the queue: %w", ctx.Err())
	}
	return nil
}

func (p *proposer) work() {
	for {
		calls, attempt := p.next()
		if calls == nil {
			return
		}
		outcomes, err := p.settle(calls, attempt)
		for i, c := range calls {
			p.room.Release(c.weight())
			if err != nil {
				c.done <- outcome{err: err}
			} else {
				c.done <- outcome{result: outcomes[i]}
			}
		}
	}
}

// attempt is an entry in raft's hands.
type attempt struct {
	session uint64
	data    []byte
	future  raft.ApplyFuture // nil when err is set
	err     error            // the entry was not handed over
}

// next gathers a group and hands it to raft. It returns nil when the proposer
// is closed.
func (p *proposer) next() ([]*call, attempt) {
	p.gather <- struct{}{}
	defer func() { <-p.gather }()
	first := p.held
	p.held = nil
	for first == nil {
		select {
		case c := <-p.queue:
			first = p.take(c)
		case <-p.ctx.Done():
			return nil, attempt{}
		}
	}
	calls, size := []*call{first}, entrySize(first)
	for {
		select {
		case c := <-p.queue:
			if c = p.take(c); c == nil {
				continue
			}
			if size += entrySize(c); size > MaxEntry-64 {
				p.held = c
				return calls, p.hand(calls)
			}
			calls = append(calls, c)
			continue
		default:
		}
		return calls, p.hand(calls)
	}
}

// take makes a worker answer for a call, unless its caller has gone.
func (p *proposer) take(c *call) *call {
	if c.state.CompareAndSwap(callQueued, callTaken) {
		return c
	}
	p.room.Release(c.weight())
	return nil
}

// hand gives a group to raft as the next entry of the session, opening one if
// there is none.
func (p *proposer) hand(calls []*call) attempt {
	p.submit <- struct{}{}
	defer func() { <-p.submit }()
	if err := p.space(); err != nil {
		return attempt{err: err}
	}
	if p.session == 0 {
		session, err := p.openSession()
		if err != nil {
			return attempt{err: err}
		}
		p.session, p.number = session, 0
	}
	p.number++
	data := encodeEntry(p.session, p.number, p.now(), calls)
	return attempt{session: p.session, data: data, future: p.raft.Apply(data, 0)}
}

// now is the time for the next entry; it never runs backwards.
func (p *proposer) now() int64 {
	p.lastTime = max(p.lastTime, p.clock().UnixNano())
	return p.lastTime
}

func (p *proposer) openSession() (uint64, error) {
	data, err := proto.Marshal(&raftfsmpb.Entry{OpenSession: true, Time: p.now()})
	if err != nil {
		return 0, fmt.Errorf("propose: open session: %w", err)
	}
	future := p.raft.Apply(data, 0)
	switch err := future.Error(); {
	case err == nil:
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost):
		// A session that was opened all the same is never used and expires.
		return 0, p.role.notLeader()
	case errors.Is(err, raft.ErrRaftShutdown):
		return 0, ErrClosed
	default:
		return 0, fmt.Errorf("propose: open session: %w", err)
	}
	if res, ok := future.Response().(response); ok && res.err != nil {
		return 0, fmt.Errorf("propose: open session: %w", res.err)
	}
	return future.Index(), nil
}

// settle waits for an entry and proposes it again as long as that is right.
func (p *proposer) settle(calls []*call, try attempt) ([]*raftfsmpb.Result, error) {
	doubt := false // an earlier try may have been applied
	for {
		if try.err != nil {
			return nil, withDoubt(try.err, doubt)
		}
		err := try.future.Error()
		switch {
		case err == nil:
			res, ok := try.future.Response().(response)
			if !ok || res.err == nil && len(res.results) != len(calls) {
				return nil, fmt.Errorf("propose: %w: unexpected response to an entry", ErrUnknownOutcome)
			}
			if res.err != nil {
				return nil, fmt.Errorf("propose: %w: %w", ErrUnknownOutcome, res.err)
			}
			if res.results[0].GetCode() != raftfsmpb.Code_SESSION_EXPIRED {
				p.entries.Add(1)
				p.commands.Add(uint64(len(calls)))
				return res.results, nil
			}
			if doubt {
				return nil, fmt.Errorf("propose: %w: the session has expired", ErrUnknownOutcome)
			}
			try = p.renew(calls, try.session)
		case errors.Is(err, raft.ErrLeadershipLost):
			doubt = true
			if err := p.leadAgain(); err != nil {
				return nil, withDoubt(err, true)
			}
			try.future = p.raft.Apply(try.data, 0)
		default:
			return nil, withDoubt(p.definite(err), doubt)
		}
	}
}

// renew proposes a group again in a new session: the old one has expired, so
// nothing of the group was applied.
func (p *proposer) renew(calls []*call, expired uint64) attempt {
	p.submit <- struct{}{}
	if p.session == expired {
		p.session = 0
	}
	<-p.submit
	return p.hand(calls)
}

// leadAgain waits until this node leads, which it ceased to do with an entry
// in flight. It gives up when another node leads, because only this proposer
// can repeat its entry.
func (p *proposer) leadAgain() error {
	patience := time.NewTimer(p.patience)
	defer patience.Stop()
	for {
		changed := p.role.next()
		if p.role.leads() {
			return nil
		}
		if p.role.leader() != "" {
			return p.role.notLeader()
		}
		select {
		case <-changed:
		case <-patience.C:
			return p.role.notLeader()
		case <-p.ctx.Done():
			return ErrClosed
		}
	}
}

// definite turns raft's error for an entry that it did not take.
func (p *proposer) definite(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		return p.role.notLeader()
	case errors.Is(err, raft.ErrRaftShutdown):
		return ErrClosed
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("propose: %w", err)
	}
	// The log could not be written, or leadership was lost on the way.
	return fmt.Errorf("propose: %w: %w", ErrUnknownOutcome, err)
}

func withDoubt(err error, doubt bool) error {
	if doubt && !errors.Is(err, ErrUnknownOutcome) {
		return fmt.Errorf("propose: %w: %w", ErrUnknownOutcome, err)
	}
	return err
}

// Field numbers of raftfsmpb.Entry. The commands are encoded by their callers,
// so the entry is put together here from finished pieces.
const (
	entrySession  = 1
	entryNumber   = 2
	entryTime     = 3
	entryCommands = 4
)

// entrySize is what a call adds to the size of its entry.
func entrySize(c *call) int {
	return protowire.SizeTag(entryCommands) + protowire.SizeBytes(len(c.raw))
}

func encodeEntry(session, number uint64, time int64, calls []*call) []byte {
	size := 64
	for _, c := range calls {
		size += entrySize(c)
	}
	data := make([]byte, 0, size)
	data = protowire.AppendVarint(protowire.AppendTag(data, entrySession, protowire.VarintType), session)
	data = protowire.AppendVarint(protowire.AppendTag(data, entryNumber, protowire.VarintType), number)
	data = protowire.AppendVarint(protowire.AppendTag(data, entryTime, protowire.VarintType), uint64(time))
	for _, c := range calls {
		data = protowire.AppendBytes(protowire.AppendTag(data, entryCommands, protowire.BytesType), c.raw)
	}
	return data
}
