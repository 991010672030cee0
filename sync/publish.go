package objsync

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link"
)

const (
	publishEvery = 250 * time.Millisecond
	publishSoon  = 20 * time.Millisecond
	// publishEach is added for each bucket, so that thousands of them do not keep
	// a session busy with describing itself.
	publishEach = 100 * time.Microsecond
)

// publish makes a new Status when it is time.
func (s *session) publish(now time.Time) {
	since := now.Sub(s.published) - publishEach*time.Duration(len(s.buckets))
	if since < publishEvery && !(s.news && since >= publishSoon) {
		return
	}
	s.published, s.news = now, false
	st := s.status(now)
	e := s.e
	e.rates.update(now, float64(e.count.Versions), float64(e.count.VersionBytes), float64(e.count.Bytes))
	st.Rates = e.rates.rates()
	e.mu.Lock()
	defer e.mu.Unlock()
	st.Since = now
	if e.status.State == st.State {
		st.Since = e.status.Since
	}
	e.status = st
}

// status is where the session stands.
func (s *session) status(now time.Time) Status {
	st := Status{
		Connected:      true,
		ConnectedSince: s.opened,
		LastHeard:      s.heard,
		PeerName:       cmp.Or(s.peer.GetSiteName(), s.o.PeerName),
		Session:        s.name,
		Protocol:       min(s.peer.GetVersion(), link.Version),
		Lag:            Lag{Known: true},
		InFlight:       s.tr.inflight,
		Queued:         s.queued,
		Counters:       s.e.count,
		Delay:          s.e.delay,
	}
	f := facts{
		connected:  true,
		buckets:    s.served.both,
		lagTarget:  s.o.LagTarget(),
		idle:       now.Sub(s.moved),
		silent:     now.Sub(s.heard),
		mute:       s.stream.mute(now),
		peer:       st.PeerName,
		stallAfter: s.o.StallAfter,
		off:        s.flow.off,
		paused:     s.paused,
	}
	for _, b := range s.buckets {
		bs := s.bucketStatus(b, now)
		st.Buckets = append(st.Buckets, bs)
		st.BacklogVersions += bs.BacklogVersions
		st.BacklogBytes += bs.BacklogBytes
		st.Pending += bs.Pending
		st.Quarantined += bs.Quarantined
		switch bs.State {
		case StateWaiting:
			f.waiting++
			f.lost = f.lost || b.lost
			if b.unmade || b.aside != "" { // what it has there is not here
				st.Lag = worse(st.Lag, bs.Lag)
				f.stopped = cmp.Or(f.stopped, fmt.Sprintf("bucket %s: %s", b.path, b.waiting))
			}
			continue
		case StateScanning:
			f.scanning++
		case StateCopied:
			f.copied++
		}
		st.Lag = worse(st.Lag, bs.Lag)
		if stopped := s.stoppedBy(b); stopped != "" && f.stopped == "" {
			f.stopped = fmt.Sprintf("bucket %s: %s", b.path, stopped)
		}
		if b.aside == "" { // else nothing moves until it is asked for again
			f.work = f.work || !b.drained()
			f.moves = f.moves || !b.waits()
		}
		if f.blocker == "" {
			f.blocker = s.blocker(b)
		}
	}
	slices.SortFunc(st.Buckets, func(a, b BucketStatus) int { return cmp.Compare(a.Path, b.Path) })
	if f.mute >= quietAfter && st.Lag.Known {
		// What was written there since may be as old.
		st.Lag.Age = max(st.Lag.Age, f.mute)
	}
	if f.work || f.scanning > 0 {
		st.Held = heldBy(s.o.Limit, s.o.Holding)
	}
	f.quarantine, f.lag, f.held = st.Quarantined, st.Lag, st.Held
	if !s.served.known {
		st.State, st.Cause = StateConnecting, fmt.Sprintf("asking %s for its buckets", st.PeerName)
		st.Lag = Lag{Since: s.opened}
		return st
	}
	st.State, st.Cause, st.Next = judgeLink(f)
	return st
}

