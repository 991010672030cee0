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
// tombstones whose last entry goes, with what history their keys have. It stops
// at the first entry that is not old enough, or that somebody needs and the
// horizon has not passed. Needed is
//
//   - what is above the cursor of a peer that has told its progress,
//   - what such a peer has in its own pending table,
//   - a tombstone, while this site's own copy from some peer is not complete: the
//     seen vector does not cover yet what the tombstone keeps away.
//
// The result counts the entries dropped.
func (b *Batch) Trim(cmd *pb.Trim) *raftfsmpb.Result {
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
	var drop []*pb.LogEntry
	first := t.state.GetTrimmed() + 1
	number := t.state.GetNumber()
	err = scan(b.rows, logKey(nil, number, first), logKey(nil, number, t.state.GetSeq()+1), func(key, value []byte) (bool, error) {
		e := new(pb.LogEntry)
		if err := proto.Unmarshal(value, e); err != nil {
			return false, err
		}
		seq := binary.BigEndian.Uint64(key[prefixLen:])
		switch {
		case len(drop) == limit:
			return false, nil
		case e.GetCommitted() < cmd.GetHorizon():
		case e.GetCommitted() >= cmd.GetBefore() || need.entry(seq, e):
			return false, nil
		}
		drop = append(drop, e)
		return true, nil
	})
	if err != nil {
		return b.fail(err)
	}
	if len(drop) == 0 {
		return ok()
	}
	for i, e := range drop {
		seq := first + uint64(i)
		t.sum.sub(b.hashes.entry(seq, e))
		if e.GetKind() == pb.RecordKind_RECORD_TOMBSTONE {
			b.dropTombstone(t, seq, e)
		}
	}
	t.state.Trimmed += uint64(len(drop))
	b.deleteRange(logKey(nil, number, first), logKey(nil, number, t.state.GetTrimmed()+1))
	t.dirty = true
	return b.result(&raftfsmpb.Result{Applied: uint64(len(drop))})
}

// dropTombstone forgets a key whose head is the tombstone of a log entry, unless
// the tombstone has a later entry.
func (b *Batch) dropTombstone(t *bucketTxn, seq uint64, e *pb.LogEntry) {
	last, _, err := readDot(b.rows, t.state.GetNumber(), e.GetDot())
	if err != nil {
		b.fail(err)
		return
	}
	if last != seq {
		return // not kept any more, or announced again
	}
	if k := b.loadKey(t, e.GetKey()); k.head() != nil && sameDot(k.head(), e.GetDot()) {
		b.storeKey(t, k, nil)
	}
}

// needed says what of a log somebody needs.
type needed struct {
	above      uint64             // entries above this sequence
	dots       map[dotID]struct{} // entries of these records
	tombstones bool
}

func (n *needed) entry(seq uint64, e *pb.LogEntry) bool {
	if seq > n.above || n.tombstones && e.GetKind() == pb.RecordKind_RECORD_TOMBSTONE {
		return true
	}
	_, held := n.dots[idOf(e.GetDot())]
	return held
}

// needs gathers what the peers and this site's own cursors need. A peer whose
// cursor is of another history must scan in any case and needs no log.
func (b *Batch) needs(t *bucketTxn) (*needed, error) {
	n := &needed{above: math.MaxUint64, dots: make(map[dotID]struct{})}
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
		n.tombstones = n.tombstones || !c.GetInitialDone() || c.GetScan() != nil
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
