package objsync

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// bucket is one bucket of a session.
type bucket struct {
	path   string
	there  *linkpb.ServedBucket // as the sender described it last
	closed bool                 // taken out of the session

	want demand // as both sides have it
	// filter is what this site leaves out by itself.
	filter Filter
	watch  bool // paused: where the log ends is followed, and nothing is taken
	fresh  bool // it came into being at the sender while it was served

	live    bool   // it is open: records are taken
	queued  bool   // to be opened when it is its turn
	opening bool   // being opened
	waiting string // why it cannot be opened yet
	lost    bool   // because the sender has lost what was taken from it
	unmade  bool   // because it cannot be made here
	aside   string // why pages cannot be read, while that is so
	again   time.Time

	cursor    *catalogpb.Cursor // as committed
	log, scan lane
	under     map[dotKey]*version // in a lane and not settled
	pend      map[dotKey]*version // in the pending table
	resolved  []*version          // of pend: ready, gone or failed again
	passed    *catalogpb.Vector   // the sender's vector at the cursor, if known

	scanning scanState

	streamed            uint64    // the log was taken up to here, into the lane
	head                uint64    // the sender's last sequence that was heard of
	behind, behindBytes uint64    // not streamed yet, as the last heartbeat said
	oldest              time.Time // of those, by the sender's clock; zero: not known
	caughtUp            time.Time // sender's time at which nothing was left to be streamed
	heard               bool      // the stream told in this session where the log ends
	parked              bool      // no room: not in the stream until there is

	committing bool
	deciding   bool      // what is due is being looked at again
	reviewed   time.Time // when what is not due was looked at
	committed  time.Time // when the last commit ended
	awaited    time.Time // when it was looked whether something awaited came
	outdated   time.Time // since when it is known that it is to be compared
	careful    int       // commits still to be made of one record each
	changed    bool      // something was committed that the sender was not told
	told       string    // the cause that the sender was told
	reported   time.Time // when it was told anything
}

// servedState is what is known of the list of served buckets.
type servedState struct {
	wanted bool // to be asked for
	busy   bool
	known  bool
	both   int // buckets served by both sides
	list   []*linkpb.ServedBucket
	// declined are the buckets that the sender lets out and this site does not take,
	// with the reason.
	declined map[string]string
}

// reviewServed asks for the served list when that is wanted.
func (s *session) reviewServed() {
	if !s.served.wanted || s.served.busy {
		return
	}
	s.served.wanted, s.served.busy = false, true
	ask := s.askServed()
	s.do(func(context.Context) func() {
		got := <-ask
		return func() {
			s.line.tripped(got.took)
			s.onAsked(got)
		}
	})
}

// askedServed is the answer to the question for the served list.
type askedServed struct {
	list *linkpb.Served
	err  error
	took time.Duration
}

// askServed asks for the served list. The answer comes in any case, soon after the
// session's context ends.
func (s *session) askServed() <-chan askedServed {
	out := make(chan askedServed, 1)
	go func() {
		asked := s.o.Clock()
		list, err := s.o.Source.Served(s.ctx)
		out <- askedServed{list: list, err: err, took: s.o.Clock().Sub(asked)}
	}()
	return out
}

func (s *session) onAsked(got askedServed) {
	s.served.busy = false
	if got.err != nil {
		s.end(fmt.Errorf("ask %s for its buckets: %w", s.o.PeerName, got.err))
		return
	}
	s.onServed(got.list)
}

// onServed takes the list of buckets that the sender lets out, and its settings.
func (s *session) onServed(list *linkpb.Served) {
	if !s.served.known {
		s.lookWhetherIntact(list.GetBuckets())
	}
	s.served.known = true
	s.heard = s.o.Clock()
	s.served.list = list.GetBuckets()
	if list.GetSettings() != nil {
		s.theirs = settingsOf(list.GetSettings())
	}
	s.arrange()
}

