package objsync

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/chunkstest"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// pendingOf returns the pending table of a half's bucket.
func (h *half) pendingOf(path string) []*catalogpb.Pending {
	h.site.t.Helper()
	list, err := h.site.cat.Pending(path, h.peer.id, nil, 0)
	if err != nil {
		h.site.t.Fatal(err)
	}
	return list
}

func TestLargeVersionDoesNotHoldBackSmallOnes(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		large := random(1, 12<<20)
		root := x.site.store(large)
		open := make(chan struct{})
		y.wire.gate = func(ctx context.Context, h *linkpb.ChunkHeader) error {
			if h.GetRawLength() < 30_000 || h.GetRefused() != "" { // small bodies and nodes pass
				return nil
			}
			select {
			case <-open:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		x.site.put(bk1, "large", large)
		for i := range 20 {
			x.site.put(bk1, fmt.Sprint("small", i), random(uint64(i)+50, 2000))
		}
		at := time.Now()
		until(t, 10*time.Second, "small ones are there", func() bool { return len(y.site.listing(bk1)) == 20 })
		if d := time.Since(at); d > time.Second {
			t.Errorf("small versions waited %s for a large one", d)
		}
		if n := len(y.pendingOf(bk1)); n != 0 {
			t.Errorf("%d versions are pending before 5 s are over", n)
		}
		until(t, 10*time.Second, "the large one is pending", func() bool {
			list := y.pendingOf(bk1)
			return len(list) == 1 && list[0].GetReason() == catalogpb.PendingReason_PENDING_TRANSFERRING
		})
		cursor, err := y.site.cat.Cursor(bk1, x.site.id)
		if err != nil || cursor.GetSeq() != x.site.seq(bk1) {
			t.Errorf("cursor at %d, want %d: %v", cursor.GetSeq(), x.site.seq(bk1), err)
		}
		pause(20 * time.Second)
		if st := y.engine.Status(); st.Lag.Age < 20*time.Second || st.State == StateInSync {
			t.Errorf("lag %v in state %s with a version 20 s old", st.Lag, st.State)
		}
		if x.local.Status().InSync {
			t.Error("the sender calls it in sync")
		}
		close(open)
		synced(t, 30*time.Second, x, y)
		if got, _ := y.site.read(bk1, "large"); !bytes.Equal(got, large) {
			t.Error("the large version differs")
		}
		if n := len(y.pendingOf(bk1)); n != 0 {
			t.Errorf("%d versions are still pending", n)
		}
		_ = root
	})
}

func TestRestartFetchesNothingTwice(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		large := random(1, 40<<20)
		x.site.put(bk1, "large", large)
		// Each chunk takes 20 ms for each of the workers.
		y.wire.gate = func(ctx context.Context, _ *linkpb.ChunkHeader) error {
			select {
			case <-time.After(20 * time.Millisecond):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		x.start()
		restarts := 0
		for {
			y.start()
			pause(250 * time.Millisecond)
			synctest.Wait()
			if _, ok := y.site.read(bk1, "large"); ok {
				break
			}
			y.halt()
			if restarts++; restarts > 100 {
				t.Fatal("no end after 100 restarts")
			}
		}
		if restarts < 3 {
			t.Fatalf("only %d restarts: the test shows nothing", restarts)
		}
		synced(t, 30*time.Second, x, y)
		if got, _ := y.site.read(bk1, "large"); !bytes.Equal(got, large) {
			t.Error("the version differs")
		}
		// An orderly stop saves all that has arrived.
		for id, n := range y.wire.fetched {
			if n > 1 {
				t.Errorf("chunk %s was fetched %d times", id, n)
			}
		}
	})
}

func TestCrashCostsAWindowAtMost(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		large := random(1, 64<<20)
		x.site.put(bk1, "large", large)
		x.start()
		y.start()
		// The store of the receiver takes no chunk any more from some moment on,
		// as if the power had gone: whatever was on its way is lost.
		store := y.site.chunks.Store.(*mortal)
		store.dieAfter(3)
		until(t, 30*time.Second, "the store fails", func() bool { return y.engine.Status().Counters.LocalErrors > 0 })
		y.halt()
		store.revive()
		lost := y.wire.bytes - int(y.site.chunks.Stats().Bytes)
		if lost <= 0 || lost > 16<<20 {
			t.Errorf("%d bytes have to be sent again", lost)
		}
		y.start()
		synced(t, 60*time.Second, x, y)
		if repeated := y.wire.bytes - int(y.site.chunks.Stats().Bytes); repeated > 16<<20 {
			t.Errorf("%d bytes were sent again", repeated)
		}
	})
}

