package state

import (
	"errors"
	"slices"
	"strings"
	"testing"

	pb "edgefog.dev/isgw/raftfsm/state/statepb"
)

// planName is the name of the n-th plan.
func planName(n int) []byte {
	name := make([]byte, PlanNameSize)
	name[0], name[1] = byte(n>>8), byte(n)
	return name
}

// TestAppliedPlans: a transaction that names a plan is accepted once, what it
// did is remembered with it, and the list stays bounded.
func TestAppliedPlans(t *testing.T) {
	c := populated(t)
	revision := c.Revision()
	apply := func(n int, objects ...*pb.Object) ([]Change, error) {
		txn := put(objects...)
		txn.Plan = planName(n)
		changes, err := c.Apply(txn, c.Revision()+1)
		return changes, err
	}
	changes, err := apply(1, namespace("Guam"))
	if err != nil {
		t.Fatal(err)
	}
	if len(changes) != 2 || !slices.ContainsFunc(changes, func(ch Change) bool { return ch.Key == AppliedKey && ch.Stored.GetRevision() == revision+1 }) {
		t.Errorf("the changes of a plan are %v, want the object and the list", changes)
	}
	if at, ok := c.Applied(planName(1)); !ok || at != revision+1 {
		t.Errorf("the plan was applied with revision %d, %v", at, ok)
	}
	shared, _, _ := c.Get(AppliedKey)
	var refused *Error
	if _, err := apply(1, namespace("Samoa")); !errors.As(err, &refused) || !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "applied already") {
		t.Errorf("the same plan again: %v", err)
	}
	if _, _, ok := c.Namespace("Samoa"); ok || c.Revision() != revision+1 {
		t.Error("a plan that was refused changed something")
	}
	// One that is refused for another reason may come again.
	if _, err := apply(2, tenant("Nowhere/Cola")); !errors.Is(err, ErrNotFound) {
		t.Errorf("a plan without its parent: %v", err)
	}
	if _, ok := c.Applied(planName(2)); ok {
		t.Error("a refused plan is remembered")
	}
	for n := 2; n <= MaxApplied+1; n++ {
		if _, err := apply(n, namespace("Guam")); err != nil {
			t.Fatal(err)
		}
	}
	kept, _, _ := c.Get(AppliedKey)
	if n := len(kept.GetApplied().GetPlans()); n != MaxApplied {
		t.Errorf("%d plans are remembered, want %d", n, MaxApplied)
	}
	if _, ok := c.Applied(planName(1)); ok {
		t.Error("the oldest plan is not forgotten")
	}
	if _, ok := c.Applied(planName(2)); !ok {
		t.Error("more than the oldest plan is forgotten")
	}
	if n := len(shared.GetApplied().GetPlans()); n != 1 {
		t.Errorf("the list that a reader holds has grown to %d", n)
	}

	for name, txn := range map[string]*pb.Txn{
		"a short name":     {Plan: []byte("plan"), Puts: []*pb.Object{namespace("Guam")}},
		"a put list":       put(Wrap(&pb.Applied{})),
		"a deleted list":   del(pb.Kind_KIND_APPLIED, AppliedKey.Name),
		"a plan of no use": {Plan: planName(9999)},
	} {
		if err := c.Check(txn); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
