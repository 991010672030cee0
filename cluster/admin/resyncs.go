package admin

import (
	"context"

	"connectrpc.com/connect"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/adminpb/adminpbconnect"
)

// Resyncs are wishes for comparing what a link has copied from its beginning.
type Resyncs interface {
	// Start asks for a re-sync of what a service serves at a path, everything when it
	// is empty, and returns the service. It does not wait for it.
	Start(ctx context.Context, name, path string) (*adminpb.Service, error)
}

type resyncsHandler struct{ *Server }

func (h *resyncsHandler) Start(ctx context.Context, req *connect.Request[adminpb.StartResyncRequest]) (*connect.Response[adminpb.StartResyncResponse], error) {
	service, err := h.options.Resyncs.Start(ctx, req.Msg.GetName(), req.Msg.GetPath())
	return answer(&adminpb.StartResyncResponse{Service: service}, err)
}

type resyncsClient struct {
	*caller
	rpc adminpbconnect.ResyncsClient
}

func (c *resyncsClient) Start(ctx context.Context, name, path string) (*adminpb.Service, error) {
	res, err := call(ctx, c.caller, c.rpc.Start, &adminpb.StartResyncRequest{Name: name, Path: path})
	return res.GetService(), err
}
