package catalog

import (
	"testing"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// TestRestore gets back records that were seen here and are missing: only when they
// are named, and only what nothing that is kept deletes or purges.
func TestRestore(t *testing.T) {
	peer := siteID(2)
	rec := func(key string, seq uint64, versioning pb.Versioning) *pb.Record {
		r := putCmd(key, "body").GetRecord()
		r.Dot, r.Generation, r.Time, r.Versioning = &pb.Dot{Origin: peer.Bytes(), Epoch: 1, Seq: seq}, 1, int64(seq), versioning
		return r
	}
	enabled := pb.Versioning_VERSIONING_ENABLED
	s := testSite(t, 1).makeBucket(0)
	s.must(1, &pb.Ingest{Bucket: testPath, Peer: peer.Bytes(), Cursor: &pb.Cursor{Epoch: 1, Seq: 100, InitialDone: true}, Seen: vector(dot(2, 1, 100))})
	purged := rec("purged", 3, enabled)
	s.must(2, &pb.Ingest{Bucket: testPath, Peer: peer.Bytes(), Records: []*pb.Record{purged}, Restore: []*pb.Dot{purged.GetDot()}})
	s.must(3, &pb.Purge{Bucket: testPath, Key: purged.GetKey(), Target: purged.GetDot()})
	own := s.put(4, "own", "body")

	for _, c := range []struct {
		name string
		r    *pb.Record
		want string // the body of the key afterwards
	}{
		{"a null version", rec("null", 1, 0), "body"},
		{"a version with an id", rec("id", 2, enabled), "body"},
		{"a version that was purged", purged, ""},
	} {
		in := &pb.Ingest{Bucket: testPath, Peer: peer.Bytes(), Records: []*pb.Record{c.r}}
		if n := s.must(10, in).GetApplied(); n != 0 || s.body(string(c.r.GetKey())) != "" {
			t.Errorf("%s: %d taken without being asked for", c.name, n)
		}
		in.Restore = []*pb.Dot{c.r.GetDot()}
		verdicts, _, err := s.cat.DecideRestore(testPath, in.Records)
		if err != nil || (verdicts[0] == Apply) != (c.want != "") {
			t.Errorf("%s: the verdict is %v, %v", c.name, verdicts, err)
		}
		s.must(11, in)
		if got := s.body(string(c.r.GetKey())); got != c.want {
			t.Errorf("%s: the key is %q, want %q", c.name, got, c.want)
		}
		s.check()
	}
	// What was written here and lost, while the sequence says that it was.
	lost := rec("lost", 1, 0)
	lost.Dot = &pb.Dot{Origin: s.id.Bytes(), Epoch: 1, Seq: 4}
	if s.state().GetSeq() < 4 || own.GetDot().GetSeq() >= 4 {
		t.Fatal("the test names a record that is kept")
	}
	in := &pb.Ingest{Bucket: testPath, Peer: peer.Bytes(), Records: []*pb.Record{lost}}
	if n := s.must(12, in).GetApplied(); n != 0 {
		t.Error("a record of this site's own is taken without being asked for")
	}
	in.Restore = []*pb.Dot{lost.GetDot()}
	if verdict := s.must(13, in).GetApplied(); verdict != 1 || s.body("lost") != "body" {
		t.Errorf("a record of this site's own is not restored: %d", verdict)
	}
	in.Restore = []*pb.Dot{{}}
	s.refused(raftfsmpb.Code_INVALID, 14, in)
	s.check()
}
