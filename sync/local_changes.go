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
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

const (
	batchRecords = 256       // log entries read for one batch
	batchBytes   = 256 << 10 // encoded records of one batch
	headsBatch   = 500       // buckets of one message of a heartbeat
	// servedEvery is the least time between two looks at the served list that
	// were caused by commits.
	servedEvery = 100 * time.Millisecond
	// drainAtOnce is how long a stream sends of a backlog before it looks whether a
	// heartbeat is due or the served list has changed.
	drainAtOnce = 250 * time.Millisecond
	// skipRun is the number of entries in a row that are passed over, because
	// the peer has them, before it is told.
	skipRun = 4096
)

// changeStream is one bucket of an open change stream.
type changeStream struct {
	path        string
	epoch       uint32
	incarnation []byte
	after       uint64 // accounted for to the peer
	read        uint64 // looked at: what lies between was not worth a message yet
	seen        *catalogpb.Vector
	// What the peer had reported before it asked is left out of account: a peer that was
	// put back from a backup has not seen all of that any more.
	before *catalogpb.PeerProgress
	looked bool // its cursor was found to fit
	scope  string
	heads  bool // only where it stands is wanted
	over   bool // a reset was sent
}

// Changes implements link.Source: it follows the logs of the buckets asked for
// until ctx ends or fn fails. A bucket whose cursor does not fit gets one batch
// with the reason in Reset, and nothing afterwards.
func (l *Local) Changes(ctx context.Context, req *linkpb.ChangesRequest, fn func(*linkpb.ChangeBatch) error) error {
	l.touch()
	streams := make([]*changeStream, 0, len(req.GetCursors()))
	seen := make(map[string]bool, len(req.GetCursors()))
	for _, c := range req.GetCursors() {
		if seen[c.GetPath()] {
			return link.Refuse(link.CodeInvalid, "bucket %s is asked for twice in one request", c.GetPath())
		}
		seen[c.GetPath()] = true
		if err := catalog.CheckVector(c.GetSeen()); err != nil {
			return link.Refuse(link.CodeInvalid, "bucket %s: %v", c.GetPath(), err)
		}
		streams = append(streams, &changeStream{
			path:        c.GetPath(),
			epoch:       c.GetCursor().GetEpoch(),
			incarnation: c.GetCursor().GetIncarnation(),
			after:       c.GetCursor().GetSeq(),
			read:        c.GetCursor().GetSeq(),
			heads:       c.GetHeadsOnly(),
			scope:       c.GetScope(),
			// A vector from outside need not be ordered.
			seen: catalog.MergeVector(nil, c.GetSeen()),
		})
	}
	l.mu.Lock()
	l.streams++
	for _, s := range streams {
		if p := l.peers[s.path]; p != nil {
			s.before = p.progress
		}
	}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.streams--
		l.mu.Unlock()
	}()

	watcher := l.o.Catalog.Watch()
	defer watcher.Stop()
	beat := time.NewTicker(l.o.Heartbeat)
	defer beat.Stop()
	kick := l.kicked()
	pace := newRecordPace(l.o.Limit)
	defer pace.timer.Stop()

	more, err := l.drain(ctx, streams, pace, fn)
	if err != nil {
		return err
	}
	if err := l.heartbeat(streams, fn); err != nil {
		return err
	}
	looked := l.o.Clock()
	var announced notice
	always := make(chan struct{})
	close(always)
	for {
		look := false
		var rest <-chan struct{}
		if more {
			rest = always
		}
		select {
		case <-rest:
		case <-ctx.Done():
			return ctx.Err()
		case <-watcher.C:
			if now := l.o.Clock(); now.Sub(looked) >= servedEvery {
				looked, look = now, true
			}
		case <-pace.timer.C:
		case <-kick:
			kick, look = l.kicked(), true
		case <-beat.C:
			look = true
			if err := l.heartbeat(streams, fn); err != nil {
				return err
			}
		}
		if look {
			if err := l.reviewServed(&announced, fn); err != nil {
				return err
			}
		}
		if more, err = l.drain(ctx, streams, pace, fn); err != nil {
			return err
		}
	}
}

