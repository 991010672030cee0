package ccow

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linktest"
)

func served(ctx context.Context, c *Client) error {
	_, err := c.Served(ctx)
	return err
}

func TestNotPairedThere(t *testing.T) {
	t.Parallel()
	near, far := newSite(t, "near", nil), newSite(t, "far", nil)
	near.pin(far)
	far.serve("hawaii", greeter())
	wantFault(t, served(background(t), client(t, near, far, nil)), link.FaultNotPaired, far.addr+" does not accept this site")
	linktest.WaitFor(t, "the refusal to be logged", func() bool { return far.log.has("not paired with this site") })
	if len(far.handshakes()) > 0 {
		t.Error("the far site accepted the handshake")
	}
}

func TestNotPairedHere(t *testing.T) {
	t.Parallel()
	near, far := newSite(t, "near", nil), newSite(t, "far", nil)
	far.pin(near)
	far.serve("hawaii", greeter())
	wantFault(t, served(background(t), client(t, near, far, nil)), link.FaultNotPaired, "is not paired with this site")
}

func TestAnotherSiteAnswers(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	other := newSite(t, "other", nil)
	near.pin(other)
	other.pin(near)
	c := client(t, near, far, func(o *DialOptions) { o.Address = other.addr })
	wantFault(t, served(background(t), c), link.FaultIdentity, other.addr+" answered as site other ("+other.id.Site().String()+"), expected far ("+far.id.Site().String()+")")
	stranger := newSite(t, "stranger", nil)
	c = client(t, near, far, func(o *DialOptions) { o.Address = stranger.addr })
	wantFault(t, served(background(t), c), link.FaultIdentity, "answered as site stranger ("+stranger.id.Site().String()+"), which is not paired with this site, expected far")
	c = client(t, near, far, func(o *DialOptions) { o.Address = near.addr })
	wantFault(t, served(background(t), c), link.FaultIdentity, "is this site itself")
}

func TestImpostor(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	// Somebody makes up a site with far's id and name.
	fake := &site{name: far.name}
	var err error
	if fake.id, err = identity.NewSiteIdentityFor(far.id.Site(), nil); err != nil {
		t.Fatal(err)
	}
	if fake.node, err = identity.OpenNode(t.TempDir(), identity.NodeOptions{SiteName: fake.name}); err != nil {
		t.Fatal(err)
	}
	fake.cred = identity.NewCredentials(fake.node)
	if err := fake.cred.SetRoster(fake.roster(t, 9, fake.member())); err != nil {
		t.Fatal(err)
	}
	fake.pins = map[state.SiteID]identity.Pin{}
	fake.start(t, nil)
	fake.pin(near)
	c := client(t, near, far, func(o *DialOptions) { o.Address = fake.addr })
	wantFault(t, served(background(t), c), link.FaultIdentity, "with another identity key")
	c = client(t, fake, near, nil)
	wantFault(t, served(background(t), c), link.FaultNotPaired, "does not accept this site")
	linktest.WaitFor(t, "the refusal to be logged", func() bool { return near.log.has("with another identity key") })
}

