package admin

import (
	"context"
	"sync"

	"connectrpc.com/connect"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/adminpb/adminpbconnect"
)

// Verification compares the two ends of links.
type Verification interface {
	// Verify calls fn with what is found and how far it is, until all is compared or
	// fn returns an error, which Verify returns. The calls are made one after the
	// other. That a bucket cannot be compared is told by fn, and is no error.
	Verify(ctx context.Context, req *adminpb.VerifyRequest, fn func(*adminpb.VerifyResponse) error) error
}

type verificationHandler struct{ *Server }

func (h *verificationHandler) Verify(ctx context.Context, req *connect.Request[adminpb.VerifyRequest], stream *connect.ServerStream[adminpb.VerifyResponse]) error {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		select {
		case <-h.draining:
			cancel()
		case <-ctx.Done():
		}
	})
	return h.options.Verification.Verify(ctx, req.Msg, stream.Send)
}

type verificationClient struct {
	*caller
	rpc adminpbconnect.VerificationClient
}

func (c *verificationClient) Verify(ctx context.Context, req *adminpb.VerifyRequest, fn func(*adminpb.VerifyResponse) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // so that the node stops when fn had enough
	stream, err := c.rpc.Verify(ctx, connect.NewRequest(req))
	if err != nil {
		return c.failure(err)
	}
	defer stream.Close()
	for stream.Receive() {
		if err := fn(stream.Msg()); err != nil {
			return err
		}
	}
	if err := stream.Err(); err != nil {
		return c.failure(err)
	}
	return nil
}
