package objsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/chunkstest"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// verify compares bk1 from one half of a link, and gives each difference in words.
func (h *half) verify(o VerifyOptions) (*Verified, []string) {
	h.site.t.Helper()
	var found []string
	got, err := NewVerifier(h.engine, h.local).Verify(context.Background(), bk1, o, func(d *Difference) error {
		line := fmt.Sprintf("%s %s %s", d.Kind, d.Key, d.Version)
		if len(d.Version) == 45 {
			line = fmt.Sprintf("%s %s id", d.Kind, d.Key)
		}
		if d.Cause != "" {
			line += ": " + d.Cause
		}
		if d.Repaired {
			line += " (repaired)"
		}
		found = append(found, line)
		return nil
	})
	if err != nil {
		h.site.t.Fatal(err)
	}
	if int(got.Differences) != len(found) {
		h.site.t.Errorf("%d differences were counted, %d told", got.Differences, len(found))
	}
	return got, found
}

func (s *testSite) mustDo(cmd *raftfsmpb.Command) *raftfsmpb.Result {
	s.t.Helper()
	res, err := s.propose(context.Background(), cmd)
	if err != nil {
		s.t.Fatal(err)
	}
	s.ok(res)
	return res
}

func (s *testSite) enableVersions() {
	s.t.Helper()
	s.mustDo(&raftfsmpb.Command{Command: &raftfsmpb.Command_SetBucketAttribute{SetBucketAttribute: &catalogpb.SetBucketAttribute{
		Bucket: bk1, Field: catalog.FieldVersioning, Value: &catalogpb.Value{Versioning: catalogpb.Versioning_VERSIONING_ENABLED}}}})
}

func (s *testSite) tag(key, value string) {
	s.t.Helper()
	s.mustDo(&raftfsmpb.Command{Command: &raftfsmpb.Command_SetAttribute{SetAttribute: &catalogpb.SetAttribute{
		Bucket: bk1, Key: []byte(key), Latest: true, Field: catalog.FieldTags, Value: &catalogpb.Value{Tags: map[string]string{"v": value}}}}})
}

// pass moves the cursor of a half over what it has not taken, as a system that
// forgets would. Its engine does not run.
func (h *half) pass() {
	h.site.t.Helper()
	was, err := h.site.cat.Cursor(bk1, h.peer.id)
	if err != nil {
		h.site.t.Fatal(err)
	}
	there, err := h.peer.cat.Bucket(bk1)
	if err != nil {
		h.site.t.Fatal(err)
	}
	next := &catalogpb.Cursor{Epoch: was.GetEpoch(), Incarnation: was.GetIncarnation(), Seq: there.GetSeq(), InitialDone: true}
	h.site.mustDo(&raftfsmpb.Command{Command: &raftfsmpb.Command_Ingest{Ingest: &catalogpb.Ingest{
		Bucket: bk1, Peer: h.peer.id.Bytes(), Expect: was, Cursor: next}}})
}

// TestVerifyEqual compares equal buckets: one request for one sum, whatever there is.
func TestVerifyEqual(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.unbounded, y.site.unbounded = true, true
		x.site.ensureBucket(bk1)
		x.site.enableVersions()
		x.start()
		y.start()
		for i := range 700 {
			x.site.put(bk1, fmt.Sprintf("k%03d", i%500), random(uint64(i), 50))
		}
		x.site.del(bk1, "k007")
		x.site.tag("k008", "a")
		synced(t, time.Minute, x, y)
		for _, h := range []*half{x, y} {
			got, found := h.verify(VerifyOptions{})
			if !got.Equal() || len(found) > 0 || got.Requests != 1 || got.Ranges != 1 || got.Listed != 0 {
				t.Errorf("%s: %+v %q", h.site.name, got, found)
			}
			if got.Keys != 500 || got.Versions != 701 {
				t.Errorf("%s: %d keys and %d versions were compared, want 500 and 701", h.site.name, got.Keys, got.Versions)
			}
			if h.wire.compared > 500 {
				t.Errorf("%s: %d bytes", h.site.name, h.wire.compared)
			}
		}
		if got, _ := y.verify(VerifyOptions{Prefix: []byte("k1")}); !got.Equal() || got.Keys != 100 {
			t.Errorf("of the prefix: %+v", got)
		}
	})
}