// reviewServed tells the peer when the served list changed. The stream of a bucket
// that is no longer served only rests: when it is served again before the peer has
// asked, the list is the one that the peer knows, and it waits for what comes next.
func (l *Local) reviewServed(announced *notice, fn func(*linkpb.ChangeBatch) error) error {
	if !l.news(announced) {
		return nil
	}
	return fn(&linkpb.ChangeBatch{ServedChanged: true, Clock: l.o.Clock().UnixNano()})
}

// drain sends what the logs hold, a batch of each bucket in turn, until all of
// them are at their end or the link's limit wants a pause. There is more when it took
// so long that something else may have to be said first.
func (l *Local) drain(ctx context.Context, streams []*changeStream, pace *recordPace, fn func(*linkpb.ChangeBatch) error) (more bool, err error) {
	if l.o.Settings().Paused {
		return false, nil
	}
	for began := l.o.Clock(); ; {
		more = false
		for _, s := range streams {
			if s.over || s.heads || l.idle(s) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return false, err
			}
			if !pace.may() {
				return false, nil
			}
			batch, again, err := l.next(s)
			if err != nil {
				return false, err
			}
			more = more || again
			if batch == nil {
				continue
			}
			pace.sent(proto.Size(batch))
			if err := fn(batch); err != nil {
				return false, err
			}
		}
		if !more || l.o.Clock().Sub(began) >= drainAtOnce {
			return more, nil
		}
	}
}

// otherTerms says that a peer asks for another part of a bucket than is let out.
const otherTerms = "what is served of the bucket was changed at the sender"

// idle reports whether a bucket stands where it was looked at last. Of many
// buckets most are, whenever one of them is written to.
func (l *Local) idle(s *changeStream) bool {
	at, ok := l.o.Catalog.Position(s.path)
	return ok && s.looked && at.Seq == s.read && at.Epoch == s.epoch && bytes.Equal(at.Incarnation, s.incarnation)
}

// next makes the next batch of one bucket; nil when there is nothing to tell.
// more says that the log has not been read to its end.
func (l *Local) next(s *changeStream) (batch *linkpb.ChangeBatch, more bool, err error) {
	reset := func(why string) (*linkpb.ChangeBatch, bool, error) {
		s.over = true
		return &linkpb.ChangeBatch{Path: s.path, Reset_: why, Clock: l.o.Clock().UnixNano()}, false, nil
	}
	if !l.lets(s.path) {
		return nil, false, nil
	}
	filter := l.o.Terms(s.path).Filter
	if filter.scope() != s.scope {
		// What the peer was told to be left out, and what is, must be the same: it
		// takes whatever the stream passes over as not meant for it.
		return reset(otherTerms)
	}
	page, err := l.o.Catalog.Log(s.path, s.read, batchRecords)
	switch {
	case errors.Is(err, catalog.ErrNoBucket):
		return reset("the bucket does not exist at the sender")
	case errors.Is(err, catalog.ErrTrimmed):
		return reset(fmt.Sprintf("the sender's log is trimmed beyond %d", s.read))
	case errors.Is(err, catalog.ErrAhead):
		return reset(fmt.Sprintf("the sender's log ends before %d", s.read))
	case err != nil:
		return nil, false, l.readFailed("read the log of", s.path, err)
	case page.Epoch != s.epoch:
		return reset(fmt.Sprintf("the sender is in epoch %d, the cursor in %d", page.Epoch, s.epoch))
	case !bytes.Equal(page.Incarnation, s.incarnation):
		return reset("the bucket was made anew at the sender")
	}
	s.looked = true
	if page.To < page.From {
		return nil, false, nil // nothing new
	}
	out := &linkpb.ChangeBatch{Path: s.path, From: s.after + 1, To: page.To}
	peerSeen := l.peerSeen(s)
	var size int
	most := piece(l.o.Limit.Rate(), leastBatch, batchBytes)
	var skipped uint64
	for i, item := range page.Entries {
		if item.Record == nil {
			continue // superseded: its successor has an entry further on
		}
		if !filter.admits(item.Record) || !offers(item, l.o.Peer, peerSeen) {
			skipped++
			continue
		}
		n := proto.Size(item.Record)
		if size+n > most && len(out.Changes) > 0 {
			// The rest is read again for the next batch.
			out.To = page.Entries[i-1].Seq
			page.AtEnd, more = false, true
			break
		}
		size += n
		out.Changes = append(out.Changes, &linkpb.Change{Seq: item.Seq, Committed: item.Entry.GetCommitted(), Record: item.Record})
	}
	s.read = out.To
	more = more || !page.AtEnd
	l.count.skipped.Add(skipped)
	if len(out.Changes) == 0 && !page.AtEnd && s.read-s.after < skipRun {
		return nil, more, nil
	}
	s.after = out.To
	if page.AtEnd {
		out.Seen = page.Seen
	}
	out.Clock = l.o.Clock().UnixNano()
	l.count.offered.Add(uint64(len(out.Changes)))
	for _, c := range out.Changes {
		l.count.logical.Add(c.GetRecord().GetRoot().GetSize())
	}
	return out, more, nil
}

