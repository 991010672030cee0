package catalog

import (
	"bytes"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// This file decides when a bucket is to be compared with a peer once more, because
// other peers may have brought what a scan of this one says was dropped.

// rechecks reports whether the bucket is to be compared with the peer once more when
// the cursor stands at next, and what that may depend on later.
//
// A scan infers deletions page by page, and other peers may bring what a page says was
// dropped after it was read: until its vector is merged, with its end, nothing speaks
// against that. From then on it is taken no more, so one more comparison finds all of
// it, but for what is pending from others at that moment, which the vector does not
// count for. Whenever one of those is applied another comparison follows.
func (in *ingest) rechecks(stored, next *pb.Cursor) (recheck bool, awaited *pb.Vector) {
	recheck, awaited = stored.GetRecheck(), stored.GetAwaited()
	switch {
	case next.GetScan() != nil && stored.GetScan() == nil:
		// It begins anew, and finds what was applied before.
		return false, in.pendingElsewhere(awaited)
	case next.GetScan() == nil && stored.GetScan().GetUntold() && complete(next):
		recheck = recheck || in.othersBring()
		awaited = MergeVector(awaited, in.pendingElsewhere(in.cmd.GetSeen()))
	}
	if len(awaited.GetUpto()) == 0 {
		awaited = nil
	}
	return recheck, awaited
}

// othersBring reports whether the bucket is copied from other peers too.
func (in *ingest) othersBring() (found bool) {
	in.cursors(func(state.SiteID, *pb.Cursor) { found = true })
	return found
}

// came notes that a record was applied although it is covered, because it was pending:
// the peers whose scans spoke against it are to be compared with.
func (in *ingest) came(d *pb.Dot) {
	in.cursors(func(peer state.SiteID, c *pb.Cursor) {
		if !c.GetRecheck() && Covers(c.GetAwaited(), d) {
			marked := proto.CloneOf(c)
			marked.Recheck = true
			in.putCursor(peer, c, marked)
		}
	})
}

// cursors calls fn with the cursor of each other peer in the bucket.
func (in *ingest) cursors(fn func(peer state.SiteID, c *pb.Cursor)) {
	type at struct {
		peer   state.SiteID
		cursor *pb.Cursor
	}
	var all []at // rows are not changed while they are read
	lower, upper := bounds(rowCursor, in.t.state.GetNumber())
	err := scan(in.rows, lower, upper, func(key, value []byte) (bool, error) {
		peer, err := state.SiteIDFromBytes(key[prefixLen:])
		if err != nil || peer == in.peer {
			return true, err
		}
		c := new(pb.Cursor)
		all = append(all, at{peer, c})
		return true, proto.Unmarshal(value, c)
	})
	if err != nil {
		in.fail(err)
		return
	}
	for _, a := range all {
		fn(a.peer, a.cursor)
	}
}

// pendingElsewhere returns, of each origin, the last of the records that a vector
// covers and that are pending from other peers; nil when there is none.
func (in *ingest) pendingElsewhere(covering *pb.Vector) (last *pb.Vector) {
	if len(covering.GetUpto()) == 0 {
		return nil
	}
	covering = MergeVector(nil, covering) // ordered
	lower, upper := bounds(rowPending, in.t.state.GetNumber())
	err := scan(in.rows, lower, upper, func(key, _ []byte) (bool, error) {
		key = key[prefixLen:]
		d, err := parseDot(key[16:])
		if err == nil && !bytes.Equal(key[:16], in.via) && Covers(covering, d.dot()) {
			last = MergeVector(last, &pb.Vector{Upto: []*pb.Dot{d.dot()}})
		}
		return true, err
	})
	if err != nil {
		in.fail(err)
	}
	return last
}

// putCursor stores the cursor of a peer instead of one that may be nil.
func (in *ingest) putCursor(peer state.SiteID, was, c *pb.Cursor) {
	site := peer.Bytes()
	if was != nil {
		in.t.sum.sub(in.hashes.cursor(site, was))
	}
	in.put(cursorKey(nil, in.t.state.GetNumber(), peer), c)
	in.t.sum.add(in.hashes.cursor(site, c))
	in.t.dirty = true
}
