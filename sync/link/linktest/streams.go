package linktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"google.golang.org/protobuf/proto"
)

var errEnough = errors.New("enough of it")

// testChangesImmediate checks that each batch arrives although nothing follows
// it: the source sends the next one only when it has.
func testChangesImmediate(t *testing.T, connect Connect) {
	ctx := patient(t)
	arrived := make(chan struct{})
	far := connect(t, &Source{OnChanges: func(ctx context.Context, _ *linkpb.ChangesRequest, fn func(*linkpb.ChangeBatch) error) error {
		for i := range uint64(50) {
			if err := fn(&linkpb.ChangeBatch{To: i}); err != nil {
				return err
			}
			select {
			case <-arrived:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return link.Refuse(link.CodeBusy, "done")
	}})
	next := uint64(0)
	err := far.Changes(ctx, &linkpb.ChangesRequest{}, func(b *linkpb.ChangeBatch) error {
		if b.GetTo() != next {
			return fmt.Errorf("batch %d instead of %d", b.GetTo(), next)
		}
		next++
		arrived <- struct{}{}
		return nil
	})
	wantRefused(t, err, link.CodeBusy, "done")
	if next != 50 {
		t.Errorf("%d batches", next)
	}
}

// testChangesEnd checks the ways in which a stream ends.
func testChangesEnd(t *testing.T, connect Connect) {
	src := &Source{OnChanges: func(ctx context.Context, req *linkpb.ChangesRequest, fn func(*linkpb.ChangeBatch) error) error {
		if len(req.GetCursors()) > 0 {
			return nil
		}
		for ctx.Err() == nil {
			if err := fn(&linkpb.ChangeBatch{}); err != nil {
				return err
			}
		}
		return ctx.Err()
	}}
	far := connect(t, src)
	if err := far.Changes(patient(t), &linkpb.ChangesRequest{Cursors: []*linkpb.BucketCursor{{}}}, nil); err == nil {
		t.Error("a stream that the source ended gives no error")
	}
	n := 0
	err := far.Changes(patient(t), &linkpb.ChangesRequest{}, func(*linkpb.ChangeBatch) error {
		if n++; n == 10 {
			return errEnough
		}
		return nil
	})
	if err != errEnough {
		t.Errorf("the callback's error comes back as %v", err)
	}
	WaitFor(t, "the source's stream to end", func() bool { return src.Running() == 0 })

	ctx, cancel := context.WithCancel(patient(t))
	n = 0
	err = far.Changes(ctx, &linkpb.ChangesRequest{}, func(*linkpb.ChangeBatch) error {
		if n++; n == 10 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled stream gives %v", err)
	}
	WaitFor(t, "the source's stream to end", func() bool { return src.Running() == 0 })
}

// gauge watches how far a sender runs ahead of a receiver that does not take.
type gauge struct {
	sent    atomic.Int64 // bytes whose call has returned
	started atomic.Int64 // when the call under way began, or 0
}

func (g *gauge) send(n int, f func() error) error {
	g.started.Store(time.Now().UnixNano())
	err := f()
	g.started.Store(0)
	g.sent.Add(int64(n))
	return err
}

// held reports that a call has not returned for a while.
func (g *gauge) held() bool {
	s := g.started.Load()
	return s != 0 && time.Since(time.Unix(0, s)) > 200*time.Millisecond
}

// aheadBound is how many bytes may lie between a sender and a receiver that
// does not take them: the buffers of the kernel and of both ends.
const aheadBound = 20 << 20

func testChangesBackPressure(t *testing.T, connect Connect) {
	const batches, size = 28, 1 << 20
	var g gauge
	filler := bytes.Repeat([]byte{'f'}, size)
	far := connect(t, &Source{OnChanges: func(_ context.Context, _ *linkpb.ChangesRequest, fn func(*linkpb.ChangeBatch) error) error {
		for i := range uint64(batches) {
			b := &linkpb.ChangeBatch{To: i, Changes: []*linkpb.Change{{Record: &catalogpb.Record{Key: filler}}}}
			if err := g.send(size, func() error { return fn(b) }); err != nil {
				return err
			}
		}
		return link.Refuse(link.CodeBusy, "done")
	}})
	n := uint64(0)
	err := far.Changes(patient(t), &linkpb.ChangesRequest{}, func(b *linkpb.ChangeBatch) error {
		if n == 0 {
			WaitFor(t, "the sender to be held back", g.held)
			if sent := g.sent.Load(); sent > aheadBound {
				t.Errorf("the sender ran %d bytes ahead", sent)
			}
		}
		if b.GetTo() != n || len(b.GetChanges()[0].GetRecord().GetKey()) != size {
			return fmt.Errorf("batch %d instead of %d", b.GetTo(), n)
		}
		n++
		return nil
	})
	wantRefused(t, err, link.CodeBusy, "done")
	if n != batches {
		t.Errorf("%d batches", n)
	}
}

// chunk makes the header and body of a chunk of a test, whose bytes follow from
// its number. Its ID is wrong on purpose: a transport does not look.
func chunk(i, size int) (*linkpb.ChunkHeader, []byte) {
	body := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(body)
	id := make([]byte, chunks.IDSize)
	id[0], id[1] = byte(i), byte(i>>8)
	return &linkpb.ChunkHeader{Id: id, Encoding: uint32(i % 2), RawLength: uint32(size), Length: uint32(size), Want: uint32(i / 3)}, body
}

func testFetchExact(t *testing.T, connect Connect) {
	ctx := patient(t)
	req := &linkpb.FetchRequest{Wants: []*linkpb.Want{{Path: "p", Nodes: [][]byte{{1}, {2}}, Children: []uint32{0, 5, 9}}}}
	sizes := []int{1, 2, 100, 4095, 4096, 4097, 65535, 65536, chunks.MaxRaw - 1, chunks.MaxRaw, 1}
	var headers []*linkpb.ChunkHeader
	var bodies [][]byte
	for i, n := range sizes {
		h, b := chunk(i, n)
		headers, bodies = append(headers, h), append(bodies, b)
	}
	// Answers without bytes stand between those with.
	without := []*linkpb.ChunkHeader{
		{Want: 1, Gone: true, Head: &catalogpb.Record{Key: []byte("k"), Generation: 8}},
		{Want: 2, Refused: "not entitled"},
	}
	for _, h := range without {
		headers, bodies = append(headers[:3], append([]*linkpb.ChunkHeader{h}, headers[3:]...)...), append(bodies[:3], append([][]byte{nil}, bodies[3:]...)...)
	}
	far := connect(t, &Source{OnFetch: func(_ context.Context, got *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
		equal(t, "fetch request", got, req)
		for i := range headers {
			body := bytes.Clone(bodies[i])
			if err := fn(headers[i], body); err != nil {
				return err
			}
			clear(body) // the transport may not need it any more
		}
		return nil
	}})
	for range 3 {
		n := 0
		err := far.Fetch(ctx, req, func(h *linkpb.ChunkHeader, body []byte) error {
			if !proto.Equal(h, headers[n]) {
				return fmt.Errorf("header %d is %v, want %v", n, h, headers[n])
			}
			if !bytes.Equal(body, bodies[n]) {
				return fmt.Errorf("body %d differs", n)
			}
			n++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n != len(headers) {
			t.Fatalf("%d chunks, want %d", n, len(headers))
		}
	}
}

func testFetchFailsMidway(t *testing.T, connect Connect) {
	ctx := patient(t)
	far := connect(t, &Source{OnFetch: func(_ context.Context, req *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
		for i := range len(req.GetWants()) {
			if err := fn(chunk(i, 70_000)); err != nil {
				return err
			}
		}
		return link.Refuse(link.CodeNotServed, "no longer")
	}})
	for _, want := range []int{0, 1, 40} {
		n := 0
		err := far.Fetch(ctx, &linkpb.FetchRequest{Wants: make([]*linkpb.Want, want)}, func(_ *linkpb.ChunkHeader, body []byte) error {
			if _, b := chunk(n, 70_000); !bytes.Equal(b, body) {
				return fmt.Errorf("chunk %d differs", n)
			}
			n++
			return nil
		})
		wantRefused(t, err, link.CodeNotServed, "no longer")
		if n != want {
			t.Errorf("%d chunks before the refusal, want %d", n, want)
		}
	}
}

func testFetchBackPressure(t *testing.T, connect Connect) {
	const total = 112 // of 256 KiB
	var g gauge
	h, body := chunk(1, chunks.MaxRaw)
	far := connect(t, &Source{OnFetch: func(_ context.Context, _ *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
		for range total {
			if err := g.send(len(body), func() error { return fn(h, body) }); err != nil {
				return err
			}
		}
		return nil
	}})
	n := 0
	err := far.Fetch(patient(t), &linkpb.FetchRequest{}, func(_ *linkpb.ChunkHeader, got []byte) error {
		if n == 0 {
			WaitFor(t, "the sender to be held back", g.held)
			if sent := g.sent.Load(); sent > aheadBound {
				t.Errorf("the sender ran %d bytes ahead", sent)
			}
		}
		n++
		return nil
	})
	if err != nil || n != total {
		t.Errorf("%d chunks, error %v", n, err)
	}
}

// testFetchEnds checks that a receiver that has enough, and one whose context
// ends while it waits or while it takes, ends the sender's call.
func testFetchEnds(t *testing.T, connect Connect) {
	h, body := chunk(1, 50_000)
	src := &Source{OnFetch: func(ctx context.Context, _ *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
		for {
			if err := fn(h, body); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}}
	far := connect(t, src)
	for range 2 {
		n := 0
		err := far.Fetch(patient(t), &linkpb.FetchRequest{}, func(*linkpb.ChunkHeader, []byte) error {
			if n++; n == 20 {
				return errEnough
			}
			return nil
		})
		if err != errEnough {
			t.Errorf("the callback's error comes back as %v", err)
		}
		WaitFor(t, "the source's call to end", func() bool { return src.Running() == 0 })
		ctx, cancel := context.WithCancel(patient(t))
		n = 0
		err = far.Fetch(ctx, &linkpb.FetchRequest{}, func(*linkpb.ChunkHeader, []byte) error {
			if n++; n == 20 {
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled fetch gives %v", err)
		}
		WaitFor(t, "the source's call to end", func() bool { return src.Running() == 0 })
	}
}

// testInterleaved checks that a large fetch that nobody takes holds up neither
// small fetches nor changes nor short requests.
func testInterleaved(t *testing.T, connect Connect) {
	ctx := patient(t)
	src := &Source{
		OnServed: func(context.Context) (*linkpb.Served, error) { return &linkpb.Served{}, nil },
		OnChanges: func(ctx context.Context, _ *linkpb.ChangesRequest, fn func(*linkpb.ChangeBatch) error) error {
			if err := fn(&linkpb.ChangeBatch{To: 1}); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		},
		OnFetch: func(_ context.Context, req *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
			for i := range int(req.GetWants()[0].GetChildren()[0]) {
				if err := fn(chunk(i%50, 20_000)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	far := connect(t, src)
	fetch := func(n uint32, fn func(*linkpb.ChunkHeader, []byte) error) error {
		return far.Fetch(ctx, &linkpb.FetchRequest{Wants: []*linkpb.Want{{Children: []uint32{n}}}}, fn)
	}
	begun, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		n := 0
		if err := fetch(3000, func(*linkpb.ChunkHeader, []byte) error {
			if n++; n == 1 {
				close(begun)
				<-release
			}
			return nil
		}); err != nil || n != 3000 {
			t.Errorf("the large fetch got %d chunks and %v", n, err)
		}
	})
	<-begun
	for range 20 {
		n := 0
		if err := fetch(2, func(*linkpb.ChunkHeader, []byte) error { n++; return nil }); err != nil || n != 2 {
			t.Fatalf("a small fetch got %d chunks and %v", n, err)
		}
		if _, err := far.Served(ctx); err != nil {
			t.Fatal(err)
		}
		if err := far.Changes(ctx, &linkpb.ChangesRequest{}, func(*linkpb.ChangeBatch) error { return errEnough }); err != errEnough {
			t.Fatal(err)
		}
	}
	close(release)
	wg.Wait()
}

// testManyAtOnce runs more requests than there can be connections.
func testManyAtOnce(t *testing.T, connect Connect) {
	ctx := patient(t)
	src := &Source{
		OnProgress: func(_ context.Context, p *linkpb.Progress) (*linkpb.ProgressReply, error) {
			return &linkpb.ProgressReply{Clock: int64(p.GetBuckets()[0].GetPending())}, nil
		},
		OnFetch: func(_ context.Context, req *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
			for _, c := range req.GetWants()[0].GetChildren() {
				if err := fn(chunk(int(c), 1000+int(c))); err != nil {
					return err
				}
			}
			return nil
		},
	}
	far := connect(t, src)
	var wg sync.WaitGroup
	for g := range 32 {
		wg.Go(func() {
			for i := range 8 {
				want := g*8 + i
				r, err := far.Progress(ctx, &linkpb.Progress{Buckets: []*linkpb.BucketProgress{{Pending: uint64(want)}}})
				if err != nil || r.GetClock() != int64(want) {
					t.Errorf("progress %d: %v, %v", want, r, err)
				}
				n := 0
				err = far.Fetch(ctx, &linkpb.FetchRequest{Wants: []*linkpb.Want{{Children: []uint32{uint32(want), uint32(want) + 1}}}},
					func(_ *linkpb.ChunkHeader, body []byte) error {
						if _, b := chunk(want+n, 1000+want+n); !bytes.Equal(b, body) {
							return fmt.Errorf("chunk %d differs", want+n)
						}
						n++
						return nil
					})
				if err != nil || n != 2 {
					t.Errorf("fetch %d: %d chunks, %v", want, n, err)
				}
			}
		})
	}
	wg.Wait()
}
