package cluster

import (
	"math"
	"testing"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
	objsync "edgefog.dev/isgw/sync"
)

func TestProcessBounds(t *testing.T) {
	started := processBounds{memory: 2 << 30, procs: 8}
	link := func(cpu, memory uint64) *statepb.Service {
		return &statepb.Service{Type: state.TypeLink, Resources: &statepb.Resources{LimitCpu: cpu, LimitMemory: memory, RequestCpu: 9000, RequestMemory: 9 << 30}}
	}
	off := link(100, 1<<20)
	off.Disabled = true
	for name, c := range map[string]struct {
		services []*statepb.Service
		started  processBounds
		want     processBounds
	}{
		"no links":                {nil, started, started},
		"no limits":               {[]*statepb.Service{link(0, 0)}, started, started},
		"one":                     {[]*statepb.Service{link(2000, 512<<20)}, started, processBounds{768 << 20, 2}},
		"half a core":             {[]*statepb.Service{link(500, 0)}, started, processBounds{2 << 30, 1}},
		"two":                     {[]*statepb.Service{link(1500, 128<<20), link(1000, 128<<20)}, started, processBounds{512 << 20, 3}},
		"one of two":              {[]*statepb.Service{link(1500, 128<<20), link(0, 128<<20)}, started, processBounds{512 << 20, 8}},
		"more than there is":      {[]*statepb.Service{link(64_000, 64<<30)}, started, started},
		"a little less":           {[]*statepb.Service{link(8000, 2<<30-1)}, started, started},
		"one that is disabled":    {[]*statepb.Service{link(1000, 256<<20), off}, started, processBounds{512 << 20, 1}},
		"a process without bound": {[]*statepb.Service{link(1000, 256<<20)}, processBounds{math.MaxInt64, 2}, processBounds{512 << 20, 1}},
		"something else":          {[]*statepb.Service{{Type: "s3"}, link(1000, 256<<20)}, started, processBounds{512 << 20, 1}},
	} {
		if got := processFor(c.services, c.started); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestBoundsOfLinks(t *testing.T) {
	limited := func(name string, cache, memory uint64) *statepb.Service {
		return &statepb.Service{Name: name, ChunkCache: cache, Resources: &statepb.Resources{LimitMemory: memory, LimitCpu: 100, RequestMemory: 1, RequestCpu: 100}}
	}
	cfg := configOf(t, "",
		&statepb.Service{Name: "plain"},
		limited("limited", 0, 64<<20),
		limited("limited1", 32<<20, 64<<20),
		limited("limited2", 64<<20, 32<<20),
		limited("limited3", 0, 1<<30),
		limited("limited4", 0, 1),
		&statepb.Service{Name: "small", Profile: state.ProfileEmbedded},
		&statepb.Service{Name: "given", ChunkCache: 32 << 20, Connections: 3},
		&statepb.Service{Name: "server", ChunkCache: 90 << 20},
		&statepb.Service{Name: "client1", Server: "server"},
		&statepb.Service{Name: "client2", Server: "server", ChunkCache: 20 << 20, Profile: state.ProfileEmbedded},
	)
	for name, want := range map[string]objsync.Bounds{
		"plain":    objsync.BoundsFor(false, 0, 0),
		"limited":  objsync.BoundsFor(false, 64<<20, 0),
		"limited1": objsync.BoundsFor(false, 32<<20, 0),
		"limited2": objsync.BoundsFor(false, 32<<20, 0),
		"limited3": objsync.BoundsFor(false, 0, 0),
		"limited4": objsync.BoundsFor(false, objsync.MinCache, 0),
		"small":    objsync.BoundsFor(true, 0, 0),
		"given":    objsync.BoundsFor(false, 32<<20, 3),
		"server":   objsync.BoundsFor(false, 30<<20, 0),
		"client1":  objsync.BoundsFor(false, 30<<20, 0),
		"client2":  objsync.BoundsFor(true, 20<<20, 0),
	} {
		service, _, _ := cfg.Service(name)
		if got := boundsOf(cfg, service); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	cfg = configOf(t, state.ProfileEmbedded, &statepb.Service{Name: "plain"}, &statepb.Service{Name: "fast", Profile: state.ProfilePerformance})
	for name, embedded := range map[string]bool{"plain": true, "fast": false} {
		service, _, _ := cfg.Service(name)
		if got, want := boundsOf(cfg, service), objsync.BoundsFor(embedded, 0, 0); got != want {
			t.Errorf("with an embedded site, %s: %+v, want %+v", name, got, want)
		}
	}
}

// configOf is the config of a site with a profile and links.
func configOf(t *testing.T, profile string, services ...*statepb.Service) *state.Config {
	t.Helper()
	cfg := state.New()
	txn := &statepb.Txn{Puts: []*statepb.Object{state.Wrap(&statepb.Site{
		Id: state.SiteID{15: 1}.Bytes(), Name: "north", Epoch: 1, IdentityPublic: make([]byte, 32), Profile: profile})}}
	for _, s := range services {
		s.Type = state.TypeLink
		txn.Puts = append(txn.Puts, state.Wrap(s))
	}
	if _, err := cfg.Apply(txn, 1); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// The address of a server that is disabled stays for the clients that are not.
func TestDoorOfAServer(t *testing.T) {
	server := &statepb.Service{Name: "server", Type: state.TypeLink, Local: "10.0.0.1:14001", Disabled: true}
	client := &statepb.Service{Name: "client", Type: state.TypeLink, Server: "server"}
	if got := doorsOf([]*statepb.Service{server, client}, ""); len(got) != 1 {
		t.Errorf("%q are open for a client of a disabled server", got)
	}
	client.Disabled = true
	if got := doorsOf([]*statepb.Service{server, client}, ""); len(got) != 0 {
		t.Errorf("%q are open for nobody", got)
	}
}
