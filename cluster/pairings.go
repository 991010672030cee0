package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// pairingsAdmin is admin.Pairings over a node.
type pairingsAdmin struct{ *Node }

func (a pairingsAdmin) Rename(ctx context.Context, req *adminpb.RenamePairingRequest) (*adminpb.Pairing, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	var renamed *statepb.Pairing
	if err := s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		if renamed, err = plan.FindPairing(cfg, req.GetSite()); err != nil {
			return nil, err
		}
		return plan.RenamePairing(cfg, req.GetSite(), req.GetName())
	}); err != nil {
		return nil, err
	}
	return describePairing(s.replica.Config(), renamed)
}

func (a pairingsAdmin) Revoke(ctx context.Context, req *adminpb.RevokePairingRequest) (*adminpb.Pairing, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	var revoked *adminpb.Pairing
	if err := s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		pairing, err := plan.FindPairing(cfg, req.GetSite())
		if err != nil {
			return nil, err
		}
		if revoked, err = describePairing(cfg, pairing); err != nil {
			return nil, err
		}
		return plan.RevokePairing(cfg, req.GetSite())
	}); err != nil {
		return nil, err
	}
	// What the site had open is closed when the answer goes out, not a moment later.
	s.links.followPins(s.replica.Config())
	return revoked, nil
}

// Rotate draws new keys and has the present identity hand over to them. The
// node's key is durable in its identity file before the site goes by it.
func (a pairingsAdmin) Rotate(ctx context.Context, _ *adminpb.RotateKeysRequest) (*adminpb.RotateKeysResponse, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	nodeKey, err := a.identity.DrawKey(a.opts.Rand)
	if err != nil {
		return nil, err
	}
	next, err := identity.NewSiteIdentityFor(s.id, a.opts.Rand)
	if err != nil {
		return nil, err
	}
	_, siteKey := a.identity.Site()
	sealed, err := next.Seal(siteKey, a.opts.Rand)
	if err != nil {
		return nil, err
	}
	answer := &adminpb.RotateKeysResponse{Fingerprint: plan.Fingerprint(next.Public())}
	if err := s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		present := s.identity.Load()
		number := plan.NextRoster(cfg)
		succession, err := present.HandOver(next, number)
		if err != nil {
			return nil, err
		}
		answer.Before, answer.RosterNumber, answer.Pairings = plan.Fingerprint(present.Public()), number, uint32(len(cfg.Pairings()))
		return plan.Rotate(cfg, plan.NewKeys{
			Identity: next.Public(), Sealed: sealed, Succession: succession, From: present.Public(), Number: number,
			Node: a.identity.ID(), NodeKey: nodeKey,
		})
	}); err != nil {
		return nil, err
	}
	if err := s.links.followRoster(s.replica.Config()); err != nil {
		return nil, err
	}
	return answer, nil
}

func (a pairingsAdmin) Fingerprint(_ context.Context, req *adminpb.FingerprintRequest) (*adminpb.FingerprintResponse, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	cfg := s.replica.Config()
	own, _, _ := cfg.Site()
	answer := &adminpb.FingerprintResponse{
		SiteName: own.GetName(), SiteId: s.id.String(), Fingerprint: plan.Fingerprint(own.GetIdentityPublic()),
	}
	if req.GetSite() == "" {
		return answer, nil
	}
	pairing, err := plan.FindPairing(cfg, req.GetSite())
	if err != nil {
		return nil, err
	}
	peer, err := state.SiteIDFromBytes(pairing.GetSite())
	if err != nil {
		return nil, err
	}
	if answer.Pairing, err = plan.GetPairing(cfg, peer); err != nil {
		return nil, err
	}
	answer.Together = plan.Together(s.id, own.GetIdentityPublic(), peer, pairing.GetIdentityPublic())
	return answer, nil
}

func describePairing(cfg *state.Config, p *statepb.Pairing) (*adminpb.Pairing, error) {
	id, err := state.SiteIDFromBytes(p.GetSite())
	if err != nil {
		return nil, err
	}
	return plan.GetPairing(cfg, id)
}

