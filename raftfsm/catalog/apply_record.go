package catalog

import (
	"bytes"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// keyTxn is a key of a bucket as the batch has it so far. What it holds is
// changed by change and by the functions for registers and attributes; save
// writes the key's row at the end of a command.
type keyTxn struct {
	key   []byte
	meta  keyMeta
	head  *pb.Record   // the greatest that is visible, or the deletion of all of them
	nulls []*pb.Record // of the null version, greatest first

	// What the key's row says so far.
	saved struct {
		exists bool
		meta   keyMeta
		head   *pb.Record
	}
}

// null is the record that counts of the null version.
func (k *keyTxn) null() *pb.Record {
	if len(k.nulls) == 0 {
		return nil
	}
	return k.nulls[0]
}

// prior is the greatest record that a new one of the key must beat.
func (k *keyTxn) prior() *pb.Record {
	if n := k.null(); n != nil && (k.head == nil || Compare(n, k.head) > 0) {
		return n
	}
	return k.head
}

// loadKey reads a key's row and its null version. A failure is kept by the batch.
func (b *Batch) loadKey(t *bucketTxn, key []byte) *keyTxn {
	k := &keyTxn{key: key}
	number := t.state.GetNumber()
	var err error
	if k.meta, k.head, k.saved.exists, err = readHead(b.rows, number, key); err == nil {
		k.nulls, err = readNulls(b.rows, number, key, k.meta, k.head)
	}
	if err != nil {
		b.fail(err)
	}
	k.saved.meta, k.saved.head = k.meta, k.head
	return k
}

// restored reports whether the site was restored from a backup, in the epoch since,
// after the bucket's sequence moved last: what it has is older than what others may
// have had from it.
func restored(s *pb.BucketState, since uint32) bool {
	return s.GetEpoch() > 0 && s.GetEpoch() < since
}

// advanceEpoch notes the site's epoch before the bucket's sequence moves. The
// sequence of a former epoch ends where it stood: dots of that epoch above it
// may exist elsewhere, written before this site lost them.
//
// Where the site was restored, the cursors of the former epoch demand a scan from now
// on: records that this site had passed on are not offered to it again in a log, so
// only a scan gives back what was lost. Otherwise the log goes on.
func (b *Batch) advanceEpoch(t *bucketTxn) {
	s := t.state
	if b.c.epoch <= s.GetEpoch() {
		return
	}
	if s.GetEpoch() > 0 && s.GetSeq() > 0 {
		s.Seen = MergeVector(s.GetSeen(), &pb.Vector{Upto: []*pb.Dot{
			{Origin: b.c.self.Bytes(), Epoch: s.GetEpoch(), Seq: s.GetSeq()}}})
		t.capped = true
	}
	if restored(s, b.c.since) {
		b.unfinishCursors(t)
	}
	s.Runs = runs(s, b.c.epoch, b.c.since)
	s.Epoch = b.c.epoch
	t.dirty = true
}

// inLog reports whether a peer's cursor stands at a place in a bucket's log as it is
// now.
func inLog(s *pb.BucketState, epoch, since uint32, at *pb.Cursor) bool {
	return bytes.Equal(at.GetIncarnation(), s.GetIncarnation()) &&
		Place(runs(s, epoch, since), epoch, s.GetSeq(), at.GetEpoch(), at.GetSeq()) == Within
}

// unfinished is a cursor that stands where it stood but demands a scan.
func unfinished(c *pb.Cursor) *pb.Cursor {
	c = proto.CloneOf(c)
	c.InitialDone, c.Scan, c.Part = false, nil, ""
	return c
}

// unfinishCursors makes all of this site's cursors in the bucket demand a scan.
func (b *Batch) unfinishCursors(t *bucketTxn) {
	var cursors []*pb.Cursor
	lower, upper := bounds(rowCursor, t.state.GetNumber())
	err := scan(b.rows, lower, upper, func(_, value []byte) (bool, error) {
		c := new(pb.Cursor)
		cursors = append(cursors, c)
		return true, proto.Unmarshal(value, c)
	})
	if err != nil {
		b.fail(err)
		return
	}
	for _, c := range cursors {
		next := unfinished(c)
		t.sum.sub(b.hashes.cursor(c.GetSite(), c))
		t.sum.add(b.hashes.cursor(c.GetSite(), next))
		b.put(append(below(nil, rowCursor, t.state.GetNumber()), c.GetSite()...), next)
	}
}

// appendLog gives a record the next sequence of the bucket's log. The record's
// dot then leads to that sequence.
func (b *Batch) appendLog(t *bucketTxn, rec *pb.Record, via []byte, now int64, again bool) {
	number := t.state.GetNumber()
	t.state.Seq++
	t.dirty = true
	e := &pb.LogEntry{
		Key: rec.GetKey(), Dot: rec.GetDot(), Generation: rec.GetGeneration(), Time: rec.GetTime(),
		Committed: now, Via: via, Size: rec.GetRoot().GetSize(), Again: again, Kind: rec.GetKind(), Target: rec.GetTarget(),
	}
	b.key = logKey(b.key[:0], number, t.state.Seq)
	b.put(b.key, e)
	t.sum.add(b.hashes.entry(t.state.Seq, e))
	b.key = dotKey(b.key[:0], number, rec.GetDot())
	b.value = appendDotRow(b.value[:0], t.state.Seq, rec)
	b.set(b.key, b.value)
}

// sameDot reports whether a record has the dot.
func sameDot(r *pb.Record, d *pb.Dot) bool {
	return r.GetDot().GetSeq() == d.GetSeq() && r.GetDot().GetEpoch() == d.GetEpoch() &&
		bytes.Equal(r.GetDot().GetOrigin(), d.GetOrigin())
}