// arrange opens and closes buckets so that those that both sides serve are open, as
// far as the settings of both sides let them flow to this site.
func (s *session) arrange() {
	if !s.served.known {
		return
	}
	if mine := s.o.Settings(); mine != s.mine {
		s.mine, s.report.soon = mine, true
	}
	s.flow, s.paused = flowOf(s.mine, s.theirs, true, s.o.PeerName), pausedBy(s.mine, s.theirs, s.o.PeerName)
	want := make(map[string]*linkpb.ServedBucket)
	declined := make(map[string]string)
	for _, sb := range s.served.list {
		switch {
		case s.flow.off != "":
		case s.o.Accepts(sb.GetPath()):
			want[sb.GetPath()] = sb
		default:
			declined[sb.GetPath()] = fmt.Sprintf("it is not served at %s, or only sent from there", s.o.Name)
		}
	}
	if !maps.Equal(declined, s.served.declined) {
		// What is declined no more is told too: until it is open, nothing else is told of it.
		tell := maps.Clone(declined)
		maps.Copy(tell, s.served.declined)
		s.served.declined, s.report.declines = declined, slices.Sorted(maps.Keys(tell))
	}
	s.served.both = len(want)
	s.e.forget(s.served.list)
	for path, b := range s.buckets {
		sb := want[path]
		switch {
		case sb == nil:
			s.closeBucket(b)
		case !bytes.Equal(sb.GetIncarnation(), b.there.GetIncarnation()) || sb.GetEpoch() != b.there.GetEpoch():
			s.closeBucket(b)
		case !s.fits(b, sb), s.outdated(b, sb):
			s.closeBucket(b)
		default:
			b.there = sb
		}
	}
	for path, sb := range want {
		b := s.buckets[path]
		if b == nil {
			b = &bucket{
				path:  path,
				there: s.asReached(sb),
				under: make(map[dotKey]*version),
				pend:  make(map[dotKey]*version),
				again: s.delayed[path],
				watch: s.paused != "",
				fresh: s.e.absent[path],
			}
			b.want, b.filter = s.demandOf(sb)
			b.log.all, b.scan.all = &s.queued, &s.queued
			delete(s.delayed, path)
			s.buckets[path] = b
		}
		s.mark(b)
	}
}

// demandOf is what both sides want of a bucket.
func (s *session) demandOf(sb *linkpb.ServedBucket) (demand, Filter) {
	terms := s.o.Terms(sb.GetPath())
	return demand{
		scope: joinScopes(terms.Filter.scope(), sb.GetScope()),
		first: s.flow.first,
		once:  !s.flow.follow,
		again: terms.Resync + sb.GetResync(),
	}, terms.Filter
}

// fits reports whether a bucket was opened for what is wanted of it now.
func (s *session) fits(b *bucket, sb *linkpb.ServedBucket) bool {
	want, _ := s.demandOf(sb)
	return b.want == want && b.watch == (s.paused != "")
}

// outdated reports whether a bucket that is open is to be compared now. A scan under
// way ends first, and what is in the sender's log comes first: less differs then. But
// where that never ends, because more is written all the time, it is enough that the
// log was read.
func (s *session) outdated(b *bucket, sb *linkpb.ServedBucket) bool {
	if !b.live || b.watch || b.scanning.on || outdated(b.cursor, sb, b.want) == "" {
		b.outdated = time.Time{}
		return false
	}
	now := s.o.Clock()
	if b.outdated.IsZero() {
		b.outdated = now
	}
	return b.streamed >= b.head && (len(b.log.items) == 0 || now.Sub(b.outdated) >= compareWithin)
}

// compareWithin is how long a comparison that is due waits for what is queued.
const compareWithin = 30 * time.Second

// wakeWaiting makes buckets that wait try again at once.
func (s *session) wakeWaiting() {
	for _, b := range s.buckets {
		b.again = time.Time{}
		s.mark(b)
	}
}

