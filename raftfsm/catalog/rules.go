package catalog

import (
	"bytes"
	"cmp"
	"slices"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// CompareDots orders dots by origin, epoch and sequence: -1, 0 or +1.
func CompareDots(a, b *pb.Dot) int {
	return cmp.Or(
		bytes.Compare(a.GetOrigin(), b.GetOrigin()),
		cmp.Compare(a.GetEpoch(), b.GetEpoch()),
		cmp.Compare(a.GetSeq(), b.GetSeq()))
}

// Compare orders the versions of one key: by generation, time and origin, and
// for totality by the rest of the dot. It returns -1, 0 or +1; the greatest
// version of a key is its head, at every site. It is 0 only for equal dots.
func Compare(a, b *pb.Record) int {
	return cmp.Or(
		cmp.Compare(a.GetGeneration(), b.GetGeneration()),
		cmp.Compare(a.GetTime(), b.GetTime()),
		CompareDots(a.GetDot(), b.GetDot()))
}

// Conflict reports whether two versions of one key were written without
// knowledge of each other: neither's context covers the other's dot. It is
// symmetric and depends on the two records alone.
func Conflict(a, b *pb.Record) bool {
	return CompareDots(a.GetDot(), b.GetDot()) != 0 &&
		!inContext(a.GetContext(), b.GetDot()) &&
		!inContext(b.GetContext(), a.GetDot())
}

// inContext reports whether a context names the dot, or a later one of its
// origin: a writer that saw an origin's later version of a key knew of the
// earlier ones.
func inContext(context []*pb.Dot, d *pb.Dot) bool {
	for _, c := range context {
		if bytes.Equal(c.GetOrigin(), d.GetOrigin()) {
			return cmp.Or(cmp.Compare(c.GetEpoch(), d.GetEpoch()), cmp.Compare(c.GetSeq(), d.GetSeq())) >= 0
		}
	}
	return false
}

// Context returns what a new version of a key is written in knowledge of: for
// each origin the last dot of the key among the versions that exist and their
// own contexts, ordered by origin. The dots are shared with the arguments.
func Context(existing []*pb.Record) []*pb.Dot {
	var out []*pb.Dot
	add := func(d *pb.Dot) {
		i, found := slices.BinarySearchFunc(out, d, func(a, b *pb.Dot) int {
			return bytes.Compare(a.GetOrigin(), b.GetOrigin())
		})
		switch {
		case !found:
			out = slices.Insert(out, i, d)
		case CompareDots(out[i], d) < 0:
			out[i] = d
		}
	}
	for _, r := range existing {
		for _, d := range r.GetContext() {
			add(d)
		}
		add(r.GetDot())
	}
	return out
}

// NextGeneration is the generation of a local write: one above the head's, so
// that a write beats what its writer saw whatever the clocks say, or above the
// bucket's floor when the key has no record, so that it beats what was dropped.
// It stays within MaxGeneration, or other sites would refuse the write; there
// [NextTime] still makes the write win.
func NextGeneration(head *pb.Record, floor uint64) uint64 {
	if head != nil {
		floor = head.GetGeneration()
	}
	return min(floor+1, MaxGeneration)
}

// Deletion returns the generation and time of a deletion of one record and no
// more: it is ordered right above the record, below everything that was written
// in knowledge of it. It is how a site follows a deletion that it only infers: a
// newer version that it has not met must survive.
func Deletion(of *pb.Record) (generation uint64, time int64) {
	return of.GetGeneration(), min(of.GetTime()+1, MaxTime)
}

// NextTime is the time of a local write: the writer's, but later than the
// head's, and within MaxTime.
func NextTime(head *pb.Record, now int64) int64 {
	if head != nil && now <= head.GetTime() {
		now = head.GetTime() + 1
	}
	return min(now, MaxTime)
}

// Live reports whether a head makes its key exist: it is content.
func Live(head *pb.Record) bool { return head.GetKind() == pb.RecordKind_RECORD_VERSION }

// HasID reports whether a version or a delete marker has a version id of its own,
// or whether what a purge removes has: it was written while versioning was
// enabled. All others are states of the one null version of their key.
func HasID(r *pb.Record) bool { return r.GetVersioning() == pb.Versioning_VERSIONING_ENABLED }

// Visible reports whether S3 lists a record among the versions of its key:
// content does, and a delete marker. A deletion that was written where versioning
// never was enabled shows only in the absence of the null version.
func Visible(r *pb.Record) bool {
	return Live(r) || r.GetKind() == pb.RecordKind_RECORD_TOMBSTONE && r.GetVersioning() != pb.Versioning_VERSIONING_NEVER
}

// nullLane reports whether a record is of the null version of its key: the
// content, its deletion, or its purge. Of all those the greatest counts.
func nullLane(r *pb.Record) bool {
	switch r.GetKind() {
	case pb.RecordKind_RECORD_VERSION, pb.RecordKind_RECORD_TOMBSTONE, pb.RecordKind_RECORD_PURGE:
		return !HasID(r)
	}
	return false
}

// register reports whether a record says what became of a version with an id of
// its own: a purge, or the revocation of one.
func register(r *pb.Record) bool { return r.GetKind() == pb.RecordKind_RECORD_PURGE && HasID(r) }

// BringsAlong reports whether a version comes with its attributes, because its purge was
// revoked.
func BringsAlong(r *pb.Record) bool {
	return r.GetKind() != pb.RecordKind_RECORD_PURGE && len(r.GetKnown()) > 0
}

// removes reports whether a register says that its version is gone for good.
func removes(register *pb.Record) bool { return register != nil && !register.GetRevoked() }
