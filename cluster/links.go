package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
	objsync "edgefog.dev/isgw/sync"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/ccow"
	"edgefog.dev/isgw/sync/tunnel"
)

// links keeps what runs for the site's links equal to what the config says.
type links struct {
	site     *site
	log      *slog.Logger
	endpoint *ccow.Endpoint
	meters   *link.Meters
	met      chan meeting            // a peer asked for a service that has none yet
	seen     chan *identity.PeerInfo // rosters of handshakes
	doors    *doors
	dial     func(ctx context.Context, network, address string) (net.Conn, error) // inside a tunnel

	// Of the last point of the history; only run touches them.
	remembered time.Time
	errors     map[string]uint64

	pins   sync.Mutex
	pinned map[state.SiteID]pinnedSite // of the last followPins

	// started is what the process was started with; only run touches it.
	started process

	mu      sync.Mutex
	runners map[string]*runner // by service
	ledgers map[string]*ledger // by service that has run
	asking  map[string]bool    // services whose remote is asked who it is
	unmet   map[string]unmet   // by service that has not met its peer
}

// meeting is the first contact of a service with the site at its other end.
type meeting struct {
	service string
	peer    state.SiteID
}

// newLinks makes the endpoint of the site's links; ln may be nil.
func newLinks(s *site, ln net.Listener) (*links, error) {
	l := &links{
		site:    s,
		log:     s.log.With("part", "link"),
		meters:  new(link.Meters),
		met:     make(chan meeting, 16),
		seen:    make(chan *identity.PeerInfo, 16),
		runners: map[string]*runner{},
		ledgers: map[string]*ledger{},
		asking:  map[string]bool{},
		unmet:   map[string]unmet{},
	}
	l.doors = &doors{
		own: addressOf(ln), log: l.log, at: map[string]*door{},
		listen: func(address string) (net.Listener, error) {
			ln, err := net.Listen("tcp", address)
			if err != nil {
				return nil, err
			}
			return l.takeTunnels(ln)
		},
		serve: func(ctx context.Context, ln net.Listener) error { return l.endpoint.ServeListener(ctx, ln) },
	}
	dialer, err := tunnel.NewDialer(tunnelOptions(trust{l}), nil)
	if err != nil {
		return nil, err
	}
	l.dial = dialTunnel(dialer)
	if ln != nil {
		if ln, err = l.takeTunnels(ln); err != nil {
			return nil, err
		}
	}
	l.endpoint, err = ccow.New(ccow.Options{
		Site:     s.id,
		SiteName: s.node.opts.Site,
		Trust:    trust{l},
		Listener: ln,
		Resolve:  l.resolve,
		Admit:    l.admit,
		Pair:     l.acceptPair,
		Meters:   l.meters,
		Logger:   l.log,
	})
	return l, err
}

// run serves the endpoint and follows the config until ctx ends, then stops
// every link and waits for it.
func (l *links) run(ctx context.Context) error {
	l.started = process{processBounds: startedWith(), now: startedWith()}
	defer func() { l.started.follow(l.started.processBounds) }()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.endpoint.Serve(ctx) })
	group.Go(func() error {
		defer l.doors.close()
		defer l.stopAll()
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			changed := l.site.replica.Config().Changed()
			l.reconcile(ctx)
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
			case <-ticker.C:
				l.sample()
				l.remember()
				l.identify(ctx, group)
			case m := <-l.met:
				l.bind(ctx, m)
			case peer := <-l.seen:
				l.sawRoster(ctx, peer)
			}
		}
	})
	return group.Wait()
}

// wanted is what a link needs to run; a change of it starts the link anew.
type wanted struct {
	service  string
	remote   string // HOST:PORT or empty
	peer     state.SiteID
	peerName string
	bounds   objsync.Bounds
	tunnel   bool
}

// lagTarget is the lag above which a link counts as lagging.
func (s *site) lagTarget(service *statepb.Service) time.Duration {
	if own := time.Duration(service.GetLagTarget()); own > 0 {
		return own
	}
	return s.node.opts.LagTarget
}

