package objsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/chunkstest"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// What users of other systems have lived through, one test each: docs/promises.md
// lists them.

// TestErrorsLoseNothing copies a bucket, and then changes of it, while a part of all
// fetches, reads, stores and commits fails. After each commit of the receiver it looks
// at whether the cursor has passed anything that is neither applied nor pending by
// name, and before each whether a version is about to be shown without its content.
func TestErrorsLoseNothing(t *testing.T) {
	pair(t, func(o *EngineOptions) { o.page = 50 }, func(t *testing.T, x, y *half) {
		rng := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex // guards dice, which many goroutines throw
		dice := rand.New(rand.NewPCG(5, 6))
		fails := func(oneIn int) bool {
			mu.Lock()
			defer mu.Unlock()
			return dice.IntN(oneIn) == 0
		}
		x.site.makeBucket(bk1, 1)
		write := func(from, to int) {
			for i := from; i < to; i++ {
				x.site.put(bk1, fmt.Sprintf("k%04d", i), random(uint64(i), 100+rng.IntN(60_000)))
			}
		}
		write(0, 300)
		x.site.put(bk1, "large", random(9999, 6<<20))

		commits, passed := 0, uint64(0)
		y.site.commit = func(ctx context.Context, e siteEntry) (*raftfsmpb.Result, error) {
			in := e.cmd.GetIngest()
			if in != nil && fails(8) {
				return nil, errors.New("the log did not commit")
			}
			for _, r := range in.GetRecords() {
				if why := y.site.lacks(r); why != "" {
					t.Errorf("%s is about to be shown without its content: %s", r.GetKey(), why)
				}
			}
			e.now = time.Now().UnixNano()
			res := y.site.apply(func(b *catalog.Batch) *raftfsmpb.Result { return e.do(y.site, b) })
			if in != nil {
				commits++
				cursor, forgotten := passedOver(t, x.site, y.site)
				passed = max(passed, cursor)
				for _, r := range forgotten {
					t.Errorf("the cursor is at %d, past %s of %s, which is neither here nor pending", cursor, keyOf(r.GetDot()), r.GetKey())
				}
			}
			return res, nil
		}
		y.wire.body = func(_ *linkpb.ChunkHeader, body []byte) ([]byte, error) {
			switch {
			case fails(60):
				return nil, errCut
			case len(body) > 0 && fails(60):
				body[0] ^= 1
			}
			return body, nil
		}
		x.site.chunks.Plan(chunkstest.Fault{Op: chunkstest.OpGet, Skip: 100, Times: 20, Err: chunks.ErrCorrupt})
		y.site.chunks.Plan(
			chunkstest.Fault{Op: chunkstest.OpPut, Skip: 5, Times: 2, Err: errors.New("the disk failed")},
			chunkstest.Fault{Op: chunkstest.OpPut, Skip: 12, Times: 3, Err: fmt.Errorf("put: %w", chunks.ErrNoSpace)},
		)
		x.start()
		y.start()
		until(t, time.Hour, "half of the first copy", func() bool { return len(y.site.listingOf(bk1)) > 150 })
		write(250, 400) // some of them again
		for i := range 40 {
			x.site.del(bk1, fmt.Sprintf("k%04d", i*10))
		}
		until(t, 6*time.Hour, "everything is there", func() bool {
			return y.engine.Status().State == StateInSync && x.local.Status().InSync
		})
		sameHeads(t, bk1, x.site, y.site)
		st := y.engine.Status().Counters
		if commits < 20 || passed != x.site.seq(bk1) || st.IntegrityErrors == 0 || st.LocalErrors == 0 || st.RemoteErrors == 0 || st.NetworkErrors == 0 {
			t.Errorf("%d commits, cursor at %d of %d: the test shows too little: %+v", commits, passed, x.site.seq(bk1), st)
		}
	})
}

// lacks says what of a record's content a site does not have; empty: nothing.
func (s *testSite) lacks(r *catalogpb.Record) string {
	ref, err := rootOf(r)
	if err != nil {
		return err.Error()
	}
	if ref.IsEmpty() {
		return ""
	}
	ctx := context.Background()
	var buf chunks.Buffer
	get := s.chunks.Store.Get // a look does not use up planned faults
	err = manifest.Leaves(ctx, get, ref, 0, ref.Size, func(l manifest.Leaf) error { return get(ctx, l.ID, &buf) })
	if err != nil {
		return err.Error()
	}
	return ""
}

