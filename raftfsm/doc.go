// Package raftfsm makes a site's state — its config ([state.Config]) and its
// catalog ([catalog.Catalog]) — the state machine of one hashicorp/raft group,
// on one node or on several.
//
// A [Replica] is one node's copy. [Replica.Propose] changes the state: commands
// that wait at one time go into one log entry, so that many small writes share
// one fsync, and each has its own result. [Replica.Barrier] is a point from
// which reads of the state are linearisable.
//
// # What lies on disk
//
// The raft log is the only write-ahead log. The state is a Pebble without one:
// the index of the last applied entry is written in the same batch as the
// entry's effects, so that after a crash Pebble holds the state of some earlier
// index, whole, and the entries after it are applied again. Snapshots are
// checkpoints of hard links. docs/format-raft.md describes every byte.
//
// # Determinism
//
// Applying an entry reads the state and the entry, nothing else. The proposer
// stamps the time. A node that meets a command it does not know stops applying
// and reports it through [Replica.Done], rather than let its state diverge.
package raftfsm
