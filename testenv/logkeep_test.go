package testenv

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestAwayLongerThanTheLogIsKept cuts a link for eight days of the sites' clocks,
// with the default of seven days for which changes are kept: the sites compare what
// they have, which only merges, deletions stay deletions, and both say so.
func TestAwayLongerThanTheLogIsKept(t *testing.T) {
	var ahead atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	e, a, b, l := twoSites(t, SiteOptions{Clock: clock})
	for i := range 10 {
		e.mustPut(a, fmt.Sprintf("gone-%d", i), []byte("gone"))
	}
	e.mustPut(a, "kept", []byte("kept"))
	l.WaitSynced()
	l.Cut()
	for i := range 10 {
		e.mustDelete(a, fmt.Sprintf("gone-%d", i))
	}
	e.mustPut(a, "written at alpha", []byte("a"))
	e.mustPut(b, "written at beta", []byte("b"))

	ahead.Store(int64(6 * 24 * time.Hour)) // within the time: nothing is dropped
	looked := time.Now()
	e.Eventually("two looks at the log", func() bool { return time.Since(looked) > 2500*time.Millisecond })
	if a.trimmed(bucketPath) {
		t.Fatal("the log was dropped within the time for which it is kept")
	}
	ahead.Store(int64(8 * 24 * time.Hour))
	looked = time.Now()
	e.Eventually("the log is dropped at alpha", func() bool {
		if time.Since(looked) < 5*time.Second {
			return false
		}
		done := a.trimmed(bucketPath)
		looked = time.Now()
		return done
	})
	l.Restore()
	l.WaitSynced()
	for _, s := range l.Sites {
		e.mustHave(s, "kept", []byte("kept"))
		e.mustHave(s, "written at alpha", []byte("a"))
		e.mustHave(s, "written at beta", []byte("b"))
		for i := range 10 {
			e.mustLack(s, fmt.Sprintf("gone-%d", i))
		}
	}
	e.Eventually("beta's events tell of the comparison", func() bool {
		h, err := b.Admin.Console.History(e.Context(), &adminpb.HistoryRequest{Service: "hawaii"})
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range h.GetEvents() {
			if strings.Contains(event.GetText(), "full comparison: bucket "+bucketPath+" is compared as a whole, which only merges: the sender's log begins after") {
				return true
			}
		}
		return false
	})
	if !strings.Contains(b.Log(), "the sender's log begins after") {
		t.Error("the log of beta does not tell of the comparison")
	}
}
