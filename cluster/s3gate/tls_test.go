package s3gate_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"edgefog.dev/isgw/cluster/s3gate"
)

func selfSigned(t *testing.T, serial int64) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// TestTLS serves over TLS, takes another certificate for new connections and leaves
// those alone that are open, and turns away what is not TLS or takes too long.
func TestTLS(t *testing.T) {
	t.Parallel()
	first, second := selfSigned(t, 1), selfSigned(t, 2)
	var current atomic.Pointer[tls.Certificate]
	current.Store(first)
	s := openSite(t, func(o *s3gate.Options) {
		o.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil }}
	})
	pool := x509.NewCertPool()
	pool.AddCert(first.Leaf)
	pool.AddCert(second.Leaf)
	client := func() *minio.Client {
		tr := transport(t)
		tr.TLSClientConfig = &tls.Config{RootCAs: pool}
		c, err := minio.New(s.addr, &minio.Options{Creds: colaCredentials(), Region: "us-east-1", Secure: true, Transport: tr})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	serial := func() int64 {
		conn, err := tls.Dial("tcp", s.addr, &tls.Config{RootCAs: pool})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	cl := client()
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if _, err := cl.PutObject(t.Context(), "bk1", "k", bytes.NewReader(big), int64(len(big)), minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 1 {
		t.Errorf("certificate %d", got)
	}
	r, err := cl.GetObject(t.Context(), "bk1", "k", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	half := make([]byte, len(big)/2)
	if _, err := r.Read(half[:1]); err != nil {
		t.Fatal(err)
	}
	current.Store(second)
	if got := serial(); got != 2 {
		t.Errorf("certificate %d after the change", got)
	}
	if rest := readBody(t, r); len(rest) != len(big)-1 {
		t.Errorf("the open connection gave %d bytes", len(rest))
	}
	if _, err := client().StatObject(t.Context(), "bk1", "k", minio.StatObjectOptions{}); err != nil {
		t.Error(err)
	}
	// A policy may demand TLS.
	for scheme, site := range map[string]*site{"https": s, "http": openSite(t, nil)} {
		c := site.minio(t, colaKey, colaSecret)
		if scheme == "https" {
			c = client()
		}
		if err := c.SetBucketPolicy(t.Context(), "bk1", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::bk1/*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`); err != nil {
			t.Fatal(err)
		}
		_, err := c.PutObject(t.Context(), "bk1", "policy", strings.NewReader("x"), 1, minio.PutObjectOptions{})
		if want := map[string]string{"https": "", "http": "AccessDenied"}[scheme]; want == "" && err != nil || want != "" && code(err) != want {
			t.Errorf("put over %s: %v, want %q", scheme, err, want)
		}
	}
	// In the clear nothing is answered but that it should not be.
	if res, err := http.Get("http://" + s.addr + "/"); err == nil {
		if res.Body.Close(); res.StatusCode == http.StatusOK {
			t.Errorf("in the clear: %s", res.Status)
		}
	}
	// One that waits so little would turn away good clients on a busy machine.
	hasty := openSite(t, func(o *s3gate.Options) {
		o.TLS, o.HeaderTimeout = &tls.Config{Certificates: []tls.Certificate{*first}}, 500*time.Millisecond
	})
	conn, err := net.Dial("tcp", hasty.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 64)
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(buf); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("a handshake that never begins: %d bytes, %v", n, err)
	}
}
