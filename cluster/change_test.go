package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
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

// TestChangesAtOnce: who plans a change while somebody else makes one that it rests
// on plans again, whatever the reason for which the first plan is refused.
func TestChangesAtOnce(t *testing.T) {
	n, c := startNode(t, nil)
	ctx := t.Context()
	if _, err := c.Paths.Create(ctx, &adminpb.CreatePathRequest{Kind: adminpb.PathKind_PATH_KIND_NAMESPACE, Path: "Hawaii"}); err != nil {
		t.Fatal(err)
	}
	s := n.current()
	// overtaken makes a change into which another falls.
	overtaken := func(what string, other func() error, plan planner) {
		t.Helper()
		attempts := 0
		err := s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
			txn, err := plan(cfg)
			if attempts++; attempts == 1 {
				if err := other(); err != nil {
					t.Errorf("%s: the other: %v", what, err)
				}
			}
			return txn, err
		})
		if err != nil || attempts != 2 {
			t.Errorf("%s: %v after %d attempts", what, err, attempts)
		}
	}
	bucket := func(path string) planner {
		return func(cfg *state.Config) (*statepb.Txn, error) {
			return plan.CreateForLink(cfg, path, "hawaii", time.Now(), rand.Reader)
		}
	}
	overtaken("two buckets of a new tenant", func() error { return s.change(ctx, bucket("Hawaii/Cola/bk1")) }, bucket("Hawaii/Cola/bk2"))

	before := time.Now().Add(-time.Hour)
	invite := func(hash byte, now time.Time) planner {
		return func(cfg *state.Config) (*statepb.Txn, error) {
			return plan.Invite(cfg, bytes.Repeat([]byte{hash}, 32), "127.0.0.1:1", now)
		}
	}
	if err := s.change(ctx, invite(1, before)); err != nil {
		t.Fatal(err)
	}
	overtaken("two invitations that forget a third", func() error { return s.change(ctx, invite(2, time.Now())) }, invite(3, time.Now()))
	if got := len(s.replica.Config().Invitations()); got != 2 {
		t.Errorf("%d invitations are left, want 2", got)
	}

	// What nobody else has moved is refused once.
	attempts := 0
	err := s.change(ctx, func(*state.Config) (*statepb.Txn, error) {
		attempts++
		key := state.Key{Kind: statepb.Kind_KIND_NAMESPACE, Name: "Oahu"}
		return &statepb.Txn{Deletes: []*statepb.ObjectKey{key.Proto()}}, nil
	})
	if !errors.Is(err, state.ErrNotFound) || attempts != 1 {
		t.Errorf("%v after %d attempts", err, attempts)
	}
}
