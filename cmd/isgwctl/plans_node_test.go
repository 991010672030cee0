package main

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
)

func (n nodePlans) show(req *adminpb.PlanRequest) (*plan.Preview, error) {
	return plan.Show(n.cfg, req, plan.Facts{Site: n.name, LagTarget: 30 * time.Second, LogKeep: 168 * time.Hour, Pending: nodeFaults(n).pending}, testNow)
}

func (n nodePlans) Plan(_ context.Context, req *adminpb.PlanRequest) (shown *adminpb.Plan, err error) {
	err = n.read(func() error {
		preview, err := n.show(req)
		if err == nil {
			shown = preview.Plan
		}
		return err
	})
	return shown, err
}

func (n nodePlans) Apply(_ context.Context, req *adminpb.ApplyRequest) (*adminpb.ApplyResponse, error) {
	res := &adminpb.ApplyResponse{Outcome: adminpb.ApplyResponse_OUTCOME_APPLIED}
	err := n.read(func() error {
		preview, err := n.show(req.GetPlan().GetChange())
		if err != nil {
			return err
		}
		if preview.Plan.GetId() != req.GetPlan().GetId() {
			return admin.Errorf(admin.CodeConflict, "the plan is of another revision")
		}
		if err := n.apply(preview.Txn, nil); err != nil {
			return err
		}
		if subject := plan.Subject(req.GetPlan().GetChange()); subject != "" {
			res.Service, err = plan.GetService(n.cfg, subject)
		}
		return err
	})
	return res, err
}

// Snapshot is healthy unless a link is down.
func (n nodeConsole) Snapshot(context.Context) (s *adminpb.ConsoleSnapshot, err error) {
	err = n.read(func() error {
		s = &adminpb.ConsoleSnapshot{
			Revision: 7, Initialised: true, SiteName: n.name, Verdict: &adminpb.Verdict{Healthy: true, Sentence: "HEALTHY: the link is in sync"},
		}
		for name, status := range n.status {
			l := &adminpb.ConsoleLink{Name: name, Glyph: "ok", StateWord: "synced", Route: "north <-> south", LagTargetSeconds: 30, OutRate: new(2048.0), LagSeconds: new(0.0)}
			if status.GetState() == adminpb.ServiceState_SERVICE_STATE_DOWN {
				l.Glyph, l.StateWord, l.OutRate, l.LagSeconds = "X", "down", nil, nil
				s.Verdict = &adminpb.Verdict{Sentence: "NOT HEALTHY: 1 link is down", NextStep: status.GetNextStep()}
				s.Alerts = []*adminpb.Alert{{Glyph: "X", Word: "down", Service: name, Cause: status.GetCause(), NextStep: status.GetNextStep()}}
			}
			s.Links = append(s.Links, l)
		}
		return nil
	})
	return s, err
}

// History tells of events of link hawaii alone, and has no charts: who asks for
// more than it needs of them is refused.
func (n nodeConsole) History(_ context.Context, req *adminpb.HistoryRequest) (res *adminpb.HistoryResponse, err error) {
	err = n.read(func() error {
		if _, err := plan.GetService(n.cfg, req.GetService()); err != nil {
			return err
		}
		if req.GetRangeSeconds() != 1 || req.GetPoints() != 1 {
			return admin.Errorf(admin.CodeInvalid, "%d s of charts in %d points are asked for", req.GetRangeSeconds(), req.GetPoints())
		}
		res = &adminpb.HistoryResponse{}
		if req.GetService() != "hawaii" {
			return nil
		}
		at := func(before time.Duration) *timestamppb.Timestamp { return timestamppb.New(testNow.Add(-before)) }
		res.Events = []*adminpb.LinkEvent{
			{Time: at(time.Minute), Severity: adminpb.Severity_SEVERITY_FAILED, Glyph: "X", Text: "down: the other site says \x1b[31mno"},
			{Time: at(time.Hour), Severity: adminpb.Severity_SEVERITY_OK, Glyph: "ok", Text: "serve hawaii Hawaii/Cola", Principal: "token:ops"},
			{Time: at(2 * time.Hour), Severity: adminpb.Severity_SEVERITY_WARNING, Glyph: "!", Text: "full comparison: the log ends before what was taken from it"},
		}
		return nil
	})
	return res, err
}
