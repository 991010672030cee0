package identity

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"edgefog.dev/isgw/cluster/identity/identitypb"
	"edgefog.dev/isgw/raftfsm/state"
	"google.golang.org/protobuf/proto"
)

// Bounds of what a site tells of its earlier identities in every handshake. A
// peer that was away for more replacements than MaxSuccessions has to be paired anew.
const (
	MaxSuccessions = 16
	maxSuccession  = 512
)

// successionDomain stands before what both identities sign.
const successionDomain = "isgw succession 1\x00"

// HandOver is the site's word that another identity takes the place of this one
// from the roster with a number on, as bytes of a Succession. Both keys sign it:
// the old one says who follows it, the new one that it is held by whom it names.
func (s *SiteIdentity) HandOver(next *SiteIdentity, number uint64) ([]byte, error) {
	if next.site != s.site {
		return nil, fmt.Errorf("hand over identity: the next one is of site %s, not of %s", next.site, s.site)
	}
	if next.Public().Equal(s.Public()) {
		return nil, errors.New("hand over identity: the next one is the same")
	}
	statement, err := proto.MarshalOptions{Deterministic: true}.Marshal(&identitypb.SuccessionStatement{
		Site: s.site.Bytes(), From: s.Public(), To: next.Public(), Number: number,
	})
	if err != nil {
		return nil, fmt.Errorf("hand over identity: %w", err)
	}
	signed := append([]byte(successionDomain), statement...)
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&identitypb.Succession{
		Statement: statement, SignatureFrom: ed25519.Sign(s.key(), signed), SignatureTo: ed25519.Sign(next.key(), signed),
	})
	if err != nil {
		return nil, fmt.Errorf("hand over identity: %w", err)
	}
	return raw, nil
}

// Succeeds reports with nil that the identity which signed a roster is the
// pinned one, or that the pinned one handed over to it in one step after the
// other. What was handed over before the pinned identity is not looked at.
func Succeeds(r *Roster, pinned ed25519.PublicKey, successions [][]byte) error {
	if r.Identity.Equal(pinned) {
		return nil
	}
	if len(successions) > MaxSuccessions {
		return fmt.Errorf("%d successions are more than %d", len(successions), MaxSuccessions)
	}
	at := pinned
	for _, raw := range successions {
		next, err := step(r, at, raw)
		if err != nil {
			return err
		}
		at = next
	}
	if !r.Identity.Equal(at) {
		return fmt.Errorf("roster %d of site %s is not signed by the pinned identity, nor by one that it has handed over to", r.Number, r.Site)
	}
	return nil
}

// step is the identity that follows one by a succession: itself when the
// succession is not its own.
func step(r *Roster, at ed25519.PublicKey, raw []byte) (ed25519.PublicKey, error) {
	if len(raw) > maxSuccession {
		return nil, fmt.Errorf("decode succession: %d bytes are more than %d", len(raw), maxSuccession)
	}
	var s identitypb.Succession
	var statement identitypb.SuccessionStatement
	if err := errors.Join(proto.Unmarshal(raw, &s), proto.Unmarshal(s.GetStatement(), &statement)); err != nil {
		return nil, fmt.Errorf("decode succession: %w", err)
	}
	if !at.Equal(ed25519.PublicKey(statement.GetFrom())) {
		return at, nil
	}
	to := ed25519.PublicKey(statement.GetTo())
	site, err := state.SiteIDFromBytes(statement.GetSite())
	switch {
	case err != nil || site != r.Site:
		return nil, fmt.Errorf("verify succession: it is of another site than %s", r.Site)
	case len(to) != ed25519.PublicKeySize:
		return nil, fmt.Errorf("verify succession: a key of %d bytes", len(to))
	case statement.GetNumber() > r.Number:
		return nil, fmt.Errorf("verify succession: it holds from roster %d on, and this is roster %d", statement.GetNumber(), r.Number)
	}
	signed := append([]byte(successionDomain), s.GetStatement()...)
	if !ed25519.Verify(at, signed, s.GetSignatureFrom()) || !ed25519.Verify(to, signed, s.GetSignatureTo()) {
		return nil, errors.New("verify succession: a signature does not hold")
	}
	return to, nil
}
