package ccow

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
)

var (
	errNoProtocol = errors.New("the peer chose none of the link protocols")
	errOwnSite    = errors.New("the peer is this site itself")
)

// mismatch says that a paired or unknown site answers where another is expected.
type mismatch struct {
	got     *identity.PeerInfo
	want    state.SiteID
	wantAs  string
	unknown bool // got is not paired with this site
}

func (m *mismatch) Error() string {
	also := ""
	if m.unknown {
		also = ", which is not paired with this site"
	}
	return fmt.Sprintf("answered as site %s (%s)%s, expected %s (%s)", m.got.SiteName, m.got.Site, also, m.wantAs, m.want)
}

// dialFault puts an error of dialling address, or of the handshake there, into
// an operator's words.
func dialFault(address string, err error) error {
	fault := func(kind link.FaultKind, format string, args ...any) error {
		return &link.Fault{Kind: kind, Message: fmt.Sprintf(format, args...), Err: err}
	}
	if f, ok := errors.AsType[*link.Fault](err); ok {
		return f
	}
	if r, ok := errors.AsType[*link.Refused](err); ok {
		return r
	}
	if m, ok := errors.AsType[*mismatch](err); ok {
		return fault(link.FaultIdentity, "%s %s: check the address, or pair with the site that answers", address, m)
	}
	if p, ok := errors.AsType[*identity.PeerError](err); ok {
		kind := link.FaultIdentity
		if p.Kind == identity.PeerUnpaired {
			kind = link.FaultNotPaired
		}
		return fault(kind, "%s was not believed: %s", address, p.Message)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && !dns.IsTimeout {
		return fault(link.FaultUnreachable, "cannot resolve %s: no such host", address)
	}
	if remote, ok := errors.AsType[*net.OpError](err); ok && remote.Op == "remote error" {
		return remoteAlert(address, remote, fault)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fault(link.FaultProtocol, "%s answers, but not with TLS: it is not the link address of a site", address)
	}
	switch {
	case errors.Is(err, errNoProtocol):
		return fault(link.FaultProtocol, "%s speaks TLS, but not the protocol of links: it is not the link address of a site", address)
	case errors.Is(err, errOwnSite):
		return fault(link.FaultIdentity, "%s is this site itself", address)
	case errors.Is(err, errClosing):
		return fault(link.FaultClosed, "%v", errClosing)
	case errors.Is(err, context.Canceled):
		return err
	case isTimeout(err):
		return fault(link.FaultTimeout, "%s did not answer in time: check the address, the network and firewalls", address)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault(link.FaultUnreachable, "%s refused the connection: no site listens there", address)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fault(link.FaultUnreachable, "there is no route to %s", address)
	case isGone(err):
		return fault(link.FaultBroken, "%s closed the connection during the handshake", address)
	}
	return fault(link.FaultUnreachable, "cannot connect to %s: %v", address, err)
}

// remoteAlert explains a TLS alert. In TLS 1.3 it is all that a peer says that
// does not accept our certificate.
func remoteAlert(address string, remote *net.OpError, fault func(link.FaultKind, string, ...any) error) error {
	switch text := remote.Err.Error(); {
	case strings.Contains(text, "bad certificate"):
		return fault(link.FaultNotPaired, "%s does not accept this site: it is not paired with it, or has removed the pairing or this node; pair the sites again", address)
	case strings.Contains(text, "no application protocol"):
		return fault(link.FaultProtocol, "%s speaks TLS, but not this protocol of links: it is no site, or does not accept pairings", address)
	default:
		return fault(link.FaultProtocol, "%s refused the handshake: %s", address, text)
	}
}

// callFault puts an error of a request under way to peer into words. Errors
// that have their words already, and those of contexts, pass.
func callFault(peer string, err error) error {
	fault := func(kind link.FaultKind, format string, args ...any) error {
		return &link.Fault{Kind: kind, Message: fmt.Sprintf(format, args...), Err: err}
	}
	if f, ok := errors.AsType[*link.Fault](err); ok {
		return f
	}
	if r, ok := errors.AsType[*link.Refused](err); ok {
		return r
	}
	var protocol *protocolError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &protocol), errors.Is(err, errFrame):
		return fault(link.FaultProtocol, "site %s sent what the protocol forbids: %v", peer, err)
	case errors.Is(err, errStalled), isTimeout(err):
		return fault(link.FaultStalled, "site %s stopped moving in the middle of an exchange", peer)
	case isGone(err):
		return fault(link.FaultBroken, "the connection to site %s was lost", peer)
	}
	return fault(link.FaultBroken, "the connection to site %s failed: %v", peer, err)
}

// protocolError says that a peer broke the protocol above the framing.
type protocolError struct{ message string }

func (p *protocolError) Error() string { return p.message }

func protocolErrorf(format string, args ...any) error {
	return &protocolError{fmt.Sprintf(format, args...)}
}

func isTimeout(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout() || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

func isGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func isNetwork(err error) bool {
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}
