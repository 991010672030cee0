package objsync

import (
	"time"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// Status returns where the sending direction stands. Its cost is bounded for
// each bucket served.
func (l *Local) Status() SendStatus {
	now := l.o.Clock()
	out := SendStatus{Peer: l.o.Peer, InSync: true, Off: l.flow(false).off}
	out.Lag.Known = true
	var oldest time.Duration // age of OldestKey
	served := l.served()
	for _, path := range served {
		b := l.bucketStatus(path, now, lookAt(len(served)))
		if out.Off != "" {
			b.Declined = out.Off
		}
		if b.Declined != "" {
			b = SendBucketStatus{Path: path, Exists: b.Exists, Seq: b.Seq, Declined: b.Declined, Lag: Lag{Known: true}}
		}
		out.Buckets = append(out.Buckets, b)
		if !b.Exists || b.Declined != "" {
			continue
		}
		out.BacklogVersions += b.BacklogVersions
		out.BacklogBytes += b.BacklogBytes
		out.Estimated = out.Estimated || b.Estimated
		if b.OldestKey != "" && (out.OldestKey == "" || b.Lag.Age > oldest) {
			out.OldestBucket, out.OldestKey, oldest = path, b.OldestKey, b.Lag.Age
		}
		out.Lag = worse(out.Lag, b.Lag)
		if b.BacklogVersions > 0 || b.Pending > 0 || !b.Lag.Known {
			out.InSync = false
		}
	}
	if !out.InSync {
		out.Held = heldBy(l.o.Limit, l.o.Holding)
	}
	out.Counters = SendCounters{
		Offered:   l.count.offered.Load(),
		Skipped:   l.count.skipped.Load(),
		Scanned:   l.count.scanned.Load(),
		Logical:   l.count.logical.Load(),
		Manifests: l.count.manifests.Load(),
		Chunks:    l.count.chunks.Load(),
		Bytes:     l.count.bytes.Load(),
		Gone:      l.count.gone.Load(),
		Refused:   l.count.refused.Load(),
		ReadError: l.count.readError.Load(),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	out.Streams = l.streams
	out.LastHeard = l.heard
	if l.forgot != "" && l.forgotIn == l.o.Catalog.Since() {
		out.Forgot, out.InSync = l.forgot, false
	}
	l.rates.update(now, float64(out.Counters.Offered+out.Counters.Scanned), 0, float64(out.Counters.Bytes))
	out.Rates = l.rates.rates()
	return out
}

// logicalBytes is how much content records have.
func logicalBytes(records []*catalogpb.Record) (sum uint64) {
	for _, r := range records {
		sum += r.GetRoot().GetSize()
	}
	return sum
}

// flow is what the settings of both sides let out or, receiving, in.
func (l *Local) flow(receiving bool) flow {
	l.mu.Lock()
	defer l.mu.Unlock()
	return flowOf(l.o.Settings(), l.peerSet, receiving, l.o.peerName())
}

// lookAt is how many log entries the backlog of a bucket is counted from, if it is one of
// so many: what a link's status costs, which is asked for each second, grows little with
// the buckets that are behind. What there is beyond is estimated from these.
func lookAt(buckets int) int {
	const all, least = 64 << 10, 64
	return max(least, all/max(1, buckets))
}

func (l *Local) bucketStatus(path string, now time.Time, look int) SendBucketStatus {
	out := SendBucketStatus{Path: path}
	st, err := l.o.Catalog.Bucket(path)
	if err != nil {
		return out
	}
	out.Exists, out.Seq = true, st.GetSeq()
	progress := l.lastWord(path, &out)
	if progress == nil {
		// The peer told nothing yet: it lacks, for all that is known, everything.
		out.Lag = Lag{Since: time.Unix(0, st.GetCreated())}
		out.BacklogVersions, out.BacklogBytes = st.GetObjects(), st.GetBytes()
		return out
	}
	out.Started = true
	out.Cursor = progress.GetCursor().GetSeq()
	out.Scanning = !progress.GetCursor().GetInitialDone() && progress.GetCursor().GetPart() == ""
	if out.Copied {
		out.Lag = Lag{Known: true}
		return out
	}
	behind, err := l.o.Catalog.BehindFrom(path, l.o.Peer, progress, look)
	if err != nil {
		out.Lag = Lag{Since: time.Unix(0, progress.GetTime())}
		return out
	}
	out.BacklogVersions, out.BacklogBytes = behind.Entries, behind.Bytes
	out.Estimated, out.OldestKey = behind.Estimated, string(behind.OldestKey)
	out.Pending = max(out.Pending, uint64(len(progress.GetHolds())))
	switch {
	case behind.Scan:
		out.Scanning = true
		out.Lag = Lag{Since: time.Unix(0, progress.GetTime())}
	case behind.Entries == 0:
		out.Lag = Lag{Known: true}
	default:
		out.Lag = Lag{Known: true, Age: max(0, now.Sub(time.Unix(0, behind.Oldest)))}
	}
	return out
}

// lastWord returns what the peer told last of a bucket: what is remembered, or
// what was committed before this process started.
func (l *Local) lastWord(path string, out *SendBucketStatus) *catalogpb.PeerProgress {
	l.mu.Lock()
	if pb := l.peers[path]; pb != nil && (pb.progress != nil || pb.declined != "") {
		out.Pending, out.Cause, out.Declined, out.Copied = pb.pending, pb.cause, pb.declined, pb.copied
		p := pb.progress
		l.mu.Unlock()
		return p
	}
	l.mu.Unlock()
	p, err := l.o.Catalog.Progress(path, l.o.Peer)
	if err != nil {
		return nil
	}
	return p
}

// worse is the lag of two parts together: not known when either is not, and
// otherwise the older.
func worse(a, b Lag) Lag {
	switch {
	case a.Known && b.Known:
		return Lag{Known: true, Age: max(a.Age, b.Age)}
	case !a.Known && !b.Known:
		if b.Since.Before(a.Since) {
			return b
		}
		return a
	case a.Known:
		return b
	}
	return a
}
