package testenv

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestWrongClocks pairs and links sites whose clocks are decades apart. No clock is
// needed to know each other; an edit wins over what its writer had seen, whatever the
// clocks say; and lag is told by one clock, so that it is none at rest.
func TestWrongClocks(t *testing.T) {
	t.Parallel()
	shifted := func(by time.Duration) func() time.Time { return func() time.Time { return time.Now().Add(by) } }
	const years = 365 * 24 * time.Hour
	e := New(t)
	a := e.Start("alpha", SiteOptions{Clock: shifted(-20 * years)})
	b := e.Start("beta", SiteOptions{Clock: shifted(30 * years)})
	a.Create("Hawaii", "Hawaii/Cola", bucketPath)
	b.Create("Hawaii", "Hawaii/Cola")
	l := e.Link("hawaii", a, b, bucketPath)
	l.WaitSynced() // beta has the bucket
	e.mustPut(b, "key", []byte("written in the future"))
	l.WaitSynced()
	e.mustHave(a, "key", []byte("written in the future"))
	e.mustPut(a, "key", []byte("edited in the past"))
	l.WaitSynced()
	e.mustHave(b, "key", []byte("edited in the past"))
	e.mustDelete(a, "key")
	e.mustPut(a, "other", []byte("other"))
	l.WaitSynced()
	e.mustLack(b, "key")
	l.waitWithoutLag()
	// Who comes back is known again.
	b.Stop()
	b.Resume()
	e.mustPut(b, "after the restart", []byte("1"))
	l.WaitSynced()
	e.mustHave(a, "after the restart", []byte("1"))
}

// TestALinkIsWithOneSite has a third site, which is paired and makes a link of the same
// name, while the site that the link is meant for cannot be reached, and afterwards. It
// is given nothing and told nothing, and the link is not its own.
func TestALinkIsWithOneSite(t *testing.T) {
	t.Parallel()
	e := New(t)
	a, b, c := e.Start("alpha", SiteOptions{}), e.Start("beta", SiteOptions{}), e.Start("gamma", SiteOptions{})
	a.Create("Hawaii", "Hawaii/Cola", bucketPath)
	for _, s := range []*Site{b, c} {
		s.Create("Hawaii", "Hawaii/Cola")
	}
	e.mustPut(a, "secret", []byte("for beta only"))
	// The address that beta tells alpha is not the one that alpha's link has.
	l := e.Line("hawaii", a, b, bucketPath)
	invitation, err := b.Admin.Sites.Invite(e.Context(), &adminpb.InviteRequest{Address: l.address(0)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Admin.Sites.Pair(e.Context(), invitation.GetToken()); err != nil {
		t.Fatal(err)
	}
	e.pair(a, c, a.options.Link)
	l.Cut()
	if _, err := a.Admin.Services.Create(e.Context(), &adminpb.CreateServiceRequest{Type: "isgw", Name: "hawaii", Remote: "ccow://" + l.address(0)}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Admin.Services.Serve(e.Context(), "hawaii", bucketPath); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Admin.Services.Create(e.Context(), &adminpb.CreateServiceRequest{Type: "isgw", Name: "hawaii", Remote: "ccow://" + a.options.Link}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Admin.Services.Serve(e.Context(), "hawaii", bucketPath); err != nil {
		t.Fatal(err)
	}
	turnedAway := func(because string) {
		t.Helper()
		e.Eventually("gamma is turned away", func() bool {
			st := c.Status("hawaii").GetStatus()
			return !st.GetConnected() && strings.Contains(fmt.Sprint(st.GetCause(), st.GetNextStep()), because)
		})
		if _, err := c.Admin.Paths.Get(e.Context(), &adminpb.GetPathRequest{Kind: adminpb.PathKind_PATH_KIND_BUCKET, Path: bucketPath}); err == nil {
			t.Error("gamma has the bucket")
		}
		if peer := a.Status("hawaii").GetPeerName(); peer == "gamma" {
			t.Error("the link at alpha is with gamma")
		}
	}
	turnedAway("not known which site it is with")
	l.Restore()
	l.create(1)
	l.WaitSynced()
	e.mustHave(b, "secret", []byte("for beta only"))
	turnedAway("a link with another site")
}

// TestTwoSitesWithDataMerge links sites that both have the bucket and content in it,
// before they knew each other: nothing is lost at either, and keys that both have are
// the same at both.
func TestTwoSitesWithDataMerge(t *testing.T) {
	t.Parallel()
	e := New(t)
	a, b := e.Start("alpha", SiteOptions{}), e.Start("beta", SiteOptions{})
	for i, s := range []*Site{a, b} {
		s.Create("Hawaii", "Hawaii/Cola", bucketPath)
		for n := range 30 {
			e.mustPut(s, fmt.Sprintf("of %s/%d", s.Name, n), randomBytes(uint64(100*i+n), 5000))
		}
		e.mustPut(s, "equal", []byte("the same at both"))
		e.mustPut(s, "written twice", []byte("once"))
		e.mustPut(s, "written at both", []byte("first at "+s.Name))
		e.mustPut(s, "deleted", []byte("x"))
	}
	e.mustPut(a, "written twice", []byte("an edit more wins"))
	e.mustDelete(b, "deleted")
	l := e.Link("hawaii", a, b, bucketPath)
	l.WaitSynced()
	for _, s := range l.Sites {
		for i, of := range l.Sites {
			for n := range 30 {
				e.mustHave(s, fmt.Sprintf("of %s/%d", of.Name, n), randomBytes(uint64(100*i+n), 5000))
			}
		}
		e.mustHave(s, "equal", []byte("the same at both"))
		e.mustHave(s, "written twice", []byte("an edit more wins"))
		// It was an object of its own at each site: beta deleted its version, after one
		// edit more than alpha made.
		e.mustLack(s, "deleted")
	}
	first, err := a.Get("Hawaii/Cola", "bk1", "written at both")
	if err != nil {
		t.Fatal(err)
	}
	e.mustHave(b, "written at both", first)
}
