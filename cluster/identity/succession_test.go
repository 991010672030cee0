package identity

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"testing"

	"edgefog.dev/isgw/raftfsm/state"
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/identity/identitypb"
)

// chainOf replaces a site's identity n times; rosters begin at number 1, and
// each replacement raises it.
func chainOf(t *testing.T, n int) (ids []*SiteIdentity, chain [][]byte) {
	t.Helper()
	first, _, _ := testSite(t, 10)
	ids = append(ids, first)
	for i := range n {
		next, err := NewSiteIdentityFor(first.Site(), fixed(byte(100+i)))
		if err != nil {
			t.Fatal(err)
		}
		link, err := ids[i].HandOver(next, uint64(i+2))
		if err != nil {
			t.Fatal(err)
		}
		ids, chain = append(ids, next), append(chain, link)
	}
	return ids, chain
}

func TestSucceeds(t *testing.T) {
	ids, chain := chainOf(t, 3)
	_, _, member := testSite(t, 10)
	stranger, err := NewSiteIdentityFor(ids[0].Site(), fixed(77))
	if err != nil {
		t.Fatal(err)
	}
	stolen, err := stranger.HandOver(ids[3], 2) // by somebody who is no identity of the site
	if err != nil {
		t.Fatal(err)
	}
	forged := func(change func(*identitypb.Succession, *identitypb.SuccessionStatement)) []byte {
		var s identitypb.Succession
		var st identitypb.SuccessionStatement
		if err := errors.Join(proto.Unmarshal(chain[0], &s), proto.Unmarshal(s.GetStatement(), &st)); err != nil {
			t.Fatal(err)
		}
		change(&s, &st)
		raw, err := proto.Marshal(&s)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for _, c := range []struct {
		name   string
		signer *SiteIdentity
		number uint64
		pinned ed25519.PublicKey
		chain  [][]byte
		good   bool
	}{
		{"the pinned one", ids[0], 1, ids[0].Public(), nil, true},
		{"the pinned one needs no chain, whatever comes with it", ids[0], 1, ids[0].Public(), [][]byte{{1, 2, 3}}, true},
		{"one step", ids[1], 2, ids[0].Public(), chain[:1], true},
		{"three steps", ids[3], 4, ids[0].Public(), chain, true},
		{"what came before the pin is passed over", ids[3], 9, ids[2].Public(), chain, true},
		{"no chain", ids[1], 2, ids[0].Public(), nil, false},
		{"a step is missing", ids[3], 4, ids[0].Public(), [][]byte{chain[0], chain[2]}, false},
		{"not in order", ids[2], 4, ids[0].Public(), [][]byte{chain[1], chain[0]}, false},
		{"back to an identity that was replaced", ids[0], 4, ids[1].Public(), chain, false},
		{"a stranger hands over", ids[3], 4, ids[0].Public(), [][]byte{stolen}, false},
		{"a roster from before", ids[1], 1, ids[0].Public(), chain[:1], false},
		{"not the old signature", ids[1], 2, ids[0].Public(), [][]byte{forged(func(s *identitypb.Succession, _ *identitypb.SuccessionStatement) {
			s.SignatureFrom = s.GetSignatureTo()
		})}, false},
		{"not the new signature", ids[1], 2, ids[0].Public(), [][]byte{forged(func(s *identitypb.Succession, _ *identitypb.SuccessionStatement) {
			s.SignatureTo = s.GetSignatureFrom()
		})}, false},
		{"a statement of another site", ids[1], 2, ids[0].Public(), [][]byte{forged(func(s *identitypb.Succession, st *identitypb.SuccessionStatement) {
			st.Site = state.SiteID{9}.Bytes()
			s.Statement, _ = proto.Marshal(st)
		})}, false},
		{"rubbish", ids[1], 2, ids[0].Public(), [][]byte{bytes.Repeat([]byte{0xff}, 40)}, false},
		{"too long", ids[1], 2, ids[0].Public(), [][]byte{make([]byte, maxSuccession+1)}, false},
		{"too many", ids[3], 4, ids[0].Public(), slices.Repeat(chain, 6), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			roster, err := VerifyRoster(sign(t, c.signer, Roster{Number: c.number, Members: []Member{member}}))
			if err != nil {
				t.Fatal(err)
			}
			if err := Succeeds(roster, c.pinned, c.chain); (err == nil) != c.good {
				t.Errorf("good %v, got %v", c.good, err)
			}
		})
	}
}

