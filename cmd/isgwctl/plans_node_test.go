package main

import (
	"context"
	"time"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
)

func (n nodePlans) show(req *adminpb.PlanRequest) (*plan.Preview, error) {
	return plan.Show(n.cfg, req, plan.Facts{Site: n.name, LagTarget: 30 * time.Second, LogKeep: 168 * time.Hour}, testNow)
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
		res.Service, err = plan.GetService(n.cfg, plan.Subject(req.GetPlan().GetChange()))
		return err
	})
	return res, err
}
