package s3gate_test

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/chunks/chunkstest"
)

// TestMultipart uploads an object in parts by both clients; its chunks are those
// of the same bytes in one piece, and no byte is stored again but those at the
// seams.
func TestMultipart(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ac, cl := s.aws(t, colaKey, colaSecret), s.minio(t, colaKey, colaSecret)
	raw := chunkstest.Random(1, 13<<20)
	bucket := aws.String("bk1")
	if _, err := ac.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: aws.String("whole"), Body: bytes.NewReader(raw)}); err != nil {
		t.Fatal(err)
	}
	before := s.chunks.Stats()
	if _, err := cl.PutObject(t.Context(), "bk1", "minio", bytes.NewReader(raw), int64(len(raw)), minio.PutObjectOptions{PartSize: 5 << 20, UserMetadata: map[string]string{"m": "1"}, ContentType: "a/b"}); err != nil {
		t.Fatal(err)
	}
	if n := s.chunks.Stats().Bytes - before.Bytes; n > 2<<20 {
		t.Errorf("%d bytes were stored for content that is there", n)
	}
	create, err := ac.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: aws.String("aws"), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32, Metadata: map[string]string{"m": "1"}, ContentType: aws.String("a/b")})
	if err != nil {
		t.Fatal(err)
	}
	var done []types.CompletedPart
	for i, span := range [][2]int{{0, 6 << 20}, {6 << 20, 12<<20 + 3}, {12<<20 + 3, len(raw)}} {
		part, err := ac.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: bucket, Key: aws.String("aws"), UploadId: create.UploadId, PartNumber: aws.Int32(int32(i + 1)), Body: bytes.NewReader(raw[span[0]:span[1]]), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32})
		if err != nil {
			t.Fatal(err)
		}
		done = append(done, types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32})
	}
	parts, err := ac.ListParts(t.Context(), &s3.ListPartsInput{Bucket: bucket, Key: aws.String("aws"), UploadId: create.UploadId, MaxParts: aws.Int32(2)})
	if err != nil || len(parts.Parts) != 2 || !*parts.IsTruncated || *parts.Parts[1].Size != 6<<20+3 || *parts.NextPartNumberMarker != "2" {
		t.Errorf("parts %+v, %v", parts, err)
	}
	rest, err := ac.ListParts(t.Context(), &s3.ListPartsInput{Bucket: bucket, Key: aws.String("aws"), UploadId: create.UploadId, PartNumberMarker: parts.NextPartNumberMarker})
	if err != nil || len(rest.Parts) != 1 || *rest.IsTruncated {
		t.Errorf("more parts %+v, %v", rest, err)
	}
	complete := &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: aws.String("aws"), UploadId: create.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: done}}
	first, err := ac.CompleteMultipartUpload(t.Context(), complete)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ac.CompleteMultipartUpload(t.Context(), complete)
	if err != nil || *again.ETag != *first.ETag || !strings.HasSuffix(*first.ETag, `-3"`) {
		t.Errorf("completed again: %v, %v", again, err)
	}
	whole, err := s.objects.Head(t.Context(), "Hawaii/Cola/bk1", "whole")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"minio", "aws"} {
		rec, err := s.objects.Head(t.Context(), "Hawaii/Cola/bk1", key)
		if err != nil || !proto.Equal(rec.GetRoot(), whole.GetRoot()) {
			t.Errorf("%s: root %v, in one piece %v; error %v", key, rec.GetRoot(), whole.GetRoot(), err)
		}
		out, err := ac.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: &key})
		if err != nil || !bytes.Equal(readBody(t, out.Body), raw) || *out.ContentType != "a/b" || out.Metadata["m"] != "1" {
			t.Errorf("%s: %v, error %v", key, out, err)
		}
		part, err := ac.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: &key, PartNumber: aws.Int32(3)})
		from := 12<<20 + 3
		if key == "minio" {
			from = 10 << 20
		}
		if err != nil || !bytes.Equal(readBody(t, part.Body), raw[from:]) || *part.PartsCount != 3 {
			t.Errorf("%s: part 3: %v, error %v", key, part, err)
		}
		_, err = ac.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: &key, PartNumber: aws.Int32(4)})
		wantCode(t, "part 4", err, "InvalidPartNumber")
	}
}

