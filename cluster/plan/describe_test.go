package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

func TestListPaths(t *testing.T) {
	s := newSite(t)
	s.walkThrough()
	for _, name := range []string{"bk2", "bk3", "bk4"} {
		s.must(s.create(bucket, "Hawaii/Pepsi/"+name))
	}
	for _, c := range []struct {
		req  *adminpb.ListPathsRequest
		want string
		more bool
	}{
		{&adminpb.ListPathsRequest{Kind: namespace}, "Hawaii", false},
		{&adminpb.ListPathsRequest{Kind: tenant}, "Hawaii/Cola Hawaii/Pepsi", false},
		{&adminpb.ListPathsRequest{Kind: tenant, Parent: "Hawaii", Limit: 1}, "Hawaii/Cola", true},
		{&adminpb.ListPathsRequest{Kind: tenant, Parent: "Hawaii", Limit: 1, After: "Hawaii/Cola"}, "Hawaii/Pepsi", false},
		{&adminpb.ListPathsRequest{Kind: bucket, Parent: "Hawaii/Cola"}, "Hawaii/Cola/bk1", false},
		{&adminpb.ListPathsRequest{Kind: bucket, Parent: "Hawaii", After: "Hawaii/Cola/bk1", Limit: 2}, "Hawaii/Pepsi/bk2 Hawaii/Pepsi/bk3", true},
		{&adminpb.ListPathsRequest{Kind: bucket, After: "Hawaii/Pepsi/bk3x"}, "Hawaii/Pepsi/bk4", false},
		{&adminpb.ListPathsRequest{Kind: bucket, After: "zzz"}, "", false},
	} {
		res, err := ListPaths(s.Config, c.req, nil)
		if err != nil {
			t.Errorf("%v: %v", c.req, err)
			continue
		}
		var got []string
		for _, p := range res.GetPaths() {
			got = append(got, p.GetPath())
		}
		if strings.Join(got, " ") != c.want || res.GetMore() != c.more {
			t.Errorf("%v: %v, more %v; want %v, %v", c.req, got, res.GetMore(), c.want, c.more)
		}
	}
	for _, c := range []struct {
		req  *adminpb.ListPathsRequest
		want refusal
	}{
		{&adminpb.ListPathsRequest{}, refusal{state.ErrInvalid, "does not say whether", ""}},
		{&adminpb.ListPathsRequest{Kind: tenant, Parent: "Maui"}, refusal{state.ErrNotFound, "cluster Maui does not exist", ""}},
		{&adminpb.ListPathsRequest{Kind: bucket, Parent: "Hawaii/Coke"}, refusal{state.ErrNotFound, "tenant Hawaii/Coke does not exist", ""}},
		{&adminpb.ListPathsRequest{Kind: tenant, Parent: "Hawaii/Cola"}, refusal{state.ErrInvalid, "no tenant below", ""}},
		{&adminpb.ListPathsRequest{Kind: namespace, Parent: "Hawaii"}, refusal{state.ErrInvalid, "no cluster below", ""}},
		{&adminpb.ListPathsRequest{Kind: bucket, Parent: "a//b"}, refusal{state.ErrInvalid, "tenant name is empty", ""}},
	} {
		_, err := ListPaths(s.Config, c.req, nil)
		c.want.check(t, nil, err)
	}
}

func TestGetPath(t *testing.T) {
	s := newSite(t)
	s.walkThrough()
	s.must(CreatePath(s.Config, &adminpb.CreatePathRequest{Kind: bucket, Path: "Hawaii/Cola/bk9", Replicas: 1, Versions: 5}, now, s.rand))
	for _, c := range []struct {
		kind adminpb.PathKind
		path string
		want string
	}{
		{namespace, "Hawaii", "children 2 replicas 0 (0) versions 0 (0) services []"},
		{tenant, "Hawaii/Cola", "children 2 replicas 0 (3) versions 0 (1) services []"},
		{bucket, "Hawaii/Cola/bk1", "children 0 replicas 0 (3) versions 0 (1) services [hawaii]"},
		{bucket, "Hawaii/Cola/bk9", "children 0 replicas 1 (1) versions 5 (5) services []"},
	} {
		p, err := GetPath(s.Config, c.kind, c.path)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		got := fmt.Sprintf("children %d replicas %d (%d) versions %d (%d) services %v",
			p.GetChildren(), p.GetReplicas(), p.GetEffectiveReplicas(), p.GetVersions(), p.GetEffectiveVersions(), p.GetServices())
		if got != c.want || p.GetPath() != c.path || p.GetKind() != c.kind || !p.GetCreated().AsTime().Equal(now) {
			t.Errorf("%s: %v\n got %s\nwant %s", c.path, p, got, c.want)
		}
	}
	_, err := GetPath(s.Config, bucket, "Hawaii/Cola/none")
	refusal{state.ErrNotFound, "bucket Hawaii/Cola/none does not exist", ""}.check(t, nil, err)
}

