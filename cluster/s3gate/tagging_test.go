package s3gate_test

import (
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func tagSet(tags map[string]string) *types.Tagging {
	out := &types.Tagging{TagSet: []types.Tag{}}
	for key, value := range tags {
		out.TagSet = append(out.TagSet, types.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
	return out
}

func tagMap(set []types.Tag) map[string]string {
	out := map[string]string{}
	for _, tag := range set {
		out[*tag.Key] = *tag.Value
	}
	return out
}

// wantTags compares the tags of a version, and their number in the headers.
func (k keeper) wantTags(what, key, id string, want map[string]string) {
	k.t.Helper()
	in := &s3.GetObjectTaggingInput{Bucket: k.bucket, Key: &key}
	head := &s3.HeadObjectInput{Bucket: k.bucket, Key: &key}
	if id != "" {
		in.VersionId, head.VersionId = &id, &id
	}
	out, err := k.GetObjectTagging(k.t.Context(), in)
	if err != nil {
		k.t.Errorf("%s: %v", what, err)
		return
	}
	if got := tagMap(out.TagSet); !maps.Equal(got, want) {
		k.t.Errorf("%s: tags %v, want %v", what, got, want)
	}
	if h, err := k.HeadObject(k.t.Context(), head); err != nil || int(aws.ToInt32(h.TagCount)) != len(want) {
		k.t.Errorf("%s: head tells of %d tags, error %v; want %d", what, aws.ToInt32(h.TagCount), err, len(want))
	}
}

// TestObjectTags sets tags with a write and afterwards, of the latest version and
// of older ones.
func TestObjectTags(t *testing.T) {
	t.Parallel()
	for _, versioning := range []types.BucketVersioningStatus{"", types.BucketVersioningStatusEnabled} {
		t.Run("versioning "+string(versioning), func(t *testing.T) {
			t.Parallel()
			s := openSite(t, nil)
			k := s.keeper(t, versioning)
			first := map[string]string{"team": "Öl & Gas", "a+b": "c=d", "empty": ""}
			query := url.Values{}
			for key, value := range first {
				query.Set(key, value)
			}
			// "&" is not among what tags may have.
			_, err := k.PutObject(t.Context(), &s3.PutObjectInput{Bucket: k.bucket, Key: aws.String("k"), Body: strings.NewReader("x"), Tagging: aws.String(query.Encode())})
			wantCode(t, "a tag with a character that it must not have", err, "InvalidTag")
			first["team"] = "Öl + Gas"
			query.Set("team", first["team"])
			put, err := k.PutObject(t.Context(), &s3.PutObjectInput{Bucket: k.bucket, Key: aws.String("k"), Body: strings.NewReader("x"), Tagging: aws.String(query.Encode())})
			if err != nil {
				t.Fatal(err)
			}
			k.wantTags("given with the write", "k", "", first)
			v1 := aws.ToString(put.VersionId)
			second := map[string]string{"only": "one"}
			if _, err := k.PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{Bucket: k.bucket, Key: aws.String("k"), Tagging: tagSet(second)}); err != nil {
				t.Fatal(err)
			}
			k.wantTags("replaced", "k", v1, second)
			k.put("k", "y")
			k.wantTags("of a new version", "k", "", map[string]string{})
			if versioning != "" {
				k.wantTags("of the old version", "k", v1, second)
				third := map[string]string{"third": "3", "and": "4"}
				if _, err := k.PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{Bucket: k.bucket, Key: aws.String("k"), VersionId: &v1, Tagging: tagSet(third)}); err != nil {
					t.Fatal(err)
				}
				k.wantTags("of the old version, replaced", "k", v1, third)
				k.wantTags("of the new version, still", "k", "", map[string]string{})
				if _, err := k.DeleteObjectTagging(t.Context(), &s3.DeleteObjectTaggingInput{Bucket: k.bucket, Key: aws.String("k"), VersionId: &v1}); err != nil {
					t.Fatal(err)
				}
				k.wantTags("of the old version, deleted", "k", v1, map[string]string{})
			}
			// Copies take tags along, or are given others.
			if _, err := k.PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{Bucket: k.bucket, Key: aws.String("k"), Tagging: tagSet(first)}); err != nil {
				t.Fatal(err)
			}
			cp := &s3.CopyObjectInput{Bucket: k.bucket, Key: aws.String("copy"), CopySource: aws.String("bk1/k")}
			if _, err := k.CopyObject(t.Context(), cp); err != nil {
				t.Fatal(err)
			}
			k.wantTags("copied", "copy", "", first)
			cp.TaggingDirective, cp.Tagging = types.TaggingDirectiveReplace, aws.String("only=one")
			if _, err := k.CopyObject(t.Context(), cp); err != nil {
				t.Fatal(err)
			}
			k.wantTags("copied with others", "copy", "", second)
			cp.Tagging = nil
			if _, err := k.CopyObject(t.Context(), cp); err != nil {
				t.Fatal(err)
			}
			k.wantTags("copied without", "copy", "", map[string]string{})
			create, err := k.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: k.bucket, Key: aws.String("parts"), Tagging: aws.String("only=one")})
			if err != nil {
				t.Fatal(err)
			}
			part, err := k.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: k.bucket, Key: aws.String("parts"), UploadId: create.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: k.bucket, Key: aws.String("parts"), UploadId: create.UploadId,
				MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32}}}}); err != nil {
				t.Fatal(err)
			}
			k.wantTags("of parts", "parts", "", second)
			if _, err := k.DeleteObjectTagging(t.Context(), &s3.DeleteObjectTaggingInput{Bucket: k.bucket, Key: aws.String("parts")}); err != nil {
				t.Fatal(err)
			}
			k.wantTags("deleted", "parts", "", map[string]string{})

			eleven := map[string]string{}
			for i := range 11 {
				eleven[fmt.Sprint("t", i)] = "v"
			}
			_, err = k.PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{Bucket: k.bucket, Key: aws.String("k"), Tagging: tagSet(eleven)})
			wantCode(t, "eleven tags", err, "BadRequest")
			_, err = k.PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{Bucket: k.bucket, Key: aws.String("none"), Tagging: tagSet(second)})
			wantCode(t, "tags of nothing", err, "NoSuchKey")
			_, err = k.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: k.bucket, Key: aws.String("k"), VersionId: aws.String("zz")})
			wantCode(t, "tags of a version that is none", err, "InvalidArgument")
			if versioning == "" {
				return
			}
			m, _ := k.remove("k", "")
			_, err = k.PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{Bucket: k.bucket, Key: aws.String("k"), VersionId: &m, Tagging: tagSet(second)})
			wantCode(t, "tags of a delete marker", err, "MethodNotAllowed")
			_, err = k.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: k.bucket, Key: aws.String("k")})
			wantCode(t, "tags of a deleted key", err, "NoSuchKey")
		})
	}
}

