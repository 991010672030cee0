package objsync

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// versioned makes a bucket that keeps every version.
func (s *testSite) versioned(path string) {
	s.t.Helper()
	s.makeBucket(path, 0)
	s.try(&raftfsmpb.Command{Command: &raftfsmpb.Command_SetBucketAttribute{SetBucketAttribute: &catalogpb.SetBucketAttribute{
		Bucket: path, Field: catalog.FieldVersioning, Value: &catalogpb.Value{Versioning: catalogpb.Versioning_VERSIONING_ENABLED},
	}}})
}

// history writes versions of a key, all of one content; change may alter them.
func (s *testSite) history(path, key string, versions int, change func(r *catalogpb.Record)) {
	s.t.Helper()
	content := []byte("the same in each")
	root, etag := s.store(content), fmt.Sprintf("%x", chunks.Sum(content))
	for versions > 0 {
		n := min(versions, 500)
		versions -= n
		s.ok(s.apply(func(b *catalog.Batch) (res *raftfsmpb.Result) {
			for range n {
				r := &catalogpb.Record{Key: []byte(key), Kind: catalogpb.RecordKind_RECORD_VERSION, Time: time.Now().UnixNano(), Root: root,
					Etag: etag, Headers: map[string]string{"content-type": "application/octet-stream"}}
				if change != nil {
					change(r)
				}
				if res = b.Write(&catalogpb.Write{Bucket: path, Record: r}, r.GetTime()); res.GetCode() != raftfsmpb.Code_OK {
					return res
				}
			}
			return res
		}))
	}
}

// full gives a version as much metadata and as many tags as S3 allows.
func full(r *catalogpb.Record) {
	r.Metadata, r.Tags = map[string]string{"note": strings.Repeat("m", 2<<10-4)}, make(map[string]string)
	for i := range 10 {
		r.Tags[fmt.Sprint(i, strings.Repeat("k", 120))] = strings.Repeat("v", 256)
	}
}

// sameCount checks that sites have so many versions of a key.
func sameCount(t *testing.T, path, key string, want int, sites ...*testSite) {
	t.Helper()
	for _, s := range sites {
		page, err := s.cat.ScanThese(path, [][]byte{[]byte(key)})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(catalog.ShownOf(page.Records)); got != want {
			t.Errorf("%s: %d versions of %s, want %d", s.name, got, key, want)
		}
	}
}

// sameSums checks that two sites show the same in a bucket.
func sameSums(t *testing.T, path string, a, b *testSite) {
	t.Helper()
	var sums [2]catalog.RangeSum
	for i, s := range []*testSite{a, b} {
		got, err := s.cat.Sums(path, []catalog.KeyRange{{}})
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = got.Ranges[0]
	}
	if sums[0] != sums[1] {
		t.Errorf("%s shows %+v and %s %+v", a.name, sums[0], b.name, sums[1])
	}
}

// TestLongHistory copies buckets with a key of more records than a message holds, beside
// one with a few small keys: first, again by a comparison when they differ, and whatever
// is verified. No more is asked of one key, and of one at a time, than is allowed.
func TestLongHistory(t *testing.T) {
	for name, c := range map[string]struct {
		versions int
		change   func(*catalogpb.Record)
	}{"20,500 versions": {20_500, nil}, "1,500 with full metadata": {1500, full}} {
		t.Run(name, func(t *testing.T) {
			pair(t, nil, func(t *testing.T, x, y *half) {
				a, b := x.site, y.site
				a.unbounded, b.unbounded = true, true
				a.versioned(bk1)
				a.versioned(bk2)
				a.history(bk1, "an", 3, nil)
				a.history(bk1, "long", c.versions, c.change)
				a.history(bk1, "zoo", 3, nil)
				a.put(bk2, "small", []byte("small"))
				size := 0
				page, err := a.cat.ScanThese(bk1, [][]byte{[]byte("long")})
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range page.Records {
					size += sizeOf(r)
				}
				if size <= link.MaxMessage {
					t.Fatalf("%d bytes are not more than a message", size)
				}
				large := 0
				y.wire.page = func(p *linkpb.ScanPage) {
					n := 0
					for _, r := range p.GetRecords() {
						n += sizeOf(r)
					}
					if n > link.MaxMessage {
						large++
					}
				}
				x.serve(bk1, bk2)
				y.serve(bk1, bk2)
				x.start()
				y.start()
				synced(t, 10*time.Minute, x, y)
				sameCount(t, bk1, "long", c.versions, a, b)
				sameSums(t, bk1, a, b)
				sameHeads(t, bk2, a, b)
				if n := y.engine.Status().Counters.Sessions; n != 1 || large != 1 {
					t.Errorf("%d sessions, and %d large pages: want one of each", n, large)
				}

				// What is purged while nobody looks is removed by a comparison, of the long key too.
				y.halt()
				x.halt()
				for _, r := range catalog.ShownOf(page.Records)[:5] {
					a.try(purge("long", targetOf(r)))
				}
				pause(time.Hour)
				a.trim(bk1, time.Now())
				x.start()
				y.start()
				synced(t, 10*time.Minute, x, y)
				sameCount(t, bk1, "long", c.versions-5, a, b)
				sameSums(t, bk1, a, b)

				if c.change == nil {
					return // what follows is shown with fewer versions in less time
				}
				got, err := NewVerifier(y.engine, y.local).Verify(context.Background(), bk1, VerifyOptions{}, func(d *Difference) error {
					t.Errorf("version %s of %s is %s", d.Version, d.Key, d.Kind)
					return nil
				})
				if err != nil || !got.Equal() {
					t.Errorf("verified %+v, %v", got, err)
				}
				y.halt()
				x.halt() // so another version is not taken by the other site
				b.history(bk1, "long", 1, nil)
				differ := 0
				if _, err = NewVerifier(y.engine, y.local).Verify(context.Background(), bk1, VerifyOptions{Settle: time.Millisecond}, func(d *Difference) error {
					differ++
					return nil
				}); err != nil || differ != 1 {
					t.Errorf("%d differences, want 1: %v", differ, err)
				}
			})
		})
	}
}

