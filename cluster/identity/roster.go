package identity

import (
	"crypto/ed25519"
	"fmt"
	"slices"

	"edgefog.dev/isgw/cluster/identity/identitypb"
	"edgefog.dev/isgw/raftfsm/state"
	"google.golang.org/protobuf/proto"
)

// Bounds of a roster. It travels in every handshake, so it stays small.
const (
	MaxMembers     = 128
	MaxRosterBytes = 32 << 10
	maxNodeID      = 64
	maxAddress     = 255
)

// rosterDomain stands before the roster's bytes in what is signed, so that no
// signature of a site can be taken for one of another purpose.
const rosterDomain = "isgw roster 1\x00"

// Roster names the nodes of a site at one time. Of two rosters the one with
// the higher number holds. A Roster is not changed once it is made.
type Roster struct {
	Site     state.SiteID
	SiteName string
	Number   uint64 // from 1
	Members  []Member
	Identity ed25519.PublicKey // the site's
}

// Member is a node of a site.
type Member struct {
	Node        string            // the node's id
	Key         ed25519.PublicKey // the node's
	LinkAddress string            // HOST:PORT where peers reach it; may be empty
}

// SignRoster signs a roster of the identity's own site. Site and Identity are
// filled in. The error says what is wrong with the roster.
func (s *SiteIdentity) SignRoster(r Roster) (*identitypb.SignedRoster, error) {
	r.Site, r.Identity = s.site, s.Public()
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("sign roster: %w", err)
	}
	pb := &identitypb.Roster{
		Site: r.Site.Bytes(), SiteName: r.SiteName, Number: r.Number, IdentityPublic: r.Identity,
	}
	for _, m := range r.Members {
		pb.Members = append(pb.Members, &identitypb.Member{Node: m.Node, PublicKey: m.Key, LinkAddress: m.LinkAddress})
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(pb)
	if err != nil {
		return nil, fmt.Errorf("sign roster: %w", err)
	}
	if len(raw) > MaxRosterBytes {
		return nil, fmt.Errorf("sign roster: %d bytes are more than %d", len(raw), MaxRosterBytes)
	}
	return &identitypb.SignedRoster{Roster: raw, Signature: ed25519.Sign(s.key(), signedRosterBytes(raw))}, nil
}

// VerifyRoster checks a roster's signature under the identity it names and all
// its bounds. Whether that identity is to be trusted is the caller's question.
func VerifyRoster(signed *identitypb.SignedRoster) (*Roster, error) {
	raw := signed.GetRoster()
	if len(raw) == 0 || len(raw) > MaxRosterBytes {
		return nil, fmt.Errorf("verify roster: its length %d is not within 1 to %d bytes", len(raw), MaxRosterBytes)
	}
	var pb identitypb.Roster
	if err := proto.Unmarshal(raw, &pb); err != nil {
		return nil, fmt.Errorf("decode roster: %w", err)
	}
	if n := len(pb.GetMembers()); n > MaxMembers {
		return nil, fmt.Errorf("verify roster: %d members are more than %d", n, MaxMembers)
	}
	site, err := state.SiteIDFromBytes(pb.GetSite())
	if err != nil {
		return nil, fmt.Errorf("verify roster: %w", err)
	}
	r := &Roster{Site: site, SiteName: pb.GetSiteName(), Number: pb.GetNumber(), Identity: pb.GetIdentityPublic()}
	for _, m := range pb.GetMembers() {
		r.Members = append(r.Members, Member{Node: m.GetNode(), Key: m.GetPublicKey(), LinkAddress: m.GetLinkAddress()})
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("verify roster: %w", err)
	}
	if !ed25519.Verify(r.Identity, signedRosterBytes(raw), signed.GetSignature()) {
		return nil, fmt.Errorf("verify roster: the signature is not by the site identity that it names")
	}
	return r, nil
}

// Member returns the member with a key.
func (r *Roster) Member(key ed25519.PublicKey) (Member, bool) {
	for _, m := range r.Members {
		if m.Key.Equal(key) {
			return m, true
		}
	}
	return Member{}, false
}

// check holds a roster to its bounds.
func (r *Roster) check() error {
	if r.Site.IsZero() {
		return fmt.Errorf("its site id is zero")
	}
	if err := state.CheckName("site", r.SiteName); err != nil {
		return err
	}
	if r.Number == 0 {
		return fmt.Errorf("its number is 0")
	}
	if len(r.Identity) != ed25519.PublicKeySize {
		return fmt.Errorf("its identity key has %d bytes, not %d", len(r.Identity), ed25519.PublicKeySize)
	}
	if len(r.Members) == 0 || len(r.Members) > MaxMembers {
		return fmt.Errorf("%d members are not within 1 to %d", len(r.Members), MaxMembers)
	}
	nodes, keys := make(map[string]bool), make(map[string]bool)
	for _, m := range r.Members {
		switch {
		case m.Node == "" || len(m.Node) > maxNodeID:
			return fmt.Errorf("a node id of %d bytes is not within 1 to %d", len(m.Node), maxNodeID)
		case len(m.Key) != ed25519.PublicKeySize:
			return fmt.Errorf("the key of node %q has %d bytes, not %d", m.Node, len(m.Key), ed25519.PublicKeySize)
		case len(m.LinkAddress) > maxAddress:
			return fmt.Errorf("the link address of node %q is longer than %d bytes", m.Node, maxAddress)
		case nodes[m.Node] || keys[string(m.Key)]:
			return fmt.Errorf("node %q or its key is there twice", m.Node)
		}
		nodes[m.Node], keys[string(m.Key)] = true, true
	}
	return nil
}

func signedRosterBytes(raw []byte) []byte { return append([]byte(rosterDomain), raw...) }

// Has reports whether a node is a member.
func (r *Roster) Has(node string) bool {
	return slices.ContainsFunc(r.Members, func(m Member) bool { return m.Node == node })
}
