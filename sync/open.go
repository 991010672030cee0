package objsync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// opened is what opening a bucket gives.
type opened struct {
	waiting string // why it cannot be opened now; the rest is unset then
	cursor  *catalogpb.Cursor
	first   *page // first page of a new scan
	why     string
	pending []*catalogpb.Pending
	settled []bool // of pending: nothing is left to do for it
	faults  []string
}

// Pauses before a bucket that cannot be opened is tried again.
const (
	againSoon  = 2 * time.Second  // a look at this site's catalog
	againLater = 10 * time.Second // work for the config
)

// open makes a bucket ready to take records, on another goroutine.
func (s *session) open(b *bucket) {
	b.opening = true
	s.opening++
	there := b.there
	s.do(func(ctx context.Context) func() {
		got, pause, err := s.prepare(ctx, there)
		return func() {
			b.opening = false
			s.opening--
			if b.closed {
				return
			}
			if err != nil {
				s.openFailed(b, err)
				return
			}
			s.onOpened(b, got, pause)
		}
	})
}

// openFailed decides what a failure to open a bucket means for the session.
func (s *session) openFailed(b *bucket, err error) {
	var refused *link.Refused
	if errors.Is(err, errAnotherLife) || errors.As(err, &refused) && refused.Code == link.CodeNotServed {
		// It was unserved, deleted or made anew meanwhile.
		if b.live {
			s.reopen(b, err.Error())
			return
		}
		b.waiting = err.Error()
		b.again = s.o.Clock().Add(againSoon)
		s.served.wanted = true
		return
	}
	s.end(fmt.Errorf("open bucket %s: %w", b.path, err))
}

// prepare does the I/O of opening a bucket.
func (s *session) prepare(ctx context.Context, there *linkpb.ServedBucket) (got *opened, pause time.Duration, err error) {
	path := there.GetPath()
	here, err := s.o.Catalog.BucketAny(path)
	if err != nil && !errors.Is(err, catalog.ErrNoBucket) {
		return nil, 0, &localError{err}
	}
	if err != nil {
		here = nil
	}
	switch admit(here, there) {
	case admitAbsent:
		// The sender says so when it appears.
		return &opened{waiting: fmt.Sprintf("it does not exist at %s yet", s.o.PeerName)}, againLater, nil
	case admitDeleted:
		return &opened{waiting: fmt.Sprintf("it was deleted here and still exists at %s: create it here again, delete it there, or stop serving it", s.o.PeerName)}, againSoon, nil
	case admitCreate:
		if err := s.o.EnsureBucket(ctx, there); err != nil {
			if ctx.Err() != nil {
				return nil, 0, ctx.Err()
			}
			s.log.Warn("link: bucket cannot be made here", "bucket", path, "error", err)
			return &opened{waiting: fmt.Sprintf("it cannot be made here: %v", err)}, againLater, nil
		}
		s.log.Info("link: bucket made for the link", "bucket", path)
	}
	got = &opened{}
	cursor, err := s.o.Catalog.Cursor(path, s.o.Peer)
	if err != nil && !errors.Is(err, catalog.ErrNoCursor) {
		return nil, 0, &localError{err}
	}
	if err != nil {
		cursor, err = nil, nil
	}
	f, why := fit(cursor, s.o.Peer, there, here.GetObjects(), s.o.Epoch() > 1)
	switch f {
	case fitScan:
		got.why = why
		cursor, got.first, err = s.beginScan(ctx, there, cursor)
	case fitStart:
		cursor, err = s.beginLog(ctx, there)
	}
	if err != nil {
		return nil, 0, err
	}
	got.cursor = cursor
	if err := s.loadPending(path, got); err != nil {
		return nil, 0, &localError{err}
	}
	return got, 0, nil
}

// beginScan reads the first page of a scan and commits where it begins.
func (s *session) beginScan(ctx context.Context, there *linkpb.ServedBucket, old *catalogpb.Cursor) (*catalogpb.Cursor, *page, error) {
	link.Prepare(s.o.Source) // they are open when the page is here
	first, err := s.readPage(ctx, there, nil, maxPageNodes)
	if err != nil {
		return nil, nil, err
	}
	cursor := &catalogpb.Cursor{
		Site:        s.o.Peer.Bytes(),
		Epoch:       there.GetEpoch(),
		Incarnation: there.GetIncarnation(),
		Seq:         first.seq,
		Scan:        &catalogpb.Scan{FirstSeq: first.seq, Seen: first.seen},
	}
	return cursor, first, s.commitStart(ctx, there, old, cursor)
}

// beginLog commits a cursor before the first sequence of the sender's log.
func (s *session) beginLog(ctx context.Context, there *linkpb.ServedBucket) (*catalogpb.Cursor, error) {
	cursor := &catalogpb.Cursor{
		Site:        s.o.Peer.Bytes(),
		Epoch:       there.GetEpoch(),
		Incarnation: there.GetIncarnation(),
		InitialDone: true, // of nothing yet, and it stays true with every step
	}
	return cursor, s.commitStart(ctx, there, nil, cursor)
}

