package catalog

import (
	"bytes"
	"fmt"
	"slices"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// Verdict is what the rules say about a record that another site offers.
type Verdict uint8

// The verdicts.
const (
	// Invalid: it breaks the rules for records; it is quarantined.
	Invalid Verdict = iota
	// Apply: it is news and is kept, as the head or in the history.
	Apply
	// Here: this very record is kept already.
	Here
	// Covered: it was seen before and dropped on purpose; it is ignored.
	Covered
	// Superseded: it is news, but greater versions fill the history that is
	// kept; it is not stored.
	Superseded
)

func (v Verdict) String() string {
	switch v {
	case Apply:
		return "apply"
	case Here:
		return "here"
	case Covered:
		return "covered"
	case Superseded:
		return "superseded"
	}
	return "invalid"
}

// Situation is what a verdict depends on besides the record.
type Situation struct {
	// Existing are the records kept of the key's null version, greatest first.
	Existing []*pb.Record
	// Here says that this very record is kept, if it is not among Existing.
	Here bool
	// Kept says that the version which a purge or an attribute names is kept.
	Kept bool
	// Register is what became of the version, with an id of its own, that the record
	// is or names; nil if nothing did.
	Register *pb.Record
	// Field is the attribute of the same version, or the setting, of the same field.
	Field *pb.Record
	// Above is the number of versions with an id of their own that are kept of the
	// key and are greater than the record; it counts where Bounded.
	Above int
	// Seen covers the dots of other origins, and of this site's former epochs,
	// that were seen here, pending ones too.
	Seen *pb.Vector
	// Pending says that the record is in the pending table, so that Seen does
	// not count for it.
	Pending bool
	// Restore says that somebody asked to get the record back: neither Seen nor
	// that it was written here counts against it.
	Restore bool
	// Self, Epoch and Seq are this site, its epoch and the bucket's last sequence.
	Self  state.SiteID
	Epoch uint32
	Seq   uint64
	// Versions is the number of versions that the bucket keeps of a key, and Bounded
	// says that it holds for those with an id of their own too.
	Versions int
	Bounded  bool
}

// Decide gives the verdict about a record that another site offers; with
// Invalid the cause is in words. It is deterministic.
//
// The records of a key fall into lanes that do not touch each other. The null lane
// holds the content without a version id, its deletions and its purges: the
// greatest counts. Each version with an id has a lane of its own, in which the
// greatest register counts, a purge or its revocation. Each field of a version's
// attributes, and of the bucket's settings, is a lane in which the greatest counts.
//
// In the null lane, a record that is covered and absent was dropped here on
// purpose. There is one exception: a tombstone that is greater than the visible head
// of the lane, content or a delete marker. It was dropped when it had done its work,
// and a lesser one that nobody here had seen arrived since; the tombstone has to do
// its work again, or this site would show what lost everywhere else. It is the same
// with a version that has an id, and the exception is one whose purge was revoked.
func Decide(s Situation, r *pb.Record) (Verdict, string) {
	if err := CheckRecord(r); err != nil {
		return Invalid, err.Error()
	}
	return s.decide(r)
}

// decide is Decide for a record that has passed CheckRecord.
func (s Situation) decide(r *pb.Record) (Verdict, string) {
	if s.Here || nullLane(r) && slices.ContainsFunc(s.Existing, func(e *pb.Record) bool { return sameDot(e, r.GetDot()) }) {
		return Here, ""
	}
	covered := Covers(s.Seen, r.GetDot()) && !s.Pending
	if bytes.Equal(r.GetDot().GetOrigin(), s.Self[:]) && r.GetDot().GetEpoch() >= s.Epoch {
		if r.GetDot().GetEpoch() > s.Epoch || r.GetDot().GetSeq() > s.Seq {
			return Invalid, fmt.Sprintf("it claims to be written here in epoch %d at sequence %d, but this site is in epoch %d at sequence %d: was this site restored from a backup without raising its epoch?",
				r.GetDot().GetEpoch(), r.GetDot().GetSeq(), s.Epoch, s.Seq)
		}
		covered = true
	}
	covered = covered && !s.Restore
	switch {
	case nullLane(r):
		return s.decideNull(r, covered), ""
	case r.GetKind() == pb.RecordKind_RECORD_ATTRIBUTE:
		return s.decideAttribute(r, covered), ""
	case r.GetKind() == pb.RecordKind_RECORD_BUCKET:
		// A setting is never dropped but for a greater one, or with the bucket.
		if s.Field != nil && Compare(s.Field, r) > 0 {
			return Superseded, ""
		}
		return Apply, ""
	case register(r):
		return s.decideRegister(r, covered), ""
	}
	return s.decideVersion(r, covered), ""
}

// decideNull is about the content without a version id, its deletions and purges.
func (s Situation) decideNull(r *pb.Record, covered bool) Verdict {
	if covered {
		again := !Live(r) && len(s.Existing) > 0 && Visible(s.Existing[0]) && Compare(r, s.Existing[0]) > 0
		if !again {
			return Covered
		}
	}
	if kept, _ := Retain(Insert(s.Existing, r), s.Versions); slices.Contains(kept, r) {
		return Apply
	}
	return Superseded
}

// revocation is that of a version's purge which the version brings along; nil if
// it does not.
func revocation(r *pb.Record) *pb.Record {
	for _, k := range r.GetKnown() {
		if register(k) {
			return k
		}
	}
	return nil
}

// decideVersion is about a version or a delete marker with an id of its own.
func (s Situation) decideVersion(r *pb.Record, covered bool) Verdict {
	last := s.Register
	if k := revocation(r); k != nil && (last == nil || Compare(k, last) > 0) {
		last = k
	}
	switch {
	case removes(last):
		return Superseded
	case covered && last == nil:
		return Covered
	case s.Bounded && s.Above >= s.Versions && r.GetLock() == nil:
		return Superseded
	}
	return Apply
}

// decideRegister is about a purge or its revocation.
func (s Situation) decideRegister(r *pb.Record, covered bool) Verdict {
	switch {
	case s.Register != nil && Compare(s.Register, r) > 0:
		return Superseded
	case covered && s.Register == nil && (!s.Kept || r.GetRevoked()):
		return Covered // it was dropped with its work done
	}
	return Apply
}

// decideAttribute is about an attribute of a version. One whose version is not
// here waits for it, unless both were seen and dropped.
func (s Situation) decideAttribute(r *pb.Record, covered bool) Verdict {
	switch {
	case s.Field != nil && Compare(s.Field, r) > 0:
		return Superseded
	case s.Kept || s.Register != nil && s.Register.GetRevoked():
		return Apply
	case s.Register != nil:
		return Superseded
	case covered:
		return Covered
	}
	return Apply
}

// Insert returns the records of a null lane, greatest first, with one more in its
// place. The argument is not changed.
func Insert(records []*pb.Record, r *pb.Record) []*pb.Record {
	at, _ := slices.BinarySearchFunc(records, r, func(a, b *pb.Record) int { return Compare(b, a) })
	out := make([]*pb.Record, 0, len(records)+1)
	return append(append(append(out, records[:at]...), r), records[at:]...)
}

// Retain divides the records of a null lane, greatest first, into those that are
// kept and those that are dropped. Kept are the head and the versions-1 greatest
// versions of content below it (versions below 1 count as 1): the head never
// changes, and a tombstone below the head says nothing any more. What is kept
// of a set of records does not depend on the order in which they came.
func Retain(records []*pb.Record, versions int) (kept, dropped []*pb.Record) {
	for i, r := range records {
		if i == 0 || Live(r) && len(kept) < versions {
			kept = append(kept, r)
		} else {
			dropped = append(dropped, r)
		}
	}
	return kept, dropped
}
