package testenv

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Patience bounds every wait of the environment for something that has to happen.
const Patience = 2 * time.Minute

// Env is a set of sites and links that live as long as a test.
type Env struct {
	t     testing.TB
	dir   string
	sites []*Site
	links []*Link
}

// New returns an environment without sites. When the test ends it checks the
// invariants, unless the test has failed, and stops everything.
func New(t testing.TB) *Env {
	t.Helper()
	// A socket's path is short; t.TempDir carries the test's name.
	dir, err := os.MkdirTemp("", "isgw-env-")
	if err != nil {
		t.Fatal(err)
	}
	e := &Env{t: t, dir: dir}
	t.Cleanup(func() {
		defer os.RemoveAll(dir)
		defer e.stop()
		if !t.Failed() {
			e.check()
		}
	})
	return e
}

// stop ends what still runs.
func (e *Env) stop() {
	for _, l := range e.links {
		l.close()
	}
	for _, s := range e.sites {
		s.halt()
	}
}

// Context is bounded by the environment's patience and by the test.
func (e *Env) Context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	e.t.Cleanup(cancel)
	return ctx
}

// Dir is a path in the environment's folder.
func (e *Env) Dir(name string) string { return filepath.Join(e.dir, name) }

// Eventually polls until ok, or fails the test with what.
func (e *Env) Eventually(what string, ok func() bool) {
	e.t.Helper()
	deadline := time.Now().Add(Patience)
	for !ok() {
		if time.Now().After(deadline) {
			e.t.Fatalf("after %v: not %s", Patience, what)
		}
		pause(20 * time.Millisecond)
	}
}

// soon polls until ok, until d has passed since began, and returns whether it came to
// be and after how long. The time by which a busy machine ends the pauses in between too
// late does not count.
func (e *Env) soon(began time.Time, d time.Duration, ok func() bool) (took time.Duration, in bool) {
	const between = 50 * time.Millisecond
	for {
		in, took = ok(), time.Since(began)
		if in || took > d {
			return took, in
		}
		paused := time.Now()
		pause(between)
		d += time.Since(paused) - between
	}
}

// pause gives a poll its interval.
func pause(d time.Duration) { <-time.After(d) }

// ownHost is a loopback address that no other process of the machine uses: it is made of
// this process's number. Ports that the kernel gives others on 127.0.0.1, for
// listening or for their connections, are then never in the way here.
var ownHost = func() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 1+pid>>16&0x7f, pid>>8&0xff, pid&0xff)
}()

// given are the addresses that freeAddress has returned: the kernel may choose a port
// again before who asked for it first listens there.
var given sync.Map

// freeAddress is a loopback address that nobody listens on now, and that nobody else is
// given. A site keeps its addresses over restarts, so they cannot be port 0.
func freeAddress(t testing.TB) string {
	t.Helper()
	for {
		ln, err := net.Listen("tcp", net.JoinHostPort(ownHost, "0"))
		if err != nil {
			t.Fatal(err)
		}
		addr := ln.Addr().String()
		ln.Close()
		if _, again := given.LoadOrStore(addr, true); !again {
			return addr
		}
	}
}
