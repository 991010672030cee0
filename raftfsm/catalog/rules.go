package catalog

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// Limits of what a record may hold. They are part of the link protocol: a
// record beyond them is quarantined by every site.
const (
	// MaxKey is the greatest length of a key in bytes.
	MaxKey = 1024
	// MaxGeneration is the greatest generation accepted from another site. Above
	// it a site could make its versions unbeatable.
	MaxGeneration = 1 << 62
	// MaxTime is the greatest time accepted from another site.
	MaxTime = 1 << 62
	// MaxRecordSize is the greatest encoded size of a record in bytes; the sizes
	// of 10,000 parts and all metadata that S3 allows fit in.
	MaxRecordSize = 96 << 10
	// MaxObjectSize is the greatest number of logical bytes of one version; sums
	// over a bucket cannot overflow.
	MaxObjectSize = 1 << 50
	// MaxOrigins is the greatest number of entries of a vector or a context.
	MaxOrigins = 4096
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

// Covers reports whether a vector says that the dot was seen. A nil vector
// covers nothing.
func Covers(v *pb.Vector, d *pb.Dot) bool {
	i, found := findUpto(v.GetUpto(), d)
	return found && v.GetUpto()[i].GetSeq() >= d.GetSeq()
}

// findUpto finds the entry of a dot's origin and epoch, or where it belongs.
func findUpto(upto []*pb.Dot, d *pb.Dot) (int, bool) {
	return slices.BinarySearchFunc(upto, d, func(a, b *pb.Dot) int {
		return cmp.Or(bytes.Compare(a.GetOrigin(), b.GetOrigin()), cmp.Compare(a.GetEpoch(), b.GetEpoch()))
	})
}

// MergeVector returns a vector that covers what a or b covers, ordered. Neither
// is changed; entries are shared. b need not be ordered, so that a vector from
// outside becomes an ordered one; a must be.
func MergeVector(a, b *pb.Vector) *pb.Vector {
	out := slices.Clone(a.GetUpto())
	for _, d := range b.GetUpto() {
		i, found := findUpto(out, d)
		switch {
		case !found:
			out = slices.Insert(out, i, d)
		case out[i].GetSeq() < d.GetSeq():
			out[i] = d
		}
	}
	return &pb.Vector{Upto: out}
}

// CapVector returns a vector that covers what v covers, except the given dots and
// the later ones of the same origin and epoch. v is not changed; entries are
// shared.
func CapVector(v *pb.Vector, except []*pb.Dot) *pb.Vector {
	out := slices.Clone(v.GetUpto())
	for _, d := range except {
		i, found := findUpto(out, d)
		if !found || out[i].GetSeq() < d.GetSeq() {
			continue
		}
		if d.GetSeq() <= 1 {
			out = slices.Delete(out, i, i+1)
			continue
		}
		out[i] = &pb.Dot{Origin: d.GetOrigin(), Epoch: d.GetEpoch(), Seq: d.GetSeq() - 1}
	}
	return &pb.Vector{Upto: out}
}

// Untold returns the dots that a site must not tell others it has seen while a
// record is pending: the record itself, and the versions that its writer had
// seen. Those may be missing here because the record took their place at the
// sender; told that they were seen and not kept, another site would take them
// for deleted. all says that they are too many to be noted for each pending
// record: then the site tells nothing of other origins.
func Untold(pending *pb.Record) (dots []*pb.Dot, all bool) {
	if len(pending.GetContext()) > maxUntold {
		return nil, true
	}
	return append(slices.Clone(pending.GetContext()), pending.GetDot()), false
}

// maxUntold bounds the memory that a pending record takes. No key is written by
// that many sites; a record from outside may claim it.
const maxUntold = 64

// CheckVector says what is wrong with a vector from outside, or nothing. The
// order of its entries does not matter.
func CheckVector(v *pb.Vector) error {
	if n := len(v.GetUpto()); n > MaxOrigins {
		return fmt.Errorf("check vector: %d entries, more than %d", n, MaxOrigins)
	}
	for _, d := range v.GetUpto() {
		if err := CheckDot(d); err != nil {
			return fmt.Errorf("check vector: %w", err)
		}
	}
	return nil
}

// CheckDot says what is wrong with a dot from outside, or nothing.
func CheckDot(d *pb.Dot) error {
	if _, err := state.SiteIDFromBytes(d.GetOrigin()); err != nil {
		return fmt.Errorf("check dot: origin: %w", err)
	}
	if d.GetSeq() == 0 {
		return fmt.Errorf("check dot: sequence is 0")
	}
	return nil
}

// CheckRecord says what is wrong with a record from outside, or nothing. A
// record that fails it while its dot passes [CheckDot] can be named, and so be
// quarantined; one whose dot is wrong too cannot be kept at all.
func CheckRecord(r *pb.Record) error {
	if err := CheckDot(r.GetDot()); err != nil {
		return err
	}
	if err := CheckKey(r.GetKey()); err != nil {
		return err
	}
	switch {
	case r.GetKind() != pb.RecordKind_RECORD_VERSION && r.GetKind() != pb.RecordKind_RECORD_TOMBSTONE:
		return fmt.Errorf("check record: kind %d is not known here; a newer release may know it", r.GetKind())
	case r.GetGeneration() == 0 || r.GetGeneration() > MaxGeneration:
		return fmt.Errorf("check record: generation %d is not between 1 and 2^62", r.GetGeneration())
	case r.GetTime() > MaxTime || r.GetTime() < -MaxTime:
		return fmt.Errorf("check record: time %d is out of range", r.GetTime())
	case len(r.GetContext()) > MaxOrigins:
		return fmt.Errorf("check record: context of %d entries, more than %d", len(r.GetContext()), MaxOrigins)
	case r.GetRoot().GetSize() > MaxObjectSize:
		return fmt.Errorf("check record: size %d is above the limit of %d bytes", r.GetRoot().GetSize(), uint64(MaxObjectSize))
	}
	if n := len(r.GetRoot().GetId()); n != 0 && n != 32 {
		return fmt.Errorf("check record: root id of %d bytes, not 32", n)
	}
	for i, d := range r.GetContext() {
		if err := CheckDot(d); err != nil {
			return fmt.Errorf("check record: context: %w", err)
		}
		if i > 0 && bytes.Compare(r.GetContext()[i-1].GetOrigin(), d.GetOrigin()) >= 0 {
			return fmt.Errorf("check record: context is not ordered by origin")
		}
	}
	if n := proto.Size(r); n > MaxRecordSize {
		return fmt.Errorf("check record: %d bytes, more than %d", n, MaxRecordSize)
	}
	return nil
}

// CheckKey says what is wrong with an object key, or nothing.
func CheckKey(key []byte) error {
	switch {
	case len(key) == 0:
		return fmt.Errorf("check key: it is empty")
	case len(key) > MaxKey:
		return fmt.Errorf("check key: %d bytes, more than %d", len(key), MaxKey)
	case !utf8.Valid(key):
		return fmt.Errorf("check key: not UTF-8")
	}
	return nil
}

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
	// Existing are the records kept of the key, greatest first.
	Existing []*pb.Record
	// Seen covers the dots of other origins, and of this site's former epochs,
	// that were seen here, pending ones too.
	Seen *pb.Vector
	// Pending says that the record is in the pending table, so that Seen does
	// not count for it.
	Pending bool
	// Self, Epoch and Seq are this site, its epoch and the bucket's last sequence.
	Self  state.SiteID
	Epoch uint32
	Seq   uint64
	// Versions is the number of versions that the bucket keeps of a key.
	Versions int
}

