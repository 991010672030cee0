package admin

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

type servicesHandler struct{ *Server }

func (h *servicesHandler) Create(ctx context.Context, req *connect.Request[adminpb.CreateServiceRequest]) (*connect.Response[adminpb.CreateServiceResponse], error) {
	service, err := h.options.Services.Create(ctx, req.Msg)
	return answer(&adminpb.CreateServiceResponse{Service: service}, err)
}

func (h *servicesHandler) List(ctx context.Context, req *connect.Request[adminpb.ListServicesRequest]) (*connect.Response[adminpb.ListServicesResponse], error) {
	page, err := h.options.Services.Page(ctx, req.Msg)
	return answer(page, err)
}

func (h *servicesHandler) Get(ctx context.Context, req *connect.Request[adminpb.GetServiceRequest]) (*connect.Response[adminpb.GetServiceResponse], error) {
	service, err := h.options.Services.Get(ctx, req.Msg.GetName(), req.Msg.GetStats())
	return answer(&adminpb.GetServiceResponse{Service: service}, err)
}

func (h *servicesHandler) Serve(ctx context.Context, req *connect.Request[adminpb.ServeRequest]) (*connect.Response[adminpb.ServeResponse], error) {
	service, err := h.options.Services.Serve(ctx, req.Msg.GetName(), req.Msg.GetPath())
	return answer(&adminpb.ServeResponse{Service: service}, err)
}

func (h *servicesHandler) Unserve(ctx context.Context, req *connect.Request[adminpb.UnserveRequest]) (*connect.Response[adminpb.UnserveResponse], error) {
	service, err := h.options.Services.Unserve(ctx, req.Msg.GetName(), req.Msg.GetPath())
	return answer(&adminpb.UnserveResponse{Service: service}, err)
}

func (h *servicesHandler) Enable(ctx context.Context, req *connect.Request[adminpb.EnableServiceRequest]) (*connect.Response[adminpb.EnableServiceResponse], error) {
	service, err := h.options.Services.SetEnabled(ctx, req.Msg.GetName(), true)
	return answer(&adminpb.EnableServiceResponse{Service: service}, err)
}

func (h *servicesHandler) Disable(ctx context.Context, req *connect.Request[adminpb.DisableServiceRequest]) (*connect.Response[adminpb.DisableServiceResponse], error) {
	service, err := h.options.Services.SetEnabled(ctx, req.Msg.GetName(), false)
	return answer(&adminpb.DisableServiceResponse{Service: service}, err)
}

func (h *servicesHandler) Delete(ctx context.Context, req *connect.Request[adminpb.DeleteServiceRequest]) (*connect.Response[adminpb.DeleteServiceResponse], error) {
	return answer(&adminpb.DeleteServiceResponse{}, h.options.Services.Delete(ctx, req.Msg.GetName()))
}

func (h *servicesHandler) Watch(ctx context.Context, req *connect.Request[adminpb.WatchServiceRequest], stream *connect.ServerStream[adminpb.WatchServiceResponse]) error {
	ticker := time.NewTicker(watchInterval(req.Msg.GetIntervalMillis()))
	defer ticker.Stop()
	for {
		service, err := h.options.Services.Get(ctx, req.Msg.GetName(), true)
		if err != nil {
			return err
		}
		if err := stream.Send(&adminpb.WatchServiceResponse{Service: service}); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-h.draining:
			return Errorf(CodeUnavailable, "the node is shutting down")
		}
	}
}

// watchInterval is what a watcher asked for, within bounds.
func watchInterval(millis uint32) time.Duration {
	if millis == 0 {
		return defaultWatch
	}
	return min(max(time.Duration(millis)*time.Millisecond, minWatch), maxWatch)
}
