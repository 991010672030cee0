package objsync

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

func (h *half) termsOf(string) Terms {
	if t := h.terms.Load(); t != nil {
		return *t
	}
	return Terms{}
}

// agree changes what one end of a link lets through of its buckets.
func (h *half) agree(t Terms) {
	h.terms.Store(&t)
	h.local.Kick()
	if h.engine != nil {
		h.engine.Kick()
	}
}

// keys are those that a site has in the test bucket, in one string.
func (s *testSite) keys() string {
	var out []string
	for k := range s.listingOf(bk1) {
		out = append(out, k)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// has waits until a site has exactly these keys.
func has(t *testing.T, s *testSite, keys string) {
	t.Helper()
	until(t, 20*time.Second, fmt.Sprintf("%s has %q, but %q", s.name, keys, s.keys()), func() bool { return s.keys() == keys })
}

// keeps checks that a site still has exactly these keys after a while.
func keeps(t *testing.T, s *testSite, keys string) {
	t.Helper()
	pause(5 * time.Second)
	if got := s.keys(); got != keys {
		t.Errorf("%s has %q, want %q", s.name, got, keys)
	}
}

func TestFilter(t *testing.T) {
	rec := func(key string, kind catalogpb.RecordKind) *catalogpb.Record {
		return &catalogpb.Record{Key: []byte(key), Kind: kind}
	}
	const version, tombstone, purge, attribute, setting = catalogpb.RecordKind_RECORD_VERSION, catalogpb.RecordKind_RECORD_TOMBSTONE,
		catalogpb.RecordKind_RECORD_PURGE, catalogpb.RecordKind_RECORD_ATTRIBUTE, catalogpb.RecordKind_RECORD_BUCKET
	some := Filter{Include: []string{"a/", "b"}, Exclude: []string{"a/tmp/"}}
	for _, c := range []struct {
		f    Filter
		r    *catalogpb.Record
		want bool
	}{
		{Filter{}, rec("x", version), true},
		{Filter{}, rec("x", purge), true},
		{some, rec("a/1", version), true},
		{some, rec("a/1", tombstone), true},
		{some, rec("b", attribute), true},
		{some, rec("bc", version), true},
		{some, rec("a", version), false},
		{some, rec("c", version), false},
		{some, rec("a/tmp/1", version), false},
		{some, rec("a/tmp/1", tombstone), false},
		{some, rec("", setting), true},
		{Filter{Exclude: []string{"a"}}, rec("b", version), true},
		{Filter{Exclude: []string{"a"}}, rec("ab", version), false},
		{Filter{KeepDeletes: true}, rec("a", version), true},
		{Filter{KeepDeletes: true}, rec("a", attribute), true},
		{Filter{KeepDeletes: true}, rec("a", tombstone), false},
		{Filter{KeepDeletes: true}, rec("a", purge), false},
	} {
		if got := c.f.admits(c.r); got != c.want {
			t.Errorf("%+v admits %v of %q: %v", c.f, c.r.GetKind(), c.r.GetKey(), got)
		}
	}
	names := map[string]Filter{}
	for _, f := range []Filter{
		{}, some, {Include: []string{"a/"}}, {Exclude: []string{"a/"}}, {Include: []string{"a/", "b"}}, {Include: []string{"a/ b"}},
		{Include: []string{`a/" "b`}}, {KeepDeletes: true}, {Include: []string{"a/"}, KeepDeletes: true},
	} {
		if other, twice := names[f.scope()]; twice {
			t.Errorf("%+v and %+v have one name", f, other)
		}
		names[f.scope()] = f
	}
	if (Filter{}).scope() != "" || (Filter{Include: []string{"b", "a"}}).scope() != (Filter{Include: []string{"a", "b"}}).scope() {
		t.Error("the name does not follow from what is left out alone")
	}
}

func TestOnlyChangesAreCopied(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		const late = "Hawaii/Cola/late"
		x.site.makeBucket(bk1, 1)
		x.site.put(bk1, "before", []byte("1"))
		x.site.put(bk1, "edited", []byte("1"))
		y.set(Settings{Replication: state.ReplicationContinuous})
		x.serve(bk1, late)
		y.serve(bk1, late)
		x.start()
		y.start()
		until(t, 30*time.Second, "y is in sync", func() bool { return y.engine.Status().State == StateInSync })
		x.site.put(bk1, "after", []byte("2"))
		x.site.put(bk1, "edited", []byte("2"))
		has(t, y.site, "after edited")
		// What a bucket gets that came into being while it was served is all new.
		x.site.makeBucket(late, 1)
		x.site.put(late, "first", []byte("1"))
		until(t, 30*time.Second, "the new bucket is copied", func() bool { return len(y.site.listingOf(late)) == 1 })
		if c := y.cursor(bk1); c.GetInitialDone() || c.GetPart() != "since:" {
			t.Errorf("the cursor claims what was never copied: %v", c)
		}
		st, _ := y.site.cat.Bucket(bk1)
		if n := len(st.GetSeen().GetUpto()); n != 0 {
			t.Errorf("the vector advanced over what was never copied: %v", st.GetSeen())
		}
		// It goes on where it was.
		y.halt()
		x.site.put(bk1, "away", []byte("3"))
		y.start()
		has(t, y.site, "after away edited")
		synced(t, 30*time.Second, x, y)
		// And what was there before comes when it is asked for.
		y.set(Settings{})
		has(t, y.site, "after away before edited")
		synced(t, 30*time.Second, x, y)
		sameHeads(t, bk1, x.site, y.site)
		if c := y.cursor(bk1); !c.GetInitialDone() {
			t.Errorf("the cursor after the copy: %v", c)
		}
	})
}

