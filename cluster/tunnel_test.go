package cluster

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/tunnel"
	"google.golang.org/protobuf/proto"
)

func TestTunnelFault(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind link.FaultKind // empty: it passes
		part string
	}{
		{tunnel.ErrRejected, link.FaultNotPaired, "h:1 does not accept this site inside an SSH tunnel"},
		{fmt.Errorf("%w: x", tunnel.ErrNoTunnel), link.FaultProtocol, "h:1 answers, but not with SSH"},
		{tunnel.ErrOther, link.FaultProtocol, "not the link address of a site"},
		{io.EOF, link.FaultBroken, "h:1 closed the connection while the SSH tunnel was being made"},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, link.FaultBroken, "closed the connection"},
		{&tunnel.UntrustedError{Err: &identity.PeerError{Kind: identity.PeerUnpaired}}, "", ""},
		{syscall.ECONNREFUSED, "", ""},
		{context.Canceled, "", ""},
	} {
		err := tunnelFault("h:1", c.err)
		f, ok := errors.AsType[*link.Fault](err)
		switch {
		case c.kind == "" && err != c.err:
			t.Errorf("%v became %v", c.err, err)
		case c.kind != "" && (!ok || f.Kind != c.kind || !strings.Contains(f.Message, c.part) || !errors.Is(err, c.err)):
			t.Errorf("%v became %q, want %s %q", c.err, err, c.kind, c.part)
		}
	}
}

// pinned is a Trust that pins what it is told to.
type pinned struct {
	cred *identity.Credentials
	pins map[state.SiteID]identity.Pin
}

func (p *pinned) Certificate() (*tls.Certificate, error)            { return p.cred.Certificate() }
func (p *pinned) Pin(s state.SiteID) (pin identity.Pin, found bool) { pin, found = p.pins[s]; return }
func (p *pinned) Saw(*identity.PeerInfo)                            {}

func newPinned(t *testing.T, name string) (*pinned, *identity.SiteIdentity) {
	t.Helper()
	site, err := identity.NewSiteIdentity(nil)
	if err != nil {
		t.Fatal(err)
	}
	node, err := identity.OpenNode(t.TempDir(), identity.NodeOptions{SiteName: name})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := site.SignRoster(identity.Roster{SiteName: name, Number: 1, Members: []identity.Member{{Node: node.ID(), Key: node.Public()}}})
	if err != nil {
		t.Fatal(err)
	}
	p := &pinned{identity.NewCredentials(node), map[state.SiteID]identity.Pin{}}
	if err := p.cred.SetRoster(signed); err != nil {
		t.Fatal(err)
	}
	return p, site
}

// TestTunnelIdentity: a tunnel's peer is who shows the certificate that a pin
// accepts, and with the key that is in it.
func TestTunnelIdentity(t *testing.T) {
	here, _ := newPinned(t, "here")
	there, site := newPinned(t, "there")
	key, proof, err := tunnelOptions(there).Credentials()
	if err != nil {
		t.Fatal(err)
	}
	public := key.Public().(ed25519.PublicKey)
	verify := tunnelOptions(here).Verify
	if _, err := verify(public, proof); err == nil || !strings.Contains(err.Error(), "not paired") {
		t.Errorf("before the pairing: %v", err)
	}
	here.pins[site.Site()] = identity.Pin{SiteName: "there", Identity: site.Public(), RosterNumber: 1}
	peer, err := verify(public, proof)
	if err != nil {
		t.Fatal(err)
	}
	if p := peer.(*identity.PeerInfo); p.Site != site.Site() || p.SiteName != "there" {
		t.Errorf("the peer is %+v", p)
	}
	ownKey, _, err := tunnelOptions(here).Credentials()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify(ownKey.Public().(ed25519.PublicKey), proof); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("with another key: %v", err)
	}
	if _, err := verify(public, []byte("no certificate")); err == nil {
		t.Error("no certificate is believed")
	}
}

