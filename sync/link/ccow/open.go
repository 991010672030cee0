package ccow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"google.golang.org/protobuf/proto"
)

var errClosing = errors.New("the link endpoint is closing, or the pairing was removed meanwhile")

// open reads the first message of an accepted connection, answers it, and hands
// the connection to the HTTP server or to the client that waits for it. A
// connection that is not wanted is answered with why and closed; the error is
// for the log. The end of ctx closes the connection until it is handed on, and not
// afterwards.
func (e *Endpoint) open(ctx context.Context, c *conn, place *place) error {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	waiting, err := e.admitService(c)
	if err == nil {
		if why := place.of(c.service); why != "" {
			err = link.Refuse(link.CodeBusy, "%s", why)
		}
	}
	if err != nil {
		e.refuse(ctx, c, err)
		return err
	}
	e.attribute(c)
	if !e.track(c) {
		return errClosing
	}
	if err := writeMessage(c, &linkpb.OpeningReply{}); err != nil {
		c.Close()
		return fmt.Errorf("answer opening: %w", err)
	}
	if !stop() {
		return errClosing
	}
	if waiting != nil {
		err = waiting.put(c)
	} else if !e.inbox.put(ctx, c) {
		err = errClosing
	}
	if err != nil {
		c.Close()
	}
	return err
}

// admitService reads which link a connection is for and decides whether it is
// wanted. The pool is where a connection on which this side asks goes.
func (e *Endpoint) admitService(c *conn) (*pool, error) {
	var opening linkpb.Opening
	if err := readMessage(c, maxOpening, &opening); err != nil {
		return nil, fmt.Errorf("read opening: %w", err)
	}
	if err := state.CheckName("service", opening.GetService()); err != nil {
		return nil, link.Refuse(link.CodeInvalid, "%v", err)
	}
	c.service = opening.GetService()
	if c.served() {
		if _, err := e.o.Resolve(c.peer.Site, c.service); err != nil {
			return nil, err
		}
		return nil, e.o.Admit(c.peer, c.service, c.sock.Conn)
	}
	p := e.pool(poolKey{c.peer.Site, c.service})
	if p == nil {
		return nil, link.Refuse(link.CodeNoService, "site %s does not wait for connections of link %s", e.o.SiteName, c.service)
	}
	return p, e.o.Admit(c.peer, c.service, c.sock.Conn)
}

// refuse answers an accepted connection with what is wrong and closes it.
func (e *Endpoint) refuse(ctx context.Context, c *conn, err error) {
	defer context.AfterFunc(ctx, func() { c.Close() })()
	c.sock.own(e.o.Meters.Get(link.MeterKey{}))
	if writeMessage(c, &linkpb.OpeningReply{Refusal: refusalOf(err)}) == nil {
		linger(ctx, c.sock.Conn)
	}
	c.Close()
}

// attribute makes a connection's bytes count for its link.
func (e *Endpoint) attribute(c *conn) {
	role := link.Pulling
	if c.served() {
		role = link.Serving
	}
	c.sock.own(e.o.Meters.Get(link.MeterKey{Peer: c.peer.Site, Service: c.service, Role: role}))
}

