package objsync

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// wire is the way from one site's engine to another's Local. It copies messages
// as a network would, can be cut, and counts what passes.
type wire struct {
	t   *testing.T
	src link.Source

	mu      sync.Mutex
	down    bool
	hole    chan struct{}        // while it is open, nothing that is sent arrives
	delay   func() time.Duration // of each message, when set; called under mu
	cancels map[int]context.CancelFunc
	next    int
	offered map[string]int // dots in change batches
	scanned int            // records in pages
	fetched map[chunks.ID]int
	bytes   int
	// compared are the bytes of digest and records requests and their answers,
	// and compares how many there were.
	compared, compares int
	// body, when set, may change a chunk on its way, or fail the request.
	body func(h *linkpb.ChunkHeader, body []byte) ([]byte, error)
	// plain says that the far end answers as one of a release that knows no features.
	plain bool
	// gate, when set, is asked before each chunk passes.
	gate func(ctx context.Context, h *linkpb.ChunkHeader) error
	// change, when set, may change what the sender says.
	change func(b *linkpb.ChangeBatch)
	page   func(p *linkpb.ScanPage)
	// progress, when set, sees what the receiver says.
	progress func(p *linkpb.Progress)
}

func newWire(t *testing.T, src link.Source) *wire {
	return &wire{t: t, src: src, cancels: make(map[int]context.CancelFunc), offered: make(map[string]int), fetched: make(map[chunks.ID]int)}
}

var errCut = &link.Fault{Kind: link.FaultBroken, Message: "the wire was cut"}

// begin starts a request, which ends when the wire is cut.
func (w *wire) begin(ctx context.Context) (context.Context, func(), error) {
	w.mu.Lock()
	if w.down || w.src == nil {
		w.mu.Unlock()
		return nil, nil, errCut
	}
	in, cancel := context.WithCancel(ctx)
	n := w.next
	w.next++
	w.cancels[n] = cancel
	w.mu.Unlock()
	end := func() {
		cancel()
		w.mu.Lock()
		delete(w.cancels, n)
		w.mu.Unlock()
	}
	if err := w.travel(in); err != nil {
		end()
		return nil, nil, w.why(ctx, err)
	}
	return in, end, nil
}

// travel waits as long as a message takes.
func (w *wire) travel(ctx context.Context) error {
	w.mu.Lock()
	hole := w.hole
	var d time.Duration
	if w.delay != nil {
		d = w.delay()
	}
	w.mu.Unlock()
	if hole != nil {
		select {
		case <-hole:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// attach changes who answers; while it is nil, nobody does.
func (w *wire) attach(src link.Source) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.src = src
}

// drop ends what is under way.
func (w *wire) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, cancel := range w.cancels {
		cancel()
	}
}

// swallow makes the wire lose what is sent, without a word to anybody, until mend.
func (w *wire) swallow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hole == nil {
		w.hole = make(chan struct{})
	}
}

// under is the number of requests under way.
func (w *wire) under() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.cancels)
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = true
	for _, cancel := range w.cancels {
		cancel()
	}
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = false
	if w.hole != nil {
		close(w.hole)
		w.hole = nil
	}
}

func (w *wire) why(outer context.Context, err error) error {
	if err != nil && outer.Err() == nil && errors.Is(err, context.Canceled) {
		return errCut
	}
	return err
}

func (w *wire) Hello(ctx context.Context, h *linkpb.Hello) (*linkpb.Hello, error) {
	in, end, err := w.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	out, err := w.src.Hello(in, proto.CloneOf(h))
	if err == nil && w.plain {
		out = proto.CloneOf(out)
		out.Features = nil
	}
	return out, err
}

func (w *wire) Served(ctx context.Context) (*linkpb.Served, error) {
	in, end, err := w.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	return w.src.Served(in)
}

func (w *wire) Changes(ctx context.Context, req *linkpb.ChangesRequest, fn func(*linkpb.ChangeBatch) error) error {
	in, end, err := w.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	return w.why(ctx, w.src.Changes(in, proto.CloneOf(req), func(b *linkpb.ChangeBatch) error {
		b = proto.CloneOf(b)
		if err := w.travel(in); err != nil {
			return err
		}
		w.mu.Lock()
		for _, c := range b.GetChanges() {
			w.offered[keyOf(c.GetRecord().GetDot()).String()]++
		}
		change := w.change
		w.mu.Unlock()
		if change != nil {
			change(b)
		}
		return fn(b)
	}))
}

func (w *wire) Scan(ctx context.Context, req *linkpb.ScanRequest) (*linkpb.ScanPage, error) {
	in, end, err := w.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	p, err := w.src.Scan(in, proto.CloneOf(req))
	if err == nil {
		w.mu.Lock()
		w.scanned += len(p.GetRecords())
		change := w.page
		w.mu.Unlock()
		if change != nil {
			change(p)
		}
	}
	return p, w.why(ctx, err)
}

func (w *wire) Digest(ctx context.Context, req *linkpb.DigestRequest) (*linkpb.DigestReply, error) {
	in, end, err := w.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	out, err := w.src.Digest(in, proto.CloneOf(req))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.compared += proto.Size(req) + proto.Size(out)
	w.compares++
	return out, w.why(ctx, err)
}

func (w *wire) Records(ctx context.Context, req *linkpb.RecordsRequest) (*linkpb.ScanPage, error) {
	in, end, err := w.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	out, err := w.src.Records(in, proto.CloneOf(req))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.compared += proto.Size(req) + proto.Size(out)
	w.compares++
	return out, w.why(ctx, err)
}

func (w *wire) Fetch(ctx context.Context, req *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
	in, end, err := w.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	return w.why(ctx, w.src.Fetch(in, proto.CloneOf(req), func(h *linkpb.ChunkHeader, body []byte) error {
		w.mu.Lock()
		gate, change := w.gate, w.body
		w.mu.Unlock()
		if gate != nil {
			if err := gate(in, h); err != nil {
				return err
			}
		}
		if err := w.travel(in); err != nil {
			return err
		}
		if err := in.Err(); err != nil {
			return err
		}
		h, body = proto.CloneOf(h), bytes.Clone(body)
		if change != nil {
			var err error
			if body, err = change(h, body); err != nil {
				return err
			}
		}
		w.mu.Lock()
		if id, err := chunks.IDFromBytes(h.GetId()); err == nil && h.GetRefused() == "" {
			w.fetched[id]++
			w.bytes += len(body)
		}
		w.mu.Unlock()
		return fn(h, body)
	}))
}

func (w *wire) Progress(ctx context.Context, p *linkpb.Progress) (*linkpb.ProgressReply, error) {
	in, end, err := w.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if w.progress != nil {
		w.progress(p)
	}
	if p, err = sent(p); err != nil {
		return nil, err
	}
	return w.src.Progress(in, p)
}

// offers is the number of records offered since the last call.
func (w *wire) offers() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, c := range w.offered {
		n += c
	}
	clear(w.offered)
	return n
}
