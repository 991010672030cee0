package objsync

import (
	"context"
	"crypto/ed25519"
	"net"
	"testing"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/sync/tunnel"
)

// throughTunnel puts a listener of one site and what dials it from another into SSH.
func throughTunnel(t *testing.T, s, r *lineSite, listener net.Listener, dial func(context.Context, string, string) (net.Conn, error)) (net.Listener, func(context.Context, string, string) (net.Conn, error)) {
	t.Helper()
	listening, err := tunnel.Listen(listener, s.tunnelOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	dialler, err := tunnel.NewDialer(r.tunnelOptions(), dial)
	if err != nil {
		t.Fatal(err)
	}
	return listening, dialler.DialContext
}

// tunnelOptions are those of a site: its node's key, and its certificate as proof.
func (s *lineSite) tunnelOptions() tunnel.Options {
	return tunnel.Options{
		Credentials: func() (ed25519.PrivateKey, []byte, error) {
			c, err := s.cred.Certificate()
			if err != nil {
				return nil, nil, err
			}
			return c.PrivateKey.(ed25519.PrivateKey), c.Certificate[0], nil
		},
		Verify: func(_ ed25519.PublicKey, proof []byte) (any, error) {
			return identity.VerifyPeer([][]byte{proof}, s.Pin)
		},
	}
}

// TestLongLineLargeTunnel is TestLongLineLarge inside SSH: the line is filled as
// without.
func TestLongLineLargeTunnel(t *testing.T) { longLineLarge(t, true) }

// TestLongLineSmallTunnel is TestLongLineSmall inside SSH.
func TestLongLineSmallTunnel(t *testing.T) { longLineSmall(t, true) }
