package raftfsm

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// fsm is the machine as hashicorp/raft sees it. Raft calls Apply, ApplyBatch,
// Snapshot and Restore from one goroutine.
type fsm struct {
	machine   *machine
	snapshots *snapshotStore
	halt      *halt
	grown     func(index uint64, bytes int) // the log has grown by an entry
	advanced  chan struct{}                 // holds one signal: applied has moved
}

var _ raft.BatchingFSM = (*fsm)(nil)

// halt is why a node has stopped applying, once it has.
type halt struct {
	mu   sync.Mutex
	err  error
	done chan struct{} // closed with err set
}

func newHalt() *halt { return &halt{done: make(chan struct{})} }

// set halts the node; the first cause stays.
func (h *halt) set(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = err
		close(h.done)
	}
}

func (h *halt) cause() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// Apply implements raft.FSM.
func (f *fsm) Apply(log *raft.Log) any { return f.ApplyBatch([]*raft.Log{log})[0] }

// ApplyBatch implements raft.BatchingFSM. Every response is a [response].
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	entries := make([]logEntry, len(logs))
	for i, log := range logs {
		entries[i] = logEntry{index: log.Index, term: log.Term}
		if log.Type == raft.LogCommand {
			entries[i].data = log.Data
		}
		f.grown(log.Index, len(log.Data))
	}
	var applied []response
	if f.halt.cause() == nil {
		var err error
		if applied, err = f.machine.apply(entries); err != nil {
			f.halt.set(err)
		}
	}
	out := make([]any, len(logs))
	for i := range out {
		if i < len(applied) {
			out[i] = applied[i]
		} else {
			out[i] = response{err: fmt.Errorf("%w: %w", ErrHalted, f.halt.cause())}
		}
	}
	select {
	case f.advanced <- struct{}{}:
	default:
	}
	return out
}

// Snapshot implements raft.FSM: a checkpoint of hard links. A node that has
// halted takes none: raft would take the state to be of the log's end and
// drop the entries that were not applied.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if err := f.halt.cause(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHalted, err)
	}
	dir := f.snapshots.checkpointDir()
	if err := f.machine.checkpoint(dir); err != nil {
		return nil, err
	}
	return &fsmSnapshot{store: f.snapshots, dir: dir}, nil
}

// Restore implements raft.FSM: it replaces the state by that of a snapshot,
// which raft has opened in this node's own store.
func (f *fsm) Restore(source io.ReadCloser) error {
	if err := f.halt.cause(); err != nil {
		return fmt.Errorf("%w: %w", ErrHalted, err)
	}
	for {
		wrapper, ok := source.(raft.ReadCloserWrapper)
		if !ok {
			break
		}
		source = wrapper.WrappedReadCloser()
	}
	snapshot, ok := source.(*openSnapshot)
	if !ok {
		return errors.New("restore state: the snapshot is not of this node's store")
	}
	halt, err := f.machine.restore(f.snapshots.data(snapshot.meta.ID), snapshot.meta)
	if halt {
		f.halt.set(err)
	}
	if err == nil {
		select {
		case f.advanced <- struct{}{}:
		default:
		}
	}
	return err
}

// fsmSnapshot is a checkpoint that waits to become a snapshot.
type fsmSnapshot struct {
	store *snapshotStore
	dir   string
}

// Persist implements raft.FSMSnapshot: the sink takes the checkpoint as it is.
// Raft closes the sink, which syncs it.
func (s *fsmSnapshot) Persist(sink raft.SnapshotSink) error {
	own, ok := sink.(*snapshotSink)
	if !ok {
		return errors.New("persist snapshot: the sink is not of this node's store")
	}
	return own.adopt(s.dir)
}

// Release implements raft.FSMSnapshot: a checkpoint that was not persisted is
// removed.
func (s *fsmSnapshot) Release() {
	if err := s.store.fs.RemoveAll(s.dir); err != nil {
		s.store.logger.Warn("unused checkpoint was not removed", "directory", s.dir, "cause", err)
	}
}
