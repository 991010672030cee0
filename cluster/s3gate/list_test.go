package s3gate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"edgefog.dev/isgw/cluster/objects"
)

// fill writes many empty objects past HTTP.
func (s *site) fill(t testing.TB, keys []string) {
	t.Helper()
	var g errgroup.Group
	g.SetLimit(100)
	for _, key := range keys {
		g.Go(func() error {
			_, err := s.objects.Put(t.Context(), objects.PutRequest{Bucket: "Hawaii/Cola/bk1", Key: key, Body: strings.NewReader(""), Size: 0})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// model lists as S3 says, by the plain way.
func model(keys []string, prefix, delimiter string) []string {
	var out []string
	for _, k := range keys {
		if !strings.HasPrefix(k, prefix) {
			continue
		}
		if delimiter != "" {
			if i := strings.Index(k[len(prefix):], delimiter); i >= 0 {
				k = k[:len(prefix)+i+len(delimiter)]
			}
		}
		out = append(out, k)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestList walks 3,000 keys page by page, in both versions, with prefixes and
// delimiters, and compares with the model.
func TestList(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	var all []string
	for i := range 3000 {
		all = append(all, fmt.Sprintf("d%d/e %d/k+%d", i%7, i%29, i))
	}
	all = append(all, "a", "b/", "b//x", "z/é", "zz")
	s.fill(t, all)
	ac := s.aws(t, colaKey, colaSecret)
	bucket := aws.String("bk1")
	for _, c := range []struct {
		prefix, delimiter string
		page              int32
	}{
		{"", "", 1000}, {"", "/", 1000}, {"d3/", "/", 10}, {"d3/", "", 77}, {"", "/", 2}, {"d3/e 1", "/", 3}, {"nothing", "/", 5},
		{"b/", "/", 1}, {"", "e ", 100}, {"d", "k+", 50},
	} {
		want := model(all, c.prefix, c.delimiter)
		what := fmt.Sprintf("prefix %q, delimiter %q, pages of %d", c.prefix, c.delimiter, c.page)

		var v2, v1, versions []string
		var token *string
		for pages := 0; ; pages++ {
			out, err := ac.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucket, Prefix: &c.prefix, Delimiter: &c.delimiter, MaxKeys: &c.page, ContinuationToken: token})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, o := range out.Contents {
				names = append(names, *o.Key)
			}
			for _, p := range out.CommonPrefixes {
				names = append(names, *p.Prefix)
			}
			slices.Sort(names)
			if int32(len(names)) > c.page || *out.KeyCount != int32(len(names)) {
				t.Fatalf("%s: %d names, key count %d", what, len(names), *out.KeyCount)
			}
			v2 = append(v2, names...)
			if token = out.NextContinuationToken; token == nil {
				if *out.IsTruncated {
					t.Errorf("%s: truncated without a token", what)
				}
				if exact := (len(want) + int(c.page) - 1) / int(c.page); pages+1 != max(exact, 1) {
					t.Errorf("%s: %d pages, want %d", what, pages+1, exact)
				}
				break
			}
		}
		for marker := ""; ; {
			out, err := ac.ListObjects(t.Context(), &s3.ListObjectsInput{Bucket: bucket, Prefix: &c.prefix, Delimiter: &c.delimiter, MaxKeys: &c.page, Marker: &marker})
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range out.Contents {
				v1 = append(v1, *o.Key)
			}
			for _, p := range out.CommonPrefixes {
				v1 = append(v1, *p.Prefix)
			}
			if !*out.IsTruncated {
				break
			}
			marker = *out.NextMarker
		}
		for marker := ""; ; {
			out, err := ac.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: bucket, Prefix: &c.prefix, Delimiter: &c.delimiter, MaxKeys: &c.page, KeyMarker: &marker})
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range out.Versions {
				if *o.VersionId != "null" || !*o.IsLatest {
					t.Errorf("version %v", o)
				}
				versions = append(versions, *o.Key)
			}
			for _, p := range out.CommonPrefixes {
				versions = append(versions, *p.Prefix)
			}
			if !*out.IsTruncated {
				break
			}
			marker = *out.NextKeyMarker
		}
		slices.Sort(v1)
		slices.Sort(versions)
		for version, got := range map[string][]string{"v1": v1, "v2": v2, "versions": versions} {
			if !slices.Equal(got, want) {
				t.Errorf("%s, %s: %d names, want %d", what, version, len(got), len(want))
			}
		}
	}
	out, err := ac.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucket, StartAfter: aws.String("z"), EncodingType: types.EncodingTypeUrl, FetchOwner: aws.Bool(true)})
	if err != nil || len(out.Contents) != 2 || *out.Contents[0].Key != "z/%C3%A9" || *out.Contents[0].Owner.ID != "Hawaii/Cola" {
		t.Errorf("start after: %v, %v", out, err)
	}
	zero, err := ac.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucket, MaxKeys: aws.Int32(0)})
	if err != nil || len(zero.Contents) != 0 || *zero.IsTruncated {
		t.Errorf("no keys: %v, %v", zero, err)
	}
	_, err = ac.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucket, ContinuationToken: aws.String("!!")})
	wantCode(t, "a token that is none", err, "InvalidArgument")
	_, err = ac.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucket, EncodingType: "rot13"})
	wantCode(t, "an encoding that is none", err, "InvalidArgument")
	_, err = ac.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("none")})
	wantCode(t, "no bucket", err, "NoSuchBucket")

	// minio-go pages and decodes on its own.
	var got []string
	for o := range s.minio(t, colaKey, colaSecret).ListObjects(t.Context(), "bk1", minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		got = append(got, o.Key)
	}
	if !slices.Equal(got, model(all, "", "")) {
		t.Errorf("minio-go lists %d keys of %d", len(got), len(all))
	}
}

