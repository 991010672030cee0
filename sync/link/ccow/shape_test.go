package ccow

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link/linkpb"
	"google.golang.org/protobuf/proto"
)

func dot(i int) *catalogpb.Dot {
	return &catalogpb.Dot{Origin: bytes.Repeat([]byte{byte(i)}, 16), Epoch: 1, Seq: uint64(i)}
}

// TestShapeOfRealMessages checks that whatever a site has to say passes, at the
// least that it can be.
func TestShapeOfRealMessages(t *testing.T) {
	t.Parallel()
	page, progress, changes := &linkpb.ScanPage{}, &linkpb.BucketProgress{Path: "a/b/c"}, &linkpb.ChangesRequest{}
	many := make(map[string]string)
	for i := range 300 {
		many[fmt.Sprintf("%x", i)] = ""
	}
	for i := range 5000 {
		page.Records = append(page.Records, &catalogpb.Record{Key: []byte{1}, Kind: catalogpb.RecordKind_RECORD_TOMBSTONE,
			Dot: dot(i), Generation: 2, Time: 1 << 60, Context: []*catalogpb.Dot{dot(i), dot(i + 1)}})
		if i%20 == 0 {
			page.Records = append(page.Records, &catalogpb.Record{Key: []byte{2}, Dot: dot(i), Metadata: many})
		}
		progress.Holds = append(progress.Holds, dot(i))
		changes.Cursors = append(changes.Cursors, &linkpb.BucketCursor{Path: "a/b/c", Seen: &catalogpb.Vector{Upto: []*catalogpb.Dot{dot(i)}},
			Cursor: &catalogpb.Cursor{Site: make([]byte, 16), Incarnation: make([]byte, 16)}})
	}
	for _, m := range []proto.Message{page, &linkpb.Progress{Buckets: []*linkpb.BucketProgress{progress}}, changes} {
		raw, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) < 2*shapeFrom {
			t.Fatalf("only %d bytes", len(raw))
		}
		back := m.ProtoReflect().New().Interface()
		if err := decode(raw, back); err != nil || !proto.Equal(m, back) {
			t.Errorf("%T of %d bytes: %v", m, len(raw), err)
		}
	}
}

// TestShapeOfBombs checks that small bytes cannot become much memory.
func TestShapeOfBombs(t *testing.T) {
	scan := func(item []byte) []byte { return bytes.Repeat(item, (MaxMessage-100)/len(item)) }
	for name, raw := range map[string][]byte{
		"empty records":   scan([]byte{0x2a, 0}),
		"records of dots": scan([]byte{0x2a, 2, 0x1a, 0}),
		"vector of dots":  append([]byte{0x22, 0x80, 0x80, 0x40}, bytes.Repeat([]byte{0x0a, 0}, 1<<19)...),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := decode(raw, new(linkpb.ScanPage))
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: %d bytes were decoded into %d", name, len(raw), after.TotalAlloc-before.TotalAlloc)
		}
		if cost := after.TotalAlloc - before.TotalAlloc; cost > 1<<20 {
			t.Errorf("%s: refusing cost %d bytes", name, cost)
		}
	}
}
