package testenv

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// The size of site that lists are promised for, and how fast and small they are
// with it.
const (
	manyBuckets  = 10_000
	manyServices = 500
	listBound    = 100 * time.Millisecond
	consoleBound = 150 << 20
	// nodeBound is the share of a processor that the node may take while a
	// console watches that many links and nothing happens.
	nodeBound = 0.25
)

// populate gives a site its buckets and services in a few transactions: as many
// calls would take minutes. The node is started anew with them.
func (s *Site) populate() {
	t := s.env.t
	t.Helper()
	s.Stop()
	o, err := openOffline(s)
	if err != nil {
		t.Fatal(err)
	}
	txn := &statepb.Txn{}
	commit := func() {
		t.Helper()
		res, err := o.replica.Propose(s.env.Context(), &raftfsmpb.Command{Command: &raftfsmpb.Command_Config{Config: txn}})
		if err == nil {
			err = raftfsm.ResultError(res)
		}
		if err != nil {
			t.Fatal(err)
		}
		txn = &statepb.Txn{}
	}
	txn.Puts = append(txn.Puts, state.Wrap(&statepb.Namespace{Name: "Hawaii"}))
	for i := range 10 {
		txn.Puts = append(txn.Puts, state.Wrap(&statepb.Tenant{Path: fmt.Sprintf("Hawaii/tenant-%d", i)}))
	}
	path := func(i int) string { return fmt.Sprintf("Hawaii/tenant-%d/bucket-%05d", i%10, i) }
	for i := range manyBuckets {
		incarnation := make([]byte, 16)
		binary.BigEndian.PutUint64(incarnation, uint64(i+1))
		txn.Puts = append(txn.Puts, state.Wrap(&statepb.Bucket{Path: path(i), Incarnation: incarnation, Created: int64(i + 1)}))
		if len(txn.Puts) == 4000 {
			commit()
		}
	}
	for i := range manyServices {
		service := &statepb.Service{Name: fmt.Sprintf("link-%03d", i), Type: state.TypeLink, Remote: fmt.Sprintf("ccow://10.0.%d.%d:14000", i/250, i%250+1), Created: int64(i + 1)}
		for j := range 20 {
			service.Serves = append(service.Serves, &statepb.Served{Path: path(i%10 + 10*((i/10*20+j)%1000))})
		}
		slices.SortFunc(service.Serves, func(a, b *statepb.Served) int { return strings.Compare(a.GetPath(), b.GetPath()) })
		txn.Puts = append(txn.Puts, state.Wrap(service))
	}
	commit()
	if err := o.close(); err != nil {
		t.Fatal(err)
	}
	s.Resume()
}

