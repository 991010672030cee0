package objsync

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// forest is a simulated sender, and a receiver's store, for the scheduler alone.
type forest struct {
	t     *testing.T
	rng   *rand.Rand
	nodes map[chunks.ID][]byte // raw manifest nodes at the sender
	have  map[chunks.ID]bool   // durable at the receiver
	count Counters
	tr    *transfers
	b     *bucket
	now   time.Time

	fetched map[chunks.ID]int
	looks   []*lookTask
	loads   [][]*want
	fetches []*fetchTask
	puts    []*putTask
	trees   map[*version][]chunks.ID
	gone    map[*version]bool
	refused map[*version]bool
	quiet   bool // inflight is not checked
}

func newForest(t *testing.T, seed uint64, window int64) *forest {
	f := &forest{
		t: t, rng: rand.New(rand.NewPCG(seed, 5)), nodes: make(map[chunks.ID][]byte), have: make(map[chunks.ID]bool),
		b: &bucket{path: bk1}, now: time.Unix(1000, 0), fetched: make(map[chunks.ID]int),
		trees: make(map[*version][]chunks.ID), gone: make(map[*version]bool), refused: make(map[*version]bool),
	}
	f.tr = newTransfers(4, budget{total: window, large: window * 3 / 4, fetch: fetchBytes}, &f.count)
	return f
}

// leaf is the n-th chunk that exists: its size and ID.
func leaf(n int) (chunks.ID, int) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	return chunks.Sum(b[:]), 40_000 + n%20_000
}

// grow makes a version of the given chunks.
func (f *forest) grow(seq int, leaves []int) *version {
	var ids []chunks.ID
	b := manifest.NewBuilder(func(id chunks.ID, raw []byte) error {
		f.nodes[id] = append([]byte(nil), raw...)
		ids = append(ids, id)
		return nil
	})
	for _, n := range leaves {
		id, size := leaf(n)
		ids = append(ids, id)
		if err := b.Add(id, size); err != nil {
			f.t.Fatal(err)
		}
	}
	ref, err := b.Finish()
	if err != nil {
		f.t.Fatal(err)
	}
	v := &version{
		bucket: f.b, root: ref, dot: dotKey{seq: uint64(seq)}, size: 100,
		rec: &catalogpb.Record{Key: fmt.Append(nil, "k", seq), Dot: &catalogpb.Dot{Seq: uint64(seq)}},
	}
	f.trees[v] = ids
	return v
}

// pump starts everything that can be started.
func (f *forest) pump() {
	for t := f.tr.nextLook(); t != nil; t = f.tr.nextLook() {
		f.looks = append(f.looks, t)
		for i, id := range t.ids { // the store answers for this moment
			t.present[i] = f.have[id]
		}
	}
	for b := f.tr.nextLoad(); len(b) > 0; b = f.tr.nextLoad() {
		f.loads = append(f.loads, b)
	}
	for t := f.tr.nextFetch(f.now); t != nil; t = f.tr.nextFetch(f.now) {
		f.check(t)
		f.fetches = append(f.fetches, t)
	}
	for t := f.tr.nextPut(); t != nil; t = f.tr.nextPut() {
		f.puts = append(f.puts, t)
	}
	if f.tr.inflight > f.tr.budget.total && !f.quiet {
		f.t.Fatalf("%d bytes are under way in a window of %d", f.tr.inflight, f.tr.budget.total)
	}
}

// check makes sure that a request can be answered: positions ascend, and every
// want leads from the root to the parent of what it asks for.
func (f *forest) check(t *fetchTask) {
	n := 0
	for i, w := range t.req.GetWants() {
		kids := max(1, len(w.GetChildren()))
		for k := range kids {
			need, asked := t.needs[n], t.asked[n]
			if t.wantOf[n] != uint32(i) || need.id != asked.ref.ID || w.GetDot() != asked.v.rec.GetDot() {
				f.t.Fatalf("need %d of the request does not match want %d", n, i)
			}
			if got := f.resolve(asked.v.root, w, k); got != need.id {
				f.t.Fatalf("want %d leads to %s instead of %s", i, got, need.id)
			}
			n++
		}
	}
	if n != len(t.needs) || n > fetchChunks {
		f.t.Fatalf("%d needs for %d answers", len(t.needs), n)
	}
}

