package ccow

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"edgefog.dev/isgw/sync/link/linktest"
	"edgefog.dev/isgw/sync/tunnel"
)

// tunnelOptions are those of a site: its node's key, and its certificate as proof.
func (s *site) tunnelOptions() tunnel.Options {
	return tunnel.Options{
		Credentials: func() (ed25519.PrivateKey, []byte, error) {
			c, err := s.cred.Certificate()
			if err != nil {
				return nil, nil, err
			}
			return c.PrivateKey.(ed25519.PrivateKey), c.Certificate[0], nil
		},
		Verify: func(key ed25519.PublicKey, proof []byte) (any, error) {
			leaf, err := x509.ParseCertificate(proof)
			if err != nil {
				return nil, err
			}
			if public, ok := leaf.PublicKey.(ed25519.PublicKey); !ok || !public.Equal(key) {
				return nil, errors.New("the proof is of another key")
			}
			return identity.VerifyPeer([][]byte{proof}, s.Pin)
		},
	}
}

// tunnelSites starts two sites that are paired, take tunnels beside plain
// connections, and dial through tunnels.
func tunnelSites(t testing.TB, change func(*Options)) (near, far *site) {
	var starting *site
	through := func(o *Options) {
		s := starting
		dialler, err := tunnel.NewDialer(s.tunnelOptions(), nil)
		if err != nil {
			t.Fatal(err)
		}
		o.Dial = dialler.DialContext
		if o.Listener, err = tunnel.Listen(o.Listener, s.tunnelOptions(), nil); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(o)
		}
	}
	make := func(name string) *site {
		starting = unstartedSite(t, name)
		starting.start(t, through)
		return starting
	}
	near, far = make("near"), make("far")
	near.pin(far)
	far.pin(near)
	return near, far
}

// bothWays runs a test with plain connections and with tunnels.
func bothWays(t *testing.T, test func(t *testing.T, sites func(testing.TB, func(*Options)) (near, far *site))) {
	t.Run("plain", func(t *testing.T) { t.Parallel(); test(t, twoSites) })
	t.Run("tunnel", func(t *testing.T) { t.Parallel(); test(t, tunnelSites) })
}

// TestConformanceTunnel runs the suite through tunnels.
func TestConformanceTunnel(t *testing.T) {
	t.Parallel()
	linktest.Run(t, func(t *testing.T, src link.Source) link.Source {
		near, far := tunnelSites(t, nil)
		far.serve("hawaii", src)
		return client(t, near, far, nil)
	})
}

// TestConformanceTunnelReversed runs it with the answering side dialling.
func TestConformanceTunnelReversed(t *testing.T) {
	t.Parallel()
	linktest.Run(t, func(t *testing.T, src link.Source) link.Source {
		near, far := tunnelSites(t, nil)
		far.serve("hawaii", src)
		near.serve("hawaii", greeter())
		asking := client(t, near, far, func(o *DialOptions) { o.Address = "" })
		if _, err := client(t, far, near, nil).Hello(background(t), &linkpb.Hello{}); err != nil {
			t.Fatal(err)
		}
		return asking
	})
}

// TestAdmit lets the connections of one link in only through tunnels. Plain ones
// are told why, whoever is to ask on them; other links take what they took.
func TestAdmit(t *testing.T) {
	t.Parallel()
	var strict *site
	admit := func(o *Options) {
		o.Admit = func(peer *identity.PeerInfo, service string, under net.Conn) error {
			c, ok := under.(*tunnel.Conn)
			switch {
			case ok && c.Peer().(*identity.PeerInfo).Site != peer.Site:
				return link.Refuse(link.CodeInvalid, "the tunnel is of another site")
			case !ok && service == "hawaii" && o.Site == strict.id.Site():
				return link.Refuse(link.CodeTunnel, "link hawaii is carried inside a tunnel only")
			}
			return nil
		}
	}
	near, far := tunnelSites(t, admit)
	strict = far
	for _, s := range []*site{near, far} {
		s.serve("hawaii", greeter())
		s.serve("maui", greeter())
	}
	plain := new(net.Dialer).DialContext
	for _, c := range []struct {
		name    string
		dial    func(context.Context, string, string) (net.Conn, error)
		service string
		refused bool
	}{
		{"plain", plain, "hawaii", true},
		{"tunnel", nil, "hawaii", false},
		{"plain, another link", plain, "maui", false},
		{"tunnel, another link", nil, "maui", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := served(background(t), client(t, near, far, func(o *DialOptions) { o.Dial, o.Service = c.dial, c.service }))
			if !c.refused {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantRefused(t, err, link.CodeTunnel, "inside a tunnel only")
		})
	}
	// The far side waits for connections, which the near one dials.
	asking := client(t, far, near, func(o *DialOptions) { o.Address = "" })
	for _, dial := range []func(context.Context, string, string) (net.Conn, error){plain, nil} {
		dialling := client(t, near, far, func(o *DialOptions) { o.Dial = dial })
		c, err := near.ep.dial(background(t), &dialling.o, alpnReverse)
		if dial == nil {
			if err != nil {
				t.Fatal(err)
			}
			if !near.ep.inbox.put(background(t), c) {
				t.Fatal("the connection is not served")
			}
			if err := served(background(t), asking); err != nil {
				t.Error(err)
			}
			continue
		}
		wantRefused(t, err, link.CodeTunnel, "inside a tunnel only")
	}
}