// TestDeleteObjects deletes a thousand keys in one request.
func TestDeleteObjects(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	var all []string
	var ids []types.ObjectIdentifier
	for i := range 1000 {
		all = append(all, fmt.Sprintf("k%d", i))
		ids = append(ids, types.ObjectIdentifier{Key: aws.String(all[i])})
	}
	s.fill(t, all[:900])
	ac := s.aws(t, colaKey, colaSecret)
	ids[3].VersionId = aws.String("null")
	ids[4].VersionId = aws.String("other")
	ids[5].ETag = aws.String(`"other"`)
	out, err := ac.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String("bk1"), Delete: &types.Delete{Objects: ids}})
	if err != nil || len(out.Deleted) != 998 || len(out.Errors) != 2 {
		t.Fatalf("%d deleted, %d errors, %v", len(out.Deleted), len(out.Errors), err)
	}
	for _, e := range out.Errors {
		if *e.Key == "k4" && *e.Code != "InvalidArgument" || *e.Key == "k5" && *e.Code != "PreconditionFailed" {
			t.Errorf("%s: %s", *e.Key, *e.Code)
		}
	}
	if state, err := s.replica.Catalog().Bucket("Hawaii/Cola/bk1"); err != nil || state.GetObjects() != 2 {
		t.Errorf("bucket %v, error %v", state, err)
	}
	_, err = ac.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String("bk1"), Delete: &types.Delete{Objects: append(ids, ids[0])}})
	wantCode(t, "1,001 keys", err, "MalformedXML")
}

// TestMarkersWithin lists a common prefix when there is something in it above the
// marker, in all listings alike.
func TestMarkersWithin(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	keys := []string{"a/1", "a/2", "b", "c/1"}
	s.fill(t, keys)
	ac := s.aws(t, colaKey, colaSecret)
	for _, key := range keys {
		if _, err := ac.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String("bk1"), Key: &key}); err != nil {
			t.Fatal(err)
		}
	}
	for marker, want := range map[string]string{"a": "a/ b c/", "a/": "b c/", "a/1": "a/ b c/", "a/2": "b c/", "a0": "b c/", "b": "c/", "c/0": "c/", "c/": ""} {
		for _, listing := range []string{"marker=", "list-type=2&start-after=", "versions&key-marker=", "uploads&key-marker="} {
			_, body := s.raw(t, "GET", "/bk1?delimiter=/&"+listing+marker, nil)
			var names []string
			for _, element := range strings.Split(body, "<")[1:] {
				for _, kind := range []string{"Key>", "Prefix>"} {
					if name, ok := strings.CutPrefix(element, kind); ok && name != "" {
						names = append(names, name)
					}
				}
			}
			slices.Sort(names)
			if got := strings.Join(names, " "); got != want {
				t.Errorf("%s%s: %q, want %q", listing, marker, got, want)
			}
		}
	}
}
