package objsync

import (
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/manifest"
)

// transfers decides what to look up, load, fetch and store next, for all
// versions that a session takes in. It does no I/O and reads no clock: the next…
// methods hand out tasks, the on… methods take their outcomes. It belongs to the
// session's goroutine.
//
// A version's tree is walked from the root. Each ID met is first looked for in
// this site's store; what is absent becomes a need, which exists once however
// many versions want it. A need is over when its chunk is durable. A version is
// ready when its walk is over and nothing of it is outstanding.
type transfers struct {
	workers int
	budget  budget // changes with what is learned of the line
	pressed bool   // there was more to be asked for than the budget allowed
	count   *Counters

	needs map[chunks.ID]*need
	lookq []*want // to be looked for in the store
	looks map[*lookTask]struct{}
	loadq []*want // nodes to be read from the store
	loads int

	smallq   []*need
	larges   []*version // active large versions, the next to be served first
	waiting  []*version // large versions for which there is no slot
	fetches  int
	bigs     int   // fetches for large versions
	due      int64 // bytes of large versions whose turn has come
	inflight int64 // bytes charged to the window
	arrived  []arrival
	puts     int
	finished []*version // ready, gone or failed since the last take
}

const (
	lookBatch   = 4096 // IDs of one look-up
	maxLooks    = 2
	loadBatch   = 16 // nodes of one load
	maxLoads    = 2
	fetchBytes  = 2 << 20 // raw bytes of one fetch at most
	fetchChunks = 512     // chunks of one fetch
	putBytes    = 8 << 20 // encoded bytes of one Put
	maxPuts     = 2
	maxLarge    = 4    // large versions walked at once
	lookAhead   = 1024 // outstanding wants above which a walk pauses
	nodesAhead  = 4    // nodes that a walk fetches before it needs them
	nodeCharge  = 16 << 10
)

// need is a chunk that is absent and wanted. The first want is the one in whose
// name it is asked for.
type need struct {
	id     chunks.ID
	wants  []*want
	charge int64
	state  needState
}

type needState uint8

const (
	needQueued   needState = iota // to be fetched
	needFetching                  // asked for
	needArrived                   // verified, not durable yet
)

// arrival is a chunk that came and was verified.
type arrival struct {
	need  *need
	chunk chunks.Chunk
	node  *manifest.Node // decoded, when the need's first want is a node
	free  func()         // gives the memory back once the chunk is durable
}

// lookTask asks the store which IDs it has. landed are those that became
// durable while the store was being asked: its answer may be older.
type lookTask struct {
	wants   []*want
	ids     []chunks.ID
	present []bool
	landed  map[chunks.ID]struct{}
}

func newTransfers(workers int, b budget, count *Counters) *transfers {
	return &transfers{
		workers: workers,
		budget:  b,
		count:   count,
		needs:   make(map[chunks.ID]*need),
		looks:   make(map[*lookTask]struct{}),
	}
}

// add starts to bring a version in, unless that was begun already.
func (t *transfers) add(v *version, now time.Time) {
	if v.taken {
		return
	}
	v.taken = true
	v.queued = now
	v.phase = phaseActive
	if v.root.IsEmpty() {
		t.finish(v, phaseReady)
		return
	}
	if v.large() {
		if len(t.larges) >= maxLarge {
			v.phase = phaseWaiting
			t.waiting = append(t.waiting, v)
			return
		}
		t.larges = append(t.larges, v)
	}
	t.begin(v)
}

func (t *transfers) begin(v *version) {
	v.phase = phaseActive
	t.seek(&want{v: v, run: v.run, ref: v.root, place: manifest.Root})
}

// drop forgets a version that nobody wants any more.
func (t *transfers) drop(v *version) {
	if v.phase == phaseActive || v.phase == phaseWaiting {
		t.leave(v)
	}
	v.phase = phaseDropped
}

// fail ends a version with a cause.
func (t *transfers) fail(v *version, kind failure, cause string) {
	if v.live() {
		v.kind, v.cause = kind, cause
		t.finish(v, phaseFailed)
	}
}

// gone ends a version that the sender keeps no longer.
func (t *transfers) gone(v *version) {
	if v.live() {
		t.finish(v, phaseGone)
	}
}