// Decide gives the verdict about a record that another site offers; with
// Invalid the cause is in words. It is deterministic.
//
// A record that is covered and absent was dropped here on purpose. There is one
// exception: a tombstone that is greater than the live head of the key. It was
// dropped when it had done its work, and a lesser version that nobody here had
// seen arrived since; the tombstone has to do its work again, or this site would
// keep a version that lost everywhere else.
func Decide(s Situation, r *pb.Record) (Verdict, string) {
	if err := CheckRecord(r); err != nil {
		return Invalid, err.Error()
	}
	return s.decide(r)
}

// decide is Decide for a record that has passed CheckRecord.
func (s Situation) decide(r *pb.Record) (Verdict, string) {
	for _, e := range s.Existing {
		if CompareDots(e.GetDot(), r.GetDot()) == 0 {
			return Here, ""
		}
	}
	covered := Covers(s.Seen, r.GetDot()) && !s.Pending
	if bytes.Equal(r.GetDot().GetOrigin(), s.Self[:]) && r.GetDot().GetEpoch() >= s.Epoch {
		if r.GetDot().GetEpoch() > s.Epoch || r.GetDot().GetSeq() > s.Seq {
			return Invalid, fmt.Sprintf("it claims to be written here in epoch %d at sequence %d, but this site is in epoch %d at sequence %d: was this site restored from a backup without raising its epoch?",
				r.GetDot().GetEpoch(), r.GetDot().GetSeq(), s.Epoch, s.Seq)
		}
		covered = true
	}
	if covered {
		again := !Live(r) && len(s.Existing) > 0 && Live(s.Existing[0]) && Compare(r, s.Existing[0]) > 0
		if !again {
			return Covered, ""
		}
	}
	kept, _ := Retain(Insert(s.Existing, r), s.Versions)
	if slices.Contains(kept, r) {
		return Apply, ""
	}
	return Superseded, ""
}