// TestBucketSettings sets the tags and the CORS rules of a bucket.
func TestBucketSettings(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.keeper(t, "")
	_, err := k.GetBucketTagging(t.Context(), &s3.GetBucketTaggingInput{Bucket: k.bucket})
	wantCode(t, "no tags", err, "NoSuchTagSet")
	want := map[string]string{"team": "Gas", "cost": "1"}
	if _, err := k.PutBucketTagging(t.Context(), &s3.PutBucketTaggingInput{Bucket: k.bucket, Tagging: tagSet(want)}); err != nil {
		t.Fatal(err)
	}
	if out, err := k.GetBucketTagging(t.Context(), &s3.GetBucketTaggingInput{Bucket: k.bucket}); err != nil || !maps.Equal(tagMap(out.TagSet), want) {
		t.Errorf("tags %v, error %v", out, err)
	}
	if _, err := k.DeleteBucketTagging(t.Context(), &s3.DeleteBucketTaggingInput{Bucket: k.bucket}); err != nil {
		t.Fatal(err)
	}
	_, err = k.GetBucketTagging(t.Context(), &s3.GetBucketTaggingInput{Bucket: k.bucket})
	wantCode(t, "tags that were deleted", err, "NoSuchTagSet")
	if _, err := k.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("tagged"), CreateBucketConfiguration: &types.CreateBucketConfiguration{Tags: tagSet(want).TagSet}}); err != nil {
		t.Fatal(err)
	}
	if out, err := k.GetBucketTagging(t.Context(), &s3.GetBucketTaggingInput{Bucket: aws.String("tagged")}); err != nil || !maps.Equal(tagMap(out.TagSet), want) {
		t.Errorf("tags of a bucket made with them: %v, error %v", out, err)
	}

	_, err = k.GetBucketCors(t.Context(), &s3.GetBucketCorsInput{Bucket: k.bucket})
	wantCode(t, "no CORS", err, "NoSuchCORSConfiguration")
	rules := &types.CORSConfiguration{CORSRules: []types.CORSRule{{AllowedMethods: []string{"GET"}, AllowedOrigins: []string{"https://example.com"}, ExposeHeaders: []string{"ETag"}, MaxAgeSeconds: aws.Int32(10)}}}
	if _, err := k.PutBucketCors(t.Context(), &s3.PutBucketCorsInput{Bucket: k.bucket, CORSConfiguration: rules}); err != nil {
		t.Fatal(err)
	}
	out, err := k.GetBucketCors(t.Context(), &s3.GetBucketCorsInput{Bucket: k.bucket})
	if err != nil || len(out.CORSRules) != 1 || out.CORSRules[0].AllowedOrigins[0] != "https://example.com" || *out.CORSRules[0].MaxAgeSeconds != 10 {
		t.Errorf("CORS %v, error %v", out, err)
	}
	if _, err := k.DeleteBucketCors(t.Context(), &s3.DeleteBucketCorsInput{Bucket: k.bucket}); err != nil {
		t.Fatal(err)
	}
	_, err = k.GetBucketCors(t.Context(), &s3.GetBucketCorsInput{Bucket: k.bucket})
	wantCode(t, "CORS that was deleted", err, "NoSuchCORSConfiguration")
}
