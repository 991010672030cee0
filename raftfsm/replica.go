package raftfsm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// Replica is this node's copy of the site's state, and its part in changing
// it. All methods may be called from any goroutine until Close is called.
type Replica struct {
	options   Options
	log       *raftLog
	snapshots *snapshotStore
	dbs       *databases
	machine   *machine
	transport raft.Transport
	raft      *raft.Raft
	halt      *halt

	role        *leadership
	proposer    *proposer
	reads       *reads
	snapshotter *snapshotter
}

// Files of a replica's directory.
const (
	logName       = "log"
	stateName     = "state"
	snapshotsName = "snapshots"
)

// Open opens or creates the replica in a directory and starts raft. A replica
// without state is idle until it is bootstrapped or another node adds it.
// Entries that were committed before are applied in the background; [Replica.Ready]
// waits for that. The errors of a directory that is in use, damaged or of
// another version say what to do. ctx bounds Open alone.
func Open(ctx context.Context, options Options) (*Replica, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	r := &Replica{options: options.withDefaults(), halt: newHalt()}
	if err := r.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open replica: %w", err), r.release())
	}
	return r, nil
}

func (r *Replica) open(ctx context.Context) (err error) {
	o := r.options
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	if r.log, err = openLog(o.fs, o.fs.PathJoin(o.Dir, logName), o.Logger); err != nil {
		return err
	}
	r.dbs = newDatabases(o)
	r.snapshots, err = openSnapshotStore(o.fs, o.fs.PathJoin(o.Dir, snapshotsName), o.Logger, r.dbs.inspect)
	if err != nil {
		return err
	}
	root, err := openStateDir(o.fs, o.fs.PathJoin(o.Dir, stateName))
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.machine, err = openMachine(r.dbs, root, r.snapshots); err != nil {
		return err
	}
	newest, _, err := r.snapshots.newest()
	if err != nil {
		return err
	}
	if err := checkLog(r.log, newest.Index, r.machine.applied.Load()); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.start()
}

// start runs raft and what stands around it.
func (r *Replica) start() (err error) {
	o := r.options
	if r.transport = o.Transport; r.transport == nil {
		// Nothing listens: this node is the only one, and it is its own address.
		_, r.transport = raft.NewInmemTransport(raft.ServerAddress(o.NodeID))
	}
	advanced := make(chan struct{}, 1)
	r.snapshotter = newSnapshotter(o, r.halt)
	f := &fsm{
		machine: r.machine, snapshots: r.snapshots, halt: r.halt,
		grown: r.snapshotter.note, advanced: advanced,
	}
	config := raft.DefaultConfig()
	config.LocalID = raft.ServerID(o.NodeID)
	config.HeartbeatTimeout = o.HeartbeatTimeout
	config.ElectionTimeout = o.ElectionTimeout
	config.LeaderLeaseTimeout = o.LeaderLeaseTimeout
	config.MaxAppendEntries = maxAppendEntries
	config.CommitTimeout = min(config.CommitTimeout, o.HeartbeatTimeout/2)
	config.ShutdownOnRemove = false
	config.NoSnapshotRestoreOnStart = true // openMachine has done it
	config.SnapshotThreshold = math.MaxUint64
	config.SnapshotInterval = 24 * time.Hour
	config.TrailingLogs = o.TrailingLogs
	config.NoLegacyTelemetry = true
	config.Logger = newRaftLogger(o.Logger)
	if r.raft, err = raft.NewRaft(config, f, r.log, r.log, r.snapshots, r.transport); err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	r.role = watchLeadership(r.raft)
	r.proposer = startProposer(r.raft, r.role, o.Clock, r.Space, 10*o.ElectionTimeout)
	r.reads = startReads(r.raft, r.role, r.machine, r.halt, advanced)
	r.snapshotter.start(r.raft, r.machine.flushAhead)
	return nil
}

// HasState says whether the replica has taken part in a site: it was
// bootstrapped, or another node has sent it anything.
func (r *Replica) HasState() (bool, error) {
	has, err := raft.HasExistingState(r.log, r.log, r.snapshots)
	if err != nil {
		return false, fmt.Errorf("look for raft state: %w", err)
	}
	return has, nil
}

// Bootstrap makes this node the first and only voter of a new site and waits
// until it leads. A replica that has state is refused with ErrExists.
func (r *Replica) Bootstrap(ctx context.Context) error {
	has, err := r.HasState()
	if err != nil {
		return err
	}
	if !has {
		err = r.raft.BootstrapCluster(raft.Configuration{Servers: []raft.Server{{
			Suffrage: raft.Voter,
			ID:       raft.ServerID(r.options.NodeID),
			Address:  raft.ServerAddress(r.options.NodeID),
		}}}).Error()
	}
	if has || errors.Is(err, raft.ErrCantBootstrap) {
		return &state.Error{Kind: ErrExists, Message: "this node is initialised already: its raft log is not empty"}
	}
	if err != nil {
		return fmt.Errorf("bootstrap raft: %w", err)
	}
	return r.Ready(ctx)
}

// Ready waits until the site has a leader and, when that is this node, until
// its state shows everything that was committed before. On a node that was
// neither bootstrapped nor added it waits for ctx.
func (r *Replica) Ready(ctx context.Context) error {
	for {
		changed := r.role.next()
		switch {
		case r.role.leads():
			err := r.Barrier(ctx)
			if !errors.Is(err, ErrNotLeader) {
				return err
			}
		case r.role.leader() != "":
			return nil
		}
		select {
		case <-changed:
		case <-r.halt.done:
			return fmt.Errorf("%w: %w", ErrHalted, r.halt.cause())
		case <-ctx.Done():
			return fmt.Errorf("wait for a leader of the site: %w", ctx.Err())
		}
	}
}

