package main

import (
	"errors"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestWaitingProgress: how far a link is, of a first copy how much of it, and that the
// node went away.
func TestWaitingProgress(t *testing.T) {
	w := &waiting{name: "hawaii", condition: "synced"}
	if p := w.progress(); p.text != "" {
		t.Errorf("before anything is known: %+v", p)
	}
	status := testStatuses()["behind"]
	status.Buckets = nil
	if err := w.look(&adminpb.Service{Status: status}); err != nil {
		t.Error(err)
	}
	const behind = "service hawaii is behind (12 versions are on their way), 12 versions with 3.0 MiB to send, lag 41.2s"
	if p := w.progress(); p.text != behind || p.known {
		t.Errorf("behind: %+v", p)
	}
	if err := w.look(&adminpb.Service{Status: testStatuses()["behind"]}); err != nil {
		t.Error(err)
	}
	w.away = true
	if p := w.progress(); p.text != behind+", 100 of 4000 keys copied; the node does not answer now" || !p.known || p.share != 0.025 {
		t.Errorf("of a copy: %+v", p)
	}
	if err := w.look(&adminpb.Service{Status: testStatuses()["synced"]}); !errors.Is(err, errMet) || w.away {
		t.Errorf("synced: %v, away %v", err, w.away)
	}
}