// passedOver returns a receiver's cursor, and what the sender's log holds up to it that
// the receiver would still have to take.
func passedOver(t *testing.T, from, to *testSite) (cursor uint64, forgotten []*catalogpb.Record) {
	t.Helper()
	c, err := to.cat.Cursor(bk1, from.id)
	if err != nil || c.GetScan() != nil || !c.GetInitialDone() {
		return c.GetSeq(), nil // what is below it is still being brought by the scan
	}
	pending := make(map[dotKey]bool)
	list, err := to.cat.Pending(bk1, from.id, nil, catalog.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		pending[keyOf(p.GetRecord().GetDot())] = true
	}
	for after := uint64(0); after < c.GetSeq(); {
		page, err := from.cat.Log(bk1, after, 0)
		if err != nil {
			t.Fatal(err)
		}
		var records []*catalogpb.Record
		for _, item := range page.Entries {
			if item.Record != nil && item.Seq <= c.GetSeq() && !pending[keyOf(item.Record.GetDot())] {
				records = append(records, item.Record)
			}
		}
		verdicts, _, err := to.cat.Decide(bk1, records)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range verdicts {
			if v == catalog.Apply || v == catalog.Invalid {
				forgotten = append(forgotten, records[i])
			}
		}
		if page.AtEnd {
			break
		}
		after = page.To
	}
	return c.GetSeq(), forgotten
}

// TestLagIsTrue compares what both ends of a link say of how far behind it is with how
// far behind it is: at rest, under traffic, with one version that does not come, and
// after it has come.
func TestLagIsTrue(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		const slack = 1500 * time.Millisecond // a heartbeat, and a word under way
		rng := rand.New(rand.NewPCG(3, 4))
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		stuck := make(chan struct{})
		dice := rand.New(rand.NewPCG(5, 6))
		y.wire.mu.Lock()
		y.wire.delay = func() time.Duration { return time.Duration(dice.IntN(80)) * time.Millisecond }
		y.wire.gate = func(ctx context.Context, h *linkpb.ChunkHeader) error {
			if h.GetRawLength() != 7777 {
				return nil
			}
			select {
			case <-stuck:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		y.wire.mu.Unlock()
		missing := make(map[string]time.Time) // written at x, not at y
		var rest time.Time                    // since when nothing is missing
		n := 0
		// look compares once, and returns how many versions are missing.
		look := func(phase string) int {
			t.Helper()
			synctest.Wait()
			now := time.Now()
			there := y.site.listing(bk1)
			var oldest time.Time
			for key, at := range missing {
				if _, ok := there[key]; ok {
					delete(missing, key)
				} else if oldest.IsZero() || at.Before(oldest) {
					oldest = at
				}
			}
			in, out := y.engine.Status(), x.local.Status()
			if len(missing) == 0 {
				if rest.IsZero() {
					rest = now
				}
				if now.Sub(rest) > 5*time.Second { // the receiver tells of rest every 3 s
					if in.State != StateInSync || in.Lag != (Lag{Known: true}) || in.BacklogVersions != 0 || in.Pending != 0 {
						t.Errorf("%s: nothing has been missing for %s, and the receiver says %s, lag %v, %d behind", phase, now.Sub(rest), in.State, in.Lag, in.BacklogVersions)
					}
					if !out.InSync || out.Lag != (Lag{Known: true}) || out.BacklogVersions != 0 {
						t.Errorf("%s: nothing has been missing for %s, and the sender says lag %v, %d behind", phase, now.Sub(rest), out.Lag, out.BacklogVersions)
					}
				}
				return 0
			}
			rest = time.Time{}
			age := now.Sub(oldest)
			if age > slack {
				if in.State == StateInSync || in.BacklogVersions == 0 || !in.Lag.Known || in.Lag.Age < age-slack || in.Lag.Age > age+2*slack {
					t.Errorf("%s: %d versions are missing, for %s, and the receiver says %s, lag %v, %d behind", phase, len(missing), age, in.State, in.Lag, in.BacklogVersions)
				}
				if out.InSync || out.BacklogVersions+uint64(out.Buckets[0].Pending) == 0 || !out.Lag.Known || out.Lag.Age < age-slack || out.Lag.Age > age+5*time.Second {
					t.Errorf("%s: %d versions are missing, for %s, and the sender says lag %v, %d behind", phase, len(missing), age, out.Lag, out.BacklogVersions)
				}
			}
			return len(missing)
		}
		write := func(size int) {
			key := fmt.Sprintf("k%05d", n)
			n++
			x.site.put(bk1, key, random(uint64(n), size))
			missing[key] = time.Now()
		}
		for range 40 {
			look("at rest")
			pause(500 * time.Millisecond)
		}
		for range 250 {
			write(200 + rng.IntN(2000))
			look("under traffic")
			pause(time.Duration(rng.IntN(60)) * time.Millisecond)
		}
		for range 40 {
			look("after the traffic")
			pause(500 * time.Millisecond)
		}
		write(7777)
		pause(time.Second) // so that nothing else is in its request
		for i := range 200 {
			if i%3 == 0 {
				write(300)
			}
			look("with one that does not come")
			pause(200 * time.Millisecond)
		}
		pause(5 * time.Second)
		if n := look("with one that does not come"); n != 1 {
			t.Errorf("%d versions are missing, want 1", n)
		}
		if in, out := y.engine.Status(), x.local.Status(); in.BacklogVersions != 1 || out.BacklogVersions+out.Buckets[0].Pending < 1 {
			t.Errorf("one version is behind: the receiver says %d, the sender %d", in.BacklogVersions, out.BacklogVersions)
		}
		close(stuck)
		for range 40 {
			look("after it came")
			pause(500 * time.Millisecond)
		}
		if len(missing) > 0 {
			t.Errorf("%d versions never came", len(missing))
		}
	})
}

