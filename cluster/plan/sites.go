package plan

import (
	"bytes"
	"encoding/hex"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// InvitationLife is how long a pairing token can be used.
const InvitationLife = 15 * time.Minute

// MaxInvitations bounds the tokens that can be open at one time.
const MaxInvitations = 100

// Init makes the site and its first node. Where there is a site it is refused.
func Init(cfg *state.Config, site *statepb.Site, node *statepb.Node) (*statepb.Txn, error) {
	if old, _, ok := cfg.Site(); ok {
		return nil, refuse(state.ErrExists, "this node is initialised already: it belongs to site %s (%s)",
			old.GetName(), hex.EncodeToString(old.GetId()))
	}
	return &statepb.Txn{
		Checks: []*statepb.Check{state.SiteKey.Check(0)},
		Puts:   []*statepb.Object{state.Wrap(site), state.Wrap(node)},
	}, nil
}

// Invite records a pairing token by its hash, to be used until
// [InvitationLife] from now, and forgets the tokens that have expired.
func Invite(cfg *state.Config, tokenHash []byte, address string, now time.Time) (*statepb.Txn, error) {
	if err := CheckAddress(address); err != nil {
		return nil, err
	}
	txn, err := create(&statepb.Invitation{
		TokenHash: tokenHash,
		Created:   now.UnixNano(),
		Expires:   now.Add(InvitationLife).UnixNano(),
		Address:   address,
	})
	if err != nil {
		return nil, err
	}
	open := 0
	for _, old := range cfg.Invitations() {
		if old.GetExpires() > now.UnixNano() {
			open++
			continue
		}
		forget(cfg, txn, state.InvitationKey(old.GetTokenHash()))
	}
	if open >= MaxInvitations {
		return nil, refuse(state.ErrConflict, "%d invitations are open already, which is the most", open).
			next("wait until they are used or expire, %v after they were made", InvitationLife)
	}
	return txn, nil
}

// AcceptPair is the inviting site's part of a pairing: whoever presents the
// token with this hash is pinned, and the token is spent in the same
// transaction. The pairing names the other site; its time is set here.
func AcceptPair(cfg *state.Config, tokenHash []byte, pairing *statepb.Pairing, now time.Time) (*statepb.Txn, error) {
	invitation, revision, ok := cfg.Invitation(hex.EncodeToString(tokenHash))
	if !ok {
		return nil, refuse(state.ErrNotFound, "the token is not known here: it was used already, has expired, or is from another site").
			next("make a new one with `isgwctl site invite`")
	}
	if invitation.GetExpires() <= now.UnixNano() {
		return nil, refuse(state.ErrConflict, "the token expired at %s", time.Unix(0, invitation.GetExpires()).UTC().Format(time.RFC3339)).
			next("make a new one with `isgwctl site invite`")
	}
	txn, err := Pair(cfg, pairing, now)
	if err != nil {
		return nil, err
	}
	key := state.InvitationKey(tokenHash)
	txn.Checks = append(txn.Checks, key.Check(revision))
	txn.Deletes = append(txn.Deletes, key.Proto())
	return txn, nil
}

// Pair pins another site, which has proved that it holds its identity. Pairing
// with a site again renews its name, address and roster; a site that comes with
// another identity than the pinned one is refused.
func Pair(cfg *state.Config, pairing *statepb.Pairing, now time.Time) (*statepb.Txn, error) {
	id, err := state.SiteIDFromBytes(pairing.GetSite())
	if err != nil {
		return nil, invalid("the other site has no valid id: %v", err)
	}
	if id == cfg.SiteID() {
		return nil, invalid("the token was made by this very site").next("use it at the other site, with `isgwctl site pair`")
	}
	pairing = proto.CloneOf(pairing)
	pairing.Created = now.UnixNano()
	old, revision, ok := cfg.Pairing(id)
	if !ok {
		return create(pairing)
	}
	if !bytes.Equal(old.GetIdentityPublic(), pairing.GetIdentityPublic()) {
		return nil, refuse(state.ErrConflict, "site %s (%s) is paired already, with another identity", PairingName(old), id).
			next("find out why two sites claim one id before you trust either; if its keys were replaced while it was away, `isgwctl site revoke` it first")
	}
	pairing.Created, pairing.Name = old.GetCreated(), old.GetName()
	pairing.RosterNumber = max(pairing.GetRosterNumber(), old.GetRosterNumber())
	if pairing.GetAddress() == "" {
		pairing.Address = old.GetAddress()
	}
	return replace(pairing, revision)
}
