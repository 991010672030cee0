package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

func items(page *ListPage) string {
	var out []string
	for _, item := range page.Items {
		if item.Record != nil {
			out = append(out, string(item.Record.GetKey()))
		} else {
			out = append(out, "["+string(item.CommonPrefix)+"]")
		}
	}
	return strings.Join(out, " ")
}

func TestList(t *testing.T) {
	s := testSite(t, 1).makeBucket(3)
	s.must(1, bucketObj("Hawaii/Cola/bk2", 1, 2)) // a neighbour in the rows
	s.must(1, edited(putCmd("zzz", "x"), func(w *pb.Write) { w.Bucket = "Hawaii/Cola/bk2" }))
	for _, key := range []string{"a", "a/1", "a/2", "a/b/1", "a0", "b/", "b//x", "c", "c\xff\xff", "dead/1", "e"} {
		if key == "c\xff\xff" {
			key = "c\u00ff"
		}
		s.put(1, key, "x")
		s.put(2, key, "y")
	}
	s.del(3, "dead/1")
	for _, c := range []struct {
		o    ListOptions
		want string
		more bool
	}{
		{ListOptions{}, "a a/1 a/2 a/b/1 a0 b/ b//x c c\u00ff e", false},
		{ListOptions{Limit: 3}, "a a/1 a/2", true},
		{ListOptions{Limit: 10}, "a a/1 a/2 a/b/1 a0 b/ b//x c c\u00ff e", false},
		{ListOptions{Delimiter: []byte("/")}, "a [a/] a0 [b/] c c\u00ff e", false},
		{ListOptions{Delimiter: []byte("/"), Limit: 2}, "a [a/]", true},
		{ListOptions{Prefix: []byte("a/"), Delimiter: []byte("/")}, "a/1 a/2 [a/b/]", false},
		{ListOptions{Prefix: []byte("a"), Delimiter: []byte("/")}, "a [a/] a0", false},
		{ListOptions{Prefix: []byte("a/b")}, "a/b/1", false},
		{ListOptions{Prefix: []byte("nothing")}, "", false},
		{ListOptions{Prefix: []byte("dead/")}, "", false},
		{ListOptions{Prefix: []byte("b/"), Delimiter: []byte("/")}, "b/ [b//]", false},
		{ListOptions{Delimiter: []byte("//")}, "a a/1 a/2 a/b/1 a0 b/ [b//] c c\u00ff e", false},
		{ListOptions{After: []byte("a/2")}, "a/b/1 a0 b/ b//x c c\u00ff e", false},
		{ListOptions{After: []byte("a/"), Delimiter: []byte("/")}, "a0 [b/] c c\u00ff e", false},
		{ListOptions{After: []byte("a/1"), Delimiter: []byte("/")}, "[a/] a0 [b/] c c\u00ff e", false},
		{ListOptions{After: []byte("e")}, "", false},
		{ListOptions{After: []byte("0"), Prefix: []byte("c")}, "c c\u00ff", false},
		{ListOptions{From: []byte("c")}, "c c\u00ff e", false},
	} {
		page, err := s.cat.List(testPath, c.o)
		if err != nil {
			t.Fatal(err)
		}
		if got := items(page); got != c.want || page.Truncated != c.more || (page.Next != nil) != c.more {
			t.Errorf("%+v: %q truncated %v next %q, want %q %v", c.o, got, page.Truncated, page.Next, c.want, c.more)
		}
	}
	if _, err := s.cat.List("Hawaii/Cola/none", ListOptions{}); !errors.Is(err, ErrNoBucket) {
		t.Fatalf("list of no bucket: %v", err)
	}
	page, err := s.cat.List("Hawaii/Cola/bk2", ListOptions{})
	if err != nil || items(page) != "zzz" {
		t.Fatalf("the neighbour: %v %v", page, err)
	}
	if got := page.Items[0].Record.GetEtag(); got != "x" {
		t.Fatalf("record: %q", got)
	}
}

