package ccow

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/blake3"
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/cluster/identity/identitypb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// testdata/pairing-1.txt is how two sites come to know each other in protocol version
// 1: the certificates that they show, before and after one of them has replaced its
// keys, a token, and what is said inside TLS on the connection that brings it. The keys
// are always the same. What depends on the TLS session, which never is, is the proof
// alone: it is 64 zero bytes in the recording, and made and checked here without the
// code that is tested.
const pairingFile = "testdata/pairing-1.txt"

// The names of what is recorded of a pairing.
const (
	nearCertificate    = "certificate of near"
	farCertificate     = "certificate of far"
	rotatedCertificate = "certificate of far after it has replaced its keys"
	goldenToken        = "token"
	goldenPair         = "pair"
	goldenPairAgain    = "pair again"
	goldenPaired       = "opening between the sites"
)

// Where far is, and where near is, by their own word.
const (
	farAddress  = "far.example:14000"
	nearAddress = "near.example:14000"
)

// always is a source of randomness that has one byte only.
type always byte

func (a always) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(a)
	}
	return len(p), nil
}

// pairingSite is a site whose keys are always the same.
func pairingSite(t *testing.T, n byte, name string, change func(*Options)) *site {
	t.Helper()
	s := &site{name: name, pins: make(map[state.SiteID]identity.Pin), services: make(map[string]link.Source)}
	var err error
	if s.id, err = identity.NewSiteIdentityFor(state.SiteID{0: 0x51, 15: n}, always(n)); err != nil {
		t.Fatal(err)
	}
	if s.node, err = identity.OpenNode(t.TempDir(), identity.NodeOptions{SiteName: name, Rand: always(0x10 + n)}); err != nil {
		t.Fatal(err)
	}
	s.cred = identity.NewCredentials(s.node)
	if err := s.cred.SetRoster(s.roster(t, 1, s.member())); err != nil {
		t.Fatal(err)
	}
	s.start(t, change)
	return s
}

// rotate gives a site the second of its identities and node keys.
func (s *site) rotate(t *testing.T) {
	t.Helper()
	next, err := identity.NewSiteIdentityFor(s.id.Site(), always(0x22))
	if err != nil {
		t.Fatal(err)
	}
	succession, err := s.id.HandOver(next, 2)
	if err != nil {
		t.Fatal(err)
	}
	s.id = next
	signed := s.roster(t, 2, s.member())
	signed.Successions = [][]byte{succession}
	if err := s.cred.SetRoster(signed); err != nil {
		t.Fatal(err)
	}
}

// shows is a node's certificate as it was recorded.
func shows(s *site, session map[string]exchange, name string) *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{session[name].asked}, PrivateKey: s.node.Key()}
}

// certified is what a recorded certificate carries: its extension, taken out without
// the code that is tested, and the roster in it.
func certified(t *testing.T, der []byte) (signed *identitypb.SignedRoster, roster *identitypb.Roster) {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range cert.Extensions {
		if e.Id.String() != "2.25.1769170807.1" {
			continue
		}
		var raw []byte
		if rest, err := asn1.Unmarshal(e.Value, &raw); err != nil || len(rest) > 0 || e.Critical {
			t.Fatalf("the extension is no octet string, or critical: %v", err)
		}
		signed, roster = new(identitypb.SignedRoster), new(identitypb.Roster)
		if err := errors.Join(proto.Unmarshal(raw, signed), proto.Unmarshal(signed.GetRoster(), roster)); err != nil {
			t.Fatal(err)
		}
		return signed, roster
	}
	t.Fatal("the certificate has no roster")
	return nil, nil
}

