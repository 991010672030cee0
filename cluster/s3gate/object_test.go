package s3gate_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"

	"edgefog.dev/isgw/chunks/chunkstest"
)

// keys are hard ones: for paths, for URLs, for XML.
var keys = []string{
	"plain", "dir/", "a//b", "/leading", "//x", "trailing//", "dots/../k", "a/./b", "...", "..a/b", "k/...",
	"space and+plus", "ümläut/日本/🙂", "100%", "%2F", "%", "q?x=y&z", "a#b", "a&b<c>\"'", "tab\tnewline\n", "\x01\x7f",
	"~!@$^*()_-=[]{}|\\;:,", "UPPER/lower/UPPER", strings.Repeat("x", 1024), strings.Repeat("é", 512), strings.Repeat("d/", 512),
	".", "..", "/", "//", "../a", "a/../../b", "./", "a/..", "..//..//", "/../", "x?versionId=1", aliasLike, strings.Repeat("../", 341),
}

// aliasLike looks like what the endpoint makes of keys inside.
const aliasLike = "~isgw~2e2e"

// TestKeys stores, reads, describes, copies, lists and deletes objects under
// all keys by both clients.
func TestKeys(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ac, core := s.aws(t, colaKey, colaSecret), s.core(t)
	contents := map[string]string{}
	for i, key := range keys {
		content := fmt.Sprint("content ", i)
		contents[key] = content
		if _, err := ac.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bk1"), Key: &key, Body: strings.NewReader(content)}); err != nil {
			t.Errorf("put %q: %v", key, err)
			continue
		}
		got, err := ac.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bk1"), Key: &key})
		if err != nil {
			t.Errorf("get %q: %v", key, err)
			continue
		}
		if raw := readBody(t, got.Body); string(raw) != content {
			t.Errorf("get %q: %q", key, raw)
		}
		if head, err := ac.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("bk1"), Key: &key}); err != nil || *head.ContentLength != int64(len(content)) {
			t.Errorf("head %q: %v, %v", key, head, err)
		}
	}
	want := map[string]bool{}
	for _, key := range keys {
		want[key] = true
	}
	for name, list := range map[string]func() ([]string, error){
		"v2": func() (out []string, err error) {
			res, err := ac.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("bk1"), EncodingType: types.EncodingTypeUrl})
			if err != nil {
				return nil, err
			}
			for _, o := range res.Contents {
				out = append(out, unescape(t, *o.Key))
			}
			return out, nil
		},
		"minio": func() (out []string, err error) {
			for o := range core.Client.ListObjects(t.Context(), "bk1", minio.ListObjectsOptions{Recursive: true}) {
				out = append(out, o.Key)
				err = o.Err
			}
			return out, err
		},
	} {
		got, err := list()
		if err != nil || len(got) != len(keys) {
			t.Errorf("%s: %d of %d keys, error %v", name, len(got), len(keys), err)
		}
		for _, key := range got {
			if !want[key] {
				t.Errorf("%s: listed %q", name, key)
			}
		}
	}
	for _, key := range keys {
		source := url.PathEscape(key)
		if _, err := ac.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String("bk1"), Key: aws.String("copy"), CopySource: aws.String("bk1/" + strings.ReplaceAll(source, "+", "%2B"))}); err != nil {
			t.Errorf("copy %q: %v", key, err)
			continue
		}
		got, err := ac.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bk1"), Key: aws.String("copy")})
		if err != nil || string(readBody(t, got.Body)) != contents[key] {
			t.Errorf("copy %q: other bytes, error %v", key, err)
		}
		if strings.HasPrefix(key, "/") || strings.HasSuffix(key, "/") || strings.Contains(key, "versionId") {
			continue // minio-go's names
		}
		info, err := core.Client.CopyObject(t.Context(), minio.CopyDestOptions{Bucket: "bk1", Object: "copy"}, minio.CopySrcOptions{Bucket: "bk1", Object: key})
		if err != nil || info.ETag == "" {
			t.Errorf("copy %q: %v, %v", key, info, err)
		}
	}
	var ids []types.ObjectIdentifier
	for _, key := range append(keys, "copy", "never was") {
		if strings.ContainsAny(key, "\x01\x7f") {
			// XML cannot hold it.
			if _, err := ac.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("bk1"), Key: &key}); err != nil {
				t.Error(err)
			}
			continue
		}
		ids = append(ids, types.ObjectIdentifier{Key: aws.String(key)})
	}
	out, err := ac.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String("bk1"), Delete: &types.Delete{Objects: ids}})
	if err != nil || len(out.Deleted) != len(ids) || len(out.Errors) != 0 {
		t.Errorf("deleted %d of %d, error %v: %v", len(out.Deleted), len(ids), err, out)
	}
	if state, err := s.replica.Catalog().Bucket("Hawaii/Cola/bk1"); err != nil || state.GetObjects() != 0 {
		t.Errorf("bucket %v, error %v", state, err)
	}
}