// TestTooLongHistory has a key with more records than the receiver has memory for. Its
// bucket stands, with a cause that names it, and is taken when the key is short enough;
// the other bucket is taken meanwhile.
func TestTooLongHistory(t *testing.T) {
	little := func(o *EngineOptions) { o.Window, o.Line, o.Queue = 1<<20, 1, 1<<20 }
	pair(t, little, func(t *testing.T, x, y *half) {
		a, b := x.site, y.site
		a.unbounded, b.unbounded = true, true
		a.versioned(bk1)
		a.makeBucket(bk2, 1)
		a.put(bk1, "an", []byte("small"))
		a.history(bk1, "long", 900, full)
		a.put(bk2, "small", []byte("small"))
		x.serve(bk1, bk2)
		y.serve(bk1, bk2)
		x.start()
		y.start()
		stands := func() bool {
			for _, s := range y.engine.Status().Buckets {
				if s.Path == bk1 && strings.Contains(s.Cause, `key "long" of bucket `+bk1) {
					return strings.Contains(y.engine.Status().Cause, `key "long"`)
				}
			}
			return false
		}
		until(t, time.Minute, "the cause to be said", stands)
		pause(10 * time.Minute)
		if !stands() {
			t.Errorf("later: %+v", y.engine.Status())
		}
		sameHeads(t, bk2, a, b)
		a.put(bk2, "more", []byte("is followed"))
		until(t, time.Minute, "the other bucket to be followed", func() bool { _, ok := b.read(bk2, "more"); return ok })
		if st := y.engine.Status(); st.Counters.Sessions != 1 || st.State != StateLagging {
			t.Errorf("%d sessions, %s: %s", st.Counters.Sessions, st.State, st.Cause)
		}
		for _, v := range a.versionsOf(bk1, "long")[100:] {
			a.try(purge("long", targetOf(v.Record)))
		}
		// The purges are a history too, until they are known everywhere.
		synced(t, 5*time.Minute, x, y)
		sameCount(t, bk1, "long", 100, a, b)
		sameVersions(t, bk1, a, b)
	})
}

// TestSenderFailsAtOneBucket has a sender that cannot read one bucket: that one waits, and
// says why, and the others are taken.
func TestSenderFailsAtOneBucket(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.site.makeBucket(bk2, 1)
		x.site.put(bk1, "k", []byte("content"))
		x.site.put(bk2, "k", []byte("content"))
		x.serve(bk1, bk2)
		y.serve(bk1, bk2)
		failing := &failingScan{Source: x.local, path: bk1}
		y.wire.attach(failing)
		x.start()
		y.start()
		until(t, time.Minute, "the other bucket to be taken", func() bool { _, ok := y.site.read(bk2, "k"); return ok })
		pause(time.Minute)
		if st := y.engine.Status(); st.Counters.Sessions != 1 || !strings.Contains(st.Cause, bk1) || !strings.Contains(st.Cause, "its log says how") || st.Counters.RemoteErrors == 0 {
			t.Errorf("%d sessions: %s", st.Counters.Sessions, st.Cause)
		}
		y.wire.attach(x.local)
		synced(t, time.Minute, x, y)
		sameHeads(t, bk1, x.site, y.site)
	})
}

// failingScan is a source that fails at one bucket.
type failingScan struct {
	link.Source
	path string
}

func (f *failingScan) Scan(ctx context.Context, req *linkpb.ScanRequest) (*linkpb.ScanPage, error) {
	if req.GetPath() == f.path {
		return nil, link.Refuse(link.CodeInternal, "the sender failed; its log says how")
	}
	return f.Source.Scan(ctx, req)
}

// TestLongKeyHasTheRoomOfContent adds up what a link holds while a long key is on its way:
// it is not more than without one.
func TestLongKeyHasTheRoomOfContent(t *testing.T) {
	for _, c := range []struct {
		embedded    bool
		cache       int64
		least, most int64 // bytes of a key
	}{{false, 0, mostKey, mostKey}, {true, 0, 12 << 20, 16 << 20}, {false, MinCache, link.MaxMessage, link.MaxMessage}} {
		b := BoundsFor(c.embedded, c.cache, 0)
		if got := b.LongKey(); got < c.least || got > c.most {
			t.Errorf("%+v: a key may have %d bytes", b, got)
		}
		o := new(EngineOptions)
		o.Use(b)
		for _, queued := range []int64{0, b.Queue, b.Queue + 1<<20, b.LongKey(), b.Queue + b.LongKey()} {
			s := &session{o: o, queued: queued}
			window, line := s.room()
			room := max(leastWindow, b.Window+b.Line+b.Queue-max(b.Queue, queued))
			if window < leastWindow || line < 0 || window+line > room+1 {
				t.Errorf("%+v: with %d bytes of records there is room for %d and %d of content, want %d", b, queued, window, line, room)
			}
			if held := queued + window + line; queued <= b.LongKey() && b.LongKey() > link.MaxMessage && held > b.Queue+b.Window+b.Line+1 {
				t.Errorf("%+v: %d bytes are held", b, held)
			}
		}
	}
}
