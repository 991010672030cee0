package objsync

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// TestGuidedScanOfSparseBucket has a site compare with one that keeps a bounded number
// of versions, so that only the latest can be compared by sums. Below a latest that is
// equal, this site lacks an older null version, whose content is still on its way from
// a third site. It must not claim to have seen what it was never given.
func TestGuidedScanOfSparseBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := newTestSite(t, 1), newTestSite(t, 2), newTestSite(t, 3)
		sites := []*testSite{a, b, c}
		a.unbounded, c.unbounded = true, true
		for _, s := range sites {
			s.ensureBucket(bk1)
		}
		slow := func(o *EngineOptions) { o.HoldAfter = time.Hour }
		ab, ba := connect(t, a, b, nil, bk1)
		bc, cb := connect(t, b, c, nil, bk1)
		ac, ca := connect(t, a, c, slow, bk1)
		halves := []*half{ab, ba, bc, cb, ac, ca}
		defer func() {
			for _, h := range halves {
				h.halt()
			}
			for _, s := range sites {
				s.close()
			}
		}()
		both := func(x, y *half) {
			t.Helper()
			x.start()
			y.start()
			synced(t, 5*time.Minute, x, y)
		}
		a.put(bk1, "s", []byte("from the beginning"))
		both(ab, ba)
		both(bc, cb)
		bc.halt()
		cb.halt()

		old := a.put(bk1, "k", []byte("the null version"))
		a.try(&raftfsmpb.Command{Command: &raftfsmpb.Command_SetBucketAttribute{SetBucketAttribute: &catalogpb.SetBucketAttribute{
			Bucket: bk1, Field: catalog.FieldVersioning, Value: &catalogpb.Value{Versioning: catalogpb.Versioning_VERSIONING_ENABLED},
		}}})
		a.put(bk1, "s", []byte("second"))
		a.put(bk1, "s", []byte("third"))
		a.del(bk1, "k")
		synced(t, 5*time.Minute, ab, ba)
		if st, err := b.cat.Bucket(bk1); err != nil || !st.GetSeen().GetSparse() {
			t.Fatalf("site2 keeps all versions: %v %v", st, err)
		}
		pause(time.Hour)
		b.trim(bk1, time.Now())

		arrives := make(chan struct{})
		ca.wire.gate = func(ctx context.Context, h *linkpb.ChunkHeader) error {
			if string(h.GetId()) != string(old.GetRoot().GetId()) {
				return nil
			}
			select {
			case <-arrives:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		ac.start()
		ca.start()
		until(t, time.Minute, "the delete marker of k", func() bool {
			return len(c.versionsOf(bk1, "k")) == 1
		})
		bc.start()
		cb.start()
		b.put(bk1, "later", []byte("its vector comes with this"))
		pause(time.Minute)
		close(arrives)
		synced(t, 5*time.Minute, halves...)
		for _, s := range sites {
			if v, err := s.cat.Version(bk1, []byte("k"), nil); err != nil || keyOf(v.Record.GetDot()) != keyOf(old.GetDot()) {
				t.Errorf("%s: the null version of k is %v, %v", s.name, v, err)
			}
		}
	})
}
