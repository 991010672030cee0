package s3gate_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"

	"edgefog.dev/isgw/chunks/chunkstest"
)

// digest takes a checksum with the standard library.
func digest(a types.ChecksumAlgorithm, raw []byte) string {
	var sum []byte
	switch a {
	case types.ChecksumAlgorithmCrc32:
		sum = binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(raw))
	case types.ChecksumAlgorithmCrc32c:
		sum = binary.BigEndian.AppendUint32(nil, crc32.Checksum(raw, crc32.MakeTable(crc32.Castagnoli)))
	case types.ChecksumAlgorithmSha1:
		h := sha1.Sum(raw)
		sum = h[:]
	case types.ChecksumAlgorithmSha256:
		h := sha256.Sum256(raw)
		sum = h[:]
	}
	return base64.StdEncoding.EncodeToString(sum)
}

// overParts is the digest of the digests of parts.
func overParts(t *testing.T, a types.ChecksumAlgorithm, parts ...[]byte) string {
	t.Helper()
	var all []byte
	for _, p := range parts {
		sum, err := base64.StdEncoding.DecodeString(digest(a, p))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sum...)
	}
	return fmt.Sprintf("%s-%d", digest(a, all), len(parts))
}

// picked returns the checksum of an algorithm among those of an answer.
func picked(a types.ChecksumAlgorithm, crc32, crc32c, sha1, sha256 *string) string {
	return aws.ToString(map[types.ChecksumAlgorithm]*string{
		types.ChecksumAlgorithmCrc32: crc32, types.ChecksumAlgorithmCrc32c: crc32c,
		types.ChecksumAlgorithmSha1: sha1, types.ChecksumAlgorithmSha256: sha256,
	}[a])
}

