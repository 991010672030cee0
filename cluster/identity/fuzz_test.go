package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/raftfsm/state"
	"github.com/zeebo/blake3"
)

// tokenText is the text of any bytes, with the right checksum.
func tokenText(raw []byte) string {
	sum := blake3.Sum256(raw)
	return base64.RawURLEncoding.EncodeToString(append(bytes.Clone(raw), sum[:tokenChecksum]...))
}

// plainCertificate is a certificate without a roster.
func plainCertificate(t *testing.T, key ed25519.PrivateKey) [][]byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public(key), key)
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{der}
}

// stolenCertificate carries another node's roster with a key of its own.
func stolenCertificate(t *testing.T, key ed25519.PrivateKey, from *tls.Certificate) [][]byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	for _, e := range from.Leaf.Extensions {
		if e.Id.Equal(RosterExtension) {
			template.ExtraExtensions = append(template.ExtraExtensions, e)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public(key), key)
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{der}
}

// FuzzRosterExtension feeds the certificate extension. Whatever is accepted is
// within its bounds and signed.
func FuzzRosterExtension(f *testing.F) {
	site, key, member := testSite(f, 1)
	signed := sign(f, site, Roster{Number: 3, Members: []Member{member, {Node: "node-2", Key: bytes.Repeat([]byte{5}, 32)}}})
	cert, err := NewCertificate(key, signed)
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range cert.Leaf.Extensions {
		if e.Id.Equal(RosterExtension) {
			f.Add(e.Value)
			f.Add(e.Value[:len(e.Value)/2])
		}
	}
	wrapped, err := asn1.Marshal([]byte{0x0a, 0x00})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wrapped)
	f.Add([]byte{4, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, value []byte) {
		s, err := parseRosterExtension(value)
		if err != nil {
			return
		}
		r, err := VerifyRoster(s)
		if err != nil {
			return
		}
		if err := r.check(); err != nil {
			t.Errorf("accepted: %v", err)
		}
		if !ed25519.Verify(r.Identity, signedRosterBytes(s.Roster), s.Signature) {
			t.Error("accepted without a signature")
		}
	})
}

// FuzzCertificate feeds whole certificates.
func FuzzCertificate(f *testing.F) {
	site, key, member := testSite(f, 1)
	cert, err := NewCertificate(key, sign(f, site, Roster{Number: 3, Members: []Member{member}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cert.Certificate[0])
	f.Add([]byte("\x30\x03\x02\x01\x01"))
	f.Fuzz(func(t *testing.T, der []byte) {
		info, err := VerifyPeer([][]byte{der}, func(id state.SiteID) (Pin, bool) {
			return Pin{Identity: site.Public(), RosterNumber: 3}, id == site.Site()
		})
		if err == nil && (info.Site != site.Site() || info.Node != "node-1") {
			t.Errorf("believed %+v", info)
		}
	})
}

// FuzzParseToken feeds texts, and bytes with the right checksum. What is
// accepted encodes to what means the same.
func FuzzParseToken(f *testing.F) {
	site, _, _ := testSite(f, 1)
	token, err := NewToken(site.Site(), site.Public(), "hilo:14000", testTime, fixed(3))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token.Encode())
	f.Add(token.Encode()[:40])
	f.Add("")
	raw, err := base64.RawURLEncoding.DecodeString(token.Encode())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(raw[:len(raw)-tokenChecksum]))
	f.Fuzz(func(t *testing.T, in string) {
		for _, text := range []string{in, tokenText([]byte(in))} {
			tok, err := ParseToken(text)
			if err != nil {
				continue
			}
			back, err := ParseToken(tok.Encode())
			if err != nil || back.Hash() != tok.Hash() || back.Site != tok.Site || back.Address != tok.Address || !back.Expires.Equal(tok.Expires) {
				t.Errorf("%q came back as %v, %v", text, back, err)
			}
		}
	})
}

// FuzzNodeFile feeds identity files, also with the right checksum. What is
// accepted encodes to what means the same.
func FuzzNodeFile(f *testing.F) {
	n := &Node{id: strings.Repeat("0f", 16), name: "n", siteName: "s"}
	key, err := newKey(fixed(1))
	if err != nil {
		f.Fatal(err)
	}
	n.key = hide(key)
	f.Add(n.encode())
	n.site = state.SiteID{9}
	if n.siteKey, err = NewSiteKey(fixed(2)); err != nil {
		f.Fatal(err)
	}
	f.Add(n.encode())
	f.Add([]byte(fileHeader + checksumField))
	f.Fuzz(func(t *testing.T, in []byte) {
		at := max(bytes.LastIndex(in, []byte(checksumField)), 0)
		body := append([]byte(nil), in[:at]...)
		sum := blake3.Sum256(body)
		mended := append(append(body, checksumField...), []byte(strings.ToLower(hexOf(sum[:])))...)
		for _, raw := range [][]byte{in, append(mended, '\n')} {
			node, err := decodeNode(raw)
			if err != nil {
				continue
			}
			back, err := decodeNode(node.encode())
			if err != nil || back.id != node.id || back.name != node.name || back.site != node.site || !back.siteKey.Equal(node.siteKey) || !back.Key().Equal(node.Key()) {
				t.Errorf("%q came back as %v, %v", raw, back, err)
			}
		}
	})
}

func hexOf(b []byte) string { return TokenHash(b).String() }

// FuzzCertificateRequest feeds what a caller wants signed. Whatever is signed
// verifies as a client of the authority, and as nothing else.
func FuzzCertificateRequest(f *testing.F) {
	now := time.Now()
	authority, err := NewAuthority(state.SiteID{1}, "alpha", now)
	if err != nil {
		f.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"other"}}, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(request)
	f.Add(request[:len(request)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, request []byte) {
		text, _, err := authority.Client("ops", request, now.Add(time.Hour))
		if err != nil {
			return
		}
		block, rest := pem.Decode([]byte(text))
		if block == nil || len(rest) > 0 {
			t.Fatalf("not one PEM block: %q", text)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if err := authority.VerifyClient(cert, now); err != nil {
			t.Errorf("a certificate that was signed is refused: %v", err)
		}
		if cert.IsCA || cert.Subject.CommonName != "ops" || len(cert.DNSNames) > 0 {
			t.Errorf("more than the key was taken from the request: %v", cert.Subject)
		}
	})
}

// FuzzSuccession feeds bytes of a peer to the walk along its successions: no
// bytes but those that the pinned identity signed lead to another one.
func FuzzSuccession(f *testing.F) {
	site, err := NewSiteIdentity(fixed(1))
	if err != nil {
		f.Fatal(err)
	}
	next, err := NewSiteIdentityFor(site.Site(), fixed(2))
	if err != nil {
		f.Fatal(err)
	}
	good, err := site.HandOver(next, 2)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, good)
	f.Add([]byte{0x0a, 0x00}, good[:len(good)-1])
	stranger, err := NewSiteIdentityFor(site.Site(), fixed(3))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		roster := &Roster{Site: site.Site(), Number: 2, Identity: stranger.Public()}
		if Succeeds(roster, site.Public(), [][]byte{a, b}) == nil {
			t.Error("bytes that nobody signed hand a site over")
		}
	})
}
