package objsync

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// pump hands out what the transfers want done.
func (s *session) pump(now time.Time) {
	for task := s.tr.nextLook(); task != nil; task = s.tr.nextLook() {
		s.lookUp(task)
	}
	for batch := s.tr.nextLoad(); len(batch) > 0; batch = s.tr.nextLoad() {
		s.load(batch)
	}
	s.tr.budget = s.line.budget(s.room()).within(s.o.Limit.Rate(), s.line.rtt(), s.packed.ratio())
	if s.mayFetch() {
		for task := s.tr.nextFetch(now); task != nil; task = s.tr.nextFetch(now) {
			s.fetch(task)
		}
	}
	if now.Before(s.putAgain) {
		return
	}
	for task := s.tr.nextPut(); task != nil; task = s.tr.nextPut() {
		s.put(task)
	}
}

// lookUp asks the own store what it has.
func (s *session) lookUp(task *lookTask) {
	s.do(func(ctx context.Context) func() {
		err := s.o.Chunks.Has(ctx, task.ids, task.present)
		return func() {
			if err != nil {
				s.end(&localError{fmt.Errorf("look up chunks: %w", err)})
				return
			}
			s.tr.onLook(task)
		}
	})
}

// load reads manifest nodes that the own store has.
func (s *session) load(batch []*want) {
	s.do(func(ctx context.Context) func() {
		out := make([]loaded, len(batch))
		buf := buffers.Get().(*chunks.Buffer)
		defer buffers.Put(buf)
		for i, w := range batch {
			out[i].want = w
			err := s.o.Chunks.Get(ctx, w.ref.ID, buf)
			switch {
			case errors.Is(err, chunks.ErrNotFound), errors.Is(err, chunks.ErrCorrupt):
				out[i].absent = true
			case err != nil:
				return func() { s.end(&localError{fmt.Errorf("read manifest node %s: %w", w.ref.ID, err)}) }
			default:
				node := new(manifest.Node)
				if err := node.Decode(w.ref, w.place, buf.Raw); err != nil {
					out[i].cause = err.Error()
				} else {
					out[i].node = node
				}
			}
		}
		return func() { s.tr.onLoad(out) }
	})
}

// fetch asks the far end for chunks.
func (s *session) fetch(task *fetchTask) {
	s.do(func(ctx context.Context) func() {
		r := &receiver{s: s, task: task}
		err := s.o.Source.Fetch(ctx, task.req, r.take)
		if err == nil && r.pos < len(task.needs) {
			err = violated("an answer ended after %d of %d chunks", r.pos, len(task.needs))
		}
		r.flush()
		return func() {
			if err != nil && !s.pausedThere(err) {
				if errors.As(err, new(*integrityError)) {
					// Whatever is wrong came with the answer about this version: when
					// it is wrong again, the version is put aside.
					v := task.asked[min(r.pos, len(task.asked)-1)].v
					s.e.blame(v.key(), failIntegrity, err.Error())
				}
				s.end(fmt.Errorf("fetch chunks from %s: %w", s.o.PeerName, err))
			}
			s.tr.onFetched(task, r.negative)
		}
	})
}

// receiver takes the chunks of one fetch, verifies each, and hands them to the
// session in pieces. It belongs to the goroutine of the fetch.
type receiver struct {
	s        *session
	task     *fetchTask
	pos      int // of the next chunk in the task's needs
	negative []answer

	buf   chunks.Buffer
	slab  *slab
	batch []arrival
	since time.Time // when the first of batch came
}

// A piece goes to the session when it has flushBytes, or when its first chunk is
// flushAfter old: on a slow line nothing that arrived waits long to be durable.
const (
	slabSize   = 512 << 10
	flushAfter = 100 * time.Millisecond
)

// slab is memory for several chunks. It returns to the pool when all of them are
// durable, or is left to the collector when they never are.
type slab struct {
	mem  []byte
	used int
	refs int // chunks in it, counted down on the session's goroutine
}

var slabs = sync.Pool{New: func() any { return &slab{mem: make([]byte, slabSize)} }}

// take is the callback of Source.Fetch.
func (r *receiver) take(h *linkpb.ChunkHeader, body []byte) error {
	if r.pos >= len(r.task.needs) {
		return violated("more than the %d chunks that were asked for", len(r.task.needs))
	}
	if h.GetWant() != r.task.wantOf[r.pos] {
		return violated("an answer to want %d instead of %d", h.GetWant(), r.task.wantOf[r.pos])
	}
	switch {
	case h.GetGone():
		r.negative = append(r.negative, answer{position: r.pos, gone: true})
		for r.pos < len(r.task.needs) && r.task.wantOf[r.pos] == h.GetWant() {
			r.pos++
		}
		return nil
	case h.GetRefused() != "":
		r.negative = append(r.negative, answer{position: r.pos, refused: clip(h.GetRefused())})
		r.pos++
		return nil
	}
	a, err := r.verify(h, body)
	if err != nil {
		v := r.task.asked[r.pos].v
		return violated("bucket %s, key %q: %w", v.bucket.path, v.rec.GetKey(), err)
	}
	r.pos++
	r.s.o.Limit.Charge(chunkCost(body))
	r.keep(a)
	return nil
}

