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

// Trim drops the oldest entries of a bucket's log, in their order, and what has
// done its work when its last entry goes: a deletion that is not listed, with what
// history its key has, a purge, and an attribute whose version is not coming; now
// is the entry's time, Unix nanoseconds. It stops at the first entry that is not
// old enough, or that somebody needs and the horizon has not passed. Needed is
//
//   - what is above the cursor of a peer that has told its progress,
//   - what such a peer has in its own pending table,
//   - a deletion or a purge, while this site's own copy from some peer is not
//     complete,
//   - a deletion or a purge of versions that this site cannot yet tell others it
//     has seen: dropped, it would be as if they had never been deleted.
//
// What is of the last kind is not dropped even past the horizon; it moves to the
// end of the log, where it is announced again. So does what waits for its version:
// an attribute that came first, or the revocation of a purge that was carried out
// here. The revocation of a purge stays as long as its version. The result counts
// the entries dropped.
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
	var last []*pb.Record // whose last entries go
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
		if r := b.closing(t, seq, e); r != nil {
			if !past && deletes(r) && (need.tombstones || !need.told(r)) {
				return false, nil
			}
			last = append(last, r)
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
	for _, r := range last {
		if b.forget(t, need, r, now) {
			continue
		}
		b.advanceEpoch(t)
		b.appendLog(t, r, nil, now, true)
	}
	return b.result(&raftfsmpb.Result{Applied: dropped})
}

// deletes reports whether a record takes a version away without being listed.
func deletes(r *pb.Record) bool {
	return r.GetKind() == pb.RecordKind_RECORD_TOMBSTONE && !Visible(r) || r.GetKind() == pb.RecordKind_RECORD_PURGE && !r.GetRevoked()
}

// closing returns the record of a log entry if this is its last entry and it does
// not stay without one, as content does, a delete marker and a setting; nil
// otherwise.
func (b *Batch) closing(t *bucketTxn, seq uint64, e *pb.LogEntry) *pb.Record {
	switch e.GetKind() {
	case pb.RecordKind_RECORD_TOMBSTONE, pb.RecordKind_RECORD_PURGE, pb.RecordKind_RECORD_ATTRIBUTE:
	default:
		return nil
	}
	at, kept, err := readDot(b.rows, t.state.GetNumber(), e.GetDot())
	if err != nil {
		b.fail(err)
	}
	if !kept || at.seq != seq {
		return nil // not kept any more, or announced again
	}
	r, err := readRecord(b.rows, t.state.GetNumber(), e.GetDot(), at)
	if err != nil {
		b.fail(err)
	}
	if r == nil || Visible(r) {
		return nil
	}
	return r
}

// forget drops a record that has lost its last log entry, if it has done its work,
// or leaves it if it has to stay as long as something else; false says that it must
// have another entry.
func (b *Batch) forget(t *bucketTxn, need *needed, r *pb.Record, now int64) bool {
	k := b.loadKey(t, r.GetKey())
	var waits bool // for its version
	if r.GetKind() == pb.RecordKind_RECORD_ATTRIBUTE || r.GetRevoked() {
		kept, err := keptVersion(b.rows, t.state.GetNumber(), k, r.GetTarget())
		if err != nil {
			b.fail(err)
		}
		if kept {
			return true
		}
		waits = r.GetRevoked() || b.register(t, k, r.GetTarget()) != nil
	}
	switch {
	case waits:
		return false
	case r.GetKind() == pb.RecordKind_RECORD_ATTRIBUTE:
		if !Covers(need.seen, r.GetTarget()) {
			return false
		}
		b.dropAttributes(t, k, r.GetTarget())
	case !need.told(r):
		return false
	case register(r):
		b.setRegister(t, k, r.GetTarget(), nil)
	case k.null() == nil || !sameDot(k.null(), r.GetDot()):
		return true
	default:
		for _, hidden := range k.nulls[1:] {
			if b.lock(t, k, hidden).Forbids(now, false) != "" {
				return false // it would come to light
			}
		}
		b.change(t, k, keyChange{})
	}
	b.save(t, k)
	return true
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
// which a deletion or a purge removes, and it itself, were seen here.
func (n *needed) told(r *pb.Record) bool {
	if register(r) {
		return Covers(n.seen, r.GetTarget()) && Covers(n.seen, r.GetDot())
	}
	for _, d := range r.GetContext() {
		if !Covers(n.seen, d) {
			return false
		}
	}
	return Covers(n.seen, r.GetDot())
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
		if !inLog(t.state, b.c.epoch, b.c.since, p.GetCursor()) {
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
