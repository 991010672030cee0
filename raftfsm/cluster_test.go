package raftfsm

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// testCluster is three nodes of one site over transports in memory.
type testCluster struct {
	t          testing.TB
	options    map[string]Options
	nodes      map[string]*Replica
	transports map[string]*raft.InmemTransport
}

// newCluster bootstraps n1 and adds the others as voters.
func newCluster(t testing.TB, set func(*Options)) *testCluster {
	c := &testCluster{t: t, options: map[string]Options{}, nodes: map[string]*Replica{}, transports: map[string]*raft.InmemTransport{}}
	for _, id := range []string{"n1", "n2", "n3"} {
		o := Options{
			Dir: t.TempDir(), NodeID: id,
			HeartbeatTimeout: 100 * time.Millisecond, ElectionTimeout: 100 * time.Millisecond, LeaderLeaseTimeout: 50 * time.Millisecond,
		}
		set(&o)
		c.options[id] = o
		c.start(id)
	}
	if err := c.nodes["n1"].Bootstrap(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"n2", "n3"} {
		if err := c.nodes["n1"].raft.AddVoter(raft.ServerID(id), raft.ServerAddress(id), 0, 0).Error(); err != nil {
			t.Fatal(err)
		}
	}
	mustPropose(t, c.nodes["n1"], siteTxn())
	return c
}

// start opens a node and connects it with those that run.
func (c *testCluster) start(id string) {
	c.t.Helper()
	o := c.options[id]
	_, transport := raft.NewInmemTransportWithTimeout(raft.ServerAddress(id), 500*time.Millisecond)
	o.Transport = transport
	c.transports[id] = transport
	c.nodes[id] = openAt(c.t, o)
	for other := range c.nodes {
		c.connect(id, other)
	}
}

func (c *testCluster) connect(a, b string) {
	if a != b && c.nodes[a] != nil && c.nodes[b] != nil {
		c.transports[a].Connect(raft.ServerAddress(b), c.transports[b])
		c.transports[b].Connect(raft.ServerAddress(a), c.transports[a])
	}
}

// cut separates a node from the others.
func (c *testCluster) cut(id string) {
	c.transports[id].DisconnectAll()
	for other, tr := range c.transports {
		if other != id {
			tr.Disconnect(raft.ServerAddress(id))
		}
	}
}

func (c *testCluster) heal(id string) {
	for other := range c.nodes {
		c.connect(id, other)
	}
}

func (c *testCluster) stop(id string) {
	c.t.Helper()
	c.cut(id)
	closeNow(c.t, c.nodes[id])
	delete(c.nodes, id)
}

// leader waits for a node that leads and serves reads.
func (c *testCluster) leader(except ...string) *Replica {
	c.t.Helper()
	var found *Replica
	eventually(c.t, "an election", func() bool {
		for id, r := range c.nodes {
			if !slices.Contains(except, id) && r.role.leads() && r.Barrier(testContext(c.t)) == nil {
				found = r
				return true
			}
		}
		return false
	})
	return found
}

// same waits until all nodes have applied the same index and compares them.
func (c *testCluster) same() {
	c.t.Helper()
	lead := c.leader()
	mustPropose(c.t, lead, write(bk1, "the-end", nil))
	index := lead.machine.applied.Load()
	for id, r := range c.nodes {
		eventually(c.t, id+" catching up", func() bool { return r.machine.applied.Load() == index })
		if !bytes.Equal(r.Catalog().Digest(), lead.Catalog().Digest()) {
			c.t.Errorf("%s has another digest", id)
		}
		if a, b := fingerprint(c.t, r), fingerprint(c.t, lead); a != b {
			c.t.Errorf("%s has state %s, the leader %s", id, a, b)
		}
		if r.Config().Revision() != lead.Config().Revision() || r.Config().SiteID() != lead.Config().SiteID() {
			c.t.Errorf("%s has another config", id)
		}
	}
}

func TestThreeNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, simulateThreeNodes)
}

func simulateThreeNodes(t *testing.T) {
	c := newCluster(t, func(*Options) {})
	lead := c.leader()
	fill(t, lead, "a", 50)
	c.same()

	// Followers refuse, and name the leader.
	for id, r := range c.nodes {
		if r == lead {
			continue
		}
		_, err := r.Propose(testContext(t), write(bk1, "x", nil))
		var not *NotLeaderError
		if !errors.As(err, &not) || not.Leader != lead.Status().NodeID {
			t.Errorf("%s proposed: %v", id, err)
		}
		if err := r.Barrier(testContext(t)); !errors.As(err, &not) {
			t.Errorf("%s served a linearisable read: %v", id, err)
		}
	}

	// Another leader goes on with everything, and the old one comes back.
	old := lead.Status().NodeID
	c.cut(old)
	next := c.leader(old)
	if !hasKey(next, bk1, "a-0049") {
		t.Error("the new leader lacks what was acknowledged")
	}
	fill(t, next, "b", 20)
	if err := lead.Barrier(testContext(t)); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a leader that was cut off serves reads: %v", err)
	}
	c.heal(old)
	c.same()
	if s := next.Status(); len(s.Voters) != 3 {
		t.Errorf("voters %v", s.Voters)
	}
}

