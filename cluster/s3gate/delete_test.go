package s3gate_test

import (
	"crypto/md5"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// TestDeleteConditions deletes on conditions of ETag, time and size, keys and
// versions, one by one and many at once.
func TestDeleteConditions(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.keeper(t, types.BucketVersioningStatusEnabled)
	etag, other := func(key string) *string {
		out, err := k.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: k.bucket, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		return out.ETag
	}, aws.String(`"00000000000000000000000000000000"`)
	modified := func(key string) *time.Time {
		out, err := k.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: k.bucket, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		return out.LastModified
	}
	for what, c := range map[string]struct {
		in   func(key string) s3.DeleteObjectInput
		want string
	}{
		"its ETag":     {func(key string) s3.DeleteObjectInput { return s3.DeleteObjectInput{IfMatch: etag(key)} }, ""},
		"any ETag":     {func(string) s3.DeleteObjectInput { return s3.DeleteObjectInput{IfMatch: aws.String("*")} }, ""},
		"another ETag": {func(string) s3.DeleteObjectInput { return s3.DeleteObjectInput{IfMatch: other} }, "PreconditionFailed"},
		"its time": {func(key string) s3.DeleteObjectInput {
			return s3.DeleteObjectInput{IfMatchLastModifiedTime: modified(key)}
		}, ""},
		"another time": {func(string) s3.DeleteObjectInput {
			return s3.DeleteObjectInput{IfMatchLastModifiedTime: aws.Time(time.Unix(1_000_000_000, 0))}
		}, "PreconditionFailed"},
		"its size":     {func(string) s3.DeleteObjectInput { return s3.DeleteObjectInput{IfMatchSize: aws.Int64(3)} }, ""},
		"another size": {func(string) s3.DeleteObjectInput { return s3.DeleteObjectInput{IfMatchSize: aws.Int64(4)} }, "PreconditionFailed"},
		"its ETag, not its size": {func(key string) s3.DeleteObjectInput {
			return s3.DeleteObjectInput{IfMatch: etag(key), IfMatchSize: aws.Int64(0)}
		}, "PreconditionFailed"},
	} {
		id := k.put("k", "one")
		for _, version := range []*string{nil, &id} {
			in := c.in("k")
			in.Bucket, in.Key, in.VersionId = k.bucket, aws.String("k"), version
			_, err := k.DeleteObject(t.Context(), &in)
			if c.want == "" && err != nil {
				t.Errorf("%s, version %v: %v", what, aws.ToString(version), err)
			} else if c.want != "" {
				wantCode(t, what, err, c.want)
			}
			if version == nil && c.want == "" {
				break // the condition is of what is deleted now
			}
		}
	}
	_, err := k.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: k.bucket, Key: aws.String("none"), IfMatch: other})
	wantCode(t, "an ETag of nothing", err, "NoSuchKey")

	v := k.put("a", "one")
	k.put("b", "two")
	out, err := k.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: k.bucket, Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: aws.String("a"), ETag: etag("b")}, {Key: aws.String("b"), ETag: etag("b")}, {Key: aws.String("a"), VersionId: &v, Size: aws.Int64(9)}, {Key: aws.String("c")},
	}}})
	if err != nil || len(out.Deleted) != 2 || len(out.Errors) != 2 {
		t.Fatalf("deleted %+v, error %v", out, err)
	}
	for _, e := range out.Errors {
		if *e.Key != "a" || *e.Code != "PreconditionFailed" {
			t.Errorf("%s: %s", *e.Key, *e.Code)
		}
	}
	if content, _, err := k.get("a", v); err != nil || content != "one" {
		t.Errorf("what the conditions kept has %q, %v", content, err)
	}
	// Times are in the form of HTTP here; keys are what they are.
	const odd = "a <LastModifiedTime>x</LastModifiedTime> & \"b\""
	k.put(odd, "x")
	out, err = k.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: k.bucket, Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: aws.String("a"), VersionId: &v, LastModifiedTime: aws.Time(time.Unix(1_000_000_000, 0))},
		{Key: aws.String(odd), LastModifiedTime: modified(odd)},
	}}})
	if err != nil || len(out.Deleted) != 1 || *out.Deleted[0].Key != odd || len(out.Errors) != 1 || *out.Errors[0].Code != "PreconditionFailed" {
		t.Errorf("on times: deleted %+v, error %v", out, err)
	}
}