// processor is how long this process has used a processor.
func processor(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// best is the shortest of a few times that something takes, of more when the
// machine is busy.
func best(do func()) time.Duration {
	shortest := time.Hour
	for i := 0; i < 10 || i < 50 && shortest > listBound; i++ {
		began := time.Now()
		do()
		shortest = min(shortest, time.Since(began))
	}
	return shortest
}

// allWithin says whether none of the times is above a bound.
func allWithin(times map[string]time.Duration, bound time.Duration) bool {
	for _, took := range times {
		if took > bound {
			return false
		}
	}
	return true
}

// TestListsOfManyBucketsAndLinks asks a real node with 10,000 buckets and 500
// links, by the API and on the console: every list filters, orders and scrolls
// within 100 ms, the console stays small, and who watches costs the node little.
func TestListsOfManyBucketsAndLinks(t *testing.T) {
	e := New(t)
	a := e.Start("alpha", SiteOptions{})
	began := time.Now()
	a.populate()
	t.Logf("made in %v", time.Since(began))
	ctx := e.Context()

	buckets := func(req *adminpb.ListPathsRequest, n int, matched uint64) {
		t.Helper()
		req.Kind, req.Limit = adminpb.PathKind_PATH_KIND_BUCKET, 50
		var res *adminpb.ListPathsResponse
		took := best(func() {
			var err error
			if res, err = a.Admin.Paths.List(ctx, req); err != nil {
				t.Fatal(err)
			}
		})
		if len(res.GetPaths()) != n || res.GetMatched() != matched || res.GetTotal() != manyBuckets {
			t.Errorf("%v: %d buckets, %d of %d", req, len(res.GetPaths()), res.GetMatched(), res.GetTotal())
		}
		if took > listBound {
			t.Errorf("%v takes %v", req, took)
		}
		t.Logf("%v: %v", req, took)
	}
	buckets(&adminpb.ListPathsRequest{}, 50, manyBuckets)
	buckets(&adminpb.ListPathsRequest{Filter: "BUCKET-0123"}, 10, 10)
	buckets(&adminpb.ListPathsRequest{Filter: "tenant-3/", Offset: 970}, 30, 1000)
	buckets(&adminpb.ListPathsRequest{Sort: adminpb.PathSort_PATH_SORT_BYTES, Descending: true, Offset: 9900}, 50, manyBuckets)
	buckets(&adminpb.ListPathsRequest{Sort: adminpb.PathSort_PATH_SORT_CREATED, Descending: true}, 50, manyBuckets)
	buckets(&adminpb.ListPathsRequest{After: "Hawaii/tenant-9/bucket-09939"}, 6, manyBuckets)
	var page *adminpb.ListServicesResponse
	if took := best(func() {
		var err error
		if page, err = a.Admin.Services.Page(ctx, &adminpb.ListServicesRequest{Filter: "link-4", Limit: 50}); err != nil {
			t.Fatal(err)
		}
	}); took > listBound || page.GetMatched() != 100 || page.GetTotal() != manyServices || len(page.GetServices()) != 50 {
		t.Errorf("services: %d, %d of %d, in %v", len(page.GetServices()), page.GetMatched(), page.GetTotal(), took)
	}

	c := e.openConsole(nil, "--connect", "unix:"+a.DataDir()+"/admin.sock")
	c.shows("NOT HEALTHY", "500 links")
	type step struct{ name, keys, shows string }
	steps := []step{
		{"the page of links", "2", "Links 500/500"},
		{"the end", "G", "▸ !   link-499"},
		{"a page up", "\x15", "▸ !   link-48"},
		{"the beginning", "g", "▸ !   link-000"},
		{"down", "j", "▸ !   link-001"},
		{"filter", "/link-31", "Links 10/500"},
		{"the whole list", "\x1b", "Links 500/500"},
		{"the first page", "1", "[1 Home]"},
	}
	shortest := map[string]time.Duration{}
	for range 20 { // the best of a few, of more when the machine is busy
		for _, s := range steps {
			began := time.Now()
			c.keys(s.keys)
			for !c.has(s.shows) {
				if time.Since(began) > Patience/4 {
					t.Fatalf("%s does not show %q", s.name, s.shows)
				}
				pause(time.Millisecond)
			}
			if took := time.Since(began); shortest[s.name] == 0 || took < shortest[s.name] {
				shortest[s.name] = took
			}
		}
		if allWithin(shortest, listBound) {
			break
		}
	}
	for name, took := range shortest {
		if took > listBound {
			t.Errorf("%s takes %v on the console", name, took)
		}
	}
	t.Logf("on the console: %v", shortest)

	c.keys("2")
	c.shows("Links 500/500")
	before, quiet := processor(t), 3*time.Second
	pause(quiet) // nothing happens: what is used is for who watches, and for the links themselves
	// The race detector takes several times as much.
	if share := (processor(t) - before).Seconds() / quiet.Seconds(); !raced && share > nodeBound {
		t.Errorf("the node takes %.0f %% of a processor for a console that watches %d links", 100*share, manyServices)
	} else {
		t.Logf("the node takes %.1f %% of a processor", 100*share)
	}
	if _, peak := c.memory(); peak > consoleBound {
		t.Errorf("the console has taken %d MiB", peak>>20)
	} else {
		t.Logf("the console has taken %d MiB", peak>>20)
	}
}