// hanging is a source of which one kind of request hangs, while everything else, the
// heartbeats too, goes on.
type hanging struct {
	link.Source
	kind string
	on   chan struct{} // closed: it hangs
	off  chan struct{} // closed: what comes next does not
}

func (h *hanging) wait(ctx context.Context, kind string) error {
	select {
	case <-h.on:
	default:
		return nil
	}
	select {
	case <-h.off:
		return nil
	default:
	}
	if h.kind != kind {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (h *hanging) Scan(ctx context.Context, req *linkpb.ScanRequest) (*linkpb.ScanPage, error) {
	if err := h.wait(ctx, "scan"); err != nil {
		return nil, err
	}
	return h.Source.Scan(ctx, req)
}

func (h *hanging) Fetch(ctx context.Context, req *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
	if err := h.wait(ctx, "fetch"); err != nil {
		return err
	}
	return h.Source.Fetch(ctx, req, fn)
}

func (h *hanging) Changes(ctx context.Context, req *linkpb.ChangesRequest, fn func(*linkpb.ChangeBatch) error) error {
	return h.Source.Changes(ctx, req, func(b *linkpb.ChangeBatch) error {
		if h.wait(ctx, "changes") != nil {
			return ctx.Err()
		}
		return fn(b)
	})
}

// TestDeclinedNoMore serves a bucket at the receiving side at last: the sender does not
// go on saying that it is declined, and the link in sync, while it is being opened.
func TestDeclinedNoMore(t *testing.T) {
	var src *hanging
	tune := func(o *EngineOptions) {
		if o.Peer[15] == 1 { // y asks x
			src = &hanging{Source: o.Source, kind: "scan", on: make(chan struct{}), off: make(chan struct{})}
			o.Source = src
		}
	}
	pair(t, tune, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.site.makeBucket(bk2, 1)
		x.site.put(bk2, "stuck", []byte("2"))
		y.serve(bk1)
		x.serve(bk1, bk2)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		declined := func() string {
			for _, b := range x.local.Status().Buckets {
				if b.Path == bk2 {
					return b.Declined
				}
			}
			return "nothing is said"
		}
		until(t, 10*time.Second, "declined", func() bool { return strings.Contains(declined(), "not served at") })
		close(src.on)
		y.serve(bk1, bk2)
		until(t, 10*time.Second, "declined no more", func() bool { return declined() == "" })
		if x.local.Status().InSync {
			t.Error("the sender calls it in sync")
		}
	})
}

// TestNothingHangsInSilence lets one part of a link hang for ever while all others
// work: within a minute of no progress the link is stalled, and says what the oldest
// work waits for and what to do.
func TestNothingHangsInSilence(t *testing.T) {
	for _, c := range []struct {
		part string
		say  string
	}{
		{"fetch", `fetching key "stuck"`},
		{"changes", "nothing was heard of what changes at site1"},
		{"scan", bk2},
		{"store", `this site's disk to store key "stuck"`},
		{"commit", "this site's log"},
	} {
		t.Run(c.part, func(t *testing.T) {
			var src *hanging
			tune := func(o *EngineOptions) {
				if o.Peer[15] != 1 { // y asks x
					return
				}
				src = &hanging{Source: o.Source, kind: c.part, on: make(chan struct{}), off: make(chan struct{})}
				o.Source = src
			}
			pair(t, tune, func(t *testing.T, x, y *half) {
				x.site.makeBucket(bk1, 1)
				x.site.put(bk1, "first", []byte("1"))
				x.start()
				y.start()
				synced(t, 30*time.Second, x, y)
				close(src.on)
				release := make(chan struct{})
				defer close(release) // an engine that is stopped waits for its store
				switch c.part {
				case "store":
					y.site.chunks.Plan(chunkstest.Fault{Op: chunkstest.OpPut, Wait: release})
				case "commit":
					y.site.commit = func(ctx context.Context, e siteEntry) (*raftfsmpb.Result, error) {
						select {
						case <-release:
						case <-ctx.Done():
							return nil, ctx.Err()
						}
						e.now = time.Now().UnixNano()
						return y.site.apply(func(b *catalog.Batch) *raftfsmpb.Result { return e.do(y.site, b) }), nil
					}
				case "scan":
					x.site.makeBucket(bk2, 1)
					x.site.put(bk2, "stuck", []byte("2"))
					x.serve(bk1, bk2)
					y.serve(bk1, bk2)
				}
				x.site.put(bk1, "stuck", random(1, 5000))
				at := time.Now()
				defer func() {
					if t.Failed() {
						t.Logf("it was said: %+v", y.engine.Status())
					}
				}()
				until(t, 70*time.Second, "stalled, with a cause and what to do", func() bool {
					st := y.engine.Status()
					return st.State == StateStalled && strings.Contains(st.Cause, c.say) && st.Next != ""
				})
				// A version that is put into the pending table after 5 s has moved.
				if d := time.Since(at); d > 67*time.Second {
					t.Errorf("it was said after %s", d)
				}
				if st := y.engine.Status(); st.State == StateInSync || st.Lag == (Lag{Known: true}) {
					t.Errorf("%s, the lag is %v", st.State, st.Lag)
				}
				if x.local.Status().InSync {
					t.Error("the sender calls it in sync")
				}
				if c.part == "changes" { // a new session is what helps
					close(src.off)
					synced(t, 2*time.Minute, x, y)
					if n := y.engine.Status().Counters.Sessions; n != 2 {
						t.Errorf("%d sessions", n)
					}
				}
			})
		})
	}
}

const bk2 = "Hawaii/Cola/bk2"

// TestCutsRepeatLittle sends a large object over a line that breaks again and again:
// it arrives, and hardly anything is sent twice.
func TestCutsRepeatLittle(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		large := random(1, 24<<20)
		x.site.put(bk1, "large", large)
		y.wire.gate = func(ctx context.Context, _ *linkpb.ChunkHeader) error {
			select {
			case <-time.After(120 * time.Millisecond):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		x.start()
		y.start()
		cuts := 0
		for ; cuts < 200; cuts++ {
			pause(300 * time.Millisecond)
			synctest.Wait()
			if _, ok := y.site.read(bk1, "large"); ok {
				break
			}
			y.wire.cut()
			pause(20 * time.Millisecond)
			y.wire.mend()
			y.engine.Kick()
		}
		synced(t, 2*time.Minute, x, y)
		if got, _ := y.site.read(bk1, "large"); !bytes.Equal(got, large) {
			t.Error("the object differs")
		}
		if cuts < 5 {
			t.Fatalf("only %d cuts: the test shows nothing", cuts)
		}
		t.Logf("%d bytes came for %d, with %d cuts", y.wire.bytes, len(large), cuts)
		if over := y.wire.bytes - len(large); over > len(large)/20 {
			t.Errorf("%d bytes too many came, with %d cuts", over, cuts)
		}
	})
}

// TestNothingIsReadAhead copies a bucket of many keys while nothing of their content
// comes: what the receiver takes of the sender's keys is bounded by settings, and not
// by how many there are or how large their records.
func TestNothingIsReadAhead(t *testing.T) {
	const page, pending = 50, 60
	tune := func(o *EngineOptions) { o.page, o.PendingLimit, o.HoldBehind = page, pending, 20 }
	for _, c := range []struct {
		name       string
		keys, meta int
		most       int // records that may be taken
	}{
		{"many keys", 3000, 1, scanAhead + 2*page + pending},
		{"large records", 400, 30_000, laneBytes/30_000 + 2*page + pending},
	} {
		t.Run(c.name, func(t *testing.T) {
			pair(t, tune, func(t *testing.T, x, y *half) {
				x.site.makeBucket(bk1, 1)
				meta := strings.Repeat("m", c.meta)
				for i := range c.keys {
					cmd := writeOf(bk1, fmt.Sprintf("k%05d", i), meta)
					cmd.GetWrite().Record.Root = x.site.store(fmt.Appendf(nil, "content %d", i))
					x.site.must(siteEntry{cmd: cmd})
				}
				open := make(chan struct{})
				y.wire.gate = func(ctx context.Context, _ *linkpb.ChunkHeader) error {
					select {
					case <-open:
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				x.start()
				y.start()
				scanned := func() int {
					y.wire.mu.Lock()
					defer y.wire.mu.Unlock()
					return y.wire.scanned
				}
				until(t, time.Minute, "the scan has begun", func() bool { return scanned() > 0 })
				pause(3 * time.Minute)
				synctest.Wait()
				if n := scanned(); n > c.most {
					t.Errorf("%d of %d keys were read, more than %d", n, c.keys, c.most)
				}
				if n := len(y.pendingOf(bk1)); n > pending {
					t.Errorf("%d versions are pending, more than %d", n, pending)
				}
				close(open)
				synced(t, 10*time.Minute, x, y)
				if n := len(y.site.listing(bk1)); n != c.keys {
					t.Errorf("%d keys came, want %d", n, c.keys)
				}

				// However much a peer asks for, a page is bounded.
				p, err := x.local.Scan(context.Background(), &linkpb.ScanRequest{Path: bk1, Limit: 1 << 31})
				if err != nil || len(p.GetRecords()) > maxScan || p.GetDone() {
					t.Errorf("a page of %d records: %v", len(p.GetRecords()), err)
				}
			})
		})
	}
}

// TestTwoBytesCostAChunk inserts two bytes into the middle of an object.
func TestTwoBytesCostAChunk(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		content := random(1, 24<<20)
		x.site.put(bk1, "k", content)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		before := y.engine.Status().Counters
		at := len(content) / 2
		content = slices.Concat(content[:at], []byte("&&"), content[at:])
		x.site.put(bk1, "k", content)
		until(t, 30*time.Second, "it is there", func() bool {
			got, _ := y.site.read(bk1, "k")
			return bytes.Equal(got, content)
		})
		synced(t, 30*time.Second, x, y)
		pause(time.Second) // so that the counters are told
		after := y.engine.Status().Counters
		chunks, nodes, size := after.Chunks-before.Chunks, after.Manifests-before.Manifests, after.Bytes-before.Bytes
		t.Logf("%d chunks, %d manifest nodes, %d bytes", chunks, nodes, size)
		if chunks < 1 || chunks > 3 || nodes > 4 || size > 1<<20 {
			t.Errorf("two bytes cost %d chunks, %d manifest nodes and %d bytes", chunks, nodes, size)
		}
	})
}

// TestAnotherSiteGivesWhatOneCannot has a version of which one site cannot read a chunk
// any more: it comes over the link to another site that has it, and nothing waits for
// the retry at the first.
func TestAnotherSiteGivesWhatOneCannot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := newTestSite(t, 1), newTestSite(t, 2), newTestSite(t, 3)
		bToC, cToB := connect(t, b, c, nil, bk1)
		aToB, bToA := connect(t, a, b, nil, bk1)
		aToC, cToA := connect(t, a, c, nil, bk1)
		all := []*half{bToC, cToB, aToB, bToA, aToC, cToA}
		defer func() {
			for _, h := range all {
				h.halt()
			}
			for _, s := range []*testSite{a, b, c} {
				s.close()
			}
		}()
		b.makeBucket(bk1, 1)
		content := random(1, 3000)
		b.put(bk1, "k", content)
		b.put(bk1, "other", []byte("other"))
		bToC.start()
		cToB.start()
		synced(t, 30*time.Second, bToC, cToB)
		b.chunks.Plan(chunkstest.Fault{Op: chunkstest.OpGet, ID: chunks.Sum(content), Times: 2, Err: chunks.ErrCorrupt})
		aToB.start()
		bToA.start()
		until(t, 30*time.Second, "in quarantine", func() bool {
			list := aToB.pendingOf(bk1)
			return len(list) == 1 && strings.Contains(list[0].GetCause(), "cannot be read")
		})
		if _, ok := a.read(bk1, "other"); !ok {
			t.Error("the other version waits for it")
		}
		at := time.Now()
		aToC.start()
		cToA.start()
		until(t, 10*time.Second, "the other site gives it", func() bool {
			got, _ := a.read(bk1, "k")
			return bytes.Equal(got, content)
		})
		until(t, 20*time.Second, "nothing is pending any more", func() bool { return len(aToB.pendingOf(bk1)) == 0 })
		if d := time.Since(at); d > 20*time.Second {
			t.Errorf("it took %s: the first retry is due after 30 s", d)
		}
		synced(t, time.Minute, all...)
		sameHeads(t, bk1, a, b, c)
	})
}
