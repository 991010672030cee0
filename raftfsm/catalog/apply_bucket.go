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
// or changes the number of versions kept of one that exists; fewer are kept of a
// key from its next record on. INVALID: a bucket that exists cannot get another
// incarnation.
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
	versions = max(versions, 1)
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
	t.state.Versions = versions
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
	return ok()
}

// DeleteBucket drops the bucket's records, log, cursors, what peers told, and
// uploads. Kept under the path are the sequence, the generation floor, the seen
// vector, the incarnations, and the pending table: what that names was never
// applied here, so the vector does not count for it. While this site's copy from
// some peer is not complete, the vector does not cover what came from that peer,
// so the tombstones and the log stay too. NOT_EMPTY: a key exists.
func (b *Batch) DeleteBucket(path string) *raftfsmpb.Result {
	if res := b.CheckDeleteBucket(path); res.GetCode() != raftfsmpb.Code_OK {
		return res
	}
	t := b.find(path)
	s := t.state
	b.noteIncomplete(t)
	drop := []byte{rowVersion, rowCursor, rowProgress, rowUpload, rowUploadByKey, rowPart}
	if len(s.GetIncomplete()) == 0 {
		drop = append(drop, rowHead, rowDot, rowLog)
		s.Trimmed = s.GetSeq()
		s.GenerationFloor = max(s.GetGenerationFloor(), s.GetMaxGeneration())
	} else {
		b.dropHistory(t)
	}
	for _, row := range drop {
		b.deleteRange(bounds(row, s.GetNumber()))
	}
	s.Deleted = true
	t.dirty = true
	b.sumAgain(t)
	return b.result(ok())
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

// dropHistory leaves of each key, all of which are deleted, the tombstone alone.
func (b *Batch) dropHistory(t *bucketTxn) {
	var keys [][]byte
	lower, upper := bounds(rowHead, t.state.GetNumber())
	err := scan(b.rows, lower, upper, func(key, value []byte) (bool, error) {
		older, _, err := decodeHead(value)
		if older > 0 {
			keys = append(keys, bytes.Clone(key[prefixLen:]))
		}
		return true, err
	})
	if err != nil {
		b.fail(err)
	}
	for _, key := range keys {
		if k := b.loadKey(t, key); len(k.records) > 1 {
			b.storeKey(t, k, k.records[:1])
		}
	}
}

// sumAgain computes the bucket's set hash from the rows that are left.
func (b *Batch) sumAgain(t *bucketTxn) {
	k := &checker{ctx: context.Background(), view: &view{c: b.c, number: t.state.GetNumber(), state: t.state, rows: b.rows}}
	if err := k.add(); err != nil {
		b.fail(err)
	}
	t.sum = k.sum
}
