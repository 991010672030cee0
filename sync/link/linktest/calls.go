package linktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"google.golang.org/protobuf/proto"
)

func equal(t *testing.T, what string, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// testCalls checks that requests and answers arrive as they were.
func testCalls(t *testing.T, connect Connect) {
	ctx := patient(t)
	dot := &catalogpb.Dot{Origin: bytes.Repeat([]byte{7}, 16), Epoch: 3, Seq: 1 << 40}
	served := &linkpb.Served{Buckets: []*linkpb.ServedBucket{
		{Path: "Hawaii/Cola/bk1", Incarnation: bytes.Repeat([]byte{1}, 16), Epoch: 2, Seq: 99, Objects: 5, Merged: [][]byte{{1}, {2}}},
		{Path: "Hawaii/Pepsi/bk1"},
	}}
	scanReq := &linkpb.ScanRequest{Path: "Hawaii/Cola/bk1", FromKey: []byte("a\x00\xff"), Limit: 17}
	page := &linkpb.ScanPage{Seq: 12, Done: true, NextKey: []byte{0}, Records: []*catalogpb.Record{
		{Key: []byte("käse"), Kind: catalogpb.RecordKind_RECORD_VERSION, Dot: dot, Metadata: map[string]string{"x": "y"}, PartSizes: []uint64{1, 2}}}}
	digestReq := &linkpb.DigestRequest{Path: "p", Ranges: []*linkpb.KeyRange{{To: []byte("b")}, {From: []byte("c\x00")}}, List: true}
	digest := &linkpb.DigestReply{Incarnation: []byte{1}, Epoch: 2, Seq: 3, Sparse: true, NextKey: []byte("d"),
		Sums: []*linkpb.RangeSum{{Keys: 1, Versions: 2, Heads: bytes.Repeat([]byte{3}, 16), All: bytes.Repeat([]byte{4}, 16)}, {}},
		Keys: []*linkpb.KeySum{{Key: []byte("käse"), Heads: bytes.Repeat([]byte{5}, 16)}}}
	recordsReq := &linkpb.RecordsRequest{Path: "p", Keys: [][]byte{{}, []byte("a\xff")}, Mend: true}
	progress := &linkpb.Progress{Buckets: []*linkpb.BucketProgress{{Path: "p", Holds: []*catalogpb.Dot{dot}, Pending: 4, Cause: "no space"}}}
	reply := &linkpb.ProgressReply{Clock: -5}
	changesReq := &linkpb.ChangesRequest{Cursors: []*linkpb.BucketCursor{{Path: "p", Cursor: &catalogpb.Cursor{Seq: 4, InitialDone: true}}}}
	batches := []*linkpb.ChangeBatch{
		{Path: "p", From: 5, To: 9, Changes: []*linkpb.Change{{Seq: 6, Committed: 1, Record: page.Records[0]}}},
		{}, // as empty as a message can be
		{Clock: 3, Heads: []*linkpb.BucketHead{{Path: "p", Seq: 9, Backlog: 1}}},
	}
	src := &Source{
		OnServed: func(context.Context) (*linkpb.Served, error) { return served, nil },
		OnScan: func(_ context.Context, req *linkpb.ScanRequest) (*linkpb.ScanPage, error) {
			equal(t, "scan request", req, scanReq)
			return page, nil
		},
		OnDigest: func(_ context.Context, req *linkpb.DigestRequest) (*linkpb.DigestReply, error) {
			equal(t, "digest request", req, digestReq)
			return digest, nil
		},
		OnRecords: func(_ context.Context, req *linkpb.RecordsRequest) (*linkpb.ScanPage, error) {
			equal(t, "records request", req, recordsReq)
			return page, nil
		},
		OnProgress: func(_ context.Context, p *linkpb.Progress) (*linkpb.ProgressReply, error) {
			equal(t, "progress", p, progress)
			return reply, nil
		},
		OnChanges: func(_ context.Context, req *linkpb.ChangesRequest, fn func(*linkpb.ChangeBatch) error) error {
			equal(t, "changes request", req, changesReq)
			for _, b := range batches {
				if err := fn(b); err != nil {
					return err
				}
			}
			return link.Refuse(link.CodeBusy, "enough")
		},
	}
	far := connect(t, src)
	for range 3 { // the first on new connections, the others on used ones
		if got, err := far.Served(ctx); err != nil {
			t.Fatal(err)
		} else {
			equal(t, "served", got, served)
		}
		if got, err := far.Scan(ctx, scanReq); err != nil {
			t.Fatal(err)
		} else {
			equal(t, "page", got, page)
		}
		if got, err := far.Digest(ctx, digestReq); err != nil {
			t.Fatal(err)
		} else {
			equal(t, "sums", got, digest)
		}
		if got, err := far.Records(ctx, recordsReq); err != nil {
			t.Fatal(err)
		} else {
			equal(t, "records", got, page)
		}
		if got, err := far.Progress(ctx, progress); err != nil {
			t.Fatal(err)
		} else {
			equal(t, "reply", got, reply)
		}
		var got []*linkpb.ChangeBatch
		err := far.Changes(ctx, changesReq, func(b *linkpb.ChangeBatch) error {
			got = append(got, b)
			return nil
		})
		wantRefused(t, err, link.CodeBusy, "enough")
		if len(got) != len(batches) {
			t.Fatalf("%d batches, want %d", len(got), len(batches))
		}
		for i := range got {
			equal(t, fmt.Sprint("batch ", i), got[i], batches[i])
		}
	}
}

// testHello checks what a transport may fill into a greeting and what not.
func testHello(t *testing.T, connect Connect) {
	ctx := patient(t)
	var heard *linkpb.Hello
	far := connect(t, &Source{OnHello: func(_ context.Context, h *linkpb.Hello) (*linkpb.Hello, error) {
		heard = h
		return &linkpb.Hello{Version: link.Version, MinVersion: link.MinVersion, Epoch: 9, Clock: 11, Direction: "send", Session: []byte("far")}, nil
	}})
	mine := &linkpb.Hello{Version: link.Version + 5, MinVersion: link.MinVersion, Epoch: 4, Clock: 6, Direction: "receive", Session: []byte("near"), Features: []string{"x"}}
	before := proto.Clone(mine)
	theirs, err := far.Hello(ctx, mine)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the caller's greeting", mine, before)
	if heard.GetVersion() != link.Version+5 || heard.GetEpoch() != 4 || heard.GetClock() != 6 || heard.GetDirection() != "receive" || string(heard.GetSession()) != "near" || len(heard.GetFeatures()) != 1 {
		t.Errorf("the source heard %v", heard)
	}
	if theirs.GetEpoch() != 9 || theirs.GetClock() != 11 || theirs.GetDirection() != "send" || string(theirs.GetSession()) != "far" {
		t.Errorf("the caller heard %v", theirs)
	}
	_, err = far.Hello(ctx, &linkpb.Hello{Version: link.Version + 5, MinVersion: link.Version + 1})
	wantRefused(t, err, link.CodeVersion, "no common protocol version")
}

// testRefusals checks that refusals arrive with code and message, and that the
// connection lives on.
func testRefusals(t *testing.T, connect Connect) {
	ctx := patient(t)
	var code atomic.Value
	far := connect(t, failing(func() error {
		c := code.Load().(link.Code)
		// Wrapped, because that is how a source may hand it on.
		return fmt.Errorf("list buckets: %w", link.Refuse(c, "because of %s", c))
	}))
	for _, c := range []link.Code{link.CodeUnpaired, link.CodeNoService, link.CodeDisabled, link.CodeTunnel, link.CodeNotServed,
		link.CodeVersion, link.CodePaused, link.CodeInvalid, link.CodeStarting, link.CodeBusy, link.CodeLarge, link.CodeInternal, "of a later version"} {
		code.Store(c)
		for name, err := range everyCall(ctx, far) {
			t.Run(name, func(t *testing.T) { wantRefused(t, err, c, "because of "+string(c)) })
		}
	}
}

// testFailures checks that what fails at the sender says so, and no more.
func testFailures(t *testing.T, connect Connect) {
	ctx := patient(t)
	const canary = "/secret/path"
	far := connect(t, failing(func() error { return errors.New("open " + canary) }))
	for name, err := range everyCall(ctx, far) {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, err, link.CodeInternal, "")
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error tells %q", err)
			}
		})
	}
}

