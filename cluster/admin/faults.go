package admin

import (
	"context"

	"connectrpc.com/connect"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/adminpb/adminpbconnect"
)

type faultsHandler struct{ *Server }

func (h *faultsHandler) List(ctx context.Context, req *connect.Request[adminpb.ListFaultsRequest]) (*connect.Response[adminpb.ListFaultsResponse], error) {
	page, err := h.options.Faults.List(ctx, req.Msg)
	return answer(page, err)
}

func (h *faultsHandler) Retry(ctx context.Context, req *connect.Request[adminpb.RetryFaultsRequest]) (*connect.Response[adminpb.RetryFaultsResponse], error) {
	changed, err := h.options.Faults.Retry(ctx, req.Msg)
	return answer(&adminpb.RetryFaultsResponse{Changed: changed}, err)
}

func (h *faultsHandler) Skip(ctx context.Context, req *connect.Request[adminpb.SkipFaultsRequest]) (*connect.Response[adminpb.SkipFaultsResponse], error) {
	changed, err := h.options.Faults.Skip(ctx, req.Msg)
	return answer(&adminpb.SkipFaultsResponse{Changed: changed}, err)
}

type faultsClient struct {
	*caller
	rpc adminpbconnect.FaultsClient
}

func (c *faultsClient) List(ctx context.Context, req *adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error) {
	return call(ctx, c.caller, c.rpc.List, req)
}

func (c *faultsClient) Retry(ctx context.Context, req *adminpb.RetryFaultsRequest) (*adminpb.FaultsChanged, error) {
	res, err := call(ctx, c.caller, c.rpc.Retry, req)
	return res.GetChanged(), err
}

func (c *faultsClient) Skip(ctx context.Context, req *adminpb.SkipFaultsRequest) (*adminpb.FaultsChanged, error) {
	res, err := call(ctx, c.caller, c.rpc.Skip, req)
	return res.GetChanged(), err
}
