package s3gate_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	awshttp "github.com/aws/smithy-go/transport/http"
	"github.com/minio/minio-go/v7"
)

// keeper is a client of one bucket, for tests of versions.
type keeper struct {
	*s3.Client
	t      testing.TB
	bucket *string
}

func (s *site) keeper(t testing.TB, versioning types.BucketVersioningStatus) keeper {
	t.Helper()
	k := keeper{s.aws(t, colaKey, colaSecret), t, aws.String("bk1")}
	if versioning != "" {
		k.versioning(versioning)
	}
	return k
}

func (k keeper) versioning(status types.BucketVersioningStatus) {
	k.t.Helper()
	if _, err := k.PutBucketVersioning(k.t.Context(), &s3.PutBucketVersioningInput{Bucket: k.bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: status}}); err != nil {
		k.t.Fatal(err)
	}
	if out, err := k.GetBucketVersioning(k.t.Context(), &s3.GetBucketVersioningInput{Bucket: k.bucket}); err != nil || out.Status != status {
		k.t.Fatalf("versioning is %q, want %q; error %v", out.Status, status, err)
	}
}

// put writes an object and returns the version that was made.
func (k keeper) put(key, content string) string {
	k.t.Helper()
	out, err := k.PutObject(k.t.Context(), &s3.PutObjectInput{Bucket: k.bucket, Key: &key, Body: strings.NewReader(content)})
	if err != nil {
		k.t.Fatal(err)
	}
	return aws.ToString(out.VersionId)
}

// get reads a version, the latest when id is empty, and returns its content and
// its ID.
func (k keeper) get(key, id string) (content, version string, err error) {
	k.t.Helper()
	in := &s3.GetObjectInput{Bucket: k.bucket, Key: &key}
	if id != "" {
		in.VersionId = &id
	}
	out, err := k.GetObject(k.t.Context(), in)
	if err != nil {
		return "", "", err
	}
	return string(readBody(k.t, out.Body)), aws.ToString(out.VersionId), nil
}

// remove deletes a key, or a version for good, and returns what the answer tells.
func (k keeper) remove(key, id string) (version string, marker bool) {
	k.t.Helper()
	in := &s3.DeleteObjectInput{Bucket: k.bucket, Key: &key}
	if id != "" {
		in.VersionId = &id
	}
	out, err := k.DeleteObject(k.t.Context(), in)
	if err != nil {
		k.t.Fatal(err)
	}
	return aws.ToString(out.VersionId), aws.ToBool(out.DeleteMarker)
}

// history lists all versions and markers in pages: "key id kind latest".
func (k keeper) history(prefix, delimiter string, page int32) []string {
	k.t.Helper()
	var out []string
	in := &s3.ListObjectVersionsInput{Bucket: k.bucket, MaxKeys: &page, Prefix: &prefix, Delimiter: &delimiter}
	for {
		res, err := k.ListObjectVersions(k.t.Context(), in)
		if err != nil {
			k.t.Fatal(err)
		}
		if n := len(res.Versions) + len(res.DeleteMarkers) + len(res.CommonPrefixes); n > int(page) {
			k.t.Errorf("%d items on a page of %d", n, page)
		}
		for _, v := range res.Versions {
			out = append(out, fmt.Sprintf("%s %s version %v", *v.Key, *v.VersionId, *v.IsLatest))
		}
		for _, v := range res.DeleteMarkers {
			out = append(out, fmt.Sprintf("%s %s marker %v", *v.Key, *v.VersionId, *v.IsLatest))
		}
		for _, p := range res.CommonPrefixes {
			out = append(out, *p.Prefix+" prefix")
		}
		if !aws.ToBool(res.IsTruncated) {
			slices.Sort(out)
			return out
		}
		in.KeyMarker, in.VersionIdMarker = res.NextKeyMarker, res.NextVersionIdMarker
	}
}

func (k keeper) wantHistory(what string, want ...string) {
	k.t.Helper()
	slices.Sort(want)
	if got := k.history("", "", 1000); !slices.Equal(got, want) {
		k.t.Errorf("%s: history %q, want %q", what, got, want)
	}
}

// answered returns the status and the headers of the answer behind an error.
func answered(err error) (int, http.Header) {
	var res *awshttp.ResponseError
	if errors.As(err, &res) {
		return res.HTTPStatusCode(), res.Response.Header
	}
	return 0, nil
}

