package cluster

import (
	"context"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// servicesAdmin is admin.Services over a node.
type servicesAdmin struct{ *Node }

func (a servicesAdmin) Create(ctx context.Context, req *adminpb.CreateServiceRequest) (*adminpb.Service, error) {
	return a.changed(ctx, req.GetName(), func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.CreateService(cfg, req, a.opts.Clock())
	})
}

func (a servicesAdmin) Serve(ctx context.Context, name, path string) (*adminpb.Service, error) {
	return a.changed(ctx, name, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.Serve(cfg, name, path)
	})
}

func (a servicesAdmin) Unserve(ctx context.Context, name, path string) (*adminpb.Service, error) {
	return a.changed(ctx, name, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.Unserve(cfg, name, path)
	})
}

func (a servicesAdmin) SetEnabled(ctx context.Context, name string, enabled bool) (*adminpb.Service, error) {
	return a.changed(ctx, name, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.SetEnabled(cfg, name, enabled)
	})
}

func (a servicesAdmin) Delete(ctx context.Context, name string) error {
	s, err := a.running()
	if err != nil {
		return err
	}
	return s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.DeleteService(cfg, name)
	})
}

func (a servicesAdmin) Get(ctx context.Context, name string, stats bool) (*adminpb.Service, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	service, err := plan.GetService(s.replica.Config(), name)
	if err != nil {
		return nil, err
	}
	s.addStatus(service, stats)
	if views(ctx) {
		service = withoutKeys(service)
	}
	return service, nil
}

func (a servicesAdmin) Page(ctx context.Context, req *adminpb.ListServicesRequest) (*adminpb.ListServicesResponse, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	page := plan.ListServices(s.replica.Config(), req)
	for _, service := range page.GetServices() {
		s.addStatus(service, req.GetStats())
	}
	if views(ctx) {
		page = withoutKeys(page)
	}
	return page, nil
}

// changed carries out a plan and returns the service as it is then.
func (a servicesAdmin) changed(ctx context.Context, name string, plan planner) (*adminpb.Service, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	if err := s.change(ctx, plan); err != nil {
		return nil, err
	}
	return a.Get(ctx, name, false)
}

// addStatus adds how the link does: the state with its cause and what one number
// says of the link always, the counts of both directions and the buckets only when
// they are asked for.
func (s *site) addStatus(service *adminpb.Service, stats bool) {
	if stats {
		service.Status = s.linkStatus(service)
		return
	}
	status, _ := s.linkSummary(service)
	status.Send, status.Receive = nil, nil
	service.Status = status
}
