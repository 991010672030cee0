package catalog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// lost is a version that is listed as having lost against one that was written
// without knowledge of it. One that no lane of the key has a place for lies in the
// list's row itself; otherwise the row says only that the version is listed.
type lost struct {
	rec   *pb.Record
	aside bool   // it lies in the row
	seq   uint64 // of its last entry in the log, for one that goes aside
}

// displaced returns what a change takes out of the null lane although the greatest
// record there was written without knowledge of it.
func (b *Batch) displaced(t *bucketTxn, k *keyTxn, c keyChange) []lost {
	if len(c.nulls) == 0 || !slices.ContainsFunc(k.nulls, func(r *pb.Record) bool { return Live(r) && Conflict(r, c.nulls[0]) }) {
		return nil // as nearly always
	}
	var out []lost
	// What goes with them may be what replaced or deleted them on purpose.
	for _, r := range Losers(c.nulls[0], slices.Concat(k.nulls, c.nulls)) {
		if named(c.nulls, r.GetDot()) != nil {
			continue
		}
		at, _, err := readDot(b.rows, t.state.GetNumber(), r.GetDot())
		if err != nil {
			b.fail(err)
		}
		out = append(out, lost{rec: r, aside: true, seq: at.seq})
	}
	return out
}

// contend keeps up which versions of a key are listed as having lost. It is called
// when the lanes have changed; was is the head before, aside what may have to be listed
// although no lane has it. What it costs grows with the key's conflicts, not with its
// versions: of those with an id only what was listed before, was the head, or is new
// comes into question.
func (b *Batch) contend(t *bucketTxn, k *keyTxn, was *pb.Record, c keyChange, aside []lost) {
	if k.meta.contended == 0 && k.meta.older+k.meta.own == 0 && len(aside) == 0 {
		return
	}
	before := b.listed(t, k)
	candidates := append(aside, before...)
	var losers []*pb.Record
	if null := k.null(); null != nil {
		all := slices.Clone(k.nulls)
		for _, l := range candidates {
			if l.aside {
				all = append(all, l.rec)
			}
		}
		losers = Losers(null, all)
	}
	if head := k.head; head != nil && k.meta.own > 0 || head != nil && HasID(head) {
		all := []*pb.Record{head}
		if null := k.null(); null != nil {
			all = append(all, null)
		}
		if c.add != nil {
			all = append(all, c.add)
		}
		if was != nil && !nullLane(was) && named(c.drop, was.GetDot()) == nil {
			all = append(all, was)
		}
		for _, l := range before {
			if !nullLane(l.rec) { // else it is of the null version, or gone
				all = append(all, l.rec)
			}
		}
		losers = append(losers, Losers(head, all)...)
	}
	for _, l := range before {
		if named(losers, l.rec.GetDot()) == nil {
			b.unlist(t, k, l)
		}
	}
	for _, r := range losers {
		l := lost{rec: r}
		for _, o := range candidates {
			if o.aside && sameDot(o.rec, r.GetDot()) {
				l = o
			}
		}
		b.list(t, k, before, l)
	}
}

// list lists a version, unless it is listed as it is.
func (b *Batch) list(t *bucketTxn, k *keyTxn, before []lost, l lost) {
	for _, o := range before {
		if !sameDot(o.rec, l.rec.GetDot()) {
			continue
		}
		if o.aside == l.aside {
			return
		}
		b.unlist(t, k, o)
	}
	number := t.state.GetNumber()
	t.dirty = true
	k.meta.contended++
	key := targetKey(nil, rowConflict, number, k.key, l.rec.GetDot())
	if !l.aside {
		b.set(key, nil)
		return
	}
	b.put(key, l.rec)
	b.set(dotKey(nil, number, l.rec.GetDot()), appendAside(nil, l.seq, l.rec))
	t.sum.add(b.hashes.aside(l.rec))
	t.state.Stored += l.rec.GetRoot().GetSize()
}

// unlist lists a version no more; with its row goes what lies in it.
func (b *Batch) unlist(t *bucketTxn, k *keyTxn, l lost) {
	number := t.state.GetNumber()
	t.dirty = true
	k.meta.contended--
	b.delete(targetKey(nil, rowConflict, number, k.key, l.rec.GetDot()))
	if l.aside {
		b.delete(dotKey(nil, number, l.rec.GetDot()))
		t.sum.sub(b.hashes.aside(l.rec))
		t.state.Stored -= l.rec.GetRoot().GetSize()
	}
}