// offers reports whether a log entry goes to a peer. Besides what catalog.Offer
// says, a deletion or a purge is always offered: a peer may say that it has seen one that
// it never had, because it scanned a third site that had dropped it already, and
// keep a version alive that the deletion has beaten. It costs a record, once.
//
// A setting of the bucket is always offered too, even to the site that it came from:
// a bucket that was deleted and made again there has lost it.
func offers(item catalog.LogItem, peer state.SiteID, peerSeen *catalogpb.Vector) bool {
	if item.Record.GetKind() == catalogpb.RecordKind_RECORD_BUCKET {
		return true
	}
	if catalog.Deletes(item.Record) {
		peerSeen = nil
	}
	return catalog.Offer(item.Entry, peer, peerSeen)
}

// peerSeen is the best that is known of the peer's vector: what it asked with, and what
// it has reported since.
func (l *Local) peerSeen(s *changeStream) *catalogpb.Vector {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.peers[s.path]; p != nil && p.progress != nil && p.progress != s.before {
		s.seen = catalog.MergeVector(s.seen, p.progress.GetSeen())
	}
	return s.seen
}

// heartbeat tells where the buckets stand of which something is left to be sent,
// and at last that this is all: of the others there is nothing left.
func (l *Local) heartbeat(streams []*changeStream, fn func(*linkpb.ChangeBatch) error) error {
	batch, look := &linkpb.ChangeBatch{}, lookAt(len(streams))
	for _, s := range streams {
		if s.over || !l.lets(s.path) {
			continue
		}
		at, ok := l.o.Catalog.Position(s.path)
		if !ok || at.Seq <= s.after {
			continue // the next look at its log says more, if there is more to be said
		}
		batch.Heads = append(batch.Heads, &linkpb.BucketHead{
			Path:    s.path,
			Seq:     at.Seq,
			Backlog: at.Seq - s.after,
		})
		l.addBacklog(batch.Heads[len(batch.Heads)-1], look)
		if len(batch.Heads) == headsBatch {
			batch.Clock = l.o.Clock().UnixNano()
			if err := fn(batch); err != nil {
				return err
			}
			batch = &linkpb.ChangeBatch{}
		}
	}
	batch.Clock, batch.Beat, batch.Rate = l.o.Clock().UnixNano(), true, l.o.Limit.Own()
	return fn(batch)
}

// addBacklog adds what the peer lacks of a bucket: about how many logical bytes, and
// since when.
func (l *Local) addBacklog(h *linkpb.BucketHead, look int) {
	if b, err := l.o.Catalog.Behind(h.GetPath(), l.o.Peer, look); err == nil {
		h.BacklogBytes, h.Oldest = b.Bytes, b.Oldest
	}
}