// cursor is how far a half has taken the other's log.
func (h *half) cursor(path string) *catalogpb.Cursor {
	h.site.t.Helper()
	c, err := h.site.cat.Cursor(path, h.peer.id)
	if err != nil {
		h.site.t.Fatal(err)
	}
	return c
}

func TestCopiedOnce(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		for i := range 20 {
			x.site.put(bk1, fmt.Sprintf("k%02d", i), random(uint64(i), 9000))
		}
		all := x.site.keys()
		x.set(Settings{Direction: state.DirectionSend})
		y.set(Settings{Direction: state.DirectionReceive, Replication: state.ReplicationInitial})
		x.start()
		y.start()
		states(t, x, y, StateOff, StateCopied)
		has(t, y.site, all)
		until(t, 10*time.Second, "x knows", func() bool { return x.local.Status().InSync && x.local.Status().Buckets[0].Copied })
		if st := y.engine.Status(); st.Next == "" || st.Lag != (Lag{Known: true}) || st.BacklogVersions != 0 {
			t.Errorf("y: %+v", st)
		}
		scanned := x.local.Status().Counters.Scanned
		x.site.put(bk1, "later", []byte("1"))
		keeps(t, y.site, all)
		if st := x.local.Status(); !st.InSync || st.BacklogVersions != 0 || st.Counters.Scanned != scanned || st.Counters.Offered != 0 {
			t.Errorf("x: %+v", st)
		}
		// A new session does not copy it again, however long ago it was.
		y.halt()
		x.site.trim(bk1, time.Now().Add(time.Hour))
		y.start()
		states(t, x, y, StateOff, StateCopied)
		keeps(t, y.site, all)
		if st := x.local.Status(); st.Counters.Scanned != scanned {
			t.Errorf("it was copied again: %+v", st)
		}
		// A re-sync does, once, whichever side asks for it.
		y.agree(Terms{Resync: 5})
		has(t, y.site, all+" later")
		x.site.put(bk1, "zz", []byte("1"))
		keeps(t, y.site, all+" later")
		x.agree(Terms{Resync: 3})
		has(t, y.site, all+" later zz")
		states(t, x, y, StateOff, StateCopied)
		y.halt()
		x.site.put(bk1, "zzz", []byte("1"))
		y.start()
		states(t, x, y, StateOff, StateCopied)
		keeps(t, y.site, all+" later zz")
		// From then on everything, without another copy.
		scanned = x.local.Status().Counters.Scanned
		y.set(Settings{Direction: state.DirectionReceive})
		has(t, y.site, all+" later zz zzz")
		states(t, x, y, StateOff, StateInSync)
		if n := x.local.Status().Counters.Scanned; n != scanned {
			t.Errorf("%d records were scanned to go on", n-scanned)
		}
		if c := y.cursor(bk1); !c.GetInitialDone() || c.GetPart() != "" {
			t.Errorf("the cursor: %v", c)
		}
	})
}

// A link of one type at one side and of another at the other does what both allow.
func TestTypesThatHaveNothingInCommon(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.site.put(bk1, "k", []byte("1"))
		x.set(Settings{Replication: state.ReplicationInitial})
		y.set(Settings{Replication: state.ReplicationContinuous})
		x.start()
		y.start()
		states(t, x, y, StateOff, StateOff)
		until(t, 10*time.Second, "both name both types", func() bool {
			return strings.Contains(y.engine.Status().Cause, "continuous here and initial at site1") && strings.Contains(x.local.Status().Off, "initial here and continuous at site2")
		})
		x.set(Settings{})
		states(t, x, y, StateInSync, StateInSync)
		keeps(t, y.site, "")
		y.set(Settings{})
		has(t, y.site, "k")
		synced(t, 30*time.Second, x, y)
	})
}

