package ccow

import (
	"testing"
	"time"

	"edgefog.dev/isgw/sync/link/linkpb"
	"edgefog.dev/isgw/sync/link/linktest"
)

// TestUnusedConnectionsStay opens connections before they are needed, in both ways,
// and uses them only when more time has passed than a handshake or a request's head
// may take: they are still the same.
func TestUnusedConnectionsStay(t *testing.T) {
	t.Parallel()
	const limit = 3 * time.Second // in which all connections are made at once
	near, far := twoSites(t, func(o *Options) { o.Handshake = limit })
	g := newGated()
	close(g.gate("a"))
	far.serve("hawaii", g)
	near.serve("hawaii", greeter())
	c := client(t, near, far, func(o *DialOptions) { o.Connections = 3 })
	c.Prepare()
	waiting := client(t, far, near, func(o *DialOptions) { o.Address = ""; o.Connections = 2 })
	g.OnHello = greeter().OnHello
	if _, err := c.Hello(background(t), &linkpb.Hello{}); err != nil {
		t.Fatal(err)
	}
	open := func() map[*conn]bool {
		near.ep.mu.Lock()
		defer near.ep.mu.Unlock()
		out := make(map[*conn]bool)
		for c := range near.ep.conns {
			out[c] = true
		}
		return out
	}
	const all = 3 + 1 + controlConnections + changeConnections + 2 // prepared, the greeting's, and what far waits for
	linktest.WaitFor(t, "all connections", func() bool { return len(open()) == all })
	before := open()
	<-time.After(limit + limit/4)
	for c := range open() {
		if !before[c] {
			t.Error("a connection was opened anew")
		}
	}
	for range 3 {
		if got, err := ask(background(t), c, "a")(); err != nil || got != "a" {
			t.Errorf("answer %q, %v", got, err)
		}
	}
	if err := served(background(t), waiting); err != nil {
		t.Errorf("over a connection that was dialled for it: %v", err)
	}
	if n := len(open()); n != all {
		t.Errorf("%d connections are open instead of %d", n, all)
	}
}
