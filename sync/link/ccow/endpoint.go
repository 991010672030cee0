package ccow

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"golang.org/x/time/rate"
)

// Endpoint is one node's end of all its links. Any number of goroutines may use
// it at once.
type Endpoint struct {
	o       Options
	rosters rosters
	admit   *admission
	inbox   *inbox // connections for the HTTP server
	warn    *rate.Limiter

	mu      sync.Mutex
	started bool
	closed  bool
	conns   map[*conn]struct{}
	pools   map[poolKey]*pool
	dials   map[string]chan struct{}  // by address: handshakes that this side has under way
	longs   map[poolKey]chan struct{} // long keys that are being given
	busy    int                       // handshakes and requests under way
	idle    chan struct{}             // closed when closed and not busy
}

// New makes an endpoint. It owns the options' listener from now on; nothing is
// accepted before Serve. Clients may be dialled at once.
func New(o Options) (*Endpoint, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Endpoint{
		o:     o,
		admit: newAdmission(o.MaxConnections, o.MaxPeerConnections, o.MaxLinkConnections),
		inbox: newInbox(o.Listener),
		warn:  rate.NewLimiter(rate.Every(time.Second), 20),
		conns: make(map[*conn]struct{}),
		pools: make(map[poolKey]*pool),
		dials: make(map[string]chan struct{}),
		longs: make(map[poolKey]chan struct{}),
		idle:  make(chan struct{}),
	}, nil
}

// Serve accepts and serves connections until ctx ends. Then it ends the
// requests under way, closes all connections that are served, and returns nil
// when everything it started has ended. Another return is an error of the
// listener. It is called once; clients are closed by whoever dialled them.
func (e *Endpoint) Serve(ctx context.Context) error {
	e.mu.Lock()
	if e.started {
		e.mu.Unlock()
		return errors.New("serve link endpoint: it was started before")
	}
	e.started = true
	e.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{
		Handler:           http.HandlerFunc(e.serveHTTP),
		ReadHeaderTimeout: e.o.Handshake,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ErrorLog: slog.NewLogLogger(e.o.Logger.Handler(), slog.LevelError), // panics of sources
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(e.inbox) }) // ends with the inbox
	failed := make(chan error, 1)
	if e.o.Listener != nil {
		wg.Go(func() { failed <- e.ServeListener(ctx, e.o.Listener) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	cancel()
	e.close()
	_ = server.Close()
	wg.Wait()
	<-e.idle
	return err
}

// close ends everything that Serve started, without waiting.
func (e *Endpoint) close() {
	e.mu.Lock()
	e.closed = true
	if e.busy == 0 {
		close(e.idle)
	}
	e.mu.Unlock()
	e.inbox.Close()
	e.closeConns(func(c *conn) bool { return c.served() })
	e.mu.Lock()
	pools := e.pools
	e.pools = make(map[poolKey]*pool)
	e.mu.Unlock()
	for _, p := range pools {
		p.close()
	}
}

// enter counts a piece of work that Serve waits for; it is false when the
// endpoint has closed.
func (e *Endpoint) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.busy++
	return true
}

func (e *Endpoint) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.busy--; e.busy == 0 && e.closed {
		close(e.idle)
	}
}

// ServeListener takes connections from one more listener, beside the endpoint's
// own, until ctx ends. It closes the listener and returns nil when all handshakes
// of its connections have ended; what came through them lives on. Another return
// is an error of the listener. It is called while Serve runs, or is about to.
func (e *Endpoint) ServeListener(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		raw, err := l.Accept()
		if ctx.Err() != nil {
			if raw != nil {
				raw.Close()
			}
			return nil
		}
		if err != nil {
			if !isTemporary(err) {
				return &link.Fault{Kind: link.FaultClosed, Err: err,
					Message: "the link listener on " + l.Addr().String() + " failed: " + err.Error()}
			}
			e.warning("cannot accept a link connection", "err", err)
			pause(ctx, 100*time.Millisecond) // out of descriptors, as a rule
			continue
		}
		host := hostOf(raw)
		if why := e.admit.enter(host); why != "" {
			raw.Close()
			e.warning("link connection turned away", "remote", raw.RemoteAddr(), "reason", why)
			continue
		}
		wg.Go(func() { e.welcome(ctx, raw, host) })
	}
}