// bucketStatus is where one bucket stands.
func (s *session) bucketStatus(b *bucket, now time.Time) BucketStatus {
	out := BucketStatus{Path: b.path, SenderSeq: b.there.GetSeq()}
	if !b.live {
		out.State, out.Cause = StateWaiting, b.waiting
		if b.waiting == "" {
			out.State, out.Cause = StateConnecting, "being opened"
		}
		out.Lag = Lag{Since: s.opened}
		return out
	}
	out.Cause = s.stoppedBy(b)
	out.Cursor, out.SenderSeq = b.cursor.GetSeq(), b.head
	out.KeysDone, out.KeysTotal = b.cursor.GetScan().GetKeysDone(), b.there.GetObjects()
	var oldest time.Time // by the sender's clock
	older := func(t time.Time) {
		if oldest.IsZero() || t.Before(oldest) {
			oldest = t
		}
	}
	for _, v := range b.under {
		if v.phase == phaseDone || v.phase == phaseGone {
			continue
		}
		out.BacklogVersions++
		out.BacklogBytes += v.root.Size
		if v.committed != 0 {
			older(time.Unix(0, v.committed))
		}
	}
	for _, v := range b.pend {
		switch v.hold.GetReason() {
		case catalogpb.PendingReason_PENDING_SKIPPED:
			continue
		case catalogpb.PendingReason_PENDING_QUARANTINED:
			out.Quarantined++
		}
		out.Pending++
		out.BacklogVersions++
		out.BacklogBytes += v.root.Size
		if v.committed != 0 {
			older(time.Unix(0, v.committed))
		} else {
			older(time.Unix(0, v.hold.GetSince()).Add(s.skew))
		}
	}
	if follows := !b.want.once || b.watch; follows && b.head > b.streamed {
		out.BacklogVersions += b.head - b.streamed
		out.BacklogBytes += b.behindBytes
		switch {
		case !b.oldest.IsZero():
			older(b.oldest)
		case !b.caughtUp.IsZero():
			// What has not come yet was committed after the moment at which
			// nothing was left.
			older(b.caughtUp)
		}
	}
	switch {
	case b.scanning.on:
		out.State = StateScanning
		out.Lag = Lag{Since: b.scanning.since}
		if total, done := out.KeysTotal, out.KeysDone; total > done {
			out.BacklogVersions = max(out.BacklogVersions, total-done)
		}
		return out
	case b.want.once && !b.watch:
		out.State, out.Lag = StateCopied, Lag{Known: true}
		if !b.drained() {
			out.State = StateSyncing
		}
		return out
	case !b.heard, b.head > b.streamed && b.caughtUp.IsZero() && oldest.IsZero():
		out.State = StateSyncing
		if b.watch {
			out.State = StatePaused
		}
		out.Lag = Lag{Since: s.opened}
		return out
	}
	out.Lag = Lag{Known: true}
	if !oldest.IsZero() {
		out.Lag.Age = max(0, now.Add(s.skew).Sub(oldest))
	}
	switch {
	case b.watch:
		out.State = StatePaused
	case b.drained():
		out.State = StateInSync
	case out.Lag.Age > s.o.LagTarget():
		out.State = StateLagging
	default:
		out.State = StateSyncing
	}
	return out
}

// blocker says what the oldest work of a bucket waits for; "" when there is none.
func (s *session) blocker(b *bucket) string {
	v := b.log.oldest()
	if v == nil {
		v = b.scan.oldest()
	}
	if v == nil {
		v = b.oldestPending()
	}
	switch {
	case !b.live:
		return fmt.Sprintf("bucket %s: being opened, which waits for %s", b.path, s.o.PeerName)
	case v == nil && b.scanning.fetching:
		return fmt.Sprintf("bucket %s: waiting for keys of %s", b.path, s.o.PeerName)
	case v == nil && b.head > b.streamed:
		return fmt.Sprintf("bucket %s: waiting for changes of %s", b.path, s.o.PeerName)
	case v == nil:
		return ""
	case v.phase == phaseReady:
		return fmt.Sprintf("bucket %s: waiting for this site's log to commit", b.path)
	case s.tr.puts > 0 && s.tr.fetches == 0:
		return fmt.Sprintf("bucket %s: waiting for this site's disk to store key %q", b.path, v.rec.GetKey())
	}
	return fmt.Sprintf("bucket %s: fetching key %q", b.path, v.rec.GetKey())
}

// oldestPending returns the version in the pending table that came first, of those
// that are under way; nil when none is.
func (b *bucket) oldestPending() *version {
	var first *version
	for _, v := range b.pend {
		under := v.phase == phaseWaiting || v.phase == phaseActive || v.phase == phaseReady
		if under && v.hold.GetReason() == catalogpb.PendingReason_PENDING_TRANSFERRING && (first == nil || v.seq < first.seq) {
			first = v
		}
	}
	return first
}

// disconnected publishes that there is no session, and why.
func (e *Engine) disconnected(err error, s *session) {
	now := e.o.Clock()
	e.mu.Lock()
	defer e.mu.Unlock()
	st := e.status
	st.Buckets = slices.Clone(st.Buckets)
	for i := range st.Buckets {
		b := &st.Buckets[i]
		if b.State != StateWaiting {
			b.State = StateConnecting
		}
		b.Lag = unknownSince(b.Lag, now)
	}
	f := facts{trouble: err.Error(), local: errors.As(err, new(*localError))}
	var refused *link.Refused
	if errors.As(err, &refused) && refused.Code.Lasts() {
		f.refused, f.trouble = true, refused.Message
	}
	state, cause, next := judgeLink(f)
	if state != st.State {
		st.Since = now
	}
	st.State, st.Cause, st.Next = state, cause, next
	st.Connected, st.ConnectedSince, st.Session = false, time.Time{}, ""
	st.Lag = unknownSince(st.Lag, now)
	st.InFlight, st.Queued, st.Held = 0, 0, Hold{}
	st.Counters = e.count
	st.Delay = e.delay
	e.rates.update(now, float64(e.count.Versions), float64(e.count.VersionBytes), float64(e.count.Bytes))
	st.Rates = e.rates.rates()
	e.status = st
}

// unknownSince is a lag after the session ended.
func unknownSince(l Lag, now time.Time) Lag {
	if l.Known {
		return Lag{Since: now}
	}
	return l
}