// testLargeMessages checks messages up to 3 MiB, and that one beyond every
// bound is an error that costs nothing else.
func testLargeMessages(t *testing.T, connect Connect) {
	ctx := patient(t)
	src := &Source{OnScan: func(_ context.Context, req *linkpb.ScanRequest) (*linkpb.ScanPage, error) {
		return &linkpb.ScanPage{NextKey: bytes.Repeat([]byte{'k'}, int(req.GetLimit())), Seen: &catalogpb.Vector{}}, nil
	}}
	far := connect(t, src)
	for _, n := range []int{0, 1, 2047, 64 << 10, 1 << 20, 3 << 20} {
		page, err := far.Scan(ctx, &linkpb.ScanRequest{Limit: uint32(n)})
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if len(page.GetNextKey()) != n {
			t.Fatalf("%d bytes, want %d", len(page.GetNextKey()), n)
		}
	}
	_, err := far.Scan(ctx, &linkpb.ScanRequest{Limit: 16 << 20})
	wantRefused(t, err, link.CodeInternal, "")
	_, err = far.Scan(ctx, &linkpb.ScanRequest{Path: strings.Repeat("p", 3<<20)})
	if err != nil {
		t.Fatal(err)
	}
}

// testCancelledCalls checks that the end of the caller's context ends the call
// at both ends.
func testCancelledCalls(t *testing.T, connect Connect) {
	block := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	src := &Source{
		OnServed: func(ctx context.Context) (*linkpb.Served, error) { return nil, block(ctx) },
		OnChanges: func(ctx context.Context, _ *linkpb.ChangesRequest, _ func(*linkpb.ChangeBatch) error) error {
			return block(ctx)
		},
		OnFetch: func(ctx context.Context, _ *linkpb.FetchRequest, _ func(*linkpb.ChunkHeader, []byte) error) error {
			return block(ctx)
		},
	}
	far := connect(t, src)
	for name, call := range map[string]func(context.Context) error{
		"served": func(ctx context.Context) error { _, err := far.Served(ctx); return err },
		"changes": func(ctx context.Context) error {
			return far.Changes(ctx, &linkpb.ChangesRequest{}, func(*linkpb.ChangeBatch) error { return nil })
		},
		"fetch": func(ctx context.Context) error {
			return far.Fetch(ctx, &linkpb.FetchRequest{}, func(*linkpb.ChunkHeader, []byte) error { return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(patient(t))
			result := make(chan error, 1)
			go func() { result <- call(ctx) }()
			WaitFor(t, "the call to reach the source", func() bool { return src.Running() == 1 })
			cancel()
			if err := <-result; !errors.Is(err, context.Canceled) {
				t.Errorf("the error is %v", err)
			}
			WaitFor(t, "the source's call to end", func() bool { return src.Running() == 0 })
		})
	}
}

// testLongLists sends lists of buckets that no single message could hold.
func testLongLists(t *testing.T, connect Connect) {
	const buckets = 40_000
	path := func(i int) string { return strings.Repeat("long-", 30) + strconv.Itoa(i) }
	list := new(linkpb.Served)
	req := new(linkpb.ChangesRequest)
	for i := range buckets {
		list.Buckets = append(list.Buckets, &linkpb.ServedBucket{Path: path(i), Seq: uint64(i)})
		req.Cursors = append(req.Cursors, &linkpb.BucketCursor{Path: path(i)})
	}
	asked := make(chan *linkpb.ChangesRequest, 1)
	src := connect(t, &Source{
		OnServed: func(context.Context) (*linkpb.Served, error) { return list, nil },
		OnChanges: func(_ context.Context, req *linkpb.ChangesRequest, _ func(*linkpb.ChangeBatch) error) error {
			asked <- proto.CloneOf(req)
			return link.Refuse(link.CodeBusy, "enough")
		},
	})
	got, err := src.Served(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, list) {
		t.Errorf("a list of %d buckets is another one than that of %d", len(got.GetBuckets()), buckets)
	}
	wantRefused(t, src.Changes(patient(t), req, func(*linkpb.ChangeBatch) error { return nil }), link.CodeBusy, "enough")
	if got := <-asked; !proto.Equal(got, req) {
		t.Errorf("a request with %d cursors is another one than that with %d", len(got.GetCursors()), buckets)
	}
}
