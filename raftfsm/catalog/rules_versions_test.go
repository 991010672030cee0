package catalog

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// own makes a version with an id of its own, of key k.
func own(generation uint64, d *pb.Dot) *pb.Record {
	r := content(generation, 1, d)
	r.Versioning = enabled
	return r
}

// purgeOf makes a purge of a version, or its revocation.
func purgeOf(target *pb.Record, time int64, d *pb.Dot, revoked bool) *pb.Record {
	return &pb.Record{Key: []byte("k"), Kind: pb.RecordKind_RECORD_PURGE, Versioning: target.GetVersioning(), Target: target.GetDot(),
		Generation: target.GetGeneration(), Time: time, Dot: d, Revoked: revoked}
}

// tagsOf makes an attribute of a version.
func tagsOf(target *pb.Record, generation uint64, d *pb.Dot) *pb.Record {
	return &pb.Record{Key: []byte("k"), Kind: pb.RecordKind_RECORD_ATTRIBUTE, Target: target.GetDot(), Field: FieldTags,
		Value: &pb.Value{}, Generation: generation, Time: 1, Dot: d}
}

func TestDecideVersions(t *testing.T) {
	v := own(1, dot(2, 1, 1))
	purged, revoked := purgeOf(v, 2, dot(2, 1, 5), false), purgeOf(v, 3, dot(3, 1, 5), true)
	back := proto.CloneOf(v)
	back.Known = []*pb.Record{revoked}
	locked := proto.CloneOf(v)
	locked.Lock = &pb.Lock{Hold: true}
	tags, newer := tagsOf(v, 1, dot(2, 1, 7)), tagsOf(v, 2, dot(3, 1, 7))
	setting := &pb.Record{Kind: pb.RecordKind_RECORD_BUCKET, Field: FieldCORS, Value: &pb.Value{}, Generation: 2, Time: 1, Dot: dot(2, 1, 9)}
	later := proto.CloneOf(setting)
	later.Generation, later.Dot = 3, dot(3, 1, 9)
	all := vector(dot(2, 1, 9), dot(3, 1, 9))
	for _, c := range []struct {
		name string
		s    Situation
		r    *pb.Record
		want Verdict
	}{
		{"version: news", Situation{}, v, Apply},
		{"version: kept", Situation{Here: true}, v, Here},
		{"version: seen and dropped", Situation{Seen: all}, v, Covered},
		{"version: seen, but pending", Situation{Seen: all, Pending: true}, v, Apply},
		{"version: purged", Situation{Register: purged}, v, Superseded},
		{"version: purged, seen", Situation{Register: purged, Seen: all}, v, Superseded},
		{"version: its purge was revoked", Situation{Register: revoked, Seen: all}, v, Apply},
		{"version: it brings the revocation", Situation{Seen: all}, back, Apply},
		{"version: it brings a revocation above the purge", Situation{Register: purged, Seen: all}, back, Apply},
		{"version: it brings a revocation below the last purge", Situation{Register: purgeOf(v, 4, dot(2, 1, 8), false)}, back, Superseded},
		{"version: others fill the history", Situation{Bounded: true, Versions: 2, Above: 2}, v, Superseded},
		{"version: room is left", Situation{Bounded: true, Versions: 2, Above: 1}, v, Apply},
		{"version: no bound", Situation{Versions: 1, Above: 5}, v, Apply},
		{"version: locked, others fill the history", Situation{Bounded: true, Versions: 2, Above: 2}, locked, Apply},
		{"version: the null version does not matter", Situation{Existing: []*pb.Record{tombstone(9, 9, dot(4, 1, 1))}, Versions: 1}, v, Apply},

		{"purge: news", Situation{Kept: true}, purged, Apply},
		{"purge: before its version", Situation{}, purged, Apply},
		{"purge: kept", Situation{Here: true}, purged, Here},
		{"purge: done and dropped", Situation{Seen: all}, purged, Covered},
		{"purge: dropped, but the version is here", Situation{Seen: all, Kept: true}, purged, Apply},
		{"purge: revoked already", Situation{Kept: true, Register: revoked}, purged, Superseded},
		{"revocation: of a purge here", Situation{Register: purged}, revoked, Apply},
		{"revocation: dropped", Situation{Seen: all, Kept: true}, revoked, Covered},

		{"attribute: news", Situation{Kept: true}, tags, Apply},
		{"attribute: before its version", Situation{}, tags, Apply},
		{"attribute: seen and dropped", Situation{Seen: all}, tags, Covered},
		{"attribute: seen, its version is here", Situation{Seen: all, Kept: true}, tags, Apply},
		{"attribute: of a purged version", Situation{Register: purged}, tags, Superseded},
		{"attribute: of one whose purge was revoked", Situation{Register: revoked, Seen: all}, tags, Apply},
		{"attribute: a newer one is here", Situation{Kept: true, Field: newer}, tags, Superseded},
		{"attribute: newer than what is here", Situation{Kept: true, Field: tags}, newer, Apply},

		{"setting: news", Situation{}, setting, Apply},
		{"setting: seen", Situation{Seen: all}, setting, Apply},
		{"setting: a newer one is here", Situation{Field: later}, setting, Superseded},
		{"setting: newer than what is here", Situation{Field: setting}, later, Apply},

		{"null purge: of what is here", Situation{Existing: []*pb.Record{content(1, 1, dot(2, 1, 1))}}, purgeOf(content(1, 1, dot(2, 1, 1)), 2, dot(2, 1, 2), false), Apply},
		{"null purge: a newer null version is here", Situation{Existing: []*pb.Record{content(2, 1, dot(2, 1, 3))}}, purgeOf(content(1, 1, dot(2, 1, 1)), 2, dot(2, 1, 2), false), Superseded},
	} {
		if got, why := Decide(c.s, c.r); got != c.want {
			t.Errorf("%s: %v %s, want %v", c.name, got, why, c.want)
		}
	}
}