func TestWrongChunkIsNeverStored(t *testing.T) {
	bad := random(7, 3000)
	id := chunks.Sum(bad)
	for name, body := range map[string]func(h *linkpb.ChunkHeader, body []byte) ([]byte, error){
		"a bit is flipped": func(_ *linkpb.ChunkHeader, body []byte) ([]byte, error) { body[9] ^= 1; return body, nil },
		"it is cut short":  func(_ *linkpb.ChunkHeader, body []byte) ([]byte, error) { return body[:len(body)-1], nil },
		"another length is declared": func(h *linkpb.ChunkHeader, body []byte) ([]byte, error) {
			h.RawLength = chunks.MaxRaw + 1
			return body, nil
		},
		"a bomb": func(h *linkpb.ChunkHeader, body []byte) ([]byte, error) {
			c := testCodec().Encode(chunks.Sum(make([]byte, 200_000)), make([]byte, 200_000), nil)
			h.Encoding, h.RawLength, h.Length = uint32(chunks.Zstd), 3000, uint32(len(c.Data))
			return bytes.Clone(c.Data), nil
		},
		"another encoding": func(h *linkpb.ChunkHeader, body []byte) ([]byte, error) { h.Encoding = 77; return body, nil },
		"another chunk": func(h *linkpb.ChunkHeader, body []byte) ([]byte, error) {
			other := random(8, 3000)
			sum := chunks.Sum(other)
			h.Id, h.Encoding, h.RawLength, h.Length = sum[:], uint32(chunks.Raw), 3000, 3000
			return other, nil
		},
		"another want": func(h *linkpb.ChunkHeader, body []byte) ([]byte, error) { h.Want += 7; return body, nil },
	} {
		t.Run(name, func(t *testing.T) {
			pair(t, nil, func(t *testing.T, x, y *half) {
				x.site.makeBucket(bk1, 1)
				x.start()
				y.start()
				synced(t, 30*time.Second, x, y)
				y.wire.body = func(h *linkpb.ChunkHeader, b []byte) ([]byte, error) {
					if bytes.Equal(h.GetId(), id[:]) {
						return body(h, b)
					}
					return b, nil
				}
				before := y.site.chunks.Stats().Chunks
				x.site.put(bk1, "bad", bad)
				for i := range 10 {
					x.site.put(bk1, fmt.Sprint("good", i), random(uint64(i)+90, 3000))
					pause(100 * time.Millisecond)
				}
				// It breaks two sessions, is put aside then, and nothing waits for it.
				until(t, 60*time.Second, "the rest is there", func() bool { return len(y.site.listing(bk1)) == 10 })
				until(t, 60*time.Second, "in quarantine", func() bool {
					list := y.pendingOf(bk1)
					return len(list) == 1 && list[0].GetReason() == catalogpb.PendingReason_PENDING_QUARANTINED
				})
				p := y.pendingOf(bk1)[0]
				if p.GetCause() == "" || p.GetAttempts() != 1 || p.GetNextRetry() == 0 {
					t.Errorf("entry: %v", p)
				}
				if n := y.site.chunks.Stats().Chunks - before; n != 10 {
					t.Errorf("%d chunks were stored for 10 good versions", n)
				}
				st := y.engine.Status()
				if st.Counters.IntegrityErrors < 2 || st.Quarantined != 1 {
					t.Errorf("status: %+v", st)
				}
				pause(40 * time.Second)
				if st := y.engine.Status(); st.State == StateInSync {
					t.Errorf("state %s with a version in quarantine", st.State)
				}
				// Once the line is sound the retry brings it.
				y.wire.mu.Lock()
				y.wire.body = nil
				y.wire.mu.Unlock()
				synced(t, 10*time.Minute, x, y)
				if got, _ := y.site.read(bk1, "bad"); !bytes.Equal(got, bad) {
					t.Error("the version differs")
				}
			})
		})
	}
}

