package objsync

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// reportState is when the sender was told of the progress.
type reportState struct {
	busy bool
	more bool      // the last report did not hold all that is to be told
	last time.Time // of any report
	soon bool      // this side's settings changed
	// declines are buckets of which it is to be told whether they are declined.
	declines []string
}

const (
	// drainedEvery is the least time between two reports that say that
	// everything was taken.
	drainedEvery = 50 * time.Millisecond
	// toldEvery is how often the sender is told of a bucket in which nothing happens.
	toldEvery = time.Minute
	// reportBuckets and reportHolds bound one report, so that it stays far below
	// what a message may be.
	reportBuckets = 200
	reportHolds   = 20_000
)

// runReport tells the sender how far this site is, when it is time.
func (s *session) runReport(now time.Time) {
	if s.report.busy || !s.served.known {
		return
	}
	since := now.Sub(s.report.last)
	if since < drainedEvery && !s.report.soon {
		return
	}
	var due []*bucket
	drained, more, holds := false, false, 0
	for _, b := range s.buckets {
		if !b.live && !b.lost {
			continue
		}
		news := b.changed || s.stoppedBy(b) != b.told
		drained = drained || news && b.drained()
		switch n := min(len(b.pend), maxHolds); {
		case !news && now.Sub(b.reported) < toldEvery:
		case len(due) > 0 && (len(due) >= reportBuckets || holds+n > reportHolds):
			more = true
		default:
			due = append(due, b)
			holds += n
		}
	}
	if drained || s.report.soon || len(s.report.declines) > 0 || len(due) > 0 && (s.report.more || since >= s.o.ProgressEvery) || since >= s.o.IdleEvery {
		s.report.more = more
		s.sendReport(due, now)
	}
}

// sendReport posts one report.
func (s *session) sendReport(buckets []*bucket, now time.Time) {
	msg := &linkpb.Progress{Settings: s.mine.message(), Rate: s.o.Limit.Own(), Intact: s.intact}
	s.report.soon = false
	told := min(len(s.report.declines), reportBuckets)
	for _, path := range s.report.declines[:told] {
		msg.Buckets = append(msg.Buckets, &linkpb.BucketProgress{Path: path, Declined: clip(s.served.declined[path])})
	}
	s.report.declines = s.report.declines[told:]
	for _, b := range buckets {
		b.changed, b.reported = false, now
		b.told = s.stoppedBy(b)
		msg.Buckets = append(msg.Buckets, &linkpb.BucketProgress{
			Path:    b.path,
			Cursor:  proto.CloneOf(b.cursor),
			Holds:   b.holds(),
			Pending: uint64(b.work()),
			Cause:   clip(b.told),
			Copied:  b.want.once && b.drained(),
		})
	}
	s.report.busy, s.report.last = true, now
	s.do(func(ctx context.Context) func() {
		for _, bp := range msg.Buckets {
			if bp.GetCursor() == nil {
				continue
			}
			if seen, err := s.o.Catalog.Seen(bp.GetPath()); err == nil {
				bp.Seen = seen
			}
		}
		asked := s.o.Clock()
		reply, err := s.o.Source.Progress(ctx, msg)
		took := s.o.Clock().Sub(asked)
		return func() {
			s.report.busy = false
			s.line.tripped(took)
			if err != nil {
				s.end(fmt.Errorf("report progress to %s: %w", s.o.PeerName, err))
				return
			}
			s.heard = s.o.Clock()
			s.noteClock(reply.GetClock())
		}
	})
}

// holds names the pending records of a bucket, the oldest first. Those that were
// skipped are not among them: the sender need not keep their content for this site,
// nor count them as missing here.
func (b *bucket) holds() []*catalogpb.Dot {
	entries := make([]*catalogpb.Pending, 0, len(b.pend))
	for _, v := range b.pend {
		if v.hold.GetReason() != catalogpb.PendingReason_PENDING_SKIPPED {
			entries = append(entries, v.hold)
		}
	}
	slices.SortFunc(entries, func(x, y *catalogpb.Pending) int {
		if x.GetSince() != y.GetSince() {
			if x.GetSince() < y.GetSince() {
				return -1
			}
			return 1
		}
		return catalog.CompareDots(x.GetRecord().GetDot(), y.GetRecord().GetDot())
	})
	var out []*catalogpb.Dot
	for _, p := range entries[:min(len(entries), maxHolds)] {
		out = append(out, p.GetRecord().GetDot())
	}
	return out
}

// drained reports whether everything that is known of the sender's log is here, and
// no comparison is due.
func (b *bucket) drained() bool { return b.accounted() && b.work() == 0 }

// waits reports whether nothing but the next retry of what is in quarantine, or an
// operator, can take the bucket on.
func (b *bucket) waits() bool {
	if !b.accounted() {
		return false
	}
	for _, v := range b.pend {
		if v.phase != phaseFailed || v.hold.GetReason() == catalogpb.PendingReason_PENDING_TRANSFERRING {
			return false
		}
	}
	return true
}

// accounted reports whether everything that is known of the sender's log is here or in the
// pending table, and no comparison is due.
func (b *bucket) accounted() bool {
	if b.want.once && !b.watch {
		return b.live && !b.scanning.on && b.log.oldest() == nil && b.scan.oldest() == nil
	}
	return b.live && b.heard && !b.scanning.on && !b.parked && b.head <= b.streamed &&
		b.log.oldest() == nil && b.scan.oldest() == nil && outdated(b.cursor, b.there, b.want) == ""
}

// work counts the pending versions that are not skipped.
func (b *bucket) work() int {
	n := 0
	for _, v := range b.pend {
		if v.hold.GetReason() != catalogpb.PendingReason_PENDING_SKIPPED {
			n++
		}
	}
	return n
}

// stoppedBy says why a bucket cannot go on, in words; "" when it can.
func (s *session) stoppedBy(b *bucket) string {
	switch {
	case !b.live:
		return b.waiting
	case b.aside != "":
		return b.aside
	case !s.noSpace.IsZero():
		return fmt.Sprintf("no space left for chunks at %s since %s: free space or add a disk", s.o.Name, s.noSpace.UTC().Format(time.RFC3339))
	case len(b.pend) >= s.o.PendingLimit:
		return fmt.Sprintf("the pending table is full with %d versions", len(b.pend))
	}
	return ""
}