// TestVerifyTellsWhatDiffers loses records in both directions, in a way in which no
// cursor and no lag shows it, tells each by name, and mends them.
func TestVerifyTellsWhatDiffers(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		for i := range 400 {
			x.site.put(bk1, fmt.Sprintf("k%03d", i), random(uint64(i), 50))
		}
		synced(t, time.Minute, x, y)
		x.halt()
		y.halt()
		x.site.put(bk1, "a/new", []byte("only at site1"))
		x.site.put(bk1, "k005", []byte("changed at site1"))
		y.site.put(bk1, "k005", []byte("changed at site2"))
		y.site.put(bk1, "z/new", []byte("only at site2"))
		x.site.del(bk1, "k100")
		x.site.tag("k200", "at site1")
		y.site.put(bk1, "k300", []byte("changed at site2 alone"))
		x.pass()
		y.pass()
		x.start()
		y.start()
		synced(t, time.Minute, x, y) // that is the trouble: it says so

		want := []string{
			"missing here a/new null",
			"differing k005 null: each site has a null version of its own",
			"missing there k100 null",
			"differing k200 null: not the same at both sites: tags",
			"differing k300 null: each site has a null version of its own",
			"missing there z/new null",
		}
		// What site1 has deleted it has seen, so it says why.
		want[2] += ": site1 has had it and removed it"
		got, found := y.verify(VerifyOptions{})
		if !slices.Equal(found, want) || got.Equal() {
			t.Fatalf("found\n%s\nwant\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
		}
		if _, found := y.verify(VerifyOptions{Prefix: []byte("k")}); !slices.Equal(found, want[1:5]) {
			t.Errorf("of a prefix:\n%s", strings.Join(found, "\n"))
		}
		mirrored := []string{"missing there a/new null", "missing here k100 null: this site has had it and removed it", "missing here z/new null"}
		if _, found := x.verify(VerifyOptions{}); len(found) != len(want) || found[0] != mirrored[0] || found[2] != mirrored[1] || found[5] != mirrored[2] {
			t.Errorf("from the other side:\n%s", strings.Join(found, "\n"))
		}

		got, found = y.verify(VerifyOptions{Repair: true})
		if len(found) != len(want) || !got.Equal() {
			t.Errorf("with a repair: %+v\n%s", got, strings.Join(found, "\n"))
		}
		if got, found := y.verify(VerifyOptions{}); !got.Equal() || got.Requests != 1 {
			t.Errorf("after the repair: %+v\n%s", got, strings.Join(found, "\n"))
		}
		sameHeads(t, bk1, x.site, y.site)
		if _, ok := y.site.read(bk1, "k100"); ok {
			t.Error("the repair has kept what was deleted")
		}
	})
}

// TestVerifyVersions compares buckets with versions: what is missing is named by id.
func TestVerifyVersions(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.unbounded, y.site.unbounded = true, true
		x.site.ensureBucket(bk1)
		x.site.enableVersions()
		x.start()
		y.start()
		for i := range 50 {
			x.site.put(bk1, fmt.Sprintf("k%02d", i), random(uint64(i), 50))
		}
		synced(t, time.Minute, x, y)
		x.halt()
		y.halt()
		first := x.site.put(bk1, "k10", []byte("second"))
		x.site.put(bk1, "k10", []byte("third"))
		y.site.del(bk1, "k20")
		x.pass()
		y.pass()
		x.start()
		y.start()
		synced(t, time.Minute, x, y)
		if catalog.VersionID(first) == catalog.NullVersion {
			t.Fatal("the bucket has no versions")
		}
		want := []string{"missing here k10 id", "missing here k10 id", "missing there k20 id"}
		if _, found := y.verify(VerifyOptions{}); !slices.Equal(found, want) {
			t.Fatalf("found %q, want %q", found, want)
		}
		if got, found := y.verify(VerifyOptions{Repair: true}); !got.Equal() {
			t.Errorf("not repaired: %q", found)
		}
		sameHeads(t, bk1, x.site, y.site)
	})
}

// TestVerifyQuarantine says why a version is not here, and a repair tries it at once.
func TestVerifyQuarantine(t *testing.T) {
	pair(t, func(o *EngineOptions) { o.RetryMin, o.RetryMax = time.Hour, time.Hour }, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		synced(t, time.Minute, x, y)
		y.wire.mu.Lock()
		y.wire.body = func(_ *linkpb.ChunkHeader, body []byte) ([]byte, error) {
			body = bytes.Clone(body)
			body[0] ^= 1
			return body, nil
		}
		y.wire.mu.Unlock()
		x.site.put(bk1, "bad", random(1, 500))
		until(t, time.Minute, "quarantine", func() bool { return y.engine.Status().Quarantined == 1 })
		_, found := y.verify(VerifyOptions{})
		if len(found) != 1 || !strings.HasPrefix(found[0], "missing here bad null: it is in quarantine here: ") {
			t.Fatalf("found %q", found)
		}
		y.wire.mu.Lock()
		y.wire.body = nil
		y.wire.mu.Unlock()
		if got, found := y.verify(VerifyOptions{Repair: true}); !got.Equal() || got.Differences != 1 {
			t.Errorf("with a repair: %+v %q", got, found)
		}
		sameHeads(t, bk1, x.site, y.site)
	})
}

