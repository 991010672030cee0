package objsync

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// muteRecords is a source that does not answer requests for records.
type muteRecords struct {
	link.Source
	under, most atomic.Int64
}

func (m *muteRecords) Records(ctx context.Context, _ *linkpb.RecordsRequest) (*linkpb.ScanPage, error) {
	n := m.under.Add(1)
	defer m.under.Add(-1)
	m.most.Store(max(m.most.Load(), n))
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestMendsAreBounded has a peer ask again and again that keys be merged, without
// answering what it is asked for that.
func TestMendsAreBounded(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.site.put(bk1, "k", []byte("v"))
		from := &muteRecords{Source: y.wire}
		y.opts.Source = from
		x.start()
		y.start()
		synced(t, time.Minute, x, y)
		for range 1000 {
			if _, err := y.local.Records(t.Context(), &linkpb.RecordsRequest{Path: bk1, Keys: [][]byte{[]byte("k")}, Mend: true}); err != nil {
				t.Fatal(err)
			}
			pause(time.Millisecond)
		}
		if n := from.most.Load(); n < 1 || n > 10 {
			t.Errorf("%d requests were made at once", n)
		}
	})
}
