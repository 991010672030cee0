package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
	objsync "edgefog.dev/isgw/sync"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/ccow"
	"edgefog.dev/isgw/sync/link/limit"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// runner is one link at work: what it offers, what it receives, and what was
// measured of it.
type runner struct {
	wanted
	site   *site
	book   *ledger
	local  *objsync.Local
	engine *objsync.Engine
	client *ccow.Client
	asked  *link.Measured // the far end, as the engine asks it
	offers *link.Measured // the local source, as the peer asks it
	cancel context.CancelFunc
	done   chan struct{}
	served atomic.Pointer[servedList]
	// settings are those that the engine and the source go by, as the config has them.
	settings atomic.Pointer[objsync.Settings]
	// lagTarget is the one that the config has, as a time.Duration.
	lagTarget atomic.Int64
	// out and in pace what leaves and what comes, by the config's limits.
	out, in pacer

	barred time.Time // when the peer was refused for being without a tunnel; under links.mu

	mu       sync.Mutex
	rates    wireRates
	caughtUp map[string]time.Time // by bucket: when it was last in sync
}

// servedList is a service's serve list at one revision of the config.
type servedList struct {
	entries []*statepb.Served // as the config has them
	// by are the entries by path, with what they let through.
	by      map[string]servedPath
	buckets []string // those that are let out, tenants expanded
	resyncs []*statepb.Resync
}

// servedPath is one entry of a serve list.
type servedPath struct {
	receives bool
	filter   objsync.Filter
}

// startRunner starts a link; links.mu is held.
func (l *links) startRunner(ctx context.Context, w wanted) (*runner, error) {
	s := l.site
	r := &runner{
		wanted: w, site: s, done: make(chan struct{}), caughtUp: map[string]time.Time{},
		out: pacer{Limiter: limit.New(s.node.opts.Clock)}, in: pacer{Limiter: limit.New(s.node.opts.Clock)},
	}
	r.refresh(s.replica.Config())
	end := objsync.Site{
		ID: s.id, Name: s.node.opts.Site,
		Epoch: func() uint32 {
			site, _, _ := s.replica.Config().Site()
			return site.GetEpoch()
		},
		Catalog: s.replica.Catalog(), Chunks: s.chunks, Propose: s.proposeNamed,
		Clock: s.node.opts.Clock, Logger: l.log.With("service", w.service, "peer", w.peerName),
	}
	var err error
	if r.local, err = objsync.NewLocal(objsync.LocalOptions{
		Site: end, Service: w.service, Peer: w.peer, PeerName: w.peerName, Settings: r.setting, Limit: r.out.Limiter,
		Served: func() []string { return r.served.Load().buckets }, Terms: r.terms, NodeCache: w.bounds.Nodes, LongKey: w.bounds.LongKey(),
		Intact: func() { s.naming.intact(w.service) },
		Mend:   func(path string, keys [][]byte) { r.engine.Mend(path, keys) }, Holding: r.holding("send", "receive", (*statepb.Service).GetSendLimit),
	}); err != nil {
		return nil, err
	}
	dial := ccow.DialOptions{Peer: w.peer, PeerName: w.peerName, Service: w.service, Address: w.remote, Connections: w.bounds.Connections}
	if w.tunnel {
		dial.Dial, dial.Eager = l.dial, true
	}
	if r.client, err = l.endpoint.Dial(dial); err != nil {
		return nil, err
	}
	r.asked, r.offers = link.Measure(r.client, s.node.opts.Clock), link.Measure(r.local, s.node.opts.Clock)
	receiving := objsync.EngineOptions{
		Site: end, Service: w.service, Peer: w.peer, PeerName: w.peerName, Settings: r.setting, Limit: r.in.Limiter,
		Source: r.asked, Codec: s.codec, Accepts: r.accepts, Terms: r.terms, EnsureBucket: r.ensureBucket,
		Rand: s.node.opts.Rand, LagTarget: func() time.Duration { return time.Duration(r.lagTarget.Load()) }, Holding: r.holding("receive", "send", (*statepb.Service).GetReceiveLimit),
	}
	receiving.Use(w.bounds)
	if r.engine, err = objsync.NewEngine(receiving); err != nil {
		return nil, errors.Join(err, r.client.Close())
	}
	r.book = l.openLedger(w.service, w.peer)
	run, cancel := context.WithCancel(ctx)
	r.cancel = cancel
	go func() {
		defer close(r.done)
		if err := r.engine.Run(run); err != nil && run.Err() == nil {
			l.log.Error("link ended", "service", w.service, "error", err)
		}
	}()
	return r, nil
}