// TestVerifyWhileItMoves compares buckets that are written at both ends all the
// time: nothing is told, because everything arrives.
func TestVerifyWhileItMoves(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		for i := range 300 {
			x.site.put(bk1, fmt.Sprintf("k%03d", i), random(uint64(i), 50))
		}
		synced(t, time.Minute, x, y)
		ctx, stop := context.WithCancel(context.Background())
		var writers sync.WaitGroup
		for n, h := range []*half{x, y} {
			writers.Go(func() {
				tick := time.NewTicker(3 * time.Millisecond)
				defer tick.Stop()
				for i := n; ctx.Err() == nil; i += 2 {
					<-tick.C
					h.site.put(bk1, fmt.Sprintf("k%03d", i*7%400), random(uint64(i), 60))
				}
			})
		}
		seemed := 0
		for range 20 {
			got, found := y.verify(VerifyOptions{})
			if !got.Equal() {
				t.Errorf("found while it moves: %q", found)
			}
			if got.Requests > 1 {
				seemed++
			}
			pause(150 * time.Millisecond)
		}
		stop()
		writers.Wait()
		if seemed == 0 {
			t.Error("nothing was on its way: the test shows nothing")
		}
	})
}

// rotten is a store some of whose chunks are missing or damaged until they are put
// again.
type rotten struct {
	chunks.Store
	mu  sync.Mutex
	bad map[chunks.ID]error
}

func (r *rotten) fault(id chunks.ID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bad[id]
}

func (r *rotten) Has(ctx context.Context, ids []chunks.ID, present []bool) error {
	err := r.Store.Has(ctx, ids, present)
	for i := range ids {
		present[i] = present[i] && r.fault(ids[i]) == nil
	}
	return err
}

func (r *rotten) Get(ctx context.Context, id chunks.ID, b *chunks.Buffer) error {
	if err := r.fault(id); err != nil {
		return fmt.Errorf("get chunk %s: %w", id, err)
	}
	return r.Store.Get(ctx, id, b)
}

func (r *rotten) Put(ctx context.Context, batch []chunks.Chunk) error {
	err := r.Store.Put(ctx, batch)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range batch {
		delete(r.bad, c.ID)
	}
	return err
}

// TestVerifyWaitsForNothingThatDoesNotFlow compares a bucket that one end does not take
// any more, from both ends, when it was written to at the other: nothing is on its way,
// so what differs is told at once.
func TestVerifyWaitsForNothingThatDoesNotFlow(t *testing.T) {
	initial := &Settings{Replication: state.ReplicationInitial}
	for _, c := range []struct {
		name   string
		before *Settings
		stop   func(y *half, declined *atomic.Bool)
	}{
		{"it is declined", nil, func(y *half, declined *atomic.Bool) { declined.Store(true); y.engine.Kick() }},
		{"nothing is received", nil, func(y *half, _ *atomic.Bool) { y.set(Settings{Direction: state.DirectionSend}) }},
		{"it was copied once", initial, func(*half, *atomic.Bool) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			pair(t, nil, func(t *testing.T, x, y *half) {
				x.site.makeBucket(bk1, 1)
				x.site.put(bk1, "k", []byte("v"))
				y.settings.Store(c.before)
				var declined atomic.Bool
				y.opts.Accepts = func(string) bool { return !declined.Load() }
				x.start()
				y.start()
				until(t, time.Minute, "copied", func() bool { _, ok := y.site.read(bk1, "k"); return ok })
				pause(10 * time.Second)
				c.stop(y, &declined)
				pause(10 * time.Second)
				x.site.put(bk1, "late", []byte("v"))
				pause(10 * time.Second)
				for h, want := range map[*half]string{x: "missing there late null", y: "missing here late null"} {
					began := time.Now()
					if _, found := h.verify(VerifyOptions{}); len(found) != 1 || found[0] != want {
						t.Errorf("%s: %q, want %q", h.site.name, found, want)
					}
					if took := time.Since(began); took > time.Second {
						t.Errorf("%s: it took %s", h.site.name, took)
					}
				}
			})
		})
	}
}

