package testenv

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// TestLinkVerify compares linked sites by the command: they are equal, then one
// holds keys that the link does not carry while it is cut, and then they are equal
// again.
func TestLinkVerify(t *testing.T) {
	t.Parallel()
	e, a, b, line := twoSites(t, SiteOptions{})
	for i := range 40 {
		e.mustPut(a, fmt.Sprintf("dir/%02d", i), []byte(fmt.Sprint("content ", i)))
	}
	e.Eventually("everything is at beta", func() bool { return b.show("hawaii").Status.Synced && len(b.mustList(e)) == 40 })
	for _, s := range []*Site{a, b} {
		status, out := s.ctl("link", "verify", "hawaii", "--content")
		if status != 0 || !strings.Contains(out, bucketPath+"  equal: 40 versions of 40 keys") {
			t.Errorf("at %s: exit status %d\n%s", s.Name, status, out)
		}
	}
	line.Cut()
	if status, out := b.ctl("link", "verify", "hawaii"); status == 0 {
		t.Errorf("without a connection: exit status 0\n%s", out)
	}
	e.mustPut(a, "dir/new", bytes.Repeat([]byte("n"), 5000))
	line.Restore()
	e.Eventually("beta is equal again", func() bool {
		status, out := b.ctl("link", "verify", "hawaii", bucketPath+"/dir/")
		return status == 0 && strings.Contains(out, "equal: 41 versions of 41 keys")
	})
	if _, out := b.ctl("admin", "audit", "-o", "wide"); strings.Contains(out, "Verify") {
		t.Errorf("to compare is no change, and is noted as one:\n%s", out)
	}
	if status, out := b.ctl("link", "verify", "hawaii", "--repair"); status != 0 {
		t.Errorf("with --repair: exit status %d\n%s", status, out)
	}
	if _, out := b.ctl("admin", "audit", "-o", "wide"); !strings.Contains(out, "Verify") || !strings.Contains(out, "hawaii --repair") {
		t.Errorf("a repair is not in the audit:\n%s", out)
	}
	if status, _ := b.ctl("link", "verify", "nowhere"); status != 3 {
		t.Errorf("of a link that there is not: exit status %d, want 3", status)
	}
	if status, _ := b.ctl("link", "verify", "hawaii", "Hawaii/Cola"); status != 2 {
		t.Errorf("of a tenant: exit status %d, want 2", status)
	}
}

// mustList lists the keys of the site's bucket.
func (s *Site) mustList(e *Env) (keys []string) {
	e.t.Helper()
	_, out := s.ctl("object", "list", bucketPath, "-o", "name")
	return strings.Fields(out)
}
