package ccow

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"edgefog.dev/isgw/sync/link/linktest"
)

// TestReconnect restarts the far side: requests on connections that it left
// behind are made again on new ones, without an error for the caller.
func TestReconnect(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	far.serve("hawaii", greeter())
	c := client(t, near, far, nil)
	for i := range 3 {
		if err := served(background(t), c); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		far.stop()
		wantFault(t, served(background(t), c), link.FaultUnreachable, "no site listens there")
		address := far.addr
		far.start(t, func(o *Options) {
			o.Listener.Close()
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			o.Listener = l
		})
		far.addr = address
	}
	if err := served(background(t), c); err != nil {
		t.Fatal(err)
	}
	near.ep.closeConns(func(*conn) bool { return true }) // lost without a word
	far.ep.closeConns(func(*conn) bool { return true })
	if err := served(background(t), c); err != nil {
		t.Fatal(err)
	}
}

// TestReversedReconnect loses reversed connections; the side that dials them
// brings new ones.
func TestReversedReconnect(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	far.serve("hawaii", greeter())
	near.serve("hawaii", greeter())
	asking := client(t, near, far, func(o *DialOptions) { o.Address = "" })
	dialling := client(t, far, near, nil)
	if _, err := dialling.Hello(background(t), &linkpb.Hello{}); err != nil {
		t.Fatal(err)
	}
	dialled := func() int {
		n := 0
		far.ep.mu.Lock()
		defer far.ep.mu.Unlock()
		for c := range far.ep.conns {
			if c.alpn == alpnReverse {
				n++
			}
		}
		return n
	}
	for range 3 {
		linktest.WaitFor(t, "all reversed connections", func() bool { return dialled() == controlConnections+changeConnections+8 })
		if err := served(background(t), asking); err != nil {
			t.Fatal(err)
		}
		far.ep.closeConns(func(c *conn) bool { return c.alpn == alpnReverse })
		// The next request may take a connection that is about to be found
		// dead; it is for the engine to ask again.
		linktest.WaitFor(t, "a request to get through", func() bool { return served(background(t), asking) == nil })
	}
	// When nobody waits any more, the dialling side is told.
	if err := asking.Close(); err != nil {
		t.Fatal(err)
	}
	if near.ep.pool(poolKey{far.id.Site(), "hawaii"}) != nil {
		t.Error("the pool is still there")
	}
	if hello, err := dialling.Hello(background(t), &linkpb.Hello{}); err != nil || hello.GetWantReverse() != 0 {
		t.Errorf("greeting %v, %v", hello, err)
	}
	linktest.WaitFor(t, "the reversed connections to end", func() bool { return dialled() == 0 })
}

// TestParkedOverflow checks that a pool stays within what it wants.
func TestParkedOverflow(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	client(t, near, far, func(o *DialOptions) { o.Address = ""; o.Connections = 1 })
	p := near.ep.pool(poolKey{far.id.Site(), "hawaii"})
	o := DialOptions{Peer: near.id.Site(), Service: "hawaii", Address: near.addr}
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	var all []*conn
	for range p.wanted() + 3 {
		c, err := far.ep.dial(background(t), &o, alpnReverse)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		all = append(all, c)
	}
	linktest.WaitFor(t, "the last one to be parked", func() bool {
		near.ep.admit.mu.Lock()
		defer near.ep.admit.mu.Unlock()
		return near.ep.admit.shaking == 0
	})
	p.mu.Lock()
	n := len(p.idle)
	p.mu.Unlock()
	if n != p.want {
		t.Errorf("%d connections are parked, %d are wanted", n, p.want)
	}
	// One that says something unasked is thrown out.
	if _, err := all[len(all)-1].Write([]byte("hello?")); err != nil {
		t.Fatal(err)
	}
	linktest.WaitFor(t, "the talkative connection to go", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.idle) == p.want-1
	})
}

// TestServeEnds checks that the end of Serve ends what is under way, tells the
// peer, and waits.
func TestServeEnds(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	src := &linktest.Source{OnChanges: func(ctx context.Context, _ *linkpb.ChangesRequest, fn func(*linkpb.ChangeBatch) error) error {
		if err := fn(&linkpb.ChangeBatch{}); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}}
	far.serve("hawaii", src)
	begun, result := make(chan struct{}), make(chan error, 1)
	c := client(t, near, far, nil)
	go func() {
		result <- c.Changes(background(t), &linkpb.ChangesRequest{}, func(*linkpb.ChangeBatch) error { close(begun); return nil })
	}()
	<-begun
	far.stop()
	if n := src.Running(); n != 0 {
		t.Errorf("%d calls are left when Serve has returned", n)
	}
	if err := <-result; err == nil {
		t.Error("the stream ended without an error")
	}
	far.ep.mu.Lock()
	if n := len(far.ep.conns); n != 0 {
		t.Errorf("%d connections are left when Serve has returned", n)
	}
	far.ep.mu.Unlock()
	if err := far.ep.Serve(context.Background()); err == nil {
		t.Error("a second Serve is no error")
	}
}

// TestClientClose checks that Close ends and waits for calls, and that a closed
// client says so.
func TestClientClose(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	src := &linktest.Source{OnServed: func(ctx context.Context) (*linkpb.Served, error) { <-ctx.Done(); return nil, ctx.Err() }}
	far.serve("hawaii", src)
	c := client(t, near, far, nil)
	var wg sync.WaitGroup
	for range 6 { // more than there are connections
		wg.Go(func() { wantFaultIn(t, served(background(t), c), link.FaultClosed) })
	}
	linktest.WaitFor(t, "the calls to begin", func() bool { return src.Running() == controlConnections })
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	wantFault(t, served(background(t), c), link.FaultClosed, "link hawaii to site far was closed here")
	linktest.WaitFor(t, "the calls to end at the far side", func() bool { return src.Running() == 0 })
	if err := c.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}

