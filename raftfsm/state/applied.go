package state

import (
	"bytes"
	"slices"

	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// PlanNameSize is the length in bytes of the name that a transaction gives to
// the plan that it carries out.
const PlanNameSize = 16

// MaxApplied bounds the plans that are remembered as carried out; the oldest is
// forgotten first. A plan that was forgotten does no harm when it is sent again:
// what it is bound to has moved.
const MaxApplied = 256

// Applied says whether a transaction that named this plan was accepted, among
// the last [MaxApplied] that named any, and with which revision of the config.
// What it knows is part of the replicated state: it outlives a restart and is
// the same at every node.
func (c *Config) Applied(plan []byte) (revision uint64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.applied(plan)
}

// applied is Applied; c.mu is held.
func (c *Config) applied(plan []byte) (revision uint64, ok bool) {
	plans := c.get(AppliedKey).GetObject().GetApplied().GetPlans()
	i := slices.IndexFunc(plans, func(p *statepb.AppliedPlan) bool { return bytes.Equal(p.GetPlan(), plan) })
	if i < 0 {
		return 0, false
	}
	return plans[i].GetRevision(), true
}

// checkPlan refuses a plan that was carried out already; c.mu is held.
func (c *Config) checkPlan(plan []byte) error {
	switch n := len(plan); {
	case n == 0:
		return nil
	case n != PlanNameSize:
		return invalid("the name of a plan has %d bytes, not %d", n, PlanNameSize)
	}
	if revision, ok := c.applied(plan); ok {
		return refuse(ErrExists, "the plan was applied already, with config revision %d", revision)
	}
	return nil
}

// remember is the list of applied plans with one more; c.mu is held. The list
// that is kept is not changed, because readers share it.
func (c *Config) remember(plan []byte, revision uint64) *statepb.Stored {
	plans := c.get(AppliedKey).GetObject().GetApplied().GetPlans()
	plans = append(slices.Clip(plans[max(0, len(plans)+1-MaxApplied):]), &statepb.AppliedPlan{Plan: plan, Revision: revision})
	return &statepb.Stored{Object: Wrap(&statepb.Applied{Plans: plans}), Revision: revision}
}