// reconcile stops what the config does not want any more and starts what it does.
func (l *links) reconcile(ctx context.Context) {
	cfg := l.site.replica.Config()
	if err := l.followRoster(cfg); err != nil {
		l.log.Error("peers are still shown the keys from before", "error", err)
	}
	l.followPins(cfg)
	l.doors.set(ctx, doorsOf(cfg.Services(), l.doors.own))
	if l.site.node.opts.OwnProcess {
		l.started.follow(processFor(cfg.Services(), l.started.processBounds))
	}
	want := map[string]wanted{}
	for _, service := range cfg.Services() {
		if w, ok := wants(cfg, service); ok {
			want[w.service] = w
		}
	}
	l.mu.Lock()
	l.forgetUnmet(cfg)
	var stop []*runner
	for name, r := range l.runners {
		if want[name] != r.wanted {
			stop = append(stop, r)
			r.book.ending = append(r.book.ending, r)
			delete(l.runners, name)
		}
	}
	l.mu.Unlock()
	// Before anything starts: two runs of one link would write the same cursors.
	stopRunners(stop)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range stop {
		r.book.close(r)
	}
	for name := range l.ledgers {
		if _, _, ok := cfg.Service(name); !ok {
			l.dropLedger(name)
		}
	}
	for name, w := range want {
		if l.runners[name] != nil {
			l.runners[name].refresh(cfg)
			continue
		}
		r, err := l.startRunner(ctx, w)
		if err != nil {
			l.log.Error("link does not start", "service", name, "error", err)
			continue
		}
		l.runners[name] = r
	}
}

// wants says what a service needs to run; false when it cannot or must not.
// A service that has not met its peer runs with the one paired site that it can
// mean: the one that told the remote's address, or the only one.
func wants(cfg *state.Config, service *statepb.Service) (wanted, bool) {
	if service.GetType() != state.TypeLink || service.GetDisabled() {
		return wanted{}, false
	}
	w := wanted{service: service.GetName(), bounds: boundsOf(cfg, service), tunnel: service.GetTunnel()}
	if service.GetRemote() != "" {
		address, err := state.ParseRemote(service.GetRemote())
		if err != nil {
			return wanted{}, false
		}
		w.remote = address
	}
	pairing := peerOf(cfg, service, w.remote)
	if pairing == nil {
		return wanted{}, false
	}
	peer, err := state.SiteIDFromBytes(pairing.GetSite())
	if err != nil {
		return wanted{}, false
	}
	if len(service.GetPeer()) == 0 && plan.CheckPeer(cfg, service, peer) != nil {
		return wanted{}, false // unmetNow says why
	}
	w.peer, w.peerName = peer, plan.PairingName(pairing)
	return w, true
}

func peerOf(cfg *state.Config, service *statepb.Service, address string) *statepb.Pairing {
	if peer, err := state.SiteIDFromBytes(service.GetPeer()); err == nil {
		pairing, _, _ := cfg.Pairing(peer)
		return pairing
	}
	if address == "" {
		return nil // whoever comes first and names the service is its peer
	}
	pairings := cfg.Pairings()
	for _, p := range pairings {
		if p.GetAddress() == address {
			return p
		}
	}
	if len(pairings) == 1 {
		return pairings[0]
	}
	return nil
}

func (l *links) stopAll() {
	l.mu.Lock()
	runners := l.runners
	l.runners = map[string]*runner{}
	l.mu.Unlock()
	stopRunners(slices.Collect(maps.Values(runners)))
}

// stopRunners stops links side by side: each may take seconds where the site's log
// takes no writes.
func stopRunners(runners []*runner) {
	var wg sync.WaitGroup
	for _, r := range runners {
		wg.Go(r.stop)
	}
	wg.Wait()
}

// sample measures rates, and remembers the peers that were met.
func (l *links) sample() {
	now := l.site.node.opts.Clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.runners {
		if r.sample(now) {
			select {
			case l.met <- meeting{service: r.service, peer: r.peer}:
			default: // next time
			}
		}
	}
}

// remember puts every link's moment into the history. Only run calls it.
func (l *links) remember() {
	now := l.site.node.opts.Clock()
	passed := now.Sub(l.remembered).Seconds()
	points, errors, notes := map[string]point{}, map[string]uint64{}, map[string]note{}
	for _, service := range plan.AllServices(l.site.replica.Config()) {
		name := service.GetName()
		st, _ := l.site.linkSummary(service)
		errors[name] = errorsOf(st)
		before, known := l.errors[name]
		if !known || errors[name] < before {
			before = errors[name]
		}
		points[name] = pointOf(st, errors[name]-before, passed)
		notes[name] = noteOf(now, st)
	}
	l.remembered, l.errors = now, errors
	l.site.history.record(now, points)
	l.mu.Lock()
	for name, r := range l.runners {
		l.site.history.tell(name, r.engine.TakeNotices())
	}
	l.mu.Unlock()
	l.site.history.note(notes)
}

