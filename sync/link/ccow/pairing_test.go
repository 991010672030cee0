package ccow

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/cluster/identity/identitypb"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"google.golang.org/protobuf/proto"
)

// invite makes a token of a site and has the site honour it once.
func (s *site) invite(t *testing.T) *identity.Token {
	t.Helper()
	token, err := identity.NewToken(s.id.Site(), s.id.Public(), s.addr, time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	open := map[identity.TokenHash]bool{token.Hash(): true}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pair = func(_ context.Context, r PairRequest) (PairReply, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !open[r.TokenHash] {
			return PairReply{}, link.Refuse(link.CodeInvalid, "this token was used already, or never made")
		}
		delete(open, r.TokenHash)
		if r.LinkAddress == "fail:1" {
			return PairReply{}, errors.New("the disk is full")
		}
		s.pins[r.Peer.Site] = identity.Pin{SiteName: r.Peer.SiteName, Identity: r.Peer.IdentityPublic, RosterNumber: r.Peer.RosterNumber}
		return PairReply{LinkAddress: "far.example:14000 for " + r.LinkAddress}, nil
	}
	return token
}

func TestPairing(t *testing.T) {
	t.Parallel()
	near, far := newSite(t, "near", nil), newSite(t, "far", nil)
	token := far.invite(t)
	far.serve("hawaii", greeter())
	got, err := near.ep.Pair(background(t), token, "near.example:14000")
	if err != nil {
		t.Fatal(err)
	}
	if got.Peer.Site != far.id.Site() || got.Peer.SiteName != "far" || !got.Peer.IdentityPublic.Equal(far.id.Public()) || got.LinkAddress != "far.example:14000 for near.example:14000" {
		t.Errorf("paired with %+v at %q", got.Peer, got.LinkAddress)
	}
	if p, ok := far.Pin(near.id.Site()); !ok || p.SiteName != "near" || !bytes.Equal(p.Identity, near.id.Public()) {
		t.Errorf("the inviting site pinned %+v", p)
	}
	near.pin(far)
	if err := served(background(t), client(t, near, far, nil)); err != nil {
		t.Errorf("after pairing: %v", err)
	}
	_, err = near.ep.Pair(background(t), token, "")
	wantRefused(t, err, link.CodeInvalid, "was used already")
}

func TestPairingRefused(t *testing.T) {
	t.Parallel()
	near, far := newSite(t, "near", nil), newSite(t, "far", nil)
	token := far.invite(t)
	other := newSite(t, "other", nil)
	ctx := background(t)

	made, err := identity.NewToken(far.id.Site(), far.id.Public(), far.addr, time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = near.ep.Pair(ctx, made, "")
	wantRefused(t, err, link.CodeInvalid, "never made")

	// Another site at the token's address, and one that claims to be far.
	wrong, err := identity.NewToken(far.id.Site(), far.id.Public(), other.addr, time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = near.ep.Pair(ctx, wrong, "")
	wantFault(t, err, link.FaultIdentity, "answered as site other")
	wrong, err = identity.NewToken(far.id.Site(), other.id.Public(), far.addr, time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = near.ep.Pair(ctx, wrong, "")
	wantFault(t, err, link.FaultIdentity, "another identity key")

	_, err = far.ep.Pair(ctx, token, "")
	wantFault(t, err, link.FaultIdentity, "is of this site itself")
	_, err = near.ep.Pair(ctx, token, "fail:1")
	wantRefused(t, err, link.CodeInternal, "its log says how")
	if !far.log.has("the disk is full") {
		t.Error("the failure is not logged")
	}

	// A site that takes no pairings does not speak the protocol for it.
	closed := newSite(t, "closed", func(o *Options) { o.Pair = nil })
	made, err = identity.NewToken(closed.id.Site(), closed.id.Public(), closed.addr, time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = near.ep.Pair(ctx, made, "")
	wantFault(t, err, link.FaultProtocol, "does not accept pairings")
	far.stop()
	_, err = near.ep.Pair(ctx, token, "")
	wantFault(t, err, link.FaultUnreachable, "no site listens there")
}

// TestPairingReplay shows a request that was good on one connection on another
// one, and as another site.
func TestPairingReplay(t *testing.T) {
	t.Parallel()
	near, far := newSite(t, "near", nil), newSite(t, "far", nil)
	thief := newSite(t, "thief", nil)
	token := far.invite(t)
	send := func(from *site, change func(*identitypb.PairRequest)) (reply string, req *identitypb.PairRequest) {
		c := rawDial(t, from, far.addr, alpnPair)
		self, err := from.ep.self()
		if err != nil {
			t.Fatal(err)
		}
		peer, err := far.ep.self()
		if err != nil {
			t.Fatal(err)
		}
		script, err := transcript(c.Conn, self, peer)
		if err != nil {
			t.Fatal(err)
		}
		req = &identitypb.PairRequest{Version: pairVersion}
		req.TokenPublic, req.Proof = token.Prove(script)
		if change != nil {
			change(req)
		}
		if err := writeMessage(c, req); err != nil {
			t.Fatal(err)
		}
		return string(c.ended()), req
	}
	// What the thief saw of near's request it sends as its own.
	_, seen := send(near, func(r *identitypb.PairRequest) { r.Version = 99 }) // refused before the token is used
	for _, from := range []*site{near, thief} {
		reply, _ := send(from, func(r *identitypb.PairRequest) { r.Proof = bytes.Clone(seen.Proof) })
		if !strings.Contains(reply, "does not hold for this connection") {
			t.Errorf("a replay by %s is answered with %q", from.name, reply)
		}
	}
	if _, ok := far.Pin(thief.id.Site()); ok {
		t.Error("the thief is paired")
	}
	for name, change := range map[string]func(*identitypb.PairRequest){
		"known to site far: upgrade": func(r *identitypb.PairRequest) { r.Version = 2 },
		"longer than 255 bytes":      func(r *identitypb.PairRequest) { r.LinkAddress = strings.Repeat("a", 300) },
		"does not hold":              func(r *identitypb.PairRequest) { r.TokenPublic = nil },
	} {
		if reply, _ := send(near, change); !strings.Contains(reply, name) {
			t.Errorf("the answer is %q, without %q", reply, name)
		}
	}
	c := rawDial(t, near, far.addr, alpnPair)
	c.say("%s", frame(1, maxOpening+1, strings.Repeat("x", maxOpening+1)))
	if got := string(c.ended()); !strings.Contains(got, "are more than 65536") {
		t.Errorf("a huge request is answered with %q", got)
	}
	if reply, _ := send(near, nil); !strings.Contains(reply, "far.example:14000") {
		t.Errorf("the good request is answered with %q", reply)
	}
}

// TestPairingReplyBounds answers a pairing as no site does.
func TestPairingReplyBounds(t *testing.T) {
	t.Parallel()
	near, far := newSite(t, "near", nil), newSite(t, "far", nil)
	long, err := proto.Marshal(&identitypb.PairReply{LinkAddress: strings.Repeat("a", 300)})
	if err != nil {
		t.Fatal(err)
	}
	refusal, err := proto.Marshal(&linkpb.Refusal{Code: "invalid", Message: "the token has expired"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		answer string
		cause  string
	}{
		{frame(1, uint32(len(long)), string(long)), string(link.FaultProtocol)},
		{frame(2, 0, ""), ""},
		{frame(1, 1<<31, ""), ""},
		{"", string(link.FaultBroken)},
		{frame(3, uint32(len(refusal)), string(refusal)), string(link.CodeInvalid)},
	} {
		address := rawPairServer(t, far, c.answer)
		token, err := identity.NewToken(far.id.Site(), far.id.Public(), address, time.Now(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = near.ep.Pair(background(t), token, "")
		if err == nil || c.cause != "" && link.Cause(err) != c.cause {
			t.Errorf("%q gives %v", c.answer, err)
		}
	}
}
