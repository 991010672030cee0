package raftfsm

import (
	"bytes"
	"testing"
	"testing/synctest"

	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// TestPlanAppliesOnceOverFailover: what a plan did is known to the node that
// leads next, and to a node that was started again.
func TestPlanAppliesOnceOverFailover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, func(*Options) {})
		name := bytes.Repeat([]byte{7}, state.PlanNameSize)
		plan := config(&statepb.Txn{Plan: name, Puts: []*statepb.Object{state.Wrap(&statepb.Namespace{Name: "Guam"})}})
		first := c.leader()
		res := mustPropose(t, first, plan)
		id := first.Status().NodeID
		c.stop(id)
		next := c.leader()
		if got := propose(t, next, plan); got.GetCode() != raftfsmpb.Code_EXISTS {
			t.Errorf("the plan at the next leader: %v", got)
		}
		c.start(id)
		c.same()
		for id, r := range c.nodes {
			if revision, ok := r.Config().Applied(name); !ok || revision != res.GetRevision() {
				t.Errorf("%s: the plan was applied with revision %d, %v; want %d", id, revision, ok, res.GetRevision())
			}
		}
	})
}
