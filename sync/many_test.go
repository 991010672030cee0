package objsync

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/sync/link/ccow"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// TestManyBuckets has more buckets on a link than one message could list. The
// link opens all of them, is silent about those in which nothing happens, and
// brings what is written to any. With ISGW_LONG it has as many as that takes.
func TestManyBuckets(t *testing.T) {
	buckets := 800
	long := os.Getenv("ISGW_LONG") != ""
	if long {
		buckets = 10_500
	}
	synctest.Test(t, func(t *testing.T) {
		a, b := newTestSite(t, 1), newTestSite(t, 2)
		defer a.close()
		defer b.close()
		var paths []string
		for i := range buckets {
			// The longest names make the longest messages.
			paths = append(paths, fmt.Sprintf("%s/%s/b%062d", strings.Repeat("n", 63), strings.Repeat("t", 63), i))
			a.makeBucket(paths[i], 1)
			b.makeBucket(paths[i], 1)
		}
		x, y := connect(t, a, b, nil, paths...)
		x.fixed, y.fixed = paths, paths
		defer y.halt()
		list, err := x.local.Served(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if n := proto.Size(list); long && n < ccow.MaxMessage/2 {
			t.Fatalf("a list of %d bytes shows nothing", n)
		}
		var beats, heads, largest atomic.Int64
		see := func(m proto.Message) { largest.Store(max(largest.Load(), int64(proto.Size(m)))) }
		y.wire.change = func(b *linkpb.ChangeBatch) {
			see(b)
			heads.Add(int64(len(b.GetHeads())))
			if b.GetBeat() {
				beats.Add(1)
			}
		}
		y.wire.progress = func(p *linkpb.Progress) { see(p) }
		a.put(paths[7], "before", []byte("one"))
		y.start()
		until(t, 5*time.Minute, "in sync", func() bool { return y.engine.Status().State == StateInSync && x.local.Status().InSync })
		beats.Store(0)
		heads.Store(0)
		pause(20 * time.Second)
		if beats.Load() < 15 || heads.Load() != 0 {
			t.Errorf("%d heartbeats in 20 s at rest named %d buckets", beats.Load(), heads.Load())
		}
		a.put(paths[buckets-1], "after", []byte("two"))
		until(t, time.Minute, "the version of the last bucket", func() bool {
			_, ok := b.read(paths[buckets-1], "after")
			return ok
		})
		if got, ok := b.read(paths[7], "before"); !ok || string(got) != "one" {
			t.Errorf("the first version is %q, %v", got, ok)
		}
		if n := largest.Load(); n > ccow.MaxMessage/8 {
			t.Errorf("a message of %d bytes", n)
		}
	})
}
