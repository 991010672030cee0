package catalog

import (
	"slices"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// maxLosers bounds the versions of a key that are kept, or listed, because they
// lost against a version that was written without knowledge of them.
const maxLosers = 8

// Losers returns the contents among some records of one key that lost against the
// winner although its writer did not know of them, greatest first: what a user may
// want back. Content of which the writer of some other of the records knew was
// replaced or removed on purpose, and is not among them. The records may be in any
// order, and the winner may be one of them.
func Losers(winner *pb.Record, records []*pb.Record) []*pb.Record {
	var out []*pb.Record
	for _, r := range records {
		if !Live(r) || !Conflict(r, winner) {
			continue
		}
		known := slices.ContainsFunc(records, func(o *pb.Record) bool {
			return inContext(o.GetContext(), r.GetDot()) || o.GetTarget() != nil && sameDot(r, o.GetTarget())
		})
		if !known && !slices.ContainsFunc(out, func(o *pb.Record) bool { return sameDot(o, r.GetDot()) }) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *pb.Record) int { return Compare(b, a) })
	return out[:min(len(out), maxLosers)]
}
