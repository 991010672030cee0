package identity

import (
	"crypto/ed25519"
	"crypto/x509"
	"fmt"

	"edgefog.dev/isgw/raftfsm/state"
)

// PeerInfo is what a handshake proved about the other side.
type PeerInfo struct {
	Site           state.SiteID
	SiteName       string
	Node           string // id of the node that answered
	RosterNumber   uint64
	IdentityPublic ed25519.PublicKey
	Roster         *Roster
	// Successions are how the site says that it came to its identity; nothing of
	// them is checked but by [Succeeds].
	Successions [][]byte
}

// Pin is a paired site's identity as this site's config has it.
type Pin struct {
	SiteName     string
	Identity     ed25519.PublicKey
	RosterNumber uint64 // the newest that was seen
}

// PeerErrorKind says in one word why a peer was not believed.
type PeerErrorKind string

// The kinds of peer errors.
const (
	PeerInvalid   PeerErrorKind = "invalid"    // the certificate or its roster is no good
	PeerUnpaired  PeerErrorKind = "unpaired"   // its site is not pinned here
	PeerImpostor  PeerErrorKind = "impostor"   // it names a paired site with another identity
	PeerOldRoster PeerErrorKind = "old-roster" // its roster is older than one seen before
)

// PeerError says why a peer was not believed. Site and SiteName are what the
// peer claims, and zero when it did not get so far.
type PeerError struct {
	Kind     PeerErrorKind
	Site     state.SiteID
	SiteName string
	Message  string
}

// Error gives the message.
func (e *PeerError) Error() string { return e.Message }

// InspectPeer checks a peer's certificates in themselves: the leaf's key is in
// the roster that the leaf carries, and the roster is signed by the identity
// that it names. Nothing says yet that the identity is a known one; that is
// enough only where a pairing begins. Possession of the leaf's key is proved by
// the TLS handshake. Validity dates are ignored.
func InspectPeer(rawCerts [][]byte) (*PeerInfo, error) {
	if len(rawCerts) == 0 {
		return nil, &PeerError{Kind: PeerInvalid, Message: "the peer shows no certificate"}
	}
	leaf, err := x509.ParseCertificate(rawCerts[0])
	if err != nil {
		return nil, &PeerError{Kind: PeerInvalid, Message: fmt.Sprintf("decode peer certificate: %v", err)}
	}
	key, ok := leaf.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, &PeerError{Kind: PeerInvalid, Message: "the peer's certificate has no ed25519 key: it is not of an isgw node"}
	}
	signed, err := rosterOf(leaf)
	if err != nil {
		return nil, &PeerError{Kind: PeerInvalid, Message: err.Error()}
	}
	roster, err := VerifyRoster(signed)
	if err != nil {
		return nil, &PeerError{Kind: PeerInvalid, Message: err.Error()}
	}
	member, ok := roster.Member(key)
	if !ok {
		return nil, &PeerError{Kind: PeerInvalid, Site: roster.Site, SiteName: roster.SiteName,
			Message: fmt.Sprintf("the peer's node key is not in roster %d of site %s (%s)", roster.Number, roster.SiteName, roster.Site)}
	}
	return &PeerInfo{
		Site: roster.Site, SiteName: roster.SiteName, Node: member.Node,
		RosterNumber: roster.Number, IdentityPublic: roster.Identity, Roster: roster,
		Successions: signed.GetSuccessions(),
	}, nil
}

// VerifyPeer does what InspectPeer does and then holds the result against the
// pinned identity that pin returns for the site the peer claims to be. An
// identity to which the pinned one has handed over is as good as the pinned one.
// The error is a *PeerError.
func VerifyPeer(rawCerts [][]byte, pin func(state.SiteID) (Pin, bool)) (*PeerInfo, error) {
	info, err := InspectPeer(rawCerts)
	if err != nil {
		return nil, err
	}
	fail := func(kind PeerErrorKind, format string, args ...any) (*PeerInfo, error) {
		return nil, &PeerError{Kind: kind, Site: info.Site, SiteName: info.SiteName, Message: fmt.Sprintf(format, args...)}
	}
	p, ok := pin(info.Site)
	switch {
	case !ok:
		return fail(PeerUnpaired, "site %s (%s) is not paired with this site", info.SiteName, info.Site)
	case Succeeds(info.Roster, p.Identity, info.Successions) != nil:
		return fail(PeerImpostor, "somebody answers as site %s (%s) with another identity key than the one that was paired", info.SiteName, info.Site)
	case info.RosterNumber < p.RosterNumber:
		return fail(PeerOldRoster, "node %s shows roster %d of site %s (%s), but roster %d was seen already: the node was removed from its site or is behind it",
			info.Node, info.RosterNumber, info.SiteName, info.Site, p.RosterNumber)
	}
	return info, nil
}
