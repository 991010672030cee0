package objsync

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// TestMeshConverges lets three sites write, delete, lose each other, restart,
// trim and make buckets anew in an order that a seed gives, and demands that
// they are equal afterwards and silent. ISGW_SEEDS replays seeds.
func TestMeshConverges(t *testing.T) {
	for _, seed := range meshSeeds(t, 1, 2, 3, 4, 5, 6, 7, 8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runMesh(t, seed, false) })
		})
	}
}

// meshSeeds are the seeds to be run: those of ISGW_SEEDS, as N or as FROM-TO, if it
// is set.
func meshSeeds(t *testing.T, usual ...uint64) []uint64 {
	s := os.Getenv("ISGW_SEEDS")
	if s == "" {
		return usual
	}
	from, to, many := strings.Cut(s, "-")
	first, err := strconv.ParseUint(from, 10, 64)
	last := first
	if err == nil && many {
		last, err = strconv.ParseUint(to, 10, 64)
	}
	if err != nil {
		t.Fatal(err)
	}
	var out []uint64
	for n := first; n <= last; n++ {
		out = append(out, n)
	}
	return out
}

type mesh struct {
	t     *testing.T
	rng   *rand.Rand
	sites []*testSite
	links []*half // all ends

	versioned bool // the bucket gets versioning, and all that comes with it
	locks     bool // and object lock
	// bounded says that sites keep different numbers of versions: what they show
	// then differs.
	bounded bool
}

func runMesh(t *testing.T, seed uint64, versioned bool) {
	m := &mesh{t: t, rng: rand.New(rand.NewPCG(seed, 99)), versioned: versioned}
	if versioned {
		m.locks = m.rng.IntN(2) == 0
		m.bounded = m.rng.IntN(4) == 0
	}
	for n := range 3 {
		s := newTestSite(t, byte(n+1))
		s.versions = 1 + uint32(m.rng.IntN(3)) // every site keeps its own history
		s.unbounded = versioned && !m.bounded  // of versions with ids, as a rule, all of it
		m.sites = append(m.sites, s)
	}
	// A ring: every site is linked with both others, so each version has two
	// ways to go, and must take only one of them into each site.
	for i, a := range m.sites {
		x, y := connect(t, a, m.sites[(i+1)%3], nil, bk1)
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
	m.sites[0].ensureBucket(bk1)
	if m.rng.IntN(2) == 0 {
		m.sites[1].ensureBucket(bk1)
		m.sites[1].put(bk1, "of its own", []byte("x"))
	}
	for _, h := range m.links {
		h.start()
	}
	for range 150 {
		m.step()
	}
	for _, h := range m.links {
		h.wire.mend()
		if h.stop == nil {
			h.start()
		}
	}
	for _, s := range m.sites {
		s.ensureBucket(bk1)
	}
	defer m.explain()
	synced(t, 10*time.Minute, m.links...)
	pause(10 * time.Second)
	switch {
	case m.bounded:
		for _, s := range m.sites {
			s.wholeBucket(bk1)
		}
	case m.versioned:
		sameVersions(t, bk1, m.sites...)
		fallthrough
	default:
		sameHeads(t, bk1, m.sites...)
	}
	before := 0
	for _, h := range m.links {
		h.wire.offers()
	}
	for _, s := range m.sites {
		before += int(s.seq(bk1))
	}
	pause(30 * time.Second)
	after, offers := 0, 0
	for _, s := range m.sites {
		after += int(s.seq(bk1))
	}
	for _, h := range m.links {
		offers += h.wire.offers()
	}
	if before != after || offers != 0 {
		t.Errorf("at rest the logs went from %d to %d and %d records were offered", before, after, offers)
	}
	for _, h := range m.links {
		if list := h.pendingOf(bk1); len(list) != 0 {
			t.Errorf("%d records are pending at %s from %s", len(list), h.site.name, h.peer.name)
		}
	}
}

// explain shows the sites when the test has failed.
func (m *mesh) explain() {
	if !m.t.Failed() {
		return
	}
	for _, s := range m.sites {
		st, _ := s.cat.BucketAny(bk1)
		seen, _ := s.cat.Seen(bk1)
		m.t.Logf("%s: seq %d, trimmed %d, seen %v", s.name, st.GetSeq(), st.GetTrimmed(), seen)
		for i := range 12 {
			recs, _ := s.cat.Versions(bk1, []byte(fmt.Sprint("k", i)))
			for _, r := range recs {
				m.t.Logf("%s: k%d: %v %v %v generation %d time %d context %v", s.name, i, keyOf(r.GetDot()), r.GetKind(), r.GetVersioning(), r.GetGeneration(), r.GetTime(), r.GetContext())
			}
		}
	}
	for _, h := range m.links {
		cursor, err := h.site.cat.Cursor(bk1, h.peer.id)
		m.t.Logf("%s from %s: cursor %v %v", h.site.name, h.peer.name, cursor, err)
		m.t.Logf("%s from %s: %+v", h.site.name, h.peer.name, h.engine.Status())
		m.t.Logf("%s to %s: %+v", h.site.name, h.peer.name, h.local.Status())
	}
}

// step does one thing to one site or link.
func (m *mesh) step() {
	s := m.sites[m.rng.IntN(len(m.sites))]
	h := m.links[m.rng.IntN(len(m.links))]
	key := fmt.Sprint("k", m.rng.IntN(12))
	_, err := s.cat.Bucket(bk1)
	exists := err == nil
	if m.versioned && exists && m.rng.IntN(3) == 0 {
		m.stepVersions(s, key)
		return
	}
	switch p := m.rng.IntN(100); {
	case p < 45 && exists:
		s.put(bk1, key, random(m.rng.Uint64N(40), m.rng.IntN(60_000)))
	case p < 60 && exists:
		s.del(bk1, key)
	case p < 75:
		pause(time.Duration(m.rng.IntN(3000)) * time.Millisecond)
	case p < 80:
		h.wire.cut()
	case p < 88:
		h.wire.mend()
	case p < 92:
		if h.stop != nil {
			h.halt()
		} else {
			h.start()
		}
	case p < 95 && exists:
		s.trim(bk1, time.Now().Add(-2*time.Second))
	case p < 97 && exists:
		m.remake(s)
	}
}

// remake deletes all keys of a bucket, the bucket, and makes it anew.
func (m *mesh) remake(s *testSite) {
	for key := range s.listing(bk1) {
		s.del(bk1, key)
	}
	res, err := s.run(context.Background(), siteEntry{remove: bk1})
	if err != nil {
		m.t.Fatal(err)
	}
	if res.GetCode() != raftfsmpb.Code_OK {
		return // a version came in between: somebody still wants the bucket
	}
	if m.rng.IntN(3) > 0 {
		s.ensureBucket(bk1)
	}
}
