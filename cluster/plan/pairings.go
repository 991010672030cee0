package plan

import (
	"bytes"
	"cmp"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// PairingName is what this site calls a paired one.
func PairingName(p *statepb.Pairing) string { return cmp.Or(p.GetName(), p.GetSiteName()) }

// FindPairing is the pairing with a site, by what it is called here or by its id.
func FindPairing(cfg *state.Config, site string) (*statepb.Pairing, error) {
	if id, err := state.ParseSiteID(site); err == nil {
		if p, _, ok := cfg.Pairing(id); ok {
			return p, nil
		}
	}
	var found []*statepb.Pairing
	for _, p := range cfg.Pairings() {
		if PairingName(p) == site {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return nil, refuse(state.ErrNotFound, "this site is not paired with %q", site).next("see `isgwctl site list`")
	case 1:
		return found[0], nil
	}
	return nil, refuse(state.ErrConflict, "%d paired sites are called %s", len(found), site).next("name it by its id: see `isgwctl site list`")
}

// RenamePairing changes what this site calls a paired one; an empty name takes
// its own. It returns nil when it is called so already.
func RenamePairing(cfg *state.Config, site, name string) (*statepb.Txn, error) {
	old, err := FindPairing(cfg, site)
	if err != nil {
		return nil, err
	}
	if name == old.GetSiteName() {
		name = ""
	}
	if name != "" {
		if err := state.CheckName("site", name); err != nil {
			return nil, adopt(err)
		}
	}
	if name == old.GetName() {
		return nil, nil
	}
	pairing := proto.CloneOf(old)
	pairing.Name = name
	called := PairingName(pairing)
	if own, _, ok := cfg.Site(); ok && own.GetName() == called {
		return nil, refuse(state.ErrConflict, "this site is called %s itself", called)
	}
	for _, other := range cfg.Pairings() {
		if !bytes.Equal(other.GetSite(), pairing.GetSite()) && PairingName(other) == called {
			return nil, refuse(state.ErrConflict, "another paired site is called %s: %x", called, other.GetSite())
		}
	}
	revision, err := revisionOf(cfg, old)
	if err != nil {
		return nil, err
	}
	return replace(pairing, revision)
}

// RevokePairing ends the pairing with a site. Links with it stay, unpaired.
func RevokePairing(cfg *state.Config, site string) (*statepb.Txn, error) {
	old, err := FindPairing(cfg, site)
	if err != nil {
		return nil, err
	}
	revision, err := revisionOf(cfg, old)
	if err != nil {
		return nil, err
	}
	key, err := state.KeyOf(state.Wrap(old))
	if err != nil {
		return nil, fmt.Errorf("plan the end of a pairing: %w", err)
	}
	return remove(key, revision), nil
}

func revisionOf(cfg *state.Config, p *statepb.Pairing) (uint64, error) {
	id, err := state.SiteIDFromBytes(p.GetSite())
	if err != nil {
		return 0, fmt.Errorf("plan a pairing: %w", err)
	}
	_, revision, _ := cfg.Pairing(id)
	return revision, nil
}

// NewKeys are keys that take the place of a site's and a node's.
type NewKeys struct {
	Identity   []byte // public key of the new site identity
	Sealed     []byte // its private key, sealed under the site key
	Succession []byte // by which the present identity hands over to it
	From       []byte // public key of the identity that hands over
	Number     uint64 // of the first roster that the new identity signs
	Node       string // id of the node whose key is replaced
	NodeKey    []byte // its new public key
}

// NextRoster is the number that the next roster of the site has.
func NextRoster(cfg *state.Config) uint64 {
	site, _, _ := cfg.Site()
	return site.GetRosterNumber() + 1
}

// Rotate replaces the keys of the site and of one of its nodes. It is refused
// when the site has other keys by now than those that hand over.
func Rotate(cfg *state.Config, keys NewKeys) (*statepb.Txn, error) {
	old, revision, ok := cfg.Site()
	if !ok {
		return nil, refuse(state.ErrNotFound, "this node is not initialised").next("run `isgwctl system init`")
	}
	if !bytes.Equal(old.GetIdentityPublic(), keys.From) || keys.Number != NextRoster(cfg) {
		return nil, refuse(state.ErrConflict, "the keys of site %s were replaced, or its nodes changed, meanwhile", old.GetName()).next("try again")
	}
	site := proto.CloneOf(old)
	site.IdentityPublic, site.IdentitySealed, site.RosterNumber = keys.Identity, keys.Sealed, keys.Number
	site.Successions = append(site.Successions, keys.Succession)
	if n := len(site.Successions); n > identity.MaxSuccessions {
		site.Successions = slices.Delete(site.Successions, 0, n-identity.MaxSuccessions)
	}
	txn, err := replace(site, revision)
	if err != nil {
		return nil, err
	}
	for _, n := range cfg.Nodes() {
		if n.GetId() != keys.Node {
			continue
		}
		node := proto.CloneOf(n)
		node.PublicKey = keys.NodeKey
		object := state.Wrap(node)
		key, err := state.KeyOf(object)
		if err != nil {
			return nil, fmt.Errorf("plan new keys: %w", err)
		}
		_, at, _ := cfg.Get(key)
		txn.Checks, txn.Puts = append(txn.Checks, key.Check(at)), append(txn.Puts, object)
		return txn, nil
	}
	return nil, refuse(state.ErrNotFound, "site %s has no node %s", old.GetName(), keys.Node)
}

// SeeRoster remembers the newest roster that a paired site has shown, and the
// identity that signed it when the pinned one has handed over to that. It returns
// nil when there is nothing to change.
func SeeRoster(cfg *state.Config, peer *identity.PeerInfo) (*statepb.Txn, error) {
	old, revision, ok := cfg.Pairing(peer.Site)
	if !ok {
		return nil, refuse(state.ErrNotFound, "site %s is not paired with this one", peer.Site)
	}
	if peer.RosterNumber <= old.GetRosterNumber() {
		return nil, nil
	}
	if err := identity.Succeeds(peer.Roster, old.GetIdentityPublic(), peer.Successions); err != nil {
		return nil, refuse(state.ErrConflict, "site %s (%s) shows an identity that is not the pinned one: %v", PairingName(old), peer.Site, err)
	}
	pairing := proto.CloneOf(old)
	pairing.RosterNumber, pairing.IdentityPublic = peer.RosterNumber, peer.IdentityPublic
	return replace(pairing, revision)
}

// Together is the number of a pairing, by which two people make sure that
// nobody stands between their sites: 60 decimal digits in groups of five, the
// same at both. It is made as the safety numbers of Signal are: a hash over both
// keys, the lesser site id first, five bytes for each group, modulo 100,000.
func Together(a state.SiteID, aKey []byte, b state.SiteID, bKey []byte) string {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, aKey, b, bKey = b, bKey, a, aKey
	}
	sum := sha512.Sum512(slices.Concat([]byte("isgw pairing number 1\x00"), a[:], aKey, b[:], bKey))
	var groups []string
	for i := range 12 {
		var group [8]byte
		copy(group[3:], sum[5*i:5*i+5])
		groups = append(groups, fmt.Sprintf("%05d", binary.BigEndian.Uint64(group[:])%100_000))
	}
	return strings.Join(groups, " ")
}
