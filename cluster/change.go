package cluster

import (
	"context"
	"errors"
	"fmt"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/raftfsm"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// planner decides from the config which transaction a command makes; nil
// means that there is nothing to change.
type planner func(cfg *state.Config) (*statepb.Txn, error)

// change plans and commits, and plans again while somebody else changed what
// the plan had read: made what it makes or rests on, or deleted it, too. It
// returns what the plan or Apply refuses.
func (s *site) change(ctx context.Context, plan planner) error {
	const attempts = 10
	for attempt := 1; ; attempt++ {
		if err := s.replica.Barrier(ctx); err != nil {
			return raftFailure("read config", err)
		}
		planned := s.replica.Config().Revision()
		txn, err := plan(s.replica.Config())
		if err != nil || txn == nil {
			return err
		}
		res, err := s.replica.Propose(ctx, &raftfsmpb.Command{Command: &raftfsmpb.Command_Config{Config: txn}})
		if err != nil {
			return raftFailure("commit config", err)
		}
		err = raftfsm.ResultError(res)
		overtaken := errors.Is(err, state.ErrConflict) || errors.Is(err, state.ErrExists) || errors.Is(err, state.ErrNotFound) || errors.Is(err, state.ErrNotEmpty)
		if overtaken && attempt < attempts && s.replica.Config().Revision() != planned {
			continue
		}
		return err
	}
}

// raftFailure wraps what came of reading or writing the site's log; what is no
// fault of the call is told as noQuorum tells it.
func raftFailure(doing string, err error) error {
	if failure := noQuorum(err); failure != nil {
		return failure
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", doing, err)
	}
	return err
}

// noSpace says that the node's disk is full, and what to do.
func noSpace(err error) error {
	return admin.Errorf(admin.CodeExhausted, "%w", err).WithHint("free space on the disk of the node's data directory")
}

// noQuorum says in words that the site's log cannot be read or written now,
// which another node or a later call may be able to; nil when err is something
// else.
func noQuorum(err error) error {
	other, misled := errors.AsType[*raftfsm.NotLeaderError](err)
	switch {
	case misled && other.Leader != "":
		return admin.Errorf(admin.CodeUnavailable, "this node does not lead the site, node %s does: nothing was changed", other.Leader).
			WithHint("connect to that node")
	case errors.Is(err, raftfsm.ErrNotLeader):
		return admin.Errorf(admin.CodeUnavailable, "the site has no leader, so it has no quorum: nothing was changed").
			WithHint("see `isgwctl system status` for its nodes")
	case errors.Is(err, raftfsm.ErrUnknownOutcome):
		return admin.Errorf(admin.CodeUnavailable, "the site lost its leader while it committed: the change may have been made").
			WithHint("look whether it was before you try again")
	case errors.Is(err, raftfsm.ErrNoSpace):
		return noSpace(err)
	case errors.Is(err, raftfsm.ErrClosed), errors.Is(err, raftfsm.ErrHalted):
		return admin.Errorf(admin.CodeUnavailable, "the node is stopping: nothing was changed").WithHint("see the node's log")
	}
	return nil
}