// TestListingsSkip has a listing go past the keys that a common prefix rolls up, however
// many they are, and not through them.
func TestListingsSkip(t *testing.T) {
	s := testSite(t, 1).makeBucket(0).versioning(enabled)
	for i := range 200 {
		for _, prefix := range []string{"a/", "b/"} {
			key := fmt.Sprintf("%s%d", prefix, i)
			s.put(1, key, "x")
			s.put(1, key, "y")
			s.must(1, &pb.CreateUpload{Upload: &pb.Upload{Id: prefix[:1] + fmt.Sprint(i), Bucket: testPath, Key: []byte(key)}})
		}
	}
	v, err := s.cat.view(testPath)
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	slash := []byte("/")
	for what, c := range map[string]struct {
		rows []byte
		list func(it *pebble.Iterator) (items int, err error)
	}{
		"keys": {headKey(nil, v.number, nil), func(it *pebble.Iterator) (int, error) {
			page, err := list(it, ListOptions{Delimiter: slash})
			return len(page.Items), err
		}},
		"versions": {headKey(nil, v.number, nil), func(it *pebble.Iterator) (int, error) {
			l := v.lister(ListVersionsOptions{Delimiter: slash})
			err := l.list(it)
			return len(l.page.Items), err
		}},
		"uploads": {uploadsFrom(v.number, nil), func(it *pebble.Iterator) (int, error) {
			items, _, err := v.listUploads(it, ListUploadsOptions{Delimiter: slash})
			return len(items), err
		}},
	} {
		it, err := v.rows.NewIter(&pebble.IterOptions{LowerBound: c.rows, UpperBound: successor(c.rows)})
		if err != nil {
			t.Fatal(err)
		}
		items, err := c.list(it)
		stats := it.Stats()
		moves := stats.ForwardSeekCount[pebble.InterfaceCall] + stats.ForwardStepCount[pebble.InterfaceCall]
		if err := errors.Join(err, it.Close()); err != nil || items != 2 || moves > 4 {
			t.Errorf("%s: %d items, error %v; the iterator was moved %d times", what, items, err, moves)
		}
	}
}

// TestListPages: pages of any size add up to the same listing as a walk over a
// plain sorted list.
func TestListPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSite(t, 1)
		defer s.close()
		s.makeBucket(1)
		keys := rapid.SliceOfNDistinct(rapid.StringOfN(rapid.RuneFrom([]rune{'a', 'b', '/', 0, 0x10ffff}), 1, 4, -1), 0, 20, rapid.ID).Draw(t, "keys")
		var live []string
		for i, key := range keys {
			s.put(1, key, "x")
			if i%4 == 3 {
				s.del(2, key)
			} else {
				live = append(live, key)
			}
		}
		slices.Sort(live)
		o := ListOptions{
			Prefix:    []byte(rapid.SampledFrom([]string{"", "a", "a/", "\x00"}).Draw(t, "prefix")),
			Delimiter: []byte(rapid.SampledFrom([]string{"", "/", "b"}).Draw(t, "delimiter")),
			Limit:     rapid.IntRange(1, 4).Draw(t, "limit"),
		}
		var want []string
		for _, key := range live {
			rest, ok := strings.CutPrefix(key, string(o.Prefix))
			if !ok {
				continue
			}
			if i := strings.Index(rest, string(o.Delimiter)); len(o.Delimiter) > 0 && i >= 0 {
				key = "[" + string(o.Prefix) + rest[:i+len(o.Delimiter)] + "]"
			}
			if len(want) == 0 || want[len(want)-1] != key {
				want = append(want, key)
			}
		}
		var got []string
		for {
			page, err := s.cat.List(testPath, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range page.Items {
				if item.Record != nil {
					got = append(got, string(item.Record.GetKey()))
				} else {
					got = append(got, "["+string(item.CommonPrefix)+"]")
				}
			}
			if !page.Truncated {
				break
			}
			if len(page.Items) != o.Limit {
				t.Fatalf("a truncated page of %d items, limit %d", len(page.Items), o.Limit)
			}
			o.From = page.Next
		}
		if !slices.Equal(got, want) {
			t.Fatalf("listed %q, want %q", got, want)
		}
	})
}

