package main

import (
	"errors"
	"testing"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

func TestServes(t *testing.T) {
	for name, c := range map[string]struct {
		status *adminpb.StatusResponse
		ok     bool
	}{
		"fresh":     {&adminpb.StatusResponse{}, false},
		"no leader": {&adminpb.StatusResponse{Initialised: true, Raft: &adminpb.RaftStatus{}}, false},
		"leader":    {&adminpb.StatusResponse{Initialised: true, Raft: &adminpb.RaftStatus{Leader: "n"}}, true},
		// What its links have is no reason to take a node out of service.
		"degraded": {&adminpb.StatusResponse{Initialised: true, State: adminpb.NodeState_NODE_STATE_DEGRADED, Raft: &adminpb.RaftStatus{Leader: "n"}}, true},
	} {
		err := serves(c.status)
		var failure *admin.Error
		if (err == nil) != c.ok || err != nil && (!errors.As(err, &failure) || failure.Code != admin.CodeUnhealthy) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
