package objsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// maxHolds bounds the pending records that a peer names in one bucket. What is
// beyond is not pinned: a request for it may be answered with gone.
const maxHolds = 1000

// maxCause bounds words about a version or a bucket, in bytes.
const maxCause = 500

// Progress implements link.Source. What the peer tells is remembered at once and
// committed at most every LocalOptions.ProgressEvery for a bucket; the first
// word about a bucket is committed at once, because it pins the log.
func (l *Local) Progress(ctx context.Context, p *linkpb.Progress) (*linkpb.ProgressReply, error) {
	l.touch()
	l.o.Limit.SetPeer(p.GetRate())
	now := l.o.Clock()
	if p.GetIntact() && l.o.Intact != nil {
		l.o.Intact()
	}
	if p.GetSettings() != nil {
		l.mu.Lock()
		l.peerSet = settingsOf(p.GetSettings())
		l.mu.Unlock()
	}
	for _, bp := range p.GetBuckets() {
		if !l.lets(bp.GetPath()) {
			continue // it was unserved while the report was under way
		}
		if why := bp.GetDeclined(); why != "" || bp.GetCursor() == nil {
			l.decline(bp.GetPath(), why)
			continue
		}
		if err := catalog.CheckVector(bp.GetSeen()); err != nil {
			return nil, link.Refuse(link.CodeInvalid, "progress in bucket %s: %v", bp.GetPath(), err)
		}
		st, err := l.o.Catalog.Bucket(bp.GetPath())
		if err != nil || !bytes.Equal(bp.GetCursor().GetIncarnation(), st.GetIncarnation()) {
			continue // about another life of the bucket: it says nothing of this log
		}
		mine := extent{epoch: l.o.Epoch(), last: st.GetSeq(), runs: l.o.Catalog.Runs(st)}
		at := mine.place(bp.GetCursor().GetEpoch(), bp.GetCursor().GetSeq())
		if at == catalog.Former {
			continue // neither does a place from before this site was restored
		}
		if at == catalog.Beyond || mine.outlived(bp.GetSeen(), l.o.ID) {
			l.mu.Lock()
			l.forgot, l.forgotIn = bp.GetPath(), l.o.Catalog.Since()
			l.mu.Unlock()
		}
		if at == catalog.Within {
			l.remember(bp, now)
		}
	}
	if err := l.commit(ctx, now, false); err != nil {
		l.o.Logger.Warn("link: the peer's progress could not be committed", "error", err)
	}
	return &linkpb.ProgressReply{Clock: now.UnixNano()}, nil
}

// decline notes that the peer does not take a bucket, or, without a reason, that it
// takes it again.
func (l *Local) decline(path, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	pb := l.peers[path]
	if pb == nil {
		pb = &peerBucket{}
		l.peers[path] = pb
	}
	pb.declined = clip(why)
}

// remember keeps the peer's word about one bucket. Nothing of bp is kept.
func (l *Local) remember(bp *linkpb.BucketProgress, now time.Time) {
	holds := bp.GetHolds()
	if len(holds) > maxHolds {
		holds = holds[:maxHolds]
	}
	kept := make([]*catalogpb.Dot, 0, len(holds))
	for _, d := range holds {
		if catalog.CheckDot(d) == nil {
			kept = append(kept, proto.CloneOf(d))
		}
	}
	cursor := toldCursor(bp.GetCursor())
	cursor.Site = l.o.ID.Bytes()
	l.mu.Lock()
	defer l.mu.Unlock()
	pb := l.peers[bp.GetPath()]
	if pb == nil {
		pb = &peerBucket{}
		l.peers[bp.GetPath()] = pb
	}
	pb.progress = &catalogpb.PeerProgress{
		Bucket: bp.GetPath(),
		Peer:   l.o.Peer.Bytes(),
		Cursor: cursor,
		Seen:   catalog.MergeVector(nil, proto.CloneOf(bp.GetSeen())),
		Holds:  kept,
		Time:   now.UnixNano(),
	}
	pb.pending, pb.declined, pb.copied = bp.GetPending(), "", bp.GetCopied()
	pb.cause = clip(bp.GetCause())
}