// TestPartChecksums uploads objects in parts with every kind of checksum; parts,
// listings, the object, its parts and its attributes tell it.
func TestPartChecksums(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ac := s.aws(t, colaKey, colaSecret)
	bucket := aws.String("bk1")
	parts := [][]byte{chunkstest.Random(1, 5<<20), chunkstest.Random(2, 5<<20+17), []byte("end")}
	whole := bytes.Join(parts, nil)
	for _, c := range []struct {
		algorithm types.ChecksumAlgorithm
		kind      types.ChecksumType
	}{
		{types.ChecksumAlgorithmCrc32, types.ChecksumTypeFullObject},
		{types.ChecksumAlgorithmCrc32c, types.ChecksumTypeFullObject},
		{types.ChecksumAlgorithmCrc32, types.ChecksumTypeComposite},
		{types.ChecksumAlgorithmCrc32c, types.ChecksumTypeComposite},
		{types.ChecksumAlgorithmSha1, types.ChecksumTypeComposite},
		{types.ChecksumAlgorithmSha256, types.ChecksumTypeComposite},
	} {
		key := aws.String(fmt.Sprint(c.algorithm, " ", c.kind))
		want := digest(c.algorithm, whole)
		if c.kind == types.ChecksumTypeComposite {
			want = overParts(t, c.algorithm, parts...)
		}
		create, err := ac.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key, ChecksumAlgorithm: c.algorithm, ChecksumType: c.kind})
		if err != nil {
			t.Fatal(err)
		}
		if create.ChecksumAlgorithm != c.algorithm || create.ChecksumType != c.kind {
			t.Errorf("%s: created with %s %s", *key, create.ChecksumAlgorithm, create.ChecksumType)
		}
		var done []types.CompletedPart
		for i, raw := range parts {
			p, err := ac.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: create.UploadId, PartNumber: aws.Int32(int32(2*i + 1)), Body: bytes.NewReader(raw), ChecksumAlgorithm: c.algorithm})
			if err != nil {
				t.Fatal(err)
			}
			if got := picked(c.algorithm, p.ChecksumCRC32, p.ChecksumCRC32C, p.ChecksumSHA1, p.ChecksumSHA256); got != digest(c.algorithm, raw) {
				t.Errorf("%s: part %d answers %q", *key, i, got)
			}
			done = append(done, types.CompletedPart{PartNumber: aws.Int32(int32(2*i + 1)), ETag: p.ETag, ChecksumCRC32: p.ChecksumCRC32, ChecksumCRC32C: p.ChecksumCRC32C, ChecksumSHA1: p.ChecksumSHA1, ChecksumSHA256: p.ChecksumSHA256})
		}
		listed, err := ac.ListParts(t.Context(), &s3.ListPartsInput{Bucket: bucket, Key: key, UploadId: create.UploadId})
		if err != nil || listed.ChecksumAlgorithm != c.algorithm || listed.ChecksumType != c.kind {
			t.Fatalf("%s: listed %v, error %v", *key, listed, err)
		}
		for i, p := range listed.Parts {
			if got := picked(c.algorithm, p.ChecksumCRC32, p.ChecksumCRC32C, p.ChecksumSHA1, p.ChecksumSHA256); got != digest(c.algorithm, parts[i]) {
				t.Errorf("%s: part %d is listed with %q", *key, i, got)
			}
		}
		uploads, err := ac.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: bucket, Prefix: key})
		if err != nil || len(uploads.Uploads) != 1 || uploads.Uploads[0].ChecksumAlgorithm != c.algorithm || uploads.Uploads[0].ChecksumType != c.kind {
			t.Errorf("%s: uploads %v, error %v", *key, uploads, err)
		}
		in := &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: key, UploadId: create.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: done}, ChecksumType: c.kind}
		wrong := *in
		wrong.MultipartUpload = &types.CompletedMultipartUpload{Parts: append([]types.CompletedPart(nil), done...)}
		wrong.MultipartUpload.Parts[1].ChecksumCRC32, wrong.MultipartUpload.Parts[1].ChecksumCRC32C = done[0].ChecksumCRC32, done[0].ChecksumCRC32C
		wrong.MultipartUpload.Parts[1].ChecksumSHA1, wrong.MultipartUpload.Parts[1].ChecksumSHA256 = done[0].ChecksumSHA1, done[0].ChecksumSHA256
		_, err = ac.CompleteMultipartUpload(t.Context(), &wrong)
		wantCode(t, *key+": another part's checksum", err, "InvalidPart")
		switch c.algorithm {
		case types.ChecksumAlgorithmCrc32:
			in.ChecksumCRC32 = &want
		case types.ChecksumAlgorithmSha256:
			in.ChecksumSHA256 = &want
		}
		out, err := ac.CompleteMultipartUpload(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if got := picked(c.algorithm, out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumSHA1, out.ChecksumSHA256); got != want || out.ChecksumType != c.kind {
			t.Errorf("%s: completed with %q %s, want %q", *key, got, out.ChecksumType, want)
		}
		head, err := ac.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: bucket, Key: key, ChecksumMode: types.ChecksumModeEnabled})
		if err != nil {
			t.Fatal(err)
		}
		if got := picked(c.algorithm, head.ChecksumCRC32, head.ChecksumCRC32C, head.ChecksumSHA1, head.ChecksumSHA256); got != want || head.ChecksumType != c.kind {
			t.Errorf("%s: head has %q %s, want %q", *key, got, head.ChecksumType, want)
		}
		part, err := ac.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: bucket, Key: key, PartNumber: aws.Int32(2), ChecksumMode: types.ChecksumModeEnabled})
		if err != nil {
			t.Fatal(err)
		}
		if got := picked(c.algorithm, part.ChecksumCRC32, part.ChecksumCRC32C, part.ChecksumSHA1, part.ChecksumSHA256); got != digest(c.algorithm, parts[1]) || *part.ContentLength != int64(len(parts[1])) {
			t.Errorf("%s: head of part 2 has %q and %d bytes", *key, got, *part.ContentLength)
		}
		var sizes []int64
		var marker *string
		for {
			a, err := ac.GetObjectAttributes(t.Context(), &s3.GetObjectAttributesInput{Bucket: bucket, Key: key, MaxParts: aws.Int32(2), PartNumberMarker: marker,
				ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesChecksum, types.ObjectAttributesObjectParts, types.ObjectAttributesObjectSize}})
			if err != nil {
				t.Fatal(err)
			}
			if got := picked(c.algorithm, a.Checksum.ChecksumCRC32, a.Checksum.ChecksumCRC32C, a.Checksum.ChecksumSHA1, a.Checksum.ChecksumSHA256); got != want || a.Checksum.ChecksumType != c.kind || *a.ObjectSize != int64(len(whole)) {
				t.Errorf("%s: attributes %q %s, size %d", *key, got, a.Checksum.ChecksumType, *a.ObjectSize)
			}
			if aws.ToInt32(a.ObjectParts.TotalPartsCount) != 3 {
				t.Errorf("%s: attributes tell of %d parts", *key, aws.ToInt32(a.ObjectParts.TotalPartsCount))
			}
			for _, p := range a.ObjectParts.Parts {
				if got := picked(c.algorithm, p.ChecksumCRC32, p.ChecksumCRC32C, p.ChecksumSHA1, p.ChecksumSHA256); got != digest(c.algorithm, parts[len(sizes)]) {
					t.Errorf("%s: attributes of part %d: %q", *key, *p.PartNumber, got)
				}
				sizes = append(sizes, *p.Size)
			}
			if !aws.ToBool(a.ObjectParts.IsTruncated) {
				break
			}
			marker = a.ObjectParts.NextPartNumberMarker
		}
		if fmt.Sprint(sizes) != fmt.Sprint([]int{len(parts[0]), len(parts[1]), len(parts[2])}) {
			t.Errorf("%s: attributes list parts of %v bytes", *key, sizes)
		}
	}
}

