package raftfsm

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// snapshotter decides when raft takes a snapshot and how much of the log stays
// behind it. Raft's own trigger looks at the clock and at the number of
// entries, which here may be of a hundred bytes or of half a megabyte; the log
// is replayed through memory at start, so its bytes must be bounded.
type snapshotter struct {
	raft    *raft.Raft
	flush   func() error // ahead of the checkpoint
	logger  *slog.Logger
	halt    *halt
	entries uint64 // thresholds
	bytes   int64

	trailingLogs  uint64
	trailingBytes int64

	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	kick   chan struct{} // holds one: a threshold was passed

	mu    sync.Mutex
	grown growth // of the log since the last snapshot
	last  uint64 // index of the last entry noted
	sizes []int  // of the last entries, by index modulo their number
	from  uint64 // sizes of entries below it are unknown
}

type growth struct {
	entries uint64
	bytes   int64
}

// retryPause is the time before a snapshot that failed is tried again.
const retryPause = 5 * time.Second

func newSnapshotter(o Options, h *halt) *snapshotter {
	s := &snapshotter{
		logger: o.Logger, halt: h,
		entries: o.SnapshotEntries, bytes: o.SnapshotBytes,
		trailingLogs: o.TrailingLogs, trailingBytes: o.TrailingBytes,
		done: make(chan struct{}), kick: make(chan struct{}, 1),
		sizes: make([]int, o.TrailingLogs+1),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// start lets snapshots be taken.
func (s *snapshotter) start(r *raft.Raft, flush func() error) {
	s.raft, s.flush = r, flush
	go s.run()
}

// close waits for the snapshot that is being taken.
func (s *snapshotter) close() {
	s.cancel()
	<-s.done
}

// note counts an entry of the log. Raft's goroutine calls it for each.
func (s *snapshotter) note(index uint64, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := uint64(len(s.sizes))
	if s.last == 0 || index > s.last+n {
		s.from = index
	} else {
		for i := s.last + 1; i < index; i++ { // entries of raft's own are not noted
			s.sizes[i%n] = 0
		}
	}
	s.last = index
	s.sizes[index%n] = bytes
	s.grown.entries++
	s.grown.bytes += int64(bytes)
	if s.due() {
		select {
		case s.kick <- struct{}{}:
		default:
		}
	}
}

// due says whether a threshold is passed; s.mu is held.
func (s *snapshotter) due() bool {
	return s.grown.entries >= s.entries || s.grown.bytes >= s.bytes
}

// since is the log's growth since the last snapshot.
func (s *snapshotter) since() growth {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grown
}

// trailing is how many entries may stay behind a snapshot taken now.
func (s *snapshotter) trailing() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return trailing(s.last, s.from, s.trailingLogs, s.trailingBytes, func(index uint64) int {
		return s.sizes[index%uint64(len(s.sizes))]
	})
}

// trailing is the greatest number of last entries that is within both limits;
// entries below from have an unknown size and are not counted in.
func trailing(last, from, logs uint64, bytes int64, size func(index uint64) int) uint64 {
	n := uint64(0)
	for index := last; index >= from && index > 0 && n < logs; index-- {
		if bytes -= int64(size(index)); bytes < 0 {
			break
		}
		n++
	}
	return n
}

func (s *snapshotter) run() {
	defer close(s.done)
	retry := time.NewTimer(retryPause)
	retry.Stop()
	defer retry.Stop()
	kick := s.kick // nil after a failure: the next attempt is the timer's
	for {
		select {
		case <-kick:
		case <-retry.C:
		case <-s.ctx.Done():
			return
		}
		kick = s.kick
		if err := s.take(); err != nil && s.ctx.Err() == nil {
			s.logger.Warn("snapshot was not taken and is tried again", "cause", err)
			retry.Reset(retryPause)
			kick = nil
		}
	}
}

// take has raft take a snapshot, if one is still due.
func (s *snapshotter) take() error {
	s.mu.Lock()
	before, due := s.grown, s.due()
	s.mu.Unlock()
	if !due || s.halt.cause() != nil {
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	limits := s.raft.ReloadableConfig()
	limits.TrailingLogs = s.trailing()
	if err := s.raft.ReloadConfig(limits); err != nil {
		return err
	}
	err := s.raft.Snapshot().Error()
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return err
	}
	s.mu.Lock()
	s.grown.entries -= before.entries
	s.grown.bytes -= before.bytes
	s.mu.Unlock()
	return nil
}
