package admin

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"
)

// gate is the one place that every call passes, of whatever kind: it gives the
// call its request id, finds out who makes it and whether they may, turns
// failures into their form on the wire, logs and records.
type gate struct{ server *Server }

var _ connect.Interceptor = (*gate)(nil)

// passage is one call on its way through the gate.
type passage struct {
	gate   *gate
	spec   connect.Spec
	id     string
	caller Caller
	object string // what the call is about, once its message was seen
	reads  bool   // it changes nothing: its procedure never does, or its message asks for no change
	header http.Header
}

// WrapUnary is for calls with one request and one answer.
func (g *gate) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		var res connect.AnyResponse
		p, err := g.enter(ctx, req.Spec(), req.Header())
		if err == nil {
			done := p.log(ctx)
			if err = p.admit(req.Any()); err == nil {
				res, err = next(p.context(ctx), req)
			}
			done(err)
		}
		if err != nil {
			return nil, wireError(err, g.server.options.Node, p.id)
		}
		res.Header().Set(requestHeader, p.id)
		return res, nil
	}
}

// WrapStreamingHandler is for streams.
func (g *gate) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		p, err := g.enter(ctx, conn.Spec(), conn.RequestHeader())
		if err == nil {
			done := p.log(ctx)
			if err = mayCall(p.caller, p.spec.Procedure); err == nil {
				conn.ResponseHeader().Set(requestHeader, p.id)
				stream := &gatedStream{StreamingHandlerConn: conn, passage: p, ctx: ctx, checked: g.server.options.Clock()}
				err = next(p.context(ctx), stream)
			}
			done(err)
		}
		if err != nil {
			return wireError(err, g.server.options.Node, p.id)
		}
		return nil
	}
}

// WrapStreamingClient is for clients, where there is no gate.
func (g *gate) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// gatedStream lets the first message of a stream through only if the caller may
// send it; the others are its continuation, as long as the caller is who it was.
type gatedStream struct {
	connect.StreamingHandlerConn
	passage *passage
	ctx     context.Context // of the call
	entered bool

	mu      sync.Mutex
	checked time.Time // when who calls was last found out
}

// Receive implements connect.StreamingHandlerConn.
func (s *gatedStream) Receive(msg any) error {
	if err := s.StreamingHandlerConn.Receive(msg); err != nil && !errors.Is(err, io.EOF) {
		return err
	} else if again := s.again(); again != nil || err != nil {
		return cmp.Or(again, err) // the end of an upload is what stores it
	}
	if s.entered {
		return nil
	}
	if err := s.passage.admit(msg); err != nil {
		return err
	}
	s.entered = true
	return nil
}

// Send implements connect.StreamingHandlerConn.
func (s *gatedStream) Send(msg any) error {
	if err := s.again(); err != nil {
		return err
	}
	return s.StreamingHandlerConn.Send(msg)
}

// again finds out once more who calls, if that is some time ago: a stream may last
// for weeks, and a token that was revoked or has expired ends it.
func (s *gatedStream) again() error {
	p := s.passage
	now := p.gate.server.options.Clock()
	s.mu.Lock()
	due := now.Sub(s.checked).Abs() >= recheckTime
	if due {
		s.checked = now
	}
	s.mu.Unlock()
	if !due {
		return nil
	}
	caller, err := p.gate.identify(s.ctx, p.header)
	if err == nil && caller != p.caller {
		err = unauthenticated("what %s may do was changed after the call had begun", p.caller.Principal).WithHint("call again")
	}
	return err
}

// enter gives a call its request id, the caller's if it is fit to be logged,
// and finds out who makes it. The passage is there in any case.
func (g *gate) enter(ctx context.Context, spec connect.Spec, header http.Header) (*passage, error) {
	p := &passage{gate: g, spec: spec, id: header.Get(requestHeader), header: header, reads: spec.IdempotencyLevel == connect.IdempotencyNoSideEffects}
	if !validRequestID(p.id) {
		var err error
		if p.id, err = newRequestID(g.server.options.Rand); err != nil {
			return p, err
		}
	}
	var err error
	p.caller, err = g.identify(ctx, header)
	return p, err
}

// admit lets a message through, or refuses it.
func (p *passage) admit(msg any) error {
	p.object = objectOf(msg)
	p.reads = p.reads || onlyReads(msg)
	return mayAsk(p.caller, p.spec.Procedure, msg)
}