// tap is a proxy that remembers how each connection begins.
type tap struct {
	net.Listener
	target string
	wg     sync.WaitGroup

	mu     sync.Mutex
	begins map[byte]int // open connections by their first byte
	ever   map[byte]int // those that have ended too
	open   map[net.Conn]bool
}

func newTap(t *testing.T, target string) *tap {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{Listener: ln, target: target, begins: map[byte]int{}, ever: map[byte]int{}, open: map[net.Conn]bool{}}
	p.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.carry(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		p.mu.Lock()
		for c := range p.open {
			c.Close()
		}
		p.open = nil
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *tap) carry(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer out.Close()
	p.mu.Lock()
	if p.open == nil {
		p.mu.Unlock()
		return
	}
	p.open[in], p.open[out] = true, true
	p.mu.Unlock()
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(in, out)
		in.Close()
	}()
	first := make([]byte, 1)
	if n, _ := io.ReadFull(in, first); n == 1 {
		p.count(first[0], 1)
		if _, err := out.Write(first); err == nil {
			_, _ = io.Copy(out, in)
		}
		p.count(first[0], -1)
	}
	out.Close()
	<-back
}

func (p *tap) count(b byte, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begins[b] += n
	p.ever[b] += max(n, 0)
}

// kinds are how many connections are open that are TLS, and SSH.
func (p *tap) kinds() (plain, tunnels int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.begins[0x16], p.begins['S']
}

// linkedNodes are two nodes in this process with a link hawaii between them, each
// of which reaches the other through a tap.
type linkedNodes struct {
	nodes   [2]*Node
	clients [2]*admin.Client
	taps    [2]*tap // [i] is dialled by nodes[i]
}

