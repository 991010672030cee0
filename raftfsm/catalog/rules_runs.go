package catalog

import (
	"slices"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// Placement says where a place, of an epoch and a sequence, lies to a bucket's log.
type Placement uint8

// The placements.
const (
	Within Placement = iota // it is a place in the log as it is now
	// Beyond: the log never came so far. What had such a log was put back from a backup
	// and was not told so.
	Beyond
	Former // it is of a time before the site was restored, or so long ago that it is not known
)

// Place says where the place (at, seq) lies to a log that stands at last in an epoch,
// and goes on from runs. In an epoch of which there is no run nothing was written, so
// it stood where the run before it had ended.
func Place(runs []*pb.Run, epoch uint32, last uint64, at uint32, seq uint64) Placement {
	if at < epoch {
		n, found := slices.BinarySearchFunc(runs, at, func(r *pb.Run, at uint32) int { return int(int64(r.GetEpoch()) - int64(at)) })
		switch {
		case found:
			last = runs[n].GetLast()
		case n > 0:
			last = runs[n-1].GetLast()
		default:
			return Former
		}
	}
	if at > epoch || seq > last {
		return Beyond
	}
	return Within
}

// maxRuns bounds the runs that are kept of a bucket's log. To a peer whose place is in
// an older one, the site looks as if it was restored: it compares.
const maxRuns = 64

// runs are those that a bucket's log in an epoch goes on from; the site was restored
// last in the epoch since.
func runs(s *pb.BucketState, epoch, since uint32) []*pb.Run {
	if restored(s, since) {
		return nil
	}
	out := s.GetRuns()
	if s.GetEpoch() > 0 && s.GetEpoch() < epoch {
		out = append(slices.Clone(out), &pb.Run{Epoch: s.GetEpoch(), Last: s.GetSeq()})
	}
	return out[max(0, len(out)-maxRuns):]
}

// Runs are those that the log of a bucket goes on from, of which s is the state.
func (c *Catalog) Runs(s *pb.BucketState) []*pb.Run {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return runs(s, c.epoch, c.since)
}

// Since is the epoch at which the site was restored from a backup last, or its first.
func (c *Catalog) Since() uint32 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.since
}
