package cluster

import (
	"context"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// resyncsAdmin is admin.Resyncs over a node.
type resyncsAdmin struct{ *Node }

func (a resyncsAdmin) Start(ctx context.Context, name, path string) (*adminpb.Service, error) {
	return servicesAdmin(a).changed(ctx, name, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.Resync(cfg, name, path, a.opts.Clock())
	})
}