// before is what a local write of a key is made in knowledge of, besides its head: the
// null version, and what is listed as having lost. The write ends those conflicts.
func (b *Batch) before(t *bucketTxn, k *keyTxn) []*pb.Record {
	if k.meta.contended == 0 {
		return k.nulls
	}
	out := slices.Clone(k.nulls)
	for _, l := range b.listed(t, k) {
		if l.aside || !nullLane(l.rec) {
			out = append(out, l.rec)
		}
	}
	return out
}

// forgive lists nothing of a key any more.
func (b *Batch) forgive(t *bucketTxn, k *keyTxn) {
	for _, l := range b.listed(t, k) {
		b.unlist(t, k, l)
	}
}

// listed returns the versions of a key that are listed. Of one that is in a lane, or
// was, only the name is known unless it has an id of its own.
func (b *Batch) listed(t *bucketTxn, k *keyTxn) []lost {
	if k.meta.contended == 0 {
		return nil
	}
	prefix := ofKey(nil, rowConflict, t.state.GetNumber(), k.key)
	var out []lost
	err := scan(b.rows, prefix, successor(prefix), func(key, value []byte) (bool, error) {
		d, err := parseDot(key[len(prefix):])
		if err != nil {
			return false, err
		}
		l := lost{rec: &pb.Record{Kind: pb.RecordKind_RECORD_VERSION, Dot: d.dot()}, aside: len(value) > 0}
		if l.aside {
			at, _, err := readDot(b.rows, t.state.GetNumber(), l.rec.GetDot())
			if err != nil {
				return false, err
			}
			l.seq = at.seq
			l.rec = new(pb.Record)
			if err := proto.Unmarshal(value, l.rec); err != nil {
				return false, err
			}
		} else if own := b.ownVersion(t, k, l.rec.GetDot()); own != nil {
			l.rec = own
		}
		out = append(out, l)
		return true, nil
	})
	if err != nil {
		b.fail(err)
	}
	return out
}

// contends reports whether content that has no place in the null lane is listed, or
// would be: its content is to be kept then.
func contends(nulls []*pb.Record, listed []lost, r *pb.Record) bool {
	if len(nulls) == 0 || !Live(r) || !nullLane(r) {
		return false
	}
	all := append([]*pb.Record{r}, nulls...)
	for _, l := range listed {
		if l.aside {
			all = append(all, l.rec)
		}
	}
	return named(Losers(nulls[0], all), r.GetDot()) != nil
}

// lose takes note of a record that has no place in the null lane: it is listed if
// the greatest there was written without knowledge of it, and what its own writer
// knew of is listed no more.
func (in *ingest) lose(k *keyTxn, r *pb.Record) {
	if !nullLane(r) || k.null() == nil {
		return
	}
	listed := in.listed(in.t, k)
	for _, l := range listed {
		if sameDot(l.rec, r.GetDot()) {
			return
		}
		if l.aside && inContext(r.GetContext(), l.rec.GetDot()) {
			in.unlist(in.t, k, l)
		}
	}
	if contends(k.nulls, listed, r) {
		l := lost{rec: r, aside: true}
		if Live(k.null()) { // it is history that is not sent, below a deletion
			in.appendLog(in.t, r, in.via, in.now, false)
			l.seq = in.t.state.GetSeq()
		}
		in.contend(in.t, k, nil, keyChange{}, []lost{l})
		in.applied++
	}
	in.save(in.t, k)
}

// appendAside encodes the row of the name of a version that lies aside.
func appendAside(dst []byte, seq uint64, r *pb.Record) []byte {
	dst = binary.BigEndian.AppendUint64(dst, seq|dotExtended<<56)
	return append(append(dst, rowConflict), r.GetKey()...)
}

// aside is of a version that no lane has a place for.
func (h *hashes) aside(r *pb.Record) setSum {
	h.start(rowConflict).record(r)
	return sumOf(h.buf)
}

// conflicts checks that what is listed as having lost is a content that is kept.
func (k *checker) conflicts() error {
	return k.rowsOf(rowConflict, func(row, value []byte) error {
		key, rest, err := cutEscaped(bytes.Clone(row))
		if err != nil {
			return err
		}
		d, err := parseDot(rest)
		if err != nil {
			return err
		}
		k.found.contended++
		r, err := k.byDot(d.dot())
		switch {
		case err != nil:
			return err
		case !Live(r) || !bytes.Equal(r.GetKey(), key):
			return fmt.Errorf("it names a record of key %q, kind %v", r.GetKey(), r.GetKind())
		case len(value) > 0:
			k.records++
			k.sum.add(k.hashes.aside(r))
			k.stored += r.GetRoot().GetSize()
		}
		return nil
	})
}
