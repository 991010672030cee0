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
// hold, and the result's record is the version, nil if there is none. NOT_FOUND: no
// bucket. INVALID: the key or the target cannot be.
//
// A removal that is inferred, and that a lock forbids, is answered like a purge that
// its writer made without knowing the lock: the version stays, and is offered again
// to those who have dropped it.
func (b *Batch) Purge(cmd *pb.Purge, now int64) *raftfsmpb.Result {
	t, k, refused := b.keyOf(cmd.GetBucket(), cmd.GetKey())
	if refused != nil {
		return refused
	}
	v, refused := b.target(t, k, cmd.GetTarget(), cmd.GetInferred())
	if refused != nil {
		return refused
	}
	if why := unmet(cmd.GetConditions(), v); why != "" {
		res := refuse(raftfsmpb.Code_CONFLICT, "%s", why)
		res.Record = v
		return res
	}
	if v == nil {
		return b.result(ok())
	}
	if why := b.lock(t, k, v).Forbids(now, cmd.GetBypass()); why != "" {
		if cmd.GetInferred() {
			return b.keep(t, k, v, now)
		}
		return refuse(raftfsmpb.Code_LOCKED, "the version must not be removed: %s", why)
	}
	rec := &pb.Record{
		Key: cmd.GetKey(), Kind: pb.RecordKind_RECORD_PURGE, Versioning: v.GetVersioning(), Target: v.GetDot(),
		Dot: b.nextDot(t), At: now, Bypass: cmd.GetBypass(), Known: known(b.attributes(t, k, v.GetDot())),
	}
	b.advanceEpoch(t)
	if HasID(v) {
		last := v
		if reg := b.register(t, k, v.GetDot()); reg != nil {
			last = reg
		}
		rec.Generation, rec.Time = Deletion(last)
		rec.Context = Context([]*pb.Record{v})
		b.purge(t, k, v, rec, nil, now)
	} else {
		rec.Generation, rec.Time = Deletion(v)
		rec.Context = Context(b.before(t, k))
		if Live(v) && (cmd.GetInferred() || neverVersioned(t, k)) {
			rec = &pb.Record{Key: rec.Key, Kind: pb.RecordKind_RECORD_TOMBSTONE, Dot: rec.Dot,
				Generation: rec.Generation, Time: rec.Time, Context: rec.Context}
			if !cmd.GetInferred() {
				rec.Generation, rec.Time = NextGeneration(k.prior(), 0), NextTime(k.prior(), now)
			}
		}
		b.insert(t, k, rec, nil, now, false)
	}
	return b.result(&raftfsmpb.Result{Record: rec, Removed: true, Marker: !Live(v)})
}

// revoke keeps a version with an id of its own although a record removes it: the
// revocation is ordered right above that, and the version is announced again to
// those who have carried the removal out.
func (b *Batch) revoke(t *bucketTxn, k *keyTxn, v, above *pb.Record, now int64) *pb.Record {
	rec := &pb.Record{
		Key: v.GetKey(), Kind: pb.RecordKind_RECORD_PURGE, Versioning: v.GetVersioning(), Target: v.GetDot(),
		Revoked: true, Dot: b.nextDot(t), Context: Context([]*pb.Record{above}), At: now,
	}
	rec.Generation, rec.Time = Deletion(above)
	b.appendLog(t, rec, nil, now, false)
	b.setRegister(t, k, v.GetDot(), rec)
	b.appendLog(t, v, nil, now, true)
	t.state.MaxGeneration = max(t.state.GetMaxGeneration(), rec.GetGeneration())
	b.save(t, k)
	return rec
}

// keep answers an inferred removal that a lock forbids.
func (b *Batch) keep(t *bucketTxn, k *keyTxn, v *pb.Record, now int64) *raftfsmpb.Result {
	b.advanceEpoch(t)
	if HasID(v) {
		above := v
		if reg := b.register(t, k, v.GetDot()); reg != nil {
			above = reg
		}
		return b.result(&raftfsmpb.Result{Record: b.revoke(t, k, v, above, now)})
	}
	back := rewritten(v, v, b.attributes(t, k, v.GetDot()))
	back.Dot = b.nextDot(t)
	b.insert(t, k, back, nil, now, false)
	return b.result(&raftfsmpb.Result{Record: back})
}

// neverVersioned reports whether neither the bucket nor the key knows of versions.
func neverVersioned(t *bucketTxn, k *keyTxn) bool {
	return t.state.GetVersioning() == pb.Versioning_VERSIONING_NEVER && nullLane(k.head)
}

// keyOf finds a bucket that exists and loads a key of it for a local change.
func (b *Batch) keyOf(path string, key []byte) (*bucketTxn, *keyTxn, *raftfsmpb.Result) {
	t, refused := b.live(path)
	if refused != nil {
		return nil, nil, refused
	}
	if b.c.self.IsZero() {
		return nil, nil, refuse(raftfsmpb.Code_INVALID, "this site is not initialised")
	}
	if err := CheckKey(key); err != nil {
		return nil, nil, refuse(raftfsmpb.Code_INVALID, "%v", err)
	}
	k := b.loadKey(t, key)
	if b.err != nil {
		return nil, nil, b.fail(b.err)
	}
	return t, k, nil
}

