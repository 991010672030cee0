package objsync

import (
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// fetchTask is one request for chunks. Its needs are in the order of the
// request's children; wantOf[i] is the position of the want that asks for
// needs[i].
type fetchTask struct {
	req    *linkpb.FetchRequest
	needs  []*need
	asked  []*want // the want in whose name each need is asked for
	wantOf []uint32
	big    bool
}

// smallShare is how many bytes of small versions are asked for at most for each byte
// of large ones, while there are enough of both.
const smallShare = 8

// nextFetch returns chunks to ask for, or nil. Small versions go first, and
// large ones never take all workers nor the whole window. But small ones that never
// end do not keep large ones waiting: of all that is asked for, these get a share.
func (t *transfers) nextFetch(now time.Time) *fetchTask {
	if t.fetches >= t.workers {
		return nil
	}
	if t.largeDue() {
		return t.fetchLarge(now, t.budget.total-t.inflight, min(t.budget.fetch, t.due))
	}
	if task := t.fetchSmall(now); task != nil {
		return task
	}
	room := t.budget.large - t.inflight
	full := t.inflight > 0 && room < t.budget.fetch
	t.pressed = t.pressed || full && len(t.larges) > 0
	if full || t.bigs >= t.workers-max(1, t.workers/4) {
		// Little by little as room comes would be a request for each chunk.
		return nil
	}
	return t.fetchLarge(now, room, t.budget.fetch)
}

// largeDue reports whether it is a large version's turn, because small ones have
// had their share. It then waits for no more than room for its next chunk.
func (t *transfers) largeDue() bool {
	n := t.nextLarge()
	return n != nil && t.due >= n.charge
}

// nextLarge is what a large version asks for next, or nil.
func (t *transfers) nextLarge() *need {
	for _, v := range t.larges {
		switch {
		case len(v.nodeq) > 0:
			return v.nodeq[0]
		case len(v.leafq) > 0:
			return v.leafq[0]
		}
	}
	return nil
}

func (t *transfers) fetchSmall(now time.Time) *fetchTask {
	b := fetchBuilder{t: t, now: now, room: t.budget.total - t.inflight, most: fetchBytes}
	b.drain(&t.smallq)
	task := b.task()
	switch {
	case t.nextLarge() == nil:
		t.due = 0
	case task != nil:
		t.due = min(t.due+b.bytes/smallShare, max(t.budget.fetch, chunks.MaxRaw))
	}
	return task
}

// fetchLarge asks for chunks of the large version whose turn it is.
func (t *transfers) fetchLarge(now time.Time, room, most int64) *fetchTask {
	for i, v := range t.larges {
		if len(v.nodeq) == 0 && len(v.leafq) == 0 {
			continue
		}
		b := fetchBuilder{t: t, now: now, room: room, most: most}
		b.drain(&v.nodeq)
		b.drain(&v.leafq)
		// The next turn is another version's.
		t.larges = append(append(t.larges[:i:i], t.larges[i+1:]...), v)
		task := b.task()
		if task != nil {
			task.big = true
			t.bigs++
			t.due = max(0, t.due-b.bytes)
		}
		return task
	}
	return nil
}

// fetchBuilder gathers needs into one request.
type fetchBuilder struct {
	t     *transfers
	now   time.Time
	room  int64 // of the budget
	most  int64 // of one request
	bytes int64
	out   *fetchTask
}

// drain takes needs from the front of a queue while they fit. Giving a need to
// another version may append to the same queue.
func (b *fetchBuilder) drain(q *[]*need) {
	for len(*q) > 0 {
		n := (*q)[0]
		dead := n.state != needQueued || !n.wants[0].live()
		if !dead && b.full(n.charge) {
			return
		}
		*q = (*q)[1:]
		switch {
		case !dead:
			b.add(n)
		case n.state == needQueued:
			b.t.requeue(n)
		}
	}
	*q = nil
}

func (b *fetchBuilder) full(charge int64) bool {
	if b.out != nil && (b.bytes+charge > b.most || len(b.out.needs) >= fetchChunks) {
		return true
	}
	// One chunk always goes, however small the window.
	return b.bytes+charge > b.room && (b.out != nil || b.t.inflight > 0)
}

func (b *fetchBuilder) add(n *need) {
	if b.out == nil {
		b.out = &fetchTask{req: &linkpb.FetchRequest{}}
	}
	o, w := b.out, n.wants[0]
	if w.v.started.IsZero() {
		w.v.started = b.now
	}
	n.state = needFetching
	b.bytes += n.charge

	last := len(o.req.Wants) - 1
	joins := false
	if last >= 0 && w.parent != nil {
		prev := o.asked[len(o.asked)-1]
		joins = prev.v == w.v && prev.parent == w.parent && prev.child < w.child
	}
	if !joins {
		req := &linkpb.Want{Path: w.v.bucket.path, Dot: w.v.rec.GetDot()}
		if w.parent != nil {
			req.Nodes = w.parent.ids()
		}
		o.req.Wants = append(o.req.Wants, req)
		last++
	}
	if w.parent != nil {
		o.req.Wants[last].Children = append(o.req.Wants[last].Children, w.child)
	}
	o.needs = append(o.needs, n)
	o.asked = append(o.asked, w)
	o.wantOf = append(o.wantOf, uint32(last))
}

// task closes the builder and charges the window.
func (b *fetchBuilder) task() *fetchTask {
	if b.out != nil {
		b.t.inflight += b.bytes
		b.t.fetches++
	}
	return b.out
}

// onArrived takes chunks of a fetch under way that were verified.
func (t *transfers) onArrived(batch []arrival) {
	for _, a := range batch {
		n := a.need
		n.state = needArrived
		t.count.Bytes += uint64(len(a.chunk.Data))
		if n.wants[0].node() {
			t.count.Manifests++
		} else {
			t.count.Chunks++
			t.count.RawBytes += uint64(a.chunk.RawLen)
		}
		// What is charged is from now on what is held.
		size := int64(len(a.chunk.Data))
		t.inflight += size - n.charge
		n.charge = size
		t.arrived = append(t.arrived, a)
		if a.node == nil {
			continue
		}
		// The first want is the one that the node was decoded for; a node that
		// two versions share is read from the store by the others.
		if w := n.wants[0]; w.live() && w.node() && !w.expanded {
			t.expand(w, a.node)
			t.advance(w.v)
		}
	}
}

// answer is what a sender said instead of a chunk.
type answer struct {
	position int // in the task's needs
	gone     bool
	refused  string
}

// onFetched takes the end of a fetch that worked as a request; negative are the
// answers that are not chunks.
func (t *transfers) onFetched(task *fetchTask, negative []answer) {
	t.fetches--
	if task.big {
		t.bigs--
	}
	for _, a := range negative {
		w := task.asked[a.position]
		switch {
		case !w.live():
		case a.gone:
			t.gone(w.v)
		default:
			t.count.RemoteErrors++
			t.fail(w.v, failRefused, a.refused)
		}
	}
	for _, n := range task.needs {
		if n.state == needFetching {
			t.inflight -= n.charge
			t.requeue(n)
		}
	}
}

// putTask is a batch of chunks for the store.
type putTask struct {
	arrivals []arrival
	batch    []chunks.Chunk
}

// nextPut returns chunks to make durable, or nil. While one batch is being
// written the next gathers; when nothing is under way nothing waits.
func (t *transfers) nextPut() *putTask {
	if t.puts >= maxPuts || len(t.arrived) == 0 {
		return nil
	}
	task := &putTask{}
	var bytes int
	for len(t.arrived) > 0 && (bytes == 0 || bytes+len(t.arrived[0].chunk.Data) <= putBytes) {
		a := t.arrived[0]
		t.arrived = t.arrived[1:]
		bytes += len(a.chunk.Data)
		task.arrivals = append(task.arrivals, a)
		task.batch = append(task.batch, a.chunk)
	}
	if len(t.arrived) == 0 {
		t.arrived = nil
	}
	t.puts++
	return task
}

// onPutFailed takes back a batch that could not be stored, to be tried again.
func (t *transfers) onPutFailed(task *putTask) {
	t.puts--
	t.arrived = append(task.arrivals, t.arrived...)
}

// onPut takes a batch that is durable now.
func (t *transfers) onPut(task *putTask) {
	t.puts--
	for _, a := range task.arrivals {
		n := a.need
		t.inflight -= n.charge
		delete(t.needs, n.id)
		for look := range t.looks {
			if look.landed == nil {
				look.landed = make(map[chunks.ID]struct{})
			}
			look.landed[n.id] = struct{}{}
		}
	}
	for _, a := range task.arrivals {
		for _, w := range a.need.wants {
			switch {
			case !w.live():
			case w.node() && !w.expanded:
				t.loadq = append(t.loadq, w)
			default:
				t.resolve(w)
			}
		}
		if a.free != nil {
			a.free()
		}
	}
}
