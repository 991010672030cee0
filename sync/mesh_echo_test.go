package objsync

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// TestNoEcho lets users of three sites in a ring, of four in a ring and of four in a
// full mesh write, delete, tag and purge, some of it at the same moment. Every record
// and every chunk crosses each link in each direction at most once, and when all is
// done nothing is said but heartbeats.
func TestNoEcho(t *testing.T) {
	for name, links := range map[string][][2]int{
		"ring of three": {{0, 1}, {1, 2}, {2, 0}},
		"ring of four":  {{0, 1}, {1, 2}, {2, 3}, {3, 0}},
		"full mesh":     {{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}},
	} {
		for _, delay := range []time.Duration{0, 40 * time.Millisecond} {
			t.Run(fmt.Sprint(name, ", ", delay), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { runEcho(t, links, delay) })
			})
		}
	}
}

func runEcho(t *testing.T, links [][2]int, delay time.Duration) {
	m := &mesh{t: t, rng: rand.New(rand.NewPCG(5, uint64(len(links)))), versioned: true}
	n := 0
	for _, l := range links {
		n = max(n, l[0]+1, l[1]+1)
	}
	for i := range n {
		s := newTestSite(t, byte(i+1))
		s.unbounded = true
		m.sites = append(m.sites, s)
	}
	for _, l := range links {
		x, y := connect(t, m.sites[l[0]], m.sites[l[1]], nil, bk1)
		x.wire.delay, y.wire.delay = func() time.Duration { return delay }, func() time.Duration { return delay }
		m.links = append(m.links, x, y)
	}
	defer func() {
		for _, h := range m.links {
			h.halt()
		}
		for _, s := range m.sites {
			s.close()
		}
	}()
	for _, s := range m.sites {
		s.ensureBucket(bk1)
	}
	for _, h := range m.links {
		h.start()
	}
	synced(t, time.Minute, m.links...)
	for _, h := range m.links {
		h.wire.offers() // nothing yet but what settled the links
	}
	m.sites[0].try(setting(catalog.FieldVersioning, &catalogpb.Value{Versioning: catalogpb.Versioning_VERSIONING_ENABLED}))
	synced(t, time.Minute, m.links...)
	for range 300 {
		s := m.sites[m.rng.IntN(n)]
		key := fmt.Sprint("k", m.rng.IntN(15))
		switch p := m.rng.IntN(100); {
		case p < 45:
			s.put(bk1, key, random(m.rng.Uint64(), 1+m.rng.IntN(40_000)))
		case p < 55:
			s.del(bk1, key)
		case p < 75:
			if all := s.versionsOf(bk1, key); len(all) > 0 {
				v := all[m.rng.IntN(len(all))]
				s.try(attribute(key, targetOf(v.Record), catalog.FieldTags, &catalogpb.Value{Tags: map[string]string{"n": fmt.Sprint(p)}}))
			}
		case p < 85:
			if all := s.versionsOf(bk1, key); len(all) > 0 {
				s.try(purge(key, targetOf(all[m.rng.IntN(len(all))].Record)))
			}
		default:
			pause(time.Duration(m.rng.IntN(300)) * time.Millisecond)
		}
	}
	synced(t, time.Minute, m.links...)
	sameVersions(t, bk1, m.sites...)
	sameHeads(t, bk1, m.sites...)
	for _, h := range m.links {
		h.wire.mu.Lock()
		for dot, times := range h.wire.offered {
			if times > 1 {
				t.Errorf("%s crossed from %s to %s %d times", dot, h.peer.name, h.site.name, times)
			}
		}
		for id, times := range h.wire.fetched {
			if times > 1 {
				t.Errorf("chunk %s crossed from %s to %s %d times", id, h.peer.name, h.site.name, times)
			}
		}
		h.wire.mu.Unlock()
	}
	before := make(map[string]uint64)
	for _, s := range m.sites {
		before[s.name] = s.seq(bk1)
	}
	for _, h := range m.links {
		h.wire.offers()
	}
	pause(time.Minute)
	for _, h := range m.links {
		if n := h.wire.offers(); n > 0 {
			t.Errorf("%d records were offered by %s at rest", n, h.peer.name)
		}
	}
	for _, s := range m.sites {
		if s.seq(bk1) != before[s.name] {
			t.Errorf("at rest the log of %s grew from %d to %d", s.name, before[s.name], s.seq(bk1))
		}
	}
}
