package ccow

import (
	"bytes"
	"crypto/tls"
	"sync"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/state"
)

// proof is what a handshake found out about the peer.
type proof struct {
	peer *identity.PeerInfo
	err  error
}

// rosters remembers the newest roster number of each site that a handshake of
// this process proved, so that an older one is refused at once, before the
// config says so.
type rosters struct {
	mu     sync.Mutex
	newest map[state.SiteID]*identity.PeerInfo
}

// pin raises a pin's roster number to the newest that was seen.
func (r *rosters) pin(site state.SiteID, p identity.Pin) identity.Pin {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.newest[site]; n != nil && bytes.Equal(n.IdentityPublic, p.Identity) {
		p.RosterNumber = max(p.RosterNumber, n.RosterNumber)
	}
	return p
}

// saw remembers a peer and reports whether its roster is newer than the one
// seen before.
func (r *rosters) saw(peer *identity.PeerInfo) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.newest[peer.Site]
	if old != nil && bytes.Equal(old.IdentityPublic, peer.IdentityPublic) && old.RosterNumber >= peer.RosterNumber {
		return false
	}
	if r.newest == nil {
		r.newest = make(map[state.SiteID]*identity.PeerInfo)
	}
	r.newest[peer.Site] = peer
	return old != nil
}

// forget drops what is known of a site.
func (r *rosters) forget(site state.SiteID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.newest, site)
}

// pin returns the identity that a site must show.
func (e *Endpoint) pin(site state.SiteID) (identity.Pin, bool) {
	p, ok := e.o.Trust.Pin(site)
	if !ok {
		return p, false
	}
	return e.rosters.pin(site, p), true
}

// baseConfig is what every handshake has in common. Sessions are never resumed:
// each connection proves both identities anew.
func (e *Endpoint) baseConfig() *tls.Config {
	return &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	}
}

// serverConfig is for one connection that was accepted.
func (e *Endpoint) serverConfig(p *proof) *tls.Config {
	c := e.baseConfig()
	c.NextProtos = []string{alpnLink, alpnReverse}
	if e.o.Pair != nil {
		c.NextProtos = append(c.NextProtos, alpnPair)
	}
	c.ClientAuth = tls.RequireAnyClientCert
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return e.o.Trust.Certificate() }
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		switch cs.NegotiatedProtocol {
		case alpnLink, alpnReverse:
			p.peer, p.err = identity.VerifyPeer(rawCerts(cs), e.pin)
		case alpnPair:
			p.peer, p.err = identity.InspectPeer(rawCerts(cs))
		default:
			p.err = errNoProtocol
		}
		if p.err == nil && p.peer.Site == e.o.Site {
			p.err = errOwnSite
		}
		return p.err
	}
	return c
}

// clientConfig is for one connection that is dialled. verify decides on the
// certificates that the other side shows.
func (e *Endpoint) clientConfig(alpn string, p *proof, verify func(rawCerts [][]byte) (*identity.PeerInfo, error)) *tls.Config {
	c := e.baseConfig()
	c.NextProtos = []string{alpn}
	// Names and authorities mean nothing here; VerifyConnection decides.
	c.InsecureSkipVerify = true
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return e.o.Trust.Certificate() }
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		if cs.NegotiatedProtocol != alpn {
			p.err = errNoProtocol
		} else {
			p.peer, p.err = verify(rawCerts(cs))
		}
		return p.err
	}
	return c
}

func rawCerts(cs tls.ConnectionState) [][]byte {
	out := make([][]byte, len(cs.PeerCertificates))
	for i, c := range cs.PeerCertificates {
		out[i] = c.Raw
	}
	return out
}