func unescape(t *testing.T, s string) string {
	t.Helper()
	req, err := http.NewRequest("GET", "http://x/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.URL.RawQuery = "k=" + s
	return req.URL.Query().Get("k")
}

// TestKeysRefused are those that S3 refuses too.
func TestKeysRefused(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ac := s.aws(t, colaKey, colaSecret)
	for _, c := range [][2]string{{strings.Repeat("x", 1025), "KeyTooLongError"}, {"bad\xffutf8", "InvalidURI"}} {
		_, err := ac.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bk1"), Key: &c[0], Body: strings.NewReader("x")})
		if got := code(err); got != c[1] {
			t.Errorf("key %.20q: %q, want %q", c[0], got, c[1])
		}
	}
}

// TestPayloads stores content in every way that clients send it.
func TestPayloads(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	cl, ac := s.minio(t, colaKey, colaSecret), s.aws(t, colaKey, colaSecret)
	trailer, err := minio.New(s.addr, &minio.Options{Creds: colaCredentials(), Region: "us-east-1", TrailingHeaders: true, Transport: transport(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 5000, 64 << 10, 200_000, 3 << 20} {
		raw := chunkstest.Random(uint64(size), size)
		sum := md5.Sum(raw)
		etag := hex.EncodeToString(sum[:])
		body := func() *bytes.Reader { return bytes.NewReader(raw) }
		for name, put := range map[string]func() (string, error){
			"minio, streaming signed": func() (string, error) {
				i, err := cl.PutObject(t.Context(), "bk1", "k", struct{ io.Reader }{body()}, int64(size), minio.PutObjectOptions{})
				return i.ETag, err
			},
			"minio, signed with MD5": func() (string, error) {
				i, err := cl.PutObject(t.Context(), "bk1", "k", body(), int64(size), minio.PutObjectOptions{SendContentMd5: true, DisableContentSha256: true})
				return i.ETag, err
			},
			"minio, trailing CRC32C": func() (string, error) {
				i, err := trailer.PutObject(t.Context(), "bk1", "k", body(), int64(size), minio.PutObjectOptions{Checksum: minio.ChecksumCRC32C})
				return i.ETag, err
			},
			"minio, trailing CRC64NVME": func() (string, error) {
				i, err := trailer.PutObject(t.Context(), "bk1", "k", body(), int64(size), minio.PutObjectOptions{Checksum: minio.ChecksumCRC64NVME})
				return i.ETag, err
			},
			"aws, default": func() (string, error) {
				o, err := ac.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bk1"), Key: aws.String("k"), Body: body()})
				if err != nil {
					return "", err
				}
				return strings.Trim(*o.ETag, `"`), nil
			},
			"aws, SHA256": func() (string, error) {
				o, err := ac.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bk1"), Key: aws.String("k"), Body: body(), ChecksumAlgorithm: types.ChecksumAlgorithmSha256})
				if err != nil {
					return "", err
				}
				return strings.Trim(*o.ETag, `"`), nil
			},
			"presigned": func() (string, error) {
				u, err := cl.PresignedPutObject(t.Context(), "bk1", "k", time.Minute)
				if err != nil {
					return "", err
				}
				req, _ := http.NewRequestWithContext(t.Context(), "PUT", u.String(), body())
				req.ContentLength = int64(size)
				res, err := (&http.Client{Transport: transport(t)}).Do(req)
				if err != nil {
					return "", err
				}
				defer res.Body.Close()
				if res.StatusCode != 200 {
					b, _ := io.ReadAll(res.Body)
					return "", fmt.Errorf("%s: %s", res.Status, b)
				}
				return strings.Trim(res.Header.Get("ETag"), `"`), nil
			},
		} {
			if err := cl.RemoveObject(t.Context(), "bk1", "k", minio.RemoveObjectOptions{}); err != nil {
				t.Fatal(err)
			}
			got, err := put()
			if err != nil || got != etag {
				t.Errorf("%s, %d bytes: ETag %q, want %q, error %v", name, size, got, etag, err)
				continue
			}
			r, err := cl.GetObject(t.Context(), "bk1", "k", minio.GetObjectOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(readBody(t, r), raw) {
				t.Errorf("%s, %d bytes: other bytes come back", name, size)
			}
		}
	}
}

// TestChecksums come back as they were given, verified.
func TestChecksums(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ac := s.aws(t, colaKey, colaSecret)
	bucket, key := aws.String("bk1"), aws.String("k")
	in := &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("hello"), ChecksumSHA256: aws.String("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=")}
	put, err := ac.PutObject(t.Context(), in)
	if err != nil || put.ChecksumSHA256 == nil || *put.ChecksumSHA256 != *in.ChecksumSHA256 {
		t.Fatalf("put: %v, %v", put, err)
	}
	head, err := ac.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: bucket, Key: key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil || head.ChecksumSHA256 == nil || *head.ChecksumSHA256 != *in.ChecksumSHA256 {
		t.Errorf("head: %v, %v", head, err)
	}
	if _, err := ac.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("copy"), CopySource: aws.String("bk1/k"), MetadataDirective: types.MetadataDirectiveReplace}); err != nil {
		t.Fatal(err)
	}
	get, err := ac.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: aws.String("copy"), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil || get.ChecksumSHA256 == nil || string(readBody(t, get.Body)) != "hello" {
		t.Errorf("get of a copy: %v, %v", get, err)
	}
	in.Key, in.Body = aws.String("wrong"), strings.NewReader("hallo")
	_, err = ac.PutObject(t.Context(), in)
	wantCode(t, "another content", err, "BadDigest")
	_, err = ac.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: bucket, Key: in.Key})
	wantCode(t, "head after a wrong checksum", err, "NotFound")
}

