package objsync

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link/limit"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// convergeSeeds is the number of those that run with the tests; just fuzz-links runs
// others for as long as it is told.
const convergeSeeds = 200

// regressions are the seeds that have once failed, with what was wrong.
var regressions = []uint64{
	156,        // what was replaced meanwhile stayed in quarantine
	367,        // a site that kept a deleted version in its history did not say that it was deleted
	404,        // a deletion was not announced again, as the peer was believed to hear of it yet
	1072,       // a delete marker came back where the purge that beat it was forgotten
	4997,       // a version was lost with a backup, and an operator has to give it up
	8250, 8811, // a bucket made again forgot deletions of what its vector did not cover yet
	202542417535738, // a scan guided by sums claimed a null version that a bounded history hid from them
	8521,            // a deletion that is forgotten was learned after the peer that needed it had compared, or after another had brought what was deleted
}

// TestConverge lets three to five sites, linked in any way, write, delete and purge
// the same keys while the network delays, swallows and breaks what they say, while
// they lose their power and come back, some of them with clocks that are hours wrong,
// some with the disk of a while ago. Once all of that has ended they must be equal,
// whole and silent. A seed decides what happens when; ISGW_SEEDS (as N, or as
// FROM-TO) replays seeds, ISGW_FUZZ_FOR (a duration) runs new ones for so long.
func TestConverge(t *testing.T) {
	seeds := slices.Clone(regressions)
	for n := range uint64(convergeSeeds) {
		seeds = append(seeds, n+1)
	}
	if testing.Short() {
		seeds = seeds[:len(regressions)+8]
	}
	runSeeds(t, false, seeds)
}

// runSeeds runs the worlds of seeds beside each other, or those that the environment asks
// for.
func runSeeds(t *testing.T, operated bool, seeds []uint64) {
	test := t.Name()
	run := func(seed uint64, beside bool) bool {
		return t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			if beside {
				t.Parallel()
			}
			synctest.Test(t, func(t *testing.T) { runWorld(t, seed, operated) })
			if t.Failed() {
				t.Logf("to replay: ISGW_SEEDS=%d go test ./sync -run '^%s$'", seed, test)
			}
		})
	}
	if s := os.Getenv("ISGW_FUZZ_FOR"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for seed := rand.Uint64() >> 16; time.Since(began) < d && run(seed, false); seed++ {
		}
		return
	}
	for _, seed := range meshSeeds(t, seeds...) {
		run(seed, true)
	}
}

// world is some sites, their links, and what a seed has in store for them.
type world struct {
	t     *testing.T
	rng   *rand.Rand
	sites []*simSite
	ends  []*simEnd

	versioned bool // buckets get versioning, purges, attributes and settings
	locks     bool // and object lock
	bounded   bool // sites keep different numbers of versions
	remakes   bool // buckets are deleted and made again
	restores  bool // sites are put back to a backup
	pins      bool // logs are trimmed only where nobody needs them any more

	backups map[*simSite]*simBackup
	epochs  map[*simSite]uint32 // the highest that the site ever had
	// starts draws which sites go on in another epoch when they start, as those do that
	// write before all others have said that they are intact, and which are not told
	// that they were put back to a backup. Nil: none.
	starts *rand.Rand
	untold map[*simSite]bool
	trace  []string

	operators *operators // who change settings meanwhile; nil: nobody

	contests int // listed at the end
}

// simEnd is one end of a link.
type simEnd struct {
	*half
	site, peer *simSite
	seed       uint64

	gone            bool           // the link was removed
	sends, receives *limit.Limiter // nil: nothing is limited
}