func TestHandOverRefuses(t *testing.T) {
	ids, _ := chainOf(t, 0)
	other, _, _ := testSite(t, 40)
	if _, err := ids[0].HandOver(other, 2); err == nil {
		t.Error("an identity hands over to another site's")
	}
	if _, err := ids[0].HandOver(ids[0], 2); err == nil {
		t.Error("an identity hands over to itself")
	}
}

// A peer that pinned the first identity believes a certificate of the third, and
// one that pinned the third does not believe the first any more.
func TestPeersFollowASuccession(t *testing.T) {
	ids, chain := chainOf(t, 2)
	_, key, member := testSite(t, 10)
	shown := func(id *SiteIdentity, number uint64, chain [][]byte) [][]byte {
		signed := sign(t, id, Roster{Number: number, Members: []Member{member}})
		signed.Successions = chain
		cert, err := NewCertificate(key, signed)
		if err != nil {
			t.Fatal(err)
		}
		return cert.Certificate
	}
	pin := func(id *SiteIdentity, number uint64) func(state.SiteID) (Pin, bool) {
		return func(state.SiteID) (Pin, bool) { return Pin{Identity: id.Public(), RosterNumber: number}, true }
	}
	peer, err := VerifyPeer(shown(ids[2], 3, chain), pin(ids[0], 1))
	if err != nil {
		t.Fatal(err)
	}
	if !peer.IdentityPublic.Equal(ids[2].Public()) {
		t.Error("the peer's identity is not the one that it shows")
	}
	_, err = VerifyPeer(shown(ids[0], 4, nil), pin(ids[2], 3))
	if refused, ok := errors.AsType[*PeerError](err); !ok || refused.Kind != PeerImpostor {
		t.Errorf("the identity that was replaced: %v", err)
	}
}

func TestCredentialsFollowASuccession(t *testing.T) {
	node, err := OpenNode(t.TempDir(), NodeOptions{SiteName: "hilo"})
	if err != nil {
		t.Fatal(err)
	}
	ids, chain := chainOf(t, 1)
	stranger, err := NewSiteIdentityFor(ids[0].Site(), fixed(77))
	if err != nil {
		t.Fatal(err)
	}
	member := Member{Node: node.ID(), Key: node.Public()}
	signed := func(id *SiteIdentity, number uint64, chain [][]byte) *identitypb.SignedRoster {
		s := sign(t, id, Roster{Number: number, Members: []Member{member}})
		s.Successions = chain
		return s
	}
	c := NewCredentials(node)
	if err := c.SetRoster(signed(ids[0], 1, nil)); err != nil {
		t.Fatal(err)
	}
	if err := c.SetRoster(signed(stranger, 2, chain)); err == nil {
		t.Error("an identity that nobody handed over to is taken")
	}
	if err := c.SetRoster(signed(ids[1], 2, chain)); err != nil {
		t.Error(err)
	}
}

// A node's key is replaced in two steps, and a crash between them loses none.
func TestTakeKey(t *testing.T) {
	dir := t.TempDir()
	open := func() *Node {
		t.Helper()
		n, err := OpenNode(dir, NodeOptions{SiteName: "hilo"})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := open()
	first := n.Public()
	drawn, err := n.DrawKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if drawn.Equal(first) || !n.Public().Equal(first) {
		t.Error("the drawn key is in use already, or is the old one")
	}
	n = open() // a crash before the site knows it: the drawn key is still there
	again, err := n.DrawKey(nil)
	if err != nil || !again.Equal(drawn) {
		t.Errorf("after a crash another key is drawn: %v", err)
	}
	if err := n.TakeKey(first); err != nil {
		t.Errorf("the key in use: %v", err)
	}
	n = open() // a crash after the site knows it
	if err := n.TakeKey(drawn); err != nil || !n.Public().Equal(drawn) {
		t.Errorf("the drawn key is not taken: %v", err)
	}
	n = open()
	if !n.Public().Equal(drawn) {
		t.Error("the taken key is not durable")
	}
	if err := n.TakeKey(first); err == nil {
		t.Error("the key before is taken again")
	}
}
