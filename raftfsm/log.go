package raftfsm

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// openLog opens the raft log of a replica, a bbolt file that is synced with
// every append and locked against a second process.
func openLog(path string) (*raftboltdb.BoltStore, error) {
	log, err := raftboltdb.New(raftboltdb.Options{
		Path: path,
		BoltOptions: &bbolt.Options{
			Timeout: time.Second, // for the lock
			// The free list is rebuilt at start instead of written with every
			// append, and kept as a map, which stays fast when it is long.
			NoFreelistSync: true,
			FreelistType:   bbolt.FreelistMapType,
		},
	})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open raft log: %s is in use by another process", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open raft log %s: %w", path, err)
	}
	return log, nil
}

// checkLog compares the log with the state before raft starts, because raft
// itself would panic on a gap or apply nothing for a while.
func checkLog(log *raftboltdb.BoltStore, newest uint64, applied uint64) error {
	used, err := raft.HasExistingState(log, log, raft.NewDiscardSnapshotStore())
	if err != nil {
		return fmt.Errorf("read raft log: %w", err)
	}
	if !used && (newest > 0 || applied > 0) {
		// It held this node's vote too: going on could elect two leaders.
		return fmt.Errorf("raft log is empty, but there is state up to entry %d: the log was lost; restore this node's data directory or join it anew", max(newest, applied))
	}
	first, err := log.FirstIndex()
	if err != nil {
		return fmt.Errorf("read raft log: %w", err)
	}
	last, err := log.LastIndex()
	if err != nil {
		return fmt.Errorf("read raft log: %w", err)
	}
	// Raft goes on from the newest snapshot, so the log must reach back to it.
	if first > newest+1 {
		return fmt.Errorf("raft log begins at entry %d, but the newest snapshot ends at %d: a snapshot is missing; restore this node's data directory or join it anew", first, newest)
	}
	if end := max(last, newest); applied > end {
		return fmt.Errorf("state has applied entry %d, but the raft log ends at %d: the log is older than the state; restore this node's data directory or join it anew", applied, end)
	}
	return nil
}
