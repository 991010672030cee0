package admin

import (
	"context"

	"connectrpc.com/connect"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// The handlers unwrap a request, call the implementation and wrap its answer.

type systemHandler struct{ *Server }

func (h *systemHandler) Init(ctx context.Context, req *connect.Request[adminpb.InitRequest]) (*connect.Response[adminpb.InitResponse], error) {
	status, err := h.options.System.Init(ctx, req.Msg)
	return answer(&adminpb.InitResponse{Status: status}, err)
}

func (h *systemHandler) Status(ctx context.Context, _ *connect.Request[adminpb.StatusRequest]) (*connect.Response[adminpb.StatusResponse], error) {
	status, err := h.options.System.Status(ctx)
	return answer(status, err)
}

type pathsHandler struct{ *Server }

func (h *pathsHandler) Create(ctx context.Context, req *connect.Request[adminpb.CreatePathRequest]) (*connect.Response[adminpb.CreatePathResponse], error) {
	path, err := h.options.Paths.Create(ctx, req.Msg)
	return answer(&adminpb.CreatePathResponse{Path: path}, err)
}

func (h *pathsHandler) List(ctx context.Context, req *connect.Request[adminpb.ListPathsRequest]) (*connect.Response[adminpb.ListPathsResponse], error) {
	page, err := h.options.Paths.List(ctx, req.Msg)
	return answer(page, err)
}

func (h *pathsHandler) Get(ctx context.Context, req *connect.Request[adminpb.GetPathRequest]) (*connect.Response[adminpb.GetPathResponse], error) {
	path, err := h.options.Paths.Get(ctx, req.Msg)
	return answer(&adminpb.GetPathResponse{Path: path}, err)
}

func (h *pathsHandler) Edit(ctx context.Context, req *connect.Request[adminpb.EditPathRequest]) (*connect.Response[adminpb.EditPathResponse], error) {
	path, err := h.options.Paths.Edit(ctx, req.Msg)
	return answer(&adminpb.EditPathResponse{Path: path}, err)
}

func (h *pathsHandler) Delete(ctx context.Context, req *connect.Request[adminpb.DeletePathRequest]) (*connect.Response[adminpb.DeletePathResponse], error) {
	return answer(&adminpb.DeletePathResponse{}, h.options.Paths.Delete(ctx, req.Msg))
}

type keysHandler struct{ *Server }

func (h *keysHandler) Create(ctx context.Context, req *connect.Request[adminpb.CreateKeyRequest]) (*connect.Response[adminpb.CreateKeyResponse], error) {
	key, err := h.options.Keys.Create(ctx, req.Msg)
	return answer(&adminpb.CreateKeyResponse{Key: key}, err)
}

func (h *keysHandler) List(ctx context.Context, req *connect.Request[adminpb.ListKeysRequest]) (*connect.Response[adminpb.ListKeysResponse], error) {
	keys, err := h.options.Keys.List(ctx, req.Msg.GetTenant())
	return answer(&adminpb.ListKeysResponse{Keys: keys}, err)
}

func (h *keysHandler) Delete(ctx context.Context, req *connect.Request[adminpb.DeleteKeyRequest]) (*connect.Response[adminpb.DeleteKeyResponse], error) {
	return answer(&adminpb.DeleteKeyResponse{}, h.options.Keys.Delete(ctx, req.Msg))
}

type sitesHandler struct{ *Server }

func (h *sitesHandler) Invite(ctx context.Context, req *connect.Request[adminpb.InviteRequest]) (*connect.Response[adminpb.InviteResponse], error) {
	invitation, err := h.options.Sites.Invite(ctx, req.Msg)
	return answer(invitation, err)
}

func (h *sitesHandler) Pair(ctx context.Context, req *connect.Request[adminpb.PairRequest]) (*connect.Response[adminpb.PairResponse], error) {
	pairing, err := h.options.Sites.Pair(ctx, req.Msg.GetToken())
	return answer(&adminpb.PairResponse{Pairing: pairing}, err)
}

func (h *sitesHandler) ListPairings(ctx context.Context, _ *connect.Request[adminpb.ListPairingsRequest]) (*connect.Response[adminpb.ListPairingsResponse], error) {
	pairings, err := h.options.Sites.Pairings(ctx)
	return answer(&adminpb.ListPairingsResponse{Pairings: pairings}, err)
}

// answer wraps a message, or lets go of it when the call failed.
func answer[M any](msg *M, err error) (*connect.Response[M], error) {
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(msg), nil
}