// welcome takes an accepted connection through its handshake and to where it
// belongs.
func (e *Endpoint) welcome(serving context.Context, raw net.Conn, host string) {
	ctx, cancel := context.WithTimeout(serving, e.o.Handshake)
	defer cancel()
	defer e.admit.shook(host)
	tune(raw)
	p := new(proof)
	c, err := e.handshake(ctx, raw, true, e.serverConfig(p), p)
	if err != nil {
		linger(serving, raw)
		e.admit.left()
		e.warning("link handshake refused", "remote", raw.RemoteAddr(), "reason", err)
		return
	}
	c.accepted = true
	if c.alpn == alpnPair {
		c.ended = e.admit.left
		e.servePairing(serving, c)
		return
	}
	if place, why := e.admit.claim(c.peer.Site); why == "" {
		c.ended = func() { e.untrack(c); place.left() }
		e.saw(c.peer)
		err = e.open(ctx, c, place)
	} else {
		c.ended = e.admit.left
		err = link.Refuse(link.CodeBusy, "%s", why)
		e.refuse(ctx, c, err)
	}
	if err != nil {
		e.warning("link connection refused", "remote", raw.RemoteAddr(), "peer", c.peer.SiteName, "service", c.service, "reason", err)
	}
}

// saw remembers who answered, and closes connections of nodes that the newest
// roster of their site no longer has.
func (e *Endpoint) saw(peer *identity.PeerInfo) {
	if e.rosters.saw(peer) {
		e.closeConns(func(c *conn) bool { return c.peer.Site == peer.Site && !peer.Roster.Has(c.peer.Node) })
	}
	e.o.Trust.Saw(peer)
}

// track counts c among the open connections until it closes. It is false, and
// c is closed, when the endpoint has closed and c would be served, or when the
// pairing ended during the handshake.
func (e *Endpoint) track(c *conn) bool {
	e.mu.Lock()
	ok := !(e.closed && c.served())
	if ok {
		e.conns[c] = struct{}{}
	}
	e.mu.Unlock()
	// DropPeer takes the pin away before it looks for connections: either it
	// finds this one, or this finds no pin.
	if _, pinned := e.o.Trust.Pin(c.peer.Site); !ok || !pinned {
		c.Close()
		return false
	}
	return true
}

// gate returns the one of a key, which so many may pass at once. There are few keys: the
// addresses and links of the config.
func gate[K comparable](e *Endpoint, gates map[K]chan struct{}, key K, most int) chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if gates[key] == nil {
		gates[key] = make(chan struct{}, most)
	}
	return gates[key]
}

// pass waits until a gate lets one more through; leave is called when that is over.
func pass(ctx context.Context, gate chan struct{}) (leave func(), err error) {
	select {
	case gate <- struct{}{}:
		return func() { <-gate }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *Endpoint) untrack(c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, c)
}

// closeConns closes the open connections that match.
func (e *Endpoint) closeConns(match func(*conn) bool) {
	e.mu.Lock()
	var out []*conn
	for c := range e.conns {
		if match(c) {
			out = append(out, c)
		}
	}
	e.mu.Unlock()
	for _, c := range out {
		c.Close()
	}
}

// DropPeer closes every connection with a site. It is called when the pairing
// was removed, after Trust has stopped to return its pin.
func (e *Endpoint) DropPeer(site state.SiteID) {
	e.rosters.forget(site)
	e.closeConns(func(c *conn) bool { return c.peer.Site == site })
}

// DropService closes the served connections of one link, as when it is
// disabled or deleted. Its clients are closed by whoever dialled them.
func (e *Endpoint) DropService(peer state.SiteID, service string) {
	e.closeConns(func(c *conn) bool { return c.peer.Site == peer && c.service == service && c.served() })
}

// Connections counts the open connections of one link, of both directions.
func (e *Endpoint) Connections(peer state.SiteID, service string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for c := range e.conns {
		if c.peer.Site == peer && c.service == service {
			n++
		}
	}
	return n
}

// warning logs what strangers can bring about, within a bound.
func (e *Endpoint) warning(msg string, args ...any) {
	if e.warn.Allow() {
		e.o.Logger.Warn(msg, args...)
	}
}

// isTemporary reports whether the listener may work again.
func isTemporary(err error) bool {
	// net.Error.Temporary is deprecated for everything but this.
	t, ok := err.(interface{ Temporary() bool })
	return ok && t.Temporary()
}

// pause waits for d or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func hostOf(c net.Conn) string {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		return c.RemoteAddr().String()
	}
	return host
}
