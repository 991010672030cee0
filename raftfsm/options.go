package raftfsm

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"edgefog.dev/isgw/raftfsm/state"
)

// Limits of the raft log.
const (
	// MaxCommand is the greatest encoded size of a command, in bytes.
	MaxCommand = MaxEntry - 1024

	// MaxEntry is the greatest size of a log entry, in bytes.
	MaxEntry = 512 << 10

	// DefaultReserveBytes holds the memtables of log and state, which are flushed
	// only later, twice.
	DefaultReserveBytes = 128 << 20

	maxAppendEntries = 16 // entries of one batch in raft: 8 MiB at most
)

// Options configure a [Replica]. Zero values take the defaults that are named.
type Options struct {
	Dir    string // directory of the replica; created if it is missing
	NodeID string // id of this node in raft; random and persistent, never an address

	Logger *slog.Logger     // default: discard
	Clock  func() time.Time // stamps entries; default time.Now

	// Transport carries raft's messages between nodes; it addresses a node by
	// its id and its local address is NodeID. Default: none, the site has this
	// node only and nothing listens.
	Transport raft.Transport

	// A snapshot is taken when the log has grown by either since the last one.
	SnapshotEntries uint64 // default 65536
	SnapshotBytes   int64  // default 64 MiB

	// TrailingLogs and TrailingBytes bound, together, the entries that stay in
	// the log after a snapshot, for followers that are a little behind.
	TrailingLogs  uint64 // default 10240
	TrailingBytes int64  // default 32 MiB

	// Raft's timeouts. Default: 1 s each for heartbeat and election and half of
	// it for the lease, or a tenth of a second when there is no Transport,
	// because a site of one node has nobody to wait for.
	HeartbeatTimeout   time.Duration
	ElectionTimeout    time.Duration
	LeaderLeaseTimeout time.Duration

	// ReserveBytes of the directory's disk stay free for what writes on behind a
	// change that was answered. With less, changes are refused with ErrNoSpace.
	ReserveBytes int64 // default 128 MiB

	CacheBytes    int64  // Pebble's block cache; default 128 MiB
	MemtableBytes uint64 // one of at most two memtables; default 32 MiB

	fs vfs.FS // tests crash it
}

func (o Options) withDefaults() Options {
	setDefault(&o.Logger, slog.New(slog.DiscardHandler))
	if o.Clock == nil {
		o.Clock = time.Now
	}
	timeout := time.Second
	if o.Transport == nil {
		timeout = 100 * time.Millisecond
	}
	setDefault(&o.SnapshotEntries, 65536)
	setDefault(&o.SnapshotBytes, 64<<20)
	setDefault(&o.TrailingLogs, 10240)
	setDefault(&o.TrailingBytes, 32<<20)
	setDefault(&o.HeartbeatTimeout, timeout)
	setDefault(&o.ElectionTimeout, o.HeartbeatTimeout)
	setDefault(&o.LeaderLeaseTimeout, o.HeartbeatTimeout/2)
	setDefault(&o.ReserveBytes, DefaultReserveBytes)
	setDefault(&o.CacheBytes, 128<<20)
	setDefault(&o.MemtableBytes, 32<<20)
	setDefault(&o.fs, vfs.Default)
	return o
}

func setDefault[T comparable](value *T, def T) {
	var zero T
	if *value == zero {
		*value = def
	}
}

// Validate reports every fault of the options at once.
func (o Options) Validate() error {
	var errs []error
	if o.Dir == "" {
		errs = append(errs, errors.New("no directory is given"))
	}
	if err := state.CheckName("node id", o.NodeID); err != nil {
		errs = append(errs, err)
	}
	if o.SnapshotBytes < 0 || o.TrailingBytes < 0 || o.ReserveBytes < 0 || o.CacheBytes < 0 {
		errs = append(errs, errors.New("a size in bytes is negative"))
	}
	if o.MemtableBytes != 0 && o.MemtableBytes < 256<<10 {
		errs = append(errs, fmt.Errorf("memtable of %d bytes is smaller than 256 KiB", o.MemtableBytes))
	}
	if o.Transport != nil && string(o.Transport.LocalAddr()) != o.NodeID {
		errs = append(errs, fmt.Errorf("transport's local address %q is not the node's id %q", o.Transport.LocalAddr(), o.NodeID))
	}
	if len(errs) > 0 {
		return fmt.Errorf("check raft options: %w", errors.Join(errs...))
	}
	return nil
}
