package s3gate_test

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// raw sends a request signed in its header and returns the answer with its body.
func (s *site) raw(t testing.TB, method, target string, header map[string]string) (*http.Response, string) {
	t.Helper()
	g := signing{access: colaKey, secret: colaSecret, kind: "header"}
	res, err := (&http.Client{Transport: transport(t)}).Do(g.request(t, method, "http://"+s.addr+target, header, nil))
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return res, string(body)
}

// TestAnswers reads answers as a client does that minds names and namespaces: what
// is in the body all has S3's namespace, and no element is empty that names one of
// several things.
func TestAnswers(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	locked := s.lockedBucket(t)
	summed, err := locked.PutObject(t.Context(), &s3.PutObjectInput{Bucket: locked.bucket, Key: aws.String("k"), Body: strings.NewReader("x"), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32})
	if err != nil {
		t.Fatal(err)
	}
	id := *summed.VersionId
	locked.put("dir/k", "x")
	if err := locked.hold("k", id, types.ObjectLockLegalHoldStatusOn); err != nil {
		t.Fatal(err)
	}
	locked.put("plain", "x")
	if _, err := locked.PutObjectRetention(t.Context(), &s3.PutObjectRetentionInput{Bucket: locked.bucket, Key: aws.String("k"), Retention: &types.ObjectLockRetention{
		Mode: types.ObjectLockRetentionModeGovernance, RetainUntilDate: aws.Time(time.Now().Add(time.Hour))}}); err != nil {
		t.Fatal(err)
	}
	locked.remove("dir/k", "")
	for target, root := range map[string]string{
		"/":                                    "ListAllMyBucketsResult",
		"/locked":                              "ListBucketResult",
		"/locked?list-type=2&delimiter=/":      "ListBucketResult",
		"/locked?list-type=2&fetch-owner=true": "ListBucketResult",
		"/locked?versions&delimiter=r":         "ListVersionsResult",
		"/locked?versions":                     "ListVersionsResult",
		"/locked?uploads":                      "ListMultipartUploadsResult",
		"/locked?acl":                          "AccessControlPolicy",
		"/locked?versioning":                   "VersioningConfiguration",
		"/locked?object-lock":                  "ObjectLockConfiguration",
		"/locked?location":                     "LocationConstraint",
		"/locked?ownershipControls":            "OwnershipControls",
		"/locked/k?acl":                        "AccessControlPolicy",
		"/locked/k?acl&versionId=" + id:        "AccessControlPolicy",
		"/locked/k?tagging":                    "Tagging",
		"/locked/k?retention":                  "Retention",
		"/locked/k?legal-hold":                 "LegalHold",
		"/locked/k?attributes":                 "GetObjectAttributesResponse",
		"PUT /locked/copy /locked/plain":       "CopyObjectResult",
		"PUT /locked/copied /locked/k":         "CopyObjectResult",
	} {
		method, header := "GET", map[string]string{"X-Amz-Object-Attributes": "ETag,ObjectSize,Checksum,ObjectParts"}
		if copied, ok := strings.CutPrefix(target, "PUT "); ok {
			method = "PUT"
			target, header["X-Amz-Copy-Source"], _ = strings.Cut(copied, " ")
		}
		if !strings.Contains(target, "attributes") {
			delete(header, "X-Amz-Object-Attributes")
		}
		res, body := s.raw(t, method, target, header)
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %s", target, res.Status, body)
			continue
		}
		for _, name := range []string{"x-amz-request-id", "x-amz-id-2"} {
			if got := res.Header.Values(name); len(got) != 1 || got[0] == "" {
				t.Errorf("%s: %s is %q", target, name, got)
			}
		}
		checkNames(t, target, body, root)
	}
	_, body := s.raw(t, "GET", "/locked?list-type=2", nil)
	if n := strings.Count(body, "<ChecksumType>FULL_OBJECT</ChecksumType>"); n != 2 || !strings.Contains(body, ".000Z</LastModified>") {
		t.Errorf("%d objects have a checksum in %s", n, body)
	}
	_, body = s.raw(t, "GET", "/locked/k?acl", nil)
	if !strings.Contains(body, `xsi:type="CanonicalUser"`) || !strings.Contains(body, "<Permission>FULL_CONTROL</Permission>") {
		t.Errorf("the ACL of an object: %s", body)
	}
	if _, body := s.raw(t, "GET", "/locked?object-lock", nil); strings.Contains(body, "Rule") {
		t.Errorf("object lock without a rule: %s", body)
	}
	out, err := locked.GetObjectAcl(t.Context(), &s3.GetObjectAclInput{Bucket: locked.bucket, Key: aws.String("k"), VersionId: &id})
	if err != nil || len(out.Grants) != 1 || *out.Grants[0].Grantee.ID != "Hawaii/Cola" || out.Grants[0].Permission != types.PermissionFullControl {
		t.Errorf("the ACL of a version: %v, error %v", out, err)
	}
	if _, err := locked.PutObjectAcl(t.Context(), &s3.PutObjectAclInput{Bucket: locked.bucket, Key: aws.String("k"), VersionId: &id, ACL: types.ObjectCannedACLPrivate}); err != nil {
		t.Errorf("setting the ACL of a version: %v", err)
	}
	_, err = locked.GetObjectAcl(t.Context(), &s3.GetObjectAclInput{Bucket: locked.bucket, Key: aws.String("k"), VersionId: aws.String("null")})
	wantCode(t, "the ACL of a version that is not there", err, "NoSuchVersion")
}

