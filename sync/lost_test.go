package objsync

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// TestSenderThatWasPutBack has a sender whose log ends before what was taken from it: it
// was put back from a backup and does not know. Nothing is taken from it, and nothing
// that is missing there is removed, also when its log is longer again; until it is
// told, and begins another epoch.
func TestSenderThatWasPutBack(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.site.put(bk1, "k", []byte("value"))
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		y.halt()
		y.site.put(bk1, "lost there", []byte("it came from there"))
		was := y.cursor(bk1)
		ahead := proto.CloneOf(was)
		ahead.Seq += 3
		y.site.mustDo(&raftfsmpb.Command{Command: &raftfsmpb.Command_Ingest{Ingest: &catalogpb.Ingest{
			Bucket: bk1, Peer: x.site.id.Bytes(), Expect: was, Cursor: ahead,
		}}})
		waits := func() bool {
			st := y.engine.Status()
			return st.State == StateStalled && strings.Contains(st.Cause, "site1 was put back from a backup")
		}
		y.start()
		until(t, 30*time.Second, "both say so", func() bool { return waits() && x.local.Status().Forgot == bk1 })
		for range 10 {
			pause(3 * time.Second)
			x.site.put(bk1, "k", []byte("written since"))
		}
		pause(time.Minute)
		if !waits() {
			t.Errorf("the link is %+v", y.engine.Status())
		}
		if got, _ := y.site.read(bk1, "k"); string(got) != "value" {
			t.Errorf("%q was taken", got)
		}
		x.halt()
		x.site.must(siteEntry{epoch: 2})
		x.start()
		y.halt()
		y.start()
		synced(t, time.Minute, x, y)
		sameHeads(t, bk1, x.site, y.site)
		if n := len(y.site.listing(bk1)); n != 2 {
			t.Errorf("%d keys, want 2", n)
		}
	})
}

// TestLossesAreForgotten: a loss is known for as long as the sender is in the epoch of it,
// also while it does not list the bucket, and not for ever.
func TestLossesAreForgotten(t *testing.T) {
	e := &Engine{lost: map[string]loss{"a": {epoch: 1, times: 2}, "b": {epoch: 2, times: 1}}}
	for _, c := range []struct {
		listed []*linkpb.ServedBucket
		left   int
	}{
		{[]*linkpb.ServedBucket{{Path: "c", Epoch: 1}}, 2},
		{nil, 2},
		{[]*linkpb.ServedBucket{{Path: "c", Epoch: 2}}, 1},
		{[]*linkpb.ServedBucket{{Path: "b", Epoch: 3}}, 0},
	} {
		if e.forget(c.listed); len(e.lost) != c.left {
			t.Errorf("after %v %d losses are known, want %d", c.listed, len(e.lost), c.left)
		}
	}
}