func linkNodes(t *testing.T) *linkedNodes {
	t.Helper()
	l := new(linkedNodes)
	for i, name := range []string{"alpha", "beta"} {
		l.nodes[i], l.clients[i] = startNode(t, func(o *Options) { o.Site, o.Node, o.Link = name, name+"-1", "127.0.0.1:0" })
	}
	for i := range l.taps {
		l.taps[i] = newTap(t, l.nodes[1-i].LinkAddress())
	}
	ctx := t.Context()
	invitation, err := l.clients[0].Sites.Invite(ctx, &adminpb.InviteRequest{Address: l.taps[1].Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.clients[1].Sites.Pair(ctx, invitation.GetToken()); err != nil {
		t.Fatal(err)
	}
	for i, c := range l.clients {
		if _, err := c.Services.Create(ctx, &adminpb.CreateServiceRequest{Type: "isgw", Name: "hawaii", Remote: "ccow://" + l.taps[i].Addr().String()}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// set changes the link at one node.
func (l *linkedNodes) set(t *testing.T, i int, change func(*statepb.Service)) {
	t.Helper()
	err := l.nodes[i].current().change(t.Context(), func(cfg *state.Config) (*statepb.Txn, error) {
		s, _, _ := cfg.Service("hawaii")
		s = proto.CloneOf(s)
		change(s)
		return &statepb.Txn{Puts: []*statepb.Object{state.Wrap(s)}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// await polls a node's view of the link.
func (l *linkedNodes) await(t *testing.T, i int, what string, ok func(*adminpb.ServiceStatus) bool) *adminpb.ServiceStatus {
	t.Helper()
	var last *adminpb.Service
	for limit := time.Now().Add(time.Minute); ; {
		var err error
		if last, err = l.clients[i].Services.Get(t.Context(), "hawaii", true); err != nil {
			t.Fatal(err)
		}
		if ok(last.GetStatus()) {
			return last.GetStatus()
		}
		if time.Now().After(limit) {
			t.Fatalf("waited in vain for: %s; the link is %v", what, last.GetStatus())
		}
		<-time.After(10 * time.Millisecond)
	}
}

func connected(st *adminpb.ServiceStatus) bool { return st.GetConnected() }

// TestTunnelOfLink turns the tunnel of a running link on at one site, which then
// refuses the other in words that name the setting, on at both, and off again.
func TestTunnelOfLink(t *testing.T) {
	l := linkNodes(t)
	for i := range l.nodes {
		l.await(t, i, "a connection", connected)
	}
	if plain, tunnels := l.taps[0].kinds(); plain == 0 || tunnels != 0 {
		t.Errorf("without the setting, %d connections are plain and %d are tunnels", plain, tunnels)
	}

	l.set(t, 1, func(s *statepb.Service) { s.Tunnel = true })
	st := l.await(t, 0, "a refusal", func(st *adminpb.ServiceStatus) bool {
		return st.GetState() == adminpb.ServiceState_SERVICE_STATE_REFUSED
	})
	if want := "site beta takes connections of link hawaii inside an SSH tunnel only (useEncryptedTunnel): set it at site alpha too"; !strings.Contains(st.GetCause(), want) {
		t.Errorf("the cause is %q", st.GetCause())
	}
	// The site that has the setting comes through a tunnel, which the other takes; and
	// says whom it refuses itself, until that is over.
	barred := func(st *adminpb.ServiceStatus) bool {
		return st.GetState() == adminpb.ServiceState_SERVICE_STATE_REFUSED && strings.Contains(st.GetCause(), "site alpha connects without an SSH tunnel") &&
			strings.Contains(st.GetNextStep(), "isgwctl service edit hawaii --tunnel true")
	}
	l.await(t, 1, "a connection", connected)
	l.await(t, 1, "its own refusal", barred)

	l.set(t, 0, func(s *statepb.Service) { s.Tunnel = true })
	for i := range l.nodes {
		l.await(t, i, "a connection through a tunnel", func(st *adminpb.ServiceStatus) bool {
			plain, tunnels := l.taps[i].kinds()
			return connected(st) && plain == 0 && tunnels > 0 && !barred(st)
		})
	}
	for i := range l.nodes {
		l.set(t, i, func(s *statepb.Service) { s.Tunnel = false })
	}
	for i := range l.nodes {
		l.await(t, i, "a connection without a tunnel", func(st *adminpb.ServiceStatus) bool {
			plain, tunnels := l.taps[i].kinds()
			return connected(st) && plain > 0 && tunnels == 0
		})
	}
}

// TestTunnelFromTheFirst: a link that is set to go inside SSH shows nothing else on
// its way, also not while a plan asks who answers at its remote, or while it is not
// known which of several paired sites that is.
func TestTunnelFromTheFirst(t *testing.T) {
	l := linkNodes(t)
	ctx := t.Context()
	if err := l.clients[0].Services.Delete(ctx, "hawaii"); err != nil {
		t.Fatal(err)
	}
	l.set(t, 1, func(s *statepb.Service) { s.Remote, s.Tunnel = "", true })
	// With one more paired site the remote may mean either.
	if err := l.nodes[0].current().change(ctx, func(*state.Config) (*statepb.Txn, error) {
		return &statepb.Txn{Puts: []*statepb.Object{state.Wrap(&statepb.Pairing{
			Site: state.SiteID{15: 7}.Bytes(), SiteName: "gamma", IdentityPublic: make([]byte, 32), RosterNumber: 1,
		})}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	fresh := newTap(t, l.nodes[1].LinkAddress())
	on := true
	made, err := l.clients[0].Plans.Plan(ctx, &adminpb.PlanRequest{Change: &adminpb.PlanRequest_CreateService{CreateService: &adminpb.PlanCreateService{
		Service: &adminpb.CreateServiceRequest{Type: "isgw", Name: "hawaii", Remote: "ccow://" + fresh.Addr().String(), Settings: &adminpb.LinkSettings{Tunnel: &on}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(made.GetText(), "beta") {
		t.Errorf("the plan does not say who answers:\n%s", made.GetText())
	}
	if _, err := l.clients[0].Plans.Apply(ctx, &adminpb.ApplyRequest{Plan: made}); err != nil {
		t.Fatal(err)
	}
	l.await(t, 0, "a connection", connected)
	service, err := l.clients[0].Services.Get(ctx, "hawaii", false)
	if err != nil || service.GetPeerName() != "beta" {
		t.Errorf("the link is with %q, %v", service.GetPeerName(), err)
	}
	fresh.mu.Lock()
	defer fresh.mu.Unlock()
	if len(fresh.ever) != 1 || fresh.ever['S'] < 3 { // the plan, the link that asks who it is, and its own
		t.Errorf("connections began so, by their first byte: %v", fresh.ever)
	}
}

// TestTunnelOfUnpaired: the end of a pairing is said through a tunnel as without.
func TestTunnelOfUnpaired(t *testing.T) {
	l := linkNodes(t)
	for i := range l.nodes {
		l.set(t, i, func(s *statepb.Service) { s.Tunnel = true })
	}
	for i := range l.nodes {
		l.await(t, i, "a connection", connected)
	}
	// Beta forgets alpha.
	s := l.nodes[1].current()
	alpha := l.nodes[0].current().id
	if err := s.change(t.Context(), func(cfg *state.Config) (*statepb.Txn, error) {
		p, _, _ := cfg.Pairing(alpha)
		key, err := state.KeyOf(state.Wrap(p))
		return &statepb.Txn{Deletes: []*statepb.ObjectKey{key.Proto()}}, err
	}); err != nil {
		t.Fatal(err)
	}
	s.links.endpoint.DropPeer(alpha)
	l.await(t, 0, "the reason", func(st *adminpb.ServiceStatus) bool {
		return strings.Contains(st.GetCause(), "does not accept this site inside an SSH tunnel")
	})
}

// TestLocalAddress gives a running link an address of its own, which the other
// site then uses, one that cannot be had, and none.
func TestLocalAddress(t *testing.T) {
	l := linkNodes(t)
	for i := range l.nodes {
		l.await(t, i, "a connection", connected)
	}
	free, err := net.Listen("tcp", "127.0.0.2:0") // nobody else listens there
	if err != nil {
		t.Fatal(err)
	}
	local := free.Addr().String()
	free.Close()
	l.set(t, 1, func(s *statepb.Service) { s.Local = local })
	l.set(t, 0, func(s *statepb.Service) { s.Remote = "ccow://" + local })
	l.await(t, 0, "a connection to the link's own address", func(st *adminpb.ServiceStatus) bool {
		plain, tunnels := l.taps[0].kinds()
		return connected(st) && st.GetRemoteAddress() == local && plain+tunnels == 0
	})
	// A tunnel goes to the same port.
	l.set(t, 1, func(s *statepb.Service) { s.Tunnel = true })
	l.set(t, 0, func(s *statepb.Service) { s.Tunnel = true })
	for i := range l.nodes {
		l.await(t, i, "a tunnel", connected)
	}

	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	l.set(t, 1, func(s *statepb.Service) { s.Local = busy.Addr().String() })
	st := l.await(t, 1, "the reason", func(st *adminpb.ServiceStatus) bool { return strings.Contains(st.GetCause(), "cannot listen on") })
	if want := "cannot listen on " + busy.Addr().String() + ": another program or link does"; !strings.HasPrefix(st.GetCause(), want) || !strings.Contains(st.GetNextStep(), "--local") {
		t.Errorf("the cause is %q, next %q", st.GetCause(), st.GetNextStep())
	}
	if !st.GetConnected() {
		t.Error("the link's own connections have ended with the address")
	}
	system, err := l.clients[1].System.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(fmt.Sprint(system), "cannot listen on "+busy.Addr().String()) {
		t.Errorf("the node says nothing of it: %v", system)
	}
	l.set(t, 1, func(s *statepb.Service) { s.Local = "" })
	l.await(t, 1, "the reason to be gone", func(st *adminpb.ServiceStatus) bool { return !strings.Contains(st.GetCause(), "cannot listen on") })
	if c, err := net.Dial("tcp", local); err == nil {
		c.Close()
		t.Error("the old address is still open")
	}
}
