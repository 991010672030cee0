package objsync

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// lazyAdvance is the least time between two commits that move nothing but a
// cursor over entries that need nothing here, such as this site's own writes
// that come back as numbers in the other's log.
const lazyAdvance = time.Second

// carefulCommits is the number of commits of one record each after a refused one.
const carefulCommits = 2 * commitRecords

// written is an entry of the pending table that a commit writes.
type written struct {
	v      *version
	entry  *catalogpb.Pending
	failed bool // v had failed when it was planned
}

// commit puts what is ready in a bucket into one raft entry, together with the
// cursor. While it is under way the next one gathers.
func (s *session) commit(b *bucket, now time.Time) {
	if b.committing || len(b.log.items) == 0 && len(b.scan.items) == 0 && len(b.resolved) == 0 {
		return
	}
	p := makePlan(&b.log, &b.scan, b.resolved, rules{
		now:     now,
		after:   s.o.HoldAfter,
		behind:  s.o.HoldBehind,
		room:    s.o.PendingLimit - len(b.pend),
		noSpace: !s.noSpace.IsZero(),
		single:  b.careful > 0,
	})
	if p.nothing() || p.idle() && now.Sub(b.committed) < lazyAdvance {
		return
	}
	cmd, entries := s.ingest(b, p, now)
	b.committing = true
	s.writing[b.path]++
	b.log.planned, b.scan.planned = p.popLog, p.popScan
	s.e.count.Commits++
	s.do(func(ctx context.Context) func() {
		res, err := s.o.Propose(ctx, &raftfsmpb.Command{Command: &raftfsmpb.Command_Ingest{Ingest: cmd}})
		if err == nil && res.GetCode() == raftfsmpb.Code_OK && endsScan(cmd) {
			// Whether the bucket is to be compared once more was decided there.
			if c, err := s.o.Catalog.Cursor(b.path, s.o.Peer); err == nil {
				cmd.Cursor.Recheck, cmd.Cursor.Awaited = c.GetRecheck(), c.GetAwaited()
			}
		}
		return func() {
			b.committing = false
			s.wrote(b.path)
			b.log.planned, b.scan.planned = 0, 0
			b.committed = s.o.Clock()
			if b.closed {
				return
			}
			if err != nil {
				s.end(&localError{fmt.Errorf("commit to bucket %s: %w", b.path, err)})
				return
			}
			s.onResult(b, p, cmd, entries, res)
		}
	})
}

// endsScan reports whether a command ends a scan.
func endsScan(cmd *catalogpb.Ingest) bool {
	return cmd.GetExpect().GetScan() != nil && cmd.GetCursor() != nil && cmd.GetCursor().GetScan() == nil
}

// ingest makes the command of a plan.
func (s *session) ingest(b *bucket, p *plan, now time.Time) (*catalogpb.Ingest, []written) {
	cmd := &catalogpb.Ingest{Bucket: b.path, Peer: s.o.Peer.Bytes(), Expect: b.cursor}
	for _, v := range p.apply {
		cmd.Records = append(cmd.Records, v.rec)
	}
	for _, v := range p.settle {
		cmd.Settle = append(cmd.Settle, v.rec.GetDot())
	}
	var entries []written
	for _, v := range p.hold {
		w := written{v: v, entry: s.holdEntry(v, now), failed: v.phase == phaseFailed}
		entries = append(entries, w)
		cmd.Hold = append(cmd.Hold, w.entry)
	}
	for _, of := range [][]*version{p.apply, p.hold} {
		for _, v := range of {
			if v.restore {
				cmd.Restore = append(cmd.Restore, v.rec.GetDot())
			}
		}
	}
	if p.popLog == 0 && len(p.pages) == 0 {
		return cmd, entries
	}
	cursor := proto.CloneOf(b.cursor)
	if p.popLog > 0 {
		cursor.Seq = p.to
	}
	finished := false
	for _, page := range p.pages {
		cursor.Scan.NextKey = page.next
		cursor.Scan.KeysDone += page.keys
		finished = page.done
	}
	seen := p.seen
	if finished {
		// The scan has brought what the sender had when it began, and the log
		// what came since: this site may claim all of it.
		seen = catalog.MergeVector(nil, cursor.GetScan().GetSeen())
		seen = catalog.MergeVector(seen, b.passed)
		seen = catalog.MergeVector(seen, p.seen)
		if scope := cursor.GetScan().GetScope(); b.want.once {
			cursor.Part = partOnce + scope
		} else {
			whole(cursor, scope)
		}
		cursor.Scan = nil
		cmd.MergedIncarnation = cursor.GetIncarnation()
	}
	if cursor.GetScan() == nil && cursor.GetInitialDone() {
		cmd.Seen = seen
	}
	cmd.Cursor = cursor
	return cmd, entries
}

