package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// plansAdmin is admin.Plans over a node.
type plansAdmin struct{ *Node }

// reachTime bounds how long a plan waits for the address that it would dial.
const reachTime = 3 * time.Second

// Plan implements admin.Plans.
func (a plansAdmin) Plan(ctx context.Context, req *adminpb.PlanRequest) (*adminpb.Plan, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	preview, err := s.show(ctx, req, true)
	if err != nil {
		return nil, err
	}
	return preview.Plan, nil
}

// Apply implements admin.Plans. A plan is carried out once: its transaction
// names it, and the replicated state refuses the name a second time, also after
// a restart or at another node. At one node plans are applied one after the
// other, so that of one that is sent twice the second finds the first done. Those
// that change only what is pending have no transaction: done twice they do no more.
func (a plansAdmin) Apply(ctx context.Context, req *adminpb.ApplyRequest) (*adminpb.ApplyResponse, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	asked := req.GetPlan()
	if asked.GetId() == "" || asked.GetChange().GetChange() == nil {
		return nil, admin.Errorf(admin.CodeInvalid, "the request has no plan").WithHint("plan the change first")
	}
	name, err := plan.Name(asked)
	if err != nil {
		return nil, err
	}
	select {
	case s.applying <- struct{}{}:
		defer func() { <-s.applying }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := s.replica.Barrier(ctx); err != nil {
		return nil, raftFailure("read config", err)
	}
	if s.appliedBefore(name) {
		return s.again(asked), nil
	}
	// What answers at the remote is asked again only where it can forbid the plan.
	preview, err := s.show(ctx, asked.GetChange(), plan.NeedsReach(asked.GetChange()))
	if err != nil {
		if moved := s.overtaken(err, asked); moved != nil {
			return moved, nil
		}
		return nil, err
	}
	if !sameBound(preview.Plan, asked) {
		return s.conflict(ctx, asked, moved(asked, preview.Plan))
	}
	if err := plan.MayApply(preview.Plan, req.GetTypedName()); err != nil {
		return nil, err
	}
	if err := s.pairFirst(ctx, preview); err != nil {
		return nil, err
	}
	res := &adminpb.ApplyResponse{Outcome: adminpb.ApplyResponse_OUTCOME_APPLIED}
	switch {
	case preview.Amends:
		if res.Faults, err = faultsAdmin(a).carryOut(ctx, asked.GetChange()); err != nil {
			return nil, err
		}
	case preview.Txn != nil:
		preview.Txn.Plan = name
		err := s.propose(ctx, preview.Txn)
		switch {
		case err != nil && s.appliedBefore(name): // by another node
			return s.again(asked), nil
		case errors.Is(err, state.ErrConflict), errors.Is(err, state.ErrExists), errors.Is(err, state.ErrNotFound):
			return s.conflict(ctx, asked, err.Error())
		case err != nil:
			return nil, err
		}
	}
	res.Service = s.describe(asked.GetChange())
	return res, nil
}

// appliedBefore says whether a plan of this name was carried out.
func (s *site) appliedBefore(name []byte) bool {
	_, ok := s.replica.Config().Applied(name)
	return ok
}

// again answers for a plan that was carried out before: nothing is done, and
// the service is told as it is now.
func (s *site) again(asked *adminpb.Plan) *adminpb.ApplyResponse {
	return &adminpb.ApplyResponse{Outcome: adminpb.ApplyResponse_OUTCOME_APPLIED, Again: true, Service: s.describe(asked.GetChange())}
}

// show plans a change from the config as it is now.
func (s *site) show(ctx context.Context, req *adminpb.PlanRequest, reach bool) (*plan.Preview, error) {
	facts := plan.Facts{
		Site: s.node.opts.Site, LagTarget: s.node.opts.LagTarget, LogKeep: s.node.opts.LogKeep,
		Bucket: func(path string) (uint64, uint64, bool) {
			b, err := s.replica.Catalog().Bucket(path)
			return b.GetObjects(), b.GetBytes(), err == nil
		},
		Pending: func(service, bucket string, keys []string) (plan.Pending, map[string]plan.Pending, error) {
			return s.pending(ctx, service, bucket, keys)
		},
	}
	if reach {
		facts.Reach = s.reachAll(ctx, plan.Remotes(s.replica.Config(), req))
	}
	if err := s.replica.Barrier(ctx); err != nil {
		return nil, raftFailure("read config", err)
	}
	return plan.Show(s.replica.Config(), req, facts, s.node.opts.Clock())
}

// reachAll asks addresses, all at once, who answers there.
func (s *site) reachAll(ctx context.Context, remotes []plan.Remote) map[string]*plan.Reach {
	answers := make([]*plan.Reach, len(remotes))
	var asking sync.WaitGroup
	for i, remote := range remotes {
		asking.Go(func() { answers[i] = s.reach(ctx, remote) })
	}
	asking.Wait()
	heard := make(map[string]*plan.Reach, len(remotes))
	for i, remote := range remotes {
		heard[remote.Address] = answers[i]
	}
	return heard
}

// reach asks an address who answers there.
func (s *site) reach(ctx context.Context, remote plan.Remote) *plan.Reach {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	began := s.node.opts.Clock()
	peer, err := s.links.whoAnswers(ctx, remote.Address, remote.Tunnel)
	r := &plan.Reach{Address: remote.Address, Took: s.node.opts.Clock().Sub(began)}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		r.Failure = fmt.Sprintf("nobody answers within %v", reachTime)
	case err != nil:
		r.Failure = err.Error()
	default:
		r.Site, r.Name = peer.Site, peer.SiteName
	}
	return r
}

