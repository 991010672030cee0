package objsync

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// streamState is the change stream of a session: one request that follows all
// open buckets, ended and begun again when that set changes.
type streamState struct {
	running bool
	cancel  context.CancelFunc
	number  int // of the request: what an earlier one still says is ignored
	stale   bool
	since   time.Time          // when it became stale
	said    time.Time          // when the request said anything, or began
	held    *heldBatch         // a batch for which there is no room yet
	names   map[string]*bucket // the buckets of the request
	named   map[*bucket]bool   // of them: in the heartbeat that is coming in
}

// heldBatch is a batch that waits for room in its bucket's lane. The sender is
// held back meanwhile, so that does not last: then the bucket is parked.
type heldBatch struct {
	b       *bucket
	batch   *linkpb.ChangeBatch
	records []incoming
	since   time.Time
	taken   func() // lets the stream go on
}

const (
	laneRecords = 4096    // records of a bucket's log queued at most
	laneBytes   = 4 << 20 // their encoded size
	// holdBatch is how long one full bucket may hold back the stream of all.
	holdBatch = 200 * time.Millisecond
	// A stale stream waits for gather, and gatherEach for every bucket that is open,
	// for those that are being opened: every new stream names all of them.
	gather     = 200 * time.Millisecond
	gatherEach = time.Millisecond
)

// dirty says that the set of buckets to be followed has changed.
func (st *streamState) dirty(now time.Time) {
	if !st.stale {
		st.stale, st.since = true, now
	}
}

// mute is how long the change stream has said nothing, not even a heartbeat, although
// it may: other answers of the sender do not tell what changes there.
func (st *streamState) mute(now time.Time) time.Duration {
	if !st.running || st.held != nil {
		return 0
	}
	return now.Sub(st.said)
}

// full reports whether a bucket's lane takes no more of its log: it is full itself, or
// all lanes together are. The last half of that is for buckets of which nothing is
// queued: they do not wait for those that stand still.
func (s *session) full(b *bucket) bool {
	return len(b.log.items) >= s.o.lane || int64(b.log.bytes) >= min(laneBytes, s.o.Queue/4) || s.crowded(b)
}

// crowded reports whether the lanes of all buckets hold as much as they may, as a bucket
// sees it.
func (s *session) crowded(b *bucket) bool {
	return s.waiting() >= s.o.Queue || b.log.bytes+b.scan.bytes > 0 && s.waiting() >= s.o.Queue/2
}

// roomy reports whether a parked bucket goes back into the stream.
func (s *session) roomy(b *bucket) bool {
	return len(b.log.items) <= s.o.lane/2 && int64(b.log.bytes) <= min(laneBytes, s.o.Queue/4)/2 && !s.crowded(b)
}

// runStream begins the change stream, or begins it again.
func (s *session) runStream(now time.Time) {
	st := &s.stream
	if !st.stale && st.number > 0 {
		return
	}
	if !s.served.known || (s.opening > 0 || len(s.queue) > 0) && now.Sub(st.since) < gather+gatherEach*time.Duration(len(s.buckets)) {
		return
	}
	if st.running {
		st.cancel() // its end calls back, and the next step begins the new one
		return
	}
	st.number++
	st.stale, st.running, st.held, st.said = false, true, nil, now
	st.names, st.named = make(map[string]*bucket), make(map[*bucket]bool)
	var cursors []*linkpb.BucketCursor
	for _, b := range s.buckets {
		b.parked = b.parked && !s.roomy(b)
		if !b.live || b.parked || b.want.once && !b.watch {
			continue
		}
		st.names[b.path] = b
		cursor := &catalogpb.Cursor{Site: b.cursor.GetSite(), Epoch: b.cursor.GetEpoch(), Incarnation: b.cursor.GetIncarnation(), Seq: b.streamed}
		cursors = append(cursors, &linkpb.BucketCursor{Path: b.path, Cursor: cursor, HeadsOnly: b.watch, Scope: b.there.GetScope()})
	}
	ctx, cancel := context.WithCancel(s.ctx)
	st.cancel = cancel
	number, names := st.number, st.names
	s.do(func(context.Context) func() {
		defer cancel()
		err := s.follow(ctx, number, names, cursors)
		stopped := ctx.Err() != nil
		return func() {
			st.running = false
			if !stopped {
				s.end(fmt.Errorf("follow the changes of %s: %w", s.o.PeerName, err))
			}
		}
	})
}

// follow runs one change stream. It looks at the records on its own goroutine
// and hands them over batch by batch, each when there is room for it.
func (s *session) follow(ctx context.Context, number int, names map[string]*bucket, cursors []*linkpb.BucketCursor) error {
	for _, c := range cursors {
		seen, err := s.o.Catalog.Seen(c.GetPath())
		if err != nil {
			seen = nil // it only saves the sender from offering what is here
		}
		c.Seen = seen
	}
	return s.o.Source.Changes(ctx, &linkpb.ChangesRequest{Cursors: cursors}, func(batch *linkpb.ChangeBatch) error {
		records := make([]*catalogpb.Record, 0, len(batch.GetChanges()))
		for _, c := range batch.GetChanges() {
			records = append(records, c.GetRecord())
		}
		var looked []incoming
		if len(records) > 0 {
			b := names[batch.GetPath()]
			if b == nil {
				return violated("changes of bucket %q, which was not asked for", batch.GetPath())
			}
			var err error
			if looked, err = examine(s.o.Catalog, batch.GetPath(), records, b.filter); err != nil {
				return err
			}
			for i, c := range batch.GetChanges() {
				looked[i].seq, looked[i].committed = c.GetSeq(), c.GetCommitted()
			}
		}
		s.o.Limit.Charge(proto.Size(batch))
		taken := make(chan struct{})
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s.events <- func() { s.onBatch(number, batch, looked, func() { close(taken) }) }:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-taken:
			return nil
		}
	})
}