// dial opens a connection to a peer for a link and returns it when the peer has
// said that it is wanted. The error is a *link.Fault, a *link.Refused or the
// context's.
func (e *Endpoint) dial(ctx context.Context, o *DialOptions, alpn string) (*conn, error) {
	c, err := e.reach(ctx, o, alpn)
	if err != nil {
		return nil, err
	}
	if err := e.confirm(ctx, o, c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// reach opens a connection to a peer and says which link it is for. The peer's
// answer to that has yet to be read, with confirm, before anything else is; requests
// may be sent before. The error is like dial's.
func (e *Endpoint) reach(ctx context.Context, o *DialOptions, alpn string) (*conn, error) {
	leave, err := pass(ctx, gate(e, e.dials, o.Address, maxDials))
	if err != nil {
		return nil, err
	}
	c, err := e.shake(ctx, o.Dial, o.Address, alpn, func(raw [][]byte) (*identity.PeerInfo, error) {
		return e.expect(raw, o.Peer, o.PeerName)
	})
	if err != nil {
		leave()
		return nil, err
	}
	c.confirmed = leave
	c.service = o.Service
	c.ended = func() { e.untrack(c) }
	e.attribute(c)
	e.saw(c.peer)
	if !e.track(c) {
		leave()
		return nil, dialFault(o.Address, errClosing)
	}
	// A peer that did not accept the handshake may have closed its side before
	// this goes out; confirm reads why.
	c.unopened = within(ctx, c, e.o.Handshake, func() error {
		return writeMessage(c, &linkpb.Opening{Service: o.Service})
	})
	return c, nil
}

// confirm reads what the peer says of a new connection: that it is wanted, or why
// not. The caller closes the connection when there is an error, which is like
// dial's.
func (e *Endpoint) confirm(ctx context.Context, o *DialOptions, c *conn) error {
	defer c.confirmed()
	var reply linkpb.OpeningReply
	err := within(ctx, c, e.o.Handshake, func() error {
		if err := readMessage(c, maxOpening, &reply); err != nil {
			return errors.Join(err, c.unopened)
		}
		return c.unopened
	})
	if err == nil && reply.GetRefusal() != nil {
		err = refused(reply.GetRefusal())
	}
	if err != nil {
		return dialFault(o.Address, err)
	}
	return nil
}

// dialFunc opens connections.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// shake connects to an address, by the endpoint's way when dial is nil, and runs
// the handshake.
func (e *Endpoint) shake(ctx context.Context, dial dialFunc, address, alpn string, verify func([][]byte) (*identity.PeerInfo, error)) (*conn, error) {
	dialCtx, cancel := context.WithTimeout(ctx, e.o.Handshake)
	if dial == nil {
		dial = e.o.Dial
	}
	raw, err := dial(dialCtx, "tcp", address)
	cancel()
	if err != nil {
		return nil, dialFault(address, contextError(ctx, err))
	}
	tune(raw)
	shakeCtx, cancel := context.WithTimeout(ctx, e.o.Handshake)
	defer cancel()
	p := new(proof)
	c, err := e.handshake(shakeCtx, raw, false, e.clientConfig(alpn, p, verify), p)
	if err != nil {
		raw.Close()
		return nil, dialFault(address, contextError(ctx, err))
	}
	return c, nil
}

// expect verifies a peer and that it is the site that is expected.
func (e *Endpoint) expect(rawCerts [][]byte, want state.SiteID, name string) (*identity.PeerInfo, error) {
	seen, err := identity.InspectPeer(rawCerts)
	if err != nil {
		return nil, err
	}
	if seen.Site == e.o.Site {
		return nil, errOwnSite
	}
	if seen.Site != want {
		_, pinned := e.pin(seen.Site)
		return nil, &mismatch{got: seen, want: want, wantAs: name, unknown: !pinned}
	}
	return identity.VerifyPeer(rawCerts, e.pin)
}

// Identify connects to an address, by the endpoint's way when dial is nil, and returns
// which paired site answers there. The error is a *link.Fault or the context's.
func (e *Endpoint) Identify(ctx context.Context, dial dialFunc, address string) (*identity.PeerInfo, error) {
	c, err := e.shake(ctx, dial, address, alpnLink, func(raw [][]byte) (*identity.PeerInfo, error) {
		seen, err := identity.InspectPeer(raw)
		if err == nil && seen.Site == e.o.Site {
			return nil, errOwnSite
		}
		return identity.VerifyPeer(raw, e.pin)
	})
	if err != nil {
		return nil, err
	}
	c.sock.own(e.o.Meters.Get(link.MeterKey{}))
	e.saw(c.peer)
	c.Close()
	return c.peer, nil
}

// within runs f, which uses c, and breaks the connection when ctx ends or d is
// over before f has returned.
func within(ctx context.Context, c *conn, d time.Duration, f func() error) error {
	limited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	stop := context.AfterFunc(limited, func() { c.Close() })
	err := f()
	if stop() || err == nil {
		return err
	}
	return contextError(ctx, limited.Err())
}

// contextError is the context's error when it has ended, and otherwise err.
func contextError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// writeMessage sends one message outside of HTTP.
func writeMessage(w io.Writer, m proto.Message) error {
	b := getBuffer()
	defer putBuffer(b)
	var err error
	if *b, err = appendMessage(*b, frameMessage, m); err != nil {
		return err
	}
	_, err = w.Write(*b)
	return err
}

// readMessage reads one message outside of HTTP, and no byte beyond it.
func readMessage(r io.Reader, bound int, m proto.Message) error {
	f := newFrameReader(r, bound)
	defer f.release()
	kind, payload, err := f.next()
	if err != nil {
		return err
	}
	if kind != frameMessage {
		return protocolErrorf("a frame of kind %d where a message belongs", kind)
	}
	return decode(payload, m)
}

// decode reads a message of a peer.
func decode(payload []byte, m proto.Message) error {
	if err := checkShape(payload, m); err != nil {
		return err
	}
	if err := proto.Unmarshal(payload, m); err != nil {
		return protocolErrorf("a message that is no %s", m.ProtoReflect().Descriptor().Name())
	}
	return nil
}

// refusalOf is how an error travels. What is not meant for the peer stays here.
func refusalOf(err error) *linkpb.Refusal {
	if r, ok := errors.AsType[*link.Refused](err); ok {
		return &linkpb.Refusal{Code: string(r.Code), Message: r.Message}
	}
	switch {
	case errors.Is(err, errFrame), isProtocol(err):
		return &linkpb.Refusal{Code: string(link.CodeInvalid), Message: err.Error()}
	case errors.Is(err, errClosing), errors.Is(err, context.Canceled), errors.Is(err, net.ErrClosed):
		return &linkpb.Refusal{Code: string(link.CodeBusy), Message: "the sender is shutting down"}
	}
	return &linkpb.Refusal{Code: string(link.CodeInternal), Message: "the sender failed; its log says how"}
}

func isProtocol(err error) bool {
	_, ok := errors.AsType[*protocolError](err)
	return ok
}

// refused is the error that a refusal stands for. What a peer says is bounded
// and shown as one line.
func refused(r *linkpb.Refusal) error {
	return &link.Refused{Code: link.Code(oneLine(r.GetCode(), 32)), Message: oneLine(r.GetMessage(), 512)}
}

// oneLine cuts a text of a peer to n bytes and takes control characters out.
func oneLine(s string, n int) string {
	out := make([]byte, 0, min(len(s), n))
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			r = ' '
		}
		if len(out)+len(string(r)) > n {
			break
		}
		out = append(out, string(r)...)
	}
	return string(out)
}