// wantFaultIn is wantFault for goroutines.
func wantFaultIn(t *testing.T, err error, kind link.FaultKind) {
	if link.Cause(err) != string(kind) {
		t.Errorf("the error is %v, not a fault %q", err, kind)
	}
}

// TestBounds fills up an endpoint.
func TestBounds(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, func(o *Options) { o.MaxConnections, o.MaxPeerConnections = 40, 3 })
	far.serve("hawaii", greeter())
	var held []rawConn
	for range 3 {
		held = append(held, rawLink(t, near, far.addr))
	}
	wantRefused(t, served(background(t), client(t, near, far, nil)), link.CodeBusy, "too many connections")
	held[0].Close()
	c := client(t, near, far, nil)
	linktest.WaitFor(t, "a place to come free", func() bool { return served(background(t), c) == nil })

	// Strangers that say nothing: from one address only so many at once.
	silent := make([]net.Conn, 0, maxHostHandshakes+4)
	for range cap(silent) {
		s, err := net.Dial("tcp", far.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		silent = append(silent, s)
	}
	linktest.WaitFor(t, "strangers to be turned away", func() bool { return far.log.has("too many handshakes with this address") })
	if err := served(background(t), c); err != nil {
		t.Errorf("an open connection is disturbed: %v", err)
	}
	for _, s := range silent {
		s.Close()
	}
	linktest.WaitFor(t, "the handshakes to be forgotten", func() bool {
		far.ep.admit.mu.Lock()
		defer far.ep.admit.mu.Unlock()
		return far.ep.admit.shaking == 0 && len(far.ep.admit.handshakes) == 0
	})
}

// TestAdmissionCounts checks that every place comes back.
func TestAdmissionCounts(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	far.serve("hawaii", greeter())
	for range 5 {
		c := client(t, near, far, nil)
		if err := served(background(t), c); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		rawDial(t, near, far.addr, alpnPair).Close()
	}
	stranger := newSite(t, "stranger", nil)
	stranger.pin(far)
	wantFault(t, served(background(t), client(t, stranger, far, nil)), link.FaultNotPaired, "")
	linktest.WaitFor(t, "all places to come back", func() bool {
		far.ep.admit.mu.Lock()
		defer far.ep.admit.mu.Unlock()
		return far.ep.admit.open == 0 && len(far.ep.admit.peers) == 0
	})
}

// TestMeters checks that both ends count the same bytes, each in its role, with
// either side dialling.
func TestMeters(t *testing.T) {
	t.Parallel()
	for _, reversed := range []bool{false, true} {
		t.Run(fmt.Sprint("reversed=", reversed), func(t *testing.T) {
			near, far := twoSites(t, nil)
			const total = 100 * 50_000
			body := make([]byte, 50_000)
			far.serve("hawaii", &linktest.Source{OnFetch: func(_ context.Context, _ *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
				for range total / len(body) {
					if err := fn(&linkpb.ChunkHeader{Length: uint32(len(body))}, body); err != nil {
						return err
					}
				}
				return nil
			}})
			near.serve("hawaii", greeter())
			c := client(t, near, far, func(o *DialOptions) {
				if reversed {
					o.Address = ""
				}
			})
			back := client(t, far, near, nil)
			if _, err := back.Hello(background(t), &linkpb.Hello{}); err != nil {
				t.Fatal(err)
			}
			if err := c.Fetch(background(t), &linkpb.FetchRequest{}, func(*linkpb.ChunkHeader, []byte) error { return nil }); err != nil {
				t.Fatal(err)
			}
			traffic := func(at, other *site, role link.Role) link.Traffic {
				return at.ep.o.Meters.Snapshot()[link.MeterKey{Peer: other.id.Site(), Service: "hawaii", Role: role}]
			}
			linktest.WaitFor(t, "both ends to agree", func() bool {
				pulled, gave := traffic(near, far, link.Pulling), traffic(far, near, link.Serving)
				asked, answered := traffic(far, near, link.Pulling), traffic(near, far, link.Serving)
				return pulled.Read == gave.Written && pulled.Written == gave.Read &&
					asked.Read == answered.Written && asked.Written == answered.Read
			})
			pulled, asked := traffic(near, far, link.Pulling), traffic(far, near, link.Pulling)
			if over := float64(pulled.Read) / total; over < 1 || over > 1.02 {
				t.Errorf("%d bytes read for %d of content", pulled.Read, total)
			}
			if pulled.Written == 0 || asked.Read == 0 || asked.Read > 100_000 {
				t.Errorf("pulled %+v, asked %+v", pulled, asked)
			}
			near.ep.o.Meters.Forget(far.id.Site(), "")
			if traffic(near, far, link.Pulling) != (link.Traffic{}) {
				t.Error("the counts were not forgotten")
			}
		})
	}
}

// TestKeeperGivesUpWithItsClient checks that nothing dials after Close.
func TestKeeperGivesUpWithItsClient(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	near.serve("hawaii", greeter())
	asking := client(t, near, far, func(o *DialOptions) { o.Address = "" })
	dialling := client(t, far, near, nil)
	if _, err := dialling.Hello(background(t), &linkpb.Hello{}); err != nil {
		t.Fatal(err)
	}
	if err := dialling.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := served(ctx, asking); err == nil {
		t.Error("a request was answered")
	}
}
