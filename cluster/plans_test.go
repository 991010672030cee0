package cluster

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// startNode starts a node of an initialised site that listens nowhere but on
// its socket, unless change says otherwise, and a client of it.
// roomy is a disk that is not full, whatever the machine's is.
func roomy(string) (capacity, free uint64) { return 1 << 40, 1 << 39 }

func startNode(t *testing.T, change func(*Options)) (*Node, *admin.Client) {
	t.Helper()
	opts := Options{Dir: t.TempDir(), Site: "alpha", Node: "alpha-1", S3: None, Link: None, Admin: None, Metrics: None, disk: roomy}
	if change != nil {
		change(&opts)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	n, err := Start(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("the node did not end cleanly: %v", err)
		}
	})
	c, err := admin.Dial("unix:" + n.Socket())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.System.Init(ctx, &adminpb.InitRequest{}); err != nil {
		t.Fatal(err)
	}
	return n, c
}

func createLink(name string) *adminpb.PlanRequest {
	return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_CreateService{CreateService: &adminpb.PlanCreateService{
		Service: &adminpb.CreateServiceRequest{Type: "isgw", Name: name, LagTargetSeconds: 5},
	}}}
}

func TestPlans(t *testing.T) {
	_, c := startNode(t, nil)
	ctx := t.Context()
	show := func(req *adminpb.PlanRequest) *adminpb.Plan {
		t.Helper()
		p, err := c.Plans.Plan(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	apply := func(p *adminpb.Plan, typed string) *adminpb.ApplyResponse {
		t.Helper()
		res, err := c.Plans.Apply(ctx, &adminpb.ApplyRequest{Plan: p, TypedName: typed})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	services := func() int {
		all, err := c.Services.List(ctx, false)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}

	create := show(createLink("hawaii"))
	if services() != 0 || !strings.Contains(create.GetText(), "lag target 5s") {
		t.Fatalf("planning made %d services\n%s", services(), create.GetText())
	}
	// Ten at once make one link, and one of them made it.
	var made sync.WaitGroup
	results := make(chan *adminpb.ApplyResponse, 10)
	for range cap(results) {
		made.Go(func() { results <- apply(create, "") })
	}
	made.Wait()
	first := 0
	for range cap(results) {
		res := <-results
		if res.GetOutcome() != adminpb.ApplyResponse_OUTCOME_APPLIED || res.GetService().GetName() != "hawaii" || res.GetService().GetLagTargetSeconds() != 5 {
			t.Errorf("applying: %v", res)
		}
		if !res.GetAgain() {
			first++
		}
	}
	if first != 1 || services() != 1 {
		t.Errorf("%d of ten applied the plan, and there are %d services", first, services())
	}

	// A plan that something overtook changes nothing and comes anew.
	disable := show(&adminpb.PlanRequest{Change: &adminpb.PlanRequest_Disable{Disable: &adminpb.DisableServiceRequest{Name: "hawaii"}}})
	target := 90.0
	edit := show(&adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditService{EditService: &adminpb.PlanEditService{Name: "hawaii", LagTargetSeconds: &target}}})
	if res := apply(edit, ""); res.GetService().GetLagTargetSeconds() != 90 {
		t.Errorf("edited to %v", res)
	}
	status, err := c.Services.Get(ctx, "hawaii", true)
	if err != nil || status.GetStatus().GetLagTargetSeconds() != 90 {
		t.Errorf("the status has lag target %v, %v", status.GetStatus().GetLagTargetSeconds(), err)
	}
	res := apply(disable, "")
	if res.GetOutcome() != adminpb.ApplyResponse_OUTCOME_CONFLICT || !strings.Contains(res.GetReason(), "service hawaii changed") || res.GetPlan().GetId() == disable.GetId() {
		t.Errorf("an overtaken plan: %v", res)
	}
	if s, err := c.Services.Get(ctx, "hawaii", false); err != nil || !s.GetEnabled() {
		t.Errorf("an overtaken plan disabled the link: %v", err)
	}
	if res := apply(res.GetPlan(), ""); res.GetOutcome() != adminpb.ApplyResponse_OUTCOME_APPLIED || res.GetService().GetEnabled() {
		t.Errorf("the new plan: %v", res)
	}

	// What is deleted is typed.
	remove := show(&adminpb.PlanRequest{Change: &adminpb.PlanRequest_DeleteService{DeleteService: &adminpb.DeleteServiceRequest{Name: "hawaii"}}})
	var refused *admin.Error
	if _, err := c.Plans.Apply(ctx, &adminpb.ApplyRequest{Plan: remove, TypedName: "hawai"}); !errors.As(err, &refused) || refused.Code != admin.CodeInvalid || services() != 1 {
		t.Errorf("delete without its name: %v", err)
	}
	if res := apply(remove, "hawaii"); res.GetOutcome() != adminpb.ApplyResponse_OUTCOME_APPLIED || res.GetService() != nil || services() != 0 {
		t.Errorf("deleted: %v", res)
	}
	if res := apply(disable, ""); res.GetOutcome() != adminpb.ApplyResponse_OUTCOME_CONFLICT || res.GetPlan() != nil || !strings.Contains(res.GetReason(), "does not exist") {
		t.Errorf("a plan about what is gone: %v", res)
	}
	if _, err := c.Plans.Apply(ctx, &adminpb.ApplyRequest{}); !errors.As(err, &refused) || refused.Code != admin.CodeInvalid {
		t.Errorf("no plan: %v", err)
	}
}

// TestPlansAppliedOnceOverRestarts: a plan that was carried out is known to the
// node that was started again. It makes nothing a second time, also when what
// it made is gone.
func TestPlansAppliedOnceOverRestarts(t *testing.T) {
	ctx := t.Context()
	opts := Options{Dir: t.TempDir(), Site: "alpha", Node: "alpha-1", S3: None, Link: None, Admin: None, Metrics: None}
	var create *adminpb.Plan
	for round := range 3 {
		n, err := Start(ctx, opts)
		if err != nil {
			t.Fatal(err)
		}
		c, err := admin.Dial("unix:" + n.Socket())
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			if _, err := c.System.Init(ctx, &adminpb.InitRequest{}); err != nil {
				t.Fatal(err)
			}
			if create, err = c.Plans.Plan(ctx, createLink("hawaii")); err != nil {
				t.Fatal(err)
			}
		}
		res, err := c.Plans.Apply(ctx, &adminpb.ApplyRequest{Plan: create})
		if err != nil {
			t.Fatal(err)
		}
		services, err := c.Services.List(ctx, false)
		if err != nil {
			t.Fatal(err)
		}
		want := 1
		if round == 2 { // it was deleted meanwhile
			want = 0
		}
		if res.GetOutcome() != adminpb.ApplyResponse_OUTCOME_APPLIED || res.GetAgain() != (round > 0) || len(services) != want || (res.GetService() != nil) != (want == 1) {
			t.Errorf("round %d: %v, and there are %d services", round, res, len(services))
		}
		if round == 1 {
			if err := c.Services.Delete(ctx, "hawaii"); err != nil {
				t.Error(err)
			}
		}
		c.Close()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}