// target finds a version of a key by its name, or the null version without one;
// nil if there is none. any allows the name to be that of the null version.
func (b *Batch) target(t *bucketTxn, k *keyTxn, d *pb.Dot, any bool) (*pb.Record, *raftfsmpb.Result) {
	if d == nil {
		if n := k.null(); Visible(n) {
			return n, nil
		}
		return nil, nil
	}
	if err := CheckDot(d); err != nil {
		return nil, refuse(raftfsmpb.Code_INVALID, "target: %v", err)
	}
	if n := k.null(); any && Visible(n) && sameDot(n, d) {
		return n, nil
	}
	v := b.ownVersion(t, k, d)
	if b.err != nil {
		return nil, b.fail(b.err)
	}
	return v, nil
}

// known is what a purge tells of the lock's attributes that its writer had.
func known(attributes []*pb.Record) []*pb.Record {
	var out []*pb.Record
	for _, a := range attributes {
		if a.GetField() != FieldTags {
			out = append(out, &pb.Record{Field: a.GetField(), Value: a.GetValue(), Generation: a.GetGeneration(), Time: a.GetTime(), Dot: a.GetDot()})
		}
	}
	return out
}

// purge carries out the purge of a version with an id of its own, nil if it is not
// kept: the log gets an entry, the version goes, and the register stays.
func (b *Batch) purge(t *bucketTxn, k *keyTxn, v, rec *pb.Record, via []byte, now int64) {
	b.appendLog(t, rec, via, now, false)
	if v != nil {
		b.change(t, k, keyChange{nulls: k.nulls, drop: []*pb.Record{v}})
	}
	b.dropAttributes(t, k, rec.GetTarget())
	b.setRegister(t, k, rec.GetTarget(), rec)
	t.state.MaxGeneration = max(t.state.GetMaxGeneration(), rec.GetGeneration())
	b.save(t, k)
}

// SetAttribute changes what a version carries beside its content; now is the
// entry's time, Unix nanoseconds. The result's record is the attribute.
//
// NOT_FOUND: no bucket, or no such version. LOCKED: it would weaken a lock that
// must not be weakened. INVALID: the attribute cannot be, the version is a delete
// marker, or a lock is set in a bucket without object lock.
func (b *Batch) SetAttribute(cmd *pb.SetAttribute, now int64) *raftfsmpb.Result {
	t, k, refused := b.keyOf(cmd.GetBucket(), cmd.GetKey())
	if refused != nil {
		return refused
	}
	field := cmd.GetField()
	if err := CheckValue(field, cmd.GetValue()); err != nil {
		return refuse(raftfsmpb.Code_INVALID, "%v", err)
	}
	v := k.head
	if !cmd.GetLatest() {
		if v, refused = b.target(t, k, cmd.GetTarget(), true); refused != nil {
			return refused
		}
	}
	switch {
	case v == nil || !Visible(v):
		return refuse(raftfsmpb.Code_NOT_FOUND, "the version does not exist")
	case !Live(v):
		res := refuse(raftfsmpb.Code_INVALID, "the version is a delete marker, which has no attributes")
		res.Record, res.Marker = v, true
		return res
	}
	before := b.attributes(t, k, v.GetDot())
	if refused := lockable(t.state, cmd, EffectiveLock(v, before), now); refused != nil {
		return refused
	}
	last := fieldOf(before, field)
	rec := &pb.Record{
		Key: cmd.GetKey(), Kind: pb.RecordKind_RECORD_ATTRIBUTE, Target: v.GetDot(), Field: field,
		Value: valueOf(field, cmd.GetValue()), Dot: b.nextDot(t),
		Generation: NextGeneration(last, 0), Time: NextTime(last, now),
	}
	if err := CheckRecord(rec); err != nil {
		return refuse(raftfsmpb.Code_INVALID, "%v", err)
	}
	b.advanceEpoch(t)
	b.appendLog(t, rec, nil, now, false)
	b.setAttribute(t, k, rec)
	b.save(t, k)
	return b.result(&raftfsmpb.Result{Record: rec})
}

// lockable refuses a change of a lock that is not allowed.
func lockable(s *pb.BucketState, cmd *pb.SetAttribute, lock Lock, now int64) *raftfsmpb.Result {
	if cmd.GetField() == FieldTags {
		return nil
	}
	if !s.GetLock().GetEnabled() {
		return refuse(raftfsmpb.Code_INVALID, "a version cannot be locked: bucket %s does not have object lock", s.GetPath())
	}
	if cmd.GetField() != FieldRetention {
		return nil
	}
	mode, until := cmd.GetValue().GetMode(), cmd.GetValue().GetUntil()
	if why := lock.Weakens(mode, until, now, cmd.GetBypass()); why != "" {
		return refuse(raftfsmpb.Code_LOCKED, "%s", why)
	}
	if mode != pb.RetentionMode_RETENTION_NONE && until <= now {
		return refuse(raftfsmpb.Code_INVALID, "a retention cannot end in the past")
	}
	return nil
}

// valueOf is what counts of a value for an attribute of a version.
func valueOf(field string, v *pb.Value) *pb.Value {
	switch field {
	case FieldTags:
		return &pb.Value{Tags: v.GetTags()}
	case FieldRetention:
		return &pb.Value{Mode: v.GetMode(), Until: v.GetUntil()}
	}
	return &pb.Value{Hold: v.GetHold()}
}
