package testenv

import (
	"fmt"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// pin is how a site knows another one.
func (e *Env) pin(s *Site, name string) *adminpb.Pairing {
	e.t.Helper()
	pairings, err := s.Admin.Sites.Pairings(e.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	for _, p := range pairings {
		if p.GetSiteName() == name {
			return p
		}
	}
	return nil
}

// TestRevoke ends a pairing while a link is at work: what is open is closed at
// once, nothing crosses any more in either direction, both sites say why, and a
// new pairing goes on where the link was.
func TestRevoke(t *testing.T) {
	t.Parallel()
	e, a, b, l := twoSites(t, SiteOptions{})
	e.mustPut(a, "before", []byte("1"))
	l.WaitSynced()

	revoked, err := a.Admin.Pairings.Revoke(e.Context(), &adminpb.RevokePairingRequest{Site: "beta"})
	if err != nil {
		t.Fatal(err)
	}
	if got := revoked.GetServices(); len(got) != 1 || got[0] != "hawaii" {
		t.Errorf("links that the answer names: %v", got)
	}
	if n := a.Status("hawaii").GetStatus().GetConnections(); n != 0 {
		t.Errorf("%d connections are open after the answer", n)
	}
	e.mustPut(a, "during at alpha", []byte("2"))
	e.mustPut(b, "during at beta", []byte("3"))
	e.Eventually("alpha says that the link is unpaired", func() bool {
		return a.Status("hawaii").GetStatus().GetState() == adminpb.ServiceState_SERVICE_STATE_UNPAIRED
	})
	e.Eventually("beta says that alpha does not know it any more", func() bool {
		st := b.Status("hawaii").GetStatus()
		return !st.GetConnected() && strings.Contains(st.GetCause(), "paired")
	})
	e.mustLack(b, "during at alpha")
	e.mustLack(a, "during at beta")

	e.pair(a, b, l.address(1)) // beta still knows alpha, so this does nothing
	invitation, err := a.Admin.Sites.Invite(e.Context(), &adminpb.InviteRequest{Address: l.address(1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Admin.Sites.Pair(e.Context(), invitation.GetToken()); err != nil {
		t.Fatal(err)
	}
	l.WaitSynced()
	e.mustHave(b, "during at alpha", []byte("2"))
	e.mustHave(a, "during at beta", []byte("3"))
}

// TestRotate replaces the keys of a site while it writes: the link goes on, the
// other site pins the new identity, restarts of both change nothing, and a site
// that was away for two replacements follows when it is back.
func TestRotate(t *testing.T) {
	t.Parallel()
	e, a, b, l := twoSites(t, SiteOptions{})
	e.mustPut(a, "before", []byte("1"))
	l.WaitSynced()

	n := 0
	rotate := func() *adminpb.RotateKeysResponse {
		t.Helper()
		keys, err := a.Admin.Pairings.Rotate(e.Context(), &adminpb.RotateKeysRequest{})
		if err != nil {
			t.Fatal(err)
		}
		n++
		e.mustPut(a, fmt.Sprintf("after %d", n), []byte("x"))
		return keys
	}
	follows := func(keys *adminpb.RotateKeysResponse) {
		t.Helper()
		e.Eventually("beta pins the new identity", func() bool { return e.pin(b, "alpha").GetFingerprint() == keys.GetFingerprint() })
		e.mustPut(b, fmt.Sprintf("back %d", n), []byte("y"))
		l.WaitSynced()
		e.mustHave(b, fmt.Sprintf("after %d", n), []byte("x"))
		e.mustHave(a, fmt.Sprintf("back %d", n), []byte("y"))
	}
	before := e.pin(b, "alpha").GetFingerprint()
	keys := rotate()
	if keys.GetBefore() != before || keys.GetFingerprint() == before || keys.GetRosterNumber() != 2 || keys.GetPairings() != 1 {
		t.Errorf("answer of the rotation: %v; beta had pinned %s", keys, before)
	}
	follows(keys)

	a.Stop()
	a.Resume()
	e.mustPut(a, "restarted", []byte("z"))
	l.WaitSynced()
	e.mustHave(b, "restarted", []byte("z"))

	b.Stop()
	rotate()
	keys = rotate()
	b.Resume()
	follows(keys)

	ours, err := a.Admin.Pairings.Fingerprint(e.Context(), &adminpb.FingerprintRequest{Site: "beta"})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := b.Admin.Pairings.Fingerprint(e.Context(), &adminpb.FingerprintRequest{Site: "alpha"})
	if err != nil {
		t.Fatal(err)
	}
	if ours.GetTogether() == "" || ours.GetTogether() != theirs.GetTogether() || ours.GetFingerprint() != theirs.GetPairing().GetFingerprint() {
		t.Errorf("the sites do not show the same number:\n%s\n%s", ours.GetTogether(), theirs.GetTogether())
	}
}

// TestRename shows that a site's name here is this site's own matter.
func TestRename(t *testing.T) {
	t.Parallel()
	e, a, b, l := twoSites(t, SiteOptions{})
	l.WaitSynced() // each knows whom its link is with
	if _, err := b.Admin.Pairings.Rename(e.Context(), &adminpb.RenamePairingRequest{Site: "alpha", Name: "honolulu"}); err != nil {
		t.Fatal(err)
	}
	p := e.pin(b, "honolulu")
	if p.GetOwnName() != "alpha" {
		t.Errorf("pairing at beta: %v", p)
	}
	e.Eventually("the link shows the new name", func() bool { return b.Status("hawaii").GetPeerName() == "honolulu" })
	if own := a.Status("hawaii").GetPeerName(); own != "beta" {
		t.Errorf("alpha calls beta %s", own)
	}
	e.mustPut(a, "key", []byte("1"))
	l.WaitSynced()
	e.mustHave(b, "key", []byte("1"))
}
