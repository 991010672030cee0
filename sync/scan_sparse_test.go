package objsync

import (
	"context"
	"testing"
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
	unbounded := func(_ *testing.T, s *trio) { s.a.unbounded, s.c.unbounded = true, true }
	three(t, unbounded, func(t *testing.T, s *trio) {
		a, b, c := s.a, s.b, s.c
		s.ca.opts.HoldAfter = time.Hour
		a.put(bk1, "s", []byte("from the beginning"))
		both(t, s.ab, s.ba)
		both(t, s.bc, s.cb)
		s.bc.halt()
		s.cb.halt()

		old := a.put(bk1, "k", []byte("the null version"))
		a.try(&raftfsmpb.Command{Command: &raftfsmpb.Command_SetBucketAttribute{SetBucketAttribute: &catalogpb.SetBucketAttribute{
			Bucket: bk1, Field: catalog.FieldVersioning, Value: &catalogpb.Value{Versioning: catalogpb.Versioning_VERSIONING_ENABLED},
		}}})
		a.put(bk1, "s", []byte("second"))
		a.put(bk1, "s", []byte("third"))
		a.del(bk1, "k")
		synced(t, 5*time.Minute, s.ab, s.ba)
		if st, err := b.cat.Bucket(bk1); err != nil || !st.GetSeen().GetSparse() {
			t.Fatalf("site2 keeps all versions: %v %v", st, err)
		}
		pause(time.Hour)
		b.trim(bk1, time.Now())

		arrives := make(chan struct{})
		s.ca.wire.gate = func(ctx context.Context, h *linkpb.ChunkHeader) error {
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
		s.ac.start()
		s.ca.start()
		until(t, time.Minute, "the delete marker of k", func() bool {
			return len(c.versionsOf(bk1, "k")) == 1
		})
		s.bc.start()
		s.cb.start()
		b.put(bk1, "later", []byte("its vector comes with this"))
		pause(time.Minute)
		close(arrives)
		synced(t, 5*time.Minute, s.halves()...)
		for _, site := range s.sites() {
			if v, err := site.cat.Version(bk1, []byte("k"), nil); err != nil || keyOf(v.Record.GetDot()) != keyOf(old.GetDot()) {
				t.Errorf("%s: the null version of k is %v, %v", site.name, v, err)
			}
		}
	})
}