func TestLog(t *testing.T) {
	s := testSite(t, 1).makeBucket(2)
	for i := range 5 {
		s.put(int64(i), fmt.Sprint("k", i%2), fmt.Sprint(i)) // k0 k1 k0 k1 k0
	}
	s.del(9, "k1")
	log, err := s.cat.Log(testPath, 0, 0)
	if err != nil || log.From != 1 || log.To != 6 || !log.AtEnd || log.Epoch != 1 || !bytes.Equal(log.Incarnation, s.state().GetIncarnation()) {
		t.Fatalf("log: %+v %v", log, err)
	}
	var got []string
	for _, item := range log.Entries {
		got = append(got, item.Record.GetEtag())
	}
	// Of k0 the head and one older version, of k1 the tombstone alone.
	if want := []string{"", "", "2", "", "4", ""}; !slices.Equal(got, want) || log.Entries[3].Record != nil || Live(log.Entries[5].Record) {
		t.Fatalf("records: %q", got)
	}
	if !Covers(log.Seen, dot(1, 1, 6)) {
		t.Fatalf("seen: %v", log.Seen)
	}
	part, err := s.cat.Log(testPath, 1, 2)
	if err != nil || part.From != 2 || part.To != 3 || part.AtEnd || part.Seen != nil || len(part.Entries) != 2 {
		t.Fatalf("page: %+v %v", part, err)
	}
	end, err := s.cat.Log(testPath, 6, 2)
	if err != nil || end.From != 7 || end.To != 6 || !end.AtEnd || end.Seen == nil {
		t.Fatalf("end: %+v %v", end, err)
	}
	if _, err := s.cat.Log(testPath, 7, 2); !errors.Is(err, ErrAhead) {
		t.Fatalf("ahead: %v", err)
	}
	s.must(20, &pb.Trim{Bucket: testPath, Before: 3})
	if _, err := s.cat.Log(testPath, 2, 2); !errors.Is(err, ErrTrimmed) {
		t.Fatalf("trimmed: %v", err)
	}
	if log, err := s.cat.Log(testPath, 3, 0); err != nil || len(log.Entries) != 3 {
		t.Fatalf("after the trim: %v %v", log, err)
	}
	// A page is bounded in bytes, too.
	big := putCmd("big", "x")
	big.Record.Metadata["x"] = strings.Repeat("x", MaxRecordSize/2)
	for i := range 40 {
		s.must(30, edited(proto.CloneOf(big), func(w *pb.Write) { w.Record.Key = fmt.Append(nil, "big", i) }))
	}
	if log, err := s.cat.Log(testPath, 6, 0); err != nil || log.AtEnd || len(log.Entries) > 30 {
		t.Fatalf("page of large records: %d %v", len(log.Entries), err)
	}
	if sp, err := s.cat.ScanKeys(testPath, []byte("b"), 0); err != nil || sp.Done || len(sp.Records) > 30 {
		t.Fatalf("scan of large records: %v %v", sp, err)
	}
}

func TestScanKeys(t *testing.T) {
	s := testSite(t, 1).makeBucket(2)
	for i := range 12 {
		s.put(int64(i), fmt.Sprintf("k%d", i%6), fmt.Sprint(i))
	}
	s.del(20, "k3")
	var got []string
	var from []byte
	for pages := 0; ; pages++ {
		page, err := s.cat.ScanKeys(testPath, from, 3)
		if err != nil {
			t.Fatal(err)
		}
		if page.Seq != 13 || !Covers(page.Seen, dot(1, 1, 13)) || page.Epoch != 1 {
			t.Fatalf("page: %+v", page)
		}
		for _, r := range page.Records {
			got = append(got, string(r.GetKey())+"="+r.GetEtag())
		}
		if page.Done {
			if page.NextKey != nil {
				t.Fatalf("done, but next is %q", page.NextKey)
			}
			break
		}
		from = page.NextKey
	}
	want := "k0=6 k0=0 k1=7 k1=1 k2=8 k2=2 k3= k4=10 k4=4 k5=11 k5=5"
	if strings.Join(got, " ") != want {
		t.Fatalf("scanned %q, want %q", got, want)
	}
}

func TestDroppedThereRange(t *testing.T) {
	s := testSite(t, 1).makeBucket(1)
	var all []*pb.Record
	for i := range 1300 {
		all = append(all, s.put(1, fmt.Sprintf("k%04d", i), "x"))
	}
	seen := s.seen()
	s.put(2, "k0005", "not seen there")
	var got [][]byte
	from := []byte("k0001")
	for rounds := 0; ; rounds++ {
		dropped, resume, err := s.cat.DroppedThere(testPath, from, []byte("k1250"), []*pb.Record{all[7], all[9]}, seen)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range dropped {
			got = append(got, r.GetKey())
		}
		if resume == nil {
			if rounds == 0 {
				t.Fatal("the first page was not bounded")
			}
			break
		}
		from = resume
	}
	if len(got) != 1249-3 || string(got[0]) != "k0001" || !slices.IsSortedFunc(got, bytes.Compare) {
		t.Fatalf("%d keys, first %q", len(got), got[0])
	}
	if dropped, _, err := s.cat.DroppedThere(testPath, []byte("x"), []byte("a"), nil, seen); err != nil || len(dropped) != 0 {
		t.Fatalf("an empty range: %v %v", dropped, err)
	}
}