// TestHeaders keeps what describes an object, and not what describes the
// transfer.
func TestHeaders(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ac := s.aws(t, colaKey, colaSecret)
	bucket := aws.String("bk1")
	meta := map[string]string{"mixed-case": "Value with spaces", "x": "1"}
	in := &s3.PutObjectInput{
		Bucket: bucket, Key: aws.String("k"), Body: strings.NewReader("x"), Metadata: meta,
		ContentType: aws.String("text/x-thing; charset=utf-8"), ContentEncoding: aws.String("gzip"), ContentLanguage: aws.String("de"),
		ContentDisposition: aws.String(`attachment; filename="a b"`), CacheControl: aws.String("max-age=3"), Expires: aws.Time(time.Unix(2_000_000_000, 0)),
	}
	if _, err := ac.PutObject(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	check := func(what, key string, ct, ce string, m map[string]string) {
		t.Helper()
		h, err := ac.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: bucket, Key: &key})
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		if aws.ToString(h.ContentType) != ct || aws.ToString(h.ContentEncoding) != ce || fmt.Sprint(h.Metadata) != fmt.Sprint(m) {
			t.Errorf("%s: type %q, encoding %q, metadata %v", what, aws.ToString(h.ContentType), aws.ToString(h.ContentEncoding), h.Metadata)
		}
		if ct == *in.ContentType && (aws.ToString(h.ContentLanguage) != "de" || aws.ToString(h.ContentDisposition) != *in.ContentDisposition ||
			aws.ToString(h.CacheControl) != "max-age=3" || aws.ToString(h.ExpiresString) != "Wed, 18 May 2033 03:33:20 GMT") {
			t.Errorf("%s: %+v", what, h)
		}
		if h.LastModified == nil || time.Since(*h.LastModified) > time.Hour || aws.ToString(h.AcceptRanges) != "bytes" {
			t.Errorf("%s: last modified %v, accept ranges %v", what, h.LastModified, h.AcceptRanges)
		}
	}
	check("put", "k", *in.ContentType, "gzip", meta)
	cp := &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("copy"), CopySource: aws.String("bk1/k")}
	if _, err := ac.CopyObject(t.Context(), cp); err != nil {
		t.Fatal(err)
	}
	check("copy", "copy", *in.ContentType, "gzip", meta)
	_, err := ac.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("k"), CopySource: aws.String("bk1/k")})
	wantCode(t, "copy onto itself", err, "InvalidRequest")
	cp.Key, cp.MetadataDirective, cp.ContentType, cp.Metadata = aws.String("k"), types.MetadataDirectiveReplace, aws.String("a/b"), map[string]string{"new": "1"}
	if _, err := ac.CopyObject(t.Context(), cp); err != nil {
		t.Fatal(err)
	}
	check("copy onto itself with other metadata", "k", "a/b", "", map[string]string{"new": "1"})
	// minio-go sends its streaming signature as a content encoding.
	cl := s.minio(t, colaKey, colaSecret)
	if _, err := cl.PutObject(t.Context(), "bk1", "m", strings.NewReader("x"), 1, minio.PutObjectOptions{ContentEncoding: "br", UserMetadata: map[string]string{"A": "b"}}); err != nil {
		t.Fatal(err)
	}
	check("minio", "m", "application/octet-stream", "br", map[string]string{"a": "b"})
	get, err := ac.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: aws.String("k"), ResponseContentType: aws.String("over/ride")})
	if err != nil || *get.ContentType != "over/ride" {
		t.Errorf("override: %v, %v", get, err)
	} else {
		get.Body.Close()
	}
	attr, err := ac.GetObjectAttributes(t.Context(), &s3.GetObjectAttributesInput{Bucket: bucket, Key: aws.String("k"), ObjectAttributes: []types.ObjectAttributes{"ETag", "ObjectSize"}})
	if err != nil || *attr.ObjectSize != 1 || *attr.ETag == "" {
		t.Errorf("attributes %v, %v", attr, err)
	}
}

