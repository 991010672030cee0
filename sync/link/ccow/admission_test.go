package ccow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"edgefog.dev/isgw/sync/link/linktest"
)

// TestGreatestSettings has several links of two sites with the greatest number of
// connections, of which one side dials all, and all of them busy: nothing is refused.
func TestGreatestSettings(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, func(o *Options) { o.Handshake = linktest.Patience })
	const links = 3
	here, there := newGated(), newGated() // what near and far offer
	for _, g := range []*gated{here, there} {
		g.OnHello = func(context.Context, *linkpb.Hello) (*linkpb.Hello, error) { return &linkpb.Hello{}, nil }
	}
	var results []func() (string, error)
	for i := range links {
		name := fmt.Sprint("link", i)
		near.serve(name, here)
		far.serve(name, there)
		most := func(o *DialOptions) { o.Service, o.Connections = name, maxConnections }
		// far has no address of near: near dials for it too.
		back := client(t, far, near, func(o *DialOptions) { most(o); o.Address = "" })
		c := client(t, near, far, most)
		if _, err := c.Hello(background(t), &linkpb.Hello{}); err != nil {
			t.Fatal(err)
		}
		linktest.WaitFor(t, "the connections that are opened ahead", func() bool {
			c.chunks.mu.Lock()
			defer c.chunks.mu.Unlock()
			return !slices.ContainsFunc(c.chunks.open, func(p *pipe) bool { return p.load > 0 })
		})
		for range maxConnections {
			results = append(results, ask(background(t), c, "a"), ask(background(t), back, "a"))
		}
	}
	linktest.WaitFor(t, "all to be served at once", func() bool {
		return here.begun.Load() == links*maxConnections && there.begun.Load() == links*maxConnections
	})
	close(here.gate("a"))
	close(there.gate("a"))
	for _, result := range results {
		if _, err := result(); err != nil {
			t.Error(err)
		}
	}
	if near.log.has("fewer connections") || far.log.has("fewer connections") || far.log.has("link connection refused") || far.log.has("turned away") {
		t.Errorf("connections were refused:\n%s\n%s", &near.log.b, &far.log.b)
	}
}

// TestFewerConnections has a peer that takes fewer connections than a link is set to: all
// requests are answered over those, and more are opened when there is room.
func TestFewerConnections(t *testing.T) {
	t.Parallel()
	near, far := newSite(t, "near", nil), newSite(t, "far", func(o *Options) { o.MaxLinkConnections = 3 })
	near.pin(far)
	far.pin(near)
	g, scans := newGated(), newGated()
	g.OnScan = func(ctx context.Context, req *linkpb.ScanRequest) (*linkpb.ScanPage, error) {
		scans.begun.Add(1)
		select {
		case <-scans.gate("a"):
		case <-ctx.Done():
		}
		return &linkpb.ScanPage{}, nil
	}
	far.serve("hawaii", g)
	other := rawLink(t, near, far.addr) // takes one of the three
	c := client(t, near, far, nil)
	close(g.gate("first"))
	if _, err := ask(background(t), c, "first")(); err != nil {
		t.Fatal(err)
	}
	scan := func(done chan<- error) { _, err := c.Scan(background(t), &linkpb.ScanRequest{}); done <- err }
	scanned := make(chan error, 4)
	go scan(scanned)
	linktest.WaitFor(t, "the first scan to be served", func() bool { return scans.begun.Load() == 1 })
	var results []func() (string, error)
	for range 8 {
		results = append(results, ask(background(t), c, "a"))
	}
	for range cap(scanned) - 1 {
		go scan(scanned)
	}
	linktest.WaitFor(t, "it to be noticed", func() bool { return near.log.has("link has fewer connections than it is set to") })
	close(g.gate("a"))
	close(scans.gate("a"))
	for _, result := range results {
		if got, err := result(); err != nil || got != "a" {
			t.Errorf("a request for chunks was answered with %q, %v", got, err)
		}
	}
	for range cap(scanned) {
		if err := <-scanned; err != nil {
			t.Errorf("a scan: %v", err)
		}
	}
	if n := len(c.chunks.open); n != 1 {
		t.Errorf("%d connections for chunks", n)
	}

	other.Close()
	linktest.WaitFor(t, "one more to be opened", func() bool {
		var both []func() (string, error)
		for range 2 {
			both = append(both, ask(background(t), c, "a"))
		}
		for _, result := range both {
			if _, err := result(); err != nil {
				t.Fatal(err)
			}
		}
		c.chunks.mu.Lock()
		defer c.chunks.mu.Unlock()
		return len(c.chunks.open) == 2
	})

	// Without any connection the refusal is what a request ends with.
	var refused *link.Refused
	if _, err := ask(background(t), client(t, near, far, nil), "a")(); !errors.As(err, &refused) || refused.Code != link.CodeBusy {
		t.Errorf("without a connection: %v", err)
	}
}

// TestLaneMakesDo has lanes that do with one connection: it takes as many requests as the
// lane's depth allows, and the next one when one of those has ended.
func TestLaneMakesDo(t *testing.T) {
	t.Parallel()
	for _, depth := range []int{1, pipeDepth} {
		l := newLane(4, depth)
		if enough, _ := l.makeDo(time.Hour); enough {
			t.Error("a lane without connections makes do with them")
		}
		one, mine, _, _ := l.choose()
		if !mine {
			t.Fatal("no connection is opened")
		}
		l.opened(one, &conn{done: make(chan struct{})}, nil)
		for i, want := range []bool{true, false} { // that it does so is news once
			if enough, first := l.makeDo(time.Hour); !enough || first != want {
				t.Errorf("time %d: %v, %v", i, enough, first)
			}
		}
		if len(l.reserve(3)) > 0 {
			t.Error("more are opened ahead")
		}
		for range depth - 1 {
			if p, mine, _, _ := l.choose(); p != one || mine {
				t.Errorf("depth %d: another connection is taken", depth)
			}
		}
		p, _, _, freed := l.choose()
		if p != nil {
			t.Fatalf("depth %d: %d requests are on a connection", depth, one.load)
		}
		l.release(one, true)
		select {
		case <-freed:
		default:
			t.Error("who waits is not told")
		}
		if p, mine, _, _ := l.choose(); p != one || mine {
			t.Error("the place that came free is not taken")
		}
		l.after = time.Now() // its time is over
		if _, mine, _, _ := l.choose(); !mine {
			t.Error("no more are opened afterwards")
		}
	}
}
