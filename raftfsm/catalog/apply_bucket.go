package catalog

import (
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
// applied here, so the vector does not count for it. NOT_EMPTY: a key exists.
func (b *Batch) DeleteBucket(path string) *raftfsmpb.Result {
	if res := b.CheckDeleteBucket(path); res.GetCode() != raftfsmpb.Code_OK {
		return res
	}
	t := b.find(path)
	s := t.state
	for _, row := range []byte{rowHead, rowVersion, rowDot, rowLog, rowCursor, rowProgress, rowUpload, rowUploadByKey, rowPart} {
		b.deleteRange(bounds(row, s.GetNumber()))
	}
	t.sum = setSum{}
	lower, upper := bounds(rowPending, s.GetNumber())
	err := scan(b.rows, lower, upper, func(key, value []byte) (bool, error) {
		p := new(pb.Pending)
		if err := proto.Unmarshal(value, p); err != nil {
			return false, err
		}
		t.sum.add(b.hashes.pending(key[prefixLen:prefixLen+16], p))
		return true, nil
	})
	if err != nil {
		return b.fail(err)
	}
	s.Deleted = true
	s.Trimmed = s.GetSeq()
	s.GenerationFloor = max(s.GetGenerationFloor(), s.GetMaxGeneration())
	t.dirty = true
	return b.result(ok())
}