// TestVersions writes, deletes and purges versions of a key.
func TestVersions(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.keeper(t, "")
	if id := k.put("old", "before"); id != "" {
		t.Errorf("a bucket that keeps no versions tells version %q", id)
	}
	if id, marker := k.remove("never was", ""); id != "" || marker {
		t.Errorf("deleting nothing: %q, %v", id, marker)
	}
	k.versioning(types.BucketVersioningStatusEnabled)
	v1, v2 := k.put("k", "one"), k.put("k", "two")
	if len(v1) != 45 || len(v2) != 45 || v1 == v2 {
		t.Fatalf("versions %q and %q", v1, v2)
	}
	for id, want := range map[string]string{"": "two", v1: "one", v2: "two"} {
		content, version, err := k.get("k", id)
		if err != nil || content != want || id != "" && version != id || id == "" && version != v2 {
			t.Errorf("version %q: %q of version %q, error %v", id, content, version, err)
		}
	}
	if content, version, err := k.get("old", "null"); err != nil || content != "before" || version != "null" {
		t.Errorf("the null version: %q of version %q, error %v", content, version, err)
	}
	m1, marker := k.remove("k", "")
	if len(m1) != 45 || !marker {
		t.Fatalf("deleted: version %q, marker %v", m1, marker)
	}
	k.wantHistory("after a deletion", "k "+v1+" version false", "k "+v2+" version false", "k "+m1+" marker true", "old null version true")
	_, _, err := k.get("k", "")
	status, header := answered(err)
	if status != 404 || code(err) != "NoSuchKey" || header.Get("x-amz-delete-marker") != "true" || header.Get("x-amz-version-id") != m1 {
		t.Errorf("get of a deleted key: %v, headers %v", err, header)
	}
	_, err = k.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: k.bucket, Key: aws.String("k")})
	if status, header := answered(err); status != 404 || header.Get("x-amz-delete-marker") != "true" {
		t.Errorf("head of a deleted key: %v, headers %v", err, header)
	}
	_, _, err = k.get("k", m1)
	if status, header := answered(err); status != 405 || header.Get("x-amz-delete-marker") != "true" || header.Get("Allow") != "DELETE" {
		t.Errorf("get of a delete marker: %v, headers %v", err, header)
	}
	out, err := k.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: k.bucket})
	if err != nil || len(out.Contents) != 1 || *out.Contents[0].Key != "old" {
		t.Errorf("listed %v, error %v", out, err)
	}
	if id, marker := k.remove("k", m1); id != m1 || !marker {
		t.Errorf("removed the marker: version %q, marker %v", id, marker)
	}
	if content, _, err := k.get("k", ""); err != nil || content != "two" {
		t.Errorf("after its marker was removed: %q, %v", content, err)
	}
	if id, marker := k.remove("k", v2); id != v2 || marker {
		t.Errorf("removed the latest: version %q, marker %v", id, marker)
	}
	if content, version, err := k.get("k", ""); err != nil || content != "one" || version != v1 {
		t.Errorf("after the latest was removed: %q of version %q, %v", content, version, err)
	}
	k.wantHistory("after purges", "k "+v1+" version true", "old null version true")
	if id, marker := k.remove("k", v2); id != v2 || marker {
		t.Errorf("removed once more: version %q, marker %v", id, marker)
	}
	m2, marker := k.remove("nothing", "")
	if len(m2) != 45 || !marker {
		t.Errorf("deleting what is not there: version %q, marker %v", m2, marker)
	}
	_, _, err = k.get("k", v2)
	wantCode(t, "a version that was removed", err, "NoSuchVersion")
	_, _, err = k.get("k", "xyz")
	wantCode(t, "an ID that is none", err, "InvalidArgument")
	for _, method := range []string{"GET", "DELETE"} {
		if _, body := s.raw(t, method, "/bk1/k?versionId=", nil); between(body, "<Code>", "</Code>") != "InvalidArgument" {
			t.Errorf("%s of an empty ID: %s", method, body)
		}
	}
	// A bucket is not empty as long as it has a version or a marker.
	k.remove("k", v1)
	k.remove("old", "null")
	_, err = k.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: k.bucket})
	wantCode(t, "a bucket that has a marker", err, "BucketNotEmpty")
	k.remove("nothing", m2)
	k.wantHistory("at the end")
	if _, err = k.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: k.bucket}); err != nil {
		t.Errorf("delete the bucket: %v", err)
	}
}

