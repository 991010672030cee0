package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestWaitingReports wants a line after ten seconds, and not before.
func TestWaitingReports(t *testing.T) {
	var out, errs strings.Builder
	w := &waiting{app: &app{out: &out, err: &errs, form: formTable}, name: "hawaii", condition: "synced", reported: time.Now()}
	behind := &adminpb.Service{Status: testStatuses()["behind"]}
	if err := w.look(behind); err != nil || errs.Len() > 0 {
		t.Errorf("at once: %v, %q", err, errs.String())
	}
	w.reported = time.Now().Add(-reportEvery)
	if err := w.look(behind); err != nil {
		t.Error(err)
	}
	const want = "service hawaii is behind (12 versions are on their way), 12 versions with 3.0 MiB to send, lag 41.2s\n"
	if errs.String() != want {
		t.Errorf("reported %q, want %q", errs.String(), want)
	}
	if err := w.look(behind); err != nil || strings.Count(errs.String(), "\n") != 1 {
		t.Errorf("again at once: %v, %q", err, errs.String())
	}
	if err := w.look(&adminpb.Service{Status: testStatuses()["synced"]}); !errors.Is(err, errMet) {
		t.Errorf("synced: %v", err)
	}
	if out.Len() > 0 {
		t.Errorf("on stdout: %q", out.String())
	}
}