func (p *passage) context(ctx context.Context) context.Context {
	return withCaller(WithRequestID(ctx, p.id), p.caller)
}

// log returns what to call with the outcome of a call that begins now.
func (p *passage) log(ctx context.Context) func(error) {
	o := p.gate.server.options
	began := o.Clock()
	return func(err error) {
		now := o.Clock()
		attrs := []any{"call", p.spec.Procedure, "by", p.caller.Principal, "request", p.id, "took", now.Sub(began)}
		if !p.reads && o.Audit != nil {
			o.Audit(entryOf(now, p.caller, p.id, p.spec, p.object, err))
		}
		switch {
		case err != nil && Classify(err).Code == CodeFailed:
			o.Logger.ErrorContext(ctx, "admin call failed", append(attrs, "err", err)...)
		case err != nil && !p.reads:
			o.Logger.WarnContext(ctx, "admin change refused", append(attrs, "err", err)...)
		case err != nil:
			o.Logger.DebugContext(ctx, "admin call refused", append(attrs, "err", err)...)
		case !p.reads:
			o.Logger.InfoContext(ctx, "admin change", attrs...)
		default:
			o.Logger.DebugContext(ctx, "admin call", attrs...)
		}
	}
}

// Credential is what a caller from elsewhere shows: a token's secret, or the
// certificate whose key it holds. Who signed the certificate is not checked yet.
type Credential struct {
	Secret      string
	Certificate *x509.Certificate
}

// identify finds out who makes a call, from how it came here.
func (g *gate) identify(ctx context.Context, header http.Header) (Caller, error) {
	via, _ := ctx.Value(viaKey{}).(via)
	if via.local {
		return Caller{Principal: "local:" + via.user, Role: RoleSiteAdmin}, nil
	}
	var shown Credential
	if bearer, ok := strings.CutPrefix(header.Get("Authorization"), "Bearer "); ok {
		shown.Secret = strings.TrimSpace(bearer)
	} else if via.tls != nil && len(via.tls.PeerCertificates) > 0 {
		shown.Certificate = via.tls.PeerCertificates[0]
	}
	switch {
	case via.tls == nil, shown.Secret == "" && shown.Certificate == nil:
		return Caller{}, unauthenticated("the call shows neither a token nor a client certificate").
			WithHint("make one at the site: `isgwctl admin token create --role viewer`")
	case g.server.options.Authenticate == nil:
		return Caller{}, unauthenticated("this node knows no tokens and no certificates")
	}
	return g.server.options.Authenticate(ctx, shown)
}

// unauthenticated is a refusal of somebody unknown.
func unauthenticated(format string, args ...any) *Error {
	return Errorf(CodeDenied, format, args...)
}

type viaKey struct{}

// via is how a call came to the server.
type via struct {
	local bool
	user  string // of a local call: the user's id, as the kernel says
	tls   *tls.ConnectionState
}

// localConn marks the calls of a connection of the unix socket.
func localConn(ctx context.Context, c net.Conn) context.Context {
	v := via{local: true, user: "?"}
	if b, ok := c.(*boundedConn); ok {
		c = b.Conn
	}
	if u, ok := c.(*net.UnixConn); ok {
		if raw, err := u.SyscallConn(); err == nil {
			// Who cannot be told stays "?": the socket's mode has let them in.
			_ = raw.Control(func(fd uintptr) {
				if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
					v.user = strconv.FormatUint(uint64(cred.Uid), 10)
				}
			})
		}
	}
	return context.WithValue(ctx, viaKey{}, v)
}

// overTLS marks the calls that come over TLS.
func overTLS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			r = r.WithContext(context.WithValue(r.Context(), viaKey{}, via{tls: r.TLS}))
		}
		next.ServeHTTP(w, r)
	})
}

// recovered turns a panic of an implementation into a failure of its call. The
// site goes on; the fault is in the log with where it happened.
func (s *Server) recovered(ctx context.Context, spec connect.Spec, _ http.Header, cause any) error {
	s.options.Logger.ErrorContext(ctx, "admin call panicked", "call", spec.Procedure, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	return Errorf(CodeFailed, "the node failed on a fault of its own").WithHint("see the node's log, and report it")
}