// TestSuspended writes and deletes where versions are not kept any more.
func TestSuspended(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.keeper(t, types.BucketVersioningStatusEnabled)
	v1 := k.put("k", "kept")
	k.versioning(types.BucketVersioningStatusSuspended)
	if id := k.put("k", "null 1"); id != "null" {
		t.Errorf("version %q", id)
	}
	if id := k.put("k", "null 2"); id != "null" {
		t.Errorf("version %q", id)
	}
	k.wantHistory("overwritten", "k "+v1+" version false", "k null version true")
	if content, _, err := k.get("k", "null"); err != nil || content != "null 2" {
		t.Errorf("the null version is %q, %v", content, err)
	}
	if id, marker := k.remove("k", ""); id != "null" || !marker {
		t.Errorf("deleted: %q, %v", id, marker)
	}
	k.wantHistory("deleted", "k "+v1+" version false", "k null marker true")
	if id := k.put("k", "null 3"); id != "null" {
		t.Errorf("version %q", id)
	}
	k.wantHistory("written again", "k "+v1+" version false", "k null version true")
	if id, marker := k.remove("k", "null"); id != "null" || marker {
		t.Errorf("removed: %q, %v", id, marker)
	}
	k.wantHistory("removed", "k "+v1+" version true")
	k.versioning(types.BucketVersioningStatusEnabled)
	v2 := k.put("k", "again")
	k.wantHistory("enabled again", "k "+v1+" version false", "k "+v2+" version true")
}

// TestListVersions walks histories page by page, with prefixes and delimiters.
func TestListVersions(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.keeper(t, "")
	var want []string
	k.put("null", "0")
	want = append(want, "null null version true")
	k.versioning(types.BucketVersioningStatusEnabled)
	for _, key := range []string{"a", "d/1", "d/2", "é/x y", "z"} {
		var ids []string
		for i := range 4 {
			ids = append(ids, k.put(key, fmt.Sprint(i)))
		}
		for i, id := range ids {
			want = append(want, fmt.Sprintf("%s %s version %v", key, id, i == 3 && key != "z"))
		}
	}
	m, _ := k.remove("z", "")
	want = append(want, "z "+m+" marker true")
	slices.Sort(want)
	for _, page := range []int32{1, 2, 3, 5, 1000} {
		if got := k.history("", "", page); !slices.Equal(got, want) {
			t.Errorf("pages of %d: %q, want %q", page, got, want)
		}
		var rolled []string
		for _, line := range want {
			if !strings.HasPrefix(line, "d/") && !strings.HasPrefix(line, "é/") {
				rolled = append(rolled, line)
			}
		}
		rolled = append(rolled, "d/ prefix", "é/ prefix")
		slices.Sort(rolled)
		if got := k.history("", "/", page); !slices.Equal(got, rolled) {
			t.Errorf("pages of %d, rolled up: %q, want %q", page, got, rolled)
		}
		below := slices.DeleteFunc(slices.Clone(want), func(l string) bool { return !strings.HasPrefix(l, "d/2") })
		if got := k.history("d/2", "/", page); !slices.Equal(got, below) {
			t.Errorf("pages of %d, below d/2: %q, want %q", page, got, below)
		}
	}
	_, err := k.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: k.bucket, VersionIdMarker: &m})
	wantCode(t, "a version without a key", err, "InvalidArgument")
	_, err = k.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: k.bucket, KeyMarker: aws.String("a"), VersionIdMarker: aws.String("?")})
	wantCode(t, "a version that is none", err, "InvalidArgument")
	// minio-go takes versions and markers in the order of the answer.
	var seen []string
	for o := range s.minio(t, colaKey, colaSecret).ListObjects(t.Context(), "bk1", minio.ListObjectsOptions{WithVersions: true, Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		seen = append(seen, fmt.Sprintf("%s %s %v %v", o.Key, o.VersionID, o.IsDeleteMarker, o.IsLatest))
	}
	marker := slices.Index(seen, "z "+m+" true true")
	if len(seen) != len(want) || !slices.IsSortedFunc(seen, func(a, b string) int { return strings.Compare(strings.Fields(a)[0], strings.Fields(b)[0]) }) ||
		marker < 1 || strings.HasPrefix(seen[marker-1], "z ") {
		t.Errorf("minio-go lists %q", seen)
	}
}