// identify asks the remote of each service that may mean several paired sites
// who it is.
func (l *links) identify(ctx context.Context, group *errgroup.Group) {
	cfg := l.site.replica.Config()
	for _, service := range cfg.Services() {
		address, err := state.ParseRemote(service.GetRemote())
		if err != nil || service.GetDisabled() || len(service.GetPeer()) > 0 || peerOf(cfg, service, address) != nil || len(cfg.Pairings()) == 0 {
			continue
		}
		name := service.GetName()
		l.mu.Lock()
		asked := l.asking[name]
		l.asking[name] = true
		l.mu.Unlock()
		if asked {
			continue
		}
		group.Go(func() error {
			defer func() {
				l.mu.Lock()
				delete(l.asking, name)
				l.mu.Unlock()
			}()
			peer, err := l.whoAnswers(ctx, address, service.GetTunnel())
			if err != nil {
				if ctx.Err() == nil && l.miss(name, notReached(service.GetRemote(), err)) {
					l.log.Info("remote of a service is not reached", "service", name, "address", address, "error", err)
				}
				return nil
			}
			select {
			case l.met <- meeting{service: name, peer: peer.Site}:
			case <-ctx.Done():
			}
			return nil
		})
	}
}

// whoAnswers asks an address which paired site answers there, the way in which a link
// dials it: one that goes inside SSH shows nobody on the way, and no firewall, anything
// else.
func (l *links) whoAnswers(ctx context.Context, address string, tunnel bool) (*identity.PeerInfo, error) {
	if tunnel {
		return l.endpoint.Identify(ctx, l.dial, address)
	}
	return l.endpoint.Identify(ctx, nil, address)
}

// bind remembers which site is at the other end of a service.
func (l *links) bind(ctx context.Context, m meeting) {
	err := l.site.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.BindPeer(cfg, m.service, m.peer)
	})
	if err == nil {
		l.mu.Lock()
		delete(l.unmet, m.service)
		l.mu.Unlock()
		return
	}
	service, _, _ := l.site.replica.Config().Service(m.service)
	if ctx.Err() == nil && l.miss(m.service, notBound(service.GetRemote(), m.peer, err)) {
		l.log.Warn("peer of a service is not remembered", "service", m.service, "peer", m.peer, "error", err)
	}
}

// sawRoster remembers the newest roster of a paired site.
func (l *links) sawRoster(ctx context.Context, peer *identity.PeerInfo) {
	err := l.site.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.SeeRoster(cfg, peer)
	})
	if err != nil && ctx.Err() == nil {
		l.log.Warn("roster of a site is not remembered", "peer", peer.Site, "error", err)
	}
}

// acceptPair is the inviting side of a pairing: the token is used up in the
// transaction that pins the other site.
func (l *links) acceptPair(ctx context.Context, req ccow.PairRequest) (ccow.PairReply, error) {
	err := l.site.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.AcceptPair(cfg, req.TokenHash[:], pairingOf(req.Peer, req.LinkAddress), l.site.node.opts.Clock())
	})
	var refused *plan.Error
	switch {
	case errors.As(err, &refused):
		l.log.Warn("pairing is refused", "remote", req.Remote, "site", req.Peer.SiteName, "reason", refused.Message)
		return ccow.PairReply{}, link.Refuse(link.CodeInvalid, "%s", refused.Message)
	case err != nil:
		l.log.Error("pairing fails", "remote", req.Remote, "error", err)
		return ccow.PairReply{}, link.Refuse(link.CodeInternal, "site %s could not record the pairing", l.site.node.opts.Site)
	}
	l.log.Info("paired", "with", req.Peer.SiteName, "id", req.Peer.Site)
	return ccow.PairReply{LinkAddress: l.site.linkAddress}, nil
}

// pairWith is the invited side: the other site has pinned this one when it returns.
func (s *site) pairWith(ctx context.Context, token *identity.Token) (*statepb.Pairing, error) {
	paired, err := s.links.endpoint.Pair(ctx, token, s.linkAddress)
	if err != nil {
		return nil, pairingFailure(token.Address, err)
	}
	address := paired.LinkAddress
	if address == "" {
		address = token.Address
	}
	return pairingOf(paired.Peer, address), nil
}

func pairingOf(peer *identity.PeerInfo, address string) *statepb.Pairing {
	return &statepb.Pairing{
		Site: peer.Site.Bytes(), SiteName: peer.SiteName, IdentityPublic: peer.IdentityPublic,
		RosterNumber: peer.RosterNumber, Address: address,
	}
}

// trust answers handshakes from the config.
type trust struct{ *links }

func (t trust) Pin(site state.SiteID) (identity.Pin, bool) {
	p, _, ok := t.site.replica.Config().Pairing(site)
	if !ok {
		return identity.Pin{}, false
	}
	return identity.Pin{SiteName: p.GetSiteName(), Identity: p.GetIdentityPublic(), RosterNumber: p.GetRosterNumber()}, true
}

func (t trust) Saw(peer *identity.PeerInfo) {
	p, _, ok := t.site.replica.Config().Pairing(peer.Site)
	if !ok || peer.RosterNumber <= p.GetRosterNumber() {
		return
	}
	select {
	case t.seen <- peer:
	default: // the next handshake tells it again
	}
}

func (t trust) Certificate() (*tls.Certificate, error) { return t.site.credentials.Certificate() }
