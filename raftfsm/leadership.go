package raftfsm

import (
	"sync"

	"github.com/hashicorp/raft"
)

// leadership tells waiters that this node's role, or the leader it knows, has
// changed.
type leadership struct {
	raft     *raft.Raft
	observer *raft.Observer
	seen     chan raft.Observation
	stop     chan struct{}
	done     chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change
}

func watchLeadership(r *raft.Raft) *leadership {
	l := &leadership{
		raft: r,
		// Raft drops observations when this is full; then later ones are
		// waiting in it, and those wake the waiters as well.
		seen:    make(chan raft.Observation, 16),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
		changed: make(chan struct{}),
	}
	l.observer = raft.NewObserver(l.seen, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	})
	r.RegisterObserver(l.observer)
	go l.run()
	return l
}

func (l *leadership) run() {
	defer close(l.done)
	for {
		select {
		case <-l.seen:
			l.mu.Lock()
			close(l.changed)
			l.changed = make(chan struct{})
			l.mu.Unlock()
		case <-l.stop:
			return
		}
	}
}

// next is closed at the next change. Take it before looking at the role.
func (l *leadership) next() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// leads says whether this node believes that it leads.
func (l *leadership) leads() bool { return l.raft.State() == raft.Leader }

// leader is the id of the leading node, empty when none is known.
func (l *leadership) leader() string {
	_, id := l.raft.LeaderWithID()
	return string(id)
}

func (l *leadership) notLeader() error { return &NotLeaderError{Leader: l.leader()} }

// close ends the watch and waits for it.
func (l *leadership) close() {
	l.raft.DeregisterObserver(l.observer)
	close(l.stop)
	<-l.done
}