// TestRosters follows a site that replaces its node: the old node is cut off as
// soon as the new roster was seen once, in both directions of dialling.
func TestRosters(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	far.serve("hawaii", greeter())
	near.serve("hawaii", greeter())
	ctx := background(t)

	// A second node of the far site, which knows roster 2 without the first.
	second := &site{name: far.name, id: far.id, services: map[string]link.Source{"hawaii": greeter()}, pins: map[state.SiteID]identity.Pin{}}
	var err error
	if second.node, err = identity.OpenNode(t.TempDir(), identity.NodeOptions{SiteName: far.name}); err != nil {
		t.Fatal(err)
	}
	second.cred = identity.NewCredentials(second.node)
	if err := second.cred.SetRoster(second.roster(t, 2, second.member())); err != nil {
		t.Fatal(err)
	}
	second.start(t, nil)
	second.pin(near)

	toFirst, fromFirst := client(t, near, far, nil), client(t, far, near, nil)
	for _, c := range []*Client{toFirst, fromFirst} {
		if err := served(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	toSecond := client(t, near, far, func(o *DialOptions) { o.Address = second.addr })
	if err := served(ctx, toSecond); err != nil {
		t.Fatal(err)
	}
	if seen := near.handshakes(); len(seen) != 3 || seen[2].RosterNumber != 2 || seen[2].Node != second.node.ID() {
		t.Fatalf("the near site was told of %d handshakes", len(seen))
	}
	wantFault(t, served(ctx, toFirst), link.FaultIdentity, "shows roster 1 of site far")
	wantFault(t, served(ctx, fromFirst), link.FaultNotPaired, "does not accept this site")
	if err := served(ctx, toSecond); err != nil {
		t.Fatal(err)
	}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	peer, err := near.ep.Identify(background(t), nil, far.addr)
	if err != nil {
		t.Fatal(err)
	}
	if peer.Site != far.id.Site() || peer.SiteName != "far" || peer.Node != far.node.ID() {
		t.Errorf("identified %+v", peer)
	}
	dialled := 0
	peer, err = near.ep.Identify(background(t), func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled++
		return new(net.Dialer).DialContext(ctx, network, address)
	}, far.addr)
	if err != nil || dialled != 1 || peer.Site != far.id.Site() {
		t.Errorf("dialled %d times in a way of its own: %+v, %v", dialled, peer, err)
	}
	_, err = near.ep.Identify(background(t), nil, near.addr)
	wantFault(t, err, link.FaultIdentity, "is this site itself")
	stranger := newSite(t, "stranger", nil)
	_, err = near.ep.Identify(background(t), nil, stranger.addr)
	wantFault(t, err, link.FaultNotPaired, "is not paired with this site")
}

// TestDialFaults checks what an operator reads when nothing useful answers.
func TestDialFaults(t *testing.T) {
	t.Parallel()
	unnamed := func(o *Options) {
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, "no-such-host.") { // the test needs no name server
				return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}}
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	}
	near, far := newSite(t, "near", unnamed), newSite(t, "far", nil)
	near.pin(far)
	hasty := newSite(t, "near", func(o *Options) { o.Handshake = 400 * time.Millisecond })
	hasty.pin(far)
	listen := func(serve func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				serve(c)
				c.Close()
			}
		}()
		t.Cleanup(func() { l.Close(); <-done })
		return l.Addr().String()
	}
	for _, c := range []struct {
		name, address string
		kind          link.FaultKind
		part          string
	}{
		{"nobody listens", "127.0.0.1:1", link.FaultUnreachable, "127.0.0.1:1 refused the connection: no site listens there"},
		{"no such host", "no-such-host.invalid:14000", link.FaultUnreachable, "cannot resolve no-such-host.invalid:14000"},
		{"silence", listen(func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<16)); _, _ = c.Read(make([]byte, 1)) }), link.FaultTimeout, "did not answer in time"},
		{"another protocol", listen(func(c net.Conn) { _, _ = c.Read(make([]byte, 1)); _, _ = c.Write([]byte("220 ready\r\n")) }), link.FaultProtocol, "but not with TLS"},
		{"hangs up", listen(func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<16)) }), link.FaultBroken, "closed the connection during the handshake"},
		{"TLS of something else", listen(func(c net.Conn) {
			cert, _ := far.cred.Certificate()
			_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{"h2"}}).Handshake()
			_, _ = c.Read(make([]byte, 1))
		}), link.FaultProtocol, "not this protocol of links"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			from := near
			if c.kind == link.FaultTimeout {
				from = hasty
			}
			err := served(background(t), client(t, from, far, func(o *DialOptions) { o.Address = c.address }))
			wantFault(t, err, c.kind, c.part)
			if link.Cause(err) != string(c.kind) {
				t.Errorf("the cause is %q", link.Cause(err))
			}
		})
	}
	c := client(t, hasty, far, func(o *DialOptions) { o.Address = "" })
	wantFault(t, served(background(t), c), link.FaultNoConnection, "no address is known for site far")
}

func TestNoService(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	c := client(t, near, far, nil)
	wantRefused(t, served(background(t), c), link.CodeNoService, "site far has no link hawaii")
	far.serve("hawaii", greeter())
	if err := served(background(t), c); err != nil {
		t.Fatal(err)
	}
	// It is asked for every request, not for every connection.
	far.serve("hawaii", nil)
	wantRefused(t, served(background(t), c), link.CodeNoService, "site far has no link hawaii")
}
