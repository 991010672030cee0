package objsync

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/ccow"
	"edgefog.dev/isgw/sync/link/limit"
	"edgefog.dev/isgw/sync/link/linkpb"
	"edgefog.dev/isgw/sync/link/linktest"
)

// lineSite is what a site of the harness needs to speak over a real endpoint.
type lineSite struct {
	*testSite
	identity *identity.SiteIdentity
	cred     *identity.Credentials
	pins     map[state.SiteID]identity.Pin
	local    *Local
}

// Trust.
func (s *lineSite) Certificate() (*tls.Certificate, error)            { return s.cred.Certificate() }
func (s *lineSite) Pin(id state.SiteID) (identity.Pin, bool)          { p, ok := s.pins[id]; return p, ok }
func (s *lineSite) Saw(*identity.PeerInfo)                            {}
func (s *lineSite) resolve(state.SiteID, string) (link.Source, error) { return s.local, nil }

func newLineSite(t *testing.T, n byte) *lineSite {
	t.Helper()
	s := &lineSite{testSite: newTestSite(t, n), pins: make(map[state.SiteID]identity.Pin)}
	var err error
	if s.identity, err = identity.NewSiteIdentity(nil); err != nil {
		t.Fatal(err)
	}
	s.id = s.identity.Site()
	s.cat.SetSelf(s.id, s.epoch, s.since)
	node, err := identity.OpenNode(t.TempDir(), identity.NodeOptions{SiteName: s.name})
	if err != nil {
		t.Fatal(err)
	}
	s.cred = identity.NewCredentials(node)
	roster, err := s.identity.SignRoster(identity.Roster{SiteName: s.name, Number: 1, Members: []identity.Member{{Node: node.ID(), Key: node.Public()}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cred.SetRoster(roster); err != nil {
		t.Fatal(err)
	}
	return s
}

// slowDisk is a store that takes as long as a disk does to make chunks durable.
type slowDisk struct{ chunks.Store }

const (
	diskSync = 20 * time.Millisecond
	diskRate = 400e6 // bytes per second
)

func (d slowDisk) Put(ctx context.Context, batch []chunks.Chunk) error {
	size := 0
	for _, c := range batch {
		size += len(c.Data)
	}
	pause(diskSync + time.Duration(float64(size)/diskRate*1e9))
	return d.Store.Put(ctx, batch)
}

// The line that the figures are for: 1 Gbit/s, 100 ms of round trip.
const (
	lineRate  = 125e6
	lineDelay = 50 * time.Millisecond
	// lineWindow is what one TCP connection was measured to carry in a round
	// trip with the kernel's usual bounds.
	lineWindow = 3 << 20
)

// overLine copies what fill writes at one site to another over a long line, and
// calls look every few milliseconds, with the time since the engine began, until it
// returns true. All of it is in the time of a bubble.
func overLine(t *testing.T, rate float64, fill func(s *testSite), look func(now time.Duration, line *linktest.Line, e *Engine) bool) {
	t.Helper()
	overLineWith(t, lineOptions{rate: rate, within: time.Minute, fill: fill, look: look})
}

// lineOptions are what overLine may be asked for.
type lineOptions struct {
	rate          float64
	within        time.Duration
	send, receive *limit.Limiter // nil: no limit
	tunnel        bool           // the link is inside SSH
	sender        **Local        // where the sending side is put; nil: nowhere
	fill          func(s *testSite)
	look          func(now time.Duration, line *linktest.Line, e *Engine) bool
}

func overLineWith(t *testing.T, o lineOptions) {
	t.Helper()
	s, r := newLineSite(t, 1), newLineSite(t, 2)
	defer s.close()
	defer r.close()
	s.pins[r.id] = identity.Pin{SiteName: r.name, Identity: r.identity.Public()}
	r.pins[s.id] = identity.Pin{SiteName: s.name, Identity: s.identity.Public()}
	s.ensureBucket(bk1)
	o.fill(s.testSite)

	line := &linktest.Line{Delay: lineDelay, Rate: o.rate, Window: lineWindow}
	listener, dial := line.Listen()
	if o.tunnel {
		listener, dial = throughTunnel(t, s, r, listener, dial)
	}
	var err error
	if s.local, err = NewLocal(LocalOptions{Site: s.site(), Service: "hawaii", Peer: r.id, Limit: o.send, Served: func() []string { return []string{bk1} }}); err != nil {
		t.Fatal(err)
	}
	if o.sender != nil {
		*o.sender = s.local
	}
	far, err := ccow.New(ccow.Options{Site: s.id, SiteName: s.name, Trust: s, Listener: listener, Resolve: s.resolve})
	if err != nil {
		t.Fatal(err)
	}
	near, err := ccow.New(ccow.Options{Site: r.id, SiteName: r.name, Trust: r, Resolve: r.resolve, Dial: dial})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- far.Serve(ctx) }()
	connections := 8
	if o.tunnel {
		connections = 12 // a channel of SSH carries 2 MiB in a round trip
	}
	client, err := near.Dial(ccow.DialOptions{Peer: s.id, PeerName: s.name, Service: "hawaii", Address: "192.0.2.1:1", Eager: o.tunnel, Connections: connections})
	if err != nil {
		t.Fatal(err)
	}
	site := r.site()
	site.Chunks = slowDisk{site.Chunks}
	site.Propose = func(ctx context.Context, cmd *raftfsmpb.Command) (*raftfsmpb.Result, error) {
		pause(5 * time.Millisecond) // a raft log on a disk
		return r.propose(ctx, cmd)
	}
	y := &half{site: r.testSite, peer: s.testSite, served: []string{bk1}}
	y.opts = EngineOptions{
		Site: site, Service: "hawaii", Peer: s.id, PeerName: s.name, Limit: o.receive, Source: client, Codec: testCodec(), Workers: 2 * connections,
		Accepts: func(string) bool { return true }, EnsureBucket: func(context.Context, *linkpb.ServedBucket) error {
			r.ensureBucket(bk1)
			return nil
		}, Rand: halfReader{},
	}
	began := time.Now()
	y.start()
	for !o.look(time.Since(began), line, y.engine) {
		if time.Since(began) > o.within {
			t.Fatalf("after %s: %+v", o.within, y.engine.Status())
		}
		pause(5 * time.Millisecond)
	}
	y.halt()
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// TestLongLineLarge copies a large object over a line of 1 Gbit/s and 100 ms:
// nine tenths of the line are filled with content.
func TestLongLineLarge(t *testing.T) { longLineLarge(t, false) }

func longLineLarge(t *testing.T, tunnel bool) {
	const size = 128 << 20
	const from, to = 48 << 20, 112 << 20
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{9}).Read(content)
	synctest.Test(t, func(t *testing.T) {
		var at, took time.Duration
		var begun, got uint64
		fill := func(s *testSite) { s.put(bk1, "large", content) }
		overLineWith(t, lineOptions{rate: lineRate, within: time.Minute, tunnel: tunnel, fill: fill, look: func(now time.Duration, line *linktest.Line, e *Engine) bool {
			_, n := line.Passed()
			switch {
			case begun == 0 && n >= from:
				at, begun = now, n
			case took == 0 && n >= to:
				took, got = now-at, n-begun
			}
			return e.Status().State == StateInSync
		}})
		rate := float64(got) / took.Seconds()
		t.Logf("%.1f MB/s, which are %.1f %% of the line; the first %d MiB took %s", rate/1e6, 100*rate/lineRate, from>>20, at)
		if rate < 0.9*lineRate {
			t.Errorf("content came at %.1f MB/s, less than nine tenths of %.1f", rate/1e6, lineRate/1e6)
		}
	})
}

// TestLongLineSmall copies small objects over the same line.
func TestLongLineSmall(t *testing.T) { longLineSmall(t, false) }

func longLineSmall(t *testing.T, tunnel bool) {
	const objects, size = 4000, 10 << 10
	synctest.Test(t, func(t *testing.T) {
		var took time.Duration
		overLineWith(t, lineOptions{rate: lineRate, within: time.Minute, tunnel: tunnel, fill: func(s *testSite) {
			for i := range objects {
				s.put(bk1, fmt.Sprintf("small/%05d", i), append(bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 100), random(uint64(i), size-200)...))
			}
		}, look: func(now time.Duration, _ *linktest.Line, e *Engine) bool {
			took = now
			return e.Status().Counters.Versions == objects
		}})
		rate := objects / took.Seconds()
		t.Logf("%.0f objects a second, connecting and the first round trips included", rate)
		if rate < 1500 {
			t.Errorf("%.0f objects of %d KiB a second are less than 1500", rate, size>>10)
		}
	})
}
