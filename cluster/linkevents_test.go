package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

func TestLinkEvents(t *testing.T) {
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	h := newHistory()
	second := 0
	stand := func(state adminpb.ServiceState, lag float64, cause string) {
		now := start.Add(time.Duration(second) * time.Second)
		second++
		h.record(now, map[string]point{"hawaii": gap})
		st := &adminpb.ServiceStatus{State: state, Cause: cause, LagTargetSeconds: 30, Send: &adminpb.DirectionStats{Backlog: &adminpb.Backlog{LagSeconds: &lag}}}
		h.note(map[string]note{"hawaii": noteOf(now, st), "never recorded": noteOf(now, st)})
	}
	synced, behind, down := adminpb.ServiceState_SERVICE_STATE_SYNCED, adminpb.ServiceState_SERVICE_STATE_BEHIND, adminpb.ServiceState_SERVICE_STATE_DOWN
	stand(synced, 0, "")
	stand(behind, 2, "")
	stand(synced, 0, "")
	stand(behind, 31, "")
	stand(down, 32, "connection refused")
	stand(down, 33, "no route to host")
	stand(synced, 0, "")
	changes := []*adminpb.AuditEntry{ // the newest first
		{Time: timestamppb.New(start.Add(10 * time.Second)), Procedure: "Services.Serve", Object: "hawaii Hawaii/Cola/bk1", Result: "denied", Principal: "token:eve"},
		{Time: timestamppb.New(start.Add(2 * time.Second)), Procedure: "Services.Disable", Object: "hawaii", Result: "ok", Principal: "local:0"},
		{Time: timestamppb.New(start.Add(time.Second)), Procedure: "Plans.Apply", Object: "create service hawaii", Result: "ok", Principal: "local:0"},
		{Time: timestamppb.New(start), Procedure: "Services.Disable", Object: "hawaii-2", Result: "ok"},
		{Time: timestamppb.New(start), Procedure: "Paths.Create", Object: "hawaii", Result: "ok"},
	}
	var got []string
	for _, e := range linkEvents("hawaii", h.notes("hawaii"), changes) {
		got = append(got, fmt.Sprint(e.GetTime().AsTime().Sub(start).Seconds(), " ", e.GetGlyph(), " ", e.GetText(), " ", e.GetPrincipal()))
	}
	want := []string{
		"10 ! serve hawaii Hawaii/Cola/bk1 (denied) token:eve",
		"6 ok synced ",
		"4 X down: connection refused ",
		"3 ! lagging ",
		"2 ok disable hawaii local:0",
		"1 ok create service hawaii local:0",
		"0 ok synced ",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	for i := range 3 * maxNotes {
		if i%2 == 0 {
			stand(down, 0, "")
		} else {
			stand(synced, 0, "")
		}
	}
	if n := len(h.notes("hawaii")); n != maxNotes {
		t.Errorf("%d notes are kept, want %d", n, maxNotes)
	}
	if n := len(linkEvents("hawaii", h.notes("hawaii"), changes)); n != maxEvents {
		t.Errorf("%d events are told, want %d", n, maxEvents)
	}
	h.record(start.Add(time.Hour), nil) // the link is gone
	if h.notes("hawaii") != nil || h.notes("never recorded") != nil {
		t.Error("notes of a link that is not there")
	}
}

func TestChangeWords(t *testing.T) {
	for _, c := range []struct{ procedure, object, want, links string }{ // links with spaces between
		{"Plans.Apply", "edit service hawaii", "edit service hawaii", "hawaii"},
		{"Plans.Apply", "unserve hawaii Hawaii/Cola", "unserve hawaii Hawaii/Cola", "hawaii"},
		{"Plans.Apply", "apply service hawaii maui", "apply service hawaii maui", "hawaii maui"},
		{"Plans.Apply", "edit site", "edit site", ""},
		{"Services.Create", "hawaii", "create service hawaii", "hawaii"},
		{"Faults.Skip", "hawaii Hawaii/Cola/bk1/a b", "skip hawaii Hawaii/Cola/bk1/a b", "hawaii"},
		{"Resyncs.Start", "hawaii Hawaii/Cola", "resync hawaii Hawaii/Cola", "hawaii"},
		{"Verification.Verify", "hawaii --repair", "verify hawaii --repair", "hawaii"},
		{"Services.Enable", "service", "enable service", "service"},
		{"Keys.Create", "Hawaii/Cola", "create key Hawaii/Cola", ""},
		{"Access.CreateToken", "eye viewer", "create token eye viewer", ""},
		{"System.Init", "", "init site", ""},
		{"Plans.Apply", "", "", ""},
	} {
		e := &adminpb.AuditEntry{Procedure: c.procedure, Object: c.object}
		if got, links := changeWords(e), strings.Join(changedLinks(e), " "); got != c.want || links != c.links {
			t.Errorf("%s %s is %q of links %q, want %q of %q", c.procedure, c.object, got, links, c.want, c.links)
		}
	}
}