// stop ends the link and waits for it. What the peer told of its progress is
// committed first, so that the next run need not wait for it.
func (r *runner) stop() {
	r.cancel()
	<-r.done
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r.site.links.endpoint.DropService(r.peer, r.service)
	if err := errors.Join(r.local.Flush(ctx), r.client.Close()); err != nil {
		r.site.log.Warn("link did not stop cleanly", "service", r.service, "error", err)
	}
}

// setting returns the link's settings as they are now.
func (r *runner) setting() objsync.Settings { return *r.settings.Load() }

// holding says by which limit a direction is held to a rate, by the config as it is
// now; see heldTo.
func (r *runner) holding(here, there string, own func(*statepb.Service) *statepb.Limit) func(rate uint64) objsync.Hold {
	return func(rate uint64) objsync.Hold {
		service, _, _ := r.site.replica.Config().Service(r.service)
		return heldTo(own(service), here, there, rate, r.site.node.opts.Clock().Local())
	}
}

// settingsOf takes from a service what bears on what flows over its link.
func settingsOf(service *statepb.Service) objsync.Settings {
	return objsync.Settings{Direction: service.GetDirection(), Replication: service.GetReplication(), Paused: service.GetPaused()}
}

// refresh takes over the settings and the serve list of the config.
func (r *runner) refresh(cfg *state.Config) {
	service, _, ok := cfg.Service(r.service)
	if !ok {
		return
	}
	list := servedBy(service, cfg.Buckets)
	r.out.follow(service.GetSendLimit())
	r.in.follow(service.GetReceiveLimit())
	r.lagTarget.Store(int64(r.site.lagTarget(service)))
	settings := settingsOf(service)
	set := r.settings.Swap(&settings)
	old := r.served.Swap(list)
	if set != nil && *set != settings || old != nil && !old.same(list) {
		r.local.Kick()
		r.engine.Kick()
	}
}

// servedBy reads the serve list of a service; buckets gives those of a tenant.
func servedBy(service *statepb.Service, buckets func(tenant string) []*statepb.Bucket) *servedList {
	list := &servedList{
		entries: service.GetServes(), by: make(map[string]servedPath, len(service.GetServes())), resyncs: service.GetResyncs(),
	}
	for _, served := range service.GetServes() {
		list.by[served.GetPath()] = servedPath{
			receives: state.ServedReceives(service, served),
			filter: objsync.Filter{
				Include: served.GetInclude(), Exclude: served.GetExclude(), KeepDeletes: served.GetDeletes() == state.DeletesKeep,
			},
		}
	}
	for _, served := range service.GetServes() {
		path := served.GetPath()
		switch {
		case !state.ServedSends(service, served):
		case strings.Count(path, "/") == 2:
			list.buckets = append(list.buckets, path)
		default:
			for _, bucket := range buckets(path) {
				if _, own := list.by[bucket.GetPath()]; !own { // a bucket's own entry goes before its tenant's
					list.buckets = append(list.buckets, bucket.GetPath())
				}
			}
		}
	}
	return list
}

// same reports whether two lists let the same through.
func (l *servedList) same(o *servedList) bool {
	equal := func(a, b *statepb.Served) bool { return proto.Equal(a, b) }
	asked := func(a, b *statepb.Resync) bool { return proto.Equal(a, b) }
	return slices.Equal(l.buckets, o.buckets) && slices.EqualFunc(l.entries, o.entries, equal) && slices.EqualFunc(l.resyncs, o.resyncs, asked)
}

// entry is what holds for a bucket; false when it is not served.
func (l *servedList) entry(path string) (servedPath, bool) {
	if own, ok := l.by[path]; ok {
		return own, true
	}
	at := max(0, strings.LastIndexByte(path, '/'))
	tenant, ok := l.by[path[:at]]
	return tenant, ok
}

// accepts says whether a bucket is let in over the link.
func (r *runner) accepts(path string) bool {
	served, ok := r.served.Load().entry(path)
	return ok && served.receives
}

// terms is what is let through of a bucket, in either direction.
func (r *runner) terms(path string) objsync.Terms {
	list := r.served.Load()
	served, _ := list.entry(path)
	return objsync.Terms{Filter: served.filter, Resync: state.ResyncOf(list.resyncs, path)}
}