// TestVersionedRequests names versions wherever a request can.
func TestVersionedRequests(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.keeper(t, types.BucketVersioningStatusEnabled)
	v1, v2 := k.put("k", "one"), k.put("k", "number two")
	head, err := k.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: k.bucket, Key: aws.String("k"), VersionId: &v1})
	if err != nil || *head.ContentLength != 3 || *head.VersionId != v1 {
		t.Errorf("head %v, error %v", head, err)
	}
	attr, err := k.GetObjectAttributes(t.Context(), &s3.GetObjectAttributesInput{Bucket: k.bucket, Key: aws.String("k"), VersionId: &v1, ObjectAttributes: []types.ObjectAttributes{"ObjectSize"}})
	if err != nil || *attr.ObjectSize != 3 || *attr.VersionId != v1 {
		t.Errorf("attributes %v, error %v", attr, err)
	}
	cp, err := k.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: k.bucket, Key: aws.String("copy"), CopySource: aws.String("bk1/k?versionId=" + v1)})
	if err != nil || aws.ToString(cp.CopySourceVersionId) != v1 || len(aws.ToString(cp.VersionId)) != 45 {
		t.Errorf("copy %v, error %v", cp, err)
	}
	if content, _, err := k.get("copy", ""); err != nil || content != "one" {
		t.Errorf("the copy has %q, %v", content, err)
	}
	// An older version is made the latest again by a copy onto its own key.
	if _, err := k.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: k.bucket, Key: aws.String("k"), CopySource: aws.String("bk1/k?versionId=" + v1)}); err != nil {
		t.Error(err)
	}
	if content, _, err := k.get("k", ""); err != nil || content != "one" {
		t.Errorf("restored: %q, %v", content, err)
	}
	create, err := k.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: k.bucket, Key: aws.String("parts")})
	if err != nil {
		t.Fatal(err)
	}
	part, err := k.UploadPartCopy(t.Context(), &s3.UploadPartCopyInput{Bucket: k.bucket, Key: aws.String("parts"), UploadId: create.UploadId, PartNumber: aws.Int32(1),
		CopySource: aws.String("bk1/k?versionId=" + v2), CopySourceRange: aws.String("bytes=7-9")})
	if err != nil || aws.ToString(part.CopySourceVersionId) != v2 {
		t.Fatalf("copied part %v, error %v", part, err)
	}
	done, err := k.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: k.bucket, Key: aws.String("parts"), UploadId: create.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: part.CopyPartResult.ETag, ChecksumCRC32: part.CopyPartResult.ChecksumCRC32}}}})
	if err != nil || len(aws.ToString(done.VersionId)) != 45 {
		t.Fatalf("completed %v, error %v", done, err)
	}
	if content, version, err := k.get("parts", *done.VersionId); err != nil || content != "two" || version != *done.VersionId {
		t.Errorf("of parts: %q, version %q, %v", content, version, err)
	}
	m, _ := k.remove("k", "")
	for source, want := range map[string]string{"k": "NoSuchKey", "k?versionId=" + m: "InvalidRequest", "k?versionId=null": "NoSuchVersion", "k?versionId=zz": "InvalidArgument"} {
		_, err := k.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: k.bucket, Key: aws.String("copy"), CopySource: aws.String("bk1/" + source)})
		wantCode(t, "copy of "+source, err, want)
	}
	// Many at once: markers made, a version and a marker removed for good.
	out, err := k.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: k.bucket, Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: aws.String("copy")}, {Key: aws.String("k"), VersionId: &m}, {Key: aws.String("k"), VersionId: &v1}, {Key: aws.String("none"), VersionId: aws.String("null")},
	}}})
	if err != nil || len(out.Deleted) != 4 || len(out.Errors) != 0 {
		t.Fatalf("deleted %+v, error %v", out, err)
	}
	for _, d := range out.Deleted {
		switch {
		case *d.Key == "copy" && (!aws.ToBool(d.DeleteMarker) || len(aws.ToString(d.DeleteMarkerVersionId)) != 45 || d.VersionId != nil),
			aws.ToString(d.VersionId) == m && (!aws.ToBool(d.DeleteMarker) || aws.ToString(d.DeleteMarkerVersionId) != m),
			aws.ToString(d.VersionId) == v1 && aws.ToBool(d.DeleteMarker):
			t.Errorf("%s %s: marker %v %q", *d.Key, aws.ToString(d.VersionId), aws.ToBool(d.DeleteMarker), aws.ToString(d.DeleteMarkerVersionId))
		}
	}
	if _, _, err := k.get("k", v1); code(err) != "NoSuchVersion" {
		t.Errorf("a version that was removed: %v", err)
	}
}
