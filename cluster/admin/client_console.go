package admin

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/adminpb/adminpbconnect"
)

// ConsoleFeed is what a screen needs of a node.
type ConsoleFeed interface {
	// Watch calls fn with a snapshot at once and then about every interval in
	// which something changed (100 ms to a minute; 0 is one second), with a
	// heartbeat in between, until fn returns an error, which Watch returns, or
	// the call ends: CodeUnavailable when the node is gone. known is the
	// revision of the snapshot that the caller has, or 0. Every snapshot is
	// whole, though after the first only what differs crosses the connection;
	// what did not change is shared with the snapshots before, so they must not
	// be changed.
	Watch(ctx context.Context, interval time.Duration, known uint64, fn func(*adminpb.ConsoleSnapshot) error) error
	// History returns what the node remembers of a link, or of all of them.
	History(ctx context.Context, req *adminpb.HistoryRequest) (*adminpb.HistoryResponse, error)
}

type consoleClient struct {
	*caller
	rpc adminpbconnect.ConsoleClient
}

func (c *consoleClient) Watch(ctx context.Context, interval time.Duration, known uint64, fn func(*adminpb.ConsoleSnapshot) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // so that the node stops when fn had enough
	millis := uint32(min(max(interval, 0), maxWatch) / time.Millisecond)
	stream, err := c.rpc.Watch(ctx, connect.NewRequest(&adminpb.WatchConsoleRequest{
		IntervalMillis: millis, KnownRevision: known, Changes: known == 0, // the node cannot tell what changed of what it has not told
	}))
	if err != nil {
		return c.failure(err)
	}
	defer stream.Close()
	var last *adminpb.ConsoleSnapshot
	for stream.Receive() {
		told := stream.Msg() // a new one each time
		if !told.GetHeartbeat() {
			if told, err = merged(last, told); err != nil {
				return err
			}
			last = told
		}
		if err := fn(told); err != nil {
			return err
		}
	}
	if err := stream.Err(); err != nil {
		return c.failure(err)
	}
	return Errorf(CodeUnavailable, "the node at %s ended the stream", c.target)
}

func (c *consoleClient) History(ctx context.Context, req *adminpb.HistoryRequest) (*adminpb.HistoryResponse, error) {
	return call(ctx, c.caller, c.rpc.History, req)
}

type plansClient struct {
	*caller
	rpc adminpbconnect.PlansClient
}

func (c *plansClient) Plan(ctx context.Context, req *adminpb.PlanRequest) (*adminpb.Plan, error) {
	res, err := call(ctx, c.caller, c.rpc.Plan, req)
	return res.GetPlan(), err
}

func (c *plansClient) Apply(ctx context.Context, req *adminpb.ApplyRequest) (*adminpb.ApplyResponse, error) {
	return call(ctx, c.caller, c.rpc.Apply, req)
}

type accessClient struct {
	*caller
	rpc adminpbconnect.AccessClient
}

func (c *accessClient) WhoAmI(ctx context.Context) (*adminpb.WhoAmIResponse, error) {
	return call(ctx, c.caller, c.rpc.WhoAmI, &adminpb.WhoAmIRequest{})
}

func (c *accessClient) CreateToken(ctx context.Context, req *adminpb.CreateTokenRequest) (*adminpb.CreateTokenResponse, error) {
	return call(ctx, c.caller, c.rpc.CreateToken, req)
}

func (c *accessClient) ListTokens(ctx context.Context) ([]*adminpb.Token, error) {
	res, err := call(ctx, c.caller, c.rpc.ListTokens, &adminpb.ListTokensRequest{})
	return res.GetTokens(), err
}

func (c *accessClient) RevokeToken(ctx context.Context, name string) error {
	_, err := call(ctx, c.caller, c.rpc.RevokeToken, &adminpb.RevokeTokenRequest{Name: name})
	return err
}

func (c *accessClient) IssueCertificate(ctx context.Context, req *adminpb.IssueCertificateRequest) (*adminpb.IssueCertificateResponse, error) {
	return call(ctx, c.caller, c.rpc.IssueCertificate, req)
}

func (c *accessClient) Audit(ctx context.Context, limit int) ([]*adminpb.AuditEntry, error) {
	res, err := call(ctx, c.caller, c.rpc.Audit, &adminpb.AuditRequest{Limit: uint32(max(limit, 0))})
	return res.GetEntries(), err
}
