package catalog

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// maxTrim bounds the entries that one Trim drops.
const maxTrim = 10_000

// Trim drops the oldest entries of a bucket's log, in their order, and the
// tombstones whose last entry goes, with what history their keys have; now is the
// entry's time, Unix nanoseconds. It stops at the first entry that is not old
// enough, or that somebody needs and the horizon has not passed. Needed is
//
//   - what is above the cursor of a peer that has told its progress,
//   - what such a peer has in its own pending table,
//   - a tombstone, while this site's own copy from some peer is not complete,
//   - a tombstone of versions that this site cannot yet tell others it has seen:
//     dropped, it would be as if they had never been deleted.
//
// A tombstone of the last kind is not dropped even past the horizon; it moves to
// the end of the log, where it is announced again. The result counts the entries
// dropped.
func (b *Batch) Trim(cmd *pb.Trim, now int64) *raftfsmpb.Result {
	t, refused := b.live(cmd.GetBucket())
	if refused != nil {
		return refused
	}
	limit := int(cmd.GetLimit())
	if limit <= 0 || limit > maxTrim {
		limit = maxTrim
	}
	need, err := b.needs(t)
	if err != nil {
		return b.fail(err)
	}
	dropped := uint64(0)
	first := t.state.GetTrimmed() + 1
	number := t.state.GetNumber()
	var tombstones []*keyTxn
	err = scan(b.rows, logKey(nil, number, first), logKey(nil, number, t.state.GetSeq()+1), func(key, value []byte) (bool, error) {
		e := new(pb.LogEntry)
		if err := proto.Unmarshal(value, e); err != nil {
			return false, err
		}
		seq := binary.BigEndian.Uint64(key[prefixLen:])
		past := e.GetCommitted() < cmd.GetHorizon()
		if dropped == uint64(limit) || !past && (e.GetCommitted() >= cmd.GetBefore() || need.entry(seq, e)) {
			return false, nil
		}
		if k := b.tombstoneOf(t, seq, e); k != nil {
			if !past && (need.tombstones || !need.told(k.head())) {
				return false, nil
			}
			tombstones = append(tombstones, k)
		}
		t.sum.sub(b.hashes.entry(seq, e))
		dropped++
		return true, nil
	})
	if err != nil {
		return b.fail(err)
	}
	if dropped == 0 {
		return b.result(ok())
	}
	t.state.Trimmed += dropped
	t.dirty = true
	b.deleteRange(logKey(nil, number, first), logKey(nil, number, t.state.GetTrimmed()+1))
	for _, k := range tombstones {
		if need.told(k.head()) {
			b.storeKey(t, k, nil)
		} else {
			b.advanceEpoch(t)
			b.appendLog(t, k.head(), nil, now, true)
		}
	}
	return b.result(&raftfsmpb.Result{Applied: dropped})
}

// tombstoneOf returns the key that a log entry deleted, if it still is deleted and
// this is the last entry of its tombstone; nil otherwise.
func (b *Batch) tombstoneOf(t *bucketTxn, seq uint64, e *pb.LogEntry) *keyTxn {
	if e.GetKind() != pb.RecordKind_RECORD_TOMBSTONE {
		return nil
	}
	last, _, err := readDot(b.rows, t.state.GetNumber(), e.GetDot())
	if err != nil {
		b.fail(err)
		return nil
	}
	if last != seq {
		return nil // not kept any more, or announced again
	}
	return b.loadKey(t, e.GetKey())
}

// needed says what of a log somebody needs.
type needed struct {
	above      uint64             // entries above this sequence
	dots       map[dotID]struct{} // entries of these records
	tombstones bool               // all of them, below the horizon
	seen       *pb.Vector         // what this site tells others that it has seen
}

// entry reports whether a peer needs an entry.
func (n *needed) entry(seq uint64, e *pb.LogEntry) bool {
	if seq > n.above {
		return true
	}
	_, held := n.dots[idOf(e.GetDot())]
	return held
}

// told reports whether others can learn from this site's vector that the versions
// a tombstone deletes, and it itself, were seen here.
func (n *needed) told(tombstone *pb.Record) bool {
	for _, d := range tombstone.GetContext() {
		if !Covers(n.seen, d) {
			return false
		}
	}
	return Covers(n.seen, tombstone.GetDot())
}

// needs gathers what the peers and this site's own cursors need. A peer whose
// cursor is of another history must scan in any case and needs no log.
func (b *Batch) needs(t *bucketTxn) (*needed, error) {
	n := &needed{above: math.MaxUint64, dots: make(map[dotID]struct{}), tombstones: len(t.state.GetIncomplete()) > 0, seen: t.told(b.c.self)}
	lower, upper := bounds(rowProgress, t.state.GetNumber())
	err := scan(b.rows, lower, upper, func(_, value []byte) (bool, error) {
		p := new(pb.PeerProgress)
		if err := proto.Unmarshal(value, p); err != nil {
			return false, err
		}
		if !b.c.ownHistory(t.state, p.GetCursor()) {
			return true, nil
		}
		n.above = min(n.above, p.GetCursor().GetSeq())
		for _, d := range p.GetHolds() {
			n.dots[idOf(d)] = struct{}{}
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	lower, upper = bounds(rowCursor, t.state.GetNumber())
	err = scan(b.rows, lower, upper, func(_, value []byte) (bool, error) {
		c := new(pb.Cursor)
		if err := proto.Unmarshal(value, c); err != nil {
			return false, err
		}
		n.tombstones = n.tombstones || !complete(c)
		return true, nil
	})
	return n, err
}

// ownHistory reports whether a peer's cursor is one in this site's log of the
// bucket as it is now.
func (c *Catalog) ownHistory(s *pb.BucketState, cursor *pb.Cursor) bool {
	return cursor.GetEpoch() == c.epoch && string(cursor.GetIncarnation()) == string(s.GetIncarnation()) &&
		cursor.GetSeq() <= s.GetSeq()
}
