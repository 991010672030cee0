package objsync

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link/limit"
)

// wideSeeds is the number of those that run with the tests.
const wideSeeds = 150

// wideRegressions are the seeds that have once failed, with what was wrong.
var wideRegressions = []uint64{
	818, 883, // a re-sync asked for twice began a second copy that nobody carried out
}

// TestConvergeWhateverIsSet is TestConverge with operators at work meanwhile: they
// change what a link copies, filter keys and deletions on one side, limit bandwidths,
// ask for re-syncs, remove links, bring them back and make new ones, some of which
// cannot compare sums. In the end everything is as it is by default, and a re-sync is
// asked for everywhere, as an operator would do who wants all of it everywhere. The
// seeds are read as by TestConverge.
func TestConvergeWhateverIsSet(t *testing.T) {
	seeds := slices.Clone(wideRegressions)
	for n := range uint64(wideSeeds) {
		seeds = append(seeds, n+1)
	}
	if testing.Short() {
		seeds = seeds[:len(wideRegressions)+8]
	}
	runSeeds(t, true, seeds)
}

// operators are those who change settings. What they draw is of their own, so that
// everything else of a seed is what it is without them.
type operators struct {
	rng *rand.Rand

	replication bool // change what is copied
	filters     bool // leave out keys and deletions
	limits      bool // bound bandwidths
	resyncs     bool
	relinks     bool // remove and make links
	compares    bool // compare the sites in the end
}

func newOperators(seed uint64) *operators {
	rng := rand.New(rand.NewPCG(seed, 8))
	some := func() bool { return rng.IntN(2) == 0 }
	return &operators{rng: rng, replication: some(), filters: some(), limits: some(), resyncs: some(), relinks: some(), compares: rng.IntN(4) == 0}
}

// equip gives an end of a link what operators set, and lets some links do without
// sums.
func (o *operators) equip(e *simEnd, plain bool) {
	e.sends, e.receives = limit.New(nil), limit.New(nil)
	e.wire.plain = plain
}

// operate does one thing to one end of a link, as a rule.
func (w *world) operate() {
	o := w.operators
	e := w.ends[o.rng.IntN(len(w.ends))]
	what := o.rng.IntN(5)
	if what == 4 {
		if o.relinks {
			w.relink(e)
		}
		return
	}
	if !e.site.up() || e.gone {
		return
	}
	terms := e.termsOf(bk1)
	switch {
	case what == 0 && o.replication:
		to := Settings{Replication: []string{"", state.ReplicationInitial, state.ReplicationContinuous, state.ReplicationBoth}[o.rng.IntN(4)]}
		w.note("%s sets its link with %s to %q", e.site.name, e.peer.name, to.Replication)
		e.set(to)
	case what == 1 && o.filters:
		terms.Filter = o.filter()
		w.note("%s lets through to and from %s: %+v", e.site.name, e.peer.name, terms.Filter)
		e.agree(terms)
	case what == 2 && o.limits:
		l, rate := e.sends, uint64(16_384)<<o.rng.IntN(8)
		if o.rng.IntN(2) == 0 {
			l = e.receives
		}
		if o.rng.IntN(3) == 0 {
			l.Set(nil)
			return
		}
		w.note("%s limits its link with %s to %d bytes a second", e.site.name, e.peer.name, rate)
		l.Set(func(time.Time) (uint64, time.Time) { return rate, time.Time{} })
	case what == 3 && o.resyncs:
		terms.Resync = time.Now().UnixNano()
		w.note("%s asks for a re-sync with %s", e.site.name, e.peer.name)
		e.agree(terms)
	}
}

// filter draws what one side leaves out.
func (o *operators) filter() Filter {
	key := func() string { return fmt.Sprint("k", o.rng.IntN(convergeKeys)) }
	var f Filter
	switch o.rng.IntN(4) {
	case 0:
		f.Include = []string{key(), key(), key()}
	case 1:
		f.Exclude = []string{key(), "of "}
	case 2:
		f.KeepDeletes = true
	}
	return f
}

// relink removes a link, brings it back, or makes one between two sites that have
// none.
func (w *world) relink(e *simEnd) {
	f := w.other(e)
	switch {
	case e.gone:
		w.bringBack(e)
	case w.operators.rng.IntN(2) == 0:
		w.note("the link of %s and %s is removed", e.site.name, e.peer.name)
		for _, x := range []*simEnd{e, f} {
			x.gone = true
			x.halt()
		}
		for _, x := range []*simEnd{e, f} {
			x.wire.attach(nil)
			x.wire.drop()
			until(w.t, time.Minute, "requests to have ended", func() bool { return x.wire.under() == 0 })
		}
	default:
		a, b := e.site, w.sites[w.operators.rng.IntN(len(w.sites))]
		linked := slices.ContainsFunc(w.ends, func(x *simEnd) bool { return x.site == a && x.peer == b })
		if a == b || linked || !a.up() || !b.up() {
			return
		}
		w.note("%s and %s are linked", a.name, b.name)
		n := len(w.ends)
		w.join(a, b, w.operators.rng)
		for _, x := range w.ends[n:] {
			w.open(x)
		}
	}
}

// bringBack makes a link again that was removed.
func (w *world) bringBack(e *simEnd) {
	w.note("the link of %s and %s is there again", e.site.name, e.peer.name)
	for _, x := range []*simEnd{e, w.other(e)} {
		x.gone = false
		if x.site.up() {
			w.open(x)
		}
	}
}

// undo ends what operators have set, and has everything compared.
func (w *world) undo() {
	for _, e := range w.ends {
		if e.gone {
			w.bringBack(e)
		}
	}
	for _, e := range w.ends {
		e.sends.Set(nil)
		e.receives.Set(nil)
		e.agree(Terms{Resync: time.Now().UnixNano()})
	}
}

// compared lets the sites compare themselves, and repair what differs: nothing does.
func (w *world) compared() {
	if !w.operators.compares || w.bounded && w.versioned {
		return
	}
	before := w.logs()
	for _, e := range w.ends {
		if got, found := e.verify(VerifyOptions{Repair: true, Content: true}); !got.Equal() || len(found) > 0 {
			w.t.Errorf("%s finds that %s differs: %+v\n%v", e.site.name, e.peer.name, got, found)
		}
	}
	for name, seq := range w.logs() {
		if seq != before[name] {
			w.t.Errorf("a comparison wrote to the log of %s", name)
		}
	}
}
