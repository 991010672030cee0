package admin

import (
	"context"

	"connectrpc.com/connect"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/adminpb/adminpbconnect"
)

type pairingsHandler struct{ *Server }

func (h *pairingsHandler) Rename(ctx context.Context, req *connect.Request[adminpb.RenamePairingRequest]) (*connect.Response[adminpb.RenamePairingResponse], error) {
	pairing, err := h.options.Pairings.Rename(ctx, req.Msg)
	return answer(&adminpb.RenamePairingResponse{Pairing: pairing}, err)
}

func (h *pairingsHandler) Revoke(ctx context.Context, req *connect.Request[adminpb.RevokePairingRequest]) (*connect.Response[adminpb.RevokePairingResponse], error) {
	pairing, err := h.options.Pairings.Revoke(ctx, req.Msg)
	return answer(&adminpb.RevokePairingResponse{Pairing: pairing}, err)
}

func (h *pairingsHandler) Rotate(ctx context.Context, req *connect.Request[adminpb.RotateKeysRequest]) (*connect.Response[adminpb.RotateKeysResponse], error) {
	keys, err := h.options.Pairings.Rotate(ctx, req.Msg)
	return answer(keys, err)
}

func (h *pairingsHandler) Fingerprint(ctx context.Context, req *connect.Request[adminpb.FingerprintRequest]) (*connect.Response[adminpb.FingerprintResponse], error) {
	print, err := h.options.Pairings.Fingerprint(ctx, req.Msg)
	return answer(print, err)
}

type pairingsClient struct {
	*caller
	rpc adminpbconnect.PairingsClient
}

func (c *pairingsClient) Rename(ctx context.Context, req *adminpb.RenamePairingRequest) (*adminpb.Pairing, error) {
	res, err := call(ctx, c.caller, c.rpc.Rename, req)
	return res.GetPairing(), err
}

func (c *pairingsClient) Revoke(ctx context.Context, req *adminpb.RevokePairingRequest) (*adminpb.Pairing, error) {
	res, err := call(ctx, c.caller, c.rpc.Revoke, req)
	return res.GetPairing(), err
}

func (c *pairingsClient) Rotate(ctx context.Context, req *adminpb.RotateKeysRequest) (*adminpb.RotateKeysResponse, error) {
	return call(ctx, c.caller, c.rpc.Rotate, req)
}

func (c *pairingsClient) Fingerprint(ctx context.Context, req *adminpb.FingerprintRequest) (*adminpb.FingerprintResponse, error) {
	return call(ctx, c.caller, c.rpc.Fingerprint, req)
}
