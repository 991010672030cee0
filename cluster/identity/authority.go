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
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"

	"edgefog.dev/isgw/raftfsm/state"
)

// authorityLife is how long an authority is good: longer than any disk.
const authorityLife = 30 * 365 * 24 * time.Hour

// clockSlack is how far the clock of whoever looks at a certificate may be
// behind this node's.
const clockSlack = 24 * time.Hour

// Authority is a site's certificate authority for the admin API. It signs the
// certificates of the site's nodes and of the clients that the site lets in.
// Links do not use it: their peers pin the site's identity. It prints as its
// fingerprint and is safe for concurrent use.
type Authority struct {
	cert *x509.Certificate
	key  veil[*ecdsa.PrivateKey]
}

// NewAuthority makes the authority of a site.
func NewAuthority(site state.SiteID, siteName string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "isgw authority of site " + siteName, SerialNumber: site.String()},
		NotBefore:    now.Add(-clockSlack), NotAfter: now.Add(authorityLife),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	return &Authority{cert, hide(key)}, nil
}

// SealForAuthority is the purpose of a sealed authority's key.
func SealForAuthority(site state.SiteID) string { return "authority of site " + site.String() }

// Seal wraps the private key for the replicated config; r nil means crypto/rand.
func (a *Authority) Seal(key SiteKey, site state.SiteID, r io.Reader) ([]byte, error) {
	raw, err := x509.MarshalPKCS8PrivateKey(a.key())
	if err != nil {
		return nil, fmt.Errorf("seal authority: %w", err)
	}
	return key.Seal(r, SealForAuthority(site), raw)
}

// OpenAuthority unwraps what Seal made, and checks that key and certificate
// belong together.
func OpenAuthority(key SiteKey, site state.SiteID, certificate, sealed []byte) (*Authority, error) {
	cert, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	raw, err := key.Open(SealForAuthority(site), sealed)
	if err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !private.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("open authority: its key and its certificate do not belong together")
	}
	return &Authority{cert, hide(private)}, nil
}

// Certificate is the authority's own certificate, DER.
func (a *Authority) Certificate() []byte { return bytes.Clone(a.cert.Raw) }

// PEM is the authority's own certificate, as files have it.
func (a *Authority) PEM() string { return certificatePEM(a.cert.Raw) }

// Fingerprint is the SHA-256 of the authority's certificate, in hexadecimal.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	return hex.EncodeToString(sum[:])
}

// VerifyClient checks that this authority signed a certificate for a client and
// that it is valid at a time.
func (a *Authority) VerifyClient(cert *x509.Certificate, now time.Time) error {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return fmt.Errorf("verify client certificate: %w", err)
	}
	return nil
}

// Server makes a node's certificate with a key of its own, good under the names
// and addresses given. It carries the authority, so that a client that knows
// only the fingerprint can check it.
func (a *Authority) Server(node string, hosts []string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make certificate of node %s: %w", node, err)
	}
	template := &x509.Certificate{
		Subject:  pkix.Name{CommonName: node},
		NotAfter: a.cert.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := a.sign(template, key.Public())
	if err != nil {
		return nil, fmt.Errorf("make certificate of node %s: %w", node, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}, nil
}

// Client signs the key of a certificate request. Of the request only the key is
// taken. It returns the certificate as PEM and the hash of the key by which the
// site knows it.
func (a *Authority) Client(name string, request []byte, expires time.Time) (certificate string, keyHash [32]byte, err error) {
	req, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return "", keyHash, fmt.Errorf("read certificate request: %w", err)
	}
	if err := req.CheckSignature(); err != nil {
		return "", keyHash, fmt.Errorf("check certificate request: %w", err)
	}
	template := &x509.Certificate{
		Subject:  pkix.Name{CommonName: name},
		NotAfter: expires, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := a.sign(template, req.PublicKey)
	if err != nil {
		return "", keyHash, fmt.Errorf("sign certificate of %s: %w", name, err)
	}
	return certificatePEM(der), sha256.Sum256(req.RawSubjectPublicKeyInfo), nil
}

func (a *Authority) sign(template *x509.Certificate, public any) ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template.SerialNumber, template.NotBefore = serial, a.cert.NotBefore
	template.KeyUsage, template.BasicConstraintsValid = x509.KeyUsageDigitalSignature, true
	return x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key())
}

// Format shows the fingerprint and no key.
func (a *Authority) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "authority %s", a.Fingerprint()) }

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

func certificatePEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
