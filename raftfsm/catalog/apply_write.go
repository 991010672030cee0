package catalog

import (
	"fmt"
	"time"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// Write makes a local version or tombstone of a key; now is the entry's time,
// Unix nanoseconds, and the record's too when the record has none. The record's
// dot, generation and context are set here, and so is the state of versioning in
// which it is written; its time is raised above the head's. A version in a bucket
// with a default retention gets that, unless it comes with a retention of its own.
// The result's record is the one made.
//
// CONFLICT: a condition did not hold, and the result's record is the head, nil if
// there is none. PARTS_CHANGED: the upload to be completed has other parts than the
// writer thought. NOT_FOUND: no bucket, or no upload. INVALID: the record cannot be.
// QUOTA: the bucket or its tenant would hold too much. LOCKED: the null version
// that it would take the place of is locked.
//
// Deleting a key that does not exist is OK and makes no record, unless the bucket
// has versioning: then there is a delete marker. A deletion on the condition of a
// head deletes that record and no more; see [Deletion].
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
	if why := unmet(cmd.GetConditions(), k.head); why != "" {
		res := refuse(raftfsmpb.Code_CONFLICT, "%s", why)
		res.Record = k.head
		return res
	}
	var up *uploadTxn
	if cmd.GetUpload() != "" {
		if up, refused = b.completable(t, cmd); refused != nil {
			return refused
		}
	}
	rec := b.newRecord(t, k, in, now)
	switch in.GetKind() {
	case pb.RecordKind_RECORD_VERSION:
		if refused := fill(t.state, rec, in, now); refused != nil {
			return refused
		}
	case pb.RecordKind_RECORD_TOMBSTONE:
		if up != nil {
			return refuse(raftfsmpb.Code_INVALID, "an upload cannot be completed by a deletion")
		}
		if rec.GetVersioning() == pb.Versioning_VERSIONING_NEVER && !Live(k.head) {
			return ok()
		}
		if cmd.GetConditions().GetHead() != nil {
			rec.Generation, rec.Time = Deletion(k.head)
		}
	default:
		return refuse(raftfsmpb.Code_INVALID, "a write makes a version or a deletion, not a record of kind %d", in.GetKind())
	}
	if err := CheckRecord(rec); err != nil {
		return refuse(raftfsmpb.Code_INVALID, "%v", err)
	}
	if nullLane(rec) && Live(k.null()) {
		if why := b.lock(t, k, k.null()).Forbids(now, false); why != "" {
			return refuse(raftfsmpb.Code_LOCKED, "the null version must not be replaced: %s", why)
		}
	}
	if refused := b.overQuota(t, k, rec); refused != nil {
		return refused
	}
	b.advanceEpoch(t)
	b.insert(t, k, rec, nil, now, false)
	if up != nil {
		b.dropUpload(t, up)
	}
	return b.result(&raftfsmpb.Result{Record: rec})
}

// newRecord begins a local record of a key: its name, its order, and what it was
// written in knowledge of.
func (b *Batch) newRecord(t *bucketTxn, k *keyTxn, in *pb.Record, now int64) *pb.Record {
	s := t.state
	prior := k.prior()
	rec := &pb.Record{
		Key: in.GetKey(), Kind: in.GetKind(), Versioning: s.GetVersioning(),
		Generation: max(NextGeneration(prior, s.GetGenerationFloor()), min(k.meta.floor+1, MaxGeneration)),
		Time:       in.GetTime(),
		Dot:        b.nextDot(t),
	}
	if rec.Time == 0 {
		rec.Time = now
	}
	rec.Time = NextTime(prior, rec.Time)
	if rec.Versioning == pb.Versioning_VERSIONING_NEVER && k.head != nil && HasID(k.head) {
		// The setting is not here yet, but what was written under it is: only a
		// delete marker hides that.
		rec.Versioning = pb.Versioning_VERSIONING_SUSPENDED
	}
	seen := b.before(t, k)
	if k.head != nil && !nullLane(k.head) {
		seen = append([]*pb.Record{k.head}, seen...)
	}
	rec.Context = Context(seen)
	return rec
}

// nextDot names the next local record of a bucket.
func (b *Batch) nextDot(t *bucketTxn) *pb.Dot {
	return &pb.Dot{Origin: b.c.self.Bytes(), Epoch: max(t.state.GetEpoch(), b.c.epoch), Seq: t.state.GetSeq() + 1}
}

// fill gives a new version what it is to hold.
func fill(s *pb.BucketState, rec, in *pb.Record, now int64) *raftfsmpb.Result {
	rec.Root = in.GetRoot()
	if rec.Root == nil {
		rec.Root = &pb.Root{} // of an empty object
	}
	rec.Etag, rec.Headers, rec.Metadata = in.GetEtag(), in.GetHeaders(), in.GetMetadata()
	rec.PartSizes, rec.PartChecksums, rec.Tags = in.GetPartSizes(), in.GetPartChecksums(), in.GetTags()
	rec.Lock = in.GetLock()
	if rec.Lock != nil && !s.GetLock().GetEnabled() {
		return refuse(raftfsmpb.Code_INVALID, "a version cannot be locked: bucket %s does not have object lock", s.GetPath())
	}
	if rec.Lock.GetMode() != pb.RetentionMode_RETENTION_NONE && rec.Lock.GetUntil() <= now {
		return refuse(raftfsmpb.Code_INVALID, "a retention cannot end in the past")
	}
	if d := s.GetLock(); rec.Lock.GetMode() == pb.RetentionMode_RETENTION_NONE && d.GetMode() != pb.RetentionMode_RETENTION_NONE {
		days := int64(d.GetDays()) + 365*int64(d.GetYears())
		rec.Lock = &pb.Lock{Mode: d.GetMode(), Until: now + days*int64(24*time.Hour), Hold: rec.Lock.GetHold()}
	}
	return nil
}

// overQuota refuses a version that the bucket or its tenant has no room for. What
// it takes the place of makes room for it.
func (b *Batch) overQuota(t *bucketTxn, k *keyTxn, rec *pb.Record) *raftfsmpb.Result {
	s := t.state
	if s.GetQuota() == 0 && s.GetTenantQuota() == 0 || rec.GetRoot().GetSize() == 0 {
		return nil
	}
	freed := uint64(0)
	if nullLane(rec) {
		_, dropped := Retain(Insert(k.nulls, rec), int(s.GetVersions()))
		for _, r := range dropped {
			freed += r.GetRoot().GetSize()
		}
	}
	size := rec.GetRoot().GetSize()
	if size <= freed {
		return nil
	}
	over := func(what, path string, stored, quota uint64) *raftfsmpb.Result {
		if after := stored - freed + size; quota > 0 && after > quota {
			return refuse(raftfsmpb.Code_QUOTA, "%s %s holds %d bytes and would hold %d, above its quota of %d", what, path, stored, after, quota)
		}
		return nil
	}
	if refused := over("bucket", s.GetPath(), s.GetStored(), s.GetQuota()); refused != nil {
		return refused
	}
	tenant := tenantOf(s.GetPath())
	return over("tenant", tenant, b.tenantStored(tenant), s.GetTenantQuota())
}

// unmet says which condition a head, or the version that is to be purged, does not
// meet; nothing if it meets all.
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
	if cond != nil && cond.IfModified != nil {
		const second = int64(time.Second)
		if !Live(head) || head.GetTime()/second != cond.GetIfModified()/second {
			return "the version was last modified at another time"
		}
	}
	if cond != nil && cond.IfSize != nil && (!Live(head) || head.GetRoot().GetSize() != cond.GetIfSize()) {
		return "the version has another size"
	}
	return ""
}