// closeBucket takes a bucket out of the session, with all that is under way.
func (s *session) closeBucket(b *bucket) {
	b.closed = true
	delete(s.buckets, b.path)
	delete(s.dirty, b)
	b.log.drop()
	b.scan.drop()
	for _, items := range [][]item{b.log.items, b.scan.items} {
		for _, it := range items {
			if it.v != nil {
				s.tr.drop(it.v)
			}
		}
	}
	for _, v := range b.pend {
		s.tr.drop(v)
	}
	if b.live {
		s.stream.dirty(s.o.Clock())
		s.keepReach(b)
	}
}

// reach is how far a sender's log of one life of a bucket was heard of.
type reach struct {
	there *linkpb.ServedBucket
	seq   uint64
}

// keepReach notes how far the sender's log was heard of when a bucket is closed.
func (s *session) keepReach(b *bucket) {
	s.reached[b.path] = reach{b.there, max(b.head, b.streamed, b.cursor.GetSeq())}
}

// asReached is what the sender serves, as it told some time ago, with as much of its
// log as was heard of since. Without that a bucket that is opened again before the
// sender is asked anew would take its own cursor for one of another log, and be
// compared as a whole.
func (s *session) asReached(sb *linkpb.ServedBucket) *linkpb.ServedBucket {
	r, ok := s.reached[sb.GetPath()]
	if !ok || r.seq <= sb.GetSeq() || r.there.GetEpoch() != sb.GetEpoch() || !bytes.Equal(r.there.GetIncarnation(), sb.GetIncarnation()) {
		return sb
	}
	sb = proto.CloneOf(sb) // the answer is read by others
	sb.Seq = r.seq
	return sb
}

// reopen closes a bucket and opens it again from what is stored: after a
// conflict, or when its cursor turned out not to fit.
func (s *session) reopen(b *bucket, why string) {
	if b.closed {
		return
	}
	s.log.Info("link: bucket is opened anew", "bucket", b.path, "cause", why)
	s.closeBucket(b)
	s.served.wanted = true
	now := s.o.Clock()
	if now.Sub(s.reopened[b.path]) < reopenPause {
		s.delayed[b.path] = now.Add(reopenPause)
	}
	s.reopened[b.path] = now
}

// reopenPause is the least time between two openings of a bucket that were
// caused by conflicts.
const reopenPause = time.Second

// advance does what can be done for a bucket now.
func (s *session) advance(b *bucket, now time.Time) {
	if !b.live {
		// What was begun for it before it was closed the last time may still write
		// its cursor, and what is read here would be outdated without anybody seeing it.
		if !b.opening && !b.queued && !now.Before(b.again) && s.writing[b.path] == 0 {
			b.queued = true
			s.queue = append(s.queue, b)
		}
		return
	}
	if b.watch {
		return
	}
	s.reviewAwaited(b, now)
	if !b.committing && s.outdated(b, b.there) {
		s.reopen(b, outdated(b.cursor, b.there, b.want))
		return
	}
	if !s.awaitsAmend(b) { // or it would wait until there is nothing to commit
		s.commit(b, now)
	}
	s.moreScan(b)
	s.reviewStream(b, now)
}

// maxOpening bounds the buckets that are opened at once.
const maxOpening = 16

// openMore opens the next buckets of the queue.
func (s *session) openMore() {
	for len(s.queue) > 0 && s.opening < maxOpening && s.waiting() < s.o.Queue {
		b := s.queue[0]
		s.queue = s.queue[1:]
		b.queued = false
		if !b.closed && s.writing[b.path] == 0 { // else it is queued again after that
			s.open(b)
		}
	}
	if len(s.queue) == 0 {
		s.queue = nil
	}
}

