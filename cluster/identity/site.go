package identity

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"io"
	"log/slog"

	"edgefog.dev/isgw/raftfsm/state"
)

// SiteIdentity is the key pair that peers pin, with the id of its site. It
// prints as the id. It is immutable.
type SiteIdentity struct {
	site state.SiteID
	key  veil[ed25519.PrivateKey]
}

// NewSiteIdentity draws an id and a key pair for a new site; r nil means
// crypto/rand.
func NewSiteIdentity(r io.Reader) (*SiteIdentity, error) {
	var id state.SiteID
	for id.IsZero() {
		if _, err := io.ReadFull(random(r), id[:]); err != nil {
			return nil, fmt.Errorf("draw site id: %w", err)
		}
	}
	return NewSiteIdentityFor(id, r)
}

// NewSiteIdentityFor draws a key pair for a site that has its id already, as
// after an init that was cut short.
func NewSiteIdentityFor(site state.SiteID, r io.Reader) (*SiteIdentity, error) {
	if site.IsZero() {
		return nil, fmt.Errorf("make site identity: the site id is zero")
	}
	key, err := newKey(r)
	if err != nil {
		return nil, fmt.Errorf("draw site identity: %w", err)
	}
	return &SiteIdentity{site: site, key: hide(key)}, nil
}

// Site is the id of the site.
func (s *SiteIdentity) Site() state.SiteID { return s.site }

// Public is the key that peers pin.
func (s *SiteIdentity) Public() ed25519.PublicKey { return public(s.key()) }

// Seal wraps the private key for the replicated config.
func (s *SiteIdentity) Seal(key SiteKey, r io.Reader) ([]byte, error) {
	return key.Seal(r, SealForIdentity(s.site), s.key().Seed())
}

// OpenSiteIdentity unwraps what Seal made and checks that it is the key pair
// of the public key given.
func OpenSiteIdentity(key SiteKey, site state.SiteID, pub ed25519.PublicKey, sealed []byte) (*SiteIdentity, error) {
	seed, err := key.Open(SealForIdentity(site), sealed)
	if err != nil {
		return nil, fmt.Errorf("open identity of site %s: %w", site, err)
	}
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("open identity of site %s: the sealed key has %d bytes, not %d", site, len(seed), ed25519.SeedSize)
	}
	s := &SiteIdentity{site: site, key: hide(ed25519.NewKeyFromSeed(seed))}
	if !bytes.Equal(s.Public(), pub) {
		return nil, fmt.Errorf("open identity of site %s: the sealed key does not belong to the site's public key", site)
	}
	return s, nil
}

// Format shows the id and no key.
func (s *SiteIdentity) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "identity of site %s", s.site) }

// LogValue shows the id and no key.
func (s *SiteIdentity) LogValue() slog.Value { return slog.StringValue(s.site.String()) }

// newKey draws an ed25519 key from exactly 32 bytes of r.
func newKey(r io.Reader) (ed25519.PrivateKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random(r), seed); err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }
