package testenv

import (
	"fmt"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestLimitsBoundTheProcess: the limits of all links together are what the process of
// a node keeps to, by its own metrics, for as long as every link has them.
func TestLimitsBoundTheProcess(t *testing.T) {
	t.Setenv("GOMAXPROCS", "4") // of the node's process, whatever the machine has
	e := New(t)
	s := e.Start("alpha", SiteOptions{Process: true})
	keeps := func(what string, threads, memory float64) {
		t.Helper()
		e.Eventually(fmt.Sprintf("with %s there are %v threads and %v bytes of heap", what, threads, memory), func() bool {
			return s.metric("go_sched_gomaxprocs_threads") == threads && s.metric("go_gc_gomemlimit_bytes") == memory
		})
	}
	node := s.metric("go_gc_gomemlimit_bytes")
	create := func(name string, r *adminpb.LinkResources) {
		t.Helper()
		if _, err := s.Admin.Services.Create(e.Context(), &adminpb.CreateServiceRequest{
			Type: "isgw", Name: name, Settings: &adminpb.LinkSettings{Resources: r},
		}); err != nil {
			t.Fatal(err)
		}
	}
	create("one", &adminpb.LinkResources{RequestCpuMillis: 100, RequestMemoryBytes: 1 << 20, LimitCpuMillis: 1500, LimitMemoryBytes: 16 << 20})
	keeps("the limits of one link", 2, 256<<20+16<<20)
	create("two", &adminpb.LinkResources{LimitCpuMillis: 1000, LimitMemoryBytes: 32 << 20})
	keeps("those of two", 3, 256<<20+48<<20)
	create("three", nil)
	keeps("one that has none", 4, node)
	if err := s.Admin.Services.Delete(e.Context(), "three"); err != nil {
		t.Fatal(err)
	}
	keeps("two again", 3, 256<<20+48<<20)
	e.edit(s, &adminpb.PlanEditService{Name: "two", Settings: &adminpb.LinkSettings{Resources: &adminpb.LinkResources{LimitMemoryBytes: 32 << 20}}})
	keeps("one limit of threads less", 4, 256<<20+48<<20)
}