// TestMultipartRefused breaks the rules of completion, and those of checksums.
func TestMultipartRefused(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ac := s.aws(t, colaKey, colaSecret)
	bucket, key := aws.String("bk1"), aws.String("k")
	create, err := ac.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	var tags []string
	for i, n := range []int{100, 5 << 20, 5} {
		part, err := ac.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: create.UploadId, PartNumber: aws.Int32(int32(i + 1)), Body: bytes.NewReader(make([]byte, n))})
		if err != nil {
			t.Fatal(err)
		}
		tags = append(tags, *part.ETag)
	}
	complete := func(edit func(*s3.CompleteMultipartUploadInput), numbers ...int) error {
		in := &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: key, UploadId: create.UploadId, MultipartUpload: &types.CompletedMultipartUpload{}}
		for _, n := range numbers {
			in.MultipartUpload.Parts = append(in.MultipartUpload.Parts, types.CompletedPart{PartNumber: aws.Int32(int32(n)), ETag: &tags[min(n, len(tags))-1]})
		}
		if edit != nil {
			edit(in)
		}
		_, err := ac.CompleteMultipartUpload(t.Context(), in)
		return err
	}
	wantCode(t, "a small part before the last", complete(nil, 1, 2), "EntityTooSmall")
	wantCode(t, "order", complete(nil, 3, 2), "InvalidPartOrder")
	wantCode(t, "a part that is not there", complete(nil, 2, 4), "InvalidPart")
	wantCode(t, "no parts", complete(nil), "MalformedXML")
	wantCode(t, "another upload", complete(func(in *s3.CompleteMultipartUploadInput) { in.UploadId = aws.String("none") }, 2, 3), "NoSuchUpload")
	wantCode(t, "another key", complete(func(in *s3.CompleteMultipartUploadInput) { in.Key = aws.String("other") }, 2, 3), "NoSuchUpload")
	wantCode(t, "another size", complete(func(in *s3.CompleteMultipartUploadInput) { in.MpuObjectSize = aws.Int64(1) }, 2, 3), "InvalidRequest")
	wantCode(t, "a checksum of checksums that the parts do not have", complete(func(in *s3.CompleteMultipartUploadInput) {
		in.ChecksumSHA256 = aws.String("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=-2")
		in.ChecksumType = types.ChecksumTypeComposite
	}, 2, 3), "InvalidRequest")
	wantCode(t, "a wrong checksum", complete(func(in *s3.CompleteMultipartUploadInput) { in.ChecksumCRC32 = aws.String("AAAAAA==") }, 2, 3), "BadDigest")
	wantCode(t, "a condition", complete(func(in *s3.CompleteMultipartUploadInput) { in.IfMatch = aws.String("x") }, 2, 3), "NoSuchKey")
	if err := complete(nil, 2, 3); err != nil {
		t.Errorf("after all refusals: %v", err)
	}
	_, err = ac.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: create.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
	wantCode(t, "part after the end", err, "NoSuchUpload")
	_, err = ac.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: bucket, Key: key, UploadId: create.UploadId})
	wantCode(t, "abort after the end", err, "NoSuchUpload")
	_, err = ac.ListParts(t.Context(), &s3.ListPartsInput{Bucket: bucket, Key: key, UploadId: create.UploadId})
	wantCode(t, "list after the end", err, "NoSuchUpload")
}