// finish ends a version and reports it through take.
func (t *transfers) finish(v *version, p phase) {
	t.leave(v)
	v.phase = p
	t.finished = append(t.finished, v)
}

// leave takes a version out of every queue. Needs that others share go on in
// the name of one of them.
func (t *transfers) leave(v *version) {
	was := v.phase
	v.phase, v.taken = phaseDropped, false // so that its wants read as dead
	queued := append(v.nodeq, v.leafq...)
	v.nodeq, v.leafq, v.frames = nil, nil, nil
	for _, n := range queued {
		t.requeue(n)
	}
	if !v.large() {
		return
	}
	if was == phaseWaiting {
		t.waiting = remove(t.waiting, v)
		return
	}
	t.larges = remove(t.larges, v)
	for len(t.larges) < maxLarge && len(t.waiting) > 0 {
		next := t.waiting[0]
		t.waiting = t.waiting[1:]
		t.larges = append(t.larges, next)
		t.begin(next)
	}
}

func remove(list []*version, v *version) []*version {
	for i, have := range list {
		if have == v {
			return append(list[:i], list[i+1:]...)
		}
	}
	return list
}

// take returns the versions that ended since the last call.
func (t *transfers) take() []*version {
	out := t.finished
	t.finished = nil
	return out
}

// seek begins to resolve a want: joined to a fetch under way, or looked up.
func (t *transfers) seek(w *want) {
	w.v.outstanding++
	if w.node() {
		w.v.outNodes++
	}
	if t.needs[w.ref.ID] != nil {
		t.require(w)
		return
	}
	t.lookq = append(t.lookq, w)
}

// resolve ends a want: its chunk is durable and, for a node, expanded.
func (t *transfers) resolve(w *want) {
	if !w.live() {
		return
	}
	w.v.outstanding--
	if w.node() {
		w.v.outNodes--
	}
	t.advance(w.v)
}

// require makes w wait for a chunk that is absent here.
func (t *transfers) require(w *want) {
	n := t.needs[w.ref.ID]
	if n == nil {
		n = &need{id: w.ref.ID, charge: int64(w.ref.Size)}
		if w.node() {
			n.charge = nodeCharge
		}
		t.needs[n.id] = n
		n.wants = append(n.wants, w)
		t.enqueue(n)
		return
	}
	if last := n.wants[len(n.wants)-1]; last.v == w.v && last.live() && !last.node() && !w.node() {
		// The same chunk again in one content: waiting once is enough.
		w.v.outstanding--
		return
	}
	n.wants = append(n.wants, w)
}

// enqueue queues a need in the name of its first want.
func (t *transfers) enqueue(n *need) {
	n.state = needQueued
	w := n.wants[0]
	switch {
	case !w.v.large():
		t.smallq = append(t.smallq, n)
	case w.node():
		w.v.nodeq = append(w.v.nodeq, n)
	default:
		w.v.leafq = append(w.v.leafq, n)
	}
}

// requeue gives a need that is not fetched to the next version that wants it,
// or drops it when there is none.
func (t *transfers) requeue(n *need) {
	kept := n.wants[:0]
	for _, w := range n.wants {
		if w.live() {
			kept = append(kept, w)
		}
	}
	n.wants = kept
	if len(kept) == 0 {
		delete(t.needs, n.id)
		return
	}
	t.enqueue(n)
}

// nextLook returns IDs to look up, or nil.
func (t *transfers) nextLook() *lookTask {
	if len(t.looks) >= maxLooks {
		return nil
	}
	task := &lookTask{}
	for len(t.lookq) > 0 && len(task.ids) < lookBatch {
		w := t.lookq[0]
		t.lookq = t.lookq[1:]
		if !w.live() {
			continue
		}
		if t.needs[w.ref.ID] != nil { // asked for meanwhile
			t.require(w)
			continue
		}
		task.wants = append(task.wants, w)
		task.ids = append(task.ids, w.ref.ID)
	}
	if len(t.lookq) == 0 {
		t.lookq = nil
	}
	if len(task.ids) == 0 {
		return nil
	}
	task.present = make([]bool, len(task.ids))
	t.looks[task] = struct{}{}
	return task
}