// onBatch takes a batch of the stream, or holds it until there is room.
func (s *session) onBatch(number int, batch *linkpb.ChangeBatch, looked []incoming, taken func()) {
	if batch.GetServedChanged() {
		s.served.wanted = true // whichever stream says so
	}
	if number != s.stream.number || s.over() {
		taken()
		return
	}
	now := s.o.Clock()
	s.heard, s.stream.said = now, now
	s.noteClock(batch.GetClock())
	s.onHeads(batch)
	b := s.stream.names[batch.GetPath()]
	switch {
	case b == nil || b.closed || b.parked:
		taken()
	case b.watch && batch.GetReset_() == "":
		taken() // a sender that does not know of heads alone: its end is heard all the same
		b.head = max(b.head, batch.GetTo())
	case batch.GetReset_() != "":
		taken()
		s.reopen(b, batch.GetReset_())
	case s.full(b) && len(looked) > 0:
		s.stream.held = &heldBatch{b: b, batch: batch, records: looked, since: now, taken: taken}
	default:
		s.accept(b, batch, looked, now)
		taken()
	}
}

// accept puts a batch into its bucket's lane. A batch that does not follow on
// what was taken would pass over records: that is never accepted.
func (s *session) accept(b *bucket, batch *linkpb.ChangeBatch, looked []incoming, now time.Time) {
	if err := checkBatch(batch, b.streamed); err != nil {
		s.end(violated("changes of bucket %s: %w", b.path, err))
		return
	}
	if len(looked) > 0 {
		s.moved = now
	}
	s.enlist(b, &b.log, looked, now)
	b.streamed = batch.GetTo()
	b.head = max(b.head, b.streamed)
	if seen := batch.GetSeen(); seen != nil {
		if err := catalog.CheckVector(seen); err != nil {
			s.end(violated("changes of bucket %s: %w", b.path, err))
			return
		}
		b.log.mark(b.streamed, seen)
		s.reachedEnd(b, batch.GetClock())
	} else {
		b.log.mark(b.streamed, nil)
	}
	s.mark(b)
}

// checkBatch checks that a batch accounts for the sequences after streamed
// without a gap.
func checkBatch(batch *linkpb.ChangeBatch, streamed uint64) error {
	if batch.GetFrom() != streamed+1 || batch.GetTo() < batch.GetFrom() {
		return fmt.Errorf("a batch of %d to %d does not continue %d", batch.GetFrom(), batch.GetTo(), streamed)
	}
	last := streamed
	for _, c := range batch.GetChanges() {
		if c.GetSeq() <= last || c.GetSeq() > batch.GetTo() {
			return fmt.Errorf("sequence %d is out of order in a batch of %d to %d", c.GetSeq(), batch.GetFrom(), batch.GetTo())
		}
		last = c.GetSeq()
	}
	return nil
}

// onHeads takes what a heartbeat says of the buckets. Those of which nothing is
// left to be streamed it does not name.
func (s *session) onHeads(batch *linkpb.ChangeBatch) {
	st := &s.stream
	for _, h := range batch.GetHeads() {
		b := st.names[h.GetPath()]
		if b == nil || b.closed {
			continue
		}
		st.named[b], b.heard = true, true
		b.head = max(h.GetSeq(), b.streamed)
		b.behind, b.behindBytes, b.oldest = h.GetBacklog(), h.GetBacklogBytes(), time.Time{}
		if h.GetOldest() != 0 {
			b.oldest = time.Unix(0, h.GetOldest())
		}
	}
	if !batch.GetBeat() {
		return
	}
	s.o.Limit.SetPeer(batch.GetRate())
	for _, b := range st.names {
		if !b.closed && !b.parked && !st.named[b] && b.head <= b.streamed {
			s.reachedEnd(b, batch.GetClock())
		}
	}
	clear(st.named)
}

// reachedEnd notes that nothing of a bucket was left to be streamed at a moment
// of the sender's clock.
func (s *session) reachedEnd(b *bucket, clock int64) {
	b.heard = true
	b.behind, b.behindBytes, b.oldest = 0, 0, time.Time{}
	if clock != 0 {
		b.caughtUp = time.Unix(0, clock)
	}
	s.useful = true
}

// reviewStream takes the held batch when there is room, and has the stream begun again
// when a parked bucket has. Until then that stays parked: what the old stream still says
// of it does not follow on what was taken.
func (s *session) reviewStream(b *bucket, now time.Time) {
	st := &s.stream
	if b.parked && s.roomy(b) {
		st.dirty(now)
	}
	if h := st.held; h != nil && h.b == b && !s.full(b) {
		st.held = nil
		s.accept(b, h.batch, h.records, now)
		h.taken()
	}
}

// unhold parks the bucket whose batch holds back the stream for too long. Its
// batch is dropped: the stream takes it up again when there is room.
func (s *session) unhold(now time.Time) {
	h := s.stream.held
	if h == nil || !h.b.closed && now.Sub(h.since) < holdBatch {
		return
	}
	s.stream.held = nil
	h.b.parked = true
	h.taken()
}
