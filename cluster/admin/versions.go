package admin

import (
	"context"

	"connectrpc.com/connect"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/adminpb/adminpbconnect"
)

// Versions are what the history of keys holds.
type Versions interface {
	// List returns what is kept of a key, the greatest first: CodeNotFound when
	// nothing is.
	List(ctx context.Context, req *adminpb.ListVersionsRequest) (*adminpb.ListVersionsResponse, error)
	// Conflicts returns a page of a bucket's conflicts, ordered by key, at a cost that
	// grows with their number.
	Conflicts(ctx context.Context, req *adminpb.ListConflictsRequest) (*adminpb.ListConflictsResponse, error)
	// Promote writes the content of a version again, above all others of its key, and
	// returns what it wrote.
	Promote(ctx context.Context, req *adminpb.PromoteVersionRequest) (*adminpb.Object, error)
}

type versionsHandler struct{ *Server }

func (h *versionsHandler) List(ctx context.Context, req *connect.Request[adminpb.ListVersionsRequest]) (*connect.Response[adminpb.ListVersionsResponse], error) {
	list, err := h.options.Versions.List(ctx, req.Msg)
	return answer(list, err)
}

func (h *versionsHandler) Conflicts(ctx context.Context, req *connect.Request[adminpb.ListConflictsRequest]) (*connect.Response[adminpb.ListConflictsResponse], error) {
	page, err := h.options.Versions.Conflicts(ctx, req.Msg)
	return answer(page, err)
}

func (h *versionsHandler) Promote(ctx context.Context, req *connect.Request[adminpb.PromoteVersionRequest]) (*connect.Response[adminpb.PromoteVersionResponse], error) {
	object, err := h.options.Versions.Promote(ctx, req.Msg)
	return answer(&adminpb.PromoteVersionResponse{Object: object}, err)
}

type versionsClient struct {
	*caller
	rpc adminpbconnect.VersionsClient
}

func (c *versionsClient) List(ctx context.Context, req *adminpb.ListVersionsRequest) (*adminpb.ListVersionsResponse, error) {
	return call(ctx, c.caller, c.rpc.List, req)
}

func (c *versionsClient) Conflicts(ctx context.Context, req *adminpb.ListConflictsRequest) (*adminpb.ListConflictsResponse, error) {
	return call(ctx, c.caller, c.rpc.Conflicts, req)
}

func (c *versionsClient) Promote(ctx context.Context, req *adminpb.PromoteVersionRequest) (*adminpb.Object, error) {
	res, err := call(ctx, c.caller, c.rpc.Promote, req)
	return res.GetObject(), err
}