// Insert returns the records of a key, greatest first, with one more in its
// place. The argument is not changed.
func Insert(records []*pb.Record, r *pb.Record) []*pb.Record {
	at, _ := slices.BinarySearchFunc(records, r, func(a, b *pb.Record) int { return Compare(b, a) })
	out := make([]*pb.Record, 0, len(records)+1)
	return append(append(append(out, records[:at]...), r), records[at:]...)
}

// Retain divides the records of a key, greatest first, into those that are kept
// and those that are dropped. Kept are the head and the versions-1 greatest
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

// Offer reports whether a sender offers a log entry to a peer whose vector it
// knows: not one that came from the peer, and not one that the peer has seen,
// except a tombstone that is announced again.
func Offer(e *pb.LogEntry, peer state.SiteID, peerSeen *pb.Vector) bool {
	if bytes.Equal(e.GetVia(), peer[:]) {
		return false
	}
	return e.GetAgain() || !Covers(peerSeen, e.GetDot())
}

// AnnounceApplied reports whether a tombstone from a peer, about to become the
// head of a key, is offered even to peers that have seen it: it beats a live
// head that its writer did not know, or it was dropped here before. A peer that
// took that head from here may have dropped the tombstone already.
func AnnounceApplied(tombstone, head *pb.Record, covered bool) bool {
	return !Live(tombstone) && Live(head) && Compare(tombstone, head) > 0 &&
		(covered || Conflict(tombstone, head))
}

// Announce reports whether a tombstone that a site holds must be announced again
// because a version that a peer sent has lost against it: the peer says that it
// has seen the tombstone, so it has dropped it and keeps the version alive.
func Announce(tombstone, lost *pb.Record, peerSeen *pb.Vector) bool {
	return !Live(tombstone) && Covers(peerSeen, tombstone.GetDot()) && Compare(tombstone, lost) > 0
}

// DroppedThere reports whether a live local head was dropped at a sender on
// purpose: the sender's vector covers it, and the sender keeps neither it nor
// anything greater of the key. senderHead is the greatest record that the sender
// keeps of the key, nil if none. The local site answers with a deletion.
func DroppedThere(local, senderHead *pb.Record, senderSeen *pb.Vector) bool {
	return Live(local) && Covers(senderSeen, local.GetDot()) &&
		(senderHead == nil || Compare(senderHead, local) < 0)
}