func TestRanges(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ac := s.aws(t, colaKey, colaSecret)
	raw := chunkstest.Random(1, 1_000_000)
	bucket, key := aws.String("bk1"), aws.String("k")
	if _, err := ac.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key, Body: bytes.NewReader(raw)}); err != nil {
		t.Fatal(err)
	}
	if _, err := ac.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: aws.String("empty"), Body: bytes.NewReader(nil)}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		header   string
		from, to int
		partial  bool
	}{
		{"bytes=0-0", 0, 1, true},
		{"bytes=0-99", 0, 100, true},
		{"bytes=999999-", 999_999, 1_000_000, true},
		{"bytes=500000-2000000", 500_000, 1_000_000, true},
		{"bytes=-1", 999_999, 1_000_000, true},
		{"bytes=-2000000", 0, 1_000_000, true},
		{"bytes=70000-900000", 70_000, 900_001, true},
		{"bytes=5-4", 0, 1_000_000, false},
		{"lines=1-2", 0, 1_000_000, false},
		{"bytes=0-1,5-6", 0, 1_000_000, false},
	} {
		out, err := ac.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key, Range: &c.header})
		if err != nil {
			t.Errorf("%s: %v", c.header, err)
			continue
		}
		got := readBody(t, out.Body)
		wantRange := ""
		if c.partial {
			wantRange = fmt.Sprintf("bytes %d-%d/1000000", c.from, c.to-1)
		}
		if !bytes.Equal(got, raw[c.from:c.to]) || aws.ToString(out.ContentRange) != wantRange || *out.ContentLength != int64(len(got)) {
			t.Errorf("%s: %d bytes, Content-Range %q", c.header, len(got), aws.ToString(out.ContentRange))
		}
		head, err := ac.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: bucket, Key: key, Range: &c.header})
		if err != nil || *head.ContentLength != int64(len(got)) {
			t.Errorf("%s: head %v, %v", c.header, head, err)
		}
	}
	for _, h := range []string{"bytes=1000000-", "bytes=1000000-1000001", "bytes=-0"} {
		_, err := ac.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key, Range: &h})
		wantCode(t, h, err, "InvalidRange")
	}
	_, err := ac.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: aws.String("empty"), Range: aws.String("bytes=0-")})
	wantCode(t, "range of nothing", err, "InvalidRange")
	if out, err := ac.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: aws.String("empty")}); err != nil || len(readBody(t, out.Body)) != 0 {
		t.Errorf("empty object: %v", err)
	}
}

