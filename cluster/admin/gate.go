package admin

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"

	"connectrpc.com/connect"
)

// gate is the one place that every call passes, of whatever kind: it gives the
// call its request id, turns failures into their form on the wire and logs.
type gate struct{ server *Server }

var _ connect.Interceptor = (*gate)(nil)

// WrapUnary is for calls with one request and one answer.
func (g *gate) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		ctx, id, err := g.enter(ctx, req.Header())
		if err != nil {
			return nil, wireError(err, g.server.options.Node, id)
		}
		done := g.log(ctx, req.Spec(), id)
		res, err := next(ctx, req)
		done(err)
		if err != nil {
			return nil, wireError(err, g.server.options.Node, id)
		}
		res.Header().Set(requestHeader, id)
		return res, nil
	}
}

// WrapStreamingHandler is for streams.
func (g *gate) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		ctx, id, err := g.enter(ctx, conn.RequestHeader())
		if err != nil {
			return wireError(err, g.server.options.Node, id)
		}
		conn.ResponseHeader().Set(requestHeader, id)
		done := g.log(ctx, conn.Spec(), id)
		err = next(ctx, conn)
		done(err)
		if err != nil {
			return wireError(err, g.server.options.Node, id)
		}
		return nil
	}
}

// WrapStreamingClient is for clients, where there is no gate.
func (g *gate) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// enter gives a call its request id: the caller's, if it is fit to be logged.
func (g *gate) enter(ctx context.Context, header http.Header) (context.Context, string, error) {
	id := header.Get(requestHeader)
	if !validRequestID(id) {
		var err error
		if id, err = newRequestID(g.server.options.Rand); err != nil {
			return ctx, "", err
		}
	}
	return WithRequestID(ctx, id), id, nil
}

// log returns what to call with the outcome of a call that begins now.
func (g *gate) log(ctx context.Context, spec connect.Spec, id string) func(error) {
	o := g.server.options
	began := o.Clock()
	return func(err error) {
		attrs := []any{"call", spec.Procedure, "request", id, "took", o.Clock().Sub(began)}
		reads := spec.IdempotencyLevel == connect.IdempotencyNoSideEffects
		switch {
		case err != nil && Classify(err).Code == CodeFailed:
			o.Logger.ErrorContext(ctx, "admin call failed", append(attrs, "err", err)...)
		case err != nil && !reads:
			o.Logger.WarnContext(ctx, "admin change refused", append(attrs, "err", err)...)
		case err != nil:
			o.Logger.DebugContext(ctx, "admin call refused", append(attrs, "err", err)...)
		case !reads:
			o.Logger.InfoContext(ctx, "admin change", attrs...)
		default:
			o.Logger.DebugContext(ctx, "admin call", attrs...)
		}
	}
}

// recovered turns a panic of an implementation into a failure of its call. The
// site goes on; the fault is in the log with where it happened.
func (s *Server) recovered(ctx context.Context, spec connect.Spec, _ http.Header, cause any) error {
	s.options.Logger.ErrorContext(ctx, "admin call panicked", "call", spec.Procedure, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	return Errorf(CodeFailed, "the node failed on a fault of its own").WithHint("see the node's log, and report it")
}
