package cluster

import (
	"context"
	"fmt"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// sitesAdmin is admin.Sites over a node.
type sitesAdmin struct{ *Node }

func (a sitesAdmin) Invite(ctx context.Context, req *adminpb.InviteRequest) (*adminpb.InviteResponse, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	address := req.GetAddress()
	if address == "" {
		address = s.linkAddress
	}
	if address == "" {
		return nil, admin.Errorf(admin.CodeConflict, "this node has no link endpoint for the other site to reach").
			WithHint("start the node with --link, or invite from the other site")
	}
	if err := plan.CheckAddress(address); err != nil {
		return nil, err
	}
	now := a.opts.Clock()
	token, err := identity.NewToken(s.id, s.identity.Load().Public(), address, now, a.opts.Rand)
	if err != nil {
		return nil, err
	}
	hash := token.Hash()
	if err := s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.Invite(cfg, hash[:], address, now)
	}); err != nil {
		return nil, err
	}
	return &adminpb.InviteResponse{
		Token:   token.Encode(),
		Expires: plan.Timestamp(now.Add(plan.InvitationLife).UnixNano()),
		Address: address,
	}, nil
}

func (a sitesAdmin) Pairings(ctx context.Context) ([]*adminpb.Pairing, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	return plan.ListPairings(s.replica.Config()), nil
}

func (a sitesAdmin) Pair(ctx context.Context, text string) (*adminpb.Pairing, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	token, err := identity.ParseToken(text)
	if err != nil {
		return nil, admin.Errorf(admin.CodeInvalid, "%w", err) // which says what to do
	}
	pairing, err := s.pairWith(ctx, token)
	if err != nil {
		return nil, err
	}
	if err := s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.Pair(cfg, pairing, a.opts.Clock())
	}); err != nil {
		return nil, fmt.Errorf("pin site %s: %w", pairing.GetSiteName(), err)
	}
	id, err := state.SiteIDFromBytes(pairing.GetSite())
	if err != nil {
		return nil, err
	}
	return plan.GetPairing(s.replica.Config(), id)
}
