package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"syscall"
	"time"

	"connectrpc.com/connect"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/adminpb/adminpbconnect"
)

// Client calls a node. It is safe for concurrent use. Its fields are the
// interfaces that the node implements; every error of theirs is an *[Error].
type Client struct {
	System   System
	Paths    Paths
	Keys     Keys
	Sites    Sites
	Services Watching
	Objects  Objects
	Console  ConsoleFeed
	Plans    Plans
	Access   Access
	Pairings Pairings
	Resyncs  Resyncs
	Faults   Faults
	// Verification compares the ends of links.
	Verification Verification
	Versions     Versions

	transport *http.Transport
}

// Watching is Services with what a client makes of it.
type Watching interface {
	Services
	// List returns all services, ordered by name; stats as in Page.
	List(ctx context.Context, stats bool) ([]*adminpb.Service, error)
	// Watch calls fn with the service at once and then about every interval
	// (100 ms to a minute; 0 is one second), until fn returns an error, which
	// Watch returns, or the call ends: CodeNotFound when the service is gone,
	// CodeUnavailable when the node is.
	Watch(ctx context.Context, name string, interval time.Duration, fn func(*adminpb.Service) error) error
}

func newClient(t Target, url string, transport *http.Transport) *Client {
	calls := &caller{target: t.Address, token: t.Token, rand: rand.Reader}
	options := []connect.ClientOption{
		connect.WithInterceptors(calls),
		connect.WithReadMaxBytes(maxResponse),
	}
	if strings.HasPrefix(t.Address, "unix:") {
		options = append(options, connect.WithAcceptCompression("gzip", nil, nil)) // a socket is faster than gzip
	}
	httpClient := &http.Client{Transport: transport}
	return &Client{
		System:   &systemClient{calls, adminpbconnect.NewSystemClient(httpClient, url, options...)},
		Paths:    &pathsClient{calls, adminpbconnect.NewPathsClient(httpClient, url, options...)},
		Keys:     &keysClient{calls, adminpbconnect.NewKeysClient(httpClient, url, options...)},
		Sites:    &sitesClient{calls, adminpbconnect.NewSitesClient(httpClient, url, options...)},
		Services: &servicesClient{calls, adminpbconnect.NewServicesClient(httpClient, url, options...)},
		Objects:  &objectsClient{calls, adminpbconnect.NewObjectsClient(httpClient, url, options...)},
		Console:  &consoleClient{calls, adminpbconnect.NewConsoleClient(httpClient, url, options...)},
		Plans:    &plansClient{calls, adminpbconnect.NewPlansClient(httpClient, url, options...)},
		Access:   &accessClient{calls, adminpbconnect.NewAccessClient(httpClient, url, options...)},
		Faults:   &faultsClient{calls, adminpbconnect.NewFaultsClient(httpClient, url, options...)},

		Verification: &verificationClient{calls, adminpbconnect.NewVerificationClient(httpClient, url, options...)},
		Pairings:     &pairingsClient{calls, adminpbconnect.NewPairingsClient(httpClient, url, options...)},
		Resyncs:      &resyncsClient{calls, adminpbconnect.NewResyncsClient(httpClient, url, options...)},
		Versions:     &versionsClient{calls, adminpbconnect.NewVersionsClient(httpClient, url, options...)},

		transport: transport,
	}
}

// Close lets go of idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// caller is what all calls of a client share: request ids, deadlines, errors.
type caller struct {
	target string
	token  string
	rand   io.Reader
}

var _ connect.Interceptor = (*caller)(nil)

// WrapUnary gives a call its request id and, when the caller set none, a deadline.
func (c *caller) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if err := c.identify(ctx, req.Header()); err != nil {
			return nil, err
		}
		if _, ok := ctx.Deadline(); ok {
			return next(ctx, req)
		}
		bounded, cancel := context.WithTimeout(ctx, defaultCallTime)
		defer cancel()
		res, err := next(bounded, req)
		if err != nil && ctx.Err() == nil && errors.Is(bounded.Err(), context.DeadlineExceeded) {
			return nil, Errorf(CodeUnavailable, "the node at %s did not answer within %v", c.target, defaultCallTime).
				WithHint("see the node's log")
		}
		return res, err
	}
}

// WrapStreamingClient gives a stream its request id. Streams take as long as
// they take: they end by their context, or when nothing moves.
func (c *caller) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		// Without an id of ours the node draws one.
		_ = c.identify(ctx, conn.RequestHeader())
		return conn
	}
}

// WrapStreamingHandler is for servers.
func (c *caller) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func (c *caller) identify(ctx context.Context, header http.Header) error {
	id := RequestID(ctx)
	if id == "" {
		var err error
		if id, err = newRequestID(c.rand); err != nil {
			return err
		}
	}
	header.Set(requestHeader, id)
	if c.token != "" {
		header.Set("Authorization", "Bearer "+c.token)
	}
	return nil
}

// failure turns what a call returned into an *Error, or nil.
func (c *caller) failure(err error) error {
	if err == nil {
		return nil
	}
	var ours *Error
	if errors.As(err, &ours) {
		return ours
	}
	var wire *connect.Error
	if !errors.As(err, &wire) {
		return Classify(err)
	}
	if !connect.IsWireError(wire) {
		return c.unreachable(wire)
	}
	out := &Error{Code: codeOf(wire.Code()), Message: wire.Message(), RequestID: wire.Meta().Get(requestHeader), Err: err}
	for _, d := range wire.Details() {
		value, err := d.Value()
		if detail, ok := value.(*adminpb.ErrorDetail); err == nil && ok {
			out.Hint, out.Node = detail.GetHint(), detail.GetNode()
		}
	}
	if out.Message == "" {
		out.Message = "the node refused the call: " + wire.Code().String()
	}
	return out
}

// unreachable explains a failure that is not the node's answer.
func (c *caller) unreachable(err *connect.Error) *Error {
	why, hint := err.Message(), "is isgwnode running, and is this its data directory?"
	code := CodeUnavailable
	if strings.HasPrefix(c.target, "https://") {
		if e := unreachableTLS(c.target, err); e != nil {
			e.Err = err
			return e
		}
		hint = "is isgwnode running there, and is this its --admin address?"
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		why = "there is no such socket"
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "nothing listens on the socket"
	case errors.Is(err, fs.ErrPermission):
		return &Error{Code: CodeDenied, Message: "no permission to open " + c.target, Hint: "run this as the user that runs the node", Err: err}
	case err.Code() == connect.CodeCanceled:
		return &Error{Code: CodeInterrupted, Message: "interrupted", Err: err}
	case err.Code() == connect.CodeDeadlineExceeded:
		code, why, hint = CodeTimeout, "it took too long", ""
	case strings.HasPrefix(err.Message(), "HTTP status "): // of a server that has no such procedure
		return &Error{Code: CodeUnavailable, Message: "what answers at " + c.target + " is no admin API: " + err.Message(), Hint: "is it the port of the admin API? see --admin of the node", Err: err}
	case err.Code() != connect.CodeUnavailable && err.Code() != connect.CodeUnknown:
		return &Error{Code: codeOf(err.Code()), Message: "talk to the node at " + c.target + ": " + err.Message(), Err: err}
	}
	return &Error{Code: code, Message: "no node answers at " + c.target + ": " + why, Hint: hint, Err: err}
}