func TestPurgedThere(t *testing.T) {
	v := own(1, dot(2, 1, 5))
	revoked := purgeOf(v, 3, dot(3, 1, 5), true)
	sparse := vector(dot(2, 1, 9))
	sparse.Sparse = true
	for _, c := range []struct {
		name            string
		register        *pb.Record
		kept, register2 bool
		seen            *pb.Vector
		want            bool
	}{
		{"seen and absent", nil, false, false, vector(dot(2, 1, 5)), true},
		{"not seen", nil, false, false, vector(dot(2, 1, 4)), false},
		{"kept", nil, true, false, vector(dot(2, 1, 5)), false},
		{"a register is there", nil, false, true, vector(dot(2, 1, 5)), false},
		{"it may be beyond a bound", nil, false, false, sparse, false},
		{"a revocation that was not seen", revoked, false, false, vector(dot(2, 1, 9)), false},
		{"a revocation that was seen", revoked, false, false, vector(dot(2, 1, 9), dot(3, 1, 5)), true},
	} {
		if got := PurgedThere(v, c.register, c.kept, c.register2, c.seen); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestCheckVersions: records of the kinds that versions bring are refused when they
// cannot be.
func TestCheckVersions(t *testing.T) {
	v := own(1, dot(2, 1, 1))
	purge, tags := purgeOf(v, 2, dot(2, 1, 5), false), tagsOf(v, 1, dot(2, 1, 7))
	setting := &pb.Record{Kind: pb.RecordKind_RECORD_BUCKET, Field: FieldCORS, Value: &pb.Value{}, Generation: 2, Time: 1, Dot: dot(2, 1, 9)}
	revoked := purgeOf(v, 3, dot(3, 1, 5), true)
	for _, c := range []struct {
		name string
		r    *pb.Record
		edit func(r *pb.Record)
		ok   bool
	}{
		{"version", v, func(*pb.Record) {}, true},
		{"purge", purge, func(*pb.Record) {}, true},
		{"attribute", tags, func(*pb.Record) {}, true},
		{"setting", setting, func(*pb.Record) {}, true},
		{"a kind of later", v, func(r *pb.Record) { r.Kind = 6 }, false},
		{"versioning of later", v, func(r *pb.Record) { r.Versioning = 3 }, false},
		{"content with a target", v, func(r *pb.Record) { r.Target = dot(1, 1, 1) }, false},
		{"content with a field", v, func(r *pb.Record) { r.Field = FieldTags }, false},
		{"content that was revoked", v, func(r *pb.Record) { r.Revoked = true }, false},
		{"content with a lock without an end", v, func(r *pb.Record) { r.Lock = &pb.Lock{Mode: governance} }, false},
		{"content with a lock without a mode", v, func(r *pb.Record) { r.Lock = &pb.Lock{Until: 5} }, false},
		{"content with too long a tag", v, func(r *pb.Record) { r.Tags = map[string]string{"x": strings.Repeat("x", 1025)} }, false},
		{"content that brings what belongs to it", v, func(r *pb.Record) { r.Known = []*pb.Record{tags, revoked} }, true},
		{"content that brings a purge", v, func(r *pb.Record) { r.Known = []*pb.Record{purge} }, false},
		{"content that brings what belongs to another", v, func(r *pb.Record) { r.Dot = dot(2, 1, 2); r.Known = []*pb.Record{tags} }, false},
		{"content that brings too much", v, func(r *pb.Record) { r.Known = []*pb.Record{tags, tags, tags, tags, tags} }, false},
		{"content that brings what brings more", v, func(r *pb.Record) {
			nested := proto.CloneOf(revoked)
			nested.Known = []*pb.Record{{}}
			r.Known = []*pb.Record{nested}
		}, false},
		{"null content that brings something", v, func(r *pb.Record) { r.Versioning = 0; r.Known = []*pb.Record{tags} }, false},
		{"purge without a target", purge, func(r *pb.Record) { r.Target = nil }, false},
		{"purge at no time", purge, func(r *pb.Record) { r.At = MaxTime + 1 }, false},
		{"purge of the null version, revoked", purge, func(r *pb.Record) { r.Versioning = suspended; r.Revoked = true }, false},
		{"attribute without a target", tags, func(r *pb.Record) { r.Target = nil }, false},
		{"attribute of a field of later", tags, func(r *pb.Record) { r.Field = "colour" }, false},
		{"attribute of a bucket's field", tags, func(r *pb.Record) { r.Field = FieldCORS }, false},
		{"setting with a key", setting, func(r *pb.Record) { r.Key = []byte("k") }, false},
		{"setting with a target", setting, func(r *pb.Record) { r.Target = dot(1, 1, 1) }, false},
		{"setting of a version's field", setting, func(r *pb.Record) { r.Field = FieldHold }, false},
	} {
		r := proto.CloneOf(c.r)
		c.edit(r)
		if err := CheckRecord(r); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestUntoldVersions: what must not be told because of a pending record is what may
// be missing because of it.
func TestUntoldVersions(t *testing.T) {
	v := own(1, dot(2, 1, 1))
	v.Context = []*pb.Dot{dot(3, 1, 1)}
	for _, c := range []struct {
		r    *pb.Record
		want int
	}{{v, 1}, {purgeOf(v, 2, dot(2, 1, 5), false), 2}, {tagsOf(v, 1, dot(2, 1, 7)), 1}, {content(1, 1, dot(2, 1, 1), dot(3, 1, 1)), 2}} {
		if dots, all := Untold(c.r); len(dots) != c.want || all {
			t.Errorf("%v: %v %v", c.r, dots, all)
		}
	}
}

// TestSparseSpreads: whoever learns from a site that drops versions tells that of
// its own vector too.
func TestSparseSpreads(t *testing.T) {
	s := testSite(t, 1).makeBucket(0)
	seen := vector(dot(2, 1, 1))
	seen.Sparse = true
	s.must(1, &pb.Ingest{Bucket: testPath, Peer: siteID(2).Bytes(), Cursor: at(1), Seen: seen})
	if !s.seen().GetSparse() {
		t.Fatalf("told: %v", s.seen())
	}
	s.check()
}
