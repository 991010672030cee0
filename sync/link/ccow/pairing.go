package ccow

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/cluster/identity/identitypb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

const (
	pairVersion = 1
	// pairTime bounds a pairing: the inviting site commits it to its config.
	pairTime = 30 * time.Second
	// exporterLabel derives from a TLS session what a proof is bound to.
	exporterLabel = "EXPORTER-isgw-pair-1"
	// pairDomain stands before what a proof signs.
	pairDomain = "isgw pairing 1\x00"
	maxAddress = 255
)

// transcript is what a pairing's proof signs: the TLS session, so that it is of
// use on no other, and both identities.
func transcript(t *tls.Conn, invited, inviting *identity.PeerInfo) ([]byte, error) {
	cs := t.ConnectionState()
	exported, err := cs.ExportKeyingMaterial(exporterLabel, nil, 32)
	if err != nil {
		return nil, fmt.Errorf("derive from TLS session: %w", err)
	}
	out := append([]byte(pairDomain), exported...)
	for _, p := range []*identity.PeerInfo{invited, inviting} {
		out = append(out, p.Site[:]...)
		out = append(out, p.IdentityPublic...)
	}
	return out, nil
}

// self is what this node shows in handshakes.
func (e *Endpoint) self() (*identity.PeerInfo, error) {
	cert, err := e.o.Trust.Certificate()
	if err != nil {
		return nil, err
	}
	return identity.InspectPeer(cert.Certificate)
}

// Pair uses a token at the site that made it. linkAddress is where this site's
// link endpoint is reached, if it is to be dialled. When Pair returns without
// an error the inviting site has pinned this one, and this one must pin the
// peer returned. The error is a *link.Fault, a *link.Refused or the context's.
func (e *Endpoint) Pair(ctx context.Context, token *identity.Token, linkAddress string) (*Paired, error) {
	self, err := e.self()
	if err != nil {
		return nil, fmt.Errorf("pair with site %s: %w", token.Site, err)
	}
	if token.Site == e.o.Site {
		return nil, &link.Fault{Kind: link.FaultIdentity, Message: "this token is of this site itself: use it at the other site"}
	}
	c, err := e.shake(ctx, nil, token.Address, alpnPair, func(raw [][]byte) (*identity.PeerInfo, error) {
		seen, err := identity.InspectPeer(raw)
		if err != nil {
			return nil, err
		}
		if seen.Site != token.Site {
			return nil, &mismatch{got: seen, want: token.Site, wantAs: "the site that made the token"}
		}
		// The token pins the identity, as if the sites were paired.
		return identity.VerifyPeer(raw, e.tokenPin(token, seen))
	})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.ended = func() {}
	c.sock.own(e.o.Meters.Get(link.MeterKey{}))
	script, err := transcript(c.Conn, self, c.peer)
	if err != nil {
		return nil, fmt.Errorf("pair with site %s: %w", c.peer.SiteName, err)
	}
	req := &identitypb.PairRequest{Version: pairVersion, LinkAddress: linkAddress}
	req.TokenPublic, req.Proof = token.Prove(script)
	var reply identitypb.PairReply
	err = within(ctx, c, pairTime, func() error {
		werr := writeMessage(c, req)
		if err := e.readPairReply(c, &reply); err != nil {
			return err
		}
		return werr
	})
	if err != nil {
		return nil, dialFault(token.Address, err)
	}
	if len(reply.GetLinkAddress()) > maxAddress {
		return nil, dialFault(token.Address, callFault(c.peer.SiteName, protocolErrorf("a link address of %d bytes", len(reply.GetLinkAddress()))))
	}
	return &Paired{Peer: c.peer, LinkAddress: oneLine(reply.GetLinkAddress(), maxAddress)}, nil
}

// tokenPin is the pin that a token stands for.
func (e *Endpoint) tokenPin(token *identity.Token, seen *identity.PeerInfo) func(state.SiteID) (identity.Pin, bool) {
	return func(state.SiteID) (identity.Pin, bool) {
		p := identity.Pin{SiteName: seen.SiteName, Identity: token.Identity}
		return e.rosters.pin(token.Site, p), true
	}
}

// readPairReply reads the answer to a pairing.
func (e *Endpoint) readPairReply(c *conn, reply *identitypb.PairReply) error {
	f := newFrameReader(c, maxOpening)
	defer f.release()
	kind, payload, err := f.next()
	switch {
	case err != nil:
		return err
	case kind == frameMessage:
		return decode(payload, reply)
	case kind == frameRefusal:
		var r linkpb.Refusal
		if err := decode(payload, &r); err != nil {
			return err
		}
		return refused(&r)
	}
	return protocolErrorf("a frame of kind %d where a message belongs", kind)
}

// servePairing answers the one request of a connection that brings a token.
func (e *Endpoint) servePairing(ctx context.Context, c *conn) {
	c.sock.own(e.o.Meters.Get(link.MeterKey{}))
	reply, err := e.decidePairing(ctx, c)
	b := getBuffer()
	defer putBuffer(b)
	if err != nil {
		e.warning("pairing refused", "remote", c.RemoteAddr(), "peer", c.peer.SiteName, "reason", err)
		*b, err = appendMessage(*b, frameRefusal, refusalOf(err))
	} else {
		e.o.Logger.Info("paired", "peer", c.peer.SiteName, "site", c.peer.Site)
		*b, err = appendMessage(*b, frameMessage, &identitypb.PairReply{LinkAddress: reply.LinkAddress})
	}
	if err == nil {
		if _, err = c.Write(*b); err == nil {
			linger(ctx, c.sock.Conn) // so that the answer is read before the end is seen
		}
	}
	c.Close()
}

// decidePairing reads a pairing's request, checks its proof and asks the node.
func (e *Endpoint) decidePairing(ctx context.Context, c *conn) (PairReply, error) {
	self, err := e.self()
	if err != nil {
		return PairReply{}, err
	}
	var req identitypb.PairRequest
	if err := within(ctx, c, e.o.Handshake, func() error { return readMessage(c, maxOpening, &req) }); err != nil {
		return PairReply{}, err
	}
	if req.GetVersion() != pairVersion {
		return PairReply{}, link.Refuse(link.CodeVersion, "pairing version %d is not known to site %s: upgrade the older site", req.GetVersion(), e.o.SiteName)
	}
	if len(req.GetLinkAddress()) > maxAddress {
		return PairReply{}, link.Refuse(link.CodeInvalid, "the link address is longer than %d bytes", maxAddress)
	}
	script, err := transcript(c.Conn, c.peer, self)
	if err != nil {
		return PairReply{}, err
	}
	hash, err := identity.VerifyProof(req.GetTokenPublic(), req.GetProof(), script)
	if err != nil {
		return PairReply{}, link.Refuse(link.CodeInvalid, "%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, pairTime)
	defer cancel()
	return e.o.Pair(ctx, PairRequest{Peer: c.peer, TokenHash: hash,
		LinkAddress: oneLine(req.GetLinkAddress(), maxAddress), Remote: c.RemoteAddr().String()})
}