func newWorld(t *testing.T, seed uint64, operated bool) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 7)),
		backups: make(map[*simSite]*simBackup), epochs: make(map[*simSite]uint32), untold: make(map[*simSite]bool),
	}
	if !slices.Contains(regressions, seed) { // which are older than this
		w.starts = rand.New(rand.NewPCG(seed, 13))
	}
	if operated {
		w.operators = newOperators(seed)
	}
	w.versioned = w.rng.IntN(2) == 0
	w.locks = w.versioned && w.rng.IntN(2) == 0
	w.bounded = w.rng.IntN(4) == 0
	w.pins = w.rng.IntN(2) == 0
	switch w.rng.IntN(4) {
	case 0:
		w.remakes = true
	case 1:
		w.restores = true
	}
	n := 3 + w.rng.IntN(3)
	for i := range n {
		s := newSimSite(t, byte(i+1), seed)
		s.versions = 1
		if w.bounded {
			s.versions = 1 + uint32(w.rng.IntN(3))
		}
		s.unbounded = w.versioned && !w.bounded
		if w.rng.IntN(2) == 0 {
			s.skew = w.hours()
		}
		w.sites = append(w.sites, s)
		w.epochs[s] = 1
	}
	for _, l := range w.topology(n) {
		w.join(w.sites[l[0]], w.sites[l[1]], w.rng)
	}
	return w
}

// hours is how wrong a clock can be.
func (w *world) hours() time.Duration {
	return time.Duration(w.rng.Int64N(int64(12*time.Hour))) - 6*time.Hour
}

// topology draws the links of n sites, which connect all of them: a line, a star, a
// ring, a full mesh, or a tree with some more links.
func (w *world) topology(n int) [][2]int {
	var out [][2]int
	switch w.rng.IntN(5) {
	case 0:
		for i := range n - 1 {
			out = append(out, [2]int{i, i + 1})
		}
	case 1:
		for i := range n - 1 {
			out = append(out, [2]int{0, i + 1})
		}
	case 2:
		for i := range n {
			out = append(out, [2]int{i, (i + 1) % n})
		}
	case 3:
		for i := range n {
			for k := range i {
				out = append(out, [2]int{k, i})
			}
		}
	default:
		for i := 1; i < n; i++ {
			parent := w.rng.IntN(i)
			out = append(out, [2]int{parent, i})
			for k := range i {
				if k != parent && w.rng.IntN(3) == 0 {
					out = append(out, [2]int{k, i})
				}
			}
		}
	}
	w.note("%d sites, links %v, versioned %v, locks %v, bounded %v, remakes %v, restores %v, pins %v",
		n, out, w.versioned, w.locks, w.bounded, w.remakes, w.restores, w.pins)
	return out
}

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, time.Now().Format("04:05.000 ")+fmt.Sprintf(format, args...))
}

// join makes a link of two sites, whose wires delay what they carry.
func (w *world) join(a, b *simSite, draw *rand.Rand) {
	slowest := time.Duration(1+draw.IntN(200)) * time.Millisecond
	plain := w.operators != nil && w.operators.rng.IntN(3) == 0
	for _, p := range [][2]*simSite{{a, b}, {b, a}} {
		e := &simEnd{site: p[0], peer: p[1], seed: draw.Uint64()}
		e.half = &half{site: e.site.testSite, peer: e.peer.testSite, served: []string{bk1}, wire: newWire(w.t, nil)}
		rng := rand.New(rand.NewPCG(e.seed, 1))
		e.wire.delay = func() time.Duration { return time.Duration(rng.Int64N(int64(slowest))) }
		if w.operators != nil {
			w.operators.equip(e, plain)
		}
		w.ends = append(w.ends, e)
	}
}

// other is the other end of a link.
func (w *world) other(e *simEnd) *simEnd {
	i := slices.Index(w.ends, e)
	return w.ends[i^1]
}

// boot starts a site, what it offers, and its engines.
func (w *world) boot(s *simSite) {
	s.boot()
	for _, e := range w.ends {
		if e.site == s && !e.gone {
			w.open(e)
		}
	}
}

