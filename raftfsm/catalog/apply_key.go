package catalog

import (
	"slices"
	"strings"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// insert keeps a version, a delete marker, or a record of the null version: the
// log gets an entry, and what the bucket keeps no longer is dropped. The caller has
// made sure that it is kept.
func (b *Batch) insert(t *bucketTxn, k *keyTxn, rec *pb.Record, via []byte, now int64, again bool) {
	for _, l := range b.listed(t, k) {
		if sameDot(l.rec, rec.GetDot()) {
			b.unlist(t, k, l) // it has a place again
		}
	}
	b.appendLog(t, rec, via, now, again)
	if nullLane(rec) {
		b.change(t, k, keyChange{nulls: b.retain(t, k, rec, now)})
	} else {
		b.change(t, k, keyChange{nulls: k.nulls, add: rec})
		b.bound(t, k, now)
	}
	t.state.MaxGeneration = max(t.state.GetMaxGeneration(), rec.GetGeneration())
	b.save(t, k)
}

// retain is Retain of the null version with one record more, but keeps what a lock
// protects at a time, unless it is what the record purges.
func (b *Batch) retain(t *bucketTxn, k *keyTxn, rec *pb.Record, now int64) []*pb.Record {
	kept, dropped := Retain(Insert(k.nulls, rec), int(t.state.GetVersions()))
	for _, r := range dropped {
		purged := rec.GetTarget() != nil && sameDot(r, rec.GetTarget())
		if Live(r) && !purged && b.lock(t, k, r).Forbids(now, false) != "" {
			kept = Insert(kept, r)
		}
	}
	return kept
}

// lock is the present lock of a version that is kept.
func (b *Batch) lock(t *bucketTxn, k *keyTxn, r *pb.Record) Lock {
	return EffectiveLock(r, b.attributes(t, k, r.GetDot()))
}

// attributes reads the attributes of a version; a failure is kept by the batch.
func (b *Batch) attributes(t *bucketTxn, k *keyTxn, target *pb.Dot) []*pb.Record {
	all, err := readAttributes(b.rows, t.state.GetNumber(), k.key, k.meta, target)
	if err != nil {
		b.fail(err)
	}
	return all
}

// register reads what became of a version; a failure is kept by the batch.
func (b *Batch) register(t *bucketTxn, k *keyTxn, target *pb.Dot) *pb.Record {
	r, err := readRegister(b.rows, t.state.GetNumber(), k.key, k.meta, target)
	if err != nil {
		b.fail(err)
	}
	return r
}

// ownVersion returns a version of a key by its id, nil if it is not kept.
func (b *Batch) ownVersion(t *bucketTxn, k *keyTxn, d *pb.Dot) *pb.Record {
	if k.head != nil && HasID(k.head) && sameDot(k.head, d) {
		return k.head
	}
	if k.meta.own == 0 {
		return nil
	}
	at, kept, err := readDot(b.rows, t.state.GetNumber(), d)
	if err != nil {
		b.fail(err)
	}
	if !kept || at.row != rowOwn || string(at.key) != string(k.key) {
		return nil
	}
	r, err := readRecord(b.rows, t.state.GetNumber(), d, at)
	if err != nil {
		b.fail(err)
	}
	return r
}

// bound drops versions with an id of their own beyond the number that the bucket
// keeps, if somebody has set one, the least first; what a lock protects stays.
// From then on the bucket tells others that an absent version need not be purged.
func (b *Batch) bound(t *bucketTxn, k *keyTxn, now int64) {
	most := int(t.state.GetVersions())
	kept := k.meta.own
	if k.head != nil && HasID(k.head) {
		kept++
	}
	if !t.state.GetBounded() || kept <= most {
		return
	}
	var drop []*pb.Record
	n := kept - k.meta.own
	err := scanOwn(b.rows, t.state.GetNumber(), k.key, k.meta, k.head, func(r *pb.Record) (bool, error) {
		if n++; n > most && b.lock(t, k, r).Forbids(now, false) == "" {
			drop = append(drop, r)
		}
		return true, nil
	})
	if err != nil {
		b.fail(err)
	}
	if len(drop) > 0 {
		b.sparse(t)
		b.change(t, k, keyChange{nulls: k.nulls, drop: drop})
	}
}

// sparse notes that the absence of a version says nothing any more.
func (b *Batch) sparse(t *bucketTxn) {
	if !t.state.GetSeen().GetSparse() {
		t.state.Seen = MergeVector(t.state.GetSeen(), &pb.Vector{Sparse: true})
		t.dirty, t.capped = true, true
	}
}

// keyChange says what becomes of the versions of a key.
type keyChange struct {
	nulls []*pb.Record // all records of the null version, greatest first; what is not new is as in the key
	add   *pb.Record   // a version with an id of its own
	drop  []*pb.Record // versions with an id of their own, which are kept
}

// change carries out a change: it moves records between the key's row and their
// own, and keeps up the bucket's counters. The attributes of what is dropped go
// with it, and so does the revocation of its purge.
func (b *Batch) change(t *bucketTxn, k *keyTxn, c keyChange) {
	before, was, prior := k.nulls, k.head, k.prior()
	head := b.headAfter(t, k, c)
	aside := b.displaced(t, k, c)
	b.show(t, k, c, head)
	t.dirty = true

	k.nulls, k.head = c.nulls, head
	isIn := func(set []*pb.Record, r *pb.Record) bool {
		return slices.ContainsFunc(set, func(o *pb.Record) bool { return o == r || sameDot(o, r.GetDot()) })
	}
	for _, r := range before {
		if !isIn(c.nulls, r) {
			b.drop(t, k, r, r == was)
		}
	}
	for _, r := range c.nulls {
		if !isIn(before, r) {
			b.add(t, k, r, r == head)
		}
	}
	for _, r := range c.drop {
		b.drop(t, k, r, was != nil && sameDot(r, was.GetDot()))
	}
	if c.add != nil {
		b.add(t, k, c.add, c.add == head)
	}
	// What was the greatest may be gone for good; a write must still be above it, or
	// it would lose where that is not known yet.
	if after := k.prior(); prior != nil && (after == nil || after.GetGeneration() < prior.GetGeneration()) {
		k.meta.floor = max(k.meta.floor, prior.GetGeneration())
	}
	defer b.contend(t, k, was, c, aside)
	if was == head || was != nil && head != nil && sameDot(was, head.GetDot()) {
		return
	}
	if was != nil && (nullLane(was) && isIn(c.nulls, was) || !nullLane(was) && !isIn(c.drop, was)) {
		b.putVersion(t, k, was)
	}
	if head != nil && head != c.add && (!nullLane(head) || isIn(before, head)) {
		b.deleteVersion(t, k, head)
	}
}

// headAfter is the head that a key has after a change.
func (b *Batch) headAfter(t *bucketTxn, k *keyTxn, c keyChange) *pb.Record {
	var null *pb.Record
	if len(c.nulls) > 0 {
		null = c.nulls[0]
	}
	greater := func(a, b *pb.Record) *pb.Record {
		if a == nil || b != nil && Compare(b, a) > 0 {
			return b
		}
		return a
	}
	own := c.add
	dropped := func(r *pb.Record) bool {
		return slices.ContainsFunc(c.drop, func(o *pb.Record) bool { return sameDot(o, r.GetDot()) })
	}
	switch {
	case k.head != nil && !nullLane(k.head) && !dropped(k.head):
		own = greater(own, k.head)
	case k.meta.own > 0 && (own == nil || k.head == nil || Compare(own, k.head) < 0):
		err := scanOwn(b.rows, t.state.GetNumber(), k.key, k.meta, k.head, func(r *pb.Record) (bool, error) {
			if dropped(r) {
				return true, nil
			}
			own = greater(own, r)
			return false, nil
		})
		if err != nil {
			b.fail(err)
		}
	}
	if null == nil || own != nil && (!Visible(null) || Compare(own, null) > 0) {
		return own
	}
	return null
}

// add counts a version that is kept from now on, and writes its row.
func (b *Batch) add(t *bucketTxn, k *keyTxn, r *pb.Record, head bool) {
	t.sum.add(b.hashes.record(r))
	t.state.Stored += r.GetRoot().GetSize()
	if counted(r) {
		t.state.Versioned++
	}
	if !head {
		b.putVersion(t, k, r)
	}
}

// drop takes a version away that is kept no longer.
func (b *Batch) drop(t *bucketTxn, k *keyTxn, r *pb.Record, head bool) {
	t.sum.sub(b.hashes.record(r))
	t.state.Stored -= r.GetRoot().GetSize()
	if counted(r) {
		t.state.Versioned--
	}
	b.key = dotKey(b.key[:0], t.state.GetNumber(), r.GetDot())
	b.delete(b.key)
	if !head {
		b.deleteVersion(t, k, r)
	}
	if k.meta.attributes > 0 {
		b.dropAttributes(t, k, r.GetDot())
	}
	if HasID(r) && k.meta.registers > 0 {
		if reg := b.register(t, k, r.GetDot()); reg.GetRevoked() {
			b.setRegister(t, k, r.GetDot(), nil)
		}
	}
}

// counted reports whether a bucket that keeps a record is not empty, besides its
// live heads.
func counted(r *pb.Record) bool { return !Live(r) && Visible(r) || Live(r) && HasID(r) }

// putVersion writes the row of a version that is not the head.
func (b *Batch) putVersion(t *bucketTxn, k *keyTxn, r *pb.Record) {
	if nullLane(r) {
		k.meta.older++
	} else {
		k.meta.own++
	}
	b.key = versionKey(b.key[:0], t.state.GetNumber(), r)
	b.put(b.key, r)
}

// deleteVersion removes the row of a version that is not the head any more, or
// not kept.
func (b *Batch) deleteVersion(t *bucketTxn, k *keyTxn, r *pb.Record) {
	if nullLane(r) {
		k.meta.older--
	} else {
		k.meta.own--
	}
	b.key = versionKey(b.key[:0], t.state.GetNumber(), r)
	b.delete(b.key)
}

// setRegister keeps a register of a version, or none, in place of the one that is.
func (b *Batch) setRegister(t *bucketTxn, k *keyTxn, target *pb.Dot, r *pb.Record) {
	number := t.state.GetNumber()
	if was := b.register(t, k, target); was != nil {
		t.sum.sub(b.hashes.beside(was))
		b.showBeside(t, k, target, revocations(was), nil)
		b.delete(dotKey(nil, number, was.GetDot()))
		k.meta.registers--
		t.dirty = true
		if r == nil {
			k.meta.floor = max(k.meta.floor, was.GetGeneration())
		}
	}
	key := targetKey(nil, rowRegister, number, k.key, target)
	if r == nil {
		b.delete(key)
		return
	}
	b.put(key, r)
	t.sum.add(b.hashes.beside(r))
	b.showBeside(t, k, target, nil, revocations(r))
	k.meta.registers++
	k.meta.floor = max(k.meta.floor, r.GetGeneration())
	t.dirty = true
}

// dropAttributes removes the attributes of a version.
func (b *Batch) dropAttributes(t *bucketTxn, k *keyTxn, target *pb.Dot) {
	b.setAttributes(t, k, target, b.attributes(t, k, target), nil)
}

// setAttribute keeps an attribute of a version in place of the one of its field.
func (b *Batch) setAttribute(t *bucketTxn, k *keyTxn, a *pb.Record) {
	before := b.attributes(t, k, a.GetTarget())
	after := append(make([]*pb.Record, 0, len(before)+1), a)
	for _, r := range before {
		if r.GetField() != a.GetField() {
			after = append(after, r)
		}
	}
	slices.SortFunc(after, func(x, y *pb.Record) int { return strings.Compare(x.GetField(), y.GetField()) })
	b.setAttributes(t, k, a.GetTarget(), before, after)
}

// setAttributes replaces the attributes of a version; what stays is the same
// pointers in both.
func (b *Batch) setAttributes(t *bucketTxn, k *keyTxn, target *pb.Dot, before, after []*pb.Record) {
	if len(before) == 0 && len(after) == 0 {
		return
	}
	number := t.state.GetNumber()
	t.dirty = true
	b.showBeside(t, k, target, before, after)
	for _, r := range before {
		if !slices.Contains(after, r) {
			t.sum.sub(b.hashes.beside(r))
			b.delete(dotKey(nil, number, r.GetDot()))
		}
	}
	for _, r := range after {
		if !slices.Contains(before, r) {
			t.sum.add(b.hashes.beside(r))
		}
	}
	key := targetKey(nil, rowAttributes, number, k.key, target)
	if len(after) == 0 {
		b.delete(key)
		k.meta.attributes--
		return
	}
	if len(before) == 0 {
		k.meta.attributes++
	}
	b.put(key, &pb.Attributes{Records: after})
}

// save writes the key's row, if it says something else than before, and keeps up
// what the bucket counts of heads.
func (b *Batch) save(t *bucketTxn, k *keyTxn) {
	if p := k.prior(); p != nil && p.GetGeneration() >= k.meta.floor {
		k.meta.floor = 0
	}
	exists := k.head != nil || k.meta.older+k.meta.own+k.meta.registers+k.meta.attributes > 0
	if !exists && k.saved.exists {
		// When the last row goes, a write of the key is to be above what it had.
		t.state.GenerationFloor = max(t.state.GetGenerationFloor(), k.meta.floor)
		k.meta.floor = 0
	}
	if exists == k.saved.exists && k.meta == k.saved.meta && k.head == k.saved.head {
		return
	}
	switch {
	case exists && !k.saved.exists:
		t.touched(k.key).born++
	case !exists && k.saved.exists:
		t.touched(k.key).born--
	}
	number := t.state.GetNumber()
	t.dirty = true
	if f := k.saved.meta.floor; f > 0 {
		t.sum.sub(b.hashes.floor(k.key, f))
	}
	if f := k.meta.floor; f > 0 {
		t.sum.add(b.hashes.floor(k.key, f))
	}
	if head := k.saved.head; Live(head) {
		t.state.Objects--
		t.state.Bytes -= head.GetRoot().GetSize()
	}
	if head := k.head; Live(head) {
		t.state.Objects++
		t.state.Bytes += head.GetRoot().GetSize()
	}
	b.key = headKey(b.key[:0], number, k.key)
	if exists {
		value, err := appendHead(b.value[:0], k.meta, k.head)
		if err != nil {
			b.fail(err)
			return
		}
		b.value = value
		b.set(b.key, value)
	} else {
		b.delete(b.key)
	}
	k.saved.exists, k.saved.meta, k.saved.head = exists, k.meta, k.head
}
