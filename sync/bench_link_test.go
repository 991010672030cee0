package objsync_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/state"

	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/ccow"
	"golang.org/x/sync/errgroup"
)

// benchTrust is a site with an identity.
type benchTrust struct {
	identity *identity.SiteIdentity
	cred     *identity.Credentials
	pins     map[state.SiteID]identity.Pin
}

func (t *benchTrust) Certificate() (*tls.Certificate, error)   { return t.cred.Certificate() }
func (t *benchTrust) Pin(id state.SiteID) (identity.Pin, bool) { p, ok := t.pins[id]; return p, ok }
func (t *benchTrust) Saw(*identity.PeerInfo)                   {}

func newBenchTrust(b *testing.B, name string) *benchTrust {
	b.Helper()
	t := &benchTrust{pins: make(map[state.SiteID]identity.Pin)}
	var err error
	if t.identity, err = identity.NewSiteIdentity(nil); err != nil {
		b.Fatal(err)
	}
	node, err := identity.OpenNode(b.TempDir(), identity.NodeOptions{SiteName: name})
	if err != nil {
		b.Fatal(err)
	}
	t.cred = identity.NewCredentials(node)
	roster, err := t.identity.SignRoster(identity.Roster{SiteName: name, Number: 1, Members: []identity.Member{{Node: node.ID(), Key: node.Public()}}})
	if err == nil {
		err = t.cred.SetRoster(roster)
	}
	if err != nil {
		b.Fatal(err)
	}
	return t
}

// overLoopback puts TLS and HTTP over loopback between the receiver r and the
// source that s offers.
func overLoopback(b *testing.B, r, s *benchSite, near, far *benchTrust, src link.Source) (c link.Source, stop func()) {
	b.Helper()
	near.pins[s.id] = identity.Pin{SiteName: "s", Identity: far.identity.Public()}
	far.pins[r.id] = identity.Pin{SiteName: "r", Identity: near.identity.Public()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	resolve := func(state.SiteID, string) (link.Source, error) { return src, nil }
	fe, err := ccow.New(ccow.Options{Site: s.id, SiteName: "s", Trust: far, Listener: l, Resolve: resolve})
	if err != nil {
		b.Fatal(err)
	}
	ne, err := ccow.New(ccow.Options{Site: r.id, SiteName: "r", Trust: near, Resolve: resolve})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = fe.Serve(ctx) }()
	client, err := ne.Dial(ccow.DialOptions{Peer: s.id, PeerName: "s", Service: "bench", Address: l.Addr().String()})
	if err != nil {
		b.Fatal(err)
	}
	return client, func() { _ = client.Close(); cancel(); <-done }
}

// BenchmarkInitialCopy copies what fill writes over loopback with TLS, both sites in
// one process: what is reported is the CPU time of both ends together.
func BenchmarkInitialCopy(b *testing.B) {
	const mib = 1 << 20
	for _, c := range []struct {
		name    string
		objects int
		fill    func(s *benchSite)
		bytes   float64
	}{
		{"large", 2, func(s *benchSite) {
			s.put("noise", io.LimitReader(rand.NewChaCha8([32]byte{7}), 192*mib))
			s.put("text", io.LimitReader(&words{rng: rand.New(rand.NewPCG(1, 2))}, 192*mib))
		}, 384 * mib},
		{"small", 5000, func(s *benchSite) {
			var g errgroup.Group
			g.SetLimit(256)
			for i := range 5000 {
				g.Go(func() error {
					s.put(fmt.Sprintf("small/%06d", i), io.LimitReader(rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), 1}), 4096))
					return nil
				})
			}
			_ = g.Wait()
		}, 5000 * 4096},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				near, far := newBenchTrust(b, "r"), newBenchTrust(b, "s")
				s, r := newBenchSiteOf(b, far.identity.Site(), true), newBenchSiteOf(b, near.identity.Site(), false)
				c.fill(s)
				b.StartTimer()
				at, cpu := time.Now(), cpuTime()
				local := offer(b, r, s)
				client, hangUp := overLoopback(b, r, s, near, far, local)
				e, stop := receiveFrom(b, r, s, client)
				await(b, e)
				b.ReportMetric(float64(c.objects)/time.Since(at).Seconds(), "objects/s")
				b.ReportMetric((cpuTime()-cpu).Seconds()/(c.bytes/(2<<30)), "cpu-s/2GiB")
				b.ReportMetric((cpuTime()-cpu).Seconds()/float64(c.objects)*1e6, "cpu-us/object")
				stop()
				hangUp()
			}
		})
	}
}

// words is text that compresses to about a third.
type words struct {
	rng *rand.Rand
	buf []byte
}

func (w *words) Read(p []byte) (int, error) {
	for len(w.buf) < len(p) {
		n := w.rng.IntN(4000)
		w.buf = fmt.Appendf(w.buf, "word%03x ", n*n%4096)
	}
	n := copy(p, w.buf)
	w.buf = append(w.buf[:0], w.buf[n:]...)
	return n, nil
}
