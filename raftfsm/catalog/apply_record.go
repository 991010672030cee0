package catalog

import (
	"bytes"
	"encoding/binary"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// keyTxn is a key of a bucket as the batch has it so far.
type keyTxn struct {
	key     []byte
	records []*pb.Record // greatest first
}

func (k *keyTxn) head() *pb.Record {
	if len(k.records) == 0 {
		return nil
	}
	return k.records[0]
}

// loadKey reads all records of a key. A failure is kept by the batch.
func (b *Batch) loadKey(t *bucketTxn, key []byte) *keyTxn {
	records, err := readKey(b.rows, t.state.GetNumber(), key)
	if err != nil {
		b.fail(err)
	}
	return &keyTxn{key: key, records: records}
}

// restored reports whether the site's epoch has risen since the bucket's sequence
// moved last: the site was restored from a backup, and what it has is older than
// what others may have had from it.
func restored(s *pb.BucketState, epoch uint32) bool {
	return s.GetEpoch() > 0 && s.GetEpoch() < epoch
}

// advanceEpoch notes the site's epoch before the bucket's sequence moves. The
// sequence of a former epoch ends where it stood: dots of that epoch above it
// may exist elsewhere, written before this site lost them. The cursors of the
// former epoch demand a scan from now on: records that this site had passed on
// are not offered to it again in a log, so only a scan gives back what was lost.
func (b *Batch) advanceEpoch(t *bucketTxn) {
	s := t.state
	if b.c.epoch <= s.GetEpoch() {
		return
	}
	if restored(s, b.c.epoch) {
		if s.GetSeq() > 0 {
			s.Seen = MergeVector(s.GetSeen(), &pb.Vector{Upto: []*pb.Dot{
				{Origin: b.c.self.Bytes(), Epoch: s.GetEpoch(), Seq: s.GetSeq()}}})
			t.capped = true
		}
		b.unfinishCursors(t)
	}
	s.Epoch = b.c.epoch
	t.dirty = true
}

// unfinished is a cursor that stands where it stood but demands a scan.
func unfinished(c *pb.Cursor) *pb.Cursor {
	c = proto.CloneOf(c)
	c.InitialDone, c.Scan = false, nil
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

// insert keeps a record of a key: the log gets an entry, and what the bucket
// keeps no longer is dropped. The caller has made sure that it is kept.
func (b *Batch) insert(t *bucketTxn, k *keyTxn, rec *pb.Record, via []byte, now int64, again bool) {
	kept, _ := Retain(Insert(k.records, rec), int(t.state.GetVersions()))
	b.appendLog(t, rec, via, now, again)
	b.storeKey(t, k, kept)
	t.state.MaxGeneration = max(t.state.GetMaxGeneration(), rec.GetGeneration())
}

// appendLog gives a record the next sequence of the bucket's log. The record's
// dot then leads to that sequence.
func (b *Batch) appendLog(t *bucketTxn, rec *pb.Record, via []byte, now int64, again bool) {
	number := t.state.GetNumber()
	t.state.Seq++
	t.dirty = true
	e := &pb.LogEntry{
		Key: rec.GetKey(), Dot: rec.GetDot(), Generation: rec.GetGeneration(), Time: rec.GetTime(),
		Committed: now, Via: via, Size: rec.GetRoot().GetSize(), Again: again, Kind: rec.GetKind(),
	}
	b.key = logKey(b.key[:0], number, t.state.Seq)
	b.put(b.key, e)
	t.sum.add(b.hashes.entry(t.state.Seq, e))
	b.key = dotKey(b.key[:0], number, rec.GetDot())
	b.value = append(binary.BigEndian.AppendUint64(b.value[:0], t.state.Seq), rec.GetKey()...)
	b.set(b.key, b.value)
}

// storeKey replaces the records of a key. after is ordered, and what of it is
// not new is the same pointers as in k. When the last record goes, the bucket's
// generation floor rises above it.
func (b *Batch) storeKey(t *bucketTxn, k *keyTxn, after []*pb.Record) {
	number, before := t.state.GetNumber(), k.records
	t.dirty = true
	i, j := 0, 0
	for i < len(before) || j < len(after) {
		switch {
		case i < len(before) && j < len(after) && before[i] == after[j]:
			if i == 0 && j > 0 { // the former head
				b.putVersion(number, after[j])
			} else if i > 0 && j == 0 {
				b.deleteVersion(number, before[i])
			}
			i, j = i+1, j+1
		case j == len(after) || i < len(before) && Compare(before[i], after[j]) > 0:
			t.sum.sub(b.hashes.record(before[i]))
			b.key = dotKey(b.key[:0], number, before[i].GetDot())
			b.delete(b.key)
			if i > 0 {
				b.deleteVersion(number, before[i])
			}
			i++
		default:
			t.sum.add(b.hashes.record(after[j]))
			if j > 0 {
				b.putVersion(number, after[j])
			}
			j++
		}
	}
	b.key = headKey(b.key[:0], number, k.key)
	switch {
	case len(after) == 0:
		b.delete(b.key)
		if head := k.head(); head != nil {
			t.state.GenerationFloor = max(t.state.GetGenerationFloor(), head.GetGeneration())
		}
	case len(before) == 0 || before[0] != after[0] || len(before) != len(after):
		value, err := appendHead(b.value[:0], len(after)-1, after[0])
		if err != nil {
			b.fail(err)
			return
		}
		b.value = value
		b.set(b.key, value)
	}
	if head := k.head(); Live(head) {
		t.state.Objects--
		t.state.Bytes -= head.GetRoot().GetSize()
	}
	k.records = after
	if head := k.head(); Live(head) {
		t.state.Objects++
		t.state.Bytes += head.GetRoot().GetSize()
	}
}

func (b *Batch) putVersion(number uint64, r *pb.Record) {
	b.key = versionKey(b.key[:0], number, r.GetKey(), r.GetGeneration(), r.GetTime(), r.GetDot())
	b.put(b.key, r)
}

func (b *Batch) deleteVersion(number uint64, r *pb.Record) {
	b.key = versionKey(b.key[:0], number, r.GetKey(), r.GetGeneration(), r.GetTime(), r.GetDot())
	b.delete(b.key)
}

// sameDot reports whether a record has the dot.
func sameDot(r *pb.Record, d *pb.Dot) bool {
	return r.GetDot().GetSeq() == d.GetSeq() && r.GetDot().GetEpoch() == d.GetEpoch() &&
		bytes.Equal(r.GetDot().GetOrigin(), d.GetOrigin())
}
