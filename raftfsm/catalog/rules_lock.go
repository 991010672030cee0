package catalog

import pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"

// Lock is what keeps a version from being removed: the lock it was written with,
// and what attributes have made of it.
type Lock struct {
	Mode  pb.RetentionMode
	Until int64 // with a mode: the retention ends then, Unix nanoseconds
	Hold  bool  // a legal hold, without an end
}

// Retained reports whether the retention is in force at a time, Unix nanoseconds.
func (l Lock) Retained(now int64) bool {
	return l.Mode != pb.RetentionMode_RETENTION_NONE && l.Until > now
}

// Forbids says why a version must not be removed at a time, Unix nanoseconds, by
// somebody who may bypass governance retention or may not; nothing if it may be.
func (l Lock) Forbids(now int64, bypass bool) string {
	switch {
	case l.Hold:
		return "it is under a legal hold"
	case !l.Retained(now):
		return ""
	case l.Mode == pb.RetentionMode_RETENTION_COMPLIANCE:
		return "it is under compliance retention"
	case !bypass:
		return "it is under governance retention"
	}
	return ""
}

// lockOf is the lock that a version was written with.
func lockOf(r *pb.Record) Lock {
	l := r.GetLock()
	return Lock{Mode: l.GetMode(), Until: l.GetUntil(), Hold: l.GetHold()}
}

// EffectiveLock is the lock of a version with its attributes, in any order: the
// last of each field counts, but compliance retention that the version was
// written with never ends before its time.
func EffectiveLock(r *pb.Record, attributes []*pb.Record) Lock {
	own := lockOf(r)
	l := own
	for _, a := range attributes {
		switch a.GetField() {
		case FieldHold:
			l.Hold = a.GetValue().GetHold()
		case FieldRetention:
			l.Mode, l.Until = a.GetValue().GetMode(), a.GetValue().GetUntil()
		}
	}
	const compliance = pb.RetentionMode_RETENTION_COMPLIANCE
	if own.Mode == compliance && (l.Mode != compliance || l.Until < own.Until) {
		l.Mode, l.Until = compliance, own.Until
	}
	return l
}

// effectiveTags are the tags of a version with its attributes.
func effectiveTags(r *pb.Record, attributes []*pb.Record) map[string]string {
	for _, a := range attributes {
		if a.GetField() == FieldTags {
			return a.GetValue().GetTags()
		}
	}
	return r.GetTags()
}

// Weakens says how a retention would be weaker than the lock that is, at a time,
// Unix nanoseconds, in a way that somebody who may bypass governance retention or
// may not must not bring about; nothing if it would not.
func (l Lock) Weakens(mode pb.RetentionMode, until int64, now int64, bypass bool) string {
	const compliance = pb.RetentionMode_RETENTION_COMPLIANCE
	shorter := mode == pb.RetentionMode_RETENTION_NONE || until < l.Until
	switch {
	case !l.Retained(now):
		return ""
	case l.Mode == compliance && (shorter || mode != compliance):
		return "compliance retention can only be extended"
	case l.Mode != compliance && shorter && !bypass:
		return "governance retention can only be extended"
	}
	return ""
}

// Voided says why a purge from another site does not remove a version that is
// kept here; nothing if it does. attributes are those of the version here.
//
// The purge's writer has checked the version's lock as it knew it. What it did not
// know of stands against the purge: a legal hold or a retention that is newer than
// what it had of that field. So does compliance retention that the version itself
// carries, whatever the writer made of it.
func Voided(purge, version *pb.Record, attributes []*pb.Record) string {
	own := version.GetLock()
	if own.GetMode() == pb.RetentionMode_RETENTION_COMPLIANCE && own.GetUntil() > purge.GetAt() {
		return "the version was written with compliance retention"
	}
	for _, a := range attributes {
		if knownTo(purge, a) {
			continue
		}
		l := EffectiveLock(&pb.Record{}, []*pb.Record{a})
		if why := l.Forbids(purge.GetAt(), purge.GetBypass()); why != "" {
			return why
		}
	}
	return ""
}

// knownTo reports whether the writer of a purge had an attribute, or a greater one
// of the same field.
func knownTo(purge, attribute *pb.Record) bool {
	for _, k := range purge.GetKnown() {
		if k.GetField() == attribute.GetField() {
			return Compare(k, attribute) >= 0
		}
	}
	return false
}
