package state

import (
	"encoding/hex"
	"fmt"
)

// SiteID names a site: 16 random bytes drawn when the site is initialised. The
// zero SiteID names no site.
type SiteID [16]byte

// ParseSiteID reads the form that [SiteID.String] writes: 32 lower- or
// upper-case hexadecimal digits. The zero id is refused.
func ParseSiteID(s string) (SiteID, error) {
	raw, err := hex.DecodeString(s)
	if err != nil {
		return SiteID{}, fmt.Errorf("parse site id %q: not hexadecimal", s)
	}
	return SiteIDFromBytes(raw)
}

// SiteIDFromBytes makes a SiteID of exactly 16 bytes that are not all zero.
func SiteIDFromBytes(b []byte) (SiteID, error) {
	var id SiteID
	if len(b) != len(id) {
		return SiteID{}, fmt.Errorf("parse site id: %d bytes, not %d", len(b), len(id))
	}
	copy(id[:], b)
	if id.IsZero() {
		return SiteID{}, fmt.Errorf("parse site id: all zero")
	}
	return id, nil
}

// String writes the id as 32 lower-case hexadecimal digits.
func (id SiteID) String() string { return hex.EncodeToString(id[:]) }

// Bytes returns a new slice of the id's 16 bytes, the form used in messages.
func (id SiteID) Bytes() []byte { return append([]byte(nil), id[:]...) }

// IsZero says whether the id names no site.
func (id SiteID) IsZero() bool { return id == SiteID{} }
