package plan

import (
	"errors"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
)

func TestPausePlans(t *testing.T) {
	s, facts := previewSite(t, true)
	pause := &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Pause{Pause: &adminpb.PauseServiceRequest{Name: "hawaii"}}}
	resume := &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Resume{Resume: &adminpb.ResumeServiceRequest{Name: "hawaii"}}}
	for _, c := range []struct {
		name         string
		req          *adminpb.PlanRequest
		changes      bool
		paused       bool // when the plan was carried out
		impact, undo string
	}{
		{"resume what runs", resume, false, false, "Nothing: link hawaii is not paused.", ""},
		{"pause", pause, true, true, "nothing moves over hawaii in either direction", "isgwctl link resume hawaii"},
		{"pause again", pause, false, true, "Nothing: link hawaii is paused already.", ""},
		{"resume", resume, true, false, "only what changed meanwhile is sent", "isgwctl link pause hawaii"},
	} {
		preview, err := Show(s.Config, c.req, facts, now)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if (preview.Txn != nil) != c.changes || !strings.Contains(preview.Plan.GetImpact(), c.impact) || !strings.Contains(preview.Plan.GetUndo(), c.undo) {
			t.Errorf("%s: %v\n%s", c.name, preview.Txn, preview.Plan.GetText())
		}
		s.must(preview.Txn, nil)
		if service, _, _ := s.Config.Service("hawaii"); service.GetPaused() != c.paused {
			t.Errorf("%s: paused is %v", c.name, service.GetPaused())
		}
		if Subject(c.req) != "hawaii" {
			t.Errorf("%s: it is about %q", c.name, Subject(c.req))
		}
	}
	none := &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Pause{Pause: &adminpb.PauseServiceRequest{Name: "none"}}}
	if _, err := Show(s.Config, none, facts, now); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("pausing what does not exist gives %v", err)
	}
}