// pairFirst pairs with the site whose token the change brings.
func (s *site) pairFirst(ctx context.Context, preview *plan.Preview) error {
	if preview.Pair == nil {
		return nil
	}
	pairing, err := s.pairWith(ctx, preview.Pair)
	if err != nil {
		return err
	}
	if err := s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.Pair(cfg, pairing, s.node.opts.Clock())
	}); err != nil {
		return fmt.Errorf("pin site %s: %w", pairing.GetSiteName(), err)
	}
	return nil
}

// propose commits one transaction, once.
func (s *site) propose(ctx context.Context, txn *statepb.Txn) error {
	res, err := s.replica.Propose(ctx, &raftfsmpb.Command{Command: &raftfsmpb.Command_Config{Config: txn}})
	if err != nil {
		return raftFailure("commit config", err)
	}
	return raftfsm.ResultError(res)
}

// conflict answers with the plan as it is now; when the change is not possible
// any more, with the reason.
func (s *site) conflict(ctx context.Context, asked *adminpb.Plan, reason string) (*adminpb.ApplyResponse, error) {
	preview, err := s.show(ctx, asked.GetChange(), true)
	if err != nil {
		if moved := s.overtaken(err, asked); moved != nil {
			return moved, nil
		}
		return nil, err
	}
	return &adminpb.ApplyResponse{Outcome: adminpb.ApplyResponse_OUTCOME_CONFLICT, Plan: preview.Plan, Reason: reason}, nil
}

// overtaken turns a refusal that is due to a change since the plan into a
// conflict without a new plan: there is nothing left to do. It is nil when the
// config did not move, so that the refusal stands as it is.
func (s *site) overtaken(err error, asked *adminpb.Plan) *adminpb.ApplyResponse {
	refusal, ok := errors.AsType[*plan.Error](err)
	if !ok || s.replica.Config().Revision() == asked.GetConfigRevision() || errors.Is(err, state.ErrInvalid) {
		return nil
	}
	return &adminpb.ApplyResponse{
		Outcome: adminpb.ApplyResponse_OUTCOME_CONFLICT,
		Reason:  "somebody changed the config meanwhile: " + refusal.Message,
	}
}

// describe is the service that a change is about, or nil.
func (s *site) describe(req *adminpb.PlanRequest) *adminpb.Service {
	service, err := plan.GetService(s.replica.Config(), plan.Subject(req))
	if err != nil {
		return nil
	}
	s.addStatus(service, false)
	return service
}

func sameBound(a, b *adminpb.Plan) bool {
	return slices.EqualFunc(a.GetBound(), b.GetBound(), func(x, y *adminpb.BoundRevision) bool {
		return x.GetObject() == y.GetObject() && x.GetRevision() == y.GetRevision()
	})
}

// moved names what has another revision now.
func moved(asked, now *adminpb.Plan) string {
	var names []string
	for _, b := range now.GetBound() {
		if !slices.ContainsFunc(asked.GetBound(), func(o *adminpb.BoundRevision) bool {
			return o.GetObject() == b.GetObject() && o.GetRevision() == b.GetRevision()
		}) {
			names = append(names, b.GetObject())
		}
	}
	if len(names) == 0 {
		return "what the plan read has changed"
	}
	return strings.Join(names, ", ") + " changed after the plan was made"
}
