package ccow

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
)

// Trust is what an endpoint shows of its own site and believes of others. Its
// methods are called in handshakes: they answer from memory.
type Trust interface {
	// Certificate returns this node's present certificate.
	Certificate() (*tls.Certificate, error)
	// Pin returns the pinned identity of a paired site.
	Pin(site state.SiteID) (identity.Pin, bool)
	// Saw is told who answered in each handshake that was accepted, so that
	// the newest roster of a site can be remembered. It does not block.
	Saw(peer *identity.PeerInfo)
}

// Options are what an endpoint is made of. Site, Trust and Resolve are required.
type Options struct {
	Site     state.SiteID // this site
	SiteName string
	Trust    Trust

	// Listener is where peers dial; without one the endpoint only dials. The
	// endpoint closes it.
	Listener net.Listener

	// Resolve returns what is offered to a peer under a link's name. It is
	// asked for every request, so that a change of the config holds at once;
	// it answers from memory. Its error is a *link.Refused.
	Resolve func(peer state.SiteID, service string) (link.Source, error)

	// Admit decides whether an accepted connection, which came through under,
	// may be for a link; it is asked once, when the connection says which link it
	// is for. It answers from memory. Its error is a *link.Refused. By default
	// every connection may.
	Admit func(peer *identity.PeerInfo, service string, under net.Conn) error

	// Pair decides on a pairing that another site asks for with a token; the
	// proof was checked. When it returns nil this site has durably pinned the
	// other and the token is used up. Its error is a *link.Refused. Without
	// Pair nobody can pair with this site.
	Pair func(ctx context.Context, req PairRequest) (PairReply, error)

	// Dial opens TCP connections, or what stands for them; net.Dialer by default.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Meters counts the bytes of all connections; the endpoint's own by default.
	Meters *link.Meters

	// Logger takes the endpoint's log; nothing is logged when it is nil.
	Logger *slog.Logger

	// Stall is how long a peer may not move while something is expected of
	// it; 30 s.
	Stall time.Duration
	// Handshake bounds a connection's time from the first byte to the first
	// request; 10 s. Dialling has as much again.
	Handshake time.Duration
	// MinProgress is how many bytes have to arrive within Stall of waiting
	// while an answer is under way; 16 KiB.
	MinProgress int
	// MaxConnections bounds the connections that were accepted and are open;
	// 1024. MaxPeerConnections bounds those of one site; 512. MaxLinkConnections
	// bounds those of one link; 96.
	MaxConnections, MaxPeerConnections, MaxLinkConnections int
	// BackoffMin and BackoffMax bound the pause before a connection that the
	// peer wants dialled is tried again; 200 ms and 15 s.
	BackoffMin, BackoffMax time.Duration
}

func (o *Options) validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s is not set", what))
		}
	}
	need(!o.Site.IsZero(), "site id")
	need(o.SiteName != "", "site name")
	need(o.Trust != nil, "trust")
	need(o.Resolve != nil, "way to resolve a service")
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Admit == nil {
		o.Admit = func(*identity.PeerInfo, string, net.Conn) error { return nil }
	}
	if o.Meters == nil {
		o.Meters = new(link.Meters)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.Stall, 30*time.Second)
	setDefault(&o.Handshake, 10*time.Second)
	setDefault(&o.MinProgress, 16<<10)
	setDefault(&o.MaxConnections, 1024)
	setDefault(&o.MaxPeerConnections, 512)
	setDefault(&o.MaxLinkConnections, maxLinkConnections)
	setDefault(&o.BackoffMin, 200*time.Millisecond)
	setDefault(&o.BackoffMax, 15*time.Second)
	for _, c := range []struct {
		bad  bool
		what string
	}{
		{o.Stall < 0 || o.Handshake < 0, "a time limit is negative"},
		{o.MinProgress < 1, "the least progress is not positive"},
		{min(o.MaxConnections, o.MaxPeerConnections, o.MaxLinkConnections) < 1, "a bound of connections is not positive"},
		{o.BackoffMin < 0 || o.BackoffMax < o.BackoffMin, "the bounds of the back-off are not in order"},
	} {
		if c.bad {
			errs = append(errs, errors.New(c.what))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("check options of link endpoint: %w", err)
	}
	return nil
}

// setDefault gives v its default when it was not set.
func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// DialOptions say what a client is for.
type DialOptions struct {
	Peer     state.SiteID // whoever else answers is refused
	PeerName string       // for messages
	Service  string       // name of the link, equal at both ends
	// Address is the peer's HOST:PORT. When it is empty the client waits for
	// connections that the peer dials.
	Address string
	// Dial opens the connections of this client; the endpoint's by default.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Eager opens all connections together with the first one, instead of when they
	// are needed: where each takes many round trips to be made, nothing has to wait
	// for one more.
	Eager bool
	// Connections is the number of connections for chunks, 1 to 32; 8. They are
	// opened when they are needed, and carry two requests each.
	Connections int
}

func (o *DialOptions) validate() error {
	var errs []error
	if o.Peer.IsZero() {
		errs = append(errs, errors.New("peer is not set"))
	}
	if err := state.CheckName("service", o.Service); err != nil {
		errs = append(errs, err)
	}
	if o.Address != "" {
		if _, _, err := net.SplitHostPort(o.Address); err != nil {
			errs = append(errs, fmt.Errorf("address %q is not HOST:PORT", o.Address))
		}
	}
	setDefault(&o.Connections, 8)
	if o.Connections < 1 || o.Connections > maxConnections {
		errs = append(errs, fmt.Errorf("%d connections are not within 1 to %d", o.Connections, maxConnections))
	}
	if o.PeerName == "" {
		o.PeerName = o.Peer.String()
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("check options of link client: %w", err)
	}
	return nil
}

// PairRequest is what another site that asks to be paired has proved.
type PairRequest struct {
	Peer      *identity.PeerInfo
	TokenHash identity.TokenHash
	// LinkAddress is where the other site says its link endpoint is reached;
	// empty when it has none.
	LinkAddress string
	// Remote is the address of the connection, for logs.
	Remote string
}

// PairReply is what the inviting site tells of itself.
type PairReply struct {
	LinkAddress string // empty when it has none
}

// Paired is a pairing as the invited site sees it: Peer is to be pinned now.
type Paired struct {
	Peer        *identity.PeerInfo
	LinkAddress string // as the inviting site told it
}
