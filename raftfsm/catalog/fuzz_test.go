package catalog

import (
	"bytes"
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// FuzzCommand applies commands whose content came from outside: the records,
// vectors and cursors in them are a peer's words. Whatever they are, nothing
// panics, the catalog does not contradict itself, and a refused command changes
// nothing.
func FuzzCommand(f *testing.F) {
	seed := func(cmd *raftfsmpb.Command) {
		raw, err := proto.Marshal(cmd)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	ingest := func(in *pb.Ingest) {
		in.Bucket = testPath
		if in.Peer == nil {
			in.Peer = siteID(2).Bytes()
		}
		seed(&raftfsmpb.Command{Command: &raftfsmpb.Command_Ingest{Ingest: in}})
	}
	tomb := tombstone(9, 9, dot(3, 1, 9), dot(2, 1, 3))
	ingest(&pb.Ingest{Records: []*pb.Record{content(1, 1, dot(2, 1, 1)), tomb}, Cursor: at(4), Seen: vector(dot(2, 1, 9), dot(1, 1, 9))})
	ingest(&pb.Ingest{Records: []*pb.Record{content(MaxGeneration+1, 1, dot(2, 1, 1)), content(1, 1, dot(1, 7, 1))}})
	ingest(&pb.Ingest{Hold: []*pb.Pending{{Record: content(1, 1, dot(2, 1, 1))}, {Record: content(1, -1<<63, dot(2, 1, 2))}}})
	ingest(&pb.Ingest{Hold: []*pb.Pending{{Record: &pb.Record{Dot: dot(2, 1, 3), Context: []*pb.Dot{{}, {Origin: []byte("x")}}}}}, Cursor: at(1), Seen: vector(dot(2, 1, 5))})
	ingest(&pb.Ingest{Settle: []*pb.Dot{dot(2, 1, 1)}, Expect: at(1)})
	ingest(&pb.Ingest{Cursor: &pb.Cursor{Scan: &pb.Scan{NextKey: []byte("k"), Seen: vector(dot(2, 1, 1))}}, MergedIncarnation: []byte("x")})
	ingest(&pb.Ingest{Records: []*pb.Record{{}}, Peer: []byte("short")})
	seed(&raftfsmpb.Command{Command: &raftfsmpb.Command_Progress{Progress: &pb.PeerProgress{Bucket: testPath, Peer: siteID(2).Bytes(), Cursor: at(3), Seen: vector(dot(2, 1, 1)), Holds: []*pb.Dot{dot(1, 1, 1)}}}})
	seed(&raftfsmpb.Command{Command: &raftfsmpb.Command_Write{Write: putCmd("k", "x")}})
	seed(&raftfsmpb.Command{Command: &raftfsmpb.Command_Write{Write: delCmd("k")}})
	seed(&raftfsmpb.Command{Command: &raftfsmpb.Command_Trim{Trim: &pb.Trim{Bucket: testPath, Before: 99, Horizon: 99}}})
	seed(&raftfsmpb.Command{Command: &raftfsmpb.Command_CreateUpload{CreateUpload: &pb.CreateUpload{Upload: &pb.Upload{Id: "u", Bucket: testPath, Key: []byte("k")}}}})
	seed(&raftfsmpb.Command{Command: &raftfsmpb.Command_PutPart{PutPart: &pb.PutPart{Bucket: testPath, Upload: "up", Part: &pb.Part{Number: 1}}}})

	v := own(3, dot(1, 1, 5))
	lost := own(2, dot(2, 1, 4))
	back := proto.CloneOf(lost)
	back.Known = []*pb.Record{tagsOf(lost, 1, dot(2, 1, 7)), purgeOf(lost, 3, dot(2, 1, 6), true)}
	twice := tagsOf(v, 9, dot(2, 1, 4))
	ingest(&pb.Ingest{Records: []*pb.Record{purgeOf(v, 9, dot(2, 1, 5), false), tagsOf(v, 9, dot(2, 1, 7)), lost, twice}})
	ingest(&pb.Ingest{Records: []*pb.Record{purgeOf(lost, 2, dot(2, 1, 5), false), lost, back}, Hold: []*pb.Pending{{Record: back}}})
	ingest(&pb.Ingest{Records: []*pb.Record{purgeOf(content(2, 2, dot(1, 1, 2)), 3, dot(2, 1, 5), false)}})
	ingest(&pb.Ingest{Records: []*pb.Record{{Kind: pb.RecordKind_RECORD_BUCKET, Field: FieldVersioning, Generation: 9, Dot: dot(2, 1, 8),
		Value: &pb.Value{Versioning: suspended}}}, Seen: &pb.Vector{Sparse: true}, Cursor: at(9)})
	seed(&raftfsmpb.Command{Command: &raftfsmpb.Command_Purge{Purge: purgeCmd("k", v.GetDot())}})
	seed(&raftfsmpb.Command{Command: &raftfsmpb.Command_Purge{Purge: &pb.Purge{Bucket: testPath, Key: []byte("k"), Inferred: true}}})
	seed(&raftfsmpb.Command{Command: &raftfsmpb.Command_SetAttribute{SetAttribute: attrCmd("k", v.GetDot(), FieldRetention, &pb.Value{Mode: governance, Until: 99})}})
	seed(&raftfsmpb.Command{Command: &raftfsmpb.Command_SetBucketAttribute{SetBucketAttribute: settingCmd(FieldLock, &pb.Value{Lock: &pb.DefaultLock{Enabled: true, Mode: compliance, Days: 3}})}})

	f.Fuzz(func(t *testing.T, raw []byte) {
		cmd := new(raftfsmpb.Command)
		if proto.Unmarshal(raw, cmd) != nil {
			return
		}
		s := newSite(t, 1)
		defer s.close()
		s.makeBucket(2)
		s.put(1, "k", "one")
		s.put(2, "k", "two")
		s.must(2, &pb.CreateUpload{Upload: &pb.Upload{Id: "up", Bucket: testPath, Key: []byte("k")}})
		s.locking(&pb.DefaultLock{})
		v := s.put(3, "k", "three") // its dot is 1/1/5
		s.must(3, attrCmd("k", v.GetDot(), FieldTags, &pb.Value{Tags: map[string]string{"a": "1"}}))
		take(s, &site{id: siteID(2)}, []*pb.Record{content(1, 1, dot(2, 1, 3))}, content(7, 7, dot(3, 1, 1)))
		var m proto.Message
		switch c := cmd.GetCommand().(type) {
		case *raftfsmpb.Command_Write:
			m = c.Write
		case *raftfsmpb.Command_Ingest:
			m = c.Ingest
		case *raftfsmpb.Command_Progress:
			m = c.Progress
		case *raftfsmpb.Command_Trim:
			m = c.Trim
		case *raftfsmpb.Command_CreateUpload:
			m = c.CreateUpload
		case *raftfsmpb.Command_PutPart:
			m = c.PutPart
		case *raftfsmpb.Command_AbortUpload:
			m = c.AbortUpload
		case *raftfsmpb.Command_Purge:
			m = c.Purge
		case *raftfsmpb.Command_SetAttribute:
			m = c.SetAttribute
		case *raftfsmpb.Command_SetBucketAttribute:
			m = c.SetBucketAttribute
		default:
			return
		}
		before := s.cat.Digest()
		for range 2 { // what it left behind must be as sound a ground
			indexed := s.db.NewIndexedBatch()
			b := s.cat.Begin(indexed)
			res := apply(b, step{now: 50, cmd: m})
			if err := b.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := indexed.Commit(pebble.NoSync); err != nil {
				t.Fatal(err)
			}
			b.Done()
			_ = indexed.Close()
			after := s.cat.Digest()
			if res.GetCode() != raftfsmpb.Code_OK && !bytes.Equal(before, after) {
				t.Fatalf("refused with %q, but the state changed", res.GetMessage())
			}
			before = after
		}
		if err := s.cat.Check(context.Background(), testPath); err != nil {
			t.Fatal(err)
		}
		if in, ok := m.(*pb.Ingest); ok {
			if _, _, err := s.cat.Decide(testPath, in.GetRecords()); err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.cat.DroppedThere(testPath, nil, nil, in.GetRecords(), in.GetSeen()); err != nil {
				t.Fatal(err)
			}
		}
		if p, ok := m.(*pb.PeerProgress); ok {
			if _, err := s.cat.BehindFrom(testPath, siteID(2), p, maxBehind); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := New(s.db); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzEscape: keys are ordered escaped as they are plain, and come back whole.
func FuzzEscape(f *testing.F) {
	f.Add([]byte("a"), []byte("a\x00"))
	f.Add([]byte("a\x00\x01"), []byte("a\x00\xff"))
	f.Add([]byte{}, []byte{0})
	f.Add([]byte{0xff}, []byte{0xff, 0})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		ea, eb := appendEscaped(nil, a), appendEscaped(nil, b)
		if bytes.Compare(a, b) != bytes.Compare(ea, eb) {
			t.Fatalf("%q and %q are ordered differently when escaped", a, b)
		}
		if !bytes.Equal(a, b) && (bytes.HasPrefix(ea, eb) || bytes.HasPrefix(eb, ea)) {
			t.Fatalf("escaped, one of %q and %q begins with the other", a, b)
		}
		key, rest, err := cutEscaped(append(ea, b...))
		if err != nil || !bytes.Equal(key, a) || !bytes.Equal(rest, b) {
			t.Fatalf("%q came back as %q, %q, %v", a, key, rest, err)
		}
		_, _, _ = cutEscaped(a) // whatever lies on the disk, it does not panic
		if next := successor(a); next != nil && bytes.Compare(next, a) <= 0 {
			t.Fatalf("successor of %q is %q", a, next)
		}
	})
}
