package objsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// offering runs f with one site and its Local for a peer that is not there.
func offering(t *testing.T, f func(t *testing.T, s *testSite, l *Local, served *[]string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t, 1)
		defer s.close()
		served := []string{bk1}
		l, err := NewLocal(LocalOptions{Site: s.site(), Service: "hawaii", Peer: peerID, Served: func() []string { return served }})
		if err != nil {
			t.Fatal(err)
		}
		f(t, s, l, &served)
	})
}

var peerID = state.SiteID{0: 0x51, 15: 9}

// reply is one answer of a fetch.
type reply struct {
	h    *linkpb.ChunkHeader
	body []byte
}

func fetchAll(t *testing.T, l *Local, wants ...*linkpb.Want) []reply {
	t.Helper()
	var out []reply
	err := l.Fetch(context.Background(), &linkpb.FetchRequest{Wants: wants}, func(h *linkpb.ChunkHeader, body []byte) error {
		out = append(out, reply{proto.CloneOf(h), bytes.Clone(body)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFetchChecksEntitlement(t *testing.T) {
	offering(t, func(t *testing.T, s *testSite, l *Local, served *[]string) {
		const hidden = "Hawaii/Pepsi/bk1"
		s.makeBucket(bk1, 1)
		s.makeBucket(hidden, 1)
		large := s.put(bk1, "large", random(1, 40<<20)) // a root of level 2
		small := s.put(bk1, "small", []byte("small"))
		for range 20 { // so that the dot of what follows does not occur in the other bucket
			s.put(hidden, "x", []byte("x"))
		}
		secret := s.put(hidden, "secret", random(2, 20<<20))
		empty := s.put(bk1, "empty", nil)
		old := s.put(bk1, "replaced", []byte("old"))
		s.put(bk1, "replaced", []byte("new"))
		root := large.GetRoot().GetId()
		var buf chunks.Buffer
		node := func(ref manifest.Ref, place manifest.Place) *manifest.Node {
			n := new(manifest.Node)
			if err := s.chunks.Get(context.Background(), ref.ID, &buf); err != nil {
				t.Fatal(err)
			}
			if err := n.Decode(ref, place, buf.Raw); err != nil {
				t.Fatal(err)
			}
			return n
		}
		ref, _ := rootOf(large)
		if ref.Level < 2 {
			t.Fatalf("the tree has %d levels", ref.Level)
		}
		top := node(ref, manifest.Root)
		first, place := top.Child(0, manifest.Root)
		leaves := node(first, place)
		lastRef, _ := top.Child(len(top.Entries)-1, manifest.Root)
		other, _ := rootOf(secret)
		want := func(path string, r *catalogpb.Record, nodes [][]byte, children ...uint32) *linkpb.Want {
			return &linkpb.Want{Path: path, Dot: r.GetDot(), Nodes: nodes, Children: children}
		}
		for name, c := range map[string]struct {
			w       *linkpb.Want
			ids     []chunks.ID // given, in order
			gone    bool
			refused int
		}{
			"a root that is a chunk":           {want(bk1, small, nil), []chunks.ID{chunks.Sum([]byte("small"))}, false, 0},
			"a root that is a node":            {want(bk1, large, nil), []chunks.ID{ref.ID}, false, 0},
			"nodes below the root":             {want(bk1, large, [][]byte{root}, 0, 1), []chunks.ID{top.Entries[0].ID, top.Entries[1].ID}, false, 0},
			"chunks below a node":              {want(bk1, large, [][]byte{root, first.ID[:]}, 0, 5, 6), []chunks.ID{leaves.Entries[0].ID, leaves.Entries[5].ID, leaves.Entries[6].ID}, false, 0},
			"a bucket that is not served":      {want(hidden, secret, nil), nil, false, 1},
			"another bucket's version":         {want(bk1, secret, nil), nil, false, 1},
			"a version that was replaced":      {want(bk1, old, nil), nil, true, 0},
			"a version of the future":          {&linkpb.Want{Path: bk1, Dot: &catalogpb.Dot{Origin: s.id.Bytes(), Epoch: 1, Seq: 9999}}, nil, false, 1},
			"no dot":                           {&linkpb.Want{Path: bk1}, nil, false, 1},
			"a version without content":        {want(bk1, empty, nil), nil, false, 1},
			"a path from another root":         {want(bk1, large, [][]byte{other.ID[:]}, 0), nil, false, 1},
			"a path over another's node":       {want(bk1, large, [][]byte{root, other.ID[:]}, 0), nil, false, 1},
			"a path that leaves out a node":    {want(bk1, small, [][]byte{root, first.ID[:]}, 0), nil, false, 1},
			"a path through a chunk":           {want(bk1, large, [][]byte{root, first.ID[:], leaves.Entries[0].ID[:]}, 0), nil, false, 1},
			"a bare ID":                        {want(bk1, large, [][]byte{leaves.Entries[0].ID[:]}, 0), nil, false, 1},
			"a path that is no ID":             {want(bk1, large, [][]byte{[]byte("x")}, 0), nil, false, 1},
			"a child that does not exist":      {want(bk1, large, [][]byte{root}, 1, 5000), []chunks.ID{top.Entries[1].ID}, false, 1},
			"children out of order":            {want(bk1, large, [][]byte{root}, 1, 0), []chunks.ID{top.Entries[1].ID}, false, 1},
			"children without a node":          {want(bk1, large, nil, 0), nil, false, 1},
			"the last node, twice in the path": {want(bk1, large, [][]byte{root, lastRef.ID[:], lastRef.ID[:]}, 0), nil, false, 1},
		} {
			got := fetchAll(t, l, c.w)
			var ids []chunks.ID
			gone, refused := false, 0
			for _, r := range got {
				switch {
				case r.h.GetGone():
					gone = true
				case r.h.GetRefused() != "":
					refused++
				default:
					ids = append(ids, chunks.ID(r.h.GetId()))
				}
				if len(r.body) != int(r.h.GetLength()) {
					t.Errorf("%s: %d bytes of %d", name, len(r.body), r.h.GetLength())
				}
			}
			if fmt.Sprint(ids) != fmt.Sprint(c.ids) || gone != c.gone || refused != c.refused {
				t.Errorf("%s: %d chunks, gone %v, %d refused: %v", name, len(ids), gone, refused, got[0].h)
			}
		}
		*served = nil
		if got := fetchAll(t, l, want(bk1, small, nil)); got[0].h.GetRefused() == "" {
			t.Error("a chunk is given after its bucket was unserved")
		}
		var refusal *link.Refused
		err := l.Fetch(context.Background(), &linkpb.FetchRequest{Wants: make([]*linkpb.Want, maxWants+1)}, nil)
		if !errors.As(err, &refusal) || refusal.Code != link.CodeInvalid {
			t.Errorf("a request without bound: %v", err)
		}
	})
}

// changes runs one change stream and collects what it says until enough is there.
func changes(t *testing.T, l *Local, enough func(all []*linkpb.ChangeBatch) bool, cursors ...*linkpb.BucketCursor) []*linkpb.ChangeBatch {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var all []*linkpb.ChangeBatch
	err := l.Changes(ctx, &linkpb.ChangesRequest{Cursors: cursors}, func(b *linkpb.ChangeBatch) error {
		all = append(all, b)
		if enough(all) {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("after %d batches: %v", len(all), err)
	}
	return all
}

func cursorOf(s *testSite, path string, seq uint64) *linkpb.BucketCursor {
	st, _ := s.cat.BucketAny(path)
	return &linkpb.BucketCursor{Path: path, Cursor: &catalogpb.Cursor{Site: s.id.Bytes(), Epoch: 1, Incarnation: st.GetIncarnation(), Seq: seq}}
}

func TestChangesResets(t *testing.T) {
	offering(t, func(t *testing.T, s *testSite, l *Local, _ *[]string) {
		s.makeBucket(bk1, 1)
		for i := range 10 {
			s.put(bk1, fmt.Sprint("k", i), []byte("v"))
		}
		pause(time.Minute)
		s.trim(bk1, time.Now().Add(-time.Second))
		s.put(bk1, "k", []byte("v"))
		for name, c := range map[string]struct {
			change func(*linkpb.BucketCursor)
			word   string
		}{
			"trimmed":      {func(c *linkpb.BucketCursor) { c.Cursor.Seq = 3 }, "trimmed"},
			"ahead":        {func(c *linkpb.BucketCursor) { c.Cursor.Seq = 300 }, "ends"},
			"epoch":        {func(c *linkpb.BucketCursor) { c.Cursor.Epoch = 7 }, "epoch"},
			"another life": {func(c *linkpb.BucketCursor) { c.Cursor.Incarnation = []byte("x") }, "anew"},
		} {
			at := cursorOf(s, bk1, 10)
			c.change(at)
			all := changes(t, l, func([]*linkpb.ChangeBatch) bool { return true }, at)
			if b := all[0]; !strings.Contains(b.GetReset_(), c.word) || len(b.GetChanges()) > 0 {
				t.Errorf("%s: %v", name, b)
			}
		}
	})
}

func TestChangesAreBoundedAndAccountForAll(t *testing.T) {
	offering(t, func(t *testing.T, s *testSite, l *Local, _ *[]string) {
		const other = "Hawaii/Cola/bk2"
		s.makeBucket(bk1, 1)
		s.makeBucket(other, 1)
		l.o.Served = func() []string { return []string{bk1, other} }
		for i := range 900 {
			s.put(bk1, fmt.Sprint("k", i%700), fmt.Append(nil, i))
			if i%9 == 0 {
				s.put(other, fmt.Sprint("k", i), fmt.Append(nil, i))
			}
		}
		// Records with much metadata: batches are bounded in bytes too.
		for i := range 40 {
			res, err := s.propose(context.Background(), writeOf(bk1, fmt.Sprint("fat", i), strings.Repeat("m", 20_000)))
			if err != nil {
				t.Fatal(err)
			}
			s.ok(res)
		}
		ends := map[string]bool{}
		all := changes(t, l, func(all []*linkpb.ChangeBatch) bool {
			if b := all[len(all)-1]; b.GetSeen() != nil {
				ends[b.GetPath()] = true
			}
			return len(ends) == 2
		}, cursorOf(s, bk1, 0), cursorOf(s, other, 0))
		next := map[string]uint64{bk1: 1, other: 1}
		records, turns := map[string]int{}, 0
		last := ""
		for _, b := range all {
			if b.GetPath() == "" {
				continue
			}
			if b.GetFrom() != next[b.GetPath()] {
				t.Fatalf("batch of %d to %d follows %d", b.GetFrom(), b.GetTo(), next[b.GetPath()]-1)
			}
			next[b.GetPath()] = b.GetTo() + 1
			records[b.GetPath()] += len(b.GetChanges())
			if len(b.GetChanges()) > batchRecords || proto.Size(b) > batchBytes+batchBytes/4 {
				t.Errorf("a batch of %d records and %d bytes", len(b.GetChanges()), proto.Size(b))
			}
			if (b.GetSeen() != nil) != (b.GetTo() == s.seq(b.GetPath())) {
				t.Errorf("batch to %d of %d has vector %v", b.GetTo(), s.seq(b.GetPath()), b.GetSeen())
			}
			if b.GetPath() != last {
				turns++
			}
			last = b.GetPath()
		}
		if records[bk1] != 740 || records[other] != 100 {
			t.Errorf("%v records of 740 and 100 that are kept", records)
		}
		if turns < 2 {
			t.Error("one bucket waits for the end of the other")
		}
	})
}

func TestHeartbeatsAndServedChanges(t *testing.T) {
	offering(t, func(t *testing.T, s *testSite, l *Local, served *[]string) {
		s.makeBucket(bk1, 1)
		if _, err := l.Served(context.Background()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		beats := 0
		all := changes(t, l, func(all []*linkpb.ChangeBatch) bool {
			if b := all[len(all)-1]; b.GetBeat() {
				beats++
				if len(b.GetHeads()) != 0 {
					t.Errorf("nothing is left to be sent, and a heartbeat names %v", b.GetHeads())
				}
			}
			if beats == 5 && len(*served) == 1 {
				*served = []string{bk1, "Hawaii/Cola/new"}
				l.Kick()
			}
			return all[len(all)-1].GetServedChanged()
		}, cursorOf(s, bk1, 0))
		if d := time.Since(began); d != 4*time.Second {
			t.Errorf("5 heartbeats and a change of the served list took %s", d)
		}
		for _, b := range all {
			if b.GetClock() == 0 {
				t.Errorf("no clock in %v", b)
			}
		}
	})
}

// TestUnservedAndServedAgain serves a bucket again before the peer has asked for the
// list that lacked it: the list is what the peer knew before, so it goes on listening
// to the stream that it has, and must hear of what is written.
func TestUnservedAndServedAgain(t *testing.T) {
	offering(t, func(t *testing.T, s *testSite, l *Local, served *[]string) {
		s.makeBucket(bk1, 1)
		s.put(bk1, "before", []byte("1"))
		if _, err := l.Served(context.Background()); err != nil {
			t.Fatal(err)
		}
		told, hidden := 0, false
		all := changes(t, l, func(all []*linkpb.ChangeBatch) bool {
			switch b := all[len(all)-1]; {
			case b.GetServedChanged():
				if told++; told == 1 {
					s.put(bk1, "after", []byte("2"))
					*served = []string{bk1}
					l.Kick()
				}
			case b.GetBeat() && !hidden:
				hidden = true
				*served = nil
				l.Kick()
			}
			return len(all[len(all)-1].GetChanges()) > 0 && hidden
		}, cursorOf(s, bk1, 0))
		var keys []string
		for _, b := range all {
			for _, c := range b.GetChanges() {
				keys = append(keys, string(c.GetRecord().GetKey()))
			}
		}
		if told == 0 || len(keys) == 0 || keys[len(keys)-1] != "after" {
			t.Errorf("the list was told %d times, and what came is %v", told, keys)
		}
	})
}

// TestNewsOfAStreamThatWasLeft announces a change of the served list to a stream that
// the peer leaves before it has read that: the next stream announces it again, and
// only the answer to the peer's question ends that.
func TestNewsOfAStreamThatWasLeft(t *testing.T) {
	offering(t, func(t *testing.T, s *testSite, l *Local, served *[]string) {
		s.makeBucket(bk1, 1)
		if _, err := l.Served(context.Background()); err != nil {
			t.Fatal(err)
		}
		*served = []string{bk1, "Hawaii/Cola/new"}
		announced := func() int {
			times, beats := 0, 0
			changes(t, l, func(all []*linkpb.ChangeBatch) bool {
				switch b := all[len(all)-1]; {
				case b.GetServedChanged():
					times++
				case b.GetBeat():
					beats++
				}
				return beats == 5
			}, cursorOf(s, bk1, 0))
			return times
		}
		for i := range 2 {
			if n := announced(); n != 1 {
				t.Errorf("stream %d announced the change %d times", i+1, n)
			}
		}
		if _, err := l.Served(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n := announced(); n != 0 {
			t.Errorf("after the peer has asked it is announced %d times", n)
		}
	})
}

func writeOf(path, key, meta string) *raftfsmpb.Command {
	return &raftfsmpb.Command{Command: &raftfsmpb.Command_Write{Write: &catalogpb.Write{
		Bucket: path,
		Record: &catalogpb.Record{
			Key: []byte(key), Kind: catalogpb.RecordKind_RECORD_VERSION, Time: time.Now().UnixNano(),
			Metadata: map[string]string{"m": meta},
		},
	}}}
}

func TestProgressIsCommittedSeldom(t *testing.T) {
	offering(t, func(t *testing.T, s *testSite, l *Local, _ *[]string) {
		s.makeBucket(bk1, 1)
		for i := range 100 {
			s.put(bk1, fmt.Sprint("k", i), []byte("v"))
		}
		report := func(seq uint64) {
			c := cursorOf(s, bk1, seq)
			c.Cursor.InitialDone = true
			if _, err := l.Progress(context.Background(), &linkpb.Progress{Buckets: []*linkpb.BucketProgress{{Path: bk1, Cursor: c.Cursor}}}); err != nil {
				t.Fatal(err)
			}
		}
		stored := func() uint64 {
			p, err := s.cat.Progress(bk1, peerID)
			if err != nil {
				return 0
			}
			return p.GetCursor().GetSeq()
		}
		if st := l.Status(); st.InSync || st.Buckets[0].Started {
			t.Errorf("before any word: %+v", st)
		}
		report(10)
		if stored() != 10 {
			t.Errorf("the first word is committed at once, to pin the log: %d", stored())
		}
		before := s.applies
		for i := range 9 {
			pause(time.Second)
			report(20 + uint64(i))
		}
		if stored() != 10 || s.applies != before {
			t.Errorf("committed %d after 9 s", stored())
		}
		if st := l.Status(); st.Buckets[0].Cursor != 28 || st.BacklogVersions != 72 || st.InSync || !st.Lag.Known {
			t.Errorf("the status must not wait for the commit: %+v", st)
		}
		pause(2 * time.Second)
		report(40)
		if stored() != 40 {
			t.Errorf("committed %d after 11 s", stored())
		}
		report(100)
		if err := l.Flush(context.Background()); err != nil || stored() != 100 {
			t.Errorf("flushed %d: %v", stored(), err)
		}
		if st := l.Status(); !st.InSync || st.Lag != (Lag{Known: true}) {
			t.Errorf("at the end: %+v", st)
		}
		report(5000) // of another history
		if st := l.Status(); st.Buckets[0].Cursor != 100 {
			t.Errorf("a cursor beyond the log is believed: %+v", st.Buckets[0])
		}
	})
}

func TestHelloChecksWhoAsks(t *testing.T) {
	offering(t, func(t *testing.T, s *testSite, l *Local, _ *[]string) {
		good := func() *linkpb.Hello {
			return &linkpb.Hello{Version: link.Version, MinVersion: link.MinVersion, Service: "hawaii", Site: peerID.Bytes()}
		}
		if h, err := l.Hello(context.Background(), good()); err != nil || h.GetSiteName() != s.name {
			t.Errorf("%v %v", h, err)
		}
		for want, change := range map[link.Code]func(*linkpb.Hello){
			link.CodeUnpaired:  func(h *linkpb.Hello) { h.Site = s.id.Bytes() },
			link.CodeNoService: func(h *linkpb.Hello) { h.Service = "other" },
			link.CodeVersion:   func(h *linkpb.Hello) { h.Version, h.MinVersion = 99, 99 },
		} {
			h := good()
			change(h)
			_, err := l.Hello(context.Background(), h)
			var refused *link.Refused
			if !errors.As(err, &refused) || refused.Code != want {
				t.Errorf("%s: %v", want, err)
			}
		}
	})
}

func TestNodeCacheIsBounded(t *testing.T) {
	c := nodeCache{most: 10}
	key := func(n int) nodeKey { return nodeKey{ref: manifest.Ref{Level: 1, Size: uint64(n)}} }
	for i := range 1000 {
		c.put(key(i), &manifest.Node{})
		if c.get(key(0)) == nil {
			t.Fatal("a node that is used all the time was dropped")
		}
		if n := len(c.cur) + len(c.old); n > 10 {
			t.Fatalf("%d nodes", n)
		}
	}
	if c.get(key(999)) == nil || c.get(key(5)) != nil {
		t.Error("the wrong nodes are kept")
	}
}

// TestLostVersionsAreTold has a peer tell of versions of this site behind the end of its
// log, in an epoch since it was restored or in one that is still to come: it was put back
// from a backup, and is not in sync until that is said. What it wrote before it was
// restored, or another site wrote, is no sign of it.
func TestLostVersionsAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		origin byte // besides this site's
		epoch  uint32
		seq    uint64
		lost   bool
	}{
		"the last that was written":                 {0, 7, 3, false},
		"behind it":                                 {0, 7, 4, true},
		"the last of an epoch that is gone on from": {0, 5, 2, false},
		"behind that":                               {0, 5, 3, true},
		"of an epoch to come":                       {0, 8, 1, true},
		"from before it was restored":               {0, 1, 9, false},
		"of another site":                           {7, 7, 9, false},
	} {
		t.Run(name, func(t *testing.T) {
			pair(t, nil, func(t *testing.T, x, y *half) {
				x.site.makeBucket(bk1, 1)
				x.site.put(bk1, "k", []byte("value"))
				x.site.must(siteEntry{epoch: 5})
				x.site.put(bk1, "k", []byte("written in epoch 5"))
				x.site.must(siteEntry{start: 7})
				x.site.put(bk1, "k", []byte("written in epoch 7"))
				x.start()
				y.start()
				synced(t, 30*time.Second, x, y)
				cursor, err := y.site.cat.Cursor(bk1, x.site.id)
				if err != nil {
					t.Fatal(err)
				}
				dot := &catalogpb.Dot{Origin: x.site.id.Bytes(), Epoch: c.epoch, Seq: c.seq}
				dot.Origin[0] += c.origin
				_, err = x.local.Progress(t.Context(), &linkpb.Progress{Buckets: []*linkpb.BucketProgress{
					{Path: bk1, Cursor: cursor, Seen: &catalogpb.Vector{Upto: []*catalogpb.Dot{dot}}},
				}})
				if err != nil {
					t.Fatal(err)
				}
				if st := x.local.Status(); (st.Forgot == bk1) != c.lost || st.InSync == c.lost {
					t.Errorf("lost: %v, want %v; in sync: %v", st.Forgot, c.lost, st.InSync)
				}
			})
		})
	}
}

// TestProgressIsStoredShort has a peer tell a cursor that is as large as a message.
func TestProgressIsStoredShort(t *testing.T) {
	offering(t, func(t *testing.T, s *testSite, l *Local, served *[]string) {
		s.ensureBucket((*served)[0])
		s.put((*served)[0], "k", []byte("v"))
		st, err := s.cat.Bucket((*served)[0])
		if err != nil {
			t.Fatal(err)
		}
		big := bytes.Repeat([]byte("x"), 100<<10)
		_, err = l.Progress(context.Background(), &linkpb.Progress{Buckets: []*linkpb.BucketProgress{{Path: (*served)[0], Cursor: &catalogpb.Cursor{
			Epoch: 1, Incarnation: st.GetIncarnation(), Seq: 1, Part: string(big), Scan: &catalogpb.Scan{NextKey: big, Scope: string(big)},
		}}}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.cat.Progress((*served)[0], l.o.Peer)
		if err != nil {
			t.Fatal(err)
		}
		if n := proto.Size(p); n > 1000 {
			t.Errorf("%d bytes are stored of it", n)
		}
	})
}

// TestWhatAPeerToldIsForgotten unserves buckets one after the other of which the peer had
// told: no memory of them stays, and what was committed counts when one is served again.
func TestWhatAPeerToldIsForgotten(t *testing.T) {
	offering(t, func(t *testing.T, s *testSite, l *Local, served *[]string) {
		ctx := context.Background()
		for i := range 10 {
			path := fmt.Sprintf("Hawaii/Cola/bk%d", i)
			*served = []string{path}
			s.ensureBucket(path)
			if _, err := l.Served(ctx); err != nil {
				t.Fatal(err)
			}
			st, err := s.cat.Bucket(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = l.Progress(ctx, &linkpb.Progress{Buckets: []*linkpb.BucketProgress{{Path: path, Cursor: &catalogpb.Cursor{Epoch: 1, Incarnation: st.GetIncarnation()}}}})
			if err != nil || len(l.peers) != 1 {
				t.Fatalf("something is known of %d buckets, %v", len(l.peers), err)
			}
		}
		*served = []string{bk1}
		if !l.Status().Buckets[0].Started {
			t.Error("what the peer had told of a bucket that is served again is not known")
		}
	})
}

// TestWordsOfAPeerAreCutBetweenCharacters tells why a bucket stands, and why one is not
// taken, in words that are too long.
func TestWordsOfAPeerAreCutBetweenCharacters(t *testing.T) {
	for _, words := range []string{strings.Repeat("ж", maxCause), "x" + strings.Repeat("ж", maxCause)} {
		offering(t, func(t *testing.T, s *testSite, l *Local, served *[]string) {
			path := (*served)[0]
			s.ensureBucket(path)
			st, err := s.cat.Bucket(path)
			if err != nil {
				t.Fatal(err)
			}
			tell := func(bp *linkpb.BucketProgress) SendBucketStatus {
				bp.Path = path
				if _, err := l.Progress(context.Background(), &linkpb.Progress{Buckets: []*linkpb.BucketProgress{bp}}); err != nil {
					t.Fatal(err)
				}
				return l.Status().Buckets[0]
			}
			stands := tell(&linkpb.BucketProgress{Cursor: &catalogpb.Cursor{Epoch: 1, Incarnation: st.GetIncarnation()}, Cause: words})
			declined := tell(&linkpb.BucketProgress{Declined: words})
			for _, got := range []string{stands.Cause, declined.Declined} {
				if n := len(got); n > maxCause || n < maxCause-utf8.UTFMax || !utf8.ValidString(got) {
					t.Errorf("of %d bytes %d are kept: %q", len(words), n, got)
				}
			}
		})
	}
}

// TestOldReportsAreNotBelieved has a peer that asks with less than it had reported
// before: it was put back from a backup. It is offered what it has lost; otherwise it
// would count as dropped there on purpose.
func TestOldReportsAreNotBelieved(t *testing.T) {
	offering(t, func(t *testing.T, s *testSite, l *Local, served *[]string) {
		path := (*served)[0]
		s.ensureBucket(path)
		s.put(path, "k", []byte("v"))
		s.put(path, "later", []byte("v"))
		all := cursorOf(s, path, s.seq(path)).GetCursor()
		seen := &catalogpb.Vector{Upto: []*catalogpb.Dot{{Origin: s.id.Bytes(), Epoch: 1, Seq: all.GetSeq()}}}
		_, err := l.Progress(t.Context(), &linkpb.Progress{Buckets: []*linkpb.BucketProgress{{Path: path, Cursor: all, Seen: seen}}})
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, b := range changes(t, l, func(all []*linkpb.ChangeBatch) bool { return all[len(all)-1].GetBeat() }, cursorOf(s, path, 1)) {
			for _, c := range b.GetChanges() {
				keys = append(keys, string(c.GetRecord().GetKey()))
			}
		}
		if fmt.Sprint(keys) != "[later]" {
			t.Errorf("%q are offered", keys)
		}
	})
}