// TestVerifyContent finds chunks that are damaged or missing here, and only with a
// reading of all content; a repair fetches them again.
func TestVerifyContent(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		store := &rotten{Store: y.site.chunks, bad: map[chunks.ID]error{}}
		y.opts.Chunks = store
		x.start()
		y.start()
		x.site.put(bk1, "good", random(1, 900))
		small := x.site.put(bk1, "small", random(2, 900))
		large := x.site.put(bk1, "large", random(3, 3<<20))
		synced(t, time.Minute, x, y)
		root, err := rootOf(large)
		if err != nil || !root.IsNode() {
			t.Fatal(root, err)
		}
		store.bad[chunks.ID(small.GetRoot().GetId())] = chunks.ErrCorrupt
		store.bad[root.ID] = chunks.ErrNotFound

		if got, found := y.verify(VerifyOptions{}); !got.Equal() {
			t.Errorf("without the content: %q", found)
		}
		want := []string{
			fmt.Sprintf("corrupt large null: chunk %s is missing", root.ID),
			fmt.Sprintf("corrupt small null: chunk %x is damaged", small.GetRoot().GetId()),
		}
		if _, found := y.verify(VerifyOptions{Content: true}); !slices.Equal(found, want) {
			t.Fatalf("with the content: %q, want %q", found, want)
		}
		got, found := y.verify(VerifyOptions{Content: true, Repair: true})
		if !got.Equal() || got.Differences != 2 || len(store.bad) != 0 {
			t.Fatalf("with a repair: %+v %q", got, found)
		}
		got, found = y.verify(VerifyOptions{Content: true})
		if !got.Equal() || got.ReadBytes < 3<<20+1800 {
			t.Errorf("after the repair: %+v %q", got, found)
		}
	})
}

// TestVerifyRepairsNothing has all leaves of an object missing that the far end does not
// give: it is told of the first why, and once. Over a line that breaks the first attempt
// ends the comparison.
func TestVerifyRepairsNothing(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		store := &rotten{Store: y.site.chunks, bad: map[chunks.ID]error{}}
		y.opts.Chunks = store
		x.start()
		y.start()
		large := x.site.put(bk1, "large", random(3, 3<<20))
		synced(t, time.Minute, x, y)
		root, err := rootOf(large)
		if err != nil {
			t.Fatal(err)
		}
		bad := make(map[chunks.ID]error)
		err = manifest.Leaves(t.Context(), store.Get, root, 0, root.Size, func(l manifest.Leaf) error {
			bad[l.ID] = chunks.ErrNotFound
			return nil
		})
		if err != nil || len(bad) < 5 {
			t.Fatalf("%d leaves, %v: the test shows nothing", len(bad), err)
		}
		store.bad = bad

		x.site.chunks.Plan(chunkstest.Fault{Op: chunkstest.OpGet, Times: len(bad), Err: chunks.ErrCorrupt})
		got, found := y.verify(VerifyOptions{Content: true, Repair: true})
		if got.Differences != 1 || got.Repaired != 0 || strings.Count(found[0], "cannot be fetched again") != 1 || !strings.HasSuffix(found[0], fmt.Sprintf(", and %d more", len(bad)-1)) {
			t.Errorf("with chunks that are damaged there too: %+v %q", got, found)
		}

		tried := 0
		y.wire.gate = func(context.Context, *linkpb.ChunkHeader) error { tried++; return errCut }
		_, err = NewVerifier(y.engine, y.local).Verify(t.Context(), bk1, VerifyOptions{Content: true, Repair: true}, func(d *Difference) error {
			t.Errorf("told of %+v", d)
			return nil
		})
		if !errors.Is(err, errCut) || tried != 1 {
			t.Errorf("over a line that breaks %d chunks were asked for, and it ended with %v", tried, err)
		}
	})
}

// TestVerifyRefused compares what the far end does not let out.
func TestVerifyRefused(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		synced(t, time.Minute, x, y)
		x.serve()
		_, err := NewVerifier(y.engine, y.local).Verify(t.Context(), bk1, VerifyOptions{}, func(*Difference) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "is not served over link") {
			t.Errorf("refused with %v", err)
		}
		x.serve(bk1)
		stop := errors.New("enough")
		x.site.put(bk1, "k", []byte("v"))
		y.halt()
		x.site.put(bk1, "l", []byte("v"))
		_, err = NewVerifier(y.engine, y.local).Verify(t.Context(), bk1, VerifyOptions{Settle: time.Second}, func(*Difference) error { return stop })
		if !errors.Is(err, stop) {
			t.Errorf("ended with %v", err)
		}
	})
}