// TestQuietDeletions tells only what was not deleted where that is asked for.
func TestQuietDeletions(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.keeper(t, "")
	for _, quiet := range []bool{true, false} {
		k.put("a", "one")
		k.put("b", "two")
		out, err := k.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: k.bucket, Delete: &types.Delete{Quiet: &quiet, Objects: []types.ObjectIdentifier{
			{Key: aws.String("a")}, {Key: aws.String("b"), Size: aws.Int64(9)}, {Key: aws.String("none")},
		}}})
		if err != nil || len(out.Errors) != 1 || *out.Errors[0].Key != "b" || len(out.Deleted) != map[bool]int{true: 0, false: 2}[quiet] {
			t.Errorf("quiet %v: %+v, error %v", quiet, out, err)
		}
		if _, _, err := k.get("a", ""); code(err) != "NoSuchKey" {
			t.Errorf("quiet %v: what was deleted: %v", quiet, err)
		}
	}
}

// TestMalformedDeletions refuses lists that are none.
func TestMalformedDeletions(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.keeper(t, "")
	k.put("a", "one")
	_, err := k.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: k.bucket, Delete: &types.Delete{Objects: []types.ObjectIdentifier{}}})
	wantCode(t, "a deletion of nothing", err, "MalformedXML")
	for _, body := range []string{"<Delete><Object>Quiet", "<Delete><Object><Key>a</Key><LastModifiedTime>now</LastModifiedTime></Object></Delete>", "<Other><Object><Key>a</Key></Object><Quiet>true</Quiet></Other>"} {
		g := signing{access: colaKey, secret: colaSecret, kind: "header"}
		sum := md5.Sum([]byte(body))
		got := s.send(t, &http.Client{Transport: transport(t)}, g.request(t, "POST", "http://"+s.addr+"/bk1?delete",
			map[string]string{"Content-Md5": base64.StdEncoding.EncodeToString(sum[:])}, []byte(body)))
		if got.status != http.StatusBadRequest || got.code != "MalformedXML" {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	if content, _, err := k.get("a", ""); err != nil || content != "one" {
		t.Errorf("after all that the object has %q, %v", content, err)
	}
}

// TestOtherConditions has copies made and uploads ended on conditions.
func TestOtherConditions(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.keeper(t, "")
	k.put("source", "x")
	k.put("target", "y")
	copied := func(in s3.CopyObjectInput) error {
		in.Bucket, in.Key, in.CopySource = k.bucket, aws.String("target"), aws.String("bk1/source")
		_, err := k.CopyObject(t.Context(), &in)
		return err
	}
	wantCode(t, "a copy onto what must not be", copied(s3.CopyObjectInput{IfNoneMatch: aws.String("*")}), "PreconditionFailed")
	wantCode(t, "a copy onto another ETag", copied(s3.CopyObjectInput{IfMatch: aws.String(`"00000000000000000000000000000000"`)}), "PreconditionFailed")
	if content, _, err := k.get("target", ""); err != nil || content != "y" {
		t.Errorf("after refused copies: %q, %v", content, err)
	}
	head, err := k.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: k.bucket, Key: aws.String("target")})
	if err != nil {
		t.Fatal(err)
	}
	if err := copied(s3.CopyObjectInput{IfMatch: head.ETag}); err != nil {
		t.Errorf("a copy onto its ETag: %v", err)
	}
	wantCode(t, "a copy from another owner's", copied(s3.CopyObjectInput{ExpectedSourceBucketOwner: aws.String("Hawaii/Pepsi")}), "AccessDenied")
	if err := copied(s3.CopyObjectInput{ExpectedSourceBucketOwner: aws.String("Hawaii/Cola")}); err != nil {
		t.Errorf("a copy from its owner's: %v", err)
	}
	_, err = k.PutObject(t.Context(), &s3.PutObjectInput{Bucket: k.bucket, Key: aws.String("target"), Body: strings.NewReader("z"), WriteOffsetBytes: aws.Int64(1)})
	wantCode(t, "what is to be appended", err, "NotImplemented")
	create, err := k.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: k.bucket, Key: aws.String("u")})
	if err != nil {
		t.Fatal(err)
	}
	list, err := k.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: k.bucket})
	if err != nil || len(list.Uploads) != 1 {
		t.Fatalf("uploads %v, error %v", list, err)
	}
	abort := func(at time.Time) error {
		_, err := k.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: k.bucket, Key: aws.String("u"), UploadId: create.UploadId, IfMatchInitiatedTime: &at})
		return err
	}
	wantCode(t, "an abortion of another time", abort(time.Unix(1_000_000_000, 0)), "PreconditionFailed")
	if err := abort(*list.Uploads[0].Initiated); err != nil {
		t.Errorf("an abortion of its time: %v", err)
	}
	_, err = k.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{Bucket: k.bucket, VersioningConfiguration: &types.VersioningConfiguration{
		Status: types.BucketVersioningStatusEnabled, MFADelete: types.MFADeleteEnabled}})
	wantCode(t, "a second factor", err, "NotImplemented")
	_, err = k.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: k.bucket, Key: aws.String("target"), MFA: aws.String("serial 123456")})
	wantCode(t, "a second factor of a deletion", err, "NotImplemented")
}
