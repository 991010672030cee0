package objsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// What operators do about versions that cannot be applied. The pending table of a
// bucket is the engine's: while a session has the bucket open it alone changes the
// table, so an amendment is handed to it, and otherwise it is made on the stored
// table, before the bucket is opened again.

// Remedy is what is to become of versions of a pending table.
type Remedy uint8

const (
	// RemedyRetry fetches versions in quarantine, and skipped ones, again at once.
	RemedyRetry Remedy = iota
	// RemedySkip gives up versions: they stay in the table by name, nothing waits for
	// them any more, and they can be retried.
	RemedySkip
)

// Amendment asks for a remedy for the versions of one bucket.
type Amendment struct {
	Bucket string
	Remedy Remedy
	// Keys are those whose versions are meant. None: for a retry all that are in
	// quarantine, for a skip nothing.
	Keys []string
}

// Amended says what an Amendment did.
type Amended struct {
	// Versions is the number of entries of the pending table that were changed.
	Versions int
	// Absent are the keys of the Amendment that have no such entry.
	Absent []string
	// Unsound are the keys whose records can never be applied, whatever is retried,
	// with the reason.
	Unsound map[string]string
}

// ErrStopped says that the engine that an Amendment was for has ended.
var ErrStopped = errors.New("the link was stopped")

// amendOp is an Amendment on its way to the goroutine of Run.
type amendOp struct {
	ctx  context.Context
	what Amendment
	done chan<- amendReply // has room for one
}

type amendReply struct {
	did Amended
	err error
}

// Amend carries out a remedy, and returns when it is committed. It may be called by
// any goroutine while Run runs, and also before and after, when it returns
// ErrStopped as soon as Run has ended.
func (e *Engine) Amend(ctx context.Context, what Amendment) (Amended, error) {
	done := make(chan amendReply, 1)
	select {
	case e.amend <- &amendOp{ctx: ctx, what: what, done: done}:
	case <-ctx.Done():
		return Amended{}, ctx.Err()
	case <-e.over:
		return Amended{}, ErrStopped
	}
	select {
	case r := <-done:
		return r.did, r.err
	case <-ctx.Done():
		return Amended{}, ctx.Err()
	case <-e.over:
		return Amended{}, ErrStopped
	}
}

// AmendStored carries out a remedy for a link that has no engine.
func AmendStored(ctx context.Context, site Site, peer state.SiteID, what Amendment) (Amended, error) {
	if err := site.check(); err != nil {
		return Amended{}, fmt.Errorf("amend pending table: %w", err)
	}
	_, did, err := amendStored(ctx, &site, peer, what)
	return did, err
}

// amendStored amends the table as it is stored, and returns the changed entries.
func amendStored(ctx context.Context, site *Site, peer state.SiteID, what Amendment) ([]*catalogpb.Pending, Amended, error) {
	var entries []*catalogpb.Pending
	var after *catalogpb.Dot
	for {
		page, err := site.Catalog.Pending(what.Bucket, peer, after, 1000)
		if err != nil {
			return nil, Amended{}, fmt.Errorf("read pending table of bucket %s: %w", what.Bucket, err)
		}
		if len(page) == 0 {
			break
		}
		entries = append(entries, page...)
		after = page[len(page)-1].GetRecord().GetDot()
	}
	amended, did := remedy(entries, what, site.Clock())
	return amended, did, commitAmended(ctx, site, peer, what.Bucket, amended)
}

// remedy decides which entries of a pending table an Amendment changes, and how.
// The entries themselves are not changed.
func remedy(entries []*catalogpb.Pending, what Amendment, now time.Time) (amended []*catalogpb.Pending, did Amended) {
	wanted := make(map[string]bool, len(what.Keys)) // false: not met yet
	for _, key := range what.Keys {
		wanted[key] = false
	}
	for _, p := range entries {
		key := string(p.GetRecord().GetKey())
		_, named := wanted[key]
		quarantined := p.GetReason() == catalogpb.PendingReason_PENDING_QUARANTINED
		skipped := p.GetReason() == catalogpb.PendingReason_PENDING_SKIPPED
		switch {
		case !named && (len(wanted) > 0 || what.Remedy == RemedySkip || !quarantined):
			continue
		case what.Remedy == RemedyRetry && !quarantined && !skipped:
			continue // it is being fetched
		}
		if named {
			wanted[key] = true
		}
		next := proto.CloneOf(p)
		switch {
		case what.Remedy == RemedySkip && skipped:
			continue // it is so already
		case what.Remedy == RemedySkip:
			next.Reason, next.NextRetry = catalogpb.PendingReason_PENDING_SKIPPED, 0
		default:
			if err := sound(p.GetRecord()); err != nil {
				if did.Unsound == nil {
					did.Unsound = make(map[string]string)
				}
				did.Unsound[key] = err.Error()
				continue
			}
			next.Reason, next.NextRetry = catalogpb.PendingReason_PENDING_QUARANTINED, now.UnixNano()
		}
		amended = append(amended, next)
	}
	for _, key := range what.Keys {
		if met, first := wanted[key]; first && !met {
			did.Absent = append(did.Absent, key)
			delete(wanted, key) // told once
		}
	}
	did.Versions = len(amended)
	return amended, did
}

