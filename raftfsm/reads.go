package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// reads gives points from which reads are linearisable, by the read-index
// method (Ongaro, "Consensus: Bridging Theory and Practice", section 6.4):
// note the commit index, make sure that this node still leads, wait until the
// state has applied that far. One round serves all callers that came before it
// began. Once in each term a raft barrier makes sure that the commit index
// covers what earlier leaders committed.
type reads struct {
	raft     *raft.Raft
	role     *leadership
	machine  *machine
	halt     *halt
	advanced <-chan struct{} // signals that machine.applied has moved

	ctx    context.Context // ended by close
	cancel context.CancelFunc
	done   chan struct{}
	kick   chan struct{} // holds one: somebody waits

	mu      sync.Mutex
	waiting []chan error // each holds one; served by the next round

	term  uint64 // of the last raft barrier
	floor uint64 // its index; raft's own entries never reach the machine
}

func startReads(r *raft.Raft, role *leadership, m *machine, h *halt, advanced <-chan struct{}) *reads {
	s := &reads{
		raft: r, role: role, machine: m, halt: h, advanced: advanced,
		done: make(chan struct{}), kick: make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.run()
	return s
}

// close refuses new callers, answers the others and waits for the round that
// runs.
func (s *reads) close() {
	s.cancel()
	<-s.done
}

// barrier implements [Replica.Barrier].
func (s *reads) barrier(ctx context.Context) error {
	if s.ctx.Err() != nil {
		return ErrClosed
	}
	answer := make(chan error, 1)
	s.mu.Lock()
	s.waiting = append(s.waiting, answer)
	s.mu.Unlock()
	select {
	case s.kick <- struct{}{}:
	default:
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for read point: %w", ctx.Err())
	case <-s.ctx.Done():
		return ErrClosed
	}
}

func (s *reads) run() {
	defer close(s.done)
	for {
		select {
		case <-s.kick:
		case <-s.ctx.Done():
			return
		}
		s.mu.Lock()
		callers := s.waiting
		s.waiting = nil
		s.mu.Unlock()
		if len(callers) == 0 {
			continue
		}
		err := s.round()
		for _, answer := range callers {
			answer <- err
		}
	}
}

func (s *reads) round() error {
	index, err := s.readIndex()
	if err != nil {
		return s.translate(err)
	}
	for max(s.machine.applied.Load(), s.floor) < index {
		select {
		case <-s.advanced:
		case <-s.halt.done:
			return fmt.Errorf("wait for read point: %w: %w", ErrHalted, s.halt.cause())
		case <-s.ctx.Done():
			return ErrClosed
		}
	}
	if err := s.halt.cause(); err != nil {
		return fmt.Errorf("wait for read point: %w: %w", ErrHalted, err)
	}
	return nil
}

// readIndex is an index that covers everything committed so far, noted while
// this node led.
func (s *reads) readIndex() (uint64, error) {
	for {
		if err := s.firstOfTerm(); err != nil {
			return 0, err
		}
		index := s.raft.CommitIndex()
		if err := s.raft.VerifyLeader().Error(); err != nil {
			return 0, err
		}
		// Had this node lost and won leadership meanwhile, index could be of
		// the new term's first entry, which never reaches the machine.
		if s.raft.CurrentTerm() == s.term {
			return index, nil
		}
	}
}

// firstOfTerm puts a raft barrier behind everything that was committed before
// this node led, unless that was done in this term. When it has passed, every
// entry up to it has been applied; what comes later in the term and is not the
// machine's is another such barrier. Should the term change in between, the
// barrier is noted for the older term and done again for the newer.
func (s *reads) firstOfTerm() error {
	term := s.raft.CurrentTerm()
	if term == s.term {
		return nil
	}
	future := s.raft.Barrier(0)
	if err := future.Error(); err != nil {
		return err
	}
	entry, ok := future.(raft.IndexFuture) // it is one of raft's log entries
	if !ok {
		return errors.New("raft barrier has no index")
	}
	s.term, s.floor = term, entry.Index()
	return nil
}

func (s *reads) translate(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost):
		return s.role.notLeader()
	case errors.Is(err, raft.ErrRaftShutdown):
		return ErrClosed
	}
	return fmt.Errorf("wait for read point: %w", err)
}
