package testenv

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// Link is a link between two sites whose connections go through proxies.
type Link struct {
	Name    string
	Sites   [2]*Site
	Buckets []string

	env     *Env
	proxies [2]*toxiproxy.Proxy // [i] is dialled by Sites[i] and leads to the other
	up      bool
}

// Link pairs two sites if they are not, and links them; the paths are tenants
// or buckets that both serve.
func (e *Env) Link(name string, a, b *Site, paths ...string) *Link {
	e.t.Helper()
	l := e.Line(name, a, b, paths...)
	e.pair(a, b, l.proxies[1].Listen)
	for i := range l.Sites {
		l.create(i)
	}
	return l
}

// Line lays the line of a link that is to be made: the proxies, and nothing at
// either site.
func (e *Env) Line(name string, a, b *Site, paths ...string) *Link {
	t := e.t
	t.Helper()
	l := &Link{Name: name, Sites: [2]*Site{a, b}, Buckets: paths, env: e, up: true}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	for i := range l.proxies {
		p := toxiproxy.NewProxy(server, name, freeAddress(t), l.Sites[1-i].options.Link)
		if err := p.Start(); err != nil {
			t.Fatalf("start proxy of link %s: %v", name, err)
		}
		l.proxies[i] = p
	}
	e.links = append(e.links, l)
	return l
}

// address is where Sites[i] reaches the other one.
func (l *Link) address(i int) string { return l.proxies[i].Listen }

// create makes the link at Sites[i] and serves its buckets.
func (l *Link) create(i int) {
	s, t := l.Sites[i], l.env.t
	t.Helper()
	if _, err := s.Admin.Services.Create(l.env.Context(), &adminpb.CreateServiceRequest{
		Type: "isgw", Name: l.Name, Remote: "ccow://" + l.address(i),
	}); err != nil {
		t.Fatalf("create link %s at %s: %v", l.Name, s.Name, err)
	}
	for _, path := range l.Buckets {
		if _, err := s.Admin.Services.Serve(l.env.Context(), l.Name, path); err != nil {
			t.Fatalf("serve %s at %s: %v", path, s.Name, err)
		}
	}
}

// pair pairs b with a, which b reaches at an address.
func (e *Env) pair(a, b *Site, address string) {
	e.t.Helper()
	pairings, err := b.Admin.Sites.Pairings(e.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	for _, p := range pairings {
		if p.GetSiteName() == a.Name {
			return
		}
	}
	invitation, err := a.Admin.Sites.Invite(e.Context(), &adminpb.InviteRequest{Address: address})
	if err != nil {
		e.t.Fatalf("invite at %s: %v", a.Name, err)
	}
	if _, err := b.Admin.Sites.Pair(e.Context(), invitation.GetToken()); err != nil {
		e.t.Fatalf("pair %s with %s: %v", b.Name, a.Name, err)
	}
}

// Cut breaks the link's connections and lets no new ones through.
func (l *Link) Cut() {
	for _, p := range l.proxies {
		p.Stop()
	}
	l.up = false
}

// Restore ends Cut.
func (l *Link) Restore() {
	l.env.t.Helper()
	if l.up {
		return
	}
	for _, p := range l.proxies {
		if err := p.Start(); err != nil {
			l.env.t.Fatalf("restore link %s: %v", l.Name, err)
		}
	}
	l.up = true
}

// Slow bounds each connection, in each direction, to a number of KB a second;
// 0 ends it.
func (l *Link) Slow(rate int) {
	l.env.t.Helper()
	for _, p := range l.proxies {
		p.Toxics.ResetToxics(context.Background())
		if rate == 0 {
			continue
		}
		for _, stream := range []string{"upstream", "downstream"} {
			l.toxic(p, fmt.Sprintf(`{"name":"slow-%s","type":"bandwidth","stream":%q,"attributes":{"rate":%d}}`, stream, stream, rate))
		}
	}
}

// Toxic adds a toxic of toxiproxy, as JSON, to both ways of the link.
func (l *Link) Toxic(json string) {
	l.env.t.Helper()
	for _, p := range l.proxies {
		l.toxic(p, json)
	}
}

func (l *Link) toxic(p *toxiproxy.Proxy, json string) {
	if _, err := p.Toxics.AddToxicJson(strings.NewReader(json)); err != nil {
		l.env.t.Fatalf("disturb link %s: %v", l.Name, err)
	}
}

func (l *Link) close() {
	if l.up {
		l.Cut()
	}
}

// WaitSynced waits until both sites say that everything is at both.
func (l *Link) WaitSynced() {
	l.env.t.Helper()
	ctx := l.env.Context()
	for _, s := range l.Sites {
		var last *adminpb.Service
		err := s.Admin.Services.Watch(ctx, l.Name, 100*time.Millisecond, func(service *adminpb.Service) error {
			last = service
			if service.GetStatus().GetSynced() {
				return errSynced
			}
			return nil
		})
		if err != errSynced {
			l.env.t.Fatalf("link %s at %s is not in sync: %v; last status: %v", l.Name, s.Name, err, last.GetStatus())
		}
	}
}
