package ccow

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"edgefog.dev/isgw/sync/link/linktest"
)

// gated is a source whose answers to fetch wait, by the request's first path,
// until they are let go.
type gated struct {
	linktest.Source
	mu    sync.Mutex
	gates map[string]chan struct{}
	begun atomic.Int64
}

func newGated() *gated {
	g := &gated{gates: make(map[string]chan struct{})}
	g.OnFetch = func(ctx context.Context, req *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
		g.begun.Add(1)
		name := req.GetWants()[0].GetPath()
		select {
		case <-g.gate(name):
		case <-ctx.Done():
			return ctx.Err()
		}
		return fn(&linkpb.ChunkHeader{Refused: name}, nil)
	}
	return g
}

func (g *gated) gate(name string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gates[name] == nil {
		g.gates[name] = make(chan struct{})
	}
	return g.gates[name]
}

// ask makes a request in the background; its result is the name that the answer
// has.
func ask(ctx context.Context, c *Client, name string) func() (string, error) {
	var got string
	done := make(chan error, 1)
	go func() {
		done <- c.Fetch(ctx, &linkpb.FetchRequest{Wants: []*linkpb.Want{{Path: name}}}, func(h *linkpb.ChunkHeader, _ []byte) error {
			got = h.GetRefused()
			return nil
		})
	}()
	return func() (string, error) { err := <-done; return got, err }
}

// queued waits until n requests are on the client's connections for chunks.
func queued(t *testing.T, c *Client, n int) {
	t.Helper()
	linktest.WaitFor(t, "requests to be queued", func() bool {
		c.chunks.mu.Lock()
		defer c.chunks.mu.Unlock()
		load, sent := 0, 0
		for _, p := range c.chunks.open {
			load += p.load
			p.send.Lock()
			if p.last != nil {
				sent++
			}
			p.send.Unlock()
		}
		return load == n && sent == len(c.chunks.open)
	})
}

// TestPipelined sends a second request while the first one is not answered, on
// one connection, and gets both answers.
func TestPipelined(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	g := newGated()
	far.serve("hawaii", g)
	c := client(t, near, far, func(o *DialOptions) { o.Connections = 1 })
	a := ask(background(t), c, "a")
	queued(t, c, 1)
	b := ask(background(t), c, "b")
	queued(t, c, 2)
	close(g.gate("b")) // its turn is after a's all the same
	close(g.gate("a"))
	for name, result := range map[string]func() (string, error){"a": a, "b": b} {
		if got, err := result(); err != nil || got != name {
			t.Errorf("request %s was answered with %q, %v", name, got, err)
		}
	}
	if n := far.ep.Connections(near.id.Site(), "hawaii"); n != 1 {
		t.Errorf("%d connections were opened", n)
	}
}

// TestPipelineGivenUp gives up on a request that waits behind another one: that
// one is answered, and later ones are too.
func TestPipelineGivenUp(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	g := newGated()
	far.serve("hawaii", g)
	c := client(t, near, far, func(o *DialOptions) { o.Connections = 1 })
	a := ask(background(t), c, "a")
	queued(t, c, 1)
	ctx, cancel := context.WithCancel(background(t))
	b := ask(ctx, c, "b")
	queued(t, c, 2)
	cancel()
	if _, err := b(); !errors.Is(err, context.Canceled) {
		t.Errorf("the request that was given up: %v", err)
	}
	d := ask(background(t), c, "d") // behind both
	queued(t, c, 2)
	for _, name := range []string{"a", "b", "d"} {
		close(g.gate(name))
	}
	if got, err := a(); err != nil || got != "a" {
		t.Errorf("the request before was answered with %q, %v", got, err)
	}
	if got, err := d(); err != nil || got != "d" {
		t.Errorf("the request behind was answered with %q, %v", got, err)
	}
}

// TestPipelineLost loses the connection in the first of two requests: the first
// one fails, the one behind it is made again.
func TestPipelineLost(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	g := newGated()
	far.serve("hawaii", g)
	c := client(t, near, far, func(o *DialOptions) { o.Connections = 1 })
	a := ask(background(t), c, "a")
	queued(t, c, 1)
	linktest.WaitFor(t, "the request to be served", func() bool { return g.begun.Load() == 1 })
	b := ask(background(t), c, "b")
	queued(t, c, 2)
	close(g.gate("b"))
	far.ep.closeConns(func(*conn) bool { return true })
	_, err := a()
	wantFault(t, err, link.FaultBroken, "was lost")
	if got, err := b(); err != nil || got != "b" {
		t.Errorf("the request behind was answered with %q, %v", got, err)
	}
}

