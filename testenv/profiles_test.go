package testenv

import (
	"fmt"
	"os"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestProfilesDiffer copies the same objects over a link in either profile and tells
// the rate of the first copy and the greatest memory of both nodes, which are processes.
// The embedded profile takes less.
func TestProfilesDiffer(t *testing.T) {
	if os.Getenv("ISGW_LONG") == "" {
		t.Skip("half a GiB is copied twice: set ISGW_LONG=1")
	}
	const objects, size = 8, 64 << 20
	var peaks [2]int64 // of both nodes together
	for i, profile := range []string{"performance", "embedded"} {
		e := New(t)
		a, b := e.Start("alpha", SiteOptions{Process: true}), e.Start("beta", SiteOptions{Process: true})
		a.Create("Hawaii", "Hawaii/Cola", bucketPath)
		b.Create("Hawaii", "Hawaii/Cola")
		for j := range objects {
			e.mustPut(a, fmt.Sprint("object-", j), randomBytes(uint64(j), size))
		}
		for _, s := range []*Site{a, b} { // processes that have done nothing else yet
			s.Stop()
			s.Resume()
			if status, out := s.ctl("system", "edit", "--resource-profile", profile); status != 0 {
				t.Fatalf("edit: exit status %d\n%s", status, out)
			}
		}
		began := time.Now()
		e.Link("hawaii", a, b, bucketPath)
		e.within(3*time.Minute, "copied", func() bool {
			path, err := b.Admin.Paths.Get(e.Context(), &adminpb.GetPathRequest{Kind: adminpb.PathKind_PATH_KIND_BUCKET, Path: bucketPath})
			return err == nil && path.GetObjects() == objects
		})
		took := time.Since(began)
		out, err := a.MemoryPeak()
		if err != nil {
			t.Fatal(err)
		}
		in, err := b.MemoryPeak()
		if err != nil {
			t.Fatal(err)
		}
		peaks[i] = out + in
		t.Logf("%s: %.0f MiB/s, peaks of %d MiB at the sender and %d MiB at the receiver", profile, objects*size/took.Seconds()/(1<<20), out>>20, in>>20)
	}
	if peaks[1] >= peaks[0] {
		t.Errorf("both nodes take %d MiB in the embedded profile and %d MiB in the other one", peaks[1]>>20, peaks[0]>>20)
	}
}