// TestDamagedChunkOfALongKey has a chunk damaged of each of two keys whose characters
// take two bytes, one at an odd place: the words about them are cut within one of them.
// Each is put in quarantine, and the bucket goes on.
func TestDamagedChunkOfALongKey(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		y.wire.body = func(h *linkpb.ChunkHeader, body []byte) ([]byte, error) {
			if len(body) > 2000 {
				body[len(body)/2] ^= 1
			}
			return body, nil
		}
		long := strings.Repeat("ж", 500)
		x.site.put(bk1, long, random(80, 3000))
		x.site.put(bk1, "x"+long, random(81, 3000))
		x.site.put(bk1, "good", random(82, 1000))
		until(t, time.Minute, "the rest is there", func() bool { _, ok := y.site.read(bk1, "good"); return ok })
		until(t, time.Minute, "both are in quarantine", func() bool {
			return len(y.pendingOf(bk1)) == 2 && reasonOf(y, long).GetReason() == quarantined && reasonOf(y, "x"+long).GetReason() == quarantined
		})
		for _, p := range y.pendingOf(bk1) {
			if n := len(p.GetCause()); n > maxCause || n < maxCause-utf8.UTFMax {
				t.Errorf("the cause has %d bytes: %s", n, p.GetCause())
			}
		}
		if n := y.engine.Status().Counters.LocalErrors; n != 0 {
			t.Errorf("%d sessions were ended by this site itself", n)
		}
	})
}

func TestRefusedChunkQuarantinesItsVersion(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		bad := random(7, 3000)
		x.site.chunks.Plan(chunkstest.Fault{Op: chunkstest.OpGet, ID: chunks.Sum(bad), Times: 3, Err: chunks.ErrCorrupt})
		x.site.put(bk1, "bad", bad)
		x.site.put(bk1, "good", []byte("good"))
		until(t, 30*time.Second, "in quarantine", func() bool {
			list := y.pendingOf(bk1)
			return len(list) == 1 && strings.Contains(list[0].GetCause(), "cannot be read")
		})
		if n := y.engine.Status().Counters.Sessions; n != 1 {
			t.Errorf("%d sessions: a refusal must not break one", n)
		}
		if _, ok := y.site.read(bk1, "good"); !ok {
			t.Error("the good version waits for the bad one")
		}
		// The third attempt fails too, the fourth succeeds.
		synced(t, 30*time.Minute, x, y)
		sameHeads(t, bk1, x.site, y.site)
	})
}

// TestQuarantineIsOfOneBucket has a version put in quarantine, and a sound one of another
// bucket that is as far in that bucket's count: it comes.
func TestQuarantineIsOfOneBucket(t *testing.T) {
	const bk2 = "Hawaii/Cola/bk2"
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.site.makeBucket(bk2, 1)
		x.serve(bk1, bk2)
		y.serve(bk1, bk2)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		bad := random(7, 3000)
		x.site.chunks.Plan(chunkstest.Fault{Op: chunkstest.OpGet, ID: chunks.Sum(bad), Times: 2, Err: chunks.ErrCorrupt})
		x.site.put(bk1, "bad", bad)
		until(t, 30*time.Second, "in quarantine", func() bool { return reasonOf(y, "bad").GetReason() == quarantined })
		x.site.put(bk2, "good", []byte("good"))
		until(t, 30*time.Second, "the version of the other bucket", func() bool { _, ok := y.site.read(bk2, "good"); return ok })
		if n := y.engine.Status().Quarantined; n != 1 {
			t.Errorf("%d versions are in quarantine, want 1", n)
		}
	})
}

