package cluster

import (
	"context"
	"errors"
	"fmt"

	"edgefog.dev/isgw/raftfsm"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// planner decides from the config which transaction a command makes; nil
// means that there is nothing to change.
type planner func(cfg *state.Config) (*statepb.Txn, error)

// change plans and commits, and plans again while somebody else changed what
// the plan had read. It returns what the plan or Apply refuses.
func (s *site) change(ctx context.Context, plan planner) error {
	const attempts = 10
	for attempt := 1; ; attempt++ {
		if err := s.replica.Barrier(ctx); err != nil {
			return fmt.Errorf("read config: %w", err)
		}
		txn, err := plan(s.replica.Config())
		if err != nil || txn == nil {
			return err
		}
		res, err := s.replica.Propose(ctx, &raftfsmpb.Command{Command: &raftfsmpb.Command_Config{Config: txn}})
		if err != nil {
			return fmt.Errorf("commit config: %w", err)
		}
		err = raftfsm.ResultError(res)
		if errors.Is(err, state.ErrConflict) && attempt < attempts {
			continue
		}
		return err
	}
}