// resolve finds the chunk that the k-th child of a want names, as a sender does.
func (f *forest) resolve(root manifest.Ref, w *linkpb.Want, k int) chunks.ID {
	if len(w.GetNodes()) == 0 {
		return root.ID
	}
	ref, place := root, manifest.Root
	var node manifest.Node
	for depth, raw := range w.GetNodes() {
		id := chunks.ID(raw)
		if depth > 0 {
			ref, place = node.Child(childOf(&node, id), place)
		}
		if ref.ID != id {
			f.t.Fatalf("node %d of the path is wrong", depth)
		}
		if err := node.Decode(ref, place, f.nodes[id]); err != nil {
			f.t.Fatal(err)
		}
	}
	if k > 0 && w.GetChildren()[k-1] >= w.GetChildren()[k] {
		f.t.Fatal("children are out of order")
	}
	return node.Entries[w.GetChildren()[k]].ID
}

// take removes a random element.
func take[T any](f *forest, list *[]T) T {
	i := f.rng.IntN(len(*list))
	out := (*list)[i]
	*list = append((*list)[:i], (*list)[i+1:]...)
	return out
}

// event ends one thing that is under way, chosen at random.
func (f *forest) event() bool {
	total := len(f.looks) + len(f.loads) + len(f.fetches) + len(f.puts)
	if total == 0 {
		return false
	}
	switch n := f.rng.IntN(total); {
	case n < len(f.looks):
		f.tr.onLook(take(f, &f.looks))
	case n < len(f.looks)+len(f.loads):
		f.tr.onLoad(f.load(take(f, &f.loads)))
	case n < len(f.looks)+len(f.loads)+len(f.fetches):
		f.answer(take(f, &f.fetches))
	default:
		t := take(f, &f.puts)
		if f.rng.IntN(10) == 0 {
			f.tr.onPutFailed(t)
			return true
		}
		for _, a := range t.arrivals {
			f.have[a.chunk.ID] = true
		}
		f.tr.onPut(t)
	}
	return true
}

func (f *forest) load(batch []*want) (out []loaded) {
	for _, w := range batch {
		l := loaded{want: w, node: new(manifest.Node)}
		if !f.have[w.ref.ID] {
			f.t.Fatalf("node %s is read before it is durable", w.ref.ID)
		}
		if f.rng.IntN(20) == 0 {
			l.node, l.absent = nil, true // damaged on disk
		} else if err := l.node.Decode(w.ref, w.place, f.nodes[w.ref.ID]); err != nil {
			l.node, l.cause = nil, err.Error()
		}
		out = append(out, l)
	}
	return out
}

// answer plays the sender for one request, and hands over in one or two pieces.
func (f *forest) answer(t *fetchTask) {
	var got []arrival
	var negative []answer
	for i, n := range t.needs {
		w := t.asked[i]
		switch {
		case f.gone[w.v]:
			negative = append(negative, answer{position: i, gone: true})
			continue
		case f.refused[w.v]:
			negative = append(negative, answer{position: i, refused: "no"})
			continue
		}
		f.fetched[n.id]++
		a := arrival{need: n, chunk: chunks.Chunk{ID: n.id, RawLen: uint32(w.ref.Size), Data: make([]byte, min(w.ref.Size, 100))}}
		if w.node() {
			a.node = new(manifest.Node)
			if err := a.node.Decode(w.ref, w.place, f.nodes[n.id]); err != nil {
				f.t.Fatal(err)
			}
		}
		got = append(got, a)
	}
	cut := f.rng.IntN(len(got) + 1)
	f.tr.onArrived(got[:cut])
	f.pump()
	f.tr.onArrived(got[cut:])
	f.tr.onFetched(t, negative)
}

