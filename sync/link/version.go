package link

import (
	"slices"

	"edgefog.dev/isgw/sync/link/linkpb"
)

// Version and MinVersion bound the protocol versions that this build speaks.
// A release speaks its own and the one before.
const (
	Version    = 1
	MinVersion = 1
)

// Features are the optional parts of the protocol that this build knows.
func Features() []string { return []string{FeatureDigest} }

// Has reports whether both sides name a feature.
func (s Session) Has(feature string) bool { return slices.Contains(s.Features, feature) }

// FeatureDigest is the comparison of buckets by sums: the requests digest and
// records.
const FeatureDigest = "digest"

// Session is what two Hellos have in common.
type Session struct {
	Version  uint32
	Features []string // ordered
}

// Negotiate finds the highest version that both sides speak and the features
// that both name. The order of the arguments does not change the session. The
// error is a *Refused with CodeVersion when there is no common version.
func Negotiate(mine, theirs *linkpb.Hello) (Session, error) {
	v := min(mine.GetVersion(), theirs.GetVersion())
	if v == 0 || v < mine.GetMinVersion() || v < theirs.GetMinVersion() {
		return Session{}, Refuse(CodeVersion, "no common protocol version: this side speaks %d to %d, the other %d to %d; upgrade the older one",
			mine.GetMinVersion(), mine.GetVersion(), theirs.GetMinVersion(), theirs.GetVersion())
	}
	s := Session{Version: v}
	for _, f := range mine.GetFeatures() {
		if slices.Contains(theirs.GetFeatures(), f) && !slices.Contains(s.Features, f) {
			s.Features = append(s.Features, f)
		}
	}
	slices.Sort(s.Features)
	return s, nil
}
