package catalog

import (
	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// SetBucketAttribute changes a setting of a bucket that all sites share; now is
// the entry's time, Unix nanoseconds. The result's record is the change.
//
// NOT_FOUND: no bucket. INVALID: the setting cannot be, or cannot follow the one
// that is: versioning once enabled can only be suspended, not while object lock
// is enabled, and object lock needs versioning and stays.
func (b *Batch) SetBucketAttribute(cmd *pb.SetBucketAttribute, now int64) *raftfsmpb.Result {
	t, refused := b.live(cmd.GetBucket())
	if refused != nil {
		return refused
	}
	if b.c.self.IsZero() {
		return refuse(raftfsmpb.Code_INVALID, "this site is not initialised")
	}
	s, field := t.state, cmd.GetField()
	if err := CheckBucketValue(field, cmd.GetValue()); err != nil {
		return refuse(raftfsmpb.Code_INVALID, "%v", err)
	}
	switch {
	case field == FieldVersioning && cmd.GetValue().GetVersioning() != pb.Versioning_VERSIONING_ENABLED && s.GetLock().GetEnabled():
		return refuse(raftfsmpb.Code_INVALID, "versioning of bucket %s cannot be suspended: it has object lock", s.GetPath())
	case field == FieldLock && s.GetVersioning() != pb.Versioning_VERSIONING_ENABLED:
		return refuse(raftfsmpb.Code_INVALID, "bucket %s cannot have object lock: versioning is not enabled", s.GetPath())
	}
	last, err := readField(b.rows, s.GetNumber(), field)
	if err != nil {
		return b.fail(err)
	}
	rec := &pb.Record{
		Kind: pb.RecordKind_RECORD_BUCKET, Field: field, Value: fieldValueOf(field, cmd.GetValue()), Dot: b.nextDot(t),
		Generation: NextGeneration(last, s.GetGenerationFloor()), Time: NextTime(last, now),
	}
	if err := CheckRecord(rec); err != nil {
		return refuse(raftfsmpb.Code_INVALID, "%v", err)
	}
	b.advanceEpoch(t)
	b.appendLog(t, rec, nil, now, false)
	b.setField(t, rec)
	return b.result(&raftfsmpb.Result{Record: rec})
}

// fieldValueOf is what counts of a value for a setting of a bucket.
func fieldValueOf(field string, v *pb.Value) *pb.Value {
	switch field {
	case FieldTags:
		return &pb.Value{Tags: v.GetTags()}
	case FieldCORS:
		return &pb.Value{Cors: v.GetCors()}
	case FieldLock:
		return &pb.Value{Lock: v.GetLock()}
	}
	return &pb.Value{Versioning: v.GetVersioning()}
}

// setField keeps a setting of a bucket in place of the one of its field, and notes
// in the bucket's state what applying other commands asks for.
func (b *Batch) setField(t *bucketTxn, rec *pb.Record) {
	number := t.state.GetNumber()
	was, err := readField(b.rows, number, rec.GetField())
	if err != nil {
		b.fail(err)
	} else if was != nil {
		t.sum.sub(b.hashes.beside(was))
		b.delete(dotKey(nil, number, was.GetDot()))
	}
	b.put(fieldKey(nil, number, rec.GetField()), rec)
	t.sum.add(b.hashes.beside(rec))
	b.showSetting(t, was, rec)
	t.state.MaxGeneration = max(t.state.GetMaxGeneration(), rec.GetGeneration())
	t.dirty = true
	b.noteFields(t)
}

// noteFields notes versioning and object lock in the bucket's state. Two sites may
// have suspended the one and enabled the other at one time: the lock wins.
func (b *Batch) noteFields(t *bucketTxn) {
	fields, err := readFields(b.rows, t.state.GetNumber())
	if err != nil {
		b.fail(err)
	}
	t.state.Versioning, t.state.Lock = versioningOf(fields)
}

// versioningOf gives versioning and object lock as the settings of a bucket have
// them; the lock is nil when it never was enabled.
func versioningOf(fields []*pb.Record) (v pb.Versioning, lock *pb.DefaultLock) {
	for _, f := range fields {
		switch f.GetField() {
		case FieldVersioning:
			v = f.GetValue().GetVersioning()
		case FieldLock:
			lock = f.GetValue().GetLock()
		}
	}
	if lock.GetEnabled() {
		v = pb.Versioning_VERSIONING_ENABLED
	}
	return v, lock
}
