package catalog

import (
	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// Purge removes one version of a key, or a delete marker, for good; now is the
// entry's time, Unix nanoseconds. The result's record is the purge; removed and
// marker say whether there was something to remove, and whether it was a delete
// marker. Purging what does not exist is OK and makes no record.
//
// In a bucket where versioning never was enabled, purging the null version is the
// deletion of the key. LOCKED: a lock forbids it. CONFLICT: a condition did not
// hold, and the result's record is the version. NOT_FOUND: no bucket.
func (b *Batch) Purge(cmd *pb.Purge, now int64) *raftfsmpb.Result {
	if cmd.GetTarget() != nil {
		return refuse(raftfsmpb.Code_INVALID, "versions are not kept in bucket %s", cmd.GetBucket())
	}
	return b.Write(&pb.Write{Bucket: cmd.GetBucket(), Conditions: cmd.GetConditions(),
		Record: &pb.Record{Key: cmd.GetKey(), Kind: pb.RecordKind_RECORD_TOMBSTONE}}, now)
}

// SetAttribute changes what a version carries beside its content; now is the
// entry's time, Unix nanoseconds. The result's record is the attribute.
//
// NOT_FOUND: no bucket, or no such version. LOCKED: it would weaken a lock that
// must not be weakened. INVALID: the attribute cannot be, the version is a delete
// marker, or a lock is set in a bucket without object lock.
func (b *Batch) SetAttribute(cmd *pb.SetAttribute, now int64) *raftfsmpb.Result {
	if _, refused := b.live(cmd.GetBucket()); refused != nil {
		return refused
	}
	return refuse(raftfsmpb.Code_INVALID, "attribute %s cannot be set in bucket %s", cmd.GetField(), cmd.GetBucket())
}

// SetBucketAttribute changes a setting of a bucket that all sites share; now is
// the entry's time, Unix nanoseconds. The result's record is the change.
//
// NOT_FOUND: no bucket. INVALID: the setting cannot be, or cannot follow the one
// that is: versioning once enabled can only be suspended, not while object lock
// is enabled, and object lock needs versioning and stays.
func (b *Batch) SetBucketAttribute(cmd *pb.SetBucketAttribute, now int64) *raftfsmpb.Result {
	if _, refused := b.live(cmd.GetBucket()); refused != nil {
		return refused
	}
	return refuse(raftfsmpb.Code_INVALID, "attribute %s cannot be set for bucket %s", cmd.GetField(), cmd.GetBucket())
}