// TestUploads lists uploads under way, page by page and rolled up.
func TestUploads(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ac := s.aws(t, colaKey, colaSecret)
	bucket := aws.String("bk1")
	var want []string
	for _, key := range []string{"a", "a", "d/1", "d/2", "e/f/1", "é", "z z"} {
		up, err := ac.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, key+" "+*up.UploadId)
	}
	slices.Sort(want)
	for _, page := range []int32{1, 2, 3, 1000} {
		var got []string
		in := &s3.ListMultipartUploadsInput{Bucket: bucket, MaxUploads: &page}
		for {
			out, err := ac.ListMultipartUploads(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range out.Uploads {
				got = append(got, *u.Key+" "+*u.UploadId)
			}
			if !*out.IsTruncated {
				break
			}
			in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %q, want %q", page, got, want)
		}
		var names []string
		in = &s3.ListMultipartUploadsInput{Bucket: bucket, MaxUploads: &page, Delimiter: aws.String("/")}
		for {
			out, err := ac.ListMultipartUploads(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range out.Uploads {
				names = append(names, *u.Key)
			}
			for _, p := range out.CommonPrefixes {
				names = append(names, *p.Prefix)
			}
			if !*out.IsTruncated {
				break
			}
			in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
		}
		slices.Sort(names)
		if fmt.Sprint(names) != "[a a d/ e/ z z é]" {
			t.Errorf("pages of %d, rolled up: %q", page, names)
		}
	}
	id := strings.TrimPrefix(want[len(want)-1], "é ")
	if _, err := ac.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: bucket, Key: aws.String("é"), UploadId: &id}); err != nil {
		t.Error(err)
	}
	out, err := ac.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: bucket, Prefix: aws.String("é"), EncodingType: types.EncodingTypeUrl})
	if err != nil || len(out.Uploads) != 0 || *out.Prefix != "%C3%A9" {
		t.Errorf("after the abortion: %v, %v", out, err)
	}
}

// TestCopyParts makes an object out of ranges of another.
func TestCopyParts(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ac := s.aws(t, colaKey, colaSecret)
	bucket, key := aws.String("bk1"), aws.String("k")
	raw := chunkstest.Random(2, 6<<20)
	if _, err := ac.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: aws.String("src"), Body: bytes.NewReader(raw)}); err != nil {
		t.Fatal(err)
	}
	create, err := ac.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	var done []types.CompletedPart
	for i, r := range []*string{nil, aws.String("bytes=100-5242979"), aws.String("bytes=7-7")} {
		part, err := ac.UploadPartCopy(t.Context(), &s3.UploadPartCopyInput{Bucket: bucket, Key: key, UploadId: create.UploadId, PartNumber: aws.Int32(int32(i + 1)), CopySource: aws.String("bk1/src"), CopySourceRange: r})
		if err != nil {
			t.Fatal(err)
		}
		done = append(done, types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: part.CopyPartResult.ETag})
	}
	for r, want := range map[string]string{"bytes=0-6291456": "InvalidArgument", "bytes=5-": "InvalidArgument", "bytes=-5": "InvalidArgument", "0-5": "InvalidArgument"} {
		_, err := ac.UploadPartCopy(t.Context(), &s3.UploadPartCopyInput{Bucket: bucket, Key: key, UploadId: create.UploadId, PartNumber: aws.Int32(9), CopySource: aws.String("bk1/src"), CopySourceRange: &r})
		wantCode(t, r, err, want)
	}
	_, err = ac.UploadPartCopy(t.Context(), &s3.UploadPartCopyInput{Bucket: bucket, Key: key, UploadId: create.UploadId, PartNumber: aws.Int32(9), CopySource: aws.String("bk1/none")})
	wantCode(t, "no source", err, "NoSuchKey")
	if _, err := ac.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: key, UploadId: create.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: done}}); err != nil {
		t.Fatal(err)
	}
	out, err := ac.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key})
	want := append(append(bytes.Clone(raw), raw[100:5242980]...), raw[7])
	if err != nil || !bytes.Equal(readBody(t, out.Body), want) {
		t.Errorf("other bytes come back, error %v", err)
	}
}

// TestMultipartKeys completes uploads under keys that are no paths; the answer
// tells where the object is.
func TestMultipartKeys(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ac := s.aws(t, colaKey, colaSecret)
	bucket := aws.String("bk1")
	for _, key := range []string{"../a&b", "//", ".."} {
		create, err := ac.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		part, err := ac.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: bucket, Key: &key, UploadId: create.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
		if err != nil {
			t.Fatal(err)
		}
		out, err := ac.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: &key, UploadId: create.UploadId,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: part.ETag}}}})
		if err != nil {
			t.Fatal(err)
		}
		if *create.Key != key || *out.Key != key || !strings.HasSuffix(*out.Location, "/bk1/"+url.PathEscape(key)) {
			t.Errorf("%q: created %q, completed %q at %q", key, *create.Key, *out.Key, *out.Location)
		}
	}
}
