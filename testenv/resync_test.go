package testenv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/testenv/bulk"
)

// meter carries connections to an address and counts the bytes of both ways.
type meter struct {
	ln      net.Listener
	target  atomic.Pointer[string]
	crossed atomic.Int64
	group   sync.WaitGroup

	mu   sync.Mutex
	live map[net.Conn]bool // nil when it is closed
}

// newMeter listens, and carries once its target is set. The test's end ends it; who is
// made before an environment lives until that has made its last check.
func newMeter(t *testing.T) *meter {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &meter{ln: ln, live: map[net.Conn]bool{}}
	m.group.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return // closed
			}
			m.group.Go(func() { m.carry(in) })
		}
	})
	t.Cleanup(m.close)
	return m
}

func (m *meter) carry(in net.Conn) {
	defer in.Close()
	target := m.target.Load()
	if target == nil {
		return // nobody knows the meter yet
	}
	out, err := net.DialTimeout("tcp", *target, 5*time.Second)
	if err != nil {
		return // who dialled sees its connection end
	}
	defer out.Close()
	if !m.hold(in, out) {
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			// An error ends both ways, as the end of one does.
			_, _ = io.Copy(way[1], io.TeeReader(way[0], m))
			in.Close()
			out.Close()
		})
	}
	both.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.live, in)
	delete(m.live, out)
}

// hold remembers connections that close has to end; false when it has begun.
func (m *meter) hold(conns ...net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live == nil {
		return false
	}
	for _, c := range conns {
		m.live[c] = true
	}
	return true
}

// Write counts.
func (m *meter) Write(p []byte) (int, error) {
	m.crossed.Add(int64(len(p)))
	return len(p), nil
}

func (m *meter) close() {
	m.ln.Close()
	m.mu.Lock()
	for c := range m.live {
		c.Close()
	}
	m.live = nil
	m.mu.Unlock()
	m.group.Wait()
}

// meters lie in both ways of a link: [i] is dialled by its Sites[i].
type meters [2]*meter

func newMeters(t *testing.T) meters { return meters{newMeter(t), newMeter(t)} }

func (m meters) crossed() int64 { return m[0].crossed.Load() + m[1].crossed.Load() }

// link pairs two sites and makes a link that serves the bucket, whose bytes are counted.
func (m meters) link(e *Env, a, b *Site, replication string) *Link {
	e.t.Helper()
	l := e.Line("hawaii", a, b, bucketPath)
	e.pair(a, b, l.address(1))
	for i, s := range l.Sites {
		address := l.address(i)
		m[i].target.Store(&address)
		if _, err := s.Admin.Services.Create(e.Context(), &adminpb.CreateServiceRequest{
			Type: "isgw", Name: l.Name, Remote: "ccow://" + m[i].ln.Addr().String(), Replication: replication,
		}); err != nil {
			e.t.Fatal(err)
		}
		if _, err := s.Admin.Services.Serve(e.Context(), l.Name, bucketPath); err != nil {
			e.t.Fatal(err)
		}
	}
	return l
}

// fill gives the site's bucket keys with the content of one that it has, through its
// own raft log and without S3. The node is started anew.
func (s *Site) fill(template string, keys int, key func(i int) string) {
	t := s.env.t
	t.Helper()
	s.Stop()
	o, err := openOffline(s)
	if err != nil {
		t.Fatal(err)
	}
	err = bulk.WriteKeys(t.Context(), o.replica, bucketPath, template, keys, key)
	if err := errors.Join(err, o.close()); err != nil {
		t.Fatal(err)
	}
	s.Resume()
}

// within polls until ok, for at most so long.
func (e *Env) within(most time.Duration, what string, ok func() bool) {
	e.t.Helper()
	for deadline := time.Now().Add(most); !ok(); pause(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			e.t.Fatalf("after %v: not %s", most, what)
		}
	}
}

