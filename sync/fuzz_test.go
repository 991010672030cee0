package objsync

import (
	"bytes"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link/limit"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// FuzzRecord looks at records of a peer: whatever they hold, what is called
// sound has a content that can be walked.
func FuzzRecord(f *testing.F) {
	id := chunks.Sum([]byte("x"))
	for _, r := range []*catalogpb.Record{
		{},
		{Key: []byte("k"), Kind: catalogpb.RecordKind_RECORD_VERSION, Generation: 1, Dot: &catalogpb.Dot{Origin: bytes.Repeat([]byte{1}, 16), Seq: 1}, Root: &catalogpb.Root{Id: id[:], Size: 1}},
		{Key: []byte("k"), Kind: catalogpb.RecordKind_RECORD_TOMBSTONE, Generation: 1 << 62, Dot: &catalogpb.Dot{Origin: bytes.Repeat([]byte{1}, 16), Seq: 1}},
		{Key: []byte{0xff}, Kind: 9, Generation: 1 << 63, Root: &catalogpb.Root{Level: 900, Size: 1 << 63}},
	} {
		raw, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := new(catalogpb.Record)
		if proto.Unmarshal(raw, r) != nil {
			return
		}
		if wellFormed(r, proto.Size(r)) != nil || sound(r) != nil {
			return
		}
		ref, err := rootOf(r)
		if err != nil || ref.Validate() != nil {
			t.Fatalf("a sound record has the root %v: %v", ref, err)
		}
		if r.GetGeneration() > catalog.MaxGeneration || len(r.GetKey()) == 0 {
			t.Fatalf("a sound record: %v", r)
		}
	})
}

// FuzzAnswer answers a request for two chunks and a node with anything: only the
// chunks asked for are ever handed on.
func FuzzAnswer(f *testing.F) {
	small, other := []byte("the content of a small object"), bytes.Repeat([]byte("compressible "), 1000)
	header := func(h *linkpb.ChunkHeader) []byte {
		raw, err := proto.Marshal(h)
		if err != nil {
			f.Fatal(err)
		}
		return raw
	}
	id := chunks.Sum(small)
	f.Add(header(&linkpb.ChunkHeader{Id: id[:], RawLength: uint32(len(small)), Length: uint32(len(small))}), small)
	zid := chunks.Sum(other)
	z := testCodec().Encode(zid, other, nil)
	f.Add(header(&linkpb.ChunkHeader{Id: zid[:], Encoding: uint32(z.Encoding), RawLength: z.RawLen, Length: uint32(len(z.Data)), Want: 1}), z.Data)
	f.Add(header(&linkpb.ChunkHeader{Gone: true}), []byte{})
	f.Add(header(&linkpb.ChunkHeader{Refused: "no"}), []byte{})
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, raw, body []byte) {
		h := new(linkpb.ChunkHeader)
		if proto.Unmarshal(raw, h) != nil || len(body) > chunks.MaxRaw {
			return
		}
		b := &bucket{path: bk1}
		task := &fetchTask{}
		for i, content := range [][]byte{small, other, small} {
			ref := manifest.Ref{ID: chunks.Sum(content), Size: uint64(len(content))}
			if i == 2 {
				ref.Level = 1
			}
			v := &version{bucket: b, rec: &catalogpb.Record{Key: []byte("k")}, root: ref, phase: phaseActive}
			w := &want{v: v, ref: ref, place: manifest.Root}
			task.needs = append(task.needs, &need{id: ref.ID, wants: []*want{w}})
			task.asked = append(task.asked, w)
			task.wantOf = append(task.wantOf, uint32(i))
		}
		s := &session{o: &EngineOptions{Codec: testCodec(), Limit: limit.New(nil)}}
		s.o.Clock = func() time.Time { return time.Unix(0, 0) }
		r := &receiver{s: s, task: task}
		for range 4 {
			if r.take(h, body) != nil {
				break
			}
		}
		if r.pos > len(task.needs) {
			t.Fatalf("position %d", r.pos)
		}
		for _, a := range r.batch {
			check := chunks.Buffer{Chunk: a.chunk}
			if err := testCodec().Decode(&check); err != nil {
				t.Fatalf("a chunk is handed on that is not what it claims: %v", err)
			}
			if a.chunk.ID != id && a.chunk.ID != zid {
				t.Fatalf("chunk %s was not asked for", a.chunk.ID)
			}
			if a.node == nil && a.need == task.needs[2] {
				t.Fatal("a node is handed on that was not decoded")
			}
		}
	})
}
