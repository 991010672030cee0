package objsync

import (
	"bytes"
	"context"
	"errors"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// extent is how far the log of a bucket goes at the site that writes it.
type extent struct {
	epoch uint32
	last  uint64
	runs  []*catalogpb.Run
}

func extentOf(there *linkpb.ServedBucket) extent {
	return extent{epoch: there.GetEpoch(), last: there.GetSeq(), runs: there.GetRuns()}
}

func (e extent) place(epoch uint32, seq uint64) catalog.Placement {
	return catalog.Place(e.runs, e.epoch, e.last, epoch, seq)
}

// outlived reports whether a vector has what the site wrote after its log ended. A log
// never ends earlier than it did before, so the site was put back from a backup and
// nobody has said so.
func (e extent) outlived(seen *catalogpb.Vector, site state.SiteID) bool {
	for _, d := range seen.GetUpto() {
		if bytes.Equal(d.GetOrigin(), site[:]) && e.place(d.GetEpoch(), d.GetSeq()) == catalog.Beyond {
			return true
		}
	}
	return false
}

// intact reports whether a site that has a cursor, which may be nil, and a vector in a
// bucket has heard of nothing in it beyond what the peer tells of its own log.
func intact(there *linkpb.ServedBucket, peer state.SiteID, c *catalogpb.Cursor, seen *catalogpb.Vector) bool {
	e := extentOf(there)
	beyond := c != nil && bytes.Equal(c.GetIncarnation(), there.GetIncarnation()) && e.place(c.GetEpoch(), c.GetSeq()) == catalog.Beyond
	return !beyond && !e.outlived(seen, peer)
}

// lookWhetherIntact looks whether the sender has lost anything that it wrote in the
// buckets that it serves, as far as this site can know, and tells it if not. A sender
// that was just started waits for that before it writes.
func (s *session) lookWhetherIntact(served []*linkpb.ServedBucket) {
	s.do(func(context.Context) func() {
		for _, there := range served {
			seen, err := s.o.Catalog.Seen(there.GetPath())
			if err != nil {
				continue // the bucket is not here
			}
			c, err := s.o.Catalog.Cursor(there.GetPath(), s.o.Peer)
			if err != nil && !errors.Is(err, catalog.ErrNoCursor) {
				return nil
			}
			if err != nil {
				c = nil
			}
			if !intact(there, s.o.Peer, c, seen) {
				return nil
			}
		}
		return func() { s.intact, s.report.soon = true, true }
	})
}