// holdEntry makes the entry of the pending table for a version.
func (s *session) holdEntry(v *version, now time.Time) *catalogpb.Pending {
	e := &catalogpb.Pending{
		Record: v.rec,
		Reason: catalogpb.PendingReason_PENDING_TRANSFERRING,
		Since:  v.queued.UnixNano(),
		Seq:    v.seq,
	}
	if v.hold != nil {
		e.Since, e.Attempts = v.hold.GetSince(), v.hold.GetAttempts()
	}
	if v.phase == phaseFailed {
		e.Reason = catalogpb.PendingReason_PENDING_QUARANTINED
		e.Cause = clip(v.cause)
		e.Attempts++
		e.NextRetry = now.Add(backoff(int(e.Attempts)-1, s.o.RetryMin, s.o.RetryMax)).UnixNano()
	}
	return e
}

// onResult takes the outcome of a commit that reached the log.
func (s *session) onResult(b *bucket, p *plan, cmd *catalogpb.Ingest, entries []written, res *raftfsmpb.Result) {
	switch res.GetCode() {
	case raftfsmpb.Code_OK:
		s.onCommitted(b, p, cmd, entries, res)
	case raftfsmpb.Code_CONFLICT, raftfsmpb.Code_NOT_FOUND:
		// The bucket was deleted or made anew here, or its cursor was changed.
		s.reopen(b, res.GetMessage())
	case raftfsmpb.Code_INVALID:
		s.onInvalid(b, p, res)
	default:
		s.end(&localError{fmt.Errorf("commit to bucket %s: %s", b.path, res.GetMessage())})
	}
}

// onInvalid finds the record that the site refuses: the records are committed
// one by one, and the one that is refused by itself is put into quarantine.
func (s *session) onInvalid(b *bucket, p *plan, res *raftfsmpb.Result) {
	switch {
	case len(p.apply)+len(p.hold) > 1:
		b.careful = carefulCommits
		s.mark(b)
	case len(p.apply) == 1 && p.apply[0].phase == phaseReady:
		v := p.apply[0]
		v.phase, v.kind, v.cause = phaseFailed, failRecord, res.GetMessage()
		s.log.Warn("link: version put in quarantine", "bucket", b.path, "key", string(v.rec.GetKey()), "dot", v.dot, "cause", v.cause)
		s.mark(b)
	default:
		s.end(&localError{fmt.Errorf("commit to bucket %s: %s", b.path, res.GetMessage())})
	}
}

func (s *session) onCommitted(b *bucket, p *plan, cmd *catalogpb.Ingest, entries []written, res *raftfsmpb.Result) {
	now := s.o.Clock()
	b.changed, s.news = true, true
	if b.careful > 0 {
		b.careful--
	}
	if !p.idle() {
		s.moved = now
	}
	s.e.count.Versions += res.GetApplied()
	for _, v := range p.apply {
		s.e.count.VersionBytes += v.rec.GetRoot().GetSize()
		if v.committed != 0 {
			s.e.delayed(now.Add(s.skew).Sub(time.Unix(0, v.committed)))
		}
		delete(s.e.failures, v.key())
		s.forget(b, v)
	}
	for _, v := range p.settle {
		s.forget(b, v)
	}
	for _, w := range entries {
		w.v.hold, w.v.resolving = w.entry, false
		if was := b.pend[w.v.dot]; was != nil && was != w.v {
			s.tr.drop(was) // it came again
			was.phase = phaseDone
		}
		b.pend[w.v.dot] = w.v
		if b.under[w.v.dot] == w.v {
			delete(b.under, w.v.dot)
		}
	}
	rest := b.resolved[:0]
	for _, v := range b.resolved {
		if v.resolving && v.phase != phaseDone {
			rest = append(rest, v)
		}
	}
	clear(b.resolved[len(rest):])
	b.resolved = rest
	for _, w := range entries {
		// It may have ended while the entry was being written.
		if ended := w.v.phase == phaseReady || w.v.phase == phaseGone; ended || w.v.phase == phaseFailed && !w.failed {
			b.resolve(w.v)
		}
	}
	s.passed(b, p)
	if cmd.GetCursor() != nil {
		if b.scanning.on && cmd.GetCursor().GetScan() == nil {
			keys := b.cursor.GetScan().GetKeysDone()
			for _, page := range p.pages {
				keys += page.keys
			}
			s.log.Info("link: bucket was copied", "bucket", b.path, "keys", keys, "took", now.Sub(b.scanning.since).Round(time.Millisecond))
			b.scanning = scanState{}
		}
		b.cursor = cmd.GetCursor()
	}
	s.mark(b)
}

// passed removes from the lanes what the cursor has passed.
func (s *session) passed(b *bucket, p *plan) {
	for _, it := range b.log.items[:p.popLog] {
		if it.v != nil && b.under[it.v.dot] == it.v {
			delete(b.under, it.v.dot)
		}
	}
	for _, it := range b.scan.items[:p.popScan] {
		if it.v != nil && b.under[it.v.dot] == it.v {
			delete(b.under, it.v.dot)
		}
	}
	b.log.pop(p.popLog)
	b.scan.pop(p.popScan)
	if p.seen != nil {
		b.passed = p.seen
	}
}

// forget ends a version that was committed or settled.
func (s *session) forget(b *bucket, v *version) {
	v.phase, v.resolving = phaseDone, false
	if b.pend[v.dot] == v {
		delete(b.pend, v.dot)
	}
	if b.under[v.dot] == v {
		delete(b.under, v.dot)
	}
}
