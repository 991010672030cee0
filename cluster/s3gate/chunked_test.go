package s3gate_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// TestFraming sends bodies in chunks that are not framed as they should be. None is
// stored, above all none whose bytes nobody signed.
func TestFraming(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	cl := &http.Client{Transport: transport(t)}
	up, err := s.aws(t, colaKey, colaSecret).CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String("bk1"), Key: aws.String("up")})
	if err != nil {
		t.Fatal(err)
	}
	const size = 10_000
	content, none := bytes.Repeat([]byte("x"), size), strings.Repeat("0", 64)
	signed, withTrailer, unsigned := []string{"streaming"}, []string{"streaming", "streaming with trailer"}, []string{"unsigned trailer"}
	for what, c := range map[string]struct {
		kinds []string
		frame func(g signing, seed string) []byte
		size  int
		ok    bool
	}{
		"as it should be": {signed, func(g signing, seed string) []byte {
			first, signature := g.chunk(seed, content)
			last, _ := g.chunk(signature, nil)
			return append(first, last...)
		}, size, true},
		"something after the end": {signed, func(g signing, seed string) []byte {
			first, signature := g.chunk(seed, content)
			last, _ := g.chunk(signature, nil)
			return append(append(first, last...), "\r\n"...)
		}, size, true},
		"unsigned": {unsigned, func(signing, string) []byte {
			return fmt.Appendf(nil, "%X \r\n%s\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n", size, content, crc32Of(content))
		}, size, true},
		"the bytes of nobody, without an end": {withTrailer, func(signing, string) []byte {
			return fmt.Appendf(nil, "%x;chunk-signature=%s\r\n%s", size, none, content)
		}, size, false},
		"the bytes of nobody in the second chunk": {withTrailer, func(g signing, seed string) []byte {
			first, _ := g.chunk(seed, content[:size-1])
			return fmt.Appendf(first, "1;chunk-signature=%s\r\nx", none)
		}, size, false},
		"the bytes of nobody that look like an end": {signed, func(signing, string) []byte {
			end := "0;chunk-signature=" + none + "\r\n\r\n"
			return fmt.Appendf(nil, "%x;chunk-signature=%s\r\n%s%s", size, none, content[len(end):], end)
		}, size, false},
		"nothing at all": {withTrailer, func(signing, string) []byte { return nil }, 0, false},
		"a negative size": {withTrailer, func(signing, string) []byte {
			return fmt.Appendf(nil, "-5;chunk-signature=%s\r\n%s", none, content)
		}, size, false},
		"a size of too many digits": {withTrailer, func(signing, string) []byte {
			return fmt.Appendf(nil, "fffffffffffffffff;chunk-signature=%s\r\n%s", none, content)
		}, size, false},
		"an end of line in a signature": {withTrailer, func(signing, string) []byte {
			return fmt.Appendf(nil, "%x;chunk-signature=\r\n%s\r\n%s", size, none[2:], content)
		}, size, false},
		"a trailer without an end": {unsigned, func(signing, string) []byte {
			return fmt.Appendf(nil, "%x\r\n%s\r\n0\r\n%s", size, content, strings.Repeat("a", 100_000))
		}, size, false},
		"trailers without an end": {unsigned, func(signing, string) []byte {
			return fmt.Appendf(nil, "%x\r\n%s\r\n0\r\n%s", size, content, strings.Repeat("a: b\r\n", 20_000))
		}, size, false},
		"a negative size, unsigned": {unsigned, func(signing, string) []byte { return fmt.Appendf(nil, "-5\r\n%s", content) }, size, false},
	} {
		for _, kind := range c.kinds {
			for _, target := range []string{"/bk1/k", "/bk1/up?partNumber=1&uploadId=" + *up.UploadId} {
				g := signing{access: colaKey, secret: colaSecret, kind: kind, frame: c.frame}
				before := s.applied()
				got := s.send(t, cl, g.request(t, "PUT", "http://"+s.addr+target, nil, content[:c.size]))
				if ok := got.status == http.StatusOK; ok != c.ok || !ok && (got.status != http.StatusBadRequest || got.code != "IncompleteBody") {
					t.Errorf("%s, %s, %s: %d %s", what, kind, target, got.status, got.code)
				}
				if written := s.applied() != before; written != c.ok {
					t.Errorf("%s, %s, %s: written %v", what, kind, target, written)
				}
			}
		}
	}
}

// TestEscapedSlash refuses a path whose bucket and key are joined by an escaped slash. To
// the signature it is the same path, and to all that looks at the path as it was sent one
// without a key, so that a body would not be looked at as an object's.
func TestEscapedSlash(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	cl := &http.Client{Transport: transport(t)}
	for _, kind := range kinds[:len(kinds)-1] { // without forms
		for _, target := range []string{"/bk1%2Fk", "/bk1%2fk", "/%62k1/k"} {
			g := signing{access: colaKey, secret: colaSecret, kind: kind}
			req := g.request(t, "PUT", "http://"+s.addr+"/bk1/k", nil, []byte("x"))
			req.URL.Opaque = target
			before := s.applied()
			if got := s.send(t, cl, req); got.status != http.StatusBadRequest || got.code != "InvalidURI" || s.applied() != before {
				t.Errorf("%s as %s: %d %s", kind, target, got.status, got.code)
			}
		}
	}
}
