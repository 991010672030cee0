package objsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// opened is what opening a bucket gives.
type opened struct {
	waiting string // why it cannot be opened now; the rest is unset then, but the cursor of what was lost
	absent  bool   // because it does not exist at the sender
	lost    bool   // because the sender has lost what was taken from it
	unmade  bool   // because it cannot be made here
	cursor  *catalogpb.Cursor
	first   *page // first page of a new scan
	why     string
	pending []*catalogpb.Pending
	outlook []incoming // pending, looked at again
	guided  bool       // a scan reads only the keys that differ
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
	s.writing[b.path]++
	o := &opening{there: b.there, want: b.want, filter: b.filter, fresh: b.fresh, lost: s.e.lost[b.path].sure(b.there)}
	watch := b.watch
	s.do(func(ctx context.Context) func() {
		prepare := s.prepare
		if watch {
			prepare = s.prepareWatch
		}
		got, pause, err := prepare(ctx, o)
		return func() {
			b.opening = false
			s.opening--
			s.wrote(b.path)
			if b.closed {
				if got != nil {
					got.first.release()
				}
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

// wrote ends what may have written the cursor or the pending table of a bucket; if that
// was closed meanwhile, the one that is in its place can be opened now.
func (s *session) wrote(path string) {
	if s.writing[path]--; s.writing[path] == 0 {
		delete(s.writing, path)
	}
	if now := s.buckets[path]; now != nil {
		s.mark(now)
	}
}

// openFailed decides what a failure to open a bucket means for the session.
func (s *session) openFailed(b *bucket, err error) {
	var refused *link.Refused
	if s.pausedThere(err) || s.setAside(b, err) {
		return
	}
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

// pausedThere takes the refusal of a sender that was paused while something was under
// way, and reports whether err is one. It is asked whether that is still so.
func (s *session) pausedThere(err error) bool {
	var refused *link.Refused
	if !errors.As(err, &refused) || refused.Code != link.CodePaused {
		return false
	}
	s.theirs.Paused, s.served.wanted = true, true
	s.arrange()
	return true
}

// opening is what is known of a bucket that is to be opened.
type opening struct {
	there  *linkpb.ServedBucket
	want   demand
	filter Filter
	fresh  bool
	// guided says that a scan reads only the keys that differ.
	guided bool
	taken  uint64 // with guided: up to where the log was taken before
	// lost says that the sender has lost what was taken from it in this epoch of it:
	// its log may be longer again by now.
	lost bool
	// learns says that by a scan this site may come to cover what was deleted without
	// the deletions. One that only makes sure does not: two sites would go on for ever.
	learns bool
	untold bool // see tells
}

// loss is that the log of a bucket ended before this site's cursor, in one epoch of the
// sender and one life of the bucket.
type loss struct {
	epoch uint32
	life  string
	times int
}

// seen is the loss after one more look at what the sender says of the bucket.
func (l loss) seen(there *linkpb.ServedBucket) loss {
	if !l.of(there) {
		l = loss{epoch: there.GetEpoch(), life: string(there.GetIncarnation())}
	}
	l.times++
	return l
}

func (l loss) of(there *linkpb.ServedBucket) bool {
	return l.times > 0 && l.epoch == there.GetEpoch() && l.life == string(there.GetIncarnation())
}

// sure reports whether the bucket was lost even if its log is longer again: what is
// written there now has the names of what was lost. The sender was asked twice.
func (l loss) sure(there *linkpb.ServedBucket) bool { return l.of(there) && l.times > 1 }

// prepareWatch reads where a bucket stands of which nothing is to be taken.
func (s *session) prepareWatch(ctx context.Context, o *opening) (*opened, time.Duration, error) {
	path := o.there.GetPath()
	cursor, err := s.o.Catalog.Cursor(path, s.o.Peer)
	switch {
	case errors.Is(err, catalog.ErrNoCursor), errors.Is(err, catalog.ErrNoBucket):
		return &opened{waiting: "the link is paused, and nothing of it was copied yet"}, againSoon, nil
	case err != nil:
		return nil, 0, &localError{err}
	case !bytes.Equal(cursor.GetIncarnation(), o.there.GetIncarnation()) || extentOf(o.there).place(cursor.GetEpoch(), cursor.GetSeq()) != catalog.Within:
		return &opened{waiting: "the link is paused, and the bucket is to be copied anew"}, againSoon, nil
	}
	if cursor, err = s.inEpoch(ctx, o, cursor); err != nil {
		return nil, 0, err
	}
	got := &opened{cursor: cursor}
	if err := s.loadPending(path, o.filter, got); err != nil {
		return nil, 0, &localError{err}
	}
	return got, 0, nil
}

// prepare does the I/O of opening a bucket.
func (s *session) prepare(ctx context.Context, o *opening) (got *opened, pause time.Duration, err error) {
	there := o.there
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
		return &opened{waiting: fmt.Sprintf("it does not exist at %s yet", s.o.PeerName), absent: true}, againLater, nil
	case admitDeleted:
		return &opened{waiting: fmt.Sprintf("it was deleted here and still exists at %s: create it here again, delete it there, or stop serving it", s.o.PeerName)}, againSoon, nil
	case admitCreate:
		if err := s.o.EnsureBucket(ctx, there); err != nil {
			if ctx.Err() != nil {
				return nil, 0, ctx.Err()
			}
			s.log.Warn("link: bucket cannot be made here", "bucket", path, "error", err)
			return &opened{waiting: fmt.Sprintf("it cannot be made here: %v", err), unmade: true}, againLater, nil
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
	if cursor, err = s.inEpoch(ctx, o, cursor); err != nil {
		return nil, 0, err
	}
	o.guided = o.want.scope == "" && s.common.Has(link.FeatureDigest) && guides(cursor, there, here.GetObjects())
	o.taken, got.guided = cursor.GetSeq(), o.guided
	f, why := fit(cursor, s.o.Peer, there, o.want, here.GetObjects(), s.o.Catalog.Since() > 1)
	if f == fitLost || o.lost {
		return &opened{lost: true, cursor: cursor, waiting: fmt.Sprintf("%s has lost what was taken from it: it was put back from a backup, and was not told so", s.o.PeerName)}, againSoon, nil
	}
	switch f {
	case fitScan:
		got.why = why
		o.learns, o.untold = tells(why, cursor, there)
		cursor, got.first, err = s.beginScan(ctx, o, cursor)
	case fitStart, fitHead:
		cursor, err = s.beginLog(ctx, o, f == fitStart)
	case fitSince, fitWhole:
		cursor, err = s.goOn(ctx, o, cursor, f == fitWhole)
	}
	if err != nil {
		return nil, 0, err
	}
	got.cursor = cursor
	if err := s.loadPending(path, o.filter, got); err != nil {
		return nil, 0, &localError{err}
	}
	return got, 0, nil
}

// inEpoch commits that a cursor, which may be nil, stands in the sender's present epoch
// where it stood in one that this goes on from.
func (s *session) inEpoch(ctx context.Context, o *opening, old *catalogpb.Cursor) (*catalogpb.Cursor, error) {
	there := o.there
	if old == nil || old.GetEpoch() == there.GetEpoch() || !bytes.Equal(old.GetIncarnation(), there.GetIncarnation()) ||
		!bytes.Equal(old.GetSite(), s.o.Peer[:]) || o.lost || extentOf(there).place(old.GetEpoch(), old.GetSeq()) != catalog.Within {
		return old, nil
	}
	cursor := proto.CloneOf(old)
	cursor.Epoch = there.GetEpoch()
	return cursor, s.commitStart(ctx, there, old, cursor)
}

// beginScan reads the first page of a scan and commits where it begins.
func (s *session) beginScan(ctx context.Context, o *opening, old *catalogpb.Cursor) (*catalogpb.Cursor, *page, error) {
	there := o.there
	link.Prepare(s.o.Source) // they are open when the page is here
	first, err := s.readPage(ctx, o, nil, maxPageNodes)
	if err != nil {
		return nil, nil, err
	}
	cursor := &catalogpb.Cursor{
		Site:        s.o.Peer.Bytes(),
		Epoch:       there.GetEpoch(),
		Incarnation: there.GetIncarnation(),
		Seq:         first.seq,
		Scan:        &catalogpb.Scan{FirstSeq: first.seq, Seen: first.seen, Scope: o.want.scope, Learns: o.learns, Untold: o.untold},
		Resync:      o.want.again,
		Learned:     there.GetLearned(),
	}
	return cursor, first, s.commitStart(ctx, there, old, cursor)
}

// beginLog commits a first cursor in the sender's log: before its first sequence when
// the log gives everything, and else at its end. A bucket that came into being while
// it was served is followed from the beginning in either case.
func (s *session) beginLog(ctx context.Context, o *opening, everything bool) (*catalogpb.Cursor, error) {
	there := o.there
	cursor := &catalogpb.Cursor{
		Site:        s.o.Peer.Bytes(),
		Epoch:       there.GetEpoch(),
		Incarnation: there.GetIncarnation(),
		Resync:      o.want.again,
	}
	switch {
	case !everything:
		cursor.Part = partSince + o.want.scope
		if !o.fresh || there.GetTrimmed() > 0 {
			cursor.Seq = there.GetSeq()
		}
	default:
		whole(cursor, o.want.scope) // of nothing yet, and it stays true with every step
	}
	return cursor, s.commitStart(ctx, there, nil, cursor)
}

// goOn commits that something else is taken from the cursor on; all says that nothing
// of it is left below.
func (s *session) goOn(ctx context.Context, o *opening, old *catalogpb.Cursor, all bool) (*catalogpb.Cursor, error) {
	cursor := proto.CloneOf(old)
	cursor.Resync = o.want.again
	if all {
		whole(cursor, o.want.scope)
	} else {
		cursor.InitialDone, cursor.Part = false, partSince+o.want.scope
	}
	return cursor, s.commitStart(ctx, o.there, old, cursor)
}

// commitStart commits the first cursor of a copy, or another kind of one.
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
func (s *session) loadPending(path string, filter Filter, got *opened) error {
	var after *catalogpb.Dot
	for {
		entries, err := s.o.Catalog.Pending(path, s.o.Peer, after, 1000)
		if err != nil {
			return fmt.Errorf("read pending table: %w", err)
		}
		if len(entries) == 0 {
			return nil
		}
		outlook, err := examinePending(s.o.Catalog, path, entries, filter)
		if err != nil {
			return fmt.Errorf("look at pending table: %w", err)
		}
		got.pending = append(got.pending, entries...)
		got.outlook = append(got.outlook, outlook...)
		after = entries[len(entries)-1].GetRecord().GetDot()
	}
}

// onOpened makes the bucket live.
func (s *session) onOpened(b *bucket, got *opened, pause time.Duration) {
	now := s.o.Clock()
	s.mark(b)
	s.heard = now
	delete(s.e.absent, b.path)
	b.unmade, b.aside = got.unmade, ""
	if got.absent {
		s.e.absent[b.path] = true
	}
	if b.lost = got.lost; b.lost {
		b.cursor = got.cursor // which the sender is told
		s.e.lost[b.path] = s.e.lost[b.path].seen(b.there)
		s.served.wanted = true // its log may have been longer, and it said so before
	}
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
	if b.watch {
		s.useful = true
		s.stream.dirty(now)
		return
	}
	if got.cursor.GetScan() != nil {
		b.scanning = scanState{on: true, next: got.cursor.GetScan().GetNextKey(), since: now, guided: got.guided}
		cause := got.why
		if cause == "" {
			cause = "an interrupted copy goes on"
		}
		link.Prepare(s.o.Source)
		if got.why != "" && got.why != initialCopy && got.why != broughtHere {
			s.e.noticeComparison(now, b.path, got.why)
		}
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
		rec, in := p.GetRecord(), got.outlook[i]
		v := &version{
			bucket: b,
			rec:    rec,
			dot:    keyOf(rec.GetDot()),
			root:   in.root,
			seq:    p.GetSeq(),
			size:   in.size,
			hold:   p,
			queued: now,
		}
		b.pend[v.dot] = v
		switch {
		case b.watch:
			v.phase = phaseFailed // it is only counted
			continue
		case !in.needed:
			v.phase = phaseGone // nothing is left to be committed
			b.resolve(v)
			continue
		case p.GetReason() == catalogpb.PendingReason_PENDING_SKIPPED:
			v.phase = phaseFailed
			continue
		case in.fault != "":
			v.phase, v.kind, v.cause = phaseFailed, failRecord, in.fault
			continue
		}
		quarantined := p.GetReason() == catalogpb.PendingReason_PENDING_QUARANTINED
		if quarantined && s.e.failures[v.key()].n < 2 {
			// retry begins it when its time has come.
			v.phase, v.kind, v.cause = phaseFailed, failIntegrity, p.GetCause()
			continue
		}
		s.begin(v, "", now)
	}
}