// TestQuarantineEndsByAnotherLink puts a version in quarantine that its sender cannot
// read, and brings what replaced it over another link: nothing is left to ask for, so
// nothing is asked for.
func TestQuarantineEndsByAnotherLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := newTestSite(t, 1), newTestSite(t, 2), newTestSite(t, 3)
		aToC, cToA := connect(t, a, c, nil, bk1)
		_, bToA := connect(t, a, b, func(o *EngineOptions) { o.RetryMin, o.RetryMax = time.Hour, time.Hour }, bk1)
		_, bToC := connect(t, c, b, nil, bk1)
		defer func() {
			for _, h := range []*half{aToC, cToA, bToA, bToC} {
				h.halt()
			}
			for _, s := range []*testSite{a, b, c} {
				s.close()
			}
		}()
		a.makeBucket(bk1, 1)
		old := random(7, 3000)
		a.put(bk1, "k", old)
		aToC.start()
		cToA.start()
		synced(t, 30*time.Second, aToC, cToA)
		aToC.halt()
		cToA.halt()
		a.chunks.Plan(chunkstest.Fault{Op: chunkstest.OpGet, ID: chunks.Sum(old), Times: 2, Err: chunks.ErrCorrupt})
		bToA.start()
		until(t, 30*time.Second, "in quarantine", func() bool { return len(bToA.pendingOf(bk1)) == 1 })
		c.put(bk1, "k", []byte("new"))
		bToC.start()
		until(t, 30*time.Second, "the new one is there", func() bool {
			got, _ := b.read(bk1, "k")
			return string(got) == "new"
		})
		until(t, 10*time.Second, "nothing is pending, long before the next retry", func() bool { return len(bToA.pendingOf(bk1)) == 0 })
		until(t, 30*time.Second, "in sync", func() bool { return bToA.engine.Status().State == StateInSync })
		if n := bToA.engine.Status().Counters; n.Chunks != 0 || n.RemoteErrors != 2 || n.Sessions != 1 {
			t.Errorf("%d chunks came, after %d errors there, in %d sessions", n.Chunks, n.RemoteErrors, n.Sessions)
		}
	})
}

func TestGoneSettles(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		old := random(3, 9000)
		first := chunks.Sum(old)
		replaced := false
		y.wire.gate = func(_ context.Context, h *linkpb.ChunkHeader) error {
			if bytes.Equal(h.GetId(), first[:]) && !replaced {
				t.Error("the old version was sent before it was replaced")
			}
			return nil
		}
		// The version is replaced between its offer and the request for it.
		y.wire.change = func(b *linkpb.ChangeBatch) {
			for _, c := range b.GetChanges() {
				if string(c.GetRecord().GetKey()) == "k" && !replaced {
					replaced = true
					x.site.put(bk1, "k", []byte("new"))
				}
			}
		}
		x.site.put(bk1, "k", old)
		until(t, 30*time.Second, "the new one is there", func() bool {
			got, _ := y.site.read(bk1, "k")
			return string(got) == "new"
		})
		synced(t, 30*time.Second, x, y)
		if !replaced || x.local.Status().Counters.Gone == 0 {
			t.Error("nothing was gone: the test shows nothing")
		}
	})
}

func TestHostileGenerationIsQuarantined(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		y.wire.change = func(b *linkpb.ChangeBatch) {
			for _, c := range b.GetChanges() {
				if string(c.GetRecord().GetKey()) == "evil" {
					c.Record.Generation = 1<<62 + 1
				}
			}
		}
		x.site.put(bk1, "evil", []byte("evil"))
		x.site.put(bk1, "good", []byte("good"))
		until(t, 30*time.Second, "in quarantine", func() bool {
			list := y.pendingOf(bk1)
			_, good := y.site.read(bk1, "good")
			return good && len(list) == 1 && list[0].GetReason() == catalogpb.PendingReason_PENDING_QUARANTINED
		})
		if _, ok := y.site.read(bk1, "evil"); ok {
			t.Error("the version was applied")
		}
		if st := y.engine.Status(); st.Counters.Sessions != 1 {
			t.Errorf("%d sessions", st.Counters.Sessions)
		}
	})
}

func TestBrokenProtocolEndsTheSession(t *testing.T) {
	for name, change := range map[string]func(b *linkpb.ChangeBatch){
		"a gap":                func(b *linkpb.ChangeBatch) { b.From++ },
		"a repetition":         func(b *linkpb.ChangeBatch) { b.From-- },
		"out of order":         func(b *linkpb.ChangeBatch) { b.Changes[0].Seq = b.To + 1 },
		"no dot":               func(b *linkpb.ChangeBatch) { b.Changes[0].Record.Dot = nil },
		"no key":               func(b *linkpb.ChangeBatch) { b.Changes[0].Record.Key = nil },
		"no record":            func(b *linkpb.ChangeBatch) { b.Changes[0].Record = nil },
		"a huge record":        func(b *linkpb.ChangeBatch) { b.Changes[0].Record.Etag = strings.Repeat("x", 1<<20) },
		"another bucket":       func(b *linkpb.ChangeBatch) { b.Path = "Hawaii/Cola/other" },
		"a vector of nonsense": func(b *linkpb.ChangeBatch) { b.Seen = &catalogpb.Vector{Upto: []*catalogpb.Dot{{Origin: []byte("x")}}} },
	} {
		t.Run(name, func(t *testing.T) {
			pair(t, nil, func(t *testing.T, x, y *half) {
				x.site.makeBucket(bk1, 1)
				x.start()
				y.start()
				synced(t, 30*time.Second, x, y)
				done := false
				y.wire.change = func(b *linkpb.ChangeBatch) {
					if len(b.GetChanges()) > 0 && !done {
						done = true
						change(b)
					}
				}
				x.site.put(bk1, "k", []byte("v"))
				until(t, 30*time.Second, "dropped", func() bool { return y.engine.Status().Counters.IntegrityErrors == 1 })
				synced(t, 30*time.Second, x, y)
				sameHeads(t, bk1, x.site, y.site)
			})
		})
	}
}

