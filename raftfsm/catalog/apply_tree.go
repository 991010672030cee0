package catalog

import (
	"bytes"
	"slices"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// keyDelta is how what a key shows has changed in a batch.
type keyDelta struct {
	key   []byte
	shown shownSum // the difference
	born  int      // 1: the key has got a row; -1: it has lost it
}

// touched returns the delta of a key, the last one if it is the same key.
func (t *bucketTxn) touched(key []byte) *keyDelta {
	if n := len(t.deltas); n > 0 && bytes.Equal(t.deltas[n-1].key, key) {
		return &t.deltas[n-1]
	}
	t.deltas = append(t.deltas, keyDelta{key: key})
	return &t.deltas[len(t.deltas)-1]
}

// unit is the sum of a version or a delete marker with what belongs to it, as the
// batch has it; zero for one that is not shown.
func (b *Batch) unit(t *bucketTxn, k *keyTxn, r *pb.Record) setSum {
	if k.meta.attributes+k.meta.registers == 0 {
		return b.hashes.record(r)
	}
	s := shownReader{rows: b.rows, number: t.state.GetNumber(), hashes: &b.hashes}
	sum, err := s.unit(k.key, k.meta, r)
	if err != nil {
		b.fail(err)
	}
	return sum
}

// shownNull is what S3 shows of a null version whose records these are; nil if it
// shows nothing.
func shownNull(nulls []*pb.Record) *pb.Record {
	if len(nulls) == 0 || !Visible(nulls[0]) {
		return nil
	}
	return nulls[0]
}

// sameRecord reports whether two records of a key, which may be nil, are one.
func sameRecord(a, b *pb.Record) bool {
	return a == b || a != nil && b != nil && sameDot(a, b.GetDot())
}

// show notes in the tree what a change that is about to be carried out makes of a
// key. The key is still as it was, and so are its rows.
func (b *Batch) show(t *bucketTxn, k *keyTxn, c keyChange, head *pb.Record) {
	d := t.touched(k.key)
	less := func(r *pb.Record) {
		d.shown.all.sub(b.unit(t, k, r))
		d.shown.versions--
	}
	more := func(r *pb.Record) {
		d.shown.all.add(b.unit(t, k, r))
		d.shown.versions++
	}
	if was, is := shownNull(k.nulls), shownNull(c.nulls); !sameRecord(was, is) {
		if was != nil {
			less(was)
		}
		if is != nil {
			more(is)
		}
	}
	for _, r := range c.drop {
		less(r)
	}
	if c.add != nil {
		more(c.add)
	}
	if was := k.head; !sameRecord(was, head) {
		if was != nil && Visible(was) {
			d.shown.heads.sub(b.unit(t, k, was))
			d.shown.keys--
		}
		if head != nil && Visible(head) {
			d.shown.heads.add(b.unit(t, k, head))
			d.shown.keys++
		}
	}
}

// showBeside notes in the tree that something that belongs to a version has
// changed: its attributes or its register. It counts only while the version is
// shown.
func (b *Batch) showBeside(t *bucketTxn, k *keyTxn, target *pb.Dot, less, more []*pb.Record) {
	if len(less)+len(more) == 0 {
		return
	}
	null := shownNull(k.nulls)
	if (null == nil || !sameDot(null, target)) && b.ownVersion(t, k, target) == nil {
		return
	}
	d := t.touched(k.key)
	var sum setSum
	for _, r := range less {
		sum.sub(b.hashes.beside(r))
	}
	for _, r := range more {
		sum.add(b.hashes.beside(r))
	}
	d.shown.all.add(sum)
	if k.head != nil && sameDot(k.head, target) {
		d.shown.heads.add(sum)
	}
}

// revocations are what counts of registers: a purge takes its version along, so
// only the revocation of one is ever seen beside a version.
func revocations(r *pb.Record) []*pb.Record {
	if r.GetRevoked() {
		return []*pb.Record{r}
	}
	return nil
}

// showSetting notes in the tree that a setting of the bucket has changed.
func (b *Batch) showSetting(t *bucketTxn, was, is *pb.Record) {
	d := t.touched(nil)
	var sum setSum
	if was != nil {
		sum.sub(b.hashes.beside(was))
	}
	sum.add(b.hashes.beside(is))
	d.shown.all.add(sum)
	d.shown.heads.add(sum)
}

// dropTree notes that nothing is shown any more.
func (b *Batch) dropTree(t *bucketTxn) {
	b.deleteRange(bounds(rowTree, t.state.GetNumber()))
	t.deltas, t.tree = nil, tree{}
}

// flushTree brings the tree of a bucket up to date with what the batch has done. A
// bucket that is deleted has none.
func (b *Batch) flushTree(t *bucketTxn) {
	begun := t.base != nil && !t.base.state.GetDeleted() || t.state.GetSeq() == 0
	if t.state.GetDeleted() || begun && len(t.deltas) == 0 && t.tree.seq == t.state.GetSeq() {
		return
	}
	t.tree.seq = t.state.GetSeq()
	deltas := gathered(t.deltas)
	t.deltas = nil
	for i := range deltas {
		t.tree.add(&deltas[i].shown)
	}
	if len(deltas) > 0 {
		if err := b.putLeaves(t, deltas); err != nil {
			b.fail(err)
			return
		}
	}
	b.key = rootKey(b.key[:0], t.state.GetNumber())
	b.value = appendTree(b.value[:0], &t.tree)
	b.set(b.key, b.value)
}

// gathered returns the deltas in the order of their keys, one of each key, without
// those that change nothing.
func gathered(deltas []keyDelta) []keyDelta {
	slices.SortStableFunc(deltas, func(a, b keyDelta) int { return bytes.Compare(a.key, b.key) })
	out := deltas[:0]
	for _, d := range deltas {
		if n := len(out); n > 0 && bytes.Equal(out[n-1].key, d.key) {
			out[n-1].shown.add(&d.shown)
			out[n-1].born += d.born
			continue
		}
		out = append(out, d)
	}
	return slices.DeleteFunc(out, func(d keyDelta) bool { return d.born == 0 && d.shown == (shownSum{}) })
}

// putLeaves carries deltas into the leaves, from the first to the last. Where a
// key that ends a leaf has come, the leaf is parted; where one has gone, the leaf
// becomes a part of the next.
func (b *Batch) putLeaves(t *bucketTxn, deltas []keyDelta) (err error) {
	number := t.state.GetNumber()
	w, err := newLeaves(b.rows, number)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := w.close(); err == nil {
			err = cerr
		}
	}()
	var carried shownSum // of leaves whose end has gone, into the next one
	for merging := false; len(deltas) > 0 || merging; {
		var l leaf
		if merging {
			l, err = w.next()
		} else {
			l, err = w.seek(deltas[0].key)
		}
		if err != nil {
			return err
		}
		n := 0
		var ends [][]byte // keys within the leaf that end one from now on
		for n < len(deltas) && l.holds(deltas[n].key) {
			d := &deltas[n]
			l.add(&d.shown)
			if d.born > 0 && endsLeaf(d.key) && (l.last || !bytes.Equal(d.key, l.end)) {
				ends = append(ends, d.key)
			}
			n++
		}
		group := deltas[:n]
		gone := n > 0 && !l.last && deltas[n-1].born < 0 && bytes.Equal(deltas[n-1].key, l.end)
		deltas = deltas[n:]
		l.add(&carried)
		carried = shownSum{}
		if err := b.part(t, &l, ends, group); err != nil {
			return err
		}
		if merging = gone; gone {
			carried = l.shownSum
			b.delete(leafKey(nil, number, l.end))
			continue
		}
		b.putLeaf(number, &l)
	}
	return nil
}