// commitAmended stores changed entries of a pending table, in commands of bounded size.
func commitAmended(ctx context.Context, site *Site, peer state.SiteID, bucket string, entries []*catalogpb.Pending) error {
	for len(entries) > 0 {
		n, size := 0, 0
		for n < min(len(entries), commitRecords) && (n == 0 || size+sizeOf(entries[n].GetRecord()) <= commitBytes) {
			size += sizeOf(entries[n].GetRecord())
			n++
		}
		res, err := site.Propose(ctx, &raftfsmpb.Command{Command: &raftfsmpb.Command_Ingest{Ingest: &catalogpb.Ingest{
			Bucket: bucket, Peer: peer.Bytes(), Hold: entries[:n],
		}}})
		if err == nil && res.GetCode() != raftfsmpb.Code_OK {
			err = errors.New(res.GetMessage())
		}
		if err != nil {
			return fmt.Errorf("change pending table of bucket %s: %w", bucket, err)
		}
		entries = entries[n:]
	}
	return nil
}

// amendStored carries out an amendment while there is no session.
func (e *Engine) amendStored(op *amendOp) {
	ctx, done := e.amending(op)
	defer done()
	amended, did, err := amendStored(ctx, &e.o.Site, e.o.Peer, op.what)
	e.pardon(amended, op.what)
	op.done <- e.amended(did, err)
}

// pardon forgets the failures of what is retried.
func (e *Engine) pardon(amended []*catalogpb.Pending, what Amendment) {
	if what.Remedy != RemedyRetry {
		return
	}
	for _, p := range amended {
		delete(e.failures, versionKey{bucket: what.Bucket, dot: keyOf(p.GetRecord().GetDot())})
	}
}

// amended is the answer to an amendment.
func (e *Engine) amended(did Amended, err error) amendReply {
	if err != nil && e.ctx.Err() != nil {
		err = ErrStopped
	}
	return amendReply{did, err}
}

// amending is the context of an amendment under way: whoever asked for it waits for it,
// and so does the end of Run.
func (e *Engine) amending(op *amendOp) (ctx context.Context, done func()) {
	ctx, cancel := context.WithCancel(op.ctx)
	stop := context.AfterFunc(e.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// runAmend begins the amendments that can be carried out now. One for a bucket of which
// something else is being written waits for that.
func (s *session) runAmend() {
	rest := s.amends[:0]
	for _, op := range s.amends {
		b := s.buckets[op.what.Bucket]
		switch {
		case op.ctx.Err() != nil: // nobody waits for it
		case s.writing[op.what.Bucket] > 0:
			rest = append(rest, op)
		case b == nil || !b.live:
			s.amendClosed(op)
		default:
			s.amendLive(b, op)
		}
	}
	clear(s.amends[len(rest):])
	s.amends = rest
}

// awaitsAmend reports whether an amendment of an open bucket waits for its commits.
func (s *session) awaitsAmend(b *bucket) bool {
	return slices.ContainsFunc(s.amends, func(op *amendOp) bool { return op.what.Bucket == b.path })
}

// amendClosed carries out an amendment of a bucket that is not open, and is not opened
// meanwhile.
func (s *session) amendClosed(op *amendOp) {
	path := op.what.Bucket
	s.writing[path]++
	s.do(func(context.Context) func() {
		ctx, done := s.e.amending(op)
		defer done()
		amended, did, err := amendStored(ctx, &s.o.Site, s.o.Peer, op.what)
		return func() {
			s.wrote(path)
			s.e.pardon(amended, op.what)
			op.done <- s.e.amended(did, err)
		}
	})
}

// amendLive carries out an amendment of an open bucket.
func (s *session) amendLive(b *bucket, op *amendOp) {
	var entries []*catalogpb.Pending
	for _, v := range b.pend {
		// What has ended is about to leave the table.
		if v.phase != phaseReady && v.phase != phaseGone && !v.resolving {
			entries = append(entries, v.hold)
		}
	}
	amended, did := remedy(entries, op.what, s.o.Clock())
	for _, p := range amended {
		// It neither ends nor fails while the table is being changed.
		v := b.pend[keyOf(p.GetRecord().GetDot())]
		s.tr.drop(v)
		v.phase, v.cause, v.amending = phaseFailed, p.GetCause(), true
	}
	b.committing = true
	s.writing[b.path]++
	s.do(func(context.Context) func() {
		ctx, done := s.e.amending(op)
		defer done()
		err := commitAmended(ctx, &s.o.Site, s.o.Peer, b.path, amended)
		return func() {
			b.committing = false
			s.wrote(b.path)
			op.done <- s.e.amended(did, err)
			if err == nil {
				s.e.pardon(amended, op.what)
			}
			if b.closed || s.over() { // nobody waits for what would be begun now
				return
			}
			if err != nil {
				s.reopen(b, err.Error())
				return
			}
			s.onAmended(b, amended, op.what)
		}
	})
}

// onAmended goes on with what was amended.
func (s *session) onAmended(b *bucket, amended []*catalogpb.Pending, what Amendment) {
	for _, p := range amended {
		v := b.pend[keyOf(p.GetRecord().GetDot())]
		if v == nil {
			continue
		}
		v.hold = p
		v.amending = false
		if what.Remedy == RemedyRetry {
			v.kind = failIntegrity // whatever it was, it is tried
		}
		s.log.Info("link: pending version was amended by an operator", "bucket", b.path,
			"key", string(p.GetRecord().GetKey()), "dot", v.dot, "now", p.GetReason())
	}
	b.changed, s.news = true, true
	s.retry(b, s.o.Clock())
	s.mark(b)
}