// run plays until nothing is under way, and checks every version that ends.
func (f *forest) run(each func()) (ended []*version) {
	for {
		f.pump()
		for _, v := range f.tr.take() {
			ended = append(ended, v)
			if v.phase != phaseReady {
				continue
			}
			for _, id := range f.trees[v] {
				if !f.have[id] {
					f.t.Fatalf("version %s is ready without chunk %s", v.dot, id)
				}
			}
		}
		if each != nil {
			each()
			f.pump()
		}
		if !f.event() {
			break
		}
	}
	if n := len(f.tr.needs); n > 0 || f.tr.inflight != 0 || f.tr.fetches != 0 || f.tr.bigs != 0 || f.tr.puts != 0 || len(f.tr.larges) != 0 {
		f.t.Fatalf("at rest %d needs, %d bytes, %d fetches (%d big), %d puts, %d large versions are left",
			n, f.tr.inflight, f.tr.fetches, f.tr.bigs, f.tr.puts, len(f.tr.larges))
	}
	return ended
}

func span(from, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = from + i
	}
	return out
}

func TestTransfersFetchEachChunkOnce(t *testing.T) {
	for seed := range uint64(8) {
		f := newForest(t, seed, 4<<20)
		var all []*version
		for i := range 40 {
			var leaves []int
			switch f.rng.IntN(4) {
			case 0: // a large one with a tree of two levels, which others share
				leaves = span(f.rng.IntN(3)*500, 300+f.rng.IntN(900))
			case 1:
				leaves = span(f.rng.IntN(2000), 1+f.rng.IntN(8))
			case 2: // the same chunk again and again
				leaves = []int{7, 7, 7, 9, 7, 9, 9}
			case 3:
				leaves = span(f.rng.IntN(50), f.rng.IntN(2))
			}
			all = append(all, f.grow(i+1, leaves))
		}
		next := 0
		ended := f.run(func() {
			if next < len(all) && f.rng.IntN(3) == 0 {
				f.tr.add(all[next], f.now)
				next++
			}
		})
		for ; next < len(all); next++ { // what was left over
			f.tr.add(all[next], f.now)
		}
		ended = append(ended, f.run(nil)...)
		if len(ended) != len(all) {
			t.Fatalf("seed %d: %d of %d versions ended", seed, len(ended), len(all))
		}
		for id, n := range f.fetched {
			// A node that the store could not give back is fetched again.
			if _, node := f.nodes[id]; n > 1 && !node {
				t.Errorf("seed %d: chunk %s was fetched %d times", seed, id, n)
			}
		}
	}
}

// TestTransfersTakeAVersionOnce hands over a version that waits for a place once more, as
// an operator's retry does of one that rests.
func TestTransfersTakeAVersionOnce(t *testing.T) {
	f := newForest(t, 1, 4<<20)
	for i := range maxLarge + 1 {
		v := f.grow(i+1, span(100*i, 60))
		f.tr.add(v, f.now)
		f.tr.add(v, f.now)
	}
	if ended := f.run(nil); len(ended) != maxLarge+1 {
		t.Errorf("%d of %d versions ended", len(ended), maxLarge+1)
	}
}

func TestTransfersGoOnWithoutTheDead(t *testing.T) {
	for seed := range uint64(12) {
		f := newForest(t, seed, 3<<20)
		var all []*version
		for i := range 30 {
			v := f.grow(i+1, span(f.rng.IntN(4)*200, 1+f.rng.IntN(500)))
			all = append(all, v)
			switch f.rng.IntN(5) {
			case 0:
				f.gone[v] = true
			case 1:
				f.refused[v] = true
			}
			f.tr.add(v, f.now)
		}
		dropped := 0
		ended := f.run(func() {
			if v := all[f.rng.IntN(len(all))]; f.rng.IntN(20) == 0 && v.live() {
				f.tr.drop(v)
				dropped++
			}
		})
		if len(ended)+dropped != len(all) {
			t.Fatalf("seed %d: %d ended and %d dropped of %d", seed, len(ended), dropped, len(all))
		}
		// What failed is tried again as a whole, and wants of the first attempt do
		// not count.
		f.refused, f.gone = map[*version]bool{}, map[*version]bool{}
		again := 0
		for _, v := range ended {
			if v.phase == phaseFailed {
				v.rewind()
				f.tr.add(v, f.now)
				again++
			}
		}
		second := f.run(nil)
		if len(second) != again {
			t.Fatalf("seed %d: %d of %d ended at the second attempt", seed, len(second), again)
		}
		for _, v := range second {
			if v.phase != phaseReady {
				t.Errorf("seed %d: version %s is %d after its second attempt", seed, v.dot, v.phase)
			}
		}
	}
}

