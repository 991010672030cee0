package catalog

import (
	"fmt"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// Write makes a local version or tombstone of a key; now is the entry's time,
// Unix nanoseconds, and the record's too when the record has none. The record's
// dot, generation and context are set here, and its time is raised above the
// head's. The result's record is the one made.
//
// CONFLICT: a condition did not hold, and the result's record is the head, nil if
// there is none; or the upload to be completed has other parts than the writer
// thought. NOT_FOUND: no bucket, or no upload. INVALID: the record cannot be.
// Deleting a key that does not exist is OK and makes no record. A deletion on the
// condition of a head deletes that record and no more; see [Deletion].
func (b *Batch) Write(cmd *pb.Write, now int64) *raftfsmpb.Result {
	t, refused := b.live(cmd.GetBucket())
	if refused != nil {
		return refused
	}
	if b.c.self.IsZero() {
		return refuse(raftfsmpb.Code_INVALID, "this site is not initialised")
	}
	in := cmd.GetRecord()
	if err := CheckKey(in.GetKey()); err != nil {
		return refuse(raftfsmpb.Code_INVALID, "%v", err)
	}
	k := b.loadKey(t, in.GetKey())
	if b.err != nil {
		return b.fail(b.err)
	}
	if why := unmet(cmd.GetConditions(), k.head()); why != "" {
		res := refuse(raftfsmpb.Code_CONFLICT, "%s", why)
		res.Record = k.head()
		return res
	}
	var up *uploadTxn
	if cmd.GetUpload() != "" {
		if up, refused = b.completable(t, cmd); refused != nil {
			return refused
		}
	}
	rec := &pb.Record{
		Key: in.GetKey(), Kind: in.GetKind(),
		Generation: NextGeneration(k.head(), t.state.GetGenerationFloor()),
		Context:    Context(k.records),
	}
	rec.Time = in.GetTime()
	if rec.Time == 0 {
		rec.Time = now
	}
	rec.Time = NextTime(k.head(), rec.Time)
	switch in.GetKind() {
	case pb.RecordKind_RECORD_VERSION:
		rec.Root = in.GetRoot()
		if rec.Root == nil {
			rec.Root = &pb.Root{} // of an empty object
		}
		rec.Etag, rec.Headers, rec.Metadata, rec.PartSizes = in.GetEtag(), in.GetHeaders(), in.GetMetadata(), in.GetPartSizes()
	case pb.RecordKind_RECORD_TOMBSTONE:
		if up != nil {
			return refuse(raftfsmpb.Code_INVALID, "an upload cannot be completed by a deletion")
		}
		if !Live(k.head()) {
			return ok()
		}
		if cmd.GetConditions().GetHead() != nil {
			rec.Generation, rec.Time = Deletion(k.head())
		}
	}
	rec.Dot = &pb.Dot{Origin: b.c.self.Bytes(), Epoch: max(t.state.GetEpoch(), b.c.epoch), Seq: t.state.GetSeq() + 1}
	if err := CheckRecord(rec); err != nil {
		return refuse(raftfsmpb.Code_INVALID, "%v", err)
	}
	b.advanceEpoch(t)
	b.insert(t, k, rec, nil, now, false)
	if up != nil {
		b.dropUpload(t, up)
	}
	return b.result(&raftfsmpb.Result{Record: rec})
}

// unmet says which condition a head does not meet; nothing if it meets all.
func unmet(cond *pb.Conditions, head *pb.Record) string {
	if m := cond.GetIfMatch(); m != "" {
		switch {
		case !Live(head):
			return fmt.Sprintf("the key does not exist, but its ETag was to be %s", m)
		case m != "*" && m != head.GetEtag():
			return fmt.Sprintf("the key's ETag is %s, not %s", head.GetEtag(), m)
		}
	}
	if m := cond.GetIfNoneMatch(); m != "" && Live(head) {
		switch {
		case m == "*":
			return "the key exists"
		case m == head.GetEtag():
			return fmt.Sprintf("the key's ETag is %s", m)
		}
	}
	if d := cond.GetHead(); d != nil && (head == nil || !sameDot(head, d)) {
		return "the key has been changed meanwhile"
	}
	return ""
}
