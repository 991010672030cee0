package s3gate_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// TestForeignText refuses headers and metadata of another encoding than UTF-8, which is
// the client's fault and not the site's.
func TestForeignText(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	cl := &http.Client{Transport: transport(t)}
	g := signing{access: colaKey, secret: colaSecret, kind: "header"}
	before := s.applied()
	for _, name := range []string{"X-Amz-Meta-A", "Content-Type", "Content-Disposition", "Content-Language", "Content-Encoding", "Cache-Control", "Expires"} {
		for _, c := range []struct {
			method, target string
			header         map[string]string
		}{
			{"PUT", "/bk1/k", nil}, {"POST", "/bk1/k?uploads", nil},
			{"PUT", "/bk1/copy", map[string]string{"X-Amz-Copy-Source": "bk1/source", "X-Amz-Metadata-Directive": "REPLACE"}},
		} {
			if c.header != nil && s.applied() == before {
				s.fill(t, []string{"source"})
				before = s.applied()
			}
			header := map[string]string{name: "caf\xe9"}
			for n, v := range c.header {
				header[n] = v
			}
			if got := s.send(t, cl, g.request(t, c.method, "http://"+s.addr+c.target, header, nil)); got.status != http.StatusBadRequest || got.code != "InvalidArgument" {
				t.Errorf("%s %s with %s: %d %s", c.method, c.target, name, got.status, got.code)
			}
		}
	}
	if got := s.applied(); got != before {
		t.Errorf("the site's state went from %d to %d: something was written", before, got)
	}
	got := s.send(t, cl, g.request(t, "PUT", "http://"+s.addr+"/bk1/k", map[string]string{"X-Amz-Meta-A": "café\tau lait", "Content-Disposition": `attachment; filename="é"`}, nil))
	if got.status != http.StatusOK {
		t.Errorf("UTF-8: %d %s", got.status, got.code)
	}
	if res, _ := s.raw(t, "HEAD", "/bk1/k", nil); res.Header.Get("X-Amz-Meta-A") != "café\tau lait" || res.Header.Get("Content-Disposition") != `attachment; filename="é"` {
		t.Errorf("UTF-8 is answered as %v", res.Header)
	}
}

// TestTagLengths counts the characters of tags, of whatever alphabet and encoding.
func TestTagLengths(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.keeper(t, "")
	for _, c := range []struct{ key, value, want string }{
		{"k", strings.Repeat("/", 256), ""}, {"k", strings.Repeat("日", 256), ""}, {strings.Repeat("é", 128), "v", ""},
		{"k", strings.Repeat("日", 257), "InvalidTag"}, {strings.Repeat("é", 129), "v", "InvalidTag"}, {"k*", "v", "InvalidTag"}, {"k", "<", "InvalidTag"},
	} {
		set := []types.Tag{{Key: &c.key, Value: &c.value}}
		want := map[string]string{c.key: c.value}
		for what, call := range map[string]func() error{
			"of a write": func() error {
				_, err := k.PutObject(t.Context(), &s3.PutObjectInput{Bucket: k.bucket, Key: aws.String("of a write"), Tagging: aws.String(url.QueryEscape(c.key) + "=" + url.QueryEscape(c.value))})
				return err
			},
			"of an object": func() error {
				k.put("of an object", "x")
				_, err := k.PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{Bucket: k.bucket, Key: aws.String("of an object"), Tagging: &types.Tagging{TagSet: set}})
				return err
			},
			"of a bucket": func() error {
				_, err := k.PutBucketTagging(t.Context(), &s3.PutBucketTaggingInput{Bucket: k.bucket, Tagging: &types.Tagging{TagSet: set}})
				return err
			},
			"of a new bucket": func() error {
				_, _ = k.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: aws.String("tagged")})
				_, err := k.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("tagged"), CreateBucketConfiguration: &types.CreateBucketConfiguration{Tags: set}})
				return err
			},
		} {
			err := call()
			if what := fmt.Sprintf("the tag %.20q=%.20q %s", c.key, c.value, what); c.want != "" {
				wantCode(t, what, err, c.want)
				continue
			} else if err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			var tags []types.Tag
			if bucket := map[string]string{"of a bucket": *k.bucket, "of a new bucket": "tagged"}[what]; bucket != "" {
				out, err := k.GetBucketTagging(t.Context(), &s3.GetBucketTaggingInput{Bucket: &bucket})
				if err != nil {
					t.Fatal(err)
				}
				tags = out.TagSet
			} else {
				out, err := k.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: k.bucket, Key: &what})
				if err != nil {
					t.Fatal(err)
				}
				tags = out.TagSet
			}
			if got := tagMap(tags); len(got) != 1 || got[c.key] != want[c.key] {
				t.Errorf("tags %s: %v", what, got)
			}
		}
	}
	for header, want := range map[string]string{"a=1&a=2": "InvalidArgument", "=v": "InvalidArgument", "a=%zz": "InvalidArgument", "a": "", "&&a=b&": "", "a=b=c": ""} {
		_, err := k.PutObject(t.Context(), &s3.PutObjectInput{Bucket: k.bucket, Key: aws.String("k"), Tagging: &header})
		if want == "" && err != nil || want != "" && code(err) != want {
			t.Errorf("tags %q: %v, want %q", header, err, want)
		}
	}
}

