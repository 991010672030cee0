package objects_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/chunkstest"
	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

func (s *site) put(t testing.TB, key string, raw []byte) *catalogpb.Record {
	t.Helper()
	rec, err := s.Put(t.Context(), objects.PutRequest{Bucket: bk1, Key: key, Body: bytes.NewReader(raw), Size: int64(len(raw))})
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func (s *site) get(t testing.TB, key string) []byte {
	t.Helper()
	o, err := s.Get(t.Context(), bk1, key)
	if err != nil {
		t.Fatal(err)
	}
	r, err := o.Reader(t.Context(), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestPutGet stores objects and reads them back with all that belongs to them.
func TestPutGet(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	for i, size := range []int{0, 1, 4096, 200_000, 3 << 20} {
		key := fmt.Sprintf("dir/ü %d/../%s", i, strings.Repeat("k", i*100))
		raw := chunkstest.Text(uint64(i), size)
		headers := map[string]string{"content-type": "text/plain", "cache-control": "no-store"}
		meta := map[string]string{"owner": "Ann", "empty": ""}
		rec, err := s.Put(t.Context(), objects.PutRequest{
			Bucket: bk1, Key: key, Body: bytes.NewReader(raw), Size: int64(size), Headers: maps.Clone(headers), Metadata: maps.Clone(meta),
		})
		if err != nil {
			t.Fatal(err)
		}
		sum := md5.Sum(raw)
		if rec.GetEtag() != hex.EncodeToString(sum[:]) || rec.GetRoot().GetSize() != uint64(size) || rec.GetTime() == 0 {
			t.Errorf("record of %d bytes: %v", size, rec)
		}
		head, err := s.Head(t.Context(), bk1, key)
		if err != nil || !proto.Equal(head, rec) || !maps.Equal(head.GetHeaders(), headers) || !maps.Equal(head.GetMetadata(), meta) {
			t.Errorf("head %v, error %v; put %v", head, err, rec)
		}
		if !bytes.Equal(s.get(t, key), raw) {
			t.Errorf("%d bytes: other bytes come back", size)
		}
	}
	state, err := s.replica.Catalog().Bucket(bk1)
	if err != nil || state.GetObjects() != 5 {
		t.Errorf("bucket %v, error %v", state, err)
	}
}

// TestNothingIsCommitted lets writes fail in every way; no record may appear.
func TestNothingIsCommitted(t *testing.T) {
	t.Parallel()
	var faulty *chunkstest.Faulty
	s := openSite(t, func(c chunks.Store) chunks.Store {
		faulty = chunkstest.NewFaulty(t, c)
		return faulty
	})
	broken := errors.New("broken")
	raw := chunkstest.Random(1, 5<<20)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		req  objects.PutRequest
		plan *chunkstest.Fault
		want error
	}{
		{name: "body breaks", req: objects.PutRequest{Body: io.MultiReader(bytes.NewReader(raw), iotest.ErrReader(broken)), Size: -1}, want: broken},
		{name: "body too short", req: objects.PutRequest{Body: bytes.NewReader(raw), Size: 6 << 20}, want: objects.ErrBodySize},
		{name: "body too long", req: objects.PutRequest{Body: bytes.NewReader(raw[:101]), Size: 100}, want: objects.ErrBodySize},
		{name: "store full", req: objects.PutRequest{Body: bytes.NewReader(chunkstest.Random(2, 5<<20)), Size: -1}, plan: &chunkstest.Fault{Op: chunkstest.OpPut, Skip: 2, Err: chunks.ErrNoSpace}, want: chunks.ErrNoSpace},
		{name: "cancelled", ctx: cancelled, req: objects.PutRequest{Body: bytes.NewReader(raw[:9]), Size: 9}, want: context.Canceled},
		{name: "no bucket", req: objects.PutRequest{Bucket: "Hawaii/Cola/none", Body: bytes.NewReader(raw), Size: -1}, want: objects.ErrNoBucket},
		{name: "no key", req: objects.PutRequest{Key: "-", Body: bytes.NewReader(raw), Size: -1}, want: objects.ErrInvalidKey},
		{name: "long key", req: objects.PutRequest{Key: strings.Repeat("x", 1025), Body: bytes.NewReader(raw), Size: -1}, want: objects.ErrInvalidKey},
		{name: "no UTF-8", req: objects.PutRequest{Key: "\xff", Body: bytes.NewReader(raw), Size: -1}, want: objects.ErrInvalidKey},
		{name: "if-match", req: objects.PutRequest{Body: bytes.NewReader(raw[:9]), Size: 9, Conditions: objects.Conditions{IfMatch: "x"}}, want: objects.ErrNoKey},
	} {
		if c.ctx == nil {
			c.ctx = t.Context()
		}
		if c.req.Bucket == "" {
			c.req.Bucket = bk1
		}
		if c.req.Key == "" {
			c.req.Key = "k"
		} else if c.req.Key == "-" {
			c.req.Key = ""
		}
		if c.plan != nil {
			faulty.Plan(*c.plan)
		}
		if rec, err := s.Put(c.ctx, c.req); !errors.Is(err, c.want) || rec != nil {
			t.Errorf("%s: record %v, error %v; want %v", c.name, rec, err, c.want)
		}
	}
	page, err := s.List(t.Context(), bk1, catalog.ListOptions{})
	if err != nil || len(page.Items) != 0 {
		t.Errorf("listed %v, error %v", page, err)
	}
	if _, err := s.Head(t.Context(), bk1, "k"); !errors.Is(err, objects.ErrNoKey) {
		t.Errorf("head: %v", err)
	}
}

// TestConditions lets many writers create one key: one wins, and the others
// are told so.
func TestConditions(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	const n = 20
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			_, errs[i] = s.Put(t.Context(), objects.PutRequest{Bucket: bk1, Key: "k", Body: strings.NewReader(fmt.Sprint(i)), Size: -1,
				Conditions: objects.Conditions{IfNoneMatch: "*"}})
		})
	}
	wg.Wait()
	won := -1
	for i, err := range errs {
		switch {
		case err == nil && won < 0:
			won = i
		case !errors.Is(err, objects.ErrPrecondition):
			t.Errorf("writer %d: error %v; writer %d won", i, err, won)
		}
	}
	if won < 0 || string(s.get(t, "k")) != fmt.Sprint(won) {
		t.Errorf("writer %d won, the content is %q", won, s.get(t, "k"))
	}
	head, _ := s.Head(t.Context(), bk1, "k")
	put := func(c objects.Conditions) error {
		_, err := s.Put(t.Context(), objects.PutRequest{Bucket: bk1, Key: "k", Body: strings.NewReader("new"), Size: 3, Conditions: c})
		return err
	}
	if err := put(objects.Conditions{IfMatch: "other"}); !errors.Is(err, objects.ErrPrecondition) {
		t.Errorf("another ETag: %v", err)
	}
	if err := put(objects.Conditions{IfMatch: head.GetEtag()}); err != nil {
		t.Errorf("its ETag: %v", err)
	}
	if err := put(objects.Conditions{Head: head.GetDot()}); !errors.Is(err, objects.ErrPrecondition) {
		t.Errorf("the former head: %v", err)
	}
	if _, err := s.Delete(t.Context(), bk1, "k", objects.Conditions{IfMatch: head.GetEtag()}); !errors.Is(err, objects.ErrPrecondition) {
		t.Errorf("delete of the former content: %v", err)
	}
	if _, err := s.Delete(t.Context(), bk1, "k", objects.Conditions{}); err != nil {
		t.Errorf("delete: %v", err)
	}
	if err := put(objects.Conditions{IfMatch: "*"}); !errors.Is(err, objects.ErrNoKey) {
		t.Errorf("match of anything after the deletion: %v", err)
	}
	if err := put(objects.Conditions{IfNoneMatch: "*"}); err != nil {
		t.Errorf("creation after the deletion: %v", err)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	s.put(t, "a", []byte("a"))
	rec, err := s.Delete(t.Context(), bk1, "a", objects.Conditions{})
	if err != nil || rec.GetKind() != catalogpb.RecordKind_RECORD_TOMBSTONE {
		t.Errorf("delete: %v, %v", rec, err)
	}
	if _, err := s.Head(t.Context(), bk1, "a"); !errors.Is(err, objects.ErrNoKey) {
		t.Errorf("head of a deleted key: %v", err)
	}
	for _, key := range []string{"a", "never"} {
		if rec, err := s.Delete(t.Context(), bk1, key, objects.Conditions{}); err != nil || rec != nil {
			t.Errorf("delete of nothing: %v, %v", rec, err)
		}
	}
	var list []objects.Deletion
	for i := range 300 {
		key := fmt.Sprintf("k%d", i)
		if i%3 > 0 {
			s.put(t, key, []byte("x"))
		}
		list = append(list, objects.Deletion{Key: key})
	}
	list[7].Key = strings.Repeat("k", 2000)
	_, errs := s.DeleteMany(t.Context(), bk1, list)
	for i, err := range errs {
		if (err != nil) != (i == 7) {
			t.Errorf("deletion %d: %v", i, err)
		}
	}
	state, err := s.replica.Catalog().Bucket(bk1)
	if err != nil || state.GetObjects() != 1 { // the one that key 7 would have been
		t.Errorf("bucket %v, error %v", state, err)
	}
	_, errs = s.DeleteMany(t.Context(), "Hawaii/Cola/none", list[:2])
	for _, err := range errs {
		if !errors.Is(err, objects.ErrNoBucket) {
			t.Errorf("no bucket: %v", err)
		}
	}
}