func TestInstallSnapshot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, simulateInstallSnapshot)
}

func simulateInstallSnapshot(t *testing.T) {
	c := newCluster(t, func(o *Options) {
		o.SnapshotEntries, o.TrailingLogs = 20, 2
	})
	lead := c.leader()
	behind := "n3"
	if lead.Status().NodeID == behind {
		behind = "n2"
	}
	fill(t, lead, "a", 10)
	c.cut(behind)
	r := c.nodes[behind]
	cat, cfg := r.Catalog(), r.Config() // held over the restore
	stuck := r.machine.name
	fill(t, lead, "b", 60)
	eventually(t, "log compaction", func() bool {
		first, err := lead.log.FirstIndex()
		if err != nil {
			t.Fatal(err)
		}
		return first > r.raft.LastIndex()+1
	})
	c.heal(behind)
	c.same()
	if r.machine.name == stuck {
		t.Error("the state was not replaced: no snapshot was installed")
	}
	if _, err := cat.Head(bk1, []byte("b-0059")); err != nil || cfg.Revision() == 0 {
		t.Errorf("those who hold the catalog do not see the restored state: %v", err)
	}

	// What came by a snapshot survives a restart, before and after more entries.
	c.stop(behind)
	fill(t, c.leader(), "c", 5)
	c.start(behind)
	c.same()
}

func TestLeaderLostKeepsAcknowledged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, simulateLeaderLostKeepsAcknowledged)
}

func simulateLeaderLostKeepsAcknowledged(t *testing.T) {
	c := newCluster(t, func(o *Options) { o.SnapshotEntries, o.TrailingLogs = 40, 5 })
	var mu sync.Mutex
	acked := map[string]bool{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			pause := time.NewTicker(time.Millisecond) // no leader is there at times
			defer pause.Stop()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-pause.C:
				}
				key := fmt.Sprintf("w%d-%05d", w, i)
				for _, r := range c.nodes { // nobody stops a node in this test
					res, err := r.Propose(testContext(t), write(bk1, key, nil))
					if err == nil && res.GetCode() == raftfsmpb.Code_OK {
						mu.Lock()
						acked[key] = true
						mu.Unlock()
						break
					}
					if errors.Is(err, ErrUnknownOutcome) {
						break // only its own proposer may repeat it
					}
				}
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(acked) }
	for range 3 {
		lead := c.leader().Status().NodeID
		before := count()
		eventually(t, "writes", func() bool { return count() > before+20 })
		c.cut(lead)
		c.leader(lead)
		before = count()
		eventually(t, "writes under another leader", func() bool { return count() > before+20 })
		c.heal(lead)
	}
	close(stop)
	wg.Wait()
	c.same()
	for key := range acked {
		for id, r := range c.nodes {
			head, err := r.Catalog().Head(bk1, []byte(key))
			if err != nil {
				t.Fatalf("%s lacks %s, which was acknowledged: %v", id, key, err)
			}
			if head.GetGeneration() != 1 {
				t.Fatalf("%s applied %s %d times", id, key, head.GetGeneration())
			}
		}
	}
	t.Logf("%d acknowledged", len(acked))
}

func TestRepeatedEntryAppliedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, simulateRepeatedEntryAppliedOnce)
}

// A leader appends an entry, loses leadership, and wins it again with one
// other node, which commits the entry; its proposer, in doubt, repeats it.
func simulateRepeatedEntryAppliedOnce(t *testing.T) {
	c := newCluster(t, func(*Options) {})
	for try := range 5 {
		lead := c.leader()
		id := lead.Status().NodeID
		for other := range c.nodes {
			c.cut(other)
		}
		last := lead.raft.LastIndex()
		key := fmt.Sprintf("k%d", try)
		type answer struct {
			res *raftfsmpb.Result
			err error
		}
		done := make(chan answer, 1)
		go func() {
			res, err := lead.Propose(testContext(t), write(bk1, key, nil))
			done <- answer{res, err}
		}()
		eventually(t, "the entry in the leader's log", func() bool { return lead.raft.LastIndex() > last })
		eventually(t, "the loss of leadership", func() bool { return !lead.role.leads() })
		helper := "n1"
		if id == helper {
			helper = "n2"
		}
		c.connect(id, helper)
		got := <-done
		c.heal("n1")
		c.heal("n2")
		c.same()
		if got.err != nil {
			if !errors.Is(got.err, ErrUnknownOutcome) {
				t.Fatal(got.err)
			}
			continue // the election took longer than the proposer's patience
		}
		head, err := lead.Catalog().Head(bk1, []byte(key))
		if err != nil || head.GetGeneration() != 1 || got.res.GetRecord().GetGeneration() != 1 {
			t.Fatalf("head %v, %v; result %v", head, err, got.res)
		}
		if lead.raft.LastIndex() < last+3 {
			t.Fatalf("the entry was not repeated: the log ends at %d, after %d", lead.raft.LastIndex(), last)
		}
		return
	}
	t.Fatal("the leader never won again in time")
}
