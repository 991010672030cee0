package cluster

import (
	"context"
	"fmt"

	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// labelNode gives the node in the config the labels it was started with, and
// takes off those that an earlier start gave it.
func (s *site) labelNode(ctx context.Context) error {
	labels, err := plan.ParseLabels(s.node.opts.Labels)
	if err != nil {
		return fmt.Errorf("label node: %w", err)
	}
	if err := s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.LabelNode(cfg, s.node.identity.ID(), labels)
	}); err != nil {
		return fmt.Errorf("label node: %w", err)
	}
	return nil
}