// TestComparison compares two buckets of some hundred keys with random differences,
// in steps of any size, with what a listing of both finds.
func TestComparison(t *testing.T) {
	a, b := newTestSite(t, 1), newTestSite(t, 2)
	defer a.close()
	defer b.close()
	a.makeBucket(bk1, 1)
	b.makeBucket(bk1, 1)
	keys := make([]string, 1200)
	for i := range keys {
		keys[i] = fmt.Sprintf("dir%d/%05d", i%7, i*i%90001)
	}
	for i := 0; i < len(keys); i++ {
		b.copyOf(a, a.put(bk1, keys[i], nil))
	}
	local, err := NewLocal(LocalOptions{Site: b.site(), Service: "hawaii", Peer: a.id, Settings: func() Settings { return Settings{} }, Served: func() []string { return []string{bk1} }})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(0, 5).Draw(t, "changes") {
			key := rapid.SampledFrom(keys).Draw(t, "key")
			at := rapid.SampledFrom([]*testSite{a, b}).Draw(t, "at")
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				at.put(bk1, key, nil)
			case 1:
				at.del(bk1, key)
			default:
				at.put(bk1, key+"/new", nil)
			}
		}
		r := catalog.KeyRange{}
		if rapid.Bool().Draw(t, "part") {
			r.From = []byte(rapid.SampledFrom(keys).Draw(t, "from"))
			if to := rapid.SampledFrom(keys).Draw(t, "to"); to > string(r.From) {
				r.To = []byte(to)
			}
		}
		want := map[string]string{}
		x, y := a.listing(bk1), b.listing(bk1)
		for k, v := range x {
			if y[k] != v && k >= string(r.From) && (r.To == nil || k < string(r.To)) {
				want[k] = fmt.Sprint(true, y[k] != "")
			}
		}
		for k := range y {
			if x[k] == "" && k >= string(r.From) && (r.To == nil || k < string(r.To)) {
				want[k] = fmt.Sprint(false, true)
			}
		}
		c := newComparison(a.cat, local, bk1, r)
		most := rapid.IntRange(1, 20).Draw(t, "most")
		last, passed := "", []byte(nil)
		for {
			got, upTo, err := c.next(context.Background(), most)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) > most {
				t.Fatalf("%d keys, want at most %d", len(got), most)
			}
			for _, d := range got {
				if string(d.key) <= last || bytes.Compare(d.key, passed) < 0 {
					t.Fatalf("key %q after %q, passed %q", d.key, last, passed)
				}
				last = string(d.key)
				if want[last] != fmt.Sprint(d.here, d.there) {
					t.Fatalf("key %q: here %v, there %v, want %s", d.key, d.here, d.there, want[last])
				}
				delete(want, last)
			}
			if upTo == nil {
				break
			}
			if last >= string(upTo) {
				t.Fatalf("key %q is at or behind %q, up to which all were compared", last, upTo)
			}
			passed = upTo
		}
		if len(want) > 0 {
			t.Fatalf("not found: %q", want)
		}
	})
}

// copyOf takes a record of another site.
func (s *testSite) copyOf(from *testSite, r *catalogpb.Record) {
	s.t.Helper()
	s.mustDo(&raftfsmpb.Command{Command: &raftfsmpb.Command_Ingest{Ingest: &catalogpb.Ingest{
		Bucket: bk1, Peer: from.id.Bytes(), Records: []*catalogpb.Record{r}}}})
}

// TestMendIsNotInSync fetches a version again that was lost here: the link is not in sync
// until it is there.
func TestMendIsNotInSync(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		x.site.put(bk1, "k", []byte("v"))
		synced(t, time.Minute, x, y)
		y.halt()
		x.site.put(bk1, "lost", random(1, 3000))
		y.pass()
		open := make(chan struct{})
		y.wire.gate = func(ctx context.Context, _ *linkpb.ChunkHeader) error {
			select {
			case <-open:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		y.start()
		synced(t, time.Minute, x, y)
		y.engine.Mend(bk1, [][]byte{[]byte("lost")})
		pause(time.Second)
		if st := y.engine.Status(); st.State == StateInSync || st.BacklogVersions != 1 {
			t.Errorf("%s with %d versions to come", st.State, st.BacklogVersions)
		}
		close(open)
		synced(t, time.Minute, x, y)
		sameHeads(t, bk1, x.site, y.site)
	})
}