func TestServedInParts(t *testing.T) {
	for _, at := range []string{"the sender", "the receiver"} {
		t.Run(at, func(t *testing.T) {
			pair(t, nil, func(t *testing.T, x, y *half) {
				filtering := x
				if at == "the receiver" {
					filtering = y
				}
				x.site.makeBucket(bk1, 1)
				recs := map[string]*catalogpb.Record{}
				for _, k := range []string{"a/1", "a/2", "a/tmp/1", "b/1"} {
					recs[k] = x.site.put(bk1, k, random(7, 3000))
				}
				filtering.agree(Terms{Filter: Filter{Include: []string{"a/"}, Exclude: []string{"a/tmp/"}}})
				y.set(Settings{Direction: state.DirectionReceive})
				x.start()
				y.start()
				has(t, y.site, "a/1 a/2")
				x.site.put(bk1, "a/3", []byte("3"))
				x.site.put(bk1, "b/2", []byte("3"))
				x.site.del(bk1, "a/2")
				has(t, y.site, "a/1 a/3")
				states(t, x, y, StateOff, StateInSync)
				until(t, 10*time.Second, "x knows", func() bool { return x.local.Status().InSync })
				if st, _ := y.site.cat.Bucket(bk1); len(st.GetSeen().GetUpto()) != 0 {
					t.Errorf("the vector advanced over what was left out: %v", st.GetSeen())
				}
				if at == "the sender" { // what is left out cannot be asked for
					for _, r := range fetchAll(t, x.local, &linkpb.Want{Path: bk1, Dot: recs["b/1"].GetDot()}) {
						if !strings.Contains(r.h.GetRefused(), "is not served") || len(r.body) > 0 {
							t.Errorf("a key that is left out: %v", r.h)
						}
					}
				}
				// A re-sync removes nothing that is merely left out, and brings nothing back.
				y.site.put(bk1, "b/of y", []byte("4"))
				filtering.agree(Terms{Filter: Filter{Include: []string{"a/"}, Exclude: []string{"a/tmp/"}}, Resync: 1})
				x.site.put(bk1, "a/4", []byte("4"))
				has(t, y.site, "a/1 a/3 a/4 b/of y")
				// More of it brings what was left out; what was there stays.
				filtering.agree(Terms{Filter: Filter{Exclude: []string{"a/tmp/"}}})
				has(t, y.site, "a/1 a/3 a/4 b/1 b/2 b/of y")
				// Less of it removes nothing.
				filtering.agree(Terms{Filter: Filter{Include: []string{"b/"}}})
				x.site.put(bk1, "a/5", []byte("5"))
				x.site.del(bk1, "a/1")
				x.site.put(bk1, "b/3", []byte("5"))
				has(t, y.site, "a/1 a/3 a/4 b/1 b/2 b/3 b/of y")
				// And without options both are equal, but for what y does not send.
				filtering.agree(Terms{})
				has(t, y.site, "a/3 a/4 a/5 a/tmp/1 b/1 b/2 b/3 b/of y")
				y.set(Settings{})
				synced(t, 30*time.Second, x, y)
				sameHeads(t, bk1, x.site, y.site)
			})
		})
	}
}

func TestDeletesAreKept(t *testing.T) {
	for _, at := range []string{"the sender", "the receiver"} {
		t.Run(at, func(t *testing.T) {
			pair(t, nil, func(t *testing.T, x, y *half) {
				keeping := x
				if at == "the receiver" {
					keeping = y
				}
				x.site.makeBucket(bk1, 1)
				x.site.put(bk1, "a", []byte("1"))
				x.site.put(bk1, "b", []byte("1"))
				keeping.agree(Terms{Filter: Filter{KeepDeletes: true}})
				x.start()
				y.start()
				has(t, y.site, "a b")
				x.site.del(bk1, "a")
				x.site.put(bk1, "c", []byte("1"))
				has(t, y.site, "a b c")
				keeps(t, x.site, "b c") // and what was deleted does not come back
				keeping.agree(Terms{Filter: Filter{KeepDeletes: true}, Resync: 1})
				keeps(t, y.site, "a b c")
				keeps(t, x.site, "b c")
				// What is written again travels as ever.
				x.site.put(bk1, "a", []byte("2"))
				until(t, 10*time.Second, "the new a", func() bool { got, _ := y.site.read(bk1, "a"); return string(got) == "2" })
				x.site.del(bk1, "b")
				keeping.agree(Terms{})
				has(t, y.site, "a c")
				synced(t, 30*time.Second, x, y)
				sameHeads(t, bk1, x.site, y.site)
			})
		})
	}
}