// ensureBucket makes a bucket that the other site serves, with this site's settings.
func (r *runner) ensureBucket(ctx context.Context, b *linkpb.ServedBucket) error {
	return r.site.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.CreateForLink(cfg, b.GetPath(), r.service, r.site.node.opts.Clock(), r.site.node.random())
	})
}

// wireRates are moving averages of bytes per second.
type wireRates struct {
	read, written float64
	last          link.Traffic
	at            time.Time
}

// update takes a sample; the average forgets with a half-life of two seconds
// when samples come each second.
func (w *wireRates) update(now time.Time, t link.Traffic) {
	if !w.at.IsZero() {
		if passed := now.Sub(w.at).Seconds(); passed > 0 {
			const weight = 0.3
			w.read += weight * (float64(t.Read-w.last.Read)/passed - w.read)
			w.written += weight * (float64(t.Written-w.last.Written)/passed - w.written)
		}
	}
	w.at, w.last = now, t
}

// sample measures the link, and reports whether its peer was met and is not
// remembered yet.
func (r *runner) sample(now time.Time) (met bool) {
	status := r.engine.Status()
	pulling, serving := r.site.links.traffic(r.peer, r.service)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rates.update(now, pulling.Add(serving))
	for _, b := range status.Buckets {
		if b.State == objsync.StateInSync {
			r.caughtUp[b.Path] = now
		}
	}
	service, _, ok := r.site.replica.Config().Service(r.service)
	return ok && len(service.GetPeer()) == 0 && status.Connected
}

// traffic reads what crossed the connections of a link with a peer.
func (l *links) traffic(peer state.SiteID, service string) (pulling, serving link.Traffic) {
	meter := func(role link.Role) link.Traffic {
		return l.meters.Get(link.MeterKey{Peer: peer, Service: service, Role: role}).Traffic()
	}
	return meter(link.Pulling), meter(link.Serving)
}

// view collects what is known of a link now; with rows, all that the rows of its
// buckets need too.
func (l *links) view(name string, rows bool) linkView {
	v := linkView{now: l.site.node.opts.Clock(), node: l.site.node.identity.Name()}
	service, _, _ := l.site.replica.Config().Service(name)
	v.door = l.doors.problem(service.GetLocal())
	v.lagTarget = l.site.lagTarget(service)
	l.mu.Lock()
	r := l.runners[name]
	if book := l.ledgers[name]; book != nil {
		v.before = book.before()
		v.pulling, v.serving = l.traffic(book.peer, name)
	}
	if r != nil && service.GetTunnel() {
		v.barred = !r.barred.IsZero() && v.now.Sub(r.barred) < barredFor
	}
	l.mu.Unlock()
	if r == nil {
		v.idle, v.idleCause, v.idleNext = l.whyIdle(name)
		return v
	}
	v.running = true
	v.receive, v.send = r.engine.Status(), r.local.Status()
	v.asked, v.answered = r.asked.Requests(), r.offers.Requests()
	v.latency, v.measured = r.asked.Latency()
	v.remote = r.remote
	if service, _, ok := l.site.replica.Config().Service(name); ok {
		v.out = holdingOf(service.GetSendLimit(), r.out.Rate(), v.now.Local())
		v.in = holdingOf(service.GetReceiveLimit(), r.in.Rate(), v.now.Local())
	}
	v.open = l.endpoint.Connections(r.peer, r.service)
	r.mu.Lock()
	defer r.mu.Unlock()
	v.rates = r.rates
	if !rows {
		return v
	}
	v.caughtUp = make(map[string]time.Time, len(r.caughtUp))
	for path, at := range r.caughtUp {
		v.caughtUp[path] = at
	}
	return v
}

func (l *links) whyIdle(name string) (adminpb.ServiceState, string, string) {
	cfg := l.site.replica.Config()
	service, _, _ := cfg.Service(name)
	peer, err := state.SiteIDFromBytes(service.GetPeer())
	paired := false
	if err == nil {
		_, _, paired = cfg.Pairing(peer)
	}
	why, cause, next := idleReason(!service.GetDisabled(), peer, paired, service.GetRemote(), len(cfg.Pairings()))
	if why != adminpb.ServiceState_SERVICE_STATE_CONNECTING && why != adminpb.ServiceState_SERVICE_STATE_NO_REMOTE {
		return why, cause, next
	}
	l.mu.Lock()
	last := l.unmet[name]
	l.mu.Unlock()
	if u, ok := unmetNow(cfg, service, last); ok {
		return u.state, u.cause, u.next
	}
	return why, cause, next
}