// TestPartChecksumsRefused breaks what an upload with a checksum demands.
func TestPartChecksumsRefused(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	core, ac := s.core(t), s.aws(t, colaKey, colaSecret)
	bucket, key := aws.String("bk1"), aws.String("k")
	create, err := ac.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key, ChecksumAlgorithm: types.ChecksumAlgorithmSha256})
	if err != nil {
		t.Fatal(err)
	}
	put := func(a types.ChecksumAlgorithm) error {
		_, err := ac.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: create.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("x"), ChecksumAlgorithm: a})
		return err
	}
	wantCode(t, "a part with another checksum", put(types.ChecksumAlgorithmCrc32c), "InvalidRequest")
	_, err = core.PutObjectPart(t.Context(), "bk1", "k", *create.UploadId, 1, strings.NewReader("x"), 1, minio.PutObjectPartOptions{})
	wantCode(t, "a part without a checksum", err, "InvalidRequest")
	if err := put(types.ChecksumAlgorithmSha256); err != nil {
		t.Error(err)
	}
	for what, in := range map[string]*s3.CreateMultipartUploadInput{
		"a composite CRC64NVME":   {ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme, ChecksumType: types.ChecksumTypeComposite},
		"a whole object's SHA256": {ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ChecksumType: types.ChecksumTypeFullObject},
	} {
		in.Bucket, in.Key = bucket, key
		_, err := ac.CreateMultipartUpload(t.Context(), in)
		wantCode(t, what, err, "InvalidRequest")
	}
}