// openIdentity unseals the site's identity and makes what peers are shown.
func (s *site) openIdentity() error {
	cfg := s.replica.Config()
	config, _, ok := cfg.Site()
	if !ok {
		return errors.New("open site: the state has no site")
	}
	id, err := state.SiteIDFromBytes(config.GetId())
	if err != nil {
		return fmt.Errorf("open site: %w", err)
	}
	if own, _ := s.node.identity.Site(); own != id {
		return fmt.Errorf("open site: the state in %s is of site %s, the node's identity of site %s: they do not belong together", s.node.opts.Dir, id, own)
	}
	s.id = id
	s.credentials = identity.NewCredentials(s.node.identity)
	return s.takeKeys(cfg)
}

// takeKeys makes the keys of the config those that the node uses, and signs the
// roster that peers see.
func (s *site) takeKeys(cfg *state.Config) error {
	config, _, _ := cfg.Site()
	_, siteKey := s.node.identity.Site()
	own, err := identity.OpenSiteIdentity(siteKey, s.id, config.GetIdentityPublic(), config.GetIdentitySealed())
	if err != nil {
		return err
	}
	roster := identity.Roster{SiteName: config.GetName(), Number: config.GetRosterNumber()}
	for _, node := range cfg.Nodes() {
		if node.GetId() == s.node.identity.ID() {
			if err := s.node.identity.TakeKey(node.GetPublicKey()); err != nil {
				return err
			}
		}
		roster.Members = append(roster.Members, identity.Member{Node: node.GetId(), Key: node.GetPublicKey(), LinkAddress: node.GetLinkAddress()})
	}
	signed, err := own.SignRoster(roster)
	if err != nil {
		return err
	}
	signed.Successions = config.GetSuccessions()
	if err := s.credentials.SetRoster(signed); err != nil {
		return err
	}
	s.identity.Store(own)
	return nil
}

// followRoster shows peers the roster of the config. When it is another than
// before, what is open is closed: the next handshake, which comes at once, tells
// each peer of the new keys, and no peer is left to learn of them after the old
// ones may be lost.
func (l *links) followRoster(cfg *state.Config) error {
	l.pins.Lock()
	defer l.pins.Unlock()
	config, _, _ := cfg.Site()
	if config.GetRosterNumber() <= l.site.credentials.Roster().Number {
		return nil
	}
	if err := l.site.takeKeys(cfg); err != nil {
		return fmt.Errorf("take new keys of site %s: %w", config.GetName(), err)
	}
	l.log.Info("the site's keys were replaced", "roster", config.GetRosterNumber(), "fingerprint", plan.Fingerprint(config.GetIdentityPublic()))
	for _, p := range cfg.Pairings() {
		if peer, err := state.SiteIDFromBytes(p.GetSite()); err == nil {
			l.endpoint.DropPeer(peer)
		}
	}
	return nil
}

// followPins closes what is open with sites that are not paired any more, or are
// paired anew with another identity.
func (l *links) followPins(cfg *state.Config) {
	l.pins.Lock()
	defer l.pins.Unlock()
	pinned := make(map[state.SiteID]pinnedSite)
	for _, p := range cfg.Pairings() {
		if peer, err := state.SiteIDFromBytes(p.GetSite()); err == nil {
			pinned[peer] = pinnedSite{created: p.GetCreated(), identity: p.GetIdentityPublic()}
		}
	}
	for peer, old := range l.pinned {
		now, ok := pinned[peer]
		// An identity that changed within one pairing was handed over.
		if !ok || now.created != old.created && !bytes.Equal(now.identity, old.identity) {
			l.log.Info("site is not paired any more, what it had open is closed", "peer", peer)
			l.endpoint.DropPeer(peer)
		}
	}
	l.pinned = pinned
}

// pinnedSite is one life of a pairing.
type pinnedSite struct {
	created  int64
	identity []byte
}
