package admin

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/adminpb/adminpbconnect"
)

// call makes a unary call and unwraps its answer.
func call[Req, Res any](ctx context.Context, c *caller, method func(context.Context, *connect.Request[Req]) (*connect.Response[Res], error), req *Req) (*Res, error) {
	res, err := method(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, c.failure(err)
	}
	return res.Msg, nil
}

type systemClient struct {
	*caller
	rpc adminpbconnect.SystemClient
}

func (c *systemClient) Init(ctx context.Context, req *adminpb.InitRequest) (*adminpb.StatusResponse, error) {
	res, err := call(ctx, c.caller, c.rpc.Init, req)
	return res.GetStatus(), err
}

func (c *systemClient) Status(ctx context.Context) (*adminpb.StatusResponse, error) {
	return call(ctx, c.caller, c.rpc.Status, &adminpb.StatusRequest{})
}

type pathsClient struct {
	*caller
	rpc adminpbconnect.PathsClient
}

func (c *pathsClient) Create(ctx context.Context, req *adminpb.CreatePathRequest) (*adminpb.Path, error) {
	res, err := call(ctx, c.caller, c.rpc.Create, req)
	return res.GetPath(), err
}

func (c *pathsClient) List(ctx context.Context, req *adminpb.ListPathsRequest) (*adminpb.ListPathsResponse, error) {
	return call(ctx, c.caller, c.rpc.List, req)
}

func (c *pathsClient) Get(ctx context.Context, req *adminpb.GetPathRequest) (*adminpb.Path, error) {
	res, err := call(ctx, c.caller, c.rpc.Get, req)
	return res.GetPath(), err
}

func (c *pathsClient) Edit(ctx context.Context, req *adminpb.EditPathRequest) (*adminpb.Path, error) {
	res, err := call(ctx, c.caller, c.rpc.Edit, req)
	return res.GetPath(), err
}

func (c *pathsClient) Delete(ctx context.Context, req *adminpb.DeletePathRequest) error {
	_, err := call(ctx, c.caller, c.rpc.Delete, req)
	return err
}

type keysClient struct {
	*caller
	rpc adminpbconnect.KeysClient
}

func (c *keysClient) Create(ctx context.Context, req *adminpb.CreateKeyRequest) (*adminpb.Key, error) {
	res, err := call(ctx, c.caller, c.rpc.Create, req)
	return res.GetKey(), err
}

func (c *keysClient) List(ctx context.Context, tenant string) ([]*adminpb.Key, error) {
	res, err := call(ctx, c.caller, c.rpc.List, &adminpb.ListKeysRequest{Tenant: tenant})
	return res.GetKeys(), err
}

func (c *keysClient) Delete(ctx context.Context, req *adminpb.DeleteKeyRequest) error {
	_, err := call(ctx, c.caller, c.rpc.Delete, req)
	return err
}

type sitesClient struct {
	*caller
	rpc adminpbconnect.SitesClient
}

func (c *sitesClient) Invite(ctx context.Context, req *adminpb.InviteRequest) (*adminpb.InviteResponse, error) {
	return call(ctx, c.caller, c.rpc.Invite, req)
}

func (c *sitesClient) Pair(ctx context.Context, token string) (*adminpb.Pairing, error) {
	res, err := call(ctx, c.caller, c.rpc.Pair, &adminpb.PairRequest{Token: token})
	return res.GetPairing(), err
}

func (c *sitesClient) Pairings(ctx context.Context) ([]*adminpb.Pairing, error) {
	res, err := call(ctx, c.caller, c.rpc.ListPairings, &adminpb.ListPairingsRequest{})
	return res.GetPairings(), err
}

type servicesClient struct {
	*caller
	rpc adminpbconnect.ServicesClient
}

func (c *servicesClient) Create(ctx context.Context, req *adminpb.CreateServiceRequest) (*adminpb.Service, error) {
	res, err := call(ctx, c.caller, c.rpc.Create, req)
	return res.GetService(), err
}

func (c *servicesClient) Page(ctx context.Context, req *adminpb.ListServicesRequest) (*adminpb.ListServicesResponse, error) {
	return call(ctx, c.caller, c.rpc.List, req)
}

// List asks page by page, so that no answer is too large however many there are.
func (c *servicesClient) List(ctx context.Context, stats bool) ([]*adminpb.Service, error) {
	var all []*adminpb.Service
	req := &adminpb.ListServicesRequest{Stats: stats, Limit: listPage}
	for {
		page, err := c.Page(ctx, req)
		if err != nil {
			return nil, err
		}
		all = append(all, page.GetServices()...)
		if !page.GetMore() || len(page.GetServices()) == 0 {
			return all, nil
		}
		req.After = all[len(all)-1].GetName()
	}
}

func (c *servicesClient) Get(ctx context.Context, name string, stats bool) (*adminpb.Service, error) {
	res, err := call(ctx, c.caller, c.rpc.Get, &adminpb.GetServiceRequest{Name: name, Stats: stats})
	return res.GetService(), err
}

func (c *servicesClient) Serve(ctx context.Context, name, path string) (*adminpb.Service, error) {
	res, err := call(ctx, c.caller, c.rpc.Serve, &adminpb.ServeRequest{Name: name, Path: path})
	return res.GetService(), err
}

func (c *servicesClient) Unserve(ctx context.Context, name, path string) (*adminpb.Service, error) {
	res, err := call(ctx, c.caller, c.rpc.Unserve, &adminpb.UnserveRequest{Name: name, Path: path})
	return res.GetService(), err
}

func (c *servicesClient) SetEnabled(ctx context.Context, name string, enabled bool) (*adminpb.Service, error) {
	if enabled {
		res, err := call(ctx, c.caller, c.rpc.Enable, &adminpb.EnableServiceRequest{Name: name})
		return res.GetService(), err
	}
	res, err := call(ctx, c.caller, c.rpc.Disable, &adminpb.DisableServiceRequest{Name: name})
	return res.GetService(), err
}

func (c *servicesClient) Delete(ctx context.Context, name string) error {
	_, err := call(ctx, c.caller, c.rpc.Delete, &adminpb.DeleteServiceRequest{Name: name})
	return err
}

func (c *servicesClient) Watch(ctx context.Context, name string, interval time.Duration, fn func(*adminpb.Service) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // so that the node stops when fn had enough
	millis := uint32(min(max(interval, 0), maxWatch) / time.Millisecond)
	stream, err := c.rpc.Watch(ctx, connect.NewRequest(&adminpb.WatchServiceRequest{Name: name, IntervalMillis: millis}))
	if err != nil {
		return c.failure(err)
	}
	defer stream.Close()
	for stream.Receive() {
		if err := fn(stream.Msg().GetService()); err != nil {
			return err
		}
	}
	if err := stream.Err(); err != nil {
		return c.failure(err)
	}
	return Errorf(CodeUnavailable, "the node at %s ended the stream", c.target)
}