func TestBehind(t *testing.T) {
	s := testSite(t, 1).makeBucket(1)
	peer := siteID(7)
	behind := func(want Behind) {
		t.Helper()
		got, err := s.cat.Behind(testPath, peer, maxBehind)
		if err != nil || fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", want) {
			t.Fatalf("behind: %+v %v, want %+v", *got, err, want)
		}
	}
	progress := func(seq uint64, seen *pb.Vector, f func(*pb.PeerProgress), holds ...*pb.Dot) {
		c := &pb.Cursor{Epoch: 1, Incarnation: s.state().GetIncarnation(), Seq: seq, InitialDone: true}
		p := &pb.PeerProgress{Bucket: testPath, Peer: peer.Bytes(), Cursor: c, Seen: seen, Holds: holds}
		if f != nil {
			f(p)
		}
		s.must(99, p)
	}
	behind(Behind{Scan: true})
	first := s.put(10, "a", "aaa")
	s.put(11, "b", "b")
	behind(Behind{Scan: true, Entries: 2, Bytes: 4, Oldest: 1})
	progress(0, nil, nil)
	behind(Behind{Entries: 2, Bytes: 4, Oldest: 10, OldestKey: []byte("a")})
	s.put(12, "a", "aa") // supersedes: the peer needs the new one only
	behind(Behind{Entries: 2, Bytes: 3, Oldest: 11, OldestKey: []byte("b")})
	progress(2, nil, nil)
	behind(Behind{Entries: 1, Bytes: 2, Oldest: 12, OldestKey: []byte("a")})
	progress(1, vector(dot(1, 1, 3)), nil) // all of it seen on another way
	behind(Behind{})
	progress(3, nil, nil)
	behind(Behind{})
	via := &pb.Ingest{Bucket: testPath, Peer: peer.Bytes(), Records: []*pb.Record{content(1, 5, dot(7, 1, 1))}}
	s.must(13, via) // came from the peer itself
	behind(Behind{})
	// What the peer holds pending is behind as long as it is kept here.
	progress(4, nil, nil, dot(1, 1, 3), first.GetDot(), dot(9, 9, 9))
	behind(Behind{Entries: 1, Bytes: 2, Oldest: 12, OldestKey: []byte("a")})
	progress(4, nil, func(p *pb.PeerProgress) { p.Cursor.InitialDone, p.Cursor.Scan = false, &pb.Scan{KeysDone: 1} })
	behind(Behind{Scan: true, Entries: 2, Bytes: 2, Oldest: 1})
	for _, f := range []func(*pb.PeerProgress){
		func(p *pb.PeerProgress) { p.Cursor.Epoch = 9 },
		func(p *pb.PeerProgress) { p.Cursor.Incarnation = []byte("x") },
		func(p *pb.PeerProgress) { p.Cursor.Seq = 99 },
	} {
		progress(4, nil, f)
		behind(Behind{Scan: true, Entries: 3, Bytes: 4, Oldest: 1})
	}
	// Forgotten.
	s.must(99, &pb.PeerProgress{Bucket: testPath, Peer: peer.Bytes()})
	if _, err := s.cat.Progress(testPath, peer); !errors.Is(err, ErrNoCursor) {
		t.Fatalf("progress of a forgotten peer: %v", err)
	}
	s.check()
	// Too many to look at.
	progress(4, nil, nil)
	for i := 0; i < maxBehind+512; i += 256 {
		var steps []step
		for j := range 256 {
			steps = append(steps, step{now: 50, cmd: putCmd(fmt.Sprint("n", i+j), "xx")})
		}
		s.run(steps...)
	}
	behind(Behind{Entries: maxBehind + 512, Bytes: 2*maxBehind + 1024, Oldest: 50, OldestKey: []byte("n0"), Estimated: true})
	got, err := s.cat.BehindFrom(testPath, peer, &pb.PeerProgress{Cursor: &pb.Cursor{Epoch: 1, Incarnation: s.state().GetIncarnation(), Seq: s.state().GetSeq(), InitialDone: true}}, maxBehind)
	if err != nil || got.Entries != 0 || got.Estimated {
		t.Fatalf("behind from what was told now: %+v %v", got, err)
	}
	// Fewer are looked at: the rest counts as those do.
	here := s.state().GetSeq()
	for i := range 10 {
		s.must(60, putCmd(fmt.Sprint("m", i), strings.Repeat("x", 1+i/5)))
	}
	told := &pb.PeerProgress{Cursor: &pb.Cursor{Epoch: 1, Incarnation: s.state().GetIncarnation(), Seq: here, InitialDone: true}}
	for most, want := range map[int]uint64{5: 10, 10: 15, maxBehind: 15} {
		if got, err = s.cat.BehindFrom(testPath, peer, told, most); err != nil || got.Entries != 10 || got.Bytes != want || got.Estimated != (most == 5) {
			t.Errorf("behind by a look at %d entries: %+v %v, want %d bytes", most, got, err, want)
		}
	}
}

