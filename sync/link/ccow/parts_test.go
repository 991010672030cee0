package ccow

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"edgefog.dev/isgw/sync/link/linkpb"
	"google.golang.org/protobuf/proto"
)

func TestInParts(t *testing.T) {
	size := func(n int) int { return n }
	for name, c := range map[string]struct{ list, parts []int }{
		"nothing":            {nil, []int{0}},
		"little":             {[]int{1, 2, 3}, []int{3}},
		"just one part":      {[]int{partSize / 2, partSize / 2}, []int{2}},
		"one more":           {[]int{partSize / 2, partSize / 2, 1}, []int{2, 1}},
		"each is too large":  {[]int{partSize + 1, partSize + 1}, []int{1, 1}},
		"a large one inside": {[]int{1, 2 * partSize, 1, 1}, []int{1, 1, 2}},
	} {
		var got, all []int
		for part := range inParts(c.list, size) {
			got = append(got, len(part))
			all = append(all, part...)
		}
		if !slices.Equal(got, c.parts) || !slices.Equal(all, c.list) {
			t.Errorf("%s: parts of %v", name, got)
		}
	}
}

// FuzzRequest feeds the body of a request that may have several messages. What is
// accepted is what all of them say together.
func FuzzRequest(f *testing.F) {
	one, err := appendMessage(nil, frameMessage, &linkpb.ChangesRequest{Cursors: []*linkpb.BucketCursor{{Path: "a"}, {Path: strings.Repeat("b", 100)}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(one, true)
	f.Add(append(bytes.Clone(one), one...), true)
	f.Add(append(bytes.Clone(one), one...), false)
	f.Add(append(bytes.Clone(one), one[:len(one)-3]...), true)
	f.Add([]byte{1, 0, 0, 0, 0, 2, 0, 0, 0, 0}, true)
	f.Fuzz(func(t *testing.T, in []byte, many bool) {
		frames := newFrameReader(bytes.NewReader(in), MaxMessage)
		defer frames.release()
		var got linkpb.ChangesRequest
		if mergeParts(frames, int64(len(in)), &got, many) != nil {
			return
		}
		var want linkpb.ChangesRequest
		var payloads []byte
		for rest := in; len(rest) >= frameHeader && (many || len(payloads) == 0 && len(rest) == len(in)); {
			n := int(rest[1])<<24 | int(rest[2])<<16 | int(rest[3])<<8 | int(rest[4])
			payloads = append(payloads, rest[frameHeader:frameHeader+n]...)
			rest = rest[frameHeader+n:]
		}
		// Messages one after the other are the message that they are merged into.
		if err := proto.Unmarshal(payloads, &want); err != nil || !proto.Equal(&got, &want) {
			t.Fatalf("%v instead of %v (%v)", &got, &want, err)
		}
	})
}

// TestManyBucketsAreRefused asks for the changes of more buckets than a link has, in a
// request that is not too long.
func TestManyBucketsAreRefused(t *testing.T) {
	request := func(buckets int) []byte {
		all := make([]*linkpb.BucketCursor, buckets)
		for i := range all {
			all[i] = &linkpb.BucketCursor{Path: "Hawaii/Cola/the same bucket"}
		}
		var out []byte
		for part := range inParts(all, sizeOf[*linkpb.BucketCursor]) {
			var err error
			if out, err = appendMessage(out, frameMessage, &linkpb.ChangesRequest{Cursors: part}); err != nil {
				t.Fatal(err)
			}
		}
		if len(out) > maxRequest {
			t.Fatalf("the request has %d bytes", len(out))
		}
		return out
	}
	for buckets, refused := range map[int]bool{maxBuckets: false, maxBuckets + 1: true} {
		in := request(buckets)
		frames := newFrameReader(bytes.NewReader(in), MaxMessage)
		var got linkpb.ChangesRequest
		if err := mergeParts(frames, int64(len(in)), &got, true); isProtocol(err) != refused {
			t.Errorf("%d buckets: %v", buckets, err)
		}
		frames.release()
	}
}
