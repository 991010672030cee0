package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// TestListPathsAsAsked filters, orders and pages buckets.
func TestListPathsAsAsked(t *testing.T) {
	s := newSite(t)
	s.must(s.create(namespace, "Hawaii"))
	held := map[string][2]uint64{}
	for i, path := range []string{"Hawaii/Cola", "Hawaii/Cola/logs", "Hawaii/Cola/photos", "Hawaii/Cola/photos-old", "Hawaii/Pepsi", "Hawaii/Pepsi/video"} {
		kind := tenant
		if strings.Count(path, "/") == 2 {
			kind = bucket
			held[path] = [2]uint64{uint64(i % 3), uint64(100 - i)}
		}
		s.must(CreatePath(s.Config, &adminpb.CreatePathRequest{Kind: kind, Path: path}, now.Add(time.Duration(10-i)*time.Second), s.rand))
	}
	sizes := func(path string) (objects, bytes uint64, ok bool) { return held[path][0], held[path][1], true }
	for _, c := range []struct {
		req     *adminpb.ListPathsRequest
		want    string // last names
		more    bool
		total   uint64
		matched uint64
	}{
		{&adminpb.ListPathsRequest{}, "logs photos photos-old video", false, 4, 4},
		{&adminpb.ListPathsRequest{Filter: " PHOTO "}, "photos photos-old", false, 4, 2},
		{&adminpb.ListPathsRequest{Filter: "cola/"}, "logs photos photos-old", false, 4, 3},
		{&adminpb.ListPathsRequest{Filter: "none"}, "", false, 4, 0},
		{&adminpb.ListPathsRequest{Parent: "Hawaii/Pepsi", Filter: "o"}, "video", false, 1, 1},
		{&adminpb.ListPathsRequest{Filter: "o", Limit: 2}, "logs photos", true, 4, 4},
		{&adminpb.ListPathsRequest{Filter: "o", Limit: 2, After: "Hawaii/Cola/photos"}, "photos-old video", false, 4, 4},
		{&adminpb.ListPathsRequest{Offset: 1, Limit: 2}, "photos photos-old", true, 4, 4},
		{&adminpb.ListPathsRequest{Offset: 3, Limit: 2}, "video", false, 4, 4},
		{&adminpb.ListPathsRequest{Offset: 9}, "", false, 4, 4},
		{&adminpb.ListPathsRequest{Descending: true, Limit: 2}, "video photos-old", true, 4, 4},
		{&adminpb.ListPathsRequest{Sort: adminpb.PathSort_PATH_SORT_BYTES}, "video photos-old photos logs", false, 4, 4},
		{&adminpb.ListPathsRequest{Sort: adminpb.PathSort_PATH_SORT_BYTES, Descending: true, Filter: "photo"}, "photos photos-old", false, 4, 2},
		// Equal numbers stay in the order of the paths, also downwards.
		{&adminpb.ListPathsRequest{Sort: adminpb.PathSort_PATH_SORT_OBJECTS}, "photos-old logs photos video", false, 4, 4},
		{&adminpb.ListPathsRequest{Sort: adminpb.PathSort_PATH_SORT_OBJECTS, Descending: true}, "photos video logs photos-old", false, 4, 4},
		{&adminpb.ListPathsRequest{Sort: adminpb.PathSort_PATH_SORT_CREATED, Limit: 1}, "video", true, 4, 4},
	} {
		c.req.Kind = bucket
		res, err := ListPaths(s.Config, c.req, sizes)
		if err != nil {
			t.Errorf("%v: %v", c.req, err)
			continue
		}
		var got []string
		for _, p := range res.GetPaths() {
			got = append(got, p.GetPath()[strings.LastIndexByte(p.GetPath(), '/')+1:])
		}
		if strings.Join(got, " ") != c.want || res.GetMore() != c.more || res.GetTotal() != c.total || res.GetMatched() != c.matched {
			t.Errorf("%v: %v, more %v, %d of %d; want %q, %v, %d of %d", c.req, got, res.GetMore(), res.GetMatched(), res.GetTotal(), c.want, c.more, c.matched, c.total)
		}
	}
	for _, c := range []struct {
		req   *adminpb.ListPathsRequest
		sizes Sizes
		want  string
	}{
		{&adminpb.ListPathsRequest{Kind: bucket, Sort: 99}, sizes, "no order 99"},
		{&adminpb.ListPathsRequest{Kind: tenant, Sort: adminpb.PathSort_PATH_SORT_BYTES}, sizes, "only buckets"},
		{&adminpb.ListPathsRequest{Kind: bucket, Sort: adminpb.PathSort_PATH_SORT_BYTES}, nil, "only buckets"},
		{&adminpb.ListPathsRequest{Kind: bucket, Descending: true, After: "x"}, sizes, "cannot go on after"},
		{&adminpb.ListPathsRequest{Kind: bucket, Sort: adminpb.PathSort_PATH_SORT_CREATED, After: "x"}, sizes, "cannot go on after"},
	} {
		_, err := ListPaths(s.Config, c.req, c.sizes)
		refusal{state.ErrInvalid, c.want, ""}.check(t, nil, err)
	}
}

// TestListServicesAsAsked filters and pages services.
func TestListServicesAsAsked(t *testing.T) {
	s := newSite(t)
	s.must(s.create(namespace, "Hawaii"))
	for i, name := range []string{"alpha", "beta", "gamma", "delta"} {
		s.must(CreateService(s.Config, &adminpb.CreateServiceRequest{Type: "isgw", Name: name, Remote: fmt.Sprintf("ccow://host%d:1400", i)}, now))
	}
	s.must(Serve(s.Config, "gamma", "Hawaii/Cola"))
	for _, c := range []struct {
		req     *adminpb.ListServicesRequest
		want    string
		more    bool
		matched uint64
	}{
		{&adminpb.ListServicesRequest{}, "alpha beta delta gamma", false, 4},
		{&adminpb.ListServicesRequest{Limit: 2}, "alpha beta", true, 4},
		{&adminpb.ListServicesRequest{Limit: 2, After: "beta"}, "delta gamma", false, 4},
		{&adminpb.ListServicesRequest{Limit: 2, Offset: 1}, "beta delta", true, 4},
		{&adminpb.ListServicesRequest{Offset: 7}, "", false, 4},
		{&adminpb.ListServicesRequest{Filter: "ET"}, "beta", false, 1},
		{&adminpb.ListServicesRequest{Filter: "HOST1"}, "beta", false, 1},
		{&adminpb.ListServicesRequest{Filter: "cola"}, "gamma", false, 1},
		{&adminpb.ListServicesRequest{Filter: "ta", Limit: 1, After: "beta"}, "delta", false, 2},
	} {
		res := ListServices(s.Config, c.req)
		var got []string
		for _, service := range res.GetServices() {
			got = append(got, service.GetName())
		}
		if strings.Join(got, " ") != c.want || res.GetMore() != c.more || res.GetMatched() != c.matched || res.GetTotal() != 4 {
			t.Errorf("%v: %v, more %v, %d of %d; want %q, %v, %d", c.req, got, res.GetMore(), res.GetMatched(), res.GetTotal(), c.want, c.more, c.matched)
		}
	}
}
