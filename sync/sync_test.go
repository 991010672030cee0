package objsync

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pair runs f in a bubble with two sites and a link between them that is up.
func pair(t *testing.T, tune func(*EngineOptions), f func(t *testing.T, x, y *half)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := newTestSite(t, 1), newTestSite(t, 2)
		x, y := connect(t, a, b, tune, bk1)
		defer func() {
			x.halt()
			y.halt()
			a.close()
			b.close()
		}()
		f(t, x, y)
	})
}

func TestInitialCopyCreatesTheBucket(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		want := make(map[string][]byte)
		for i := range 300 {
			key := fmt.Sprintf("src/%03d", i)
			want[key] = random(uint64(i), i*37)
			x.site.put(bk1, key, want[key])
		}
		want["big"] = random(999, 5<<20)
		x.site.put(bk1, "big", want["big"])
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		sameHeads(t, bk1, x.site, y.site)
		for key, content := range want {
			if got, ok := y.site.read(bk1, key); !ok || !bytes.Equal(got, content) {
				t.Errorf("key %s: %d bytes, want %d", key, len(got), len(content))
			}
		}
		if n := x.wire.offers() + x.wire.scanned; n != 0 {
			t.Errorf("%d records were offered back", n)
		}
		st := y.engine.Status()
		if st.Counters.Versions != 301 || st.Lag != (Lag{Known: true}) {
			t.Errorf("status: %+v", st)
		}
	})
}

func TestBothWaysWithoutEcho(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		y.site.makeBucket(bk1, 1)
		x.site.put(bk1, "here", []byte("written at the one"))
		y.site.put(bk1, "there", []byte("written at the other"))
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		sameHeads(t, bk1, x.site, y.site)
		if n := len(x.site.listing(bk1)); n != 2 {
			t.Fatalf("%d keys after two buckets were merged, want 2", n)
		}
		x.wire.offers()
		y.wire.offers()
		for i := range 50 {
			x.site.put(bk1, fmt.Sprintf("a%d", i), random(uint64(i), 5000))
			y.site.put(bk1, fmt.Sprintf("b%d", i), random(uint64(i)+100, 5000))
			if i%7 == 0 {
				x.site.del(bk1, fmt.Sprintf("a%d", i))
			}
			pause(20 * time.Millisecond)
		}
		synced(t, 30*time.Second, x, y)
		sameHeads(t, bk1, x.site, y.site)
		// Each version crosses its way once and never comes back.
		if n := x.wire.offers(); n > 50 {
			t.Errorf("%d records were offered for 50 versions", n)
		}
		if n := y.wire.offers(); n > 58 {
			t.Errorf("%d records were offered for 58 versions", n)
		}
		before := x.site.seq(bk1) + y.site.seq(bk1)
		pause(time.Minute)
		if n := x.wire.offers() + y.wire.offers(); n != 0 {
			t.Errorf("%d records were offered while nothing was written", n)
		}
		if after := x.site.seq(bk1) + y.site.seq(bk1); after != before {
			t.Errorf("the logs grew from %d to %d while nothing was written", before, after)
		}
	})
}

// seq is the last sequence of a bucket.
func (s *testSite) seq(path string) uint64 {
	st, err := s.cat.BucketAny(path)
	if err != nil {
		s.t.Fatal(err)
	}
	return st.GetSeq()
}

func TestOneChangeIsVisibleAtOnce(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		pause(5 * time.Second)
		for i := range 5 {
			at := time.Now()
			x.site.put(bk1, fmt.Sprint("k", i), []byte("v"))
			for {
				synctest.Wait()
				if _, ok := y.site.read(bk1, fmt.Sprint("k", i)); ok {
					break
				}
				pause(time.Millisecond)
			}
			// Nothing on the way waits for a clock.
			if d := time.Since(at); d != 0 {
				t.Errorf("a change took %s of the bubble's time", d)
			}
			pause(777 * time.Millisecond)
		}
	})
}

