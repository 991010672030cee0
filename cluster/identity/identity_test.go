package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/identity/identitypb"
	"edgefog.dev/isgw/raftfsm/state"
	"google.golang.org/protobuf/proto"
)

var testTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// testSite makes an identity and a member of it.
func testSite(t testing.TB, seed byte) (*SiteIdentity, ed25519.PrivateKey, Member) {
	t.Helper()
	site, err := NewSiteIdentity(fixed(seed))
	if err != nil {
		t.Fatal(err)
	}
	key, err := newKey(fixed(seed + 1))
	if err != nil {
		t.Fatal(err)
	}
	return site, key, Member{Node: "node-1", Key: public(key), LinkAddress: "10.0.0.1:14000"}
}

func sign(t testing.TB, site *SiteIdentity, r Roster) *identitypb.SignedRoster {
	t.Helper()
	if r.SiteName == "" {
		r.SiteName = "hilo"
	}
	signed, err := site.SignRoster(r)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestSealing(t *testing.T) {
	key, err := NewSiteKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewSiteKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	id := state.SiteID{1}
	for _, secret := range [][]byte{nil, []byte("s"), bytes.Repeat([]byte("secret"), 1000)} {
		sealed, err := key.Seal(nil, SealForS3Key(id, "AK"), secret)
		if err != nil {
			t.Fatal(err)
		}
		if len(secret) > 3 && bytes.Contains(sealed, secret[:4]) {
			t.Error("the secret can be read")
		}
		if got, err := key.Open(SealForS3Key(id, "AK"), sealed); err != nil || !bytes.Equal(got, secret) {
			t.Errorf("opened %q, %v", got, err)
		}
		if _, err := other.Open(SealForS3Key(id, "AK"), sealed); !errors.Is(err, ErrSealed) {
			t.Errorf("another site's key: %v", err)
		}
		if _, err := key.Open(SealForS3Key(id, "AL"), sealed); !errors.Is(err, ErrSealed) {
			t.Errorf("another purpose: %v", err)
		}
		for i := range sealed {
			bad := bytes.Clone(sealed)
			bad[i] ^= 0x40
			if _, err := key.Open(SealForS3Key(id, "AK"), bad); !errors.Is(err, ErrSealed) {
				t.Fatalf("byte %d changed: %v", i, err)
			}
			if _, err := key.Open(SealForS3Key(id, "AK"), sealed[:i]); !errors.Is(err, ErrSealed) {
				t.Fatalf("cut to %d bytes: %v", i, err)
			}
			if len(secret) > 100 && i > 100 {
				break
			}
		}
	}
	var none SiteKey
	if _, err := none.Seal(nil, "p", nil); err == nil {
		t.Error("the zero key seals")
	}
	if _, err := none.Open("p", make([]byte, 100)); err == nil {
		t.Error("the zero key opens")
	}
}

func TestSiteIdentitySealed(t *testing.T) {
	key, err := NewSiteKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	site, err := NewSiteIdentity(nil)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := site.Seal(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	back, err := OpenSiteIdentity(key, site.Site(), site.Public(), sealed)
	if err != nil {
		t.Fatal(err)
	}
	if back.Site() != site.Site() || !back.Public().Equal(site.Public()) {
		t.Error("another identity came back")
	}
	other, err := NewSiteIdentity(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSiteIdentity(key, site.Site(), other.Public(), sealed); err == nil {
		t.Error("a wrong public key is accepted")
	}
	if _, err := OpenSiteIdentity(key, other.Site(), site.Public(), sealed); !errors.Is(err, ErrSealed) {
		t.Errorf("another site's id: %v", err)
	}
}

func TestRoster(t *testing.T) {
	site, _, member := testSite(t, 1)
	signed := sign(t, site, Roster{Number: 7, Members: []Member{member}})
	r, err := VerifyRoster(signed)
	if err != nil {
		t.Fatal(err)
	}
	if r.Site != site.Site() || r.SiteName != "hilo" || r.Number != 7 || !r.Identity.Equal(site.Public()) || len(r.Members) != 1 || r.Members[0].LinkAddress != member.LinkAddress {
		t.Errorf("the roster is %+v", r)
	}
	if m, ok := r.Member(member.Key); !ok || m.Node != "node-1" || !r.Has("node-1") || r.Has("node-2") {
		t.Error("its member is not found")
	}
	for i := range signed.Roster {
		bad := proto.CloneOf(signed)
		bad.Roster[i] ^= 1
		if _, err := VerifyRoster(bad); err == nil {
			t.Fatalf("byte %d of the roster changed, and nobody sees it", i)
		}
	}
	for i := range signed.Signature {
		bad := proto.CloneOf(signed)
		bad.Signature[i] ^= 1
		if _, err := VerifyRoster(bad); err == nil {
			t.Fatalf("byte %d of the signature changed, and nobody sees it", i)
		}
	}
	// A signature over the bytes alone, for another purpose perhaps, is none.
	bare := &identitypb.SignedRoster{Roster: signed.Roster, Signature: ed25519.Sign(site.key(), signed.Roster)}
	if _, err := VerifyRoster(bare); err == nil {
		t.Error("a signature without its domain is accepted")
	}
}

func TestRosterBounds(t *testing.T) {
	site, _, member := testSite(t, 1)
	many := func(n int) []Member {
		out := make([]Member, n)
		for i := range out {
			out[i] = Member{Node: fmt.Sprintf("%032d", i), Key: bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 16), LinkAddress: strings.Repeat("a", 60) + ":14000"}
		}
		return out
	}
	if _, err := site.SignRoster(Roster{SiteName: "hilo", Number: 1, Members: many(MaxMembers)}); err != nil {
		t.Errorf("the largest roster: %v", err)
	}
	with := func(f func(*Member)) []Member { m := member; f(&m); return []Member{m} }
	for name, r := range map[string]Roster{
		"no name":      {Number: 1, Members: []Member{member}},
		"no number":    {SiteName: "hilo", Members: []Member{member}},
		"nobody":       {SiteName: "hilo", Number: 1},
		"too many":     {SiteName: "hilo", Number: 1, Members: many(MaxMembers + 1)},
		"twice":        {SiteName: "hilo", Number: 1, Members: []Member{member, member}},
		"no node id":   {SiteName: "hilo", Number: 1, Members: with(func(m *Member) { m.Node = "" })},
		"long node id": {SiteName: "hilo", Number: 1, Members: with(func(m *Member) { m.Node = strings.Repeat("n", 65) })},
		"short key":    {SiteName: "hilo", Number: 1, Members: with(func(m *Member) { m.Key = m.Key[:31] })},
		"long address": {SiteName: "hilo", Number: 1, Members: with(func(m *Member) { m.LinkAddress = strings.Repeat("a", 256) })},
	} {
		if _, err := site.SignRoster(r); err == nil {
			t.Errorf("%s: signed", name)
		}
		// Signed all the same, as a hostile site would.
		r.Site, r.Identity = site.Site(), site.Public()
		pb := &identitypb.Roster{Site: r.Site.Bytes(), SiteName: r.SiteName, Number: r.Number, IdentityPublic: r.Identity}
		for _, m := range r.Members {
			pb.Members = append(pb.Members, &identitypb.Member{Node: m.Node, PublicKey: m.Key, LinkAddress: m.LinkAddress})
		}
		raw, err := proto.Marshal(pb)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := VerifyRoster(&identitypb.SignedRoster{Roster: raw, Signature: ed25519.Sign(site.key(), signedRosterBytes(raw))}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestVerifyPeer(t *testing.T) {
	site, key, member := testSite(t, 1)
	stranger, strangerKey, strangerMember := testSite(t, 9)
	cert := func(k ed25519.PrivateKey, s *identitypb.SignedRoster) *tls.Certificate {
		t.Helper()
		c, err := NewCertificate(k, s)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	own := cert(key, sign(t, site, Roster{Number: 5, Members: []Member{member}}))
	pins := map[state.SiteID]Pin{site.Site(): {SiteName: "hilo", Identity: site.Public(), RosterNumber: 5}}
	pin := func(id state.SiteID) (Pin, bool) { p, ok := pins[id]; return p, ok }

	info, err := VerifyPeer(own.Certificate, pin)
	if err != nil {
		t.Fatal(err)
	}
	if info.Site != site.Site() || info.SiteName != "hilo" || info.Node != "node-1" || info.RosterNumber != 5 || !info.IdentityPublic.Equal(site.Public()) || !info.Roster.Has("node-1") {
		t.Errorf("the peer is %+v", info)
	}

	// The same id under another identity.
	fake, err := NewSiteIdentityFor(site.Site(), fixed(77))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		certs [][]byte
		kind  PeerErrorKind
		part  string
	}{
		{"none", nil, PeerInvalid, "no certificate"},
		{"garbage", [][]byte{{1, 2, 3}}, PeerInvalid, "decode peer certificate"},
		{"old roster", cert(key, sign(t, site, Roster{Number: 4, Members: []Member{member}})).Certificate, PeerOldRoster, "roster 5 was seen already"},
		{"stranger", cert(strangerKey, sign(t, stranger, Roster{Number: 9, Members: []Member{strangerMember}})).Certificate, PeerUnpaired, "is not paired with this site"},
		{"impostor", cert(key, sign(t, fake, Roster{Number: 9, Members: []Member{member}})).Certificate, PeerImpostor, "another identity key"},
		{"without a roster", plainCertificate(t, key), PeerInvalid, "carries no roster"},
		{"stolen roster", stolenCertificate(t, strangerKey, own), PeerInvalid, "node key is not in roster 5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := VerifyPeer(c.certs, pin)
			pe, ok := errors.AsType[*PeerError](err)
			if !ok || pe.Kind != c.kind || !strings.Contains(pe.Message, c.part) {
				t.Errorf("the error is %v (%+v), want %s and %q", err, pe, c.kind, c.part)
			}
		})
	}
	// A newer roster is welcome.
	if _, err := VerifyPeer(cert(key, sign(t, site, Roster{Number: 6, Members: []Member{member}})).Certificate, pin); err != nil {
		t.Error(err)
	}
	// The same key and roster make the same certificate.
	if again := cert(key, sign(t, site, Roster{Number: 5, Members: []Member{member}})); !bytes.Equal(again.Certificate[0], own.Certificate[0]) {
		t.Error("certificates differ from time to time")
	}
	if _, err := NewCertificate(strangerKey, sign(t, site, Roster{Number: 5, Members: []Member{member}})); err == nil {
		t.Error("a certificate was made for a key that is not in the roster")
	}
}

func TestCredentials(t *testing.T) {
	n, err := OpenNode(t.TempDir(), NodeOptions{SiteName: "hilo"})
	if err != nil {
		t.Fatal(err)
	}
	c := NewCredentials(n)
	if _, err := c.Certificate(); err == nil || c.Roster() != nil {
		t.Error("there is a certificate before there is a roster")
	}
	site, _, member := testSite(t, 1)
	me := Member{Node: n.ID(), Key: n.Public()}
	for number, ok := range map[uint64]bool{3: true} {
		if err := c.SetRoster(sign(t, site, Roster{Number: number, Members: []Member{me, member}})); (err == nil) != ok {
			t.Fatal(err)
		}
	}
	first, err := c.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetRoster(sign(t, site, Roster{Number: 2, Members: []Member{me}})); err == nil {
		t.Error("an older roster is taken")
	}
	if err := c.SetRoster(sign(t, site, Roster{Number: 4, Members: []Member{member}})); err == nil {
		t.Error("a roster without this node is taken")
	}
	other, _, _ := testSite(t, 50)
	if err := c.SetRoster(sign(t, other, Roster{Number: 9, Members: []Member{me}})); err == nil {
		t.Error("another site's roster is taken")
	}
	if now, _ := c.Certificate(); now != first || c.Roster().Number != 3 {
		t.Error("a refused roster changed the credentials")
	}
	if err := c.SetRoster(sign(t, site, Roster{Number: 4, Members: []Member{me}})); err != nil || c.Roster().Number != 4 {
		t.Errorf("a newer roster: %v", err)
	}
}

func TestTokens(t *testing.T) {
	site, _, _ := testSite(t, 1)
	token, err := NewToken(site.Site(), site.Public(), "hilo.example:14000", testTime, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := token.Expires.Sub(testTime); d != 15*time.Minute {
		t.Errorf("it may be used for %v", d)
	}
	text := token.Encode()
	if strings.ContainsAny(text, "+/= \n") {
		t.Errorf("the text %s needs quoting", text)
	}
	for _, form := range []string{text, " " + text + "\n", text[:50] + "\n  " + text[50:]} {
		back, err := ParseToken(form)
		if err != nil {
			t.Fatal(err)
		}
		if back.Site != token.Site || back.Address != token.Address || !back.Identity.Equal(token.Identity) || !back.Expires.Equal(token.Expires) || back.Hash() != token.Hash() {
			t.Errorf("the token came back as %+v", back)
		}
	}
	// Every change of a single character, and every cut, is a mistyped token.
	for i := range text {
		for _, c := range []byte{'A', 'z', '0', '-', '_', '!'} {
			if text[i] == c {
				continue
			}
			if _, err := ParseToken(text[:i] + string(c) + text[i+1:]); !errors.Is(err, ErrTokenText) {
				t.Fatalf("character %d changed to %c: %v", i, c, err)
			}
		}
		if _, err := ParseToken(text[:i]); !errors.Is(err, ErrTokenText) {
			t.Fatalf("cut to %d characters: %v", i, err)
		}
	}
	if _, err := ParseToken(strings.Repeat("A", 1<<20)); !errors.Is(err, ErrTokenText) {
		t.Error("a huge token")
	}
	if _, err := NewToken(site.Site(), site.Public(), "", testTime, nil); err == nil {
		t.Error("a token without an address is made")
	}
}

func TestTokenVersion(t *testing.T) {
	later, err := proto.Marshal(&identitypb.Token{Version: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseToken(tokenText(later)); !errors.Is(err, ErrTokenVersion) {
		t.Errorf("a later version: %v", err)
	}
}

func TestTokenProof(t *testing.T) {
	site, _, _ := testSite(t, 1)
	token, err := NewToken(site.Site(), site.Public(), "h:1", testTime, nil)
	if err != nil {
		t.Fatal(err)
	}
	pub, proof := token.Prove([]byte("this connection"))
	hash, err := VerifyProof(pub, proof, []byte("this connection"))
	if err != nil || hash != token.Hash() {
		t.Errorf("the proof gives %v, %v", hash, err)
	}
	if _, err := VerifyProof(pub, proof, []byte("another connection")); err == nil {
		t.Error("the proof holds for another connection")
	}
	for _, bad := range [][]byte{nil, pub[:31], append(bytes.Clone(pub), 0)} {
		if _, err := VerifyProof(bad, proof, []byte("this connection")); err == nil {
			t.Errorf("a key of %d bytes is accepted", len(bad))
		}
	}
	other, err := NewToken(site.Site(), site.Public(), "h:1", testTime, nil)
	if err != nil {
		t.Fatal(err)
	}
	if other.Hash() == token.Hash() {
		t.Error("two tokens have one hash")
	}
	// What is stored and what is sent does not hold the secret.
	if bytes.Contains(append(append(pub, proof...), token.Encode()[:0]...), token.secret()[:8]) || strings.Contains(token.Hash().String(), fmt.Sprintf("%x", token.secret()[:8])) {
		t.Error("the secret can be read")
	}
}

func TestS3Keys(t *testing.T) {
	seen := make(map[string]bool)
	count := make(map[byte]int)
	for range 500 {
		access, secret, err := NewS3Key(nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(access) != 20 || len(secret) != 40 || seen[access] || seen[secret] {
			t.Fatalf("access key %q, secret of %d characters", access, len(secret))
		}
		seen[access], seen[secret] = true, true
		for i := range access {
			if strings.IndexByte(accessAlphabet, access[i]) < 0 {
				t.Fatalf("access key %q", access)
			}
		}
		for i := range secret {
			count[secret[i]]++
		}
	}
	// 20,000 characters of 62: each about 323 times. A modulo without
	// rejection would draw the first eight a quarter more often.
	for i := range len(secretAlphabet) {
		if n := count[secretAlphabet[i]]; n < 230 || n > 420 {
			t.Errorf("%c was drawn %d times", secretAlphabet[i], n)
		}
	}
	if _, _, err := NewS3Key(bytes.NewReader(nil)); err == nil {
		t.Error("no randomness, and yet a key")
	}
}