func TestTrimPins(t *testing.T) {
	type setup func(s *site)
	peer := siteID(7)
	progress := func(seq uint64, holds ...*pb.Dot) setup {
		return func(s *site) {
			s.must(1, &pb.PeerProgress{Bucket: testPath, Peer: peer.Bytes(), Holds: holds,
				Cursor: &pb.Cursor{Epoch: 1, Incarnation: s.state().GetIncarnation(), Seq: seq, InitialDone: true}})
		}
	}
	own := func(done bool) setup {
		return func(s *site) {
			c := at(0)
			c.InitialDone = done
			s.must(1, &pb.Ingest{Bucket: testPath, Peer: peer.Bytes(), Cursor: c})
		}
	}
	foreign := func(s *site) { // a version of a peer is deleted here, and the vector does not cover it
		take(s, &site{id: peer}, nil, content(1, 1, dot(7, 1, 5)))
		s.del(30, "k")
	}
	for _, c := range []struct {
		name            string
		setup           setup
		before, horizon int64
		limit           uint32
		dropped         uint64
		tombstone       bool // is left
	}{
		{"nothing is old", nil, 10, 0, 0, 0, true},
		{"some is old", nil, 12, 0, 0, 2, true},
		{"all is old", nil, 99, 0, 0, 4, false},
		{"limit", nil, 99, 0, 3, 3, true},
		{"a peer has all", progress(4), 99, 0, 0, 4, false},
		{"a peer has some", progress(2), 99, 0, 0, 2, true},
		{"a peer has nothing", progress(0), 99, 0, 0, 0, true},
		{"a peer has nothing, past the horizon", progress(0), 99, 99, 0, 4, false},
		{"a peer has nothing, the horizon in between", progress(0), 99, 12, 0, 2, true},
		{"a peer holds one", progress(4, dot(1, 1, 2)), 99, 0, 0, 1, true},
		{"the own copy is done", own(true), 99, 0, 0, 4, false},
		{"the own copy is under way", own(false), 99, 0, 0, 3, true},
		{"the own copy is under way, past the horizon", own(false), 99, 99, 0, 4, false},
		{"what is deleted is not covered", foreign, 2000, 0, 0, 5, true},
		{"what is deleted is not covered, past the horizon", foreign, 9999, 9999, 0, 6, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := testSite(t, 1).makeBucket(2)
			s.put(10, "x", "1")
			s.put(11, "y", "1")
			s.put(12, "z", "1")
			s.del(13, "z")
			if c.setup != nil {
				c.setup(s)
			}
			for range 2 { // the second time nothing is left to be dropped
				res := s.must(5000, &pb.Trim{Bucket: testPath, Before: c.before, Horizon: c.horizon, Limit: c.limit})
				if res.GetApplied() != c.dropped {
					t.Fatalf("dropped %d, want %d", res.GetApplied(), c.dropped)
				}
				key := "z"
				if s.head("k") != nil {
					key = "k"
				}
				if got := s.head(key) != nil && !Live(s.head(key)); got != c.tombstone {
					t.Fatalf("tombstone is left: %v, want %v", got, c.tombstone)
				}
				s.check()
				if c.limit > 0 || c.horizon > 5000 {
					break
				}
				c.dropped = 0
			}
			if s.body("x") != "1" || s.body("y") != "1" {
				t.Fatal("content was lost")
			}
		})
	}
}

func TestProgressRefuses(t *testing.T) {
	s := testSite(t, 1).makeBucket(1)
	for _, p := range []*pb.PeerProgress{
		{Bucket: testPath, Cursor: at(1)},
		{Bucket: testPath, Peer: state.SiteID{1}.Bytes(), Cursor: at(1), Holds: []*pb.Dot{{}}},
		{Bucket: testPath, Peer: state.SiteID{1}.Bytes(), Cursor: at(1), Holds: make([]*pb.Dot, MaxPending+1)},
		{Bucket: testPath, Peer: state.SiteID{1}.Bytes(), Cursor: at(1), Seen: &pb.Vector{Upto: []*pb.Dot{{}}}},
	} {
		res := s.do(1, p)
		if res.GetCode() == 0 {
			t.Errorf("%v was accepted", p)
		}
	}
}