func TestDescribePeers(t *testing.T) {
	s := newSite(t)
	s.walkThrough()
	s.must(s.pair(far, "east"))
	s.must(BindPeer(s.Config, "hawaii", peer))

	services := AllServices(s.Config)
	if len(services) != 1 || services[0].GetPeerName() != "south" || services[0].GetPeerId() != peer.String() ||
		services[0].GetDirection() != "send+receive" || services[0].GetReplication() != "initial+continuous" || !services[0].GetEnabled() {
		t.Errorf("services: %v", services)
	}
	pairings := ListPairings(s.Config)
	names := []string{pairings[0].GetSiteName(), pairings[1].GetSiteName()}
	if !slices.Equal(names, []string{"east", "south"}) || !slices.Equal(pairings[1].GetServices(), []string{"hawaii"}) || len(pairings[0].GetServices()) != 0 {
		t.Errorf("pairings: %v", pairings)
	}
	if !strings.HasPrefix(pairings[0].GetFingerprint(), "SHA256:") || pairings[0].GetFingerprint() == pairings[1].GetFingerprint() {
		t.Errorf("fingerprints: %v", pairings)
	}
	if one, err := GetPairing(s.Config, peer); err != nil || one.GetSiteName() != "south" {
		t.Errorf("pairing: %v, %v", one, err)
	}
	_, err := GetPairing(s.Config, siteID(9))
	refusal{state.ErrNotFound, "is not paired", ""}.check(t, nil, err)
	for id, want := range map[state.SiteID]string{here: "north", peer: "south", siteID(9): siteID(9).String()} {
		if got := SiteName(s.Config, id); got != want {
			t.Errorf("site %s is called %q, want %q", id, got, want)
		}
	}
}

func TestListKeysHidesSecrets(t *testing.T) {
	s := newSite(t)
	s.walkThrough()
	for i, tenantPath := range []string{"Hawaii/Pepsi", "Hawaii/Cola", "Hawaii/Pepsi"} {
		s.must(CreateKey(s.Config, keyFor(tenantPath), fmt.Sprintf("AK%d", i), []byte("canary"), now))
	}
	keys, err := ListKeys(s.Config, "")
	if err != nil || len(keys) != 3 || keys[0].GetTenant() != "Hawaii/Cola" || keys[2].GetAccessKey() != "AK2" {
		t.Errorf("keys %v, %v", keys, err)
	}
	if strings.Contains(fmt.Sprint(keys), "canary") {
		t.Errorf("a secret is listed: %v", keys)
	}
	if keys, err := ListKeys(s.Config, "Hawaii/Cola"); err != nil || len(keys) != 1 {
		t.Errorf("keys of a tenant: %v, %v", keys, err)
	}
	_, err = ListKeys(s.Config, "Hawaii/Coke")
	refusal{state.ErrNotFound, "tenant Hawaii/Coke does not exist", ""}.check(t, nil, err)
}

func TestTimestamp(t *testing.T) {
	if got := Timestamp(0); got != nil {
		t.Errorf("no time is %v", got)
	}
	if got := Timestamp(now.UnixNano()); !got.AsTime().Equal(now) {
		t.Errorf("%v is %v", now, got.AsTime())
	}
	var none *statepb.Bucket
	if Timestamp(none.GetCreated()) != nil {
		t.Error("an absent bucket has a time")
	}
}
