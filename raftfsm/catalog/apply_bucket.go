package catalog

import (
	"bytes"
	"context"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// PutBucket makes a bucket, continues a deleted one with the new incarnation,
// or changes the quota, or the number of versions kept, of one that exists; fewer
// are kept of a key from its next record on. With 0 versions one null version is
// kept of a key, and all that have an id of their own. INVALID: a bucket that
// exists cannot get another incarnation.
func (b *Batch) PutBucket(obj *statepb.Bucket, versions uint32, now int64) *raftfsmpb.Result {
	path := obj.GetPath()
	if p, err := state.ParsePath(path); err != nil {
		return refuse(raftfsmpb.Code_INVALID, "%v", err)
	} else if p.Depth() != 3 {
		return refuse(raftfsmpb.Code_INVALID, "%s is not the path of a bucket", path)
	}
	if n := len(obj.GetIncarnation()); n == 0 || n > 64 {
		return refuse(raftfsmpb.Code_INVALID, "incarnation of bucket %s has %d bytes, not 1 to 64", path, n)
	}
	t := b.find(path)
	if b.err != nil {
		return b.fail(b.err)
	}
	switch {
	case t == nil:
		t = &bucketTxn{state: &pb.BucketState{Path: path, Number: b.nextNumber()}}
		b.buckets[path] = t
		fallthrough
	case t.state.GetDeleted():
		t.state.Deleted = false
		t.state.Incarnation = obj.GetIncarnation()
		t.state.Created = obj.GetCreated()
		if t.state.Created == 0 {
			t.state.Created = now
		}
		b.mergeIncarnation(t, obj.GetIncarnation())
	case string(t.state.GetIncarnation()) != string(obj.GetIncarnation()):
		return refuse(raftfsmpb.Code_INVALID, "bucket %s exists with another incarnation", path)
	}
	t.state.Versions, t.state.Bounded = max(versions, 1), versions > 0
	t.state.Quota = obj.GetQuota()
	t.dirty = true
	return b.result(ok())
}

// LimitTenant gives a bucket the quota of its tenant: bytes that all of the
// tenant's buckets may hold together, 0 for no bound.
func (b *Batch) LimitTenant(path string, quota uint64) *raftfsmpb.Result {
	t, refused := b.live(path)
	if refused != nil {
		return refused
	}
	t.state.TenantQuota = quota
	t.dirty = true
	return b.result(ok())
}

// nextNumber gives out the next bucket number. Numbers are never used again,
// because the state of a deleted bucket is kept.
func (b *Batch) nextNumber() uint64 {
	if b.last == 0 {
		for _, k := range b.c.buckets {
			b.last = max(b.last, k.state.GetNumber())
		}
	}
	b.last++
	return b.last
}

// CheckDeleteBucket says what DeleteBucket would; it changes nothing. A config
// transaction asks it before it is applied.
func (b *Batch) CheckDeleteBucket(path string) *raftfsmpb.Result {
	t, refused := b.live(path)
	if refused != nil {
		return refused
	}
	if n := t.state.GetObjects(); n > 0 {
		return refuse(raftfsmpb.Code_NOT_EMPTY, "bucket %s is not empty: it has %d objects", path, n)
	}
	if n := t.state.GetVersioned(); n > 0 {
		return refuse(raftfsmpb.Code_NOT_EMPTY, "bucket %s is not empty: it has %d versions or delete markers", path, n)
	}
	return ok()
}

// DeleteBucket drops the bucket's records, log, cursors, what peers told, and
// uploads. Kept under the path are the sequence, the generation floor, the seen
// vector, the incarnations, and the pending table: what that names was never
// applied here, so the vector does not count for it. The tombstones and the log
// stay too as long as the vector does not cover all that they have deleted, or what
// a peer has of it would be news: while this site's copy from some peer is not
// complete, and when records have come whose place in the peer's log the cursor had
// not passed. NOT_EMPTY: a key exists.
func (b *Batch) DeleteBucket(path string) *raftfsmpb.Result {
	if res := b.CheckDeleteBucket(path); res.GetCode() != raftfsmpb.Code_OK {
		return res
	}
	t := b.find(path)
	s := t.state
	b.noteIncomplete(t)
	drop := []byte{rowVersion, rowOwn, rowAttributes, rowField, rowCursor, rowProgress, rowUpload, rowUploadByKey, rowPart}
	if len(s.GetIncomplete()) == 0 && b.allTold(t) {
		drop = append(drop, rowHead, rowConflict, rowRegister, rowDot, rowLog)
		s.Trimmed = s.GetSeq()
		s.GenerationFloor = max(s.GetGenerationFloor(), s.GetMaxGeneration())
		s.Stored = 0
	} else {
		b.dropHistory(t)
	}
	for _, row := range drop {
		b.deleteRange(bounds(row, s.GetNumber()))
	}
	b.dropTree(t)
	s.Deleted = true
	s.Versioning, s.Lock = pb.Versioning_VERSIONING_NEVER, nil
	t.dirty = true
	b.sumAgain(t)
	return b.result(ok())
}

// allTold reports whether the vector that a bucket keeps speaks for everything that
// its tombstones and purges have deleted, and for them. It reads the bucket's keys,
// all of which are deleted, up to the first of which that is not so.
func (b *Batch) allTold(t *bucketTxn) bool {
	n, all := &needed{seen: t.told(b.c.self)}, true
	lower, upper := bounds(rowHead, t.state.GetNumber())
	err := scan(b.rows, lower, upper, func(_, value []byte) (bool, error) {
		_, head, err := decodeHead(value)
		all = head == nil || n.told(head)
		return all, err
	})
	if err != nil {
		b.fail(err)
	}
	if !all {
		return false
	}
	lower, upper = bounds(rowRegister, t.state.GetNumber())
	err = scan(b.rows, lower, upper, func(_, value []byte) (bool, error) {
		r := new(pb.Record)
		err := proto.Unmarshal(value, r)
		all = n.told(r)
		return all, err
	})
	if err != nil {
		b.fail(err)
	}
	return all
}

// noteIncomplete notes the peers whose initial copy is under way.
func (b *Batch) noteIncomplete(t *bucketTxn) {
	lower, upper := bounds(rowCursor, t.state.GetNumber())
	err := scan(b.rows, lower, upper, func(key, value []byte) (bool, error) {
		c := new(pb.Cursor)
		if err := proto.Unmarshal(value, c); err != nil || complete(c) {
			return err == nil, err
		}
		peer := bytes.Clone(key[prefixLen:])
		if at, found := slices.BinarySearchFunc(t.state.GetIncomplete(), peer, bytes.Compare); !found {
			t.state.Incomplete = slices.Insert(t.state.Incomplete, at, peer)
		}
		return true, nil
	})
	if err != nil {
		b.fail(err)
	}
}

// dropHistory leaves of each key, all of which are deleted, what deletes it alone:
// the tombstone, or the purges. The bucket's settings go.
func (b *Batch) dropHistory(t *bucketTxn) {
	number := t.state.GetNumber()
	var keys [][]byte
	lower, upper := bounds(rowHead, number)
	err := scan(b.rows, lower, upper, func(key, value []byte) (bool, error) {
		m, _, err := decodeMeta(value)
		if m.older+m.attributes+m.contended > 0 {
			keys = append(keys, bytes.Clone(key[prefixLen:]))
		}
		return true, err
	})
	if err != nil {
		b.fail(err)
	}
	for _, key := range keys {
		k := b.loadKey(t, key)
		if len(k.nulls) > 1 {
			b.change(t, k, keyChange{nulls: k.nulls[:1]})
		}
		b.forgive(t, k)
		for _, target := range b.attributed(t, k) {
			b.dropAttributes(t, k, target)
		}
		b.save(t, k)
	}
	fields, err := readFields(b.rows, number)
	if err != nil {
		b.fail(err)
	}
	for _, f := range fields {
		b.delete(dotKey(nil, number, f.GetDot()))
	}
}

// attributed returns the names of a key's versions that have attributes.
func (b *Batch) attributed(t *bucketTxn, k *keyTxn) (targets []*pb.Dot) {
	if k.meta.attributes == 0 {
		return nil
	}
	prefix := ofKey(nil, rowAttributes, t.state.GetNumber(), k.key)
	err := scan(b.rows, prefix, successor(prefix), func(key, _ []byte) (bool, error) {
		d, err := parseDot(key[len(prefix):])
		targets = append(targets, d.dot())
		return true, err
	})
	if err != nil {
		b.fail(err)
	}
	return targets
}

// sumAgain computes the bucket's set hash from the rows that are left.
func (b *Batch) sumAgain(t *bucketTxn) {
	k := &checker{ctx: context.Background(), view: &view{c: b.c, number: t.state.GetNumber(), state: t.state, rows: b.rows}}
	if err := k.add(); err != nil {
		b.fail(err)
	}
	t.sum = k.sum
}