// TestCopy copies without touching a chunk.
func TestCopy(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	raw := chunkstest.Random(2, 3<<20)
	src, err := s.Put(t.Context(), objects.PutRequest{Bucket: bk1, Key: "a", Body: bytes.NewReader(raw), Size: -1,
		Headers: map[string]string{"content-type": "image/png"}, Metadata: map[string]string{"m": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	before := s.chunks.Stats()
	same, err := s.Copy(t.Context(), src, objects.CopyRequest{Bucket: bk1, Key: "b"})
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Copy(t.Context(), src, objects.CopyRequest{Bucket: bk1, Key: "a", Replace: true, Metadata: map[string]string{"m": "2"}})
	if err != nil {
		t.Fatal(err)
	}
	if after := s.chunks.Stats(); after.Written != before.Written || after.LookupsMade != before.LookupsMade {
		t.Errorf("copies touched the chunk store: %+v, before %+v", after, before)
	}
	if !proto.Equal(same.GetRoot(), src.GetRoot()) || same.GetEtag() != src.GetEtag() || same.GetHeaders()["content-type"] != "image/png" || same.GetMetadata()["m"] != "1" {
		t.Errorf("copy %v of %v", same, src)
	}
	if len(other.GetHeaders()) != 0 || other.GetMetadata()["m"] != "2" {
		t.Errorf("copy with other metadata: %v", other)
	}
	if !bytes.Equal(s.get(t, "b"), raw) || !bytes.Equal(s.get(t, "a"), raw) {
		t.Error("other bytes come back")
	}
	if _, err := s.Copy(t.Context(), src, objects.CopyRequest{Bucket: "Hawaii/Cola/none", Key: "b"}); !errors.Is(err, objects.ErrNoBucket) {
		t.Errorf("copy to no bucket: %v", err)
	}
}

// TestUnknownOutcome passes on the proposer's error.
func TestProposerFails(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	lost := errors.New("leadership lost")
	codec, err := chunks.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	broken, err := objects.New(objects.Options{Chunks: s.chunks, Codec: codec, Catalog: s.replica.Catalog(),
		Propose: func(context.Context, *raftfsmpb.Command) (*raftfsmpb.Result, error) { return nil, lost }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := broken.Put(t.Context(), objects.PutRequest{Bucket: bk1, Key: "k", Body: strings.NewReader("x"), Size: 1}); !errors.Is(err, lost) {
		t.Errorf("put: %v", err)
	}
	if _, err := broken.CreateUpload(t.Context(), objects.CreateUploadRequest{Bucket: bk1, Key: "k"}); !errors.Is(err, lost) {
		t.Errorf("create upload: %v", err)
	}
	if _, err := objects.New(objects.Options{}); err == nil {
		t.Error("a store of nothing was made")
	}
}

func (s *site) upload(t testing.TB, key string, parts ...[]byte) (*catalogpb.Upload, []objects.CompletePart) {
	t.Helper()
	up, err := s.CreateUpload(t.Context(), objects.CreateUploadRequest{Bucket: bk1, Key: key, Headers: map[string]string{"content-type": "video/mp4", "x-isgw-own": "1"}, Metadata: map[string]string{"m": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	var list []objects.CompletePart
	for i, raw := range parts {
		part, err := s.PutPart(t.Context(), objects.PutPartRequest{Bucket: bk1, Key: key, Upload: up.GetId(), Number: 2*i + 1, Body: bytes.NewReader(raw), Size: int64(len(raw))})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, objects.CompletePart{Number: 2*i + 1, ETag: part.GetEtag()})
	}
	return up, list
}

// TestMultipart uploads an object in parts: its root is that of the same bytes
// in one piece.
func TestMultipart(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	raw := chunkstest.Random(3, 18<<20)
	whole := s.put(t, "whole", raw)
	up, list := s.upload(t, "parts", raw[:5<<20], raw[5<<20:11<<20], raw[11<<20:11<<20+5<<20+12345], raw[11<<20+5<<20+12345:])
	parts, more, err := s.Parts(t.Context(), bk1, "parts", up.GetId(), 1, 2)
	if err != nil || len(parts) != 2 || !more || parts[0].GetNumber() != 3 {
		t.Errorf("parts %v, more %v, error %v", parts, more, err)
	}
	req := objects.CompleteRequest{Bucket: bk1, Key: "parts", Upload: up.GetId(), Parts: list, Size: int64(len(raw))}
	rec, err := s.CompleteUpload(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(rec.GetRoot(), whole.GetRoot()) {
		t.Errorf("root %v, in one piece %v", rec.GetRoot(), whole.GetRoot())
	}
	if !strings.HasSuffix(rec.GetEtag(), "-4") || len(rec.GetPartSizes()) != 4 || rec.GetPartSizes()[1] != 6<<20 ||
		rec.GetHeaders()["content-type"] != "video/mp4" || rec.GetMetadata()["m"] != "1" {
		t.Errorf("record %v", rec)
	}
	if !bytes.Equal(s.get(t, "parts"), raw) {
		t.Error("other bytes come back")
	}
	// S3 answers a repeated completion with success.
	again, err := s.CompleteUpload(t.Context(), req)
	if err != nil || !proto.Equal(again, rec) {
		t.Errorf("completed again: %v, %v", again, err)
	}
	uploads, _, err := s.ListUploads(t.Context(), bk1, catalog.ListUploadsOptions{})
	if err != nil || len(uploads) != 0 {
		t.Errorf("uploads left: %v, %v", uploads, err)
	}
	// A completion that names other parts is not that one.
	req.Parts = req.Parts[:3]
	if _, err := s.CompleteUpload(t.Context(), req); !errors.Is(err, objects.ErrNoUpload) {
		t.Errorf("another completion of the same upload: %v", err)
	}
	// Nor is one of another upload, whatever its parts; and a copy is not the
	// completed object.
	other, _ := s.upload(t, "parts")
	if err := s.AbortUpload(t.Context(), bk1, "parts", other.GetId()); err != nil {
		t.Fatal(err)
	}
	req = objects.CompleteRequest{Bucket: bk1, Key: "parts", Upload: other.GetId(), Parts: list, Size: -1}
	if _, err := s.CompleteUpload(t.Context(), req); !errors.Is(err, objects.ErrNoUpload) {
		t.Errorf("completion of an aborted upload: %v", err)
	}
	req.Upload = up.GetId()
	if _, err := s.Copy(t.Context(), rec, objects.CopyRequest{Bucket: bk1, Key: "parts"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CompleteUpload(t.Context(), req); !errors.Is(err, objects.ErrNoUpload) {
		t.Errorf("completion after a copy: %v", err)
	}
}

// TestMultipartOfSomeParts completes with fewer parts than were uploaded, one of
// them uploaded twice.
func TestMultipartOfSomeParts(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	a, b, c := chunkstest.Random(1, 5<<20), chunkstest.Random(2, 5<<20), chunkstest.Random(3, 1<<20)
	up, list := s.upload(t, "k", a, b, c)
	part, err := s.PutPart(t.Context(), objects.PutPartRequest{Bucket: bk1, Key: "k", Upload: up.GetId(), Number: 5, Body: bytes.NewReader(a[:99]), Size: -1})
	if err != nil {
		t.Fatal(err)
	}
	list[2].ETag = part.GetEtag()
	req := objects.CompleteRequest{Bucket: bk1, Key: "k", Upload: up.GetId(), Parts: []objects.CompletePart{list[0], list[2]}, Size: -1}
	if _, err := s.CompleteUpload(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s.get(t, "k"), append(bytes.Clone(a), a[:99]...)) {
		t.Error("other bytes come back")
	}
}

func TestCompleteRefuses(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	big := make([]byte, objects.MinPartSize)
	up, list := s.upload(t, "k", big, []byte("small"), big, []byte("last"))
	full := func(edit func(*objects.CompleteRequest)) objects.CompleteRequest {
		r := objects.CompleteRequest{Bucket: bk1, Key: "k", Upload: up.GetId(), Parts: []objects.CompletePart{list[0], list[2], list[3]}, Size: -1}
		edit(&r)
		return r
	}
	refused := errors.New("refused")
	for _, c := range []struct {
		name string
		edit func(*objects.CompleteRequest)
		want error
	}{
		{"no parts", func(r *objects.CompleteRequest) { r.Parts = nil }, objects.ErrInvalid},
		{"order", func(r *objects.CompleteRequest) { r.Parts[0], r.Parts[1] = r.Parts[1], r.Parts[0] }, objects.ErrPartOrder},
		{"twice", func(r *objects.CompleteRequest) { r.Parts[1] = r.Parts[0] }, objects.ErrPartOrder},
		{"not uploaded", func(r *objects.CompleteRequest) { r.Parts[0].Number = 2; r.Parts = r.Parts[:1] }, objects.ErrInvalidPart},
		{"no number", func(r *objects.CompleteRequest) { r.Parts[0].Number = 0 }, objects.ErrInvalidPart},
		{"huge number", func(r *objects.CompleteRequest) { r.Parts[2].Number = 1 << 40 }, objects.ErrInvalidPart},
		{"ETag", func(r *objects.CompleteRequest) { r.Parts[1].ETag = list[1].ETag }, objects.ErrInvalidPart},
		{"small", func(r *objects.CompleteRequest) { r.Parts = list }, objects.ErrPartTooSmall},
		{"size", func(r *objects.CompleteRequest) { r.Size = 1 }, objects.ErrBodySize},
		{"no upload", func(r *objects.CompleteRequest) { r.Upload = "none" }, objects.ErrNoUpload},
		{"other key", func(r *objects.CompleteRequest) { r.Key = "other" }, objects.ErrNoUpload},
		{"no bucket", func(r *objects.CompleteRequest) { r.Bucket = "Hawaii/Cola/none" }, objects.ErrNoBucket},
		{"not verified", func(r *objects.CompleteRequest) {
			r.Verify = func(context.Context, *objects.Object) error { return refused }
		}, refused},
		{"condition", func(r *objects.CompleteRequest) { r.Conditions.IfMatch = "*" }, objects.ErrNoKey},
		{"none condition", func(r *objects.CompleteRequest) { s.put(t, "k", nil); r.Conditions.IfNoneMatch = "*" }, objects.ErrPrecondition},
	} {
		if rec, err := s.CompleteUpload(t.Context(), full(c.edit)); !errors.Is(err, c.want) || rec != nil {
			t.Errorf("%s: %v, error %v; want %v", c.name, rec, err, c.want)
		}
	}
	if _, err := s.CompleteUpload(t.Context(), full(func(*objects.CompleteRequest) {})); err != nil {
		t.Errorf("after all refusals: %v", err)
	}
}

// TestCompleteRaces uploads a part again after a completion has read the list
// and before it commits, with conditions that hold and without.
func TestCompleteRaces(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	before := s.put(t, "old", []byte("old"))
	for _, c := range []struct {
		key        string
		conditions objects.Conditions
	}{
		{"k", objects.Conditions{}},
		{"k", objects.Conditions{IfNoneMatch: "*"}},
		{"old", objects.Conditions{IfMatch: before.GetEtag()}},
	} {
		up, list := s.upload(t, c.key, []byte("one"))
		_, err := s.CompleteUpload(t.Context(), objects.CompleteRequest{Bucket: bk1, Key: c.key, Upload: up.GetId(), Parts: list, Size: -1, Conditions: c.conditions,
			Verify: func(ctx context.Context, _ *objects.Object) error {
				_, err := s.PutPart(ctx, objects.PutPartRequest{Bucket: bk1, Key: c.key, Upload: up.GetId(), Number: 1, Body: strings.NewReader("two"), Size: 3})
				return err
			}})
		if !errors.Is(err, objects.ErrUploadChanged) {
			t.Errorf("with %+v: error %v, want ErrUploadChanged", c.conditions, err)
		}
	}
	if _, err := s.Head(t.Context(), bk1, "k"); !errors.Is(err, objects.ErrNoKey) {
		t.Errorf("head: %v", err)
	}
}

func TestUploads(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	var ids []string
	for _, key := range []string{"a", "b/1", "b/1", "b/2", "c"} {
		up, err := s.CreateUpload(t.Context(), objects.CreateUploadRequest{Bucket: bk1, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, up.GetId())
	}
	page := catalog.ListUploadsOptions{Prefix: []byte("b/"), Limit: 2}
	first, more, err := s.ListUploads(t.Context(), bk1, page)
	if err != nil || len(first) != 2 || !more || first[0].Upload.GetId() != ids[1] || first[1].Upload.GetId() != ids[2] {
		t.Fatalf("%v, more %v, %v", first, more, err)
	}
	page.AfterKey, page.AfterID = []byte("b/1"), ids[2]
	second, more, err := s.ListUploads(t.Context(), bk1, page)
	if err != nil || len(second) != 1 || more || second[0].Upload.GetId() != ids[3] {
		t.Fatalf("%v, more %v, %v", second, more, err)
	}
	if err := s.AbortUpload(t.Context(), bk1, "a", ids[1]); !errors.Is(err, objects.ErrNoUpload) {
		t.Errorf("abort under another key: %v", err)
	}
	if err := s.AbortUpload(t.Context(), bk1, "b/1", ids[1]); err != nil {
		t.Errorf("abort: %v", err)
	}
	if err := s.AbortUpload(t.Context(), bk1, "b/1", ids[1]); !errors.Is(err, objects.ErrNoUpload) {
		t.Errorf("abort again: %v", err)
	}
	for _, number := range []int{0, 10001} {
		_, err := s.PutPart(t.Context(), objects.PutPartRequest{Bucket: bk1, Key: "a", Upload: ids[0], Number: number, Body: strings.NewReader("x"), Size: 1})
		if !errors.Is(err, objects.ErrInvalid) {
			t.Errorf("part %d: %v", number, err)
		}
	}
	if _, err := s.PutPart(t.Context(), objects.PutPartRequest{Bucket: bk1, Key: "b/1", Upload: ids[1], Number: 1, Body: strings.NewReader("x"), Size: 1}); !errors.Is(err, objects.ErrNoUpload) {
		t.Errorf("part of an aborted upload: %v", err)
	}
	s.config(t, &statepb.Txn{Deletes: []*statepb.ObjectKey{{Kind: statepb.Kind_KIND_BUCKET, Name: bk1}}})
	if _, err := s.CreateUpload(t.Context(), objects.CreateUploadRequest{Bucket: bk1, Key: "a"}); !errors.Is(err, objects.ErrNoBucket) {
		t.Errorf("upload in a deleted bucket: %v", err)
	}
}

// TestCopyPart makes parts of objects: one as it is, others of ranges.
func TestCopyPart(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	raw := chunkstest.Random(5, 7<<20)
	s.put(t, "src", raw)
	src, err := s.Get(t.Context(), bk1, "src")
	if err != nil {
		t.Fatal(err)
	}
	up, _ := s.upload(t, "k")
	var list []objects.CompletePart
	for i, r := range [][2]int64{{0, -1}, {1000, 6 << 20}, {5, 7}} {
		req := objects.PutPartRequest{Bucket: bk1, Key: "k", Upload: up.GetId(), Number: i + 1}
		part, err := s.CopyPart(t.Context(), req, src, r[0], r[1], nil)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, objects.CompletePart{Number: i + 1, ETag: part.GetEtag()})
	}
	if list[0].ETag != src.Record.GetEtag() {
		t.Errorf("ETag %s of a whole object, want %s", list[0].ETag, src.Record.GetEtag())
	}
	if _, err := s.CopyPart(t.Context(), objects.PutPartRequest{Bucket: bk1, Key: "k", Upload: up.GetId(), Number: 4}, src, 7<<20, 1, nil); !errors.Is(err, objects.ErrRange) {
		t.Errorf("a range beyond the end: %v", err)
	}
	if _, err := s.CompleteUpload(t.Context(), objects.CompleteRequest{Bucket: bk1, Key: "k", Upload: up.GetId(), Parts: list, Size: -1}); err != nil {
		t.Fatal(err)
	}
	want := append(append(bytes.Clone(raw), raw[1000:1000+6<<20]...), raw[5:12]...)
	if !bytes.Equal(s.get(t, "k"), want) {
		t.Error("other bytes come back")
	}
}

func BenchmarkPut(b *testing.B) {
	for _, c := range []struct{ size, writers int }{{4 << 10, 1}, {4 << 10, 8}, {64 << 10, 8}, {8 << 20, 1}, {8 << 20, 8}} {
		b.Run(fmt.Sprintf("%d/%d-at-once", c.size, c.writers), func(b *testing.B) {
			s := openSite(b, nil)
			b.SetBytes(int64(c.size))
			b.SetParallelism(c.writers / 2) // of two processors
			var mu sync.Mutex
			n := 0
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					mu.Lock()
					n++
					i := n
					mu.Unlock()
					raw := chunkstest.Random(uint64(i), c.size)
					if _, err := s.Put(b.Context(), objects.PutRequest{Bucket: bk1, Key: fmt.Sprint(i), Body: bytes.NewReader(raw), Size: int64(c.size)}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