// TestResyncCostsWhatDiffers has a link that copies once carry a bucket with many
// versions, changes ten at one site, and asks for a re-sync: it takes moments and
// what crosses does not grow with the bucket. The two buckets are compared before and
// after. The nodes are processes; bytes are counted on the way between them.
func TestResyncCostsWhatDiffers(t *testing.T) {
	// The short form measures bytes: other tests run beside it.
	keys, wire, resync, verify := 20_000, int64(1<<20), time.Minute, time.Minute
	if os.Getenv("ISGW_LONG") != "" {
		keys, wire, resync, verify = 1_000_000, 5<<20, 10*time.Second, 5*time.Second
	} else {
		t.Parallel()
	}
	const differ, memory = 10, 64 << 20
	meters := newMeters(t)
	crossed := meters.crossed
	e := New(t)
	a, b := e.Start("alpha", SiteOptions{Process: true}), e.Start("beta", SiteOptions{Process: true})
	a.Create("Hawaii", "Hawaii/Cola", bucketPath)
	b.Create("Hawaii", "Hawaii/Cola")
	e.mustPut(a, "template", []byte("content of all of them"))
	key := func(i int) string { return fmt.Sprintf("dir-%03d/k-%07d", i%997, i) }
	began := time.Now()
	a.fill("template", keys, key)
	t.Logf("%d versions are written after %v", keys, time.Since(began).Round(time.Millisecond))

	l := meters.link(e, a, b, state.ReplicationInitial)
	began = time.Now()
	copied := func(s *Site) bool {
		return s.Status("hawaii").GetStatus().GetState() == adminpb.ServiceState_SERVICE_STATE_COPIED
	}
	e.within(10*time.Minute, "copied at both", func() bool { return copied(a) && copied(b) })
	t.Logf("they are copied after %v, with %d MiB on the wire", time.Since(began).Round(time.Millisecond), crossed()>>20)

	// Processes that have done nothing else yet, so that their peaks tell.
	for _, s := range l.Sites {
		s.Stop()
		s.Resume()
	}
	e.Eventually("connected again", func() bool { return copied(a) && copied(b) })
	equal := func(versions int) {
		t.Helper()
		before, began := crossed(), time.Now()
		status, out := b.ctl("link", "verify", "hawaii")
		took := time.Since(began)
		if status != 0 || !strings.Contains(out, fmt.Sprintf("equal: %d versions", versions)) {
			t.Fatalf("verify: exit status %d\n%s", status, out)
		}
		if took > verify {
			t.Errorf("to compare %d versions takes %v, more than %v", versions, took, verify)
		}
		t.Logf("verify of %d equal versions: %v, %d bytes on the wire", versions, took.Round(time.Millisecond), crossed()-before)
	}
	equal(keys + 1)
	for i := range differ {
		e.mustPut(a, key(i*(keys/differ)+7), fmt.Appendf(nil, "changed %d", i))
	}
	if got, err := b.Get("Hawaii/Cola", "bk1", key(7)); err != nil || bytes.HasPrefix(got, []byte("changed")) {
		t.Fatalf("nothing is left for a re-sync: beta has %q, %v", got, err)
	}
	peaks := func() (out [2]int64) {
		for i, s := range l.Sites {
			var err error
			if out[i], err = s.MemoryPeak(); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	had, before := peaks(), crossed()
	began = time.Now()
	if status, out := b.ctl("service", "resync", "hawaii", bucketPath); status != 0 {
		t.Fatalf("resync: exit status %d\n%s", status, out)
	}
	e.Eventually("what differed is there", func() bool {
		for i := range differ {
			got, err := b.Get("Hawaii/Cola", "bk1", key(i*(keys/differ)+7))
			if err != nil || !bytes.Equal(got, fmt.Appendf(nil, "changed %d", i)) {
				return false
			}
		}
		return copied(a) && copied(b)
	})
	took, cost, has := time.Since(began), crossed()-before, peaks()
	t.Logf("resync of %d versions of which %d differ: %v, %d KiB on the wire, peaks of %d and %d MiB that were %d and %d MiB before",
		keys+1, differ, took.Round(time.Millisecond), cost>>10, has[0]>>20, has[1]>>20, had[0]>>20, had[1]>>20)
	if took > resync || cost > wire {
		t.Errorf("the re-sync takes %v and %d bytes, more than %v or %d", took, cost, resync, wire)
	}
	for i, s := range l.Sites {
		if has[i]-had[i] > memory {
			t.Errorf("%s takes %d MiB more for it", s.Name, (has[i]-had[i])>>20)
		}
	}
	if log := b.Log(); !strings.Contains(log, "a re-sync was asked for") {
		t.Error("the log of the site that was asked does not tell of it")
	}
	equal(keys + 1)
	for _, s := range l.Sites { // what the environment's own check waits for
		if status, out := s.ctl("service", "edit", "hawaii", "--replication", state.ReplicationBoth); status != 0 {
			t.Fatalf("edit: exit status %d\n%s", status, out)
		}
	}
}