// Propose puts a command into the log and returns its result once it was
// applied on this node. The command is encoded at once and may be changed
// afterwards. A result whose code is not OK is a refusal and no error;
// [ResultError] makes one of it.
//
// An error is one of these, to be told apart with errors.Is. First look for
// ErrUnknownOutcome, which comes with its cause: the command was or may yet be
// applied. With any other nothing was changed: ErrInvalid, the command is empty
// or greater than [MaxCommand]; a [NotLeaderError]; ErrNoSpace; ErrClosed; ErrHalted;
// or ctx's error. Propose blocks while the queue is full.
func (r *Replica) Propose(ctx context.Context, cmd *raftfsmpb.Command) (*raftfsmpb.Result, error) {
	if err := r.halt.cause(); err != nil {
		return nil, fmt.Errorf("propose: %w: %w", ErrHalted, err)
	}
	return r.proposer.propose(ctx, cmd)
}

// Space says whether the disk has space for changes; the error is an ErrNoSpace. A
// file system that does not tell what is free is not asked to.
func (r *Replica) Space() error {
	o := r.options
	usage, err := o.fs.GetDiskUsage(o.Dir)
	if err != nil || usage.AvailBytes >= uint64(o.ReserveBytes) {
		return nil
	}
	return fmt.Errorf("%w: %d MiB are free on the disk of %s, and changes need %d",
		ErrNoSpace, usage.AvailBytes>>20, o.Dir, o.ReserveBytes>>20)
}

// Barrier returns when the state that [Replica.Config] and [Replica.Catalog]
// show contains every change that was answered, at any node of the site,
// before Barrier was called. Errors are a [NotLeaderError], ErrClosed, ErrHalted or ctx's.
func (r *Replica) Barrier(ctx context.Context) error { return r.reads.barrier(ctx) }

// Config is the site's config as this node has applied it.
func (r *Replica) Config() *state.Config { return r.machine.config }

// Catalog is the site's catalog as this node has applied it. It must not be
// used once Close was called.
func (r *Replica) Catalog() *catalog.Catalog { return r.machine.catalog }

// Done is closed when the node has stopped applying the log, which it does
// rather than diverge. The process should then end with [Replica.Err].
func (r *Replica) Done() <-chan struct{} { return r.halt.done }

// Err is why the node has stopped applying, or nil while it has not.
func (r *Replica) Err() error { return r.halt.cause() }

// Snapshot takes a snapshot now, whatever the thresholds. Raft has none to
// take, and this returns nil, when nothing was applied since the start.
func (r *Replica) Snapshot(ctx context.Context) error {
	future := r.raft.Snapshot()
	err := wait(ctx, func() error { return future.Error() })
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return fmt.Errorf("take snapshot: %w", err)
	}
	return nil
}

// Status describes the replica at this moment.
func (r *Replica) Status() Status {
	s := Status{
		NodeID:       r.options.NodeID,
		State:        strings.ToLower(r.raft.State().String()),
		Leader:       r.role.leader(),
		Term:         r.raft.CurrentTerm(),
		CommitIndex:  r.raft.CommitIndex(),
		AppliedIndex: r.machine.applied.Load(),
		LastIndex:    r.raft.LastIndex(),
		Entries:      r.proposer.entries.Load(),
		Commands:     r.proposer.commands.Load(),
	}
	if newest, ok, err := r.snapshots.newest(); err == nil && ok {
		s.LastSnapshot = newest.Index
	}
	s.SnapshotBytes = r.snapshotter.since().bytes
	if future := r.raft.GetConfiguration(); future.Error() == nil {
		for _, server := range future.Configuration().Servers {
			if server.Suffrage == raft.Voter {
				s.Voters = append(s.Voters, string(server.ID))
			}
		}
	}
	slices.SortFunc(s.Voters, func(a, b string) int { return cmp.Compare(a, b) })
	return s
}

// Close refuses new commands, waits for those under way, stops raft (and with
// it the transport that was given) and closes the state, flushed. When ctx
// ends first, Close returns its error and the replica is left half closed: the
// process should end.
func (r *Replica) Close(ctx context.Context) error {
	err := wait(ctx, func() error {
		// Raft answers what it has in hand only while it runs.
		r.proposer.close()
		r.reads.close()
		r.snapshotter.close()
		return r.release()
	})
	if err != nil {
		return fmt.Errorf("close replica: %w", err)
	}
	return nil
}

// release closes what is open, in the reverse order of opening.
func (r *Replica) release() error {
	var errs []error
	if r.raft != nil {
		r.role.close()
		errs = append(errs, r.raft.Shutdown().Error())
	}
	if closer, ok := r.transport.(raft.WithClose); ok && r.options.Transport == nil {
		errs = append(errs, closer.Close())
	}
	if r.machine != nil {
		errs = append(errs, r.machine.close())
	}
	if r.dbs != nil {
		r.dbs.close()
	}
	if r.log != nil {
		errs = append(errs, r.log.Close())
	}
	return errors.Join(errs...)
}

// wait runs fn and waits for it as long as ctx allows.
func wait(ctx context.Context, fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
