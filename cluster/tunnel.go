package cluster

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/ccow"
	"edgefog.dev/isgw/sync/tunnel"
)

// tunnelConnections is the number of connections for chunks of a link inside SSH
// that has no setting of its own. It is more than without: a channel carries 2 MiB
// in a round trip, and a line of 1 Gbit/s and 100 ms takes six of them that are
// never idle. With eight it was filled to 85 %, with twelve wholly.
const tunnelConnections = 12

// tunnelOptions let tunnels prove and believe what TLS connections do: the key is
// the node's, the proof is its certificate with the roster, and the peer of a
// tunnel is an *identity.PeerInfo.
func tunnelOptions(t ccow.Trust) tunnel.Options {
	return tunnel.Options{
		Credentials: func() (ed25519.PrivateKey, []byte, error) {
			c, err := t.Certificate()
			if err != nil {
				return nil, nil, err
			}
			key, ok := c.PrivateKey.(ed25519.PrivateKey)
			if !ok || len(c.Certificate) == 0 {
				return nil, nil, errors.New("this node's certificate is not of an ed25519 key")
			}
			return key, c.Certificate[0], nil
		},
		Verify: func(key ed25519.PublicKey, proof []byte) (any, error) {
			peer, err := identity.VerifyPeer([][]byte{proof}, t.Pin)
			if err != nil {
				return nil, err
			}
			// SSH has the peer prove the key that it shows, not the one in the proof.
			leaf, err := x509.ParseCertificate(proof)
			if err != nil {
				return nil, fmt.Errorf("decode peer certificate: %w", err)
			}
			if own, ok := leaf.PublicKey.(ed25519.PublicKey); !ok || !own.Equal(key) {
				return nil, &identity.PeerError{Kind: identity.PeerInvalid, Site: peer.Site, SiteName: peer.SiteName,
					Message: fmt.Sprintf("the peer shows the certificate of node %s of site %s with another key than that node's", peer.Node, peer.SiteName)}
			}
			return peer, nil
		},
	}
}

// dialTunnel opens a tunnel to a link address. Errors that only tunnels have are
// *link.Faults in an operator's words.
func dialTunnel(d *tunnel.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, tunnelFault(address, err)
		}
		return c, nil
	}
}

func tunnelFault(address string, err error) error {
	fault := func(kind link.FaultKind, format string, args ...any) error {
		return &link.Fault{Kind: kind, Message: fmt.Sprintf(format, args...), Err: err}
	}
	switch {
	case errors.Is(err, tunnel.ErrRejected):
		return fault(link.FaultNotPaired, "%s does not accept this site inside an SSH tunnel: it is not paired with it, or has removed the pairing or this node; pair the sites again", address)
	case errors.Is(err, tunnel.ErrNoTunnel):
		return fault(link.FaultProtocol, "%s answers, but not with SSH, and this link is set to go inside an SSH tunnel: it is not the link address of a site, or of one without tunnels", address)
	case errors.Is(err, tunnel.ErrOther):
		return fault(link.FaultProtocol, "%s is an SSH server, but not the link address of a site", address)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fault(link.FaultBroken, "%s closed the connection while the SSH tunnel was being made: that site is starting, is busy, or has no tunnels", address)
	}
	return err
}

// takeTunnels makes tunnels arrive at a listener beside plain connections.
func (l *links) takeTunnels(ln net.Listener) (net.Listener, error) {
	warn := rate.NewLimiter(rate.Every(time.Second), 20)
	return tunnel.Listen(ln, tunnelOptions(trust{l}), func(remote net.Addr, err error) {
		if warn.Allow() { // strangers can bring it about
			l.log.Warn("connection to the link address came to nothing", "remote", remote, "reason", err)
		}
	})
}

// admit lets connections of a link in whose way is what this site has set: inside
// of a tunnel, of the very site that speaks through it, or also without.
func (l *links) admit(peer *identity.PeerInfo, service string, under net.Conn) error {
	c, ok := under.(*tunnel.Conn)
	if ok {
		if outer, ok := c.Peer().(*identity.PeerInfo); !ok || outer.Site != peer.Site {
			return link.Refuse(link.CodeInvalid, "site %s speaks through an SSH tunnel of another site", peer.SiteName)
		}
		l.bar(peer.Site, service, false)
		return nil
	}
	if s, _, _ := l.site.replica.Config().Service(service); s.GetTunnel() {
		l.bar(peer.Site, service, true)
		return link.Refuse(link.CodeTunnel, "site %s takes connections of link %s inside an SSH tunnel only (useEncryptedTunnel): set it at site %s too (isgwctl service edit %s --tunnel true)",
			l.site.node.opts.Site, service, peer.SiteName, service)
	}
	return nil
}

// barredFor is how long a refusal of a peer without a tunnel is told: it tries again
// every 15 seconds at least.
const barredFor = 20 * time.Second

// bar remembers that the peer of a link is refused for being without a tunnel, or that
// it has come inside of one. Of links with others, and of names that are none, nothing
// is remembered: whoever dials says the name.
func (l *links) bar(peer state.SiteID, service string, barred bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch r := l.runners[service]; {
	case r == nil || r.peer != peer:
	case barred:
		r.barred = l.site.node.opts.Clock()
	default:
		r.barred = time.Time{}
	}
}
