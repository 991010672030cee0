package admin

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/adminpb/adminpbconnect"
)

// Options are what a server serves. The first six interfaces are needed; calls
// on one of the others that is not there are refused as not supported.
type Options struct {
	System   System
	Paths    Paths
	Keys     Keys
	Sites    Sites
	Services Services
	Objects  Objects
	Console  Console
	Plans    Plans
	Access   Access
	Pairings Pairings
	Resyncs  Resyncs
	Faults   Faults
	// Verification compares the ends of links; nil leaves it out.
	Verification Verification
	Versions     Versions

	// Node is the node's name, told with every refusal.
	Node string
	// Logger takes one line for each call: changes at level info, reads at
	// level debug. Nothing is logged when it is nil.
	Logger *slog.Logger
	// Clock measures calls; time.Now by default.
	Clock func() time.Time
	// Authenticate says who shows a credential. What it does not know it
	// refuses with an *Error of CodeDenied. Nil: only local calls are served.
	Authenticate func(ctx context.Context, shown Credential) (Caller, error)
	// Audit takes the record of every change that somebody tried; nil: none is kept.
	Audit func(*adminpb.AuditEntry)
	// Rand draws request ids; crypto/rand by default.
	Rand io.Reader
}

// Server serves the admin API. It is safe for concurrent use.
type Server struct {
	options  Options
	handler  http.Handler
	draining chan struct{} // closed when the first Serve ends: streams end too
	drain    sync.Once
}

// NewServer makes a server.
func NewServer(o Options) (*Server, error) {
	if o.System == nil || o.Paths == nil || o.Keys == nil || o.Sites == nil || o.Services == nil || o.Objects == nil {
		return nil, errors.New("make admin server: an interface is missing")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	s := &Server{options: o, draining: make(chan struct{})}
	common := []connect.HandlerOption{
		connect.WithInterceptors(&gate{server: s}),
		connect.WithSendMaxBytes(maxResponse),
		connect.WithRecover(s.recovered),
	}
	small := append(common[:len(common):len(common)], connect.WithReadMaxBytes(maxRequest))
	plans := append(common[:len(common):len(common)], connect.WithReadMaxBytes(maxPlan))
	large := append(common[:len(common):len(common)], connect.WithReadMaxBytes(maxUpload))
	mux := http.NewServeMux()
	mux.Handle(adminpbconnect.NewSystemHandler(&systemHandler{s}, small...))
	mux.Handle(adminpbconnect.NewPathsHandler(&pathsHandler{s}, small...))
	mux.Handle(adminpbconnect.NewKeysHandler(&keysHandler{s}, small...))
	mux.Handle(adminpbconnect.NewSitesHandler(&sitesHandler{s}, small...))
	mux.Handle(adminpbconnect.NewServicesHandler(&servicesHandler{s}, small...))
	mux.Handle(adminpbconnect.NewObjectsHandler(&objectsHandler{s}, large...))
	if o.Console != nil {
		mux.Handle(adminpbconnect.NewConsoleHandler(&consoleHandler{s}, small...))
	}
	if o.Plans != nil {
		mux.Handle(adminpbconnect.NewPlansHandler(&plansHandler{s}, plans...))
	}
	if o.Access != nil {
		mux.Handle(adminpbconnect.NewAccessHandler(&accessHandler{s}, small...))
	}
	if o.Faults != nil {
		mux.Handle(adminpbconnect.NewFaultsHandler(&faultsHandler{s}, small...))
	}
	if o.Verification != nil {
		mux.Handle(adminpbconnect.NewVerificationHandler(&verificationHandler{s}, small...))
	}
	if o.Resyncs != nil {
		mux.Handle(adminpbconnect.NewResyncsHandler(&resyncsHandler{s}, small...))
	}
	if o.Pairings != nil {
		mux.Handle(adminpbconnect.NewPairingsHandler(&pairingsHandler{s}, small...))
	}
	if o.Versions != nil {
		mux.Handle(adminpbconnect.NewVersionsHandler(&versionsHandler{s}, small...))
	}
	s.handler = overTLS(byProgress(mux))
	return s, nil
}

// Handler returns the API as an HTTP handler, for a listener of the caller's
// own. Deadlines of bodies are in it, those of headers are the listener's.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve answers calls of the local user on a listener of a unix socket: whoever
// the socket lets in is a site-admin. It ends as [Server.ServeTLS] does.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, l, nil)
}

// ServeTLS answers calls on a listener from elsewhere, over TLS: who calls is
// known by a token or by a client certificate, which the config asks for. It
// answers until the context ends; then it takes no new calls, gives those under
// way up to ten seconds, ends the rest, and returns nil. It closes the listener.
// A server that has ended once does not start again.
func (s *Server) ServeTLS(ctx context.Context, l net.Listener, config *tls.Config) error {
	return s.serve(ctx, l, config)
}

func (s *Server) serve(ctx context.Context, l net.Listener, config *tls.Config) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	if config == nil {
		protocols.SetUnencryptedHTTP2(true) // streams of a unix socket need no TLS
	} else {
		protocols.SetHTTP2(true)
	}
	base, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	conns := newIdleConns()
	server := &http.Server{
		Handler:           s.handler,
		Protocols:         protocols,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxRequest,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnState:         conns.note,
		ErrorLog:          slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	if config == nil {
		server.ConnContext = localConn
		go func() { served <- server.Serve(bounded(l, maxConnections)) }()
	} else {
		server.TLSConfig = config
		go func() { served <- server.ServeTLS(bounded(l, maxConnections), "", "") }()
	}
	select {
	case err := <-served:
		return fmt.Errorf("serve admin API on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	s.drain.Do(func() { close(s.draining) })
	grace, cancel := context.WithTimeout(base, drainTime)
	defer cancel()
	var err error
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		err = server.Shutdown(grace)
	}()
	conns.closeQuiet(gone)
	if err != nil {
		end()
		server.Close()
	}
	<-served
	return nil
}

// byProgress cuts a call whose body does not move for a while, in either
// direction, however long the call takes as a whole.
func byProgress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		deadline := http.NewResponseController(w)
		r.Body = &movingBody{ReadCloser: r.Body, deadline: deadline}
		next.ServeHTTP(&movingWriter{ResponseWriter: w, deadline: deadline}, r)
	})
}

type movingBody struct {
	io.ReadCloser
	deadline *http.ResponseController
}

func (b *movingBody) Read(p []byte) (int, error) {
	// A writer that has no deadlines (a test's recorder) works without.
	_ = b.deadline.SetReadDeadline(time.Now().Add(progressTime))
	n, err := b.ReadCloser.Read(p)
	if err != nil { // the end: what follows on the connection is not this body
		_ = b.deadline.SetReadDeadline(time.Time{})
	}
	return n, err
}

type movingWriter struct {
	http.ResponseWriter
	deadline *http.ResponseController
}

func (w *movingWriter) Write(p []byte) (int, error) {
	_ = w.deadline.SetWriteDeadline(time.Now().Add(progressTime))
	n, err := w.ResponseWriter.Write(p)
	if err == nil {
		_ = w.deadline.SetWriteDeadline(time.Time{})
	}
	return n, err
}

// Flush sends what was written; connect flushes after each message of a stream.
func (w *movingWriter) Flush() {
	_ = w.deadline.SetWriteDeadline(time.Now().Add(progressTime))
	if w.deadline.Flush() == nil {
		_ = w.deadline.SetWriteDeadline(time.Time{})
	}
}

// Unwrap lets http.ResponseController find the connection.
func (w *movingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
