package ccow

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"edgefog.dev/isgw/sync/link/linktest"
)

// every calls f at a steady pace until it returns false.
func every(d time.Duration, f func() bool) {
	t := time.NewTicker(d)
	defer t.Stop()
	for f() {
		<-t.C
	}
}

// TestSilentServer checks that a peer that stops is noticed, whatever was asked
// and however far the answer had come.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, func(o *Options) { o.Stall = 150 * time.Millisecond })
	for name, answer := range map[string]string{
		"before the head": "", "in the head": "HTTP/1.1 2", "after the head": okHead + "Content-Length: 99\r\n\r\n",
		"in a frame": okHead + "Content-Length: 99\r\n\r\n" + frame(1, 90, "abc"),
	} {
		t.Run(name, func(t *testing.T) {
			address := rawServer(t, far, func(c rawConn) { c.say("%s", answer); _, _ = io.Copy(io.Discard, c) })
			cl := client(t, near, far, func(o *DialOptions) { o.Address = address })
			for call, err := range map[string]error{
				"served":  served(background(t), cl),
				"fetch":   cl.Fetch(background(t), &linkpb.FetchRequest{}, nil),
				"changes": cl.Changes(background(t), &linkpb.ChangesRequest{}, nil),
			} {
				if link.Cause(err) != string(link.FaultStalled) {
					t.Errorf("%s: %v", call, err)
				}
			}
		})
	}
}

// TestTricklingServer checks the rule of least progress: a byte now and then
// does not keep an answer alive.
func TestTricklingServer(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, func(o *Options) { o.Stall, o.MinProgress = 200*time.Millisecond, 4096 })
	address := rawServer(t, far, func(c rawConn) {
		c.say("%s", okHead+"Content-Length: 1000000\r\n\r\n"+frame(1, 900_000, ""))
		every(5*time.Millisecond, func() bool { _, err := c.Write([]byte("x")); return err == nil })
	})
	cl := client(t, near, far, func(o *DialOptions) { o.Address = address })
	for call, f := range map[string]func() error{
		"scan":    func() error { _, err := cl.Scan(background(t), &linkpb.ScanRequest{}); return err },
		"fetch":   func() error { return cl.Fetch(background(t), &linkpb.FetchRequest{}, nil) },
		"changes": func() error { return cl.Changes(background(t), &linkpb.ChangesRequest{}, nil) },
	} {
		start := time.Now()
		if err := f(); link.Cause(err) != string(link.FaultStalled) {
			t.Errorf("%s: %v", call, err)
		}
		if d := time.Since(start); d > linktest.Patience/2 { // all of it would take more than an hour
			t.Errorf("%s was cut after %v only", call, d)
		}
	}
	// Keep-alives are for the stream of changes; they make no fetch.
	address = rawServer(t, far, func(c rawConn) {
		c.say("%s", okHead+"Content-Length: 1000000\r\n\r\n")
		every(5*time.Millisecond, func() bool { _, err := io.WriteString(c, frame(4, 0, "")); return err == nil })
	})
	cl = client(t, near, far, func(o *DialOptions) { o.Address = address })
	if err := cl.Fetch(background(t), &linkpb.FetchRequest{}, nil); link.Cause(err) != string(link.FaultStalled) {
		t.Errorf("fetch: %v", err)
	}
}

// TestQuietChanges checks that a stream on which nothing happens outlives the
// stall time many times over.
func TestQuietChanges(t *testing.T) {
	t.Parallel()
	bothWays(t, quietChanges)
}

func quietChanges(t *testing.T, sites func(testing.TB, func(*Options)) (near, far *site)) {
	near, far := sites(t, func(o *Options) { o.Stall = time.Second })
	far.serve("hawaii", &linktest.Source{OnChanges: func(ctx context.Context, _ *linkpb.ChangesRequest, fn func(*linkpb.ChangeBatch) error) error {
		select {
		case <-time.After(2500 * time.Millisecond):
			return fn(&linkpb.ChangeBatch{To: 1})
		case <-ctx.Done():
			return ctx.Err()
		}
	}})
	err := client(t, near, far, nil).Changes(background(t), &linkpb.ChangesRequest{}, func(*linkpb.ChangeBatch) error { return io.EOF })
	if err != io.EOF {
		t.Errorf("the stream ended with %v", err)
	}
}

// TestSlowReceiver checks that time a receiver takes is not held against the
// sender.
func TestSlowReceiver(t *testing.T) {
	t.Parallel()
	bothWays(t, slowReceiver)
}

