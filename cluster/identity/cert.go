package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"edgefog.dev/isgw/cluster/identity/identitypb"
	"github.com/zeebo/blake3"
	"google.golang.org/protobuf/proto"
)

// RosterExtension is the object identifier of the certificate extension that
// carries the signed roster: a DER octet string of the SignedRoster message.
var RosterExtension = asn1.ObjectIdentifier{2, 25, 1769170807, 1}

// Certificates say from the beginning to the end of time; nobody looks.
var (
	notBefore = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// NewCertificate makes the certificate that a node shows in TLS handshakes:
// self-signed by the node key, with the signed roster inside. The same key and
// roster give the same certificate.
func NewCertificate(nodeKey ed25519.PrivateKey, signed *identitypb.SignedRoster) (*tls.Certificate, error) {
	roster, err := VerifyRoster(signed)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	member, ok := roster.Member(public(nodeKey))
	if !ok {
		return nil, fmt.Errorf("make certificate: this node's key is not in roster %d of site %s", roster.Number, roster.SiteName)
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(signed)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	value, err := asn1.Marshal(raw)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	serial := blake3.Sum256(append(public(nodeKey), raw...))
	serial[0] &= 0x7f // serial numbers are positive
	template := &x509.Certificate{
		SerialNumber:    new(big.Int).SetBytes(serial[:16]),
		Subject:         pkix.Name{CommonName: "isgw node " + member.Node},
		NotBefore:       notBefore,
		NotAfter:        notAfter,
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		ExtraExtensions: []pkix.Extension{{Id: RosterExtension, Value: value}},
	}
	// Ed25519 signatures take no randomness.
	der, err := x509.CreateCertificate(rand.Reader, template, template, public(nodeKey), nodeKey)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: nodeKey, Leaf: leaf}, nil
}

// rosterOf takes the signed roster out of a certificate.
func rosterOf(cert *x509.Certificate) (*identitypb.SignedRoster, error) {
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(RosterExtension) {
			return parseRosterExtension(ext.Value)
		}
	}
	return nil, errors.New("the certificate carries no roster: it is not of an isgw node")
}

// parseRosterExtension decodes the value of the extension.
func parseRosterExtension(value []byte) (*identitypb.SignedRoster, error) {
	// The signature and the framing need less than 1 KiB beside the roster.
	if len(value) > MaxRosterBytes+MaxSuccessions*maxSuccession+1<<10 {
		return nil, fmt.Errorf("decode roster extension: %d bytes are too long", len(value))
	}
	var raw []byte
	if rest, err := asn1.Unmarshal(value, &raw); err != nil {
		return nil, fmt.Errorf("decode roster extension: %w", err)
	} else if len(rest) > 0 {
		return nil, fmt.Errorf("decode roster extension: %d bytes follow it", len(rest))
	}
	signed := new(identitypb.SignedRoster)
	if err := proto.Unmarshal(raw, signed); err != nil {
		return nil, fmt.Errorf("decode roster extension: %w", err)
	}
	return signed, nil
}

// Credentials are what a node shows its peers. They follow the site's roster:
// connections made after SetRoster show the new one. Any number of goroutines
// may use them at once.
type Credentials struct {
	node *Node

	mu     sync.Mutex
	roster *Roster
	cert   *tls.Certificate
}

// NewCredentials returns the credentials of a node, without a roster yet.
func NewCredentials(node *Node) *Credentials { return &Credentials{node: node} }

// SetRoster takes a roster of the node's own site that has the node in it. One
// with a lower number than the present one is refused, and one that another
// identity signed, unless it carries the succession from the present one to it.
func (c *Credentials) SetRoster(signed *identitypb.SignedRoster) error {
	roster, err := VerifyRoster(signed)
	if err != nil {
		return err
	}
	cert, err := NewCertificate(c.node.Key(), signed)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.roster != nil {
		if c.roster.Site != roster.Site {
			return fmt.Errorf("set roster: it is of site %s, not of %s", roster.Site, c.roster.Site)
		}
		if err := Succeeds(roster, c.roster.Identity, signed.GetSuccessions()); err != nil {
			return fmt.Errorf("set roster: %w", err)
		}
		if roster.Number < c.roster.Number {
			return fmt.Errorf("set roster: number %d is older than %d", roster.Number, c.roster.Number)
		}
	}
	c.roster, c.cert = roster, cert
	return nil
}

// Roster returns the present roster, or nil.
func (c *Credentials) Roster() *Roster {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.roster
}

// Certificate returns the present certificate. It is an error before the first
// SetRoster.
func (c *Credentials) Certificate() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cert == nil {
		return nil, errors.New("this node has no certificate: its site is not initialised")
	}
	return c.cert, nil
}