func TestDeleteAndWriteDuringACut(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		for _, k := range []string{"deleted here, written there", "deleted at both", "written at both", "left alone"} {
			x.site.put(bk1, k, []byte("first "+k))
		}
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		x.wire.cut()
		y.wire.cut()
		x.site.del(bk1, "deleted here, written there")
		pause(time.Second)
		y.site.put(bk1, "deleted here, written there", []byte("later"))
		x.site.del(bk1, "deleted at both")
		y.site.del(bk1, "deleted at both")
		x.site.put(bk1, "written at both", []byte("here"))
		pause(time.Second)
		y.site.put(bk1, "written at both", []byte("there"))
		until(t, 30*time.Second, "known to be down", func() bool {
			st := x.engine.Status()
			return st.State == StateConnecting && !st.Lag.Known && st.Cause != ""
		})
		x.wire.mend()
		y.wire.mend()
		synced(t, 60*time.Second, x, y)
		sameHeads(t, bk1, x.site, y.site)
		if got, _ := x.site.read(bk1, "written at both"); string(got) != "there" {
			t.Errorf("the later of two writes lost: %q", got)
		}
		if _, ok := x.site.read(bk1, "deleted at both"); ok {
			t.Error("a key that was deleted at both sites exists")
		}
	})
}

func TestBucketDeletedAndMadeAnew(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		for i := range 20 {
			x.site.put(bk1, fmt.Sprint("old", i), random(uint64(i), 1000))
		}
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		x.wire.cut()
		y.wire.cut()
		for i := range 20 {
			x.site.del(bk1, fmt.Sprint("old", i))
		}
		x.site.deleteBucket(bk1)
		x.site.makeBucket(bk1, 1)
		x.site.put(bk1, "new", []byte("new"))
		y.site.put(bk1, "meanwhile", []byte("written there meanwhile"))
		pause(time.Second)
		x.wire.mend()
		y.wire.mend()
		synced(t, 60*time.Second, x, y)
		sameHeads(t, bk1, x.site, y.site)
		if got := x.site.listing(bk1); len(got) != 2 {
			t.Errorf("keys after the bucket was made anew: %v", got)
		}
	})
}

func TestBucketDeletedHereWaits(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		y.site.deleteBucket(bk1)
		x.site.put(bk1, "k", []byte("v"))
		until(t, 30*time.Second, "waits and says so", func() bool {
			st := y.engine.Status()
			return len(st.Buckets) == 1 && st.Buckets[0].State == StateWaiting && st.Buckets[0].Cause != ""
		})
		if _, err := y.site.cat.Bucket(bk1); err == nil {
			t.Error("the bucket came back by itself")
		}
		// Made again by its owner it merges: what was deleted with it stays so.
		y.site.makeBucket(bk1, 1)
		synced(t, 60*time.Second, x, y)
		sameHeads(t, bk1, x.site, y.site)
	})
}

func TestLogTrimmedWhileAway(t *testing.T) {
	pair(t, func(o *EngineOptions) { o.page = 40 }, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		for i := range 150 {
			x.site.put(bk1, fmt.Sprintf("k%04d", i), []byte(fmt.Sprint("content ", i)))
		}
		x.start()
		y.start()
		synced(t, 60*time.Second, x, y)
		x.halt()
		y.halt()
		for i := 0; i < 150; i += 3 {
			x.site.del(bk1, fmt.Sprintf("k%04d", i))
		}
		x.site.put(bk1, "new at x", []byte("x"))
		y.site.put(bk1, "new at y", []byte("y"))
		y.site.put(bk1, "k0000", []byte("written there while it was deleted here"))
		pause(3 * time.Minute)
		x.site.trim(bk1, time.Now().Add(-time.Minute))
		y.site.trim(bk1, time.Now().Add(-time.Minute))
		if st, _ := x.site.cat.Bucket(bk1); st.GetTrimmed() == 0 {
			t.Fatal("nothing was trimmed")
		}
		x.start()
		y.start()
		synced(t, 120*time.Second, x, y)
		sameHeads(t, bk1, x.site, y.site)
		told := y.engine.TakeNotices()
		if len(told) != 1 || !strings.Contains(told[0].Text, bk1+" is compared as a whole, which only merges: the sender's log begins after") {
			t.Errorf("the comparison was told as %v", told)
		}
		if again := y.engine.TakeNotices(); len(again) != 0 {
			t.Errorf("it was told again: %v", again)
		}
		got := x.site.listing(bk1)
		for i := 3; i < 150; i += 3 {
			if _, ok := got[fmt.Sprintf("k%04d", i)]; ok {
				t.Fatalf("deleted key k%04d came back", i)
			}
		}
		if _, ok := got["new at y"]; !ok {
			t.Error("a key written while away is lost")
		}
		if n := y.engine.Status().Counters.Chunks; n > 2 {
			t.Errorf("%d chunks were fetched again by the comparison", n)
		}
	})
}