func TestNoSpaceStopsAndGoesOn(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.site.put(bk1, "k", []byte("will be deleted"))
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		y.site.chunks.Plan(chunkstest.Fault{Op: chunkstest.OpPut, Times: 6, Err: fmt.Errorf("put: %w", chunks.ErrNoSpace)})
		for i := range 30 {
			x.site.put(bk1, fmt.Sprint("k", i), random(uint64(i), 20_000))
		}
		x.site.del(bk1, "k")
		until(t, 30*time.Second, "says so", func() bool {
			st := y.engine.Status()
			return st.State == StateLagging && strings.Contains(st.Cause, "no space")
		})
		// What needs no space goes on.
		until(t, 5*time.Second, "the deletion is there", func() bool { _, ok := y.site.read(bk1, "k"); return !ok })
		pause(10 * time.Second)
		if n := len(y.pendingOf(bk1)); n != 0 {
			t.Errorf("%d versions went to the pending table", n)
		}
		until(t, 10*time.Second, "the sender knows why", func() bool {
			return strings.Contains(x.local.Status().Buckets[0].Cause, "no space")
		})
		synced(t, 5*time.Minute, x, y)
		sameHeads(t, bk1, x.site, y.site)
		if st := y.engine.Status(); st.Counters.Sessions != 1 || st.Counters.LocalErrors != 6 {
			t.Errorf("%d sessions and %d local errors", st.Counters.Sessions, st.Counters.LocalErrors)
		}
	})
}

func TestFullPendingTableStopsOneBucket(t *testing.T) {
	const other = "Hawaii/Pepsi/bk1"
	tune := func(o *EngineOptions) { o.PendingLimit = 5 }
	pair(t, tune, func(t *testing.T, x, y *half) {
		x.serve(bk1, other)
		y.serve(bk1, other)
		x.site.makeBucket(bk1, 1)
		x.site.makeBucket(other, 1)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		y.wire.change = func(b *linkpb.ChangeBatch) {
			for _, c := range b.GetChanges() {
				if strings.HasPrefix(string(c.GetRecord().GetKey()), "evil") {
					c.Record.Generation = 1<<62 + 1
				}
			}
		}
		for i := range 8 {
			x.site.put(bk1, fmt.Sprint("evil", i), []byte("evil"))
		}
		x.site.put(bk1, "behind", []byte("v"))
		until(t, 30*time.Second, "full", func() bool { return len(y.pendingOf(bk1)) == 5 })
		pause(5 * time.Second)
		cursor, err := y.site.cat.Cursor(bk1, x.site.id)
		if err != nil || cursor.GetSeq() != 5 {
			t.Errorf("cursor at %d: %v", cursor.GetSeq(), err)
		}
		if st := y.engine.Status(); !strings.Contains(st.Cause, "pending table is full") {
			t.Errorf("state %s: %s", st.State, st.Cause)
		}
		for i := range 20 {
			x.site.put(other, fmt.Sprint("k", i), random(uint64(i), 1000))
		}
		until(t, 10*time.Second, "the other bucket goes on", func() bool { return len(y.site.listing(other)) == 20 })
	})
}