func TestSmallVersionsGoFirst(t *testing.T) {
	f := newForest(t, 1, 15<<20)
	for i := range 3 {
		f.tr.add(f.grow(i+1, span(i*5000, 2000)), f.now)
	}
	for range 200 { // the large ones fill what they may
		f.pump()
		if len(f.looks)+len(f.loads)+len(f.puts) == 0 && len(f.fetches) >= 3 {
			break
		}
		f.event()
	}
	small := f.grow(99, []int{90_001})
	f.tr.add(small, f.now)
	f.pump()
	for len(f.looks) > 0 {
		f.tr.onLook(take(f, &f.looks))
	}
	f.pump()
	last := f.fetches[len(f.fetches)-1]
	if last.big || last.asked[0].v != small {
		t.Errorf("a small version waits for a worker or for the window: %d fetches, %d bytes", len(f.fetches), f.tr.inflight)
	}
}

func TestAnswerOlderThanAPutIsNotBelieved(t *testing.T) {
	f := newForest(t, 1, 15<<20)
	a, b := f.grow(1, []int{1}), f.grow(2, []int{1})
	f.tr.add(a, f.now)
	f.pump()
	f.tr.onLook(take(f, &f.looks))
	f.pump()
	fetch := take(f, &f.fetches)
	// A look-up for the same chunk starts before its need exists: it is made by
	// hand, as the order of the queue would not allow it.
	look := &lookTask{wants: []*want{{v: b, run: b.run, ref: b.root, place: manifest.Root}}, ids: []chunks.ID{b.root.ID}, present: []bool{false}}
	b.phase, b.outstanding = phaseActive, 1
	f.tr.looks[look] = struct{}{}
	f.answer(fetch)
	put := take(f, &f.puts)
	f.have[put.arrivals[0].chunk.ID] = true
	f.tr.onPut(put)
	f.tr.onLook(look)
	if b.phase != phaseReady {
		t.Errorf("the version is %d: its chunk would be fetched again", b.phase)
	}
}

// TestLargeVersionsDoNotStarve brings in small versions without end: a large one
// gets its share and ends, in windows of all sizes, and the small ones do not wait
// for it.
func TestLargeVersionsDoNotStarve(t *testing.T) {
	for _, b := range []budget{
		{total: 15 << 20, large: 8 << 20, fetch: 1 << 20},
		{total: 2 << 20, large: 1 << 20, fetch: fetchLeast},
		{total: 100 << 10, large: 1, fetch: 1}, // a limit of a few KiB/s
	} {
		f := newForest(t, 3, b.total)
		f.tr.budget = b
		f.quiet = true // a chunk may be greater than the least of the windows
		const chunksOfLarge = 400
		large := f.grow(1, span(0, chunksOfLarge))
		f.tr.add(large, f.now)
		next, waiting, ended := 2, 0, 0
		for large.phase == phaseActive {
			for waiting < 300 { // there is always more than what fits
				f.tr.add(f.grow(next, []int{1_000_000 + next}), f.now)
				next++
				waiting++
			}
			f.pump()
			f.event()
			for _, v := range f.tr.take() {
				if v != large {
					waiting--
					ended++
				}
			}
			if ended > 20*chunksOfLarge {
				t.Fatalf("budget %+v: %d small versions passed a large one of %d chunks, of which it has %d outstanding", b, ended, chunksOfLarge, large.outstanding)
			}
		}
		if large.phase != phaseReady {
			t.Errorf("budget %+v: the large version ended as %d", b, large.phase)
		}
		if ended < 3*chunksOfLarge {
			t.Errorf("budget %+v: only %d small versions passed a large one of %d chunks", b, ended, chunksOfLarge)
		}
		t.Logf("budget %+v: %d small versions passed %d chunks of the large one", b, ended, chunksOfLarge)
	}
}
