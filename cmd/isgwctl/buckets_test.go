package main

import (
	"fmt"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

func link(name string, state adminpb.ServiceState, serves string, rows ...*adminpb.BucketStatus) *adminpb.Service {
	return &adminpb.Service{
		Name: name, Serves: strings.Fields(serves),
		Status: &adminpb.ServiceStatus{State: state, Cause: "because", LagTargetSeconds: 30, Buckets: rows},
	}
}

func bucketRow(path, state string, lag float64, quarantined uint64) *adminpb.BucketStatus {
	return &adminpb.BucketStatus{Path: path, State: state, Receive: &adminpb.Backlog{LagSeconds: &lag, Quarantined: quarantined}}
}

func TestBucketsBelow(t *testing.T) {
	services := []*adminpb.Service{
		link("hawaii", adminpb.ServiceState_SERVICE_STATE_SYNCED, "H/C/b1 H/P", bucketRow("H/C/b1", "synced", 0, 0), bucketRow("H/P/x", "synced", 0, 0)),
		link("maui", adminpb.ServiceState_SERVICE_STATE_DOWN, "H/C"),
	}
	for path, want := range map[string]string{
		"":       "H/C maui down, H/C/b1 hawaii synced, H/P/x hawaii synced",
		"H":      "H/C maui down, H/C/b1 hawaii synced, H/P/x hawaii synced",
		"H/C":    "H/C maui down, H/C/b1 hawaii synced",
		"H/C/b1": "H/C/b1 hawaii synced, H/C/b1 maui down",
		"H/C/b2": "H/C/b2 maui down",
		"H/C/b":  "H/C/b maui down",
		"H/P":    "H/P/x hawaii synced",
		"H/P/y":  "",
		"X":      "",
	} {
		var got []string
		for _, b := range bucketsBelow(services, path) {
			got = append(got, fmt.Sprintf("%s %s %s", b.row.GetPath(), b.service.GetName(), b.row.GetState()))
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%q: %s, want %s", path, s, want)
		}
	}
}

func TestBucketVerdict(t *testing.T) {
	synced := adminpb.ServiceState_SERVICE_STATE_SYNCED
	for name, c := range map[string]struct {
		services []*adminpb.Service
		want     string
	}{
		"on no link": {nil, "HEALTHY: it is on no link"},
		"in sync":    {[]*adminpb.Service{link("l", synced, "", bucketRow("b", "synced", 0, 0))}, "HEALTHY: 1 of 1 in sync"},
		"behind, within the target": {
			[]*adminpb.Service{link("l", adminpb.ServiceState_SERVICE_STATE_BEHIND, "", bucketRow("b", "behind", 29, 0), bucketRow("c", "synced", 0, 0))},
			"HEALTHY: 1 of 2 in sync, 1 behind",
		},
		"behind, beyond it": {
			[]*adminpb.Service{link("l", adminpb.ServiceState_SERVICE_STATE_BEHIND, "", bucketRow("b", "behind", 31, 0))},
			"NOT HEALTHY: b lags by 31s on link l, the target is 30s",
		},
		"a first copy": {
			[]*adminpb.Service{link("l", adminpb.ServiceState_SERVICE_STATE_COPYING, "", bucketRow("b", "copying", 3000, 0))},
			"HEALTHY: 0 of 1 in sync, 1 copying",
		},
		"stalled": {
			[]*adminpb.Service{link("l", synced, "", bucketRow("b", "stalled", 0, 0))},
			"NOT HEALTHY: b makes no progress on link l",
		},
		"quarantine": {
			[]*adminpb.Service{link("l", synced, "", bucketRow("b", "synced", 0, 2))},
			"NOT HEALTHY: b has 2 versions in quarantine on link l",
		},
		"down": {
			[]*adminpb.Service{link("l", adminpb.ServiceState_SERVICE_STATE_DOWN, "b c"), link("m", synced, "", bucketRow("b", "synced", 0, 0))},
			"NOT HEALTHY: link l is down",
		},
		"disabled": {
			[]*adminpb.Service{link("l", adminpb.ServiceState_SERVICE_STATE_DISABLED, "b")},
			"HEALTHY: 0 of 1 in sync, 1 disabled",
		},
		"many": {
			[]*adminpb.Service{link("l", synced, "", bucketRow("a", "stalled", 0, 0), bucketRow("b", "stalled", 0, 0), bucketRow("c", "stalled", 0, 0), bucketRow("d", "stalled", 0, 0))},
			"NOT HEALTHY: a makes no progress on link l, b makes no progress on link l, c makes no progress on link l, and 1 more",
		},
	} {
		v := bucketVerdict(bucketsBelow(c.services, ""))
		if v.GetSentence() != c.want || v.GetHealthy() != strings.HasPrefix(c.want, "HEALTHY") {
			t.Errorf("%s: %v, want %s", name, v, c.want)
		}
	}
}