// TestFormNames keeps the names of a form's fields out of the headers of answers.
func TestFormNames(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	cl := &http.Client{Transport: transport(t)}
	for _, name := range []string{`name*=utf-8''x-amz-meta-a%0d%0aX-Evil:%201%0d%0ax-b`, `name="x-amz-meta-a b"`, `name="x-amz-meta-é"`, `name="x-amz-meta-"`} {
		g := signing{access: colaKey, secret: colaSecret, kind: "form", fields: []string{name}}
		before := s.applied()
		if got := s.send(t, cl, g.request(t, "POST", "http://"+s.addr+"/bk1", nil, []byte("x"))); got.status != http.StatusBadRequest || s.applied() != before {
			t.Errorf("a field %s: %d %s", name, got.status, got.code)
		}
	}
	g := signing{access: colaKey, secret: colaSecret, kind: "form", fields: []string{`name="x-amz-meta-a_b"`}}
	if got := s.send(t, cl, g.request(t, "POST", "http://"+s.addr+"/bk1", nil, []byte("x"))); got.status != http.StatusNoContent {
		t.Errorf("a good name: %d %s", got.status, got.body)
	}
}

// TestLooseRequests takes lists with spaces, as HTTP has them, and refuses numbers and
// paths that are none.
func TestLooseRequests(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	s.keeper(t, "").put("k", "content")
	res, body := s.raw(t, "GET", "/bk1/k?attributes", map[string]string{"X-Amz-Object-Attributes": "ETag, ObjectSize,StorageClass"})
	if res.StatusCode != http.StatusOK || !strings.Contains(body, "<ObjectSize>7</ObjectSize>") || !strings.Contains(body, "<StorageClass>") {
		t.Errorf("attributes: %s %s", res.Status, body)
	}
	for _, target := range []string{"/bk1/k", "/bk1/k?acl", "/bk1?tagging"} {
		res, body := s.raw(t, "PUT", target, map[string]string{"X-Amz-Trailer": "x"})
		if res.StatusCode != http.StatusBadRequest || !strings.Contains(body, "<Code>InvalidRequest</Code>") {
			t.Errorf("%s with an unknown trailer: %s %s", target, res.Status, body)
		}
	}
	for _, number := range []string{"4294967297", "0", "-1", "1x", "", "10001"} {
		for _, method := range []string{"GET", "PUT"} {
			res, body := s.raw(t, method, "/bk1/k?uploadId=x&partNumber="+number, nil)
			if res.StatusCode != http.StatusBadRequest || !strings.Contains(body, "<Code>InvalidArgument</Code>") {
				t.Errorf("%s of part %q: %s %s", method, number, res.Status, body)
			}
		}
	}
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /bk1/%%zz HTTP/1.1\r\nHost: x\r\nAuthorization: x\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusBadRequest || !bytes.Contains(raw, []byte("<Code>InvalidURI</Code>")) {
		t.Errorf("a path that cannot be unescaped: %s %s, %v", answer.Status, raw, err)
	}
}