// TestDropPeer ends a pairing while everything is under way: all connections with
// the site end at once, at both sides, in whichever direction, and none comes
// back. Those with another site go on.
func TestDropPeer(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, sites func(testing.TB, func(*Options)) (near, far *site)) {
		near, far := sites(t, nil)
		third := newSite(t, "third", nil)
		third.pin(far)
		far.pin(third)
		asked := endless()
		asked.OnChanges = func(ctx context.Context, _ *linkpb.ChangesRequest, fn func(*linkpb.ChangeBatch) error) error {
			if err := fn(&linkpb.ChangeBatch{}); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		}
		far.serve("hawaii", asked)
		near.serve("hawaii", greeter())
		// One client dials; the other takes what the near side dials for it.
		clients := []*Client{client(t, near, far, nil), client(t, third, far, nil)}
		results := make(chan error, 4)
		var got atomic.Int64
		for _, c := range clients {
			go func() {
				results <- c.Changes(background(t), &linkpb.ChangesRequest{}, func(*linkpb.ChangeBatch) error { got.Add(1); return nil })
			}()
		}
		go func() {
			results <- clients[0].Fetch(background(t), &linkpb.FetchRequest{}, func(_ *linkpb.ChunkHeader, body []byte) error { got.Add(int64(len(body))); return nil })
		}()
		linktest.WaitFor(t, "both to move", func() bool { return asked.Running() == 3 && got.Load() > 1<<20 })

		dropped := time.Now()
		far.unpin(near)
		for range 2 {
			if err := <-results; link.Cause(err) != string(link.FaultBroken) {
				t.Errorf("the request ended with %v", err)
			}
		}
		linktest.WaitFor(t, "the work to end at the far side", func() bool { return asked.Running() == 1 })
		if took := time.Since(dropped); took > 10*time.Second { // a third of the stall time, which it would take unless it was told
			t.Errorf("it took %s", took)
		}
		if n := far.ep.Connections(near.id.Site(), "hawaii"); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		if err := served(background(t), clients[0]); err == nil || !strings.Contains(err.Error(), "does not accept this") {
			t.Errorf("after the end of the pairing: %v", err)
		}
		select {
		case err := <-results:
			t.Errorf("the link with another site ended too: %v", err)
		default:
		}
		third.ep.closeConns(func(*conn) bool { return true })
		<-results
	})
}

// TestFurtherListener takes connections at a second address, and gives it up again
// without touching what came there.
func TestFurtherListener(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	far.serve("hawaii", greeter())
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- far.ep.ServeListener(ctx, l) }()
	c := client(t, near, far, func(o *DialOptions) { o.Address = l.Addr().String() })
	if err := served(background(t), c); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := served(background(t), c); err != nil {
		t.Errorf("what came there has ended: %v", err)
	}
	near.ep.closeConns(func(*conn) bool { return true })
	wantFault(t, served(background(t), c), link.FaultUnreachable, "no site listens there")

	// A listener that fails says which one.
	l = listen(t)
	l.Close()
	wantFault(t, far.ep.ServeListener(context.Background(), l), link.FaultClosed, l.Addr().String())
}

// TestTunnelFetchIsWhole fetches over several tunnels at once and compares.
func TestTunnelFetchIsWhole(t *testing.T) {
	t.Parallel()
	near, far := tunnelSites(t, nil)
	body := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	far.serve("hawaii", &linktest.Source{OnFetch: func(_ context.Context, req *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
		for i := range 200 {
			b := bytes.Clone(body)
			b[0] = byte(i)
			if err := fn(&linkpb.ChunkHeader{Length: uint32(len(b))}, b); err != nil {
				return err
			}
		}
		return nil
	}})
	c := client(t, near, far, nil)
	results := make(chan error)
	for range 12 {
		go func() {
			i := 0
			err := c.Fetch(background(t), &linkpb.FetchRequest{}, func(_ *linkpb.ChunkHeader, b []byte) error {
				if b[0] != byte(i) || !bytes.Equal(b[1:], body[1:]) {
					return errors.New("another body")
				}
				i++
				return nil
			})
			if err == nil && i != 200 {
				err = io.ErrUnexpectedEOF
			}
			results <- err
		}()
	}
	for range 12 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}