// verify checks a chunk against what was asked for; nothing of it is kept before.
func (r *receiver) verify(h *linkpb.ChunkHeader, body []byte) (arrival, error) {
	n, w := r.task.needs[r.pos], r.task.asked[r.pos]
	id, err := chunks.IDFromBytes(h.GetId())
	if err != nil {
		return arrival{}, err
	}
	if id != n.id {
		return arrival{}, fmt.Errorf("chunk %s came instead of %s", id, n.id)
	}
	if int(h.GetLength()) != len(body) {
		return arrival{}, fmt.Errorf("chunk %s has %d bytes and declares %d", id, len(body), h.GetLength())
	}
	if h.GetEncoding() > 255 {
		return arrival{}, fmt.Errorf("chunk %s has the unknown encoding %d", id, h.GetEncoding())
	}
	if !w.node() && uint64(h.GetRawLength()) != w.ref.Size {
		return arrival{}, fmt.Errorf("chunk %s has %d bytes and the manifest declares %d", id, h.GetRawLength(), w.ref.Size)
	}
	r.buf.Chunk = chunks.Chunk{ID: id, Encoding: chunks.Encoding(h.GetEncoding()), RawLen: h.GetRawLength(), Data: body}
	if err := r.s.o.Codec.Decode(&r.buf); err != nil {
		return arrival{}, err
	}
	a := arrival{need: n, chunk: r.buf.Chunk}
	if w.node() {
		a.node = new(manifest.Node)
		if err := a.node.Decode(w.ref, w.place, r.buf.Raw); err != nil {
			return arrival{}, err
		}
	}
	return a, nil
}

// keep copies a verified chunk and flushes when enough has come together.
func (r *receiver) keep(a arrival) {
	size := len(a.chunk.Data)
	if r.slab != nil && r.slab.used+size > len(r.slab.mem) {
		r.flush()
	}
	if r.slab == nil {
		r.slab = slabs.Get().(*slab)
		r.slab.used, r.slab.refs = 0, 0
		r.since = r.s.o.Clock()
	}
	sl := r.slab
	data := sl.mem[sl.used : sl.used+size : sl.used+size]
	copy(data, a.chunk.Data)
	sl.used += size
	sl.refs++
	a.chunk.Data = data
	a.free = func() {
		if sl.refs--; sl.refs == 0 {
			slabs.Put(sl)
		}
	}
	r.batch = append(r.batch, a)
	if r.s.o.Clock().Sub(r.since) >= flushAfter {
		r.flush()
	}
}

// flush hands what has come to the session.
func (r *receiver) flush() {
	if len(r.batch) == 0 {
		return
	}
	batch := r.batch
	r.batch, r.slab = nil, nil
	r.s.events <- func() {
		now := r.s.o.Clock()
		r.s.moved, r.s.heard, r.s.useful = now, now, true
		var raw int64
		for _, a := range batch {
			raw += a.need.charge
			r.s.packed.arrived(a.need.charge, len(a.chunk.Data))
		}
		r.s.line.arrived(raw, now, r.s.tr.pressed)
		r.s.tr.pressed = false
		r.s.tr.onArrived(batch)
	}
}

// Pauses before a full store is tried again.
const (
	spaceRetryMin = time.Second
	spaceRetryMax = 30 * time.Second
)

// put makes chunks durable. It is not interrupted when the session ends: what
// arrived is kept.
func (s *session) put(task *putTask) {
	s.do(func(ctx context.Context) func() {
		err := s.o.Chunks.Put(context.WithoutCancel(ctx), task.batch)
		return func() { s.onPut(task, err) }
	})
}

func (s *session) onPut(task *putTask, err error) {
	now := s.o.Clock()
	switch {
	case err == nil:
		if !s.noSpace.IsZero() {
			s.log.Info("link: there is space for chunks again")
		}
		s.noSpace, s.putAgain, s.putFailed = time.Time{}, time.Time{}, 0
		s.moved = now
		s.tr.onPut(task)
	case errors.Is(err, chunks.ErrNoSpace):
		// The chunks stay in memory, within the window, and nothing more is
		// asked for once that is full.
		s.tr.onPutFailed(task)
		if s.noSpace.IsZero() {
			s.noSpace = now
			s.log.Warn("link: no space for chunks; receiving stops until there is", "error", err)
		}
		s.e.count.LocalErrors++
		s.putAgain = now.Add(backoff(s.putFailed, spaceRetryMin, spaceRetryMax))
		s.putFailed++
	default:
		s.tr.onPutFailed(task)
		s.end(&localError{fmt.Errorf("store chunks: %w", err)})
	}
}

// saveArrived stores what had arrived when the session ended.
func (s *session) saveArrived() {
	if !s.noSpace.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 10*time.Second)
	defer cancel()
	for task := s.tr.nextPut(); task != nil; task = s.tr.nextPut() {
		if err := s.o.Chunks.Put(ctx, task.batch); err != nil {
			s.log.Warn("link: chunks that had arrived could not be stored", "error", err)
			return
		}
		s.tr.onPut(task)
	}
}

// clip bounds words that are told, or kept in the pending table. They stay whole
// characters: a message whose text is not UTF-8 is not encoded at all.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxCause)], "") }
