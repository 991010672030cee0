package catalog

import (
	"testing"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

func TestBeats(t *testing.T) {
	const enabled, suspended = pb.Versioning_VERSIONING_ENABLED, pb.Versioning_VERSIONING_SUSPENDED
	dot := func(seq uint64) *pb.Dot { id := siteID(1); return &pb.Dot{Origin: id.Bytes(), Epoch: 1, Seq: seq} }
	record := func(kind pb.RecordKind, v pb.Versioning, generation uint64, target uint64) *pb.Record {
		r := &pb.Record{Kind: kind, Versioning: v, Generation: generation, Dot: dot(generation)}
		if target > 0 {
			r.Target = dot(target)
		}
		return r
	}
	const version, tombstone = pb.RecordKind_RECORD_VERSION, pb.RecordKind_RECORD_TOMBSTONE
	const purge, attribute = pb.RecordKind_RECORD_PURGE, pb.RecordKind_RECORD_ATTRIBUTE
	revoked := record(purge, enabled, 9, 3)
	revoked.Revoked = true
	for _, c := range []struct {
		name        string
		deletion, r *pb.Record
		want        bool
	}{
		{"a deletion, what is lesser", record(tombstone, 0, 5, 0), record(version, 0, 4, 0), true},
		{"a deletion, what is greater", record(tombstone, 0, 5, 0), record(version, 0, 6, 0), false},
		{"a deletion, a version with an id", record(tombstone, suspended, 5, 0), record(version, enabled, 4, 0), false},
		{"a null purge, the null version", record(purge, suspended, 5, 4), record(version, 0, 4, 0), true},
		{"a delete marker", record(tombstone, enabled, 5, 0), record(version, enabled, 4, 0), false},
		{"a delete marker, the null version", record(tombstone, enabled, 5, 0), record(version, 0, 4, 0), false},
		{"a purge, its version", record(purge, enabled, 5, 3), record(version, enabled, 3, 0), true},
		{"a purge, its version, though that is greater", record(purge, enabled, 5, 7), record(version, enabled, 7, 0), true},
		{"a purge, another version", record(purge, enabled, 5, 3), record(version, enabled, 4, 0), false},
		{"a purge, an attribute of its version", record(purge, enabled, 5, 3), record(attribute, 0, 4, 3), true},
		{"a purge, an attribute of another", record(purge, enabled, 5, 3), record(attribute, 0, 3, 2), false},
		{"a revocation", revoked, record(version, enabled, 3, 0), false},
		{"content", record(version, 0, 5, 0), record(version, 0, 4, 0), false},
	} {
		if got := Beats(c.deletion, c.r); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
