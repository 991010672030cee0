package testenv

import "testing"

// TestSenderStartedAnew kills the sender when everything is at the other site
// and it has not committed that it was told so: it is told again at once.
func TestSenderStartedAnew(t *testing.T) {
	e, a, _, l := twoSites(t, SiteOptions{Process: true})
	e.mustPut(a, "first", []byte("value"))
	l.WaitSynced()
	e.mustPut(a, "second", []byte("value"))
	l.WaitSynced()
	a.Kill()
	a.Resume()
	l.WaitSynced()
}