// scriptOf is what the proof of a pairing signs, as version 1 has it.
func scriptOf(t *testing.T, c *tls.Conn, session map[string]exchange) []byte {
	t.Helper()
	cs := c.ConnectionState()
	exported, err := cs.ExportKeyingMaterial("EXPORTER-isgw-pair-1", nil, 32)
	if err != nil {
		t.Error(err)
		return nil
	}
	out := append([]byte("isgw pairing 1\x00"), exported...)
	for _, name := range []string{nearCertificate, farCertificate} {
		_, r := certified(t, session[name].asked)
		out = append(append(out, r.GetSite()...), r.GetIdentityPublic()...)
	}
	return out
}

// goldenTokenKey is the key pair that version 1 makes of the recorded token's secret.
func goldenTokenKey() ed25519.PrivateKey {
	seed := make([]byte, 32)
	blake3.DeriveKey("isgw 2026 pairing token key", bytes.Repeat([]byte{3}, 20), seed)
	return ed25519.NewKeyFromSeed(seed)
}

// noProof stands in the recording for the proof of a pairing, whose place in the
// request it marks.
var noProof = append([]byte{0x1a, 64}, make([]byte, ed25519.SignatureSize)...)

// proved is the recorded request of a pairing with the proof for a connection.
func proved(t *testing.T, asked []byte, proof []byte) []byte {
	t.Helper()
	if bytes.Count(asked, noProof) != 1 {
		t.Fatalf("the recorded request %q has no place for a proof", asked)
	}
	return bytes.Replace(asked, noProof, append([]byte{0x1a, 64}, proof...), 1)
}

// pairingSites are the two sites of the recording, which is read, or made with
// -record. What near dials comes to *address.
func pairingSites(t *testing.T) (near, far *site, address *string, session map[string]exchange) {
	t.Helper()
	address = new(string)
	near = pairingSite(t, 1, "near", func(o *Options) {
		o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, *address)
		}
	})
	far = pairingSite(t, 2, "far", nil)
	*address = far.addr
	session = readGolden(t, pairingFile)
	if *record && len(session) == 0 {
		recordPairing(t, near, far, session)
		writeGolden(t, pairingFile, session)
	}
	return near, far, address, session
}