// commitStart commits the first cursor of a copy.
func (s *session) commitStart(ctx context.Context, there *linkpb.ServedBucket, old, cursor *catalogpb.Cursor) error {
	res, err := s.o.Propose(ctx, &raftfsmpb.Command{Command: &raftfsmpb.Command_Ingest{Ingest: &catalogpb.Ingest{
		Bucket:            there.GetPath(),
		Peer:              s.o.Peer.Bytes(),
		Expect:            old,
		Cursor:            cursor,
		MergedIncarnation: there.GetIncarnation(),
	}}})
	if err == nil && res.GetCode() != raftfsmpb.Code_OK {
		err = errors.New(res.GetMessage())
	}
	if err != nil {
		return &localError{fmt.Errorf("commit where the copy of bucket %s begins: %w", there.GetPath(), err)}
	}
	return nil
}

// loadPending reads the pending table of a bucket and looks at its records as
// if they came now.
func (s *session) loadPending(path string, got *opened) error {
	var after *catalogpb.Dot
	for {
		entries, err := s.o.Catalog.Pending(path, s.o.Peer, after, 1000)
		if err != nil {
			return fmt.Errorf("read pending table: %w", err)
		}
		if len(entries) == 0 {
			return nil
		}
		records := make([]*catalogpb.Record, len(entries))
		for i, p := range entries {
			records[i] = p.GetRecord()
		}
		verdicts, why, err := s.o.Catalog.Decide(path, records)
		if err != nil {
			return fmt.Errorf("read pending table: %w", err)
		}
		for i, p := range entries {
			got.pending = append(got.pending, p)
			v := verdicts[i]
			got.settled = append(got.settled, v == catalog.Here || v == catalog.Covered)
			fault := why[i]
			if v != catalog.Invalid {
				fault = ""
				if err := sound(p.GetRecord()); err != nil {
					fault = err.Error()
				}
			}
			got.faults = append(got.faults, fault)
		}
		after = entries[len(entries)-1].GetRecord().GetDot()
	}
}

// onOpened makes the bucket live.
func (s *session) onOpened(b *bucket, got *opened, pause time.Duration) {
	now := s.o.Clock()
	s.mark(b)
	s.heard = now
	if got.waiting != "" {
		if b.waiting != got.waiting {
			s.log.Info("link: bucket waits", "bucket", b.path, "cause", got.waiting)
		}
		b.waiting, b.again = got.waiting, now.Add(pause)
		return
	}
	b.waiting = ""
	b.live = true
	// A sender that was started anew knows only what it had committed, and
	// would show a lag that there is not until it is told.
	b.changed = true
	b.cursor = got.cursor
	b.streamed = got.cursor.GetSeq()
	b.head = max(b.there.GetSeq(), b.streamed)
	s.restorePending(b, got, now)
	if got.cursor.GetScan() != nil {
		b.scanning = scanState{on: true, next: got.cursor.GetScan().GetNextKey(), since: now}
		cause := got.why
		if cause == "" {
			cause = "an interrupted copy goes on"
		}
		link.Prepare(s.o.Source)
		s.log.Info("link: bucket is copied", "bucket", b.path, "cause", cause, "from_key", string(b.scanning.next), "objects", b.there.GetObjects())
		if got.first != nil {
			s.onPage(b, got.first, now)
		}
	}
	s.useful = true
	s.stream.dirty(now)
}

// restorePending goes on with what an earlier session left in the pending table.
func (s *session) restorePending(b *bucket, got *opened, now time.Time) {
	for i, p := range got.pending {
		rec := p.GetRecord()
		v := &version{
			bucket: b,
			rec:    rec,
			dot:    keyOf(rec.GetDot()),
			seq:    p.GetSeq(),
			size:   sizeOf(rec),
			hold:   p,
			queued: now,
		}
		if rec.GetKind() == catalogpb.RecordKind_RECORD_VERSION {
			v.root, _ = rootOf(rec) // what sound refuses is not fetched
		}
		b.pend[v.dot] = v
		switch {
		case got.settled[i]:
			v.phase = phaseGone // nothing is left to be committed
			b.resolve(v)
			continue
		case p.GetReason() == catalogpb.PendingReason_PENDING_SKIPPED:
			v.phase = phaseFailed
			continue
		case got.faults[i] != "":
			v.phase, v.kind, v.cause = phaseFailed, failRecord, got.faults[i]
			continue
		}
		quarantined := p.GetReason() == catalogpb.PendingReason_PENDING_QUARANTINED
		if quarantined && s.e.failures[v.dot].n < 2 {
			// retry begins it when its time has come.
			v.phase, v.kind, v.cause = phaseFailed, failIntegrity, p.GetCause()
			continue
		}
		s.begin(v, "", now)
	}
}