// enlist puts the records of one batch or page into a lane. It begins to fetch
// what they need.
func (s *session) enlist(b *bucket, l *lane, records []incoming, now time.Time) {
	var flying map[string][]*version // made when it is needed first
	for i := range records {
		in := &records[i]
		s.e.count.Records++
		if in.again {
			if flying == nil {
				flying = b.flying()
			}
			s.outdo(in, flying[string(in.rec.GetKey())])
		}
		if !in.needed {
			if l == &b.log {
				l.mark(in.seq, nil)
			}
			continue
		}
		dot := keyOf(in.rec.GetDot())
		v := b.under[dot]
		if v != nil && v.outlived(in.rec) {
			v = nil
		}
		if v == nil && b.pend[dot] != nil && !b.pend[dot].outlived(in.rec) {
			// It is in the pending table by name: the cursor may pass.
			if l == &b.log {
				l.mark(in.seq, nil)
			}
			continue
		}
		if v == nil {
			v = s.newVersion(b, in)
			b.under[dot] = v
			if flying != nil {
				flying[string(in.rec.GetKey())] = append(flying[string(in.rec.GetKey())], v)
			}
			s.begin(v, in.fault, now)
			s.withdraw(v)
		}
		l.version(v, in.seq)
	}
}

// outlived reports whether a version that is known by a name does not stand for the
// record that comes under it now: it has ended, or the record brings along what it did
// not. A version comes again when its purge was revoked.
func (v *version) outlived(rec *catalogpb.Record) bool {
	return v.phase == phaseGone || v.phase == phaseDone || v.phase == phaseDropped ||
		catalog.BringsAlong(rec) && !catalog.BringsAlong(v.rec)
}

// withdraw settles what a deletion was written over and is on its way in itself: the
// sender had it before, and has it no longer. Its content need not come; and if it was
// committed behind the deletion, it would look as if the sender had forgotten that one.
func (s *session) withdraw(deletion *version) {
	b, rec := deletion.bucket, deletion.rec
	if deletion.phase == phaseFailed || rec.GetKind() != catalogpb.RecordKind_RECORD_TOMBSTONE {
		return
	}
	for _, d := range rec.GetContext() {
		for _, v := range []*version{b.under[keyOf(d)], b.pend[keyOf(d)]} {
			if v != nil && bytes.Equal(v.rec.GetKey(), rec.GetKey()) && catalog.Beats(rec, v.rec) {
				s.withdrawn(v)
			}
		}
	}
}

// withdrawn settles a version on its way in that is wanted no more.
func (s *session) withdrawn(v *version) {
	if v.phase == phaseDone {
		return
	}
	s.tr.drop(v)
	v.phase = phaseGone
	v.bucket.resolve(v)
	s.mark(v.bucket)
}

// flying lists the versions on their way in, by key.
func (b *bucket) flying() map[string][]*version {
	out := make(map[string][]*version, len(b.under)+len(b.pend))
	for _, set := range []map[dotKey]*version{b.under, b.pend} {
		for _, v := range set {
			key := string(v.rec.GetKey())
			out[key] = append(out[key], v)
		}
	}
	return out
}

// outdo settles the records of a key on their way in that a deletion or a purge
// beats. It was dropped here when it had done its work, so once they were applied
// nothing would hold it against them. It is committed too, behind those that are being
// committed at this moment.
func (s *session) outdo(in *incoming, versions []*version) {
	for _, v := range versions {
		if catalog.Beats(in.rec, v.rec) && v.phase != phaseDone {
			in.needed = true
			s.withdrawn(v)
		}
	}
}

func (s *session) newVersion(b *bucket, in *incoming) *version {
	return &version{
		bucket:    b,
		rec:       in.rec,
		dot:       keyOf(in.rec.GetDot()),
		root:      in.root,
		seq:       in.seq,
		committed: in.committed,
		size:      in.size,
		restore:   in.restore,
	}
}

