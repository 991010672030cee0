package s3gate_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
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

// shiftedSigner signs as of another time.
type shiftedSigner struct {
	*v4.Signer
	by time.Duration
}

func (s shiftedSigner) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, payload, service, region string, at time.Time, opts ...func(*v4.SignerOptions)) error {
	return s.Signer.SignHTTP(ctx, c, r, payload, service, region, at.Add(s.by), opts...)
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
	type attempt struct {
		secret string
		shift  time.Duration
		meddle func(*http.Request)
	}
	dial := func(a attempt) *meddler {
		tr := transport(t)
		tr.TLSClientConfig = &tls.Config{RootCAs: pool}
		return &meddler{next: tr, meddle: a.meddle}
	}
	awsClient := func(s *site, scheme string, a attempt, m *meddler) *s3.Client {
		return s3.New(s3.Options{
			BaseEndpoint: aws.String(scheme + "://" + s.addr), Region: "us-east-1", UsePathStyle: true, RetryMaxAttempts: 1,
			Credentials:  credentials.NewStaticCredentialsProvider(colaKey, a.secret, ""),
			HTTPClient:   &http.Client{Transport: m},
			HTTPSignerV4: shiftedSigner{v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }), a.shift},
		})
	}
	minioClient := func(s *site, secure bool, a attempt, m *meddler) *minio.Client {
		c, err := minio.New(s.addr, &minio.Options{Creds: miniocreds.NewStaticV4(colaKey, a.secret, ""), Region: "us-east-1", Secure: secure, Transport: m, TrailingHeaders: true, MaxRetries: 1})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	send := func(m *meddler, method, url string) error {
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(content))
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
		shifts  bool   // the date of signing can be shifted
		trailer bool
		signed  bool // the payload is covered by a signature or a checksum
		put     func(a attempt, m *meddler) error
	}{
		{"aws, header", plain, hashed([]byte(content)), true, false, true, func(a attempt, m *meddler) error {
			c := awsClient(plain, "http", a, m)
			return second(c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bk1"), Key: aws.String("k"), Body: strings.NewReader(content)},
				func(o *s3.Options) { o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired }))
		}},
		{"aws, trailer", secure, streamingUnsigned, true, true, true, func(a attempt, m *meddler) error {
			c := awsClient(secure, "https", a, m)
			return second(c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bk1"), Key: aws.String("k"), Body: strings.NewReader(content)},
				func(o *s3.Options) { o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported }))
		}},
		{"aws, presigned", plain, "", true, false, false, func(a attempt, m *meddler) error {
			if a.shift != 0 {
				return apiError("not shifted") // the presigner takes its own time; see the matrix
			}
			r, err := s3.NewPresignClient(awsClient(plain, "http", a, m)).PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bk1"), Key: aws.String("k")})
			if err != nil {
				return err
			}
			return send(m, "PUT", r.URL)
		}},
		{"minio, signed trailer", plain, streamingTrailer, false, true, true, func(a attempt, m *meddler) error {
			return second(minioClient(plain, false, a, m).PutObject(t.Context(), "bk1", "k", strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{Checksum: minio.ChecksumCRC32C}))
		}},
		{"minio, streaming", plain, streamingPayload, false, false, true, func(a attempt, m *meddler) error {
			return second(minioClient(plain, false, a, m).PutObject(t.Context(), "bk1", "k", strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{}))
		}},
		{"minio, trailer", secure, streamingUnsigned, false, true, true, func(a attempt, m *meddler) error {
			return second(minioClient(secure, true, a, m).PutObject(t.Context(), "bk1", "k", strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{Checksum: minio.ChecksumCRC32C}))
		}},
		{"minio, presigned", plain, "", false, false, false, func(a attempt, m *meddler) error {
			u, err := minioClient(plain, false, a, m).PresignedPutObject(t.Context(), "bk1", "k", time.Minute)
			if err != nil {
				return err
			}
			return send(m, "PUT", u.String())
		}},
	}
	for _, way := range ways {
		right := attempt{secret: colaSecret}
		m := dial(right)
		if err := way.put(right, m); err != nil {
			t.Errorf("%s: %v", way.name, err)
			continue
		}
		if got := m.last.Header.Get("X-Amz-Content-Sha256"); !strings.HasPrefix(got, way.payload) {
			t.Errorf("%s: the client sent %q, want %q", way.name, got, way.payload)
		}
		wrong := map[string]attempt{"wrong secret": {secret: "wrong"}, "cut off": {secret: colaSecret, meddle: truncate}}
		if way.shifts && way.payload != "" {
			wrong["too old"] = attempt{secret: colaSecret, shift: -time.Hour}
			wrong["in the future"] = attempt{secret: colaSecret, shift: time.Hour}
		}
		if way.signed {
			wrong["damaged"] = attempt{secret: colaSecret, meddle: alter("object.", "OBJECT.")}
		}
		if way.trailer {
			wrong["damaged trailer"] = attempt{secret: colaSecret, meddle: alter("x-amz-checksum-crc32", "x-amz-checksum-crc64")}
		}
		before := way.site.applied()
		for what, a := range wrong {
			err := way.put(a, dial(a))
			if err == nil {
				t.Errorf("%s, %s: it was taken", way.name, what)
			}
			if want := map[string]string{"wrong secret": "SignatureDoesNotMatch", "too old": "RequestTimeTooSkewed", "in the future": "RequestTimeTooSkewed"}[what]; want != "" {
				wantCode(t, way.name+", "+what, err, want)
			}
		}
		if got := way.site.applied(); got != before {
			t.Errorf("%s: something was written", way.name)
		}
	}
}
