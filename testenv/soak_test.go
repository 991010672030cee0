package testenv

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"
)

// soakTime is how long the soak takes: ISGW_SOAK says so (`ISGW_SOAK=1h`), an
// hour in the long form, and else a few seconds that only show that it works.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	if text := os.Getenv("ISGW_SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("ISGW_SOAK: %v", err)
		}
		return d
	}
	return time.Duration(size(8, 3600)) * time.Second
}

// sample is what the soak looks at: the console's process, and the node in the
// test's.
type sample struct {
	console    int64 // resident bytes
	threads    int   // of the console
	heap       uint64
	goroutines int
}

// TestConsoleSoak keeps a console busy, on every screen and with traffic, and
// wants that neither it nor the node grows.
func TestConsoleSoak(t *testing.T) {
	e, a, _, l := twoSites(t, SiteOptions{})
	c := e.openConsole([]string{"SSH_CONNECTION="}, "--connect", "unix:"+a.DataDir()+"/admin.sock")
	c.shows("HEALTHY")
	end := e.traffic(a, 4<<10, 20*time.Millisecond)
	defer end()
	// busy goes through the screens for a time.
	busy := func(d time.Duration) {
		until := time.Now().Add(d)
		for round := 0; time.Now().Before(until); round++ {
			for _, step := range []struct{ keys, shows string }{
				{"2", "[2 Links]"}, {"\r", "Links ▸ hawaii"}, {"t", "6h"}, {"\x1b", "[2 Links]"}, {"?", "keys that work on"}, {"\x1b", "[2 Links]"},
				{"/haw", "Links 1/1"}, {"\x1b", "[2 Links]"}, {"1", "[1 Home]"},
			} {
				c.keys(step.keys)
				c.shows(step.shows)
			}
			pause(50 * time.Millisecond)
		}
	}
	look := func() sample {
		var s sample
		s.console, _ = c.memory()
		s.threads = c.threads()
		debug.FreeOSMemory() // collects garbage: what is left is kept
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		s.heap, s.goroutines = m.HeapAlloc, runtime.NumGoroutine()
		return s
	}
	total := soakTime(t)
	busy(total / 4) // caches, rings and pools fill
	first := look()
	busy(total * 3 / 4)
	last := look()
	t.Logf("after %v: %+v, then %+v", total, first, last)
	// A quarter of an hour of one link's history is about 100 KB; the rest is slack
	// for what happens to be under way.
	if grown := last.console - first.console; grown > 16<<20 {
		t.Errorf("the console has grown by %d KiB", grown>>10)
	}
	if last.threads > first.threads+8 {
		t.Errorf("the console had %d threads and has %d", first.threads, last.threads)
	}
	if last.heap > first.heap+24<<20 {
		t.Errorf("the node's heap has grown by %d KiB", (last.heap-first.heap)>>10)
	}
	if last.goroutines > first.goroutines+40 {
		t.Errorf("the node had %d goroutines and has %d", first.goroutines, last.goroutines)
	}
	end()
	l.WaitSynced()
	// Who watched goes, and leaves nothing behind at the node.
	with := runtime.NumGoroutine()
	c.close()
	e.Eventually("the node has let go of the console", func() bool { return runtime.NumGoroutine() < with })
}

// threads is how many the console's process has.
func (c *console) threads() int {
	c.e.t.Helper()
	tasks, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(c.cmd.Process.Pid), "task"))
	if err != nil {
		c.e.t.Fatal(err)
	}
	return len(tasks)
}

// TestConsoleOutlivesItsNode kills the node that the console watches: what it
// showed stays, with its age; another site can be chosen meanwhile, and the
// first one again when its node is back.
func TestConsoleOutlivesItsNode(t *testing.T) {
	e := New(t)
	a, b := e.Start("alpha", SiteOptions{Process: true}), e.Start("beta", SiteOptions{})
	for _, s := range []*Site{a, b} {
		s.Create("Hawaii", "Hawaii/Cola", bucketPath)
	}
	l := e.Link("hawaii", a, b, bucketPath)
	l.WaitSynced()
	for _, s := range []*Site{a, b} {
		if status, out := s.ctl("status"); status != 0 {
			t.Fatalf("status of %s: %s", s.Name, out)
		}
		s.profile()
	}
	c := e.openConsole([]string{"SSH_CONNECTION="}, "--profile", "alpha")
	c.shows("alpha-1 ok", "[1 Home]")
	c.keys("2")
	c.shows("[2 Links]", "hawaii")

	a.Kill()
	c.shows("stale", "[2 Links]", "hawaii") // nothing is cleared
	c.shows("stale 3s")                     // and the age goes on
	if c.cmd.ProcessState != nil {
		t.Fatal("the console ended with its node")
	}
	c.keys("\x0f") // ctrl-o: choose another site
	c.shows("PROFILE", "alpha", "beta")
	c.keys("j")
	c.keys("\r")
	c.shows("beta-1 ok", "hawaii")
	c.keys("\x0f")
	c.shows("PROFILE")
	c.keys("k")
	c.keys("\r")
	a.Resume()
	c.shows("alpha-1 ok")
	e.Eventually("nothing is stale any more", func() bool { return !c.has("stale") })
}

// profile adds the site to the profiles of whoever opens the console.
func (s *Site) profile() {
	e := s.env
	e.t.Helper()
	e.t.Setenv("XDG_CONFIG_HOME", e.Dir("config"))
	if status, out := s.ctl("profile", "add", s.Name, "--connect", "unix:"+s.DataDir()+"/admin.sock"); status != 0 {
		e.t.Fatalf("add a profile of %s: %s", s.Name, out)
	}
}
