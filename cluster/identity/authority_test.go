package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/raftfsm/state"
)

var authorityTime = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newTestAuthority(t *testing.T, site byte) *Authority {
	t.Helper()
	a, err := NewAuthority(state.SiteID{site}, "alpha", authorityTime)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// requestOf is a certificate request for a new key, as template says.
func requestOf(t *testing.T, template *x509.CertificateRequest) (der []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if der, err = x509.CreateCertificateRequest(rand.Reader, template, key); err != nil {
		t.Fatal(err)
	}
	return der, key
}

func parsePEM(t *testing.T, text string) *x509.Certificate {
	t.Helper()
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		t.Fatalf("no single certificate: %q", text)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issued is a client's certificate that lives for a time.
func issued(t *testing.T, a *Authority, life time.Duration) *x509.Certificate {
	t.Helper()
	request, _ := requestOf(t, &x509.CertificateRequest{})
	text, _, err := a.Client("ops", request, authorityTime.Add(life))
	if err != nil {
		t.Fatal(err)
	}
	return parsePEM(t, text)
}

// TestAuthorityIsSealed: what the config keeps opens with the site's key, for
// that site and with that certificate, and with nothing else.
func TestAuthorityIsSealed(t *testing.T) {
	site, other := state.SiteID{1}, state.SiteID{2}
	key, err := NewSiteKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wrongKey, err := NewSiteKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a, b := newTestAuthority(t, 1), newTestAuthority(t, 2)
	sealed, err := a.Seal(key, site, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenAuthority(key, site, a.Certificate(), sealed)
	if err != nil {
		t.Fatal(err)
	}
	if again.Fingerprint() != a.Fingerprint() || again.PEM() != a.PEM() {
		t.Error("the opened authority is another one")
	}
	if err := a.VerifyClient(issued(t, again, time.Hour), authorityTime); err != nil {
		t.Errorf("what the opened authority signs: %v", err)
	}
	broken := bytes.Clone(sealed)
	broken[len(broken)-1] ^= 1
	for name, open := range map[string]func() (*Authority, error){
		"another site key":    func() (*Authority, error) { return OpenAuthority(wrongKey, site, a.Certificate(), sealed) },
		"another site":        func() (*Authority, error) { return OpenAuthority(key, other, a.Certificate(), sealed) },
		"another certificate": func() (*Authority, error) { return OpenAuthority(key, site, b.Certificate(), sealed) },
		"a flipped bit":       func() (*Authority, error) { return OpenAuthority(key, site, a.Certificate(), broken) },
		"no key":              func() (*Authority, error) { return OpenAuthority(key, site, a.Certificate(), nil) },
		"no certificate":      func() (*Authority, error) { return OpenAuthority(key, site, nil, sealed) },
	} {
		if got, err := open(); err == nil || !strings.HasPrefix(err.Error(), "open authority: ") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestAuthorityItself: its certificate is one that signs others, and no chain.
func TestAuthorityItself(t *testing.T) {
	a := newTestAuthority(t, 1)
	cert := parsePEM(t, a.PEM())
	if !cert.IsCA || cert.MaxPathLen != 0 || !cert.MaxPathLenZero || cert.KeyUsage != x509.KeyUsageCertSign {
		t.Errorf("CA %v, path %d, usage %b", cert.IsCA, cert.MaxPathLen, cert.KeyUsage)
	}
	if cert.NotBefore.After(authorityTime.Add(-clockSlack)) || cert.NotAfter.Before(authorityTime.Add(authorityLife)) {
		t.Errorf("it is good from %v to %v", cert.NotBefore, cert.NotAfter)
	}
	if sum := sha256.Sum256(a.Certificate()); hex.EncodeToString(sum[:]) != a.Fingerprint() || !bytes.Equal(cert.Raw, a.Certificate()) {
		t.Error("fingerprint, PEM and certificate are not of one certificate")
	}
	changed := a.Certificate()
	changed[0] ^= 1
	if bytes.Equal(changed, a.Certificate()) {
		t.Error("who changes the certificate that was handed out changes the authority")
	}
	raw, err := a.key().Bytes()
	if err != nil {
		t.Fatal(err)
	}
	secret := hex.EncodeToString(raw)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if text := fmt.Sprintf(verb, a); text != "authority "+a.Fingerprint() || strings.Contains(text, secret) {
			t.Errorf("%s prints %s", verb, text)
		}
	}
	if newTestAuthority(t, 1).Fingerprint() == a.Fingerprint() {
		t.Error("two authorities are one")
	}
}

// TestServerCertificate: a node proves itself under its names to whoever trusts
// the authority, and to nobody as a client.
func TestServerCertificate(t *testing.T) {
	a := newTestAuthority(t, 1)
	made, err := a.Server("alpha-1", []string{"localhost", "127.0.0.1", "::1", "node.example"})
	if err != nil {
		t.Fatal(err)
	}
	if len(made.Certificate) != 2 || !bytes.Equal(made.Certificate[1], a.Certificate()) {
		t.Error("the authority is not sent along, by which a fingerprint is checked")
	}
	cert, err := x509.ParseCertificate(made.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsePEM(t, a.PEM()))
	for host, ok := range map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true, "node.example": true, "other.example": false, "10.0.0.1": false} {
		_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: authorityTime, DNSName: host, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		if (err == nil) != ok {
			t.Errorf("as %s: %v", host, err)
		}
	}
	if cert.IsCA || cert.Subject.CommonName != "alpha-1" {
		t.Errorf("CA %v, name %q", cert.IsCA, cert.Subject.CommonName)
	}
	if err := a.VerifyClient(cert, authorityTime); err == nil {
		t.Error("a node's certificate is taken for a client's")
	}

	// The key is the one of the certificate: a handshake works.
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	served := make(chan error, 1)
	go func() { served <- tls.Server(there, &tls.Config{Certificates: []tls.Certificate{*made}}).Handshake() }()
	client := tls.Client(here, &tls.Config{RootCAs: roots, ServerName: "localhost", Time: func() time.Time { return authorityTime }})
	if err := client.Handshake(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestVerifyClient: only what this authority signed for a client is taken, and
// only while it is valid.
func TestVerifyClient(t *testing.T) {
	a, b := newTestAuthority(t, 1), newTestAuthority(t, 1) // of one site id: the key counts
	good := issued(t, a, time.Hour)

	// Somebody who holds a client certificate signs another with its key.
	request, holder := requestOf(t, &x509.CertificateRequest{})
	text, _, err := a.Client("holder", request, authorityTime.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	parent := parsePEM(t, text)
	forged, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: parent.SerialNumber, NotBefore: authorityTime.Add(-time.Hour), NotAfter: authorityTime.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, parent, holder.Public(), holder)
	if err != nil {
		t.Fatal(err)
	}
	child, err := x509.ParseCertificate(forged)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cert *x509.Certificate
		at   time.Time
		ok   bool
	}{
		{"valid", good, authorityTime, true},
		{"the clock is behind", good, authorityTime.Add(-clockSlack + time.Minute), true},
		{"in the last second", good, authorityTime.Add(time.Hour - time.Second), true},
		{"expired", good, authorityTime.Add(time.Hour + time.Second), false},
		{"long before", good, authorityTime.Add(-clockSlack - time.Hour), false},
		{"of another authority", issued(t, b, time.Hour), authorityTime, false},
		{"signed by a client", child, authorityTime, false},
		{"another authority itself", parsePEM(t, b.PEM()), authorityTime, false},
	} {
		if err := a.VerifyClient(c.cert, c.at); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestClientCertificate: of a request only the key is taken; the name, the time
// and what the certificate is good for are the site's.
func TestClientCertificate(t *testing.T) {
	a := newTestAuthority(t, 1)
	request, key := requestOf(t, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "root", Organization: []string{"everybody"}}, DNSNames: []string{"localhost"},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}}}, // CA: true
	})
	text, hash, err := a.Client("ops", request, authorityTime.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	cert := parsePEM(t, text)
	if cert.Subject.CommonName != "ops" || len(cert.Subject.Organization) > 0 || len(cert.DNSNames) > 0 || cert.IsCA || !cert.NotAfter.Equal(authorityTime.Add(time.Hour)) {
		t.Errorf("the request decided: %v, %v, CA %v, until %v", cert.Subject, cert.DNSNames, cert.IsCA, cert.NotAfter)
	}
	if len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || cert.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("it is good for %v, %b", cert.ExtKeyUsage, cert.KeyUsage)
	}
	if !key.PublicKey.Equal(cert.PublicKey) || hash != sha256.Sum256(cert.RawSubjectPublicKeyInfo) {
		t.Error("it is not of the key that was sent, or not known by it")
	}
	if other := issued(t, a, time.Hour); other.SerialNumber.Cmp(cert.SerialNumber) == 0 {
		t.Error("two certificates have one serial number")
	}
	for name, bad := range map[string][]byte{
		"nothing": nil, "a word": []byte("sesame"), "cut short": request[:len(request)/2],
		"another's signature": append(bytes.Clone(request[:len(request)-4]), 0, 0, 0, 0),
	} {
		if text, _, err := a.Client("ops", bad, authorityTime.Add(time.Hour)); err == nil || text != "" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}