// putLeaf writes a leaf; the last one is not there when it has nothing.
func (b *Batch) putLeaf(number uint64, l *leaf) {
	switch {
	case !l.last:
		b.key = leafKey(b.key[:0], number, l.end)
	case l.shownSum == (shownSum{}):
		b.delete(lastLeafKey(nil, number))
		return
	default:
		b.key = lastLeafKey(b.key[:0], number)
	}
	b.value = appendShown(b.value[:0], &l.shownSum)
	b.set(b.key, b.value)
}

// part gives what a leaf has up to each of some keys to leaves of their own, and
// leaves it the rest. What is behind the first of those keys is read; what is up
// to it follows. So keys that come in their order cost next to nothing: behind the
// first there are only those of the batch, and of what is new in it the deltas say
// what it shows.
func (b *Batch) part(t *bucketTxn, l *leaf, ends [][]byte, deltas []keyDelta) error {
	if len(ends) == 0 {
		return nil
	}
	number := t.state.GetNumber()
	s := shownReader{rows: b.rows, number: number, hashes: &b.hashes}
	parts := make([]shownSum, len(ends)) // parts[i] is behind ends[i], up to the next
	_, upper := bounds(rowHead, number)
	if !l.last {
		upper = append(headKey(nil, number, l.end), 0)
	}
	at := 0
	err := scan(b.rows, append(headKey(nil, number, ends[0]), 0), upper, func(row, value []byte) (bool, error) {
		key := row[prefixLen:]
		for at+1 < len(ends) && bytes.Compare(key, ends[at+1]) > 0 {
			at++
		}
		for len(deltas) > 0 && bytes.Compare(deltas[0].key, key) < 0 {
			deltas = deltas[1:]
		}
		if len(deltas) > 0 && deltas[0].born > 0 && bytes.Equal(deltas[0].key, key) {
			parts[at].add(&deltas[0].shown)
			return true, nil
		}
		sum, err := s.row(key, value)
		parts[at].add(&sum)
		return true, err
	})
	if err != nil {
		return err
	}
	first := l.shownSum
	for i := range parts {
		first.sub(&parts[i])
	}
	for i, end := range ends {
		b.putLeaf(number, &leaf{end: end, shownSum: first})
		first = parts[i]
	}
	l.shownSum = first
	return nil
}