// begin starts a version, unless it is known to be impossible.
func (s *session) begin(v *version, fault string, now time.Time) {
	v.queued = now
	if fault != "" {
		v.phase, v.kind, v.cause = phaseFailed, failRecord, fault
		s.log.Warn("link: version put in quarantine", "bucket", v.bucket.path, "key", string(v.rec.GetKey()), "dot", v.dot, "cause", fault)
		return
	}
	if m := s.e.failures[v.key()]; m.n > 0 && judge(m.kind, m.n) == verdictQuarantine {
		// It broke the sessions before; the next failure counts as a second one.
		m.n--
		s.e.failures[v.key()] = m
		v.phase, v.kind, v.cause = phaseFailed, m.kind, m.cause
		v.bucket.resolve(v)
		s.log.Warn("link: version put in quarantine", "bucket", v.bucket.path, "key", string(v.rec.GetKey()), "dot", v.dot, "cause", m.cause)
		return
	}
	s.tr.add(v, now)
}

// resolve notes that the entry of the pending table of a version that has ended
// is to be changed or removed.
func (b *bucket) resolve(v *version) {
	if v.hold != nil && !v.resolving {
		v.resolving = true
		b.resolved = append(b.resolved, v)
	}
}

// retryBatch bounds the versions that are looked at again together.
const retryBatch = 1000

// reviewEvery is how often what is in quarantine is looked at before its next retry,
// which may be an hour away.
const reviewEvery = 5 * time.Second

// retry starts the quarantined versions of a bucket that are due, unless nothing is
// left to do for them: another link may have brought them meanwhile, or this one or
// another what replaced them, and then the sender may never have them again. Those
// of which nothing is left to do end without waiting until they are due: the two
// ends are equal then, and nothing is behind. Of a table of thousands, as many are
// looked at in a round as there is room for.
func (s *session) retry(b *bucket, now time.Time) {
	if b.watch || b.deciding || len(b.pend) == 0 {
		return
	}
	var due []*version
	var entries []*catalogpb.Pending
	pick := func(wanted func(v *version) bool) {
		for _, v := range b.pend {
			if len(due) == retryBatch {
				return
			}
			if wanted(v) {
				due, entries = append(due, v), append(entries, v.hold)
			}
		}
	}
	pick(func(v *version) bool { return s.due(v, now) })
	if now.Sub(b.reviewed) >= reviewEvery {
		b.reviewed = now
		pick(func(v *version) bool { return v.quarantined() && !s.due(v, now) && !v.restore })
	}
	if len(due) == 0 {
		return
	}
	b.deciding = true
	s.do(func(context.Context) func() {
		outlook, err := examinePending(s.o.Catalog, b.path, entries, b.filter)
		return func() {
			b.deciding = false
			switch {
			case b.closed:
			case err != nil:
				s.end(&localError{fmt.Errorf("look at pending table: %w", err)})
			default:
				s.onDue(b, due, outlook)
			}
		}
	})
}

// onDue ends what is not needed any more, and begins again what is and whose time has
// come.
func (s *session) onDue(b *bucket, due []*version, outlook []incoming) {
	now := s.o.Clock()
	for i, v := range due {
		in := &outlook[i]
		switch {
		case !v.quarantined(): // an operator skipped it, or it was begun already
		case !v.restore && (!in.needed || in.deleted && v.kind == failRefused):
			// Nothing is left to be committed; or only the history of what was deleted
			// would have it, and the sender, whose own may be shorter, does not give it.
			v.phase = phaseGone
			b.resolve(v)
		case !s.due(v, now): // it is looked at again
		case v.restore: // it is wanted although it was seen
			v.rewind()
			s.tr.add(v, now)
		case in.fault != "":
			v.kind, v.cause = failRecord, in.fault
			b.resolve(v)
		default:
			v.root = in.root
			v.rewind()
			s.tr.add(v, now)
		}
	}
	s.mark(b)
}

// due reports whether a version of the pending table is to be tried again now. A time
// that is further away than any pause was noted by a clock that was ahead.
func (s *session) due(v *version, now time.Time) bool {
	wait := time.Unix(0, v.hold.GetNextRetry()).Sub(now)
	return v.quarantined() && (wait <= 0 || wait > s.o.RetryMax)
}