// recordPairing makes the recording.
func recordPairing(t *testing.T, near, far *site, session map[string]exchange) {
	t.Helper()
	certificate := func(s *site, name string) {
		cert, err := s.cred.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		session[name] = exchange{asked: cert.Certificate[0]}
	}
	frameOf := func(kind frameKind, m proto.Message) []byte {
		b, err := appendMessage(nil, kind, m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	certificate(near, nearCertificate)
	certificate(far, farCertificate)
	token, err := identity.NewToken(far.id.Site(), far.id.Public(), farAddress, time.Unix(1_700_000_000, 0), always(3))
	if err != nil {
		t.Fatal(err)
	}
	session[goldenToken] = exchange{asked: []byte(token.Encode())}
	pub, _ := token.Prove(nil)
	asked := frameOf(frameMessage, &identitypb.PairRequest{Version: 1, TokenPublic: pub, Proof: make([]byte, ed25519.SignatureSize), LinkAddress: nearAddress})
	session[goldenPair] = exchange{asked: asked, answered: frameOf(frameMessage, &identitypb.PairReply{LinkAddress: farAddress})}
	session[goldenPairAgain] = exchange{asked: asked, answered: frameOf(frameRefusal, &linkpb.Refusal{Code: "invalid", Message: "this token was used already"})}
	session[goldenPaired] = exchange{asked: frameOf(frameMessage, &linkpb.Opening{Service: "hawaii"}), answered: frameOf(frameMessage, &linkpb.OpeningReply{})}
	other := pairingSite(t, 2, "far", nil)
	other.rotate(t)
	certificate(other, rotatedCertificate)
}

// TestGoldenIdentities makes the recorded certificates and the token again from their
// keys: rosters, successions and signatures are the same byte by byte, and what was
// recorded is believed.
func TestGoldenIdentities(t *testing.T) {
	near, far, _, session := pairingSites(t)
	pins := map[state.SiteID]identity.Pin{near.id.Site(): {Identity: near.id.Public()}, far.id.Site(): {Identity: far.id.Public()}}
	check := func(s *site, name string) {
		t.Helper()
		der := session[name].asked
		want, roster := certified(t, der)
		cert, err := s.cred.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := certified(t, cert.Certificate[0]); !proto.Equal(got, want) {
			t.Errorf("%s: the extension is %v, want %v", name, got, want)
		}
		if !ed25519.Verify(roster.GetIdentityPublic(), append([]byte("isgw roster 1\x00"), want.GetRoster()...), want.GetSignature()) {
			t.Errorf("%s: the recorded roster is not signed as version 1 signs", name)
		}
		peer, err := identity.VerifyPeer([][]byte{der}, func(id state.SiteID) (identity.Pin, bool) { p, ok := pins[id]; return p, ok })
		if err != nil || peer.Site != s.id.Site() || peer.SiteName != s.name || !peer.IdentityPublic.Equal(s.id.Public()) || peer.RosterNumber != roster.GetNumber() {
			t.Errorf("%s: the peer is %+v: %v", name, peer, err)
		}
	}
	check(near, nearCertificate)
	check(far, farCertificate)
	old := far.id.Public()
	far.rotate(t)
	check(far, rotatedCertificate) // its pin is that of the keys before

	signed, _ := certified(t, session[rotatedCertificate].asked)
	var succession identitypb.Succession
	var statement identitypb.SuccessionStatement
	if len(signed.GetSuccessions()) != 1 {
		t.Fatalf("the rotated certificate has %d successions", len(signed.GetSuccessions()))
	}
	if err := errors.Join(proto.Unmarshal(signed.GetSuccessions()[0], &succession), proto.Unmarshal(succession.GetStatement(), &statement)); err != nil {
		t.Fatal(err)
	}
	text := append([]byte("isgw succession 1\x00"), succession.GetStatement()...)
	if !bytes.Equal(statement.GetFrom(), old) || !bytes.Equal(statement.GetTo(), far.id.Public()) || statement.GetNumber() != 2 ||
		!ed25519.Verify(statement.GetFrom(), text, succession.GetSignatureFrom()) || !ed25519.Verify(statement.GetTo(), text, succession.GetSignatureTo()) {
		t.Errorf("the succession is %v", &statement)
	}

	text = session[goldenToken].asked
	token, err := identity.ParseToken(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if token.Site != far.id.Site() || !token.Identity.Equal(ed25519.PublicKey(old)) || token.Address != farAddress || token.Expires.Unix() != 1_700_000_000+15*60 {
		t.Errorf("the token is understood as %v at %s until %v", token.Site, token.Address, token.Expires)
	}
	if token.Encode() != string(text) {
		t.Errorf("the token is written as %s, want %s", token.Encode(), text)
	}
	if want := blake3.Sum256(goldenTokenKey().Public().(ed25519.PublicKey)); token.Hash() != want {
		t.Errorf("the token's hash is %v, want %x", token.Hash(), want)
	}
}

// TestGoldenPairingServer brings the recorded token to the present server as a site of
// version 1 did, and demands the answers that it got.
func TestGoldenPairingServer(t *testing.T) {
	near, far, _, session := pairingSites(t)
	_, roster := certified(t, session[nearCertificate].asked)
	hash := blake3.Sum256(goldenTokenKey().Public().(ed25519.PublicKey))
	used := false
	far.mu.Lock()
	far.pair = func(_ context.Context, r PairRequest) (PairReply, error) {
		far.mu.Lock()
		defer far.mu.Unlock()
		if r.TokenHash != hash || r.LinkAddress != nearAddress || r.Peer.SiteName != "near" || !bytes.Equal(r.Peer.IdentityPublic, roster.GetIdentityPublic()) {
			t.Errorf("the request is understood as %+v", r)
		}
		if used {
			return PairReply{}, link.Refuse(link.CodeInvalid, "this token was used already")
		}
		used = true
		return PairReply{LinkAddress: farAddress}, nil
	}
	far.mu.Unlock()
	for _, name := range []string{goldenPair, goldenPairAgain} {
		c := rawDialWith(t, shows(near, session, nearCertificate), new(net.Dialer).DialContext, far.addr, goldenPairALPN)
		proof := ed25519.Sign(goldenTokenKey(), scriptOf(t, c.Conn, session))
		_, _ = c.Write(proved(t, session[name].asked, proof))
		sameFrames(t, frames(t, bytes.NewReader(c.ended())), frames(t, bytes.NewReader(session[name].answered)), func() proto.Message { return new(identitypb.PairReply) })
	}
	// With a proof that was made for another session there is no pairing.
	far.mu.Lock()
	used = false
	far.mu.Unlock()
	c := rawDialWith(t, shows(near, session, nearCertificate), new(net.Dialer).DialContext, far.addr, goldenPairALPN)
	_, _ = c.Write(session[goldenPair].asked)
	if got := string(c.ended()); !strings.HasPrefix(got, "\x03") || !strings.Contains(got, "does not hold") {
		t.Errorf("a request without a proof is answered with %q", got)
	}
	far.mu.Lock()
	defer far.mu.Unlock()
	if used {
		t.Error("a request without a proof used the token up")
	}
}

// TestGoldenPairingClient lets the present client bring the recorded token to a site
// of version 1, whose answers are recorded.
func TestGoldenPairingClient(t *testing.T) {
	near, far, address, session := pairingSites(t)
	token, err := identity.ParseToken(string(session[goldenToken].asked))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{goldenPair, goldenPairAgain} {
		e := session[name]
		config := &tls.Config{NextProtos: []string{goldenPairALPN}, Certificates: []tls.Certificate{*shows(far, session, farCertificate)}}
		*address = rawListenWith(t, config, func(c rawConn) {
			asked := make([]byte, len(e.asked))
			if _, err := io.ReadFull(c, asked); err != nil {
				t.Errorf("%s: read the request: %v", name, err)
				return
			}
			at := bytes.Index(e.asked, noProof) + 2
			proof := bytes.Clone(asked[at : at+ed25519.SignatureSize])
			if !bytes.Equal(asked, proved(t, e.asked, proof)) {
				t.Errorf("%s: the request is %q, want %q", name, asked, e.asked)
			}
			if !ed25519.Verify(goldenTokenKey().Public().(ed25519.PublicKey), scriptOf(t, c.Conn, session), proof) {
				t.Errorf("%s: the proof does not hold", name)
			}
			_, _ = c.Write(e.answered)
		})
		got, err := near.ep.Pair(background(t), token, nearAddress)
		if name == goldenPairAgain {
			wantRefused(t, err, link.CodeInvalid, "used already")
			continue
		}
		if err != nil || got.LinkAddress != farAddress || got.Peer.Site != far.id.Site() || got.Peer.SiteName != "far" || !got.Peer.IdentityPublic.Equal(far.id.Public()) {
			t.Errorf("paired with %+v: %v", got, err)
		}
	}
}

// TestGoldenSuccession has a site of version 1 replace its keys, as it dials and as it
// is dialled: a present site that had pinned the keys before follows, and does not
// believe them afterwards.
func TestGoldenSuccession(t *testing.T) {
	near, far, address, session := pairingSites(t)
	near.serve("hawaii", goldenSource("served"))
	_, roster := certified(t, session[rotatedCertificate].asked)
	opening := session[goldenPaired]
	dial := func(name string) rawConn {
		t.Helper()
		c := rawDialWith(t, shows(far, session, name), new(net.Dialer).DialContext, near.addr, goldenLinkALPN)
		_, _ = c.Write(opening.asked)
		return c
	}
	welcome := func(name string) rawConn {
		t.Helper()
		c := dial(name)
		reply := make([]byte, len(opening.answered))
		if _, err := io.ReadFull(c, reply); err != nil || !bytes.Equal(reply, opening.answered) {
			t.Fatalf("%s: the opening is answered with %q: %v", name, reply, err)
		}
		return c
	}
	near.pin(far)
	welcome(farCertificate)
	welcome(rotatedCertificate)
	seen := near.handshakes()
	last := seen[len(seen)-1]
	if !last.IdentityPublic.Equal(ed25519.PublicKey(roster.GetIdentityPublic())) || last.RosterNumber != 2 {
		t.Fatalf("near was told of %+v", last)
	}

	answer := session[goldenPaired].answered
	config := &tls.Config{NextProtos: []string{goldenLinkALPN}, Certificates: []tls.Certificate{*shows(far, session, rotatedCertificate)}}
	hello := readGolden(t, goldenFile)["served"].answered
	*address = rawListenWith(t, config, func(c rawConn) {
		_, _ = c.Write(append(bytes.Clone(answer), hello...))
		_, _ = io.Copy(io.Discard, c)
	})
	if list, err := client(t, near, far, nil).Served(background(t)); err != nil || !proto.Equal(list, said.served) {
		t.Errorf("a site that has replaced its keys lists %v: %v", list, err)
	}

	// near goes over to the key after, as its config does with what it saw.
	near.mu.Lock()
	near.pins[far.id.Site()] = identity.Pin{SiteName: "far", Identity: last.IdentityPublic, RosterNumber: last.RosterNumber}
	near.mu.Unlock()
	welcome(rotatedCertificate)
	wantAlert(t, dial(farCertificate))
	config = &tls.Config{NextProtos: []string{goldenLinkALPN}, Certificates: []tls.Certificate{*shows(far, session, farCertificate)}}
	*address = rawListenWith(t, config, func(c rawConn) { _, _ = io.Copy(io.Discard, c) })
	_, err := client(t, near, far, nil).Served(background(t))
	wantFault(t, err, link.FaultIdentity, "another identity key")
}

// wantAlert reads how version 1 says that it does not believe the one who dials: the
// alert bad_certificate (42), in place of the answer to the opening.
func wantAlert(t *testing.T, c rawConn) {
	t.Helper()
	_, err := io.ReadFull(c, make([]byte, 1))
	if remote, ok := errors.AsType[*net.OpError](err); !ok || remote.Op != "remote error" || !strings.Contains(remote.Err.Error(), "bad certificate") {
		t.Errorf("the handshake ends with %v, want the alert bad_certificate", err)
	}
}

// TestGoldenRevocation ends a pairing with a site of version 1 that has a connection
// open, and lets it come again; and comes to one that has ended the pairing.
func TestGoldenRevocation(t *testing.T) {
	near, far, address, session := pairingSites(t)
	near.serve("hawaii", goldenSource("served"))
	near.pin(far)
	opening := session[goldenPaired]
	cert := shows(far, session, farCertificate)
	c := rawDialWith(t, cert, new(net.Dialer).DialContext, near.addr, goldenLinkALPN)
	_, _ = c.Write(opening.asked)
	if _, err := io.ReadFull(c, make([]byte, len(opening.answered))); err != nil {
		t.Fatal(err)
	}
	near.unpin(far)
	if got := c.ended(); len(got) > 0 {
		t.Errorf("after the revocation the connection says %q", got)
	}
	c = rawDialWith(t, cert, new(net.Dialer).DialContext, near.addr, goldenLinkALPN)
	_, _ = c.Write(opening.asked)
	wantAlert(t, c)

	near.pin(far)
	config := &tls.Config{NextProtos: []string{goldenLinkALPN}, Certificates: []tls.Certificate{*cert},
		VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error { return errors.New("not paired") }} // bad_certificate
	*address = rawListenWith(t, config, func(c rawConn) { _ = c.Handshake() })
	_, err := client(t, near, far, nil).Served(background(t))
	wantFault(t, err, link.FaultNotPaired, "does not accept this site")
}
