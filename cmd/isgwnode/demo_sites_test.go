package main

import (
	"log/slog"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestDemoBeginsLinked: what the demo shows first is a link that works, and at
// neither site one that was refused before.
func TestDemoBeginsLinked(t *testing.T) {
	d := &demo{demoOptions: demoOptions{dir: t.TempDir(), logger: slog.New(slog.DiscardHandler)}}
	defer func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	service, err := d.first.admin.Services.Get(t.Context(), demoLink, true)
	if err != nil {
		t.Fatal(err)
	}
	if state := service.GetStatus().GetState(); !working(state) {
		t.Errorf("the link begins as %v: %s", state, service.GetStatus().GetCause())
	}
	for _, s := range d.sites() {
		history, err := s.admin.Console.History(t.Context(), &adminpb.HistoryRequest{Service: demoLink, RangeSeconds: 900, Points: 60})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range history.GetEvents() {
			if strings.HasPrefix(e.GetText(), "refused") {
				t.Errorf("at %s the link began with %q", s.name, e.GetText())
			}
		}
	}
}

func TestWorking(t *testing.T) {
	for state, want := range map[adminpb.ServiceState]bool{
		adminpb.ServiceState_SERVICE_STATE_SYNCED:     true,
		adminpb.ServiceState_SERVICE_STATE_COPYING:    true,
		adminpb.ServiceState_SERVICE_STATE_CONNECTING: false,
		adminpb.ServiceState_SERVICE_STATE_DOWN:       false,
		adminpb.ServiceState_SERVICE_STATE_WAITING:    false,
	} {
		if working(state) != want {
			t.Errorf("%v: %v", state, !want)
		}
	}
}