func TestFullLaneParksOneBucket(t *testing.T) {
	const (
		other = "Hawaii/Pepsi/bk1"
		lane  = 300
	)
	pair(t, func(o *EngineOptions) { o.PendingLimit, o.lane = 1, lane }, func(t *testing.T, x, y *half) {
		x.serve(bk1, other)
		y.serve(bk1, other)
		x.site.makeBucket(bk1, 1)
		x.site.makeBucket(other, 1)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		open := make(chan struct{})
		y.wire.gate = func(ctx context.Context, h *linkpb.ChunkHeader) error {
			if h.GetRawLength() != 3000 {
				return nil
			}
			select {
			case <-open:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		// Two versions that do not come: one is pending, one blocks the cursor.
		x.site.put(bk1, "blocked1", random(1, 3000))
		x.site.put(bk1, "blocked2", random(2, 3000))
		pause(100 * time.Millisecond) // so that nothing else is in their requests
		for i := range lane + 700 {
			x.site.put(bk1, fmt.Sprint("k", i), []byte("v"))
		}
		pause(time.Second)
		for i := range 20 {
			x.site.put(other, fmt.Sprint("k", i), random(uint64(i), 1000))
		}
		until(t, 10*time.Second, "the other bucket goes on", func() bool { return len(y.site.listing(other)) == 20 })
		until(t, 10*time.Second, "what came is there although the cursor stands", func() bool { return len(y.site.listing(bk1)) >= lane*3/4 })
		if n := len(y.site.listing(bk1)); n > lane+600 {
			t.Errorf("%d keys are there: nothing was parked", n)
		}
		close(open)
		synced(t, 60*time.Second, x, y)
		sameHeads(t, bk1, x.site, y.site)
	})
}

func TestStatesAndCauses(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		is := func(want State, word string) {
			t.Helper()
			until(t, 90*time.Second, string(want), func() bool {
				st := y.engine.Status()
				return st.State == want && strings.Contains(st.Cause, word)
			})
		}
		y.wire.cut()
		y.start()
		is(StateConnecting, "cut")
		x.opts.Source = nil // x does not pull in this test
		y.serve("Hawaii/Cola/nothing")
		y.wire.mend()
		is(StateWaiting, "no bucket is served by both")
		y.serve(bk1)
		is(StateWaiting, "no served bucket exists at both")
		x.site.makeBucket(bk1, 1)
		x.site.put(bk1, "k", []byte("v"))
		is(StateInSync, "")
		// The log does not commit: there is work and nothing moves.
		y.site.mu.Lock()
		y.site.fail = context.DeadlineExceeded
		y.site.mu.Unlock()
		x.site.put(bk1, "k2", []byte("v"))
		is(StateConnecting, "commit")
		y.site.mu.Lock()
		y.site.fail = nil
		y.site.mu.Unlock()
		is(StateInSync, "")
		hang := make(chan struct{})
		y.wire.gate = func(ctx context.Context, _ *linkpb.ChunkHeader) error {
			select {
			case <-hang:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		x.site.put(bk1, "k3", []byte("not yet there"))
		is(StateSyncing, "k3")
		is(StateLagging, "old")
		is(StateStalled, "nothing has moved")
		close(hang)
		is(StateInSync, "")
		// Another site at the other end.
		y.halt()
		y.opts.Peer = state.SiteID{1: 9}
		y.start()
		is(StateRefused, "instead of the paired")
		if st := y.engine.Status(); st.Next == "" {
			t.Error("no word on what to do")
		}
	})
}

func TestBackoffIsBoundedAndKickEndsIt(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		y.wire.cut()
		y.start()
		pause(2 * time.Minute)
		x.site.makeBucket(bk1, 1)
		y.wire.mend()
		y.engine.Kick()
		at := time.Now()
		until(t, 30*time.Second, "in sync", func() bool { return y.engine.Status().State == StateInSync })
		if d := time.Since(at); d > time.Second {
			t.Errorf("connected %s after the kick", d)
		}
	})
}

// TestQuarantineIsNoStall waits for the next retry of a version in quarantine: nothing
// moves before, and nothing should.
func TestQuarantineIsNoStall(t *testing.T) {
	pair(t, func(o *EngineOptions) { o.RetryMin, o.RetryMax = time.Hour, time.Hour }, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		putBad(t, x, y)
		for began := time.Now(); time.Since(began) < 50*time.Minute; pause(10 * time.Second) {
			if st := y.engine.Status(); st.State == StateStalled {
				t.Fatalf("after %s it is %s: %s", time.Since(began), st.State, st.Cause)
			}
		}
		if st := y.engine.Status(); st.State != StateLagging || !strings.Contains(st.Cause, "1 versions are in quarantine") {
			t.Errorf("it is %s: %s", st.State, st.Cause)
		}
	})
}
