package testenv

import (
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestVerbsOnATerminal: what --watch shows is drawn in place, and what is waited for
// has one line that is gone at the end. ctrl-c ends the one, and interrupts the other.
func TestVerbsOnATerminal(t *testing.T) {
	t.Parallel()
	e := New(t)
	s := e.Start("alpha", SiteOptions{})
	connect := []string{"ISGW_CONNECT=unix:" + s.DataDir() + "/admin.sock"}
	x := e.onTerminal(connect, isgwctl(t), "status", "--watch", "--interval", "100ms")
	x.shows("every 100ms, ctrl-c ends it", "alpha: HEALTHY: this site has no links yet")
	if _, err := s.Admin.Services.Create(e.Context(), &adminpb.CreateServiceRequest{Type: "isgw", Name: "hawaii"}); err != nil {
		t.Fatal(err)
	}
	x.shows("alpha: NOT HEALTHY: 1 link with a site that is not paired", "! hawaii unpaired: ")
	x.keys("\x03")
	if status := x.status(); status != 0 {
		t.Errorf("a watch that was interrupted ends with %d", status)
	}
	if text := x.text(); strings.Count(text, "HEALTHY") != 1 || !strings.HasPrefix(text, "20") {
		t.Errorf("it was not drawn in place:\n%s", text)
	}

	x = e.onTerminal(connect, isgwctl(t), "wait", "hawaii", "--timeout", "1h")
	x.shows("service hawaii is unpaired (this site is not paired")
	x.keys("\x03")
	if status := x.status(); status != 1 {
		t.Errorf("a wait that was interrupted ends with %d", status)
	}
	if text := x.text(); strings.Contains(text, "service hawaii is") || !strings.Contains(text, "interrupted") {
		t.Errorf("at the end there is\n%s", text)
	}
}
