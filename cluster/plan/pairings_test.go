package plan

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// shows is what a site proves in a handshake whose roster has a number.
func shows(site state.SiteID, key byte, number uint64) *identity.PeerInfo {
	roster := &identity.Roster{Site: site, Number: number, Identity: key32(key)}
	return &identity.PeerInfo{Site: site, RosterNumber: number, IdentityPublic: roster.Identity, Roster: roster}
}

func TestRenamePairing(t *testing.T) {
	s := newSite(t)
	s.must(s.pair(peer, "south"))
	s.must(s.pair(far, "east"))
	called := func() string {
		p, _, _ := s.Pairing(peer)
		return PairingName(p)
	}
	s.must(RenamePairing(s.Config, "south", "lahaina"))
	if called() != "lahaina" || SiteName(s.Config, peer) != "lahaina" {
		t.Errorf("renamed to lahaina, called %s", called())
	}
	if _, err := FindPairing(s.Config, "south"); err == nil {
		t.Error("the name from before still leads to it")
	}
	// Pairing anew, and a newer roster, leave the name alone.
	s.must(s.pair(peer, "south"))
	s.must(SeeRoster(s.Config, shows(peer, 2, 7)))
	if called() != "lahaina" {
		t.Errorf("after pairing anew it is called %s", called())
	}
	for _, c := range []struct {
		site, name string
		kind       error
		says       string
	}{
		{"nobody", "x", state.ErrNotFound, "not paired with"},
		{"lahaina", "east", state.ErrConflict, "another paired site is called east"},
		{"lahaina", "north", state.ErrConflict, "this site is called north itself"},
		{"lahaina", "a b", state.ErrInvalid, ""},
	} {
		_, err := RenamePairing(s.Config, c.site, c.name)
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("rename %s %s: %v", c.site, c.name, err)
		}
	}
	if txn, err := RenamePairing(s.Config, "lahaina", "lahaina"); txn != nil || err != nil {
		t.Errorf("the same name: %v, %v", txn, err)
	}
	s.must(RenamePairing(s.Config, peer.String(), ""))
	if called() != "south" {
		t.Errorf("without a name it is called %s", called())
	}
}

func TestFindPairing(t *testing.T) {
	s := newSite(t)
	s.must(s.pair(peer, "twin"))
	s.must(s.pair(far, "twin"))
	if _, err := FindPairing(s.Config, "twin"); !errors.Is(err, state.ErrConflict) {
		t.Errorf("a name that two sites have: %v", err)
	}
	p, err := FindPairing(s.Config, far.String())
	if err != nil || !bytes.Equal(p.GetSite(), far[:]) {
		t.Errorf("by its id: %v, %v", p, err)
	}
}

func TestRevokePairing(t *testing.T) {
	s := newSite(t)
	s.walkThrough()
	s.must(BindPeer(s.Config, "hawaii", peer))
	s.must(RevokePairing(s.Config, "south"))
	if _, _, ok := s.Pairing(peer); ok {
		t.Error("the pairing is still there")
	}
	if service, _, ok := s.Service("hawaii"); !ok || !bytes.Equal(service.GetPeer(), peer[:]) || len(service.GetServes()) == 0 {
		t.Errorf("the link did not stay as it was: %v", service)
	}
	if _, err := RevokePairing(s.Config, "south"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("revoked twice: %v", err)
	}
	s.must(s.pair(peer, "south")) // anew, with any identity
}

