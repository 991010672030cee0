package ccow

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/cluster/identity/identitypb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linktest"
)

// logBuffer is a log that a test may read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), s)
}

// site is a site of one node with its endpoint.
type site struct {
	name string
	id   *identity.SiteIdentity
	node *identity.Node
	cred *identity.Credentials
	log  logBuffer

	ep   *Endpoint
	addr string
	stop func() // ends Serve and waits for it

	mu       sync.Mutex
	pins     map[state.SiteID]identity.Pin
	seen     []*identity.PeerInfo
	services map[string]link.Source
	pair     func(context.Context, PairRequest) (PairReply, error)
}

// Trust.
func (s *site) Certificate() (*tls.Certificate, error) { return s.cred.Certificate() }

func (s *site) Pin(id state.SiteID) (identity.Pin, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.pins[id]
	return p, ok
}

func (s *site) Saw(p *identity.PeerInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, p)
}

// handshakes returns whom the site was told of.
func (s *site) handshakes() []*identity.PeerInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func (s *site) resolve(_ state.SiteID, service string) (link.Source, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if src := s.services[service]; src != nil {
		return src, nil
	}
	return nil, link.Refuse(link.CodeNoService, "site %s has no link %s", s.name, service)
}

func (s *site) serve(service string, src link.Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if src == nil {
		delete(s.services, service)
		return
	}
	s.services[service] = src
}

func (s *site) pin(o *site) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pins[o.id.Site()] = identity.Pin{SiteName: o.name, Identity: o.id.Public()}
}

func (s *site) unpin(o *site) {
	s.mu.Lock()
	delete(s.pins, o.id.Site())
	s.mu.Unlock()
	s.ep.DropPeer(o.id.Site())
}

// roster signs the site's roster of a number with its node and others.
func (s *site) roster(t testing.TB, number uint64, members ...identity.Member) *identitypb.SignedRoster {
	t.Helper()
	signed, err := s.id.SignRoster(identity.Roster{SiteName: s.name, Number: number, Members: members})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func (s *site) member() identity.Member {
	return identity.Member{Node: s.node.ID(), Key: s.node.Public()}
}

// newSite starts a site. change may alter its options.
func newSite(t testing.TB, name string, change func(*Options)) *site {
	t.Helper()
	s := unstartedSite(t, name)
	s.start(t, change)
	return s
}

func unstartedSite(t testing.TB, name string) *site {
	t.Helper()
	s := &site{name: name, pins: make(map[state.SiteID]identity.Pin), services: make(map[string]link.Source)}
	var err error
	if s.id, err = identity.NewSiteIdentity(nil); err != nil {
		t.Fatal(err)
	}
	s.node = nodeOf(t, name)
	s.cred = identity.NewCredentials(s.node)
	if err := s.cred.SetRoster(s.roster(t, 1, s.member())); err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	nodesMu sync.Mutex
	nodes   = make(map[string]*identity.Node)
)

// nodeOf returns the node of the sites of a name: it is made once, because its
// file is synced to disk.
func nodeOf(t testing.TB, name string) *identity.Node {
	nodesMu.Lock()
	defer nodesMu.Unlock()
	if nodes[name] == nil {
		n, err := identity.OpenNode(t.TempDir(), identity.NodeOptions{SiteName: name})
		if err != nil {
			t.Fatal(err)
		}
		nodes[name] = n
	}
	return nodes[name]
}

// hosts counts the loopback hosts that listen has used.
var hosts atomic.Uint32

// listen opens a port of a loopback host that nobody else listens on, in no process of
// the machine: when it is closed, nobody listens there, and it can be opened again.
func listen(t testing.TB) net.Listener {
	t.Helper()
	pid := os.Getpid()
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 129+hosts.Add(1)%126, pid>>8&0xff, pid&0xff))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start makes the site's endpoint and serves.
func (s *site) start(t testing.TB, change func(*Options)) {
	t.Helper()
	l := listen(t)
	o := Options{
		Site: s.id.Site(), SiteName: s.name, Trust: s, Listener: l, Resolve: s.resolve,
		Pair: func(ctx context.Context, r PairRequest) (PairReply, error) {
			if s.pair == nil {
				return PairReply{}, link.Refuse(link.CodeInvalid, "this site has invited nobody")
			}
			return s.pair(ctx, r)
		},
		Logger:     slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		BackoffMin: time.Millisecond, BackoffMax: 50 * time.Millisecond,
	}
	if change != nil {
		change(&o)
	}
	s.addr = l.Addr().String()
	var err error
	if s.ep, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.ep.Serve(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("site %s: serve: %v", s.name, err)
		}
	})
	t.Cleanup(s.stop)
}

// twoSites starts two sites that are paired.
func twoSites(t testing.TB, change func(*Options)) (near, far *site) {
	near, far = newSite(t, "near", change), newSite(t, "far", change)
	near.pin(far)
	far.pin(near)
	return near, far
}

// client dials from near to far; change may alter the options.
func client(t testing.TB, near, far *site, change func(*DialOptions)) *Client {
	t.Helper()
	o := DialOptions{Peer: far.id.Site(), PeerName: far.name, Service: "hawaii", Address: far.addr}
	if change != nil {
		change(&o)
	}
	c, err := near.ep.Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func background(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), linktest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// wantFault checks the kind of a fault and a part of its message.
func wantFault(t *testing.T, err error, kind link.FaultKind, part string) {
	t.Helper()
	f, ok := errors.AsType[*link.Fault](err)
	if !ok {
		t.Fatalf("the error is %v (%T), not a fault", err, err)
	}
	if f.Kind != kind || !strings.Contains(f.Message, part) {
		t.Fatalf("fault %q %q, want %q and %q", f.Kind, f.Message, kind, part)
	}
}

func wantRefused(t *testing.T, err error, code link.Code, part string) {
	t.Helper()
	r, ok := errors.AsType[*link.Refused](err)
	if !ok {
		t.Fatalf("the error is %v (%T), not a refusal", err, err)
	}
	if r.Code != code || !strings.Contains(r.Message, part) {
		t.Fatalf("refused %q %q, want %q and %q", r.Code, r.Message, code, part)
	}
}

// TestMain fails when goroutines are left after the last test.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		code = leftGoroutines()
	}
	if code != 0 {
		os.Exit(code)
	}
}

// leftGoroutines waits for goroutines of this package's code to end.
func leftGoroutines() int {
	deadline := time.NewTimer(linktest.Patience / 2)
	defer deadline.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		var left []string
		for _, g := range strings.Split(string(buf), "\n\n") {
			if strings.Contains(g, "leftGoroutines") {
				continue
			}
			if strings.Contains(g, "edgefog.dev/isgw") || strings.Contains(g, "net/http.") || strings.Contains(g, "crypto/tls.") {
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			return 0
		}
		select {
		case <-poll.C:
		case <-deadline.C:
			println("goroutines left behind:\n" + strings.Join(left, "\n\n"))
			return 1
		}
	}
}