// open starts an end of a link.
func (w *world) open(e *simEnd) {
	local, err := NewLocal(LocalOptions{
		Site: e.site.site(), Service: "hawaii", Peer: e.peer.id, PeerName: e.peer.name,
		Settings: settingsFrom(&e.settings), Terms: e.termsOf, Limit: e.sends, Served: e.list,
		Mend: func(path string, keys [][]byte) { e.engine.Mend(path, keys) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	e.local = local
	w.run(e)
	w.other(e).wire.attach(local)
}

// run starts the engine of an end.
func (w *world) run(e *simEnd) {
	e.opts = EngineOptions{
		Site: e.site.site(), Service: "hawaii", Peer: e.peer.id, PeerName: e.peer.name,
		Settings: settingsFrom(&e.settings), Terms: e.termsOf, Limit: e.receives,
		Source: e.wire, Codec: testCodec(),
		Accepts:      func(path string) bool { return slices.Contains(e.list(), path) },
		EnsureBucket: func(ctx context.Context, b *linkpb.ServedBucket) error { return e.site.ensure(ctx, b.GetPath()) },
		Rand:         rand.NewChaCha8([32]byte{0: byte(e.seed), 1: byte(e.seed >> 8), 2: byte(time.Now().UnixNano() >> 20)}),
		// Small enough that logs, lanes and tables are found full.
		HoldAfter: time.Second, PendingLimit: 50, page: 7,
	}
	e.start()
}

// ensure makes a bucket unless it exists.
func (s *simSite) ensure(ctx context.Context, path string) error {
	if _, err := s.cat.Bucket(path); err == nil {
		return nil
	}
	versions := s.versions
	if s.unbounded {
		versions = 0
	}
	res, err := s.run(ctx, siteEntry{bucket: s.newBucket(path), versions: versions})
	if err != nil || res.GetCode() == raftfsmpb.Code_OK {
		return err
	}
	if _, err := s.cat.Bucket(path); err == nil {
		return nil // another link was faster
	}
	return fmt.Errorf("make bucket: %s", res.GetMessage())
}

// fall ends a site, in order or by a loss of its power.
func (w *world) fall(s *simSite, orderly bool) {
	if !orderly {
		s.cutPower()
	}
	for _, e := range w.ends {
		if e.site == s {
			e.halt()
			back := w.other(e).wire
			back.attach(nil)
			back.drop()
			until(w.t, time.Minute, "requests of the others to have ended", func() bool { return back.under() == 0 })
		}
	}
	if orderly {
		s.power.users.Wait()
		s.cutPower()
	}
	s.fallen(orderly)
}

func runWorld(t *testing.T, seed uint64, operated bool) {
	w := newWorld(t, seed, operated)
	defer w.close()
	defer w.explain()
	for _, s := range w.sites {
		w.boot(s)
	}
	w.sites[0].ensureNow(bk1)
	for _, s := range w.sites[1:] {
		if w.rng.IntN(3) == 0 {
			// One that has a bucket of its own already: they merge.
			s.ensureNow(bk1)
			s.write("of "+s.name, random(uint64(s.id[15]), 3000))
		}
	}
	for range 80 + w.rng.IntN(120) {
		w.step()
		if w.operators != nil && w.operators.rng.IntN(4) == 0 {
			w.operate()
		}
	}
	w.heal()
	if w.operators != nil {
		w.undo()
	}
	w.settle()
	w.check()
	if w.operators != nil {
		w.compared()
	}
}

// close stops everything.
func (w *world) close() {
	for _, s := range w.sites {
		if s.up() {
			w.fall(s, true)
		}
	}
}

func (s *simSite) ensureNow(path string) {
	s.t.Helper()
	if err := s.ensure(context.Background(), path); err != nil {
		s.t.Fatalf("%s: %v", s.name, err)
	}
}

func (s *simSite) write(key string, content []byte) {
	s.use(content, &raftfsmpb.Command{Command: &raftfsmpb.Command_Write{Write: &catalogpb.Write{
		Bucket: bk1, Record: &catalogpb.Record{
			Key: []byte(key), Kind: catalogpb.RecordKind_RECORD_VERSION, Time: s.wall(),
			Metadata: map[string]string{"by": s.name},
		},
	}}})
}

func (s *simSite) remove(key string) {
	s.use(nil, &raftfsmpb.Command{Command: &raftfsmpb.Command_Write{Write: &catalogpb.Write{
		Bucket: bk1, Record: &catalogpb.Record{Key: []byte(key), Kind: catalogpb.RecordKind_RECORD_TOMBSTONE, Time: s.wall()},
	}}})
}

func (s *simSite) wall() int64 { return time.Now().Add(s.skew + s.jump).UnixNano() }

// keys is the number of keys that all sites write to.
const convergeKeys = 10

// step does one thing to a site, a link or a clock.
func (w *world) step() {
	s := w.sites[w.rng.IntN(len(w.sites))]
	e := w.ends[w.rng.IntN(len(w.ends))]
	p := w.rng.IntN(100)
	switch {
	case p < 50:
		w.stepKeys(s, fmt.Sprint("k", w.rng.IntN(convergeKeys)))
	case p < 64:
		pause(time.Duration(w.rng.IntN(2000)) * time.Millisecond)
	case p < 66:
		pause(time.Duration(w.rng.IntN(40)) * time.Second)
	case p < 70:
		w.note("%s hears nothing of %s", e.site.name, e.peer.name)
		e.wire.cut()
	case p < 72:
		w.note("what %s asks %s is swallowed", e.site.name, e.peer.name)
		e.wire.swallow()
	case p < 73:
		w.partition()
	case p < 78:
		w.note("wires are mended")
		for _, e := range w.ends {
			if w.rng.IntN(2) == 0 {
				e.wire.mend()
			}
		}
	case p < 80:
		e.wire.drop() // connections break, and can be made again
	case p < 88:
		w.stepPower(s)
	case p < 90:
		s.mu.Lock()
		s.jump = w.hours()
		s.mu.Unlock()
	case p < 94:
		w.trim(s)
	case p < 96 && w.remakes:
		w.remake(s)
	case p < 97:
		if e.site.up() {
			if len(e.list()) > 0 {
				e.serve()
			} else {
				e.serve(bk1)
			}
			w.note("%s serves %v to %s", e.site.name, e.list(), e.peer.name)
		}
	case p < 99:
		if e.site.up() {
			to := Settings{Direction: []string{"", state.DirectionSend, state.DirectionReceive}[w.rng.IntN(3)], Paused: w.rng.IntN(4) == 0}
			w.note("%s sets its link with %s to %+v", e.site.name, e.peer.name, to)
			e.set(to)
		}
	}
}

// partition parts the sites in two.
func (w *world) partition() {
	side := make(map[*simSite]bool)
	for _, s := range w.sites {
		side[s] = w.rng.IntN(2) == 0
	}
	for _, e := range w.ends {
		if side[e.site] != side[e.peer] {
			e.wire.cut()
		}
	}
	w.note("the network is parted")
}

// stepPower ends a site, or starts it again.
func (w *world) stepPower(s *simSite) {
	if s.up() {
		if w.restores && w.backups[s] == nil && w.rng.IntN(2) == 0 {
			w.note("%s is backed up", s.name)
			w.backups[s] = s.backup()
			return
		}
		orderly := w.rng.IntN(3) == 0
		w.note("%s falls, orderly %v", s.name, orderly)
		w.fall(s, orderly)
		return
	}
	if b := w.backups[s]; b != nil && w.rng.IntN(2) == 0 {
		w.restore(s, b)
		return
	}
	if w.rng.IntN(4) == 0 {
		s.skew = w.hours()
	}
	w.note("%s comes back", s.name)
	if w.starts != nil && w.starts.IntN(3) == 0 {
		w.raise(s, false)
	}
	w.boot(s)
}

// raise begins another epoch of a site that is down.
func (w *world) raise(s *simSite, told bool) {
	w.epochs[s]++
	e := siteEntry{start: w.epochs[s]}
	if told {
		e = siteEntry{epoch: w.epochs[s]}
		w.untold[s] = false
	}
	w.note("%s is in epoch %d, told %v", s.name, w.epochs[s], told)
	s.log = append(s.log, simEntry{siteEntry: e})
}

// restore brings a site back as it was when it was backed up, in a new epoch. It may
// be told only when everything is mended.
func (w *world) restore(s *simSite, b *simBackup) {
	w.note("%s comes back with a backup of %d entries instead of %d", s.name, len(b.log), len(s.log))
	s.restore(b)
	w.untold[s] = w.starts != nil && w.starts.IntN(2) == 0
	w.raise(s, !w.untold[s])
	w.boot(s)
}

// trim drops what a log has held for a few seconds, even from those who need it
// unless pins is set.
func (w *world) trim(s *simSite) {
	if !s.up() {
		return
	}
	if _, err := s.cat.Bucket(bk1); err != nil {
		return
	}
	before := s.wall() - int64(2*time.Second)
	trim := &catalogpb.Trim{Bucket: bk1, Before: before, Horizon: before, Limit: 1 << 20}
	if w.pins {
		trim.Horizon = before - int64(20*time.Hour)
	}
	w.note("%s trims its log", s.name)
	s.use(nil, &raftfsmpb.Command{Command: &raftfsmpb.Command_Trim{Trim: trim}})
}

// remake deletes a bucket, and makes it again as a rule.
func (w *world) remake(s *simSite) {
	if !s.up() {
		return
	}
	if _, err := s.cat.Bucket(bk1); err != nil {
		s.ensureNow(bk1)
		w.note("%s makes the bucket again", s.name)
		return
	}
	for key := range s.listing(bk1) {
		s.remove(key)
	}
	s.power.users.Wait()
	res, err := s.run(context.Background(), siteEntry{remove: bk1})
	if err != nil {
		w.t.Fatal(err)
	}
	w.note("%s deletes the bucket: %v", s.name, res.GetCode())
}

// heal ends everything that goes wrong.
func (w *world) heal() {
	w.note("everything is mended")
	for _, s := range w.sites {
		if w.untold[s] {
			if s.up() {
				w.fall(s, true)
			}
			w.raise(s, true)
		}
		if !s.up() {
			w.boot(s)
		}
		s.ensureNow(bk1)
	}
	for _, e := range w.ends {
		e.wire.mend()
		if len(e.list()) == 0 {
			e.serve(bk1)
		}
		e.set(Settings{})
	}
}

// settle waits until the sites say that they are in sync, and are silent.
func (w *world) settle() {
	within := 30 * time.Minute
	if w.restores {
		w.giveUp(10 * time.Minute)
	}
	synced(w.t, within, w.halves()...)
	pause(15 * time.Second)
	for _, e := range w.ends {
		e.wire.offers()
	}
	before := w.logs()
	pause(30 * time.Second)
	offers := 0
	for _, e := range w.ends {
		offers += e.wire.offers()
	}
	if after := w.logs(); !maps.Equal(before, after) || offers != 0 {
		w.t.Errorf("at rest the logs went from %v to %v and %d records were offered", before, after, offers)
	}
}

// giveUp does what an operator has to do where a site was put back to a backup: versions
// of it that another site was still fetching are lost, and wait in quarantine. When the
// sites are not in sync after some time, the versions that no site has are skipped.
func (w *world) giveUp(after time.Duration) {
	inSync := func() bool {
		return !slices.ContainsFunc(w.ends, func(e *simEnd) bool {
			return e.engine.Status().State != StateInSync || !e.local.Status().InSync
		})
	}
	for began := time.Now(); !inSync(); pause(5 * time.Second) {
		synctest.Wait()
		if time.Since(began) < after {
			continue
		}
		for _, e := range w.ends {
			for _, p := range e.pendingOf(bk1) {
				if w.lost(p) {
					w.note("%s gives up %s of %s", e.site.name, shortDot(p.GetRecord().GetDot()), p.GetRecord().GetKey())
					if _, err := e.engine.Amend(context.Background(), Amendment{Bucket: bk1, Remedy: RemedySkip, Keys: []string{string(p.GetRecord().GetKey())}}); err != nil {
						w.t.Errorf("skip: %v", err)
					}
				}
			}
		}
		return
	}
}

// lost reports whether no site has a version that is pending somewhere, because the one
// that had it was put back to a backup.
func (w *world) lost(p *catalogpb.Pending) bool {
	return w.restores && !slices.ContainsFunc(w.sites, func(s *simSite) bool {
		_, err := s.cat.ByDot(bk1, p.GetRecord().GetDot())
		return err == nil
	})
}

func (w *world) halves() []*half {
	var out []*half
	for _, e := range w.ends {
		out = append(out, e.half)
	}
	return out
}

func (w *world) logs() map[string]uint64 {
	out := make(map[string]uint64)
	for _, s := range w.sites {
		out[s.name] = s.seq(bk1)
	}
	return out
}