// siteKeys is a site whose identity is a real one, and the means to replace it.
func siteKeys(t *testing.T) (*site, func() (NewKeys, *identity.SiteIdentity)) {
	t.Helper()
	present, err := identity.NewSiteIdentityFor(here, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{state.New(), t, &counter{}}
	s.must(Init(s.Config,
		&statepb.Site{Id: here.Bytes(), Name: "north", Created: now.UnixNano(), IdentityPublic: present.Public(), RosterNumber: 1},
		&statepb.Node{Id: "n1", Name: "n1", PublicKey: key32(9)}))
	return s, func() (NewKeys, *identity.SiteIdentity) {
		t.Helper()
		next, err := identity.NewSiteIdentityFor(here, nil)
		if err != nil {
			t.Fatal(err)
		}
		succession, err := present.HandOver(next, NextRoster(s.Config))
		if err != nil {
			t.Fatal(err)
		}
		keys := NewKeys{
			Identity: next.Public(), Sealed: []byte("sealed"), Succession: succession, From: present.Public(),
			Number: NextRoster(s.Config), Node: "n1", NodeKey: next.Public(),
		}
		present = next
		return keys, next
	}
}

func TestRotate(t *testing.T) {
	s, draw := siteKeys(t)
	first, _, _ := s.Site()
	var keys NewKeys
	for range identity.MaxSuccessions + 2 {
		keys, _ = draw()
		s.must(Rotate(s.Config, keys))
	}
	site, _, _ := s.Site()
	if !bytes.Equal(site.GetIdentityPublic(), keys.Identity) || site.GetRosterNumber() != identity.MaxSuccessions+3 {
		t.Errorf("site after rotations: %v", site)
	}
	if n := len(site.GetSuccessions()); n != identity.MaxSuccessions {
		t.Errorf("%d successions are kept", n)
	}
	if !bytes.Equal(s.Nodes()[0].GetPublicKey(), keys.NodeKey) {
		t.Error("the node's key is not replaced")
	}
	roster := &identity.Roster{Site: here, Number: site.GetRosterNumber(), Identity: site.GetIdentityPublic()}
	if identity.Succeeds(roster, first.GetIdentityPublic(), site.GetSuccessions()) == nil {
		t.Error("a peer that was away for too long follows")
	}
	stale := keys
	stale.Number = NextRoster(s.Config)
	stale.From = first.GetIdentityPublic()
	if _, err := Rotate(s.Config, stale); !errors.Is(err, state.ErrConflict) {
		t.Errorf("an identity that was replaced hands over: %v", err)
	}
	keys, _ = draw()
	keys.Node = "n2"
	if _, err := Rotate(s.Config, keys); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("a node that is not there: %v", err)
	}
}

// A paired site that shows an identity to which the pinned one handed over is
// pinned by that; one to which nobody handed over is not.
func TestSeeRosterFollowsASuccession(t *testing.T) {
	theirs, draw := siteKeys(t)
	before, _, _ := theirs.Site()
	keys, _ := draw()
	theirs.must(Rotate(theirs.Config, keys))
	after, _, _ := theirs.Site()

	s := &site{state.New(), t, &counter{}}
	s.must(Init(s.Config, &statepb.Site{Id: peer.Bytes(), Name: "south", Created: now.UnixNano(), IdentityPublic: key32(1)},
		&statepb.Node{Id: "n9", Name: "n9", PublicKey: key32(8)}))
	s.must(Pair(s.Config, &statepb.Pairing{Site: here.Bytes(), SiteName: "north", IdentityPublic: before.GetIdentityPublic(), RosterNumber: 1}, now))
	roster := &identity.Roster{Site: here, Number: after.GetRosterNumber(), Identity: after.GetIdentityPublic()}
	info := &identity.PeerInfo{Site: here, RosterNumber: roster.Number, IdentityPublic: roster.Identity, Roster: roster}
	if _, err := SeeRoster(s.Config, info); !errors.Is(err, state.ErrConflict) {
		t.Errorf("an identity out of nothing: %v", err)
	}
	info.Successions = after.GetSuccessions()
	s.must(SeeRoster(s.Config, info))
	p, _, _ := s.Pairing(here)
	if !bytes.Equal(p.GetIdentityPublic(), after.GetIdentityPublic()) || p.GetRosterNumber() != 2 {
		t.Errorf("pairing after the rotation: %v", p)
	}
}

func TestTogether(t *testing.T) {
	ours := Together(here, key32(1), peer, key32(2))
	if !regexp.MustCompile(`^\d{5}( \d{5}){11}$`).MatchString(ours) {
		t.Errorf("not twelve groups of five digits: %q", ours)
	}
	if theirs := Together(peer, key32(2), here, key32(1)); theirs != ours {
		t.Errorf("the other site shows %s, not %s", theirs, ours)
	}
	for name, other := range map[string]string{
		"another key":    Together(here, key32(1), peer, key32(3)),
		"keys exchanged": Together(here, key32(2), peer, key32(1)),
		"another site":   Together(here, key32(1), far, key32(2)),
	} {
		if other == ours {
			t.Errorf("%s: the number is the same", name)
		}
	}
}
