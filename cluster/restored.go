package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// Restored tells the site in a data directory, which no node has open, that the
// directory was put back from a backup: its epoch rises. The next node that runs there
// compares every bucket with the sites that it is linked with, takes back what was
// written since the backup, and follows the deletions of that time, instead of giving
// the names of lost versions to others and resurrecting what was deleted. It returns
// the epochs before and after. Dir and Site of the options are needed; Logger, Clock
// and Rand are used.
func Restored(ctx context.Context, opts Options) (was, is uint32, err error) {
	if _, err := os.Stat(filepath.Join(opts.Dir, identity.FileName)); err != nil {
		return 0, 0, fmt.Errorf("open data directory: %w: name the directory of a node that has run", err)
	}
	name := opts.Node // whatever the directory says, if it is not given
	if opts, err = opts.withDefaults(); err != nil {
		return 0, 0, err
	}
	opts.Node = name
	id, dir, err := openDir(opts)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	n := &Node{opts: opts, log: opts.Logger.With("site", opts.Site, "node", id.Name()), identity: id}
	replica, err := n.openReplica(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		err = errors.Join(err, replica.Close(closing))
	}()
	if has, err := replica.HasState(); err != nil {
		return 0, 0, err
	} else if !has {
		return 0, 0, fmt.Errorf("the site in %s was never initialised: there is nothing to restore", opts.Dir)
	}
	if err := ready(ctx, replica); err != nil {
		return 0, 0, err
	}
	s := &site{node: n, log: n.log, replica: replica}
	err = s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		site, _, _ := cfg.Site()
		was, is = site.GetEpoch(), plan.NextEpoch(site.GetEpoch(), opts.Clock())
		return plan.RaiseEpoch(cfg, is, true)
	})
	return was, is, err
}
