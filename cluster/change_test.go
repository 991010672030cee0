package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/raftfsm"
)

// TestRaftFailures: what the log of the site cannot do is told as what it is,
// and commands exit with 6. One node alone always has its quorum, so the
// failures are given here as the log gives them.
func TestRaftFailures(t *testing.T) {
	for _, c := range []struct {
		err  error
		code admin.Code
		want string
	}{
		{&raftfsm.NotLeaderError{}, admin.CodeUnavailable, "no quorum: nothing was changed"},
		{fmt.Errorf("propose: %w", &raftfsm.NotLeaderError{Leader: "n2"}), admin.CodeUnavailable, "node n2 does"},
		{fmt.Errorf("propose: %w", raftfsm.ErrUnknownOutcome), admin.CodeUnavailable, "may have been made"},
		{raftfsm.ErrClosed, admin.CodeUnavailable, "the node is stopping"},
		{raftfsm.ErrHalted, admin.CodeUnavailable, "the node is stopping"},
		{context.DeadlineExceeded, admin.CodeTimeout, "did not finish in time"},
		{errors.New("disk"), admin.CodeFailed, "commit config: disk"},
	} {
		for name, err := range map[string]error{"a change": raftFailure("commit config", c.err), "an object": objectError(c.err)} {
			failure := admin.Classify(err)
			if failure.Code != c.code || name == "a change" && !strings.Contains(failure.Message, c.want) {
				t.Errorf("%s, %v: code %d, %q; want %d, %q", name, c.err, failure.Code, failure.Message, c.code, c.want)
			}
			if exit := failure.Code.Exit(); c.code == admin.CodeUnavailable && exit != 6 {
				t.Errorf("%v exits with %d", c.err, exit)
			}
		}
	}
	if err := raftFailure("read config", nil); err != nil {
		t.Errorf("no failure: %v", err)
	}
}
