package testenv

import (
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestLinkVerifyOneWayAndPaused compares over a link that goes one way, and over one
// that is paused, from both sides: where it can be compared it is, and where not the
// command says so, and where to run it.
func TestLinkVerifyOneWayAndPaused(t *testing.T) {
	t.Parallel()
	e, a, b, l := twoSites(t, SiteOptions{})
	e.mustPut(a, "one", []byte("1"))
	l.WaitSynced()
	e.edit(a, &adminpb.PlanEditService{Name: "hawaii", Direction: new("send")})
	e.edit(b, &adminpb.PlanEditService{Name: "hawaii", Direction: new("receive")})
	e.mustPut(a, "two", []byte("2"))
	e.has(b, "two")
	e.Eventually("the side that receives compares", func() bool {
		status, out := b.ctl("link", "verify", "hawaii")
		return status == 0 && strings.Contains(out, "equal: 2 versions of 2 keys")
	})
	e.Eventually("the side that sends says where to compare", func() bool {
		status, out := a.ctl("link", "verify", "hawaii")
		return status == 1 && strings.Contains(out, "the direction here is send, so beta answers for nothing") && strings.Contains(out, "run `isgwctl link verify hawaii "+bucketPath+"` at beta")
	})

	// Paused where it is sent: from there the other side is asked, which lets out.
	e.edit(a, &adminpb.PlanEditService{Name: "hawaii", Direction: new("send+receive")})
	e.edit(b, &adminpb.PlanEditService{Name: "hawaii", Direction: new("send+receive")})
	l.WaitSynced()
	if status, out := a.ctl("link", "pause", "hawaii"); status != 0 {
		t.Fatalf("pause: exit status %d\n%s", status, out)
	}
	e.mustPut(a, "three", []byte("3"))
	e.Eventually("the side that has paused compares", func() bool {
		status, out := a.ctl("link", "verify", "hawaii")
		return status == 1 && strings.Contains(out, "missing there  "+bucketPath+"/three")
	})
	e.Eventually("the other side says what to do", func() bool {
		status, out := b.ctl("link", "verify", "hawaii")
		return status == 1 && strings.Contains(out, "paused at alpha") && strings.Contains(out, "resume it there, or compare from there")
	})
	if status, out := a.ctl("link", "verify", "hawaii", "--repair"); status != 5 { // which is a conflict; the sentence goes to stderr
		t.Errorf("a repair while paused: exit status %d\n%s", status, out)
	}
	if status, out := a.ctl("link", "resume", "hawaii"); status != 0 {
		t.Fatalf("resume: exit status %d\n%s", status, out)
	}
	e.has(b, "three")
	if status, out := b.ctl("link", "verify", "hawaii"); status != 0 {
		t.Errorf("in the end: exit status %d\n%s", status, out)
	}
}