// TestPipelineSpreads sends as many requests as there are connections: each has
// one of its own.
func TestPipelineSpreads(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	g := newGated()
	far.serve("hawaii", g)
	c := client(t, near, far, func(o *DialOptions) { o.Connections = 3 })
	var all []func() (string, error)
	for range 3 {
		all = append(all, ask(background(t), c, "a"))
	}
	linktest.WaitFor(t, "all to be served at once", func() bool { return g.begun.Load() == 3 })
	close(g.gate("a"))
	for _, result := range all {
		if _, err := result(); err != nil {
			t.Error(err)
		}
	}
}

// TestFirstRequestIsNotHeldUp serves as a peer that says only after it has read a
// request that it wants the connection, or that it does not.
func TestFirstRequestIsNotHeldUp(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	var reply atomic.Pointer[linkpb.OpeningReply]
	address := rawListen(t, far, alpnLink, func(c rawConn) {
		if readMessage(c, maxOpening, new(linkpb.Opening)) != nil {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil || writeMessage(c, reply.Load()) != nil {
			return
		}
		c.say("%s", okHead+"Content-Length: 5\r\n\r\n"+frame(byte(frameEnd), 0, ""))
	})
	c := client(t, near, far, func(o *DialOptions) { o.Address = address; o.Connections = 1 })
	fetch := func() error { return c.Fetch(background(t), &linkpb.FetchRequest{}, nil) }
	reply.Store(&linkpb.OpeningReply{Refusal: &linkpb.Refusal{Code: string(link.CodeBusy), Message: "come back tomorrow"}})
	wantRefused(t, fetch(), link.CodeBusy, "come back tomorrow")
	if !c.away.Load() {
		t.Error("a peer that refuses connections counts as one that was reached")
	}
	reply.Store(new(linkpb.OpeningReply))
	if err := fetch(); err != nil {
		t.Errorf("after the refusal: %v", err)
	}
	if c.away.Load() {
		t.Error("a peer that was reached counts as away")
	}
}

// TestGivenUpBeforeConfirmation gives up on a request while the peer has not said
// that it wants the connection: the next one goes over another connection, and
// nothing but the end follows on the first one.
func TestGivenUpBeforeConfirmation(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	type followed struct {
		n   int64
		err error
	}
	asked, after := make(chan struct{}), make(chan followed, 1)
	var connections atomic.Int64
	address := rawListen(t, far, alpnLink, func(c rawConn) {
		nth := connections.Add(1)
		if readMessage(c, maxOpening, new(linkpb.Opening)) != nil {
			return
		}
		in := bufio.NewReader(c)
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if nth == 1 {
			close(asked)
			n, err := io.Copy(io.Discard, in)
			after <- followed{n, err}
			return
		}
		if writeMessage(c, new(linkpb.OpeningReply)) == nil {
			c.say("%s", okHead+"Content-Length: 5\r\n\r\n"+frame(byte(frameEnd), 0, ""))
		}
	})
	c := client(t, near, far, func(o *DialOptions) { o.Address = address; o.Connections = 1 })
	ctx, cancel := context.WithCancel(background(t))
	a := ask(ctx, c, "a")
	<-asked
	cancel()
	if _, err := a(); !errors.Is(err, context.Canceled) {
		t.Errorf("the request that was given up: %v", err)
	}
	if err := c.Fetch(background(t), &linkpb.FetchRequest{}, nil); err != nil {
		t.Errorf("the next request: %v", err)
	}
	if f := <-after; f.n != 0 || f.err != nil && !errors.Is(f.err, io.ErrUnexpectedEOF) {
		t.Errorf("the request that was given up was followed by %d bytes and %v", f.n, f.err)
	}
}

// TestRefusalBehindAnother has two requests on a connection that the peer does not
// want: both are told why.
func TestRefusalBehindAnother(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	gate := make(chan struct{})
	address := rawListen(t, far, alpnLink, func(c rawConn) {
		if readMessage(c, maxOpening, new(linkpb.Opening)) != nil {
			return
		}
		<-gate
		_ = writeMessage(c, &linkpb.OpeningReply{Refusal: &linkpb.Refusal{Code: string(link.CodeDisabled), Message: "not now"}})
		linger(background(t), c.NetConn())
	})
	c := client(t, near, far, func(o *DialOptions) { o.Address = address; o.Connections = 1 })
	a := ask(background(t), c, "a")
	queued(t, c, 1)
	b := ask(background(t), c, "b")
	queued(t, c, 2)
	close(gate)
	for _, result := range []func() (string, error){a, b} {
		_, err := result()
		wantRefused(t, err, link.CodeDisabled, "not now")
	}
}
