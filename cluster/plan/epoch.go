package plan

import (
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// NextEpoch is the epoch of a site after the epoch was, at a time. It is the time in
// seconds, so that two restorations of one backup have different epochs, and no two
// versions ever have one name; where the clock is behind, just the next one.
func NextEpoch(was uint32, now time.Time) uint32 {
	if s := now.Unix(); s > int64(was) && s <= math.MaxUint32 {
		return uint32(s)
	}
	return was + 1
}

// RaiseEpoch gives the site a higher epoch. Either it was restored from a backup; or it
// may have been, and goes on with other names for what it writes.
func RaiseEpoch(cfg *state.Config, epoch uint32, restored bool) (*statepb.Txn, error) {
	old, revision, ok := cfg.Site()
	switch {
	case !ok:
		return nil, refuse(state.ErrNotFound, "the site is not initialised").next("run `isgwctl system init`")
	case epoch <= old.GetEpoch():
		return nil, invalid("epoch %d is not above the site's, %d", epoch, old.GetEpoch())
	}
	site := proto.CloneOf(old)
	site.Epoch, site.Since = epoch, state.Since(old)
	if restored {
		site.Since = epoch
	}
	return replace(site, revision)
}