// onLook takes the outcome of a look-up that worked.
func (t *transfers) onLook(task *lookTask) {
	delete(t.looks, task)
	for i, w := range task.wants {
		if !w.live() {
			continue
		}
		_, landed := task.landed[w.ref.ID]
		switch {
		case !task.present[i] && !landed:
			t.require(w)
		case w.node():
			t.loadq = append(t.loadq, w)
		default:
			t.count.ChunksHere++
			t.count.BytesHere += w.ref.Size
			t.resolve(w)
		}
	}
}

// nextLoad returns nodes to read from this site's store, or nil.
func (t *transfers) nextLoad() []*want {
	if t.loads >= maxLoads {
		return nil
	}
	var batch []*want
	for len(t.loadq) > 0 && len(batch) < loadBatch {
		w := t.loadq[0]
		t.loadq = t.loadq[1:]
		if w.live() {
			batch = append(batch, w)
		}
	}
	if len(t.loadq) == 0 {
		t.loadq = nil
	}
	if len(batch) > 0 {
		t.loads++
	}
	return batch
}

// loaded is the outcome of reading one node: the node, or absent when the store
// cannot give it, or cause when it is not the node that the tree declares.
type loaded struct {
	want   *want
	node   *manifest.Node
	absent bool
	cause  string
}

// onLoad takes the outcome of a load.
func (t *transfers) onLoad(batch []loaded) {
	t.loads--
	for _, l := range batch {
		switch {
		case !l.want.live():
		case l.absent:
			t.require(l.want)
		case l.node == nil:
			t.fail(l.want.v, failManifest, l.cause)
		default:
			t.expand(l.want, l.node)
			t.resolve(l.want)
		}
	}
}

// expand opens a node for the walk.
func (t *transfers) expand(w *want, node *manifest.Node) {
	w.expanded = true
	id := w.ref.ID
	w.v.frames = append(w.v.frames, frame{
		node:  node,
		place: w.place,
		path:  &nodePath{parent: w.parent, id: id[:]},
	})
}

// advance walks on: it asks for children until enough is outstanding, and ends
// the version when nothing is left.
func (t *transfers) advance(v *version) {
	for v.live() && len(v.frames) > 0 {
		f := t.pick(v)
		if f < 0 {
			return
		}
		if v.frames[f].node.Level == 1 {
			leaves := v.frames[f]
			v.frames = append(v.frames[:f], v.frames[f+1:]...)
			t.seekLeaves(v, leaves)
			continue
		}
		fr := &v.frames[f]
		i := fr.next
		fr.next++
		ref, place := fr.node.Child(i, fr.place)
		w := &want{v: v, run: v.run, parent: fr.path, child: uint32(i), ref: ref, place: place}
		if fr.next == len(fr.node.Entries) {
			v.frames = append(v.frames[:f], v.frames[f+1:]...)
		}
		t.seek(w)
	}
	if v.live() && v.outstanding == 0 && len(v.frames) == 0 {
		t.finish(v, phaseReady)
	}
}

// pick chooses the frame to go on with, or -1 to wait: leaves as long as there
// is room, and otherwise enough nodes ahead that their round trip is hidden.
func (t *transfers) pick(v *version) int {
	leaves, inner, open := -1, -1, 0
	for i := range v.frames {
		if v.frames[i].node.Level == 1 {
			leaves = i
			open++
		} else if inner < 0 || v.frames[i].node.Level < v.frames[inner].node.Level {
			inner = i
		}
	}
	if leaves >= 0 && v.outstanding < lookAhead {
		return leaves
	}
	if inner >= 0 && open+v.outNodes < nodesAhead {
		return inner
	}
	return -1
}

// seekLeaves asks for the distinct children of a node of chunks.
func (t *transfers) seekLeaves(v *version, f frame) {
	// The count keeps advance from ending v while its leaves are being asked for.
	v.outstanding++
	var last chunks.ID
	for i := range f.node.Entries {
		e := &f.node.Entries[i]
		if e.ID == last {
			continue
		}
		last = e.ID
		ref, place := f.node.Child(i, f.place)
		t.seek(&want{v: v, run: v.run, parent: f.path, child: uint32(i), ref: ref, place: place})
	}
	v.outstanding--
}