func TestReadConditions(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ac := s.aws(t, colaKey, colaSecret)
	bucket, key := aws.String("bk1"), aws.String("k")
	put, err := ac.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("x")})
	if err != nil {
		t.Fatal(err)
	}
	head, err := ac.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	at, before, other := head.LastModified, aws.Time(head.LastModified.Add(-time.Hour)), aws.String(`"other"`)
	for what, c := range map[string]struct {
		in   s3.GetObjectInput
		want string
	}{
		"match":             {s3.GetObjectInput{IfMatch: put.ETag}, ""},
		"match any":         {s3.GetObjectInput{IfMatch: aws.String("*")}, ""},
		"no match":          {s3.GetObjectInput{IfMatch: other}, "PreconditionFailed"},
		"none match":        {s3.GetObjectInput{IfNoneMatch: other}, ""},
		"none match fails":  {s3.GetObjectInput{IfNoneMatch: put.ETag}, "NotModified"},
		"modified since":    {s3.GetObjectInput{IfModifiedSince: before}, ""},
		"not modified":      {s3.GetObjectInput{IfModifiedSince: at}, "NotModified"},
		"unmodified":        {s3.GetObjectInput{IfUnmodifiedSince: at}, ""},
		"not unmodified":    {s3.GetObjectInput{IfUnmodifiedSince: before}, "PreconditionFailed"},
		"match beats time":  {s3.GetObjectInput{IfMatch: put.ETag, IfUnmodifiedSince: before}, ""},
		"none beats time":   {s3.GetObjectInput{IfNoneMatch: other, IfModifiedSince: at}, ""},
		"both fail on time": {s3.GetObjectInput{IfUnmodifiedSince: before, IfModifiedSince: at}, "PreconditionFailed"},
	} {
		c.in.Bucket, c.in.Key = bucket, key
		out, err := ac.GetObject(t.Context(), &c.in)
		if err == nil {
			out.Body.Close()
		}
		if got := code(err); got != c.want && !(err == nil && c.want == "") && !(c.want == "NotModified" && strings.Contains(fmt.Sprint(err), "304")) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
		_, err = ac.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("copy"), CopySource: aws.String("bk1/k"),
			CopySourceIfMatch: c.in.IfMatch, CopySourceIfNoneMatch: c.in.IfNoneMatch, CopySourceIfModifiedSince: c.in.IfModifiedSince, CopySourceIfUnmodifiedSince: c.in.IfUnmodifiedSince})
		if (err == nil) != (c.want == "") || err != nil && code(err) != "PreconditionFailed" {
			t.Errorf("copy, %s: %v", what, err)
		}
	}
}

// TestWriteConditions lets many clients create one key at once: exactly one
// wins.
func TestWriteConditions(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ac := s.aws(t, colaKey, colaSecret)
	bucket, key := aws.String("bk1"), aws.String("k")
	const n = 16
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			_, errs[i] = ac.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader(fmt.Sprint(i)), IfNoneMatch: aws.String("*")})
		})
	}
	wg.Wait()
	won := -1
	for i, err := range errs {
		if err == nil && won < 0 {
			won = i
			continue
		}
		wantCode(t, fmt.Sprintf("client %d, after %d won", i, won), err, "PreconditionFailed")
	}
	out, err := ac.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key})
	if err != nil || string(readBody(t, out.Body)) != fmt.Sprint(won) {
		t.Errorf("client %d won: %v", won, err)
	}
	_, err = ac.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("x"), IfMatch: aws.String(`"other"`)})
	wantCode(t, "another ETag", err, "PreconditionFailed")
	_, err = ac.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: aws.String("none"), Body: strings.NewReader("x"), IfMatch: aws.String(`"other"`)})
	wantCode(t, "no key", err, "NoSuchKey")
	if _, err = ac.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("y"), IfMatch: out.ETag}); err != nil {
		t.Errorf("its ETag: %v", err)
	}
	_, err = ac.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: bucket, Key: key, IfMatch: out.ETag})
	wantCode(t, "delete of what was", err, "PreconditionFailed")
}

// TestTruncated breaks off uploads, and closes the connection: no object
// appears and no older one is harmed.
func TestTruncated(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	cl := s.minio(t, colaKey, colaSecret)
	u, err := cl.PresignedPutObject(t.Context(), "bk1", "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	send := func(announced, sent int) string {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", u.RequestURI(), u.Host, announced)
		conn.Write(make([]byte, sent))
		conn.(*net.TCPConn).CloseWrite()
		answer, _ := io.ReadAll(conn)
		return string(answer)
	}
	for _, n := range []int{100, 10_000, 300_000, 5 << 20} {
		if answer := send(n, n-1); !strings.Contains(answer, "IncompleteBody") {
			t.Errorf("%d bytes of %d: answer %q", n-1, n, answer)
		}
	}
	if state, err := s.replica.Catalog().Bucket("Hawaii/Cola/bk1"); err != nil || state.GetObjects() != 0 {
		t.Errorf("bucket %v, error %v", state, err)
	}
	if answer := send(1000, 1000); !strings.HasPrefix(answer, "HTTP/1.1 200") {
		t.Errorf("all bytes: answer %q", answer)
	}
	send(2000, 10)
	if info, err := cl.StatObject(t.Context(), "bk1", "k", minio.StatObjectOptions{}); err != nil || info.Size != 1000 {
		t.Errorf("after a truncated overwrite: %v, %v", info, err)
	}
}

// TestDamaged reads an object one of whose chunks is gone: an error before the
// first byte where that is known, a broken connection where it is not.
func TestDamaged(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ac := s.aws(t, colaKey, colaSecret)
	bucket := aws.String("bk1")
	// A record whose content is not there, as after a fault of the disk.
	rec := s.orphan(t, "gone")
	_, err := ac.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: aws.String("gone")})
	wantCode(t, "content that is gone: "+rec, err, "InternalError")
}
