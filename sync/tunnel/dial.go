package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
)

var (
	// ErrNoTunnel says that what answers at an address does not speak SSH.
	ErrNoTunnel = errors.New("what answers is no tunnel")
	// ErrRejected says that the other side does not believe this one.
	ErrRejected = errors.New("the other side does not accept this one")
	// ErrOther says that the other side speaks SSH, but is not the end of a tunnel.
	ErrOther = errors.New("the other side speaks SSH, but has no tunnel")
)

var errNotSSH = fmt.Errorf("%w: it does not begin as SSH does", ErrNoTunnel)

// UntrustedError says why the other side was not believed.
type UntrustedError struct{ Err error }

// Error gives the reason.
func (e *UntrustedError) Error() string { return "the other side is not believed: " + e.Err.Error() }

// Unwrap gives what Options.Verify returned.
func (e *UntrustedError) Unwrap() error { return e.Err }

// Dialer makes tunnels. Any number of goroutines may use it at once.
type Dialer struct {
	o    Options
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// NewDialer returns a dialer. dial makes the connections beneath; net.Dialer when
// it is nil.
func NewDialer(o Options, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*Dialer, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return &Dialer{o: o, dial: dial}, nil
}

// DialContext connects to an address and makes a tunnel there, within ctx and,
// once it is connected, within Options.Handshake. The connection is a *Conn. The
// error wraps ErrNoTunnel, ErrRejected, ErrOther or an *UntrustedError where it
// is one of those, and otherwise what dialling, reading or the context said.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	signer, err := d.o.signer(ssh.UserCert)
	if err != nil {
		return nil, err
	}
	under, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	raw := newRawConn(under)
	ctx, cancel := context.WithTimeout(ctx, d.o.Handshake)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	c, err := d.shake(raw, address, signer)
	if !stop() {
		// raw is closed, or is about to be.
		if err == nil {
			c.Close()
		}
		raw.Close()
		if raw.otherwise() {
			return nil, errNotSSH
		}
		return nil, ctx.Err()
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

// shake runs the handshake and opens the channel. The caller closes raw when it
// fails.
func (d *Dialer) shake(raw *rawConn, address string, signer ssh.Signer) (*Conn, error) {
	var peer any
	var untrusted error
	config := &ssh.ClientConfig{
		Config:            d.o.common(),
		User:              user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
		ClientVersion:     version,
		HostKeyAlgorithms: []string{ssh.CertAlgoED25519v01},
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			peer, untrusted = d.o.verify(key, ssh.HostCert)
			return untrusted
		},
	}
	conn, channels, requests, err := ssh.NewClientConn(raw, address, config)
	switch {
	case err == nil:
	case untrusted != nil:
		return nil, &UntrustedError{untrusted}
	case raw.otherwise():
		return nil, errNotSSH
	case strings.Contains(err.Error(), "unable to authenticate"), strings.Contains(err.Error(), "too many authentication failures"):
		return nil, ErrRejected // x/crypto has no type for it
	default:
		return nil, raw.cause(err)
	}
	channel, ofTunnel, err := conn.OpenChannel(channelType, nil)
	if err != nil {
		if _, ok := errors.AsType[*ssh.OpenChannelError](err); ok {
			err = fmt.Errorf("%w: %w", ErrOther, err)
		} else {
			err = raw.cause(err)
		}
		raw.Close()
		service{channels: channels, requests: requests}.run() // ends with the connection
		return nil, err
	}
	return newConn(raw, conn, channel, peer, d.o.Alive, service{channels, requests, ofTunnel}), nil
}