// TestCopiedChecksums makes parts and objects with checksums out of others.
func TestCopiedChecksums(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ac := s.aws(t, colaKey, colaSecret)
	bucket, key := aws.String("bk1"), aws.String("k")
	raw := chunkstest.Random(3, 6<<20)
	if _, err := ac.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: aws.String("src"), Body: bytes.NewReader(raw), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32}); err != nil {
		t.Fatal(err)
	}
	for _, a := range []types.ChecksumAlgorithm{types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmSha256} {
		create, err := ac.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key, ChecksumAlgorithm: a})
		if err != nil {
			t.Fatal(err)
		}
		var done []types.CompletedPart
		for i, r := range []*string{nil, aws.String("bytes=100-199")} {
			p, err := ac.UploadPartCopy(t.Context(), &s3.UploadPartCopyInput{Bucket: bucket, Key: key, UploadId: create.UploadId, PartNumber: aws.Int32(int32(i + 1)), CopySource: aws.String("bk1/src"), CopySourceRange: r})
			if err != nil {
				t.Fatal(err)
			}
			want := digest(a, raw)
			if r != nil {
				want = digest(a, raw[100:200])
			}
			res := p.CopyPartResult
			if got := picked(a, res.ChecksumCRC32, res.ChecksumCRC32C, res.ChecksumSHA1, res.ChecksumSHA256); got != want {
				t.Errorf("%s: part %d has %q, want %q", a, i, got, want)
			}
			done = append(done, types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: res.ETag, ChecksumCRC32: res.ChecksumCRC32, ChecksumSHA256: res.ChecksumSHA256})
		}
		out, err := ac.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: key, UploadId: create.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: done}})
		if err != nil {
			t.Fatal(err)
		}
		if got := picked(a, out.ChecksumCRC32, nil, nil, out.ChecksumSHA256); got != overParts(t, a, raw, raw[100:200]) {
			t.Errorf("%s: completed with %q", a, got)
		}
	}
	cp, err := ac.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("copy"), CopySource: aws.String("bk1/k"), ChecksumAlgorithm: types.ChecksumAlgorithmSha1})
	if err != nil {
		t.Fatal(err)
	}
	want := digest(types.ChecksumAlgorithmSha1, append(bytes.Clone(raw), raw[100:200]...))
	if aws.ToString(cp.CopyObjectResult.ChecksumSHA1) != want || cp.CopyObjectResult.ChecksumType != types.ChecksumTypeFullObject {
		t.Errorf("the copy answers %q %s", aws.ToString(cp.CopyObjectResult.ChecksumSHA1), cp.CopyObjectResult.ChecksumType)
	}
	head, err := ac.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: bucket, Key: aws.String("copy"), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil || aws.ToString(head.ChecksumSHA1) != want || head.ChecksumSHA256 != nil {
		t.Errorf("the copy has %v, error %v", head, err)
	}
	plain, err := ac.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("copy2"), CopySource: aws.String("bk1/src")})
	if err != nil || aws.ToString(plain.CopyObjectResult.ChecksumCRC32) != digest(types.ChecksumAlgorithmCrc32, raw) {
		t.Errorf("a plain copy answers %v, error %v", plain, err)
	}
}

// TestMinioParts uploads by minio-go, which takes checksums of parts on its own.
func TestMinioParts(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	cl, err := minio.New(s.addr, &minio.Options{Creds: colaCredentials(), Region: "us-east-1", TrailingHeaders: true, Transport: transport(t)})
	if err != nil {
		t.Fatal(err)
	}
	raw := chunkstest.Random(4, 11<<20)
	for _, kind := range []minio.ChecksumType{minio.ChecksumCRC32C, minio.ChecksumSHA256, minio.ChecksumCRC64NVME, minio.ChecksumFullObjectCRC32C} {
		info, err := cl.PutObject(t.Context(), "bk1", kind.String(), bytes.NewReader(raw), int64(len(raw)), minio.PutObjectOptions{PartSize: 5 << 20, Checksum: kind})
		if err != nil || !strings.HasSuffix(info.ETag, "-3") {
			t.Errorf("%s: %v, error %v", kind, info, err)
			continue
		}
		attr, err := cl.GetObjectAttributes(t.Context(), "bk1", kind.String(), minio.ObjectAttributesOptions{})
		if err != nil || attr.ObjectParts.PartsCount != 3 || len(attr.ObjectParts.Parts) != 3 {
			t.Errorf("%s: attributes %+v, error %v", kind, attr, err)
		}
		got, err := cl.GetObject(t.Context(), "bk1", kind.String(), minio.GetObjectOptions{Checksum: true})
		if err != nil || !bytes.Equal(readBody(t, got), raw) {
			t.Errorf("%s: other bytes come back, error %v", kind, err)
		}
	}
}