// forgetOthers forgets what the peer told of buckets that are not let out any more. What is
// known of one that will be again is in the catalog. It is called with mu held.
func (l *Local) forgetOthers(served *servedSet) {
	maps.DeleteFunc(l.peers, func(path string, _ *peerBucket) bool {
		_, lets := served.has[path]
		return !lets
	})
}

// toldCursor is what matters here of a peer's cursor. The rest is the peer's own, and
// of any size.
func toldCursor(c *catalogpb.Cursor) *catalogpb.Cursor {
	out := &catalogpb.Cursor{Epoch: c.GetEpoch(), Incarnation: bytes.Clone(c.GetIncarnation()), Seq: c.GetSeq(), InitialDone: c.GetInitialDone()}
	if c.GetPart() != "" {
		out.Part = "part"
	}
	if c.GetScan() != nil {
		out.Scan = &catalogpb.Scan{FirstSeq: c.GetScan().GetFirstSeq(), KeysDone: c.GetScan().GetKeysDone()}
	}
	return out
}

// Flush commits what the peer told of its progress, without waiting for
// LocalOptions.ProgressEvery. It is called before a Local is dropped, and when
// somebody waits for the link to be in sync.
func (l *Local) Flush(ctx context.Context) error { return l.commit(ctx, l.o.Clock(), true) }

// commit proposes what is due: everything that changed when all is set.
func (l *Local) commit(ctx context.Context, now time.Time, all bool) error {
	l.mu.Lock()
	var due []*catalogpb.PeerProgress
	for _, pb := range l.peers {
		if pb.progress == nil || sameProgress(pb.progress, pb.committed) {
			continue
		}
		if all || pb.committed == nil || now.Sub(pb.when) >= l.o.ProgressEvery {
			// Claimed before it is proposed, so that two reports at one moment do
			// not commit the same.
			due = append(due, pb.progress)
			pb.committed, pb.when = pb.progress, now
		}
	}
	l.mu.Unlock()
	slices.SortFunc(due, func(a, b *catalogpb.PeerProgress) int {
		return bytes.Compare([]byte(a.GetBucket()), []byte(b.GetBucket()))
	})
	// At once, so that the proposer puts many into one raft entry.
	errs := make([]error, len(due))
	var g errgroup.Group
	g.SetLimit(64)
	for i, p := range due {
		g.Go(func() error {
			errs[i] = l.commitOne(ctx, p)
			return nil
		})
	}
	_ = g.Wait() // each error is in errs
	return errors.Join(errs...)
}

// commitOne proposes the peer's progress in one bucket.
func (l *Local) commitOne(ctx context.Context, p *catalogpb.PeerProgress) error {
	res, err := l.o.Propose(ctx, &raftfsmpb.Command{Command: &raftfsmpb.Command_Progress{Progress: p}})
	if err == nil && res.GetCode() != raftfsmpb.Code_OK {
		err = errors.New(res.GetMessage())
	}
	if err == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if pb := l.peers[p.GetBucket()]; pb != nil && pb.committed == p {
		pb.committed = nil
	}
	return fmt.Errorf("commit progress of peer in bucket %s: %w", p.GetBucket(), err)
}

// sameProgress compares what is committed, not when it was told.
func sameProgress(a, b *catalogpb.PeerProgress) bool {
	if a == b {
		return true
	}
	return a != nil && b != nil && proto.Equal(a.GetCursor(), b.GetCursor()) && proto.Equal(a.GetSeen(), b.GetSeen()) &&
		slices.EqualFunc(a.GetHolds(), b.GetHolds(), func(x, y *catalogpb.Dot) bool { return catalog.CompareDots(x, y) == 0 })
}
