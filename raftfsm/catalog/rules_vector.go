package catalog

import (
	"bytes"
	"cmp"
	"slices"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

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
	return &pb.Vector{Upto: out, Sparse: a.GetSparse() || b.GetSparse()}
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
	return &pb.Vector{Upto: out, Sparse: v.GetSparse()}
}

// Untold returns the dots that a site must not tell others it has seen while a
// record is pending: the record itself, and the versions whose place it took at
// the sender. Those may be missing here because of that; told that they were seen
// and not kept, another site would take them for deleted. A version with an id of
// its own takes no other's place, an attribute or a setting only that of one that
// is not missed; any other record takes that of what its writer had seen, and a
// purge that of its target. all says that they are too many to be noted for each
// pending record: then the site tells nothing of other origins.
func Untold(pending *pb.Record) (dots []*pb.Dot, all bool) {
	switch {
	case register(pending):
		return []*pb.Dot{pending.GetTarget(), pending.GetDot()}, false
	case nullLane(pending):
		if len(pending.GetContext()) > maxUntold {
			return nil, true
		}
		return append(slices.Clone(pending.GetContext()), pending.GetDot()), false
	}
	return []*pb.Dot{pending.GetDot()}, false
}

// maxUntold bounds the memory that a pending record takes. No key is written by
// that many sites; a record from outside may claim it.
const maxUntold = 64