func slowReceiver(t *testing.T, sites func(testing.TB, func(*Options)) (near, far *site)) {
	near, far := sites(t, func(o *Options) { o.Stall = time.Second })
	body := make([]byte, 1000)
	far.serve("hawaii", &linktest.Source{OnFetch: func(_ context.Context, _ *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
		for range 40 {
			if err := fn(&linkpb.ChunkHeader{Length: 1000}, body); err != nil {
				return err
			}
		}
		return nil
	}})
	n := 0
	err := client(t, near, far, nil).Fetch(background(t), &linkpb.FetchRequest{}, func(*linkpb.ChunkHeader, []byte) error {
		n++
		<-time.After(50 * time.Millisecond)
		return nil
	})
	if err != nil || n != 40 {
		t.Errorf("%d chunks and %v", n, err)
	}
}

// endless is a source whose fetch never ends by itself.
func endless() *linktest.Source {
	body := make([]byte, chunks.MaxRaw)
	return &linktest.Source{OnFetch: func(_ context.Context, _ *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
		for {
			if err := fn(&linkpb.ChunkHeader{Length: chunks.MaxRaw}, body); err != nil {
				return err
			}
		}
	}}
}

// TestStalledReader checks that a peer that takes nothing is cut, and that one
// that takes slowly is not: a full send buffer hides its progress for longer
// than the stall time.
func TestStalledReader(t *testing.T) {
	t.Parallel()
	bothWays(t, stalledReader)
}

func stalledReader(t *testing.T, sites func(testing.TB, func(*Options)) (near, far *site)) {
	const stall = 500 * time.Millisecond
	near, far := sites(t, func(o *Options) { o.Stall = stall })
	src := endless()
	far.serve("hawaii", src)

	stalled := rawLink(t, near, far.addr)
	stalled.say("%s", post(pathFetch, 5)+frame(1, 0, ""))
	linktest.WaitFor(t, "the fetch to begin", func() bool { return src.Running() == 1 })
	linktest.WaitFor(t, "the fetch to be cut", func() bool { return src.Running() == 0 })

	slow := rawLink(t, near, far.addr)
	_ = beneath(slow.Conn).SetReadBuffer(64 << 10)
	slow.say("%s", post(pathFetch, 5)+frame(1, 0, ""))
	linktest.WaitFor(t, "the fetch to begin", func() bool { return src.Running() == 1 })
	begun := time.Now()
	buf := make([]byte, 16<<10)
	every(10*time.Millisecond, func() bool {
		if _, err := slow.Read(buf); err != nil || src.Running() != 1 {
			t.Errorf("cut after %v: %v", time.Since(begun), err)
			return false
		}
		return time.Since(begun) < 4*stall
	})
	slow.Close()
	linktest.WaitFor(t, "the fetch to end", func() bool { return src.Running() == 0 })
	if far.log.has("request of peer failed") {
		t.Error("a peer that takes nothing is logged as a failure of this site")
	}
}

// TestSendJudgesProgress drives send with a connection that times out.
func TestSendJudgesProgress(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	s := newSocket(a, 30*time.Millisecond)

	// The other side takes ten times a little, each later than the time limit
	// would allow for, and then no more. The kernel tells of it in between.
	var readers sync.WaitGroup
	calls := 0
	s.unsent = func(net.Conn) int {
		if calls++; calls <= 11 && calls > 1 {
			readers.Go(func() { _, _ = b.Read(make([]byte, 100)) })
			return 1000 - calls
		}
		return 1000 - min(calls, 11)
	}
	n, err := s.Write(make([]byte, 5000))
	if !errors.Is(err, errStalled) || n == 0 || calls < 12 {
		t.Errorf("sent %d bytes in %d attempts, error %v", n, calls, err)
	}
	if got := s.meter().Traffic().Written; got != uint64(n) {
		t.Errorf("counted %d bytes", got)
	}

	_ = a.Close()
	readers.Wait()

	a, b = net.Pipe()
	defer a.Close()
	defer b.Close()
	s = newSocket(a, 30*time.Millisecond)
	// Where nothing is known of the kernel, only what a write took counts.
	s.unsent = func(net.Conn) int { return -1 }
	if n, err := s.Write(make([]byte, 5000)); !errors.Is(err, errStalled) || n != 0 {
		t.Errorf("sent %d bytes, error %v", n, err)
	}
}