func TestPause(t *testing.T) {
	for _, at := range []string{"site1", "site2"} {
		t.Run(at, func(t *testing.T) {
			pair(t, nil, func(t *testing.T, x, y *half) {
				pausing := x
				if at == "site2" {
					pausing = y
				}
				x.site.makeBucket(bk1, 1)
				rec := x.site.put(bk1, "k", random(1, 9000))
				x.start()
				y.start()
				synced(t, 30*time.Second, x, y)
				pausing.set(Settings{Paused: true})
				states(t, x, y, StatePaused, StatePaused)
				ingests := x.site.taken() + y.site.taken()
				x.site.put(bk1, "x", random(2, 70_000))
				y.site.put(bk1, "y", random(3, 70_000))
				keeps(t, x.site, "k x")
				keeps(t, y.site, "k y")
				pause(50 * time.Second)
				// Nothing moves, and how far behind it is is known all the same.
				for _, h := range []*half{x, y} {
					st := h.engine.Status()
					where := "here"
					if h != pausing {
						where = "at " + at
					}
					if st.State != StatePaused || st.Cause != "it was paused "+where || st.Next == "" || !st.Connected {
						t.Errorf("%s: %s, %q, %q", h.site.name, st.State, st.Cause, st.Next)
					}
					if !st.Lag.Known || st.Lag.Age < 55*time.Second || st.Lag.Age > 65*time.Second || st.BacklogVersions != 1 || st.BacklogBytes != 70_000 {
						t.Errorf("%s: lag %+v, %d versions, %d bytes", h.site.name, st.Lag, st.BacklogVersions, st.BacklogBytes)
					}
					if st := h.local.Status(); st.InSync || st.BacklogVersions != 1 || st.Lag.Age < 55*time.Second {
						t.Errorf("what %s sends: %+v", h.site.name, st)
					}
				}
				if n := x.site.taken() + y.site.taken() - ingests; n > 0 {
					t.Errorf("%d commits of the engines while the link was paused", n)
				}
				if pausing == x { // nothing is let out, whoever asks
					err := x.local.Fetch(t.Context(), &linkpb.FetchRequest{Wants: []*linkpb.Want{{Path: bk1, Dot: rec.GetDot()}}}, nil)
					if _, scan := x.local.Scan(t.Context(), &linkpb.ScanRequest{Path: bk1}); link.Cause(err) != "paused" || link.Cause(scan) != "paused" {
						t.Errorf("a paused side answers %v and %v", err, scan)
					}
				}
				pausing.set(Settings{})
				synced(t, 30*time.Second, x, y)
				sameHeads(t, bk1, x.site, y.site)
				if n := x.engine.Status().Counters.Sessions + y.engine.Status().Counters.Sessions; n != 2 {
					t.Errorf("%d sessions were opened, want one at each side", n)
				}
			})
		})
	}
}

// taken counts the commits of engines at a site.
func (s *testSite) taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ingests)
}

// Whatever is changed of a running link, and however quickly, nothing is lost by it.
func TestSettingsChangeUnderTraffic(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { changeUnderTraffic(t, seed) })
	}
}

func changeUnderTraffic(t *testing.T, seed uint64) {
	pair(t, func(o *EngineOptions) { o.page = 7 }, func(t *testing.T, x, y *half) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		pick := func(from ...string) string { return from[rnd.IntN(len(from))] }
		x.site.makeBucket(bk1, 1)
		y.site.makeBucket(bk1, 1)
		for i := range 30 {
			x.site.put(bk1, fmt.Sprint(pick("a/", "b/"), i), random(uint64(i), 2000))
		}
		x.start()
		y.start()
		for i := range 150 {
			h := []*half{x, y}[rnd.IntN(2)]
			h.site.put(bk1, fmt.Sprint(pick("a/", "b/"), rnd.IntN(60)), random(uint64(i)+seed*1000, 3000))
			if rnd.IntN(6) == 0 {
				h.site.del(bk1, fmt.Sprint(pick("a/", "b/"), rnd.IntN(60)))
			}
			h = []*half{x, y}[rnd.IntN(2)]
			switch rnd.IntN(5) {
			case 0:
				h.set(Settings{Direction: pick("", state.DirectionSend, state.DirectionReceive), Paused: rnd.IntN(4) == 0,
					Replication: pick("", "", state.ReplicationInitial, state.ReplicationContinuous)})
			case 1:
				terms := Terms{Resync: int64(rnd.IntN(3))}
				if rnd.IntN(2) == 0 {
					terms.Filter = Filter{Include: []string{pick("a/", "b/")}}
				}
				h.agree(terms)
			case 2:
				h.serve()
				h.serve(bk1)
			}
			if rnd.IntN(3) > 0 {
				pause(time.Duration(rnd.IntN(200)) * time.Millisecond)
			}
		}
		for _, h := range []*half{x, y} {
			h.set(Settings{})
			h.agree(Terms{})
		}
		synced(t, 2*time.Minute, x, y)
		sameHeads(t, bk1, x.site, y.site)
	})
}

