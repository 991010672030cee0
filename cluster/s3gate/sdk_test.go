package s3gate_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"
	miniocreds "github.com/minio/minio-go/v7/pkg/credentials"

	"edgefog.dev/isgw/cluster/s3gate"
)

// meddler changes requests on their way, after a client has signed them.
type meddler struct {
	next   http.RoundTripper
	meddle func(*http.Request)
	last   *http.Request // as the client made it
}

// RoundTrip implements http.RoundTripper.
func (m *meddler) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	m.last = req
	if m.meddle != nil {
		m.meddle(req)
	}
	return m.next.RoundTrip(req)
}

// truncate sends half of the body and fails, as a connection that breaks.
func truncate(req *http.Request) {
	if req.Body != nil && req.ContentLength > 1 {
		req.Body = &brokenBody{ReadCloser: req.Body, left: req.ContentLength / 2}
	}
}

type brokenBody struct {
	io.ReadCloser
	left int64
}

var errBroken = errors.New("the line broke")

func (b *brokenBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errBroken
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// alter replaces something in the body by something of the same length.
func alter(from, to string) func(*http.Request) {
	return func(req *http.Request) {
		raw, _ := io.ReadAll(req.Body)
		i := bytes.LastIndex(raw, []byte(from))
		if i >= 0 {
			copy(raw[i+len(from)-len(to):], to)
		}
		setBody(req, raw)
	}
}

// alterTrailer changes the checksum of a trailer into another.
func alterTrailer(req *http.Request) {
	raw, _ := io.ReadAll(req.Body)
	if i := bytes.LastIndex(raw, []byte("x-amz-checksum-")); i >= 0 {
		value := raw[i+bytes.IndexByte(raw[i:], ':')+1:]
		value[0] = map[bool]byte{true: 'B', false: 'A'}[value[0] == 'A']
	}
	setBody(req, raw)
}

// TestSDKs puts an object with each client by each way of signing, rightly, and then
// with a wrong secret, a wrong date, a body that is damaged or cut off, and a damaged
// trailer. Over TLS the clients stream with a trailer.
func TestSDKs(t *testing.T) {
	t.Parallel()
	certificate := selfSigned(t, 1)
	pool := x509.NewCertPool()
	pool.AddCert(certificate.Leaf)
	secure := openSite(t, func(o *s3gate.Options) { o.TLS = &tls.Config{Certificates: []tls.Certificate{*certificate}} })
	plain := openSite(t, nil)
	const content = "The content of the object."
	const skewed = "RequestTimeTooSkewed"
	type attempt struct {
		secret string
		meddle func(*http.Request)
	}
	dial := func(t *testing.T, a attempt) *meddler {
		tr := transport(t)
		tr.TLSClientConfig = &tls.Config{RootCAs: pool, Time: func() time.Time { return certificate.Leaf.NotBefore }}
		return &meddler{next: tr, meddle: a.meddle}
	}
	awsClient := func(s *site, scheme string, a attempt, m *meddler) *s3.Client {
		return s3.New(s3.Options{
			BaseEndpoint: aws.String(scheme + "://" + s.addr), Region: "us-east-1", UsePathStyle: true, RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider(colaKey, a.secret, ""),
			HTTPClient:  &http.Client{Transport: m},
		})
	}
	minioClient := func(t *testing.T, s *site, secure bool, a attempt, m *meddler) *minio.Client {
		c, err := minio.New(s.addr, &minio.Options{Creds: miniocreds.NewStaticV4(colaKey, a.secret, ""), Region: "us-east-1", Secure: secure, Transport: m, TrailingHeaders: true, MaxRetries: 1})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	send := func(t *testing.T, m *meddler, url string) error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, strings.NewReader(content))
		if err != nil {
			return err
		}
		res, err := (&http.Client{Transport: m}).Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != http.StatusOK {
			return apiError(between(string(body), "<Code>", "</Code>"))
		}
		return nil
	}
	ways := []struct {
		name    string
		site    *site
		payload string // what the client is seen to use; a beginning
		skewed  string // the answer to what was signed at another time
		// The answers to a payload that is damaged, to a trailer of another checksum
		// than was announced, and to one with another value; empty where there is none.
		damaged, renamed, altered string
		put                       func(t *testing.T, a attempt, m *meddler) error
	}{
		{"aws, header", plain, hashed([]byte(content)), skewed, "XAmzContentSHA256Mismatch", "", "", func(t *testing.T, a attempt, m *meddler) error {
			c := awsClient(plain, "http", a, m)
			return second(c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bk1"), Key: aws.String("k"), Body: strings.NewReader(content)},
				func(o *s3.Options) { o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired }))
		}},
		{"aws, trailer", secure, streamingUnsigned, skewed, "BadDigest", "MalformedTrailerError", "BadDigest", func(t *testing.T, a attempt, m *meddler) error {
			c := awsClient(secure, "https", a, m)
			return second(c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bk1"), Key: aws.String("k"), Body: strings.NewReader(content)},
				func(o *s3.Options) { o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported }))
		}},
		{"aws, presigned", plain, "", "AccessDenied", "", "", "", func(t *testing.T, a attempt, m *meddler) error {
			r, err := s3.NewPresignClient(awsClient(plain, "http", a, m)).PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bk1"), Key: aws.String("k")})
			if err != nil {
				return err
			}
			return send(t, m, r.URL)
		}},
		{"minio, signed trailer", plain, streamingTrailer, skewed, "SignatureDoesNotMatch", "MalformedTrailerError", "BadDigest", func(t *testing.T, a attempt, m *meddler) error {
			return second(minioClient(t, plain, false, a, m).PutObject(t.Context(), "bk1", "k", strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{Checksum: minio.ChecksumCRC32C}))
		}},
		{"minio, streaming", plain, streamingPayload, skewed, "SignatureDoesNotMatch", "", "", func(t *testing.T, a attempt, m *meddler) error {
			return second(minioClient(t, plain, false, a, m).PutObject(t.Context(), "bk1", "k", strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{}))
		}},
		{"minio, trailer", secure, streamingUnsigned, skewed, "BadDigest", "MalformedTrailerError", "BadDigest", func(t *testing.T, a attempt, m *meddler) error {
			return second(minioClient(t, secure, true, a, m).PutObject(t.Context(), "bk1", "k", strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{Checksum: minio.ChecksumCRC32C}))
		}},
		{"minio, presigned", plain, "", "AccessDenied", "", "", "", func(t *testing.T, a attempt, m *meddler) error {
			u, err := minioClient(t, plain, false, a, m).PresignedPutObject(t.Context(), "bk1", "k", time.Minute)
			if err != nil {
				return err
			}
			return send(t, m, u.String())
		}},
	}
	for _, way := range ways {
		right := attempt{secret: colaSecret}
		m := dial(t, right)
		if err := way.put(t, right, m); err != nil {
			t.Errorf("%s: %v", way.name, err)
			continue
		}
		if got := m.last.Header.Get("X-Amz-Content-Sha256"); !strings.HasPrefix(got, way.payload) {
			t.Errorf("%s: the client sent %q, want %q", way.name, got, way.payload)
		}
		before := way.site.applied()
		if err := way.put(t, right, dial(t, attempt{meddle: truncate})); err == nil {
			t.Errorf("%s: what was cut off was taken", way.name)
		}
		for what, c := range map[string]struct {
			attempt
			shift time.Duration
			want  string
		}{
			"wrong secret":    {attempt{secret: "wrong"}, 0, "SignatureDoesNotMatch"},
			"too old":         {right, -time.Hour, way.skewed},
			"in the future":   {right, time.Hour, way.skewed},
			"damaged":         {attempt{colaSecret, alter("object.", "OBJECT.")}, 0, way.damaged},
			"another trailer": {attempt{colaSecret, alter("x-amz-checksum-crc32", "x-amz-checksum-crc64")}, 0, way.renamed},
			"altered trailer": {attempt{colaSecret, alterTrailer}, 0, way.altered},
		} {
			if c.want == "" {
				continue
			}
			// A bubble has a clock of its own, from which both clients sign; nobody's options
			// set it. The site is outside.
			now := time.Now()
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(now.Add(c.shift)))
				wantCode(t, way.name+", "+what, way.put(t, c.attempt, dial(t, c.attempt)), c.want)
			})
		}
		if got := way.site.applied(); got != before {
			t.Errorf("%s: something was written", way.name)
		}
	}
}