// checkNames reads a body whose root and whose namespace are known.
func checkNames(t testing.TB, what, body, root string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(body))
	last := ""
	for {
		token, err := d.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		switch e := token.(type) {
		case xml.ProcInst:
			continue
		case xml.StartElement:
			if e.Name.Space != "http://s3.amazonaws.com/doc/2006-03-01/" {
				t.Errorf("%s: element %s is of namespace %q in %s", what, e.Name.Local, e.Name.Space, body)
			}
			if last == "" && e.Name.Local != root {
				t.Errorf("%s: the root is %s, want %s", what, e.Name.Local, root)
			}
			last = e.Name.Local
		case xml.EndElement:
			if e.Name.Local == last && (strings.HasSuffix(last, "Type") || last == "Rule") {
				t.Errorf("%s: element %s is empty in %s", what, last, body)
			}
			last = "/"
		case xml.CharData:
			last = "/"
		}

	}
}

// TestNotModified tells caches what they have, and nothing that would change it.
func TestNotModified(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.keeper(t, types.BucketVersioningStatusEnabled)
	put, err := k.PutObject(t.Context(), &s3.PutObjectInput{Bucket: k.bucket, Key: aws.String("k"), Body: strings.NewReader("x"), ContentType: aws.String("text/x-thing"), CacheControl: aws.String("max-age=60")})
	if err != nil {
		t.Fatal(err)
	}
	if _, body := s.raw(t, "GET", "/bk1/none%20%26", nil); !strings.Contains(body, "<Code>NoSuchKey</Code>") || !strings.Contains(body, "<Key>none &amp;</Key>") {
		t.Errorf("a key that is not there: %s", body)
	}
	for _, method := range []string{"GET", "HEAD"} {
		res, body := s.raw(t, method, "/bk1/k", map[string]string{"If-None-Match": *put.ETag})
		h := res.Header
		if res.StatusCode != http.StatusNotModified || body != "" || h.Get("ETag") != *put.ETag || h.Get("Last-Modified") == "" ||
			h.Get("Cache-Control") != "max-age=60" || h.Get("x-amz-version-id") != *put.VersionId || h.Get("Content-Type") != "" {
			t.Errorf("%s: %s %v %q", method, res.Status, h, body)
		}
	}
}

// TestRefusedBody has an answer read by clients that send a long body before they look
// for one, whatever it is refused for.
func TestRefusedBody(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	for what, c := range map[string]struct{ head, code string }{
		"no signature":    {"PUT /bk1/k HTTP/1.1", "AccessDenied"},
		"a wrong one":     {"PUT /bk1/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=x HTTP/1.1", "AuthorizationQueryParametersError"},
		"a form of none":  {"POST /bk1 HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b", "MaxPostPreDataLengthExceededError"},
		"a long deletion": {"POST /bk1?delete HTTP/1.1\r\nAuthorization: x", "MaxMessageLengthExceeded"},
	} {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		// More than the node reads of a refused body before it closes, and less than
		// it lingers for.
		const size = 5 << 20
		fmt.Fprintf(conn, "%s\r\nHost: x\r\nContent-Length: %d\r\n\r\n", c.head, size)
		if _, err := conn.Write(make([]byte, size)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		raw, err := io.ReadAll(conn)
		if err != nil || !strings.Contains(string(raw), "<Code>"+c.code+"</Code>") {
			t.Errorf("%s: %q, %v", what, raw, err)
		}
		conn.Close()
	}
}

// TestIfRange has a range sent only of the object that the client has.
func TestIfRange(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.keeper(t, "")
	k.put("k", "0123456789")
	res, _ := s.raw(t, "HEAD", "/bk1/k", nil)
	etag := res.Header.Get("ETag")
	for ifRange, want := range map[string]string{etag: "23", `"other"`: "0123456789", res.Header.Get("Last-Modified"): "23", "Thu, 01 Jan 2026 00:00:00 GMT": "0123456789"} {
		res, body := s.raw(t, "GET", "/bk1/k", map[string]string{"Range": "bytes=2-3", "If-Range": ifRange})
		if body != want || (res.StatusCode == http.StatusPartialContent) != (len(want) == 2) {
			t.Errorf("If-Range %s: %s %s", ifRange, res.Status, body)
		}
	}
}

// TestSystemTags refuses tags that are the service's own wherever tags come in.
func TestSystemTags(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.keeper(t, "")
	k.put("k", "x")
	set := []types.Tag{{Key: aws.String("aws:a"), Value: aws.String("b")}}
	for what, call := range map[string]func(ctx context.Context) error{
		"of a write": func(ctx context.Context) error {
			_, err := k.PutObject(ctx, &s3.PutObjectInput{Bucket: k.bucket, Key: aws.String("k"), Tagging: aws.String("aws%3Aa=b")})
			return err
		},
		"of an object": func(ctx context.Context) error {
			_, err := k.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: k.bucket, Key: aws.String("k"), Tagging: &types.Tagging{TagSet: set}})
			return err
		},
		"of a bucket": func(ctx context.Context) error {
			_, err := k.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: k.bucket, Tagging: &types.Tagging{TagSet: set}})
			return err
		},
		"of a new bucket": func(ctx context.Context) error {
			_, err := k.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("tagged"), CreateBucketConfiguration: &types.CreateBucketConfiguration{Tags: set}})
			return err
		},
	} {
		wantCode(t, "a system tag "+what, call(t.Context()), "InvalidTag")
	}
}