// A pause in the middle of a copy loses nothing of what has come.
func TestPauseWithinACopy(t *testing.T) {
	pair(t, func(o *EngineOptions) { o.page = 20 }, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		for i := range 200 {
			x.site.put(bk1, fmt.Sprintf("k%03d", i), random(uint64(i), 3000))
		}
		var fast atomic.Bool
		y.wire.gate = func(context.Context, *linkpb.ChunkHeader) error {
			if !fast.Load() {
				pause(20 * time.Millisecond)
			}
			return nil
		}
		x.start()
		y.start()
		for i := range 8 {
			n := 1 + i*20
			until(t, 30*time.Second, "some of it came", func() bool { return len(y.site.listingOf(bk1)) >= n })
			pausing := []*half{x, y}[i%2]
			pausing.set(Settings{Paused: true})
			states(t, x, y, StatePaused, StatePaused)
			pause(3 * time.Second)
			pausing.set(Settings{})
			pause(time.Duration(i) * 7 * time.Millisecond)
		}
		fast.Store(true)
		synced(t, time.Minute, x, y)
		sameHeads(t, bk1, x.site, y.site)
		if st := y.engine.Status(); st.Quarantined != 0 || st.Counters.Chunks > 260 {
			t.Errorf("%d chunks came for 200 objects, %d are in quarantine", st.Counters.Chunks, st.Quarantined)
		}
	})
}

// TestPauseComparesNothing pauses and resumes a link right after something came over it,
// before the sender has answered anew what it serves: the cursor fits its log as ever,
// and nothing is compared as a whole.
func TestPauseComparesNothing(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		x.engine.TakeNotices()
		y.engine.TakeNotices()
		for i, pausing := range []*half{x, y, y, x} {
			x.site.put(bk1, fmt.Sprint("x", i), random(uint64(i), 3000))
			y.site.put(bk1, fmt.Sprint("y", i), random(uint64(100+i), 3000))
			synced(t, 30*time.Second, x, y)
			for _, h := range []*half{x, y} {
				h.wire.mu.Lock()
				h.wire.delay = func() time.Duration { return 100 * time.Millisecond }
				h.wire.mu.Unlock()
			}
			pausing.set(Settings{Paused: true})
			pause(10 * time.Millisecond)
			pausing.set(Settings{})
			pause(5 * time.Second)
			synced(t, 30*time.Second, x, y)
			for _, h := range []*half{x, y} {
				if told := h.engine.TakeNotices(); len(told) > 0 {
					t.Errorf("after pause %d %s tells: %v", i+1, h.site.name, told)
				}
			}
		}
		sameHeads(t, bk1, x.site, y.site)
	})
}

// TestResyncAskedForTwice asks for a second re-sync while the first page of the first is
// on its way. The first must not begin a copy any more once the second is through: nobody
// would carry it out.
func TestResyncAskedForTwice(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.site.put(bk1, "k", []byte("one"))
		y.wire.plain = true
		x.start()
		y.start()
		synced(t, time.Minute, x, y)
		entered, release := make(chan struct{}), make(chan struct{})
		var once sync.Once
		y.wire.page = func(*linkpb.ScanPage) {
			once.Do(func() {
				close(entered)
				<-release
			})
		}
		y.agree(Terms{Resync: 1})
		<-entered
		y.agree(Terms{Resync: 2})
		pause(5 * time.Second)
		close(release)
		pause(5 * time.Second)
		synced(t, time.Minute, x, y)
		if c, err := y.site.cat.Cursor(bk1, x.site.id); err != nil || c.GetResync() != 2 || c.GetScan() != nil || !c.GetInitialDone() {
			t.Errorf("cursor: %v %v", c, err)
		}
	})
}
