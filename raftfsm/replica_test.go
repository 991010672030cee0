package raftfsm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	catalogpb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

func TestBootstrapOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := openAt(t, Options{Dir: dir})
	if has, err := r.HasState(); has || err != nil {
		t.Fatalf("a fresh replica has state: %v %v", has, err)
	}
	if _, err := r.Propose(testContext(t), siteTxn()); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("proposed before bootstrap: %v", err)
	}
	if err := r.Barrier(testContext(t)); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("read before bootstrap: %v", err)
	}
	if err := r.Bootstrap(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := r.Bootstrap(testContext(t)); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "initialised already") {
		t.Fatalf("bootstrapped twice: %v", err)
	}
	mustPropose(t, r, siteTxn())
	closeNow(t, r)

	r = openAt(t, Options{Dir: dir})
	if has, err := r.HasState(); !has || err != nil {
		t.Fatalf("state is gone: %v %v", has, err)
	}
	if err := r.Bootstrap(testContext(t)); !errors.Is(err, ErrExists) {
		t.Fatalf("bootstrapped again after a restart: %v", err)
	}
	if err := r.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if s := r.Status(); s.State != "leader" || s.Leader != "n1" || len(s.Voters) != 1 || s.AppliedIndex == 0 {
		t.Fatalf("status %+v", s)
	}
}

func TestOpenRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	openAt(t, Options{Dir: dir})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"in use", Options{Dir: dir, NodeID: "n1"}, "in use by another process"},
		{"a file", Options{Dir: file, NodeID: "n1"}, "not a directory"},
		{"nothing", Options{}, "no directory is given\nnode id name is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Open(testContext(t), c.o)
			if err == nil {
				closeNow(t, r)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestConfigAndCatalogTogether(t *testing.T) {
	t.Parallel()
	r := newSite(t, Options{Dir: t.TempDir()})
	mustPropose(t, r, write(bk1, "a", nil))
	if !hasKey(r, bk1, "a") {
		t.Fatal("a write is not in the catalog")
	}

	// A transaction that the catalog refuses changes nothing of the config.
	revision := r.Config().Revision()
	res := propose(t, r, config(&statepb.Txn{
		Puts:    []*statepb.Object{state.Wrap(&statepb.Namespace{Name: "Guam"}), bucketObject("Hawaii/Cola/bk2")},
		Deletes: []*statepb.ObjectKey{{Kind: statepb.Kind_KIND_BUCKET, Name: bk1}},
	}))
	if err := ResultError(res); !errors.Is(err, ErrNotEmpty) {
		t.Fatalf("deleted a bucket with a key: %v", err)
	}
	if _, _, ok := r.Config().Namespace("Guam"); ok || r.Config().Revision() != revision {
		t.Fatal("a refused transaction was applied in part")
	}
	if _, err := r.Catalog().Bucket("Hawaii/Cola/bk2"); err == nil {
		t.Fatal("a refused transaction made a bucket")
	}

	// Versions: bucket, else tenant, else 1; a tenant's change reaches its buckets.
	kept := func(path string) uint32 {
		b, err := r.Catalog().Bucket(path)
		if err != nil {
			t.Fatal(err)
		}
		return b.GetVersions()
	}
	if kept(bk1) != 1 {
		t.Fatalf("a bucket keeps %d versions", kept(bk1))
	}
	own := bucketObject("Hawaii/Cola/own")
	own.GetBucket().Versions = 2
	mustPropose(t, r, config(&statepb.Txn{Puts: []*statepb.Object{
		state.Wrap(&statepb.Tenant{Path: "Hawaii/Cola", Versions: 5}), own, bucketObject("Hawaii/Cola/new")}}))
	if kept(bk1) != 5 || kept("Hawaii/Cola/own") != 2 || kept("Hawaii/Cola/new") != 5 {
		t.Fatalf("buckets keep %d, %d and %d versions", kept(bk1), kept("Hawaii/Cola/own"), kept("Hawaii/Cola/new"))
	}

	// Deleting and making again continues the path's sequence.
	mustPropose(t, r, remove(bk1, "a"))
	before, err := r.Catalog().Bucket(bk1)
	if err != nil {
		t.Fatal(err)
	}
	mustPropose(t, r, config(&statepb.Txn{Deletes: []*statepb.ObjectKey{{Kind: statepb.Kind_KIND_BUCKET, Name: bk1}}}))
	if res := propose(t, r, write(bk1, "b", nil)); !errors.Is(ResultError(res), ErrNotFound) {
		t.Fatalf("wrote to a deleted bucket: %v", res)
	}
	mustPropose(t, r, config(&statepb.Txn{Puts: []*statepb.Object{bucketObject(bk1)}}))
	again, err := r.Catalog().Bucket(bk1)
	if err != nil || again.GetSeq() < before.GetSeq() {
		t.Fatalf("sequence fell from %d to %d, %v", before.GetSeq(), again.GetSeq(), err)
	}
}

func TestEpochOfDots(t *testing.T) {
	t.Parallel()
	r := newSite(t, Options{Dir: t.TempDir()})
	if res := mustPropose(t, r, write(bk1, "a", nil)); res.GetRecord().GetDot().GetEpoch() != 1 {
		t.Fatalf("dot %v", res.GetRecord().GetDot())
	}
	site, _, _ := r.Config().Site()
	next := &statepb.Site{Id: site.GetId(), Name: "east", Epoch: 2, IdentityPublic: site.GetIdentityPublic()}
	mustPropose(t, r, config(&statepb.Txn{Puts: []*statepb.Object{state.Wrap(next)}}))
	if res := mustPropose(t, r, write(bk1, "a", nil)); res.GetRecord().GetDot().GetEpoch() != 2 {
		t.Fatalf("dot %v", res.GetRecord().GetDot())
	}
}

func TestConditionsInApply(t *testing.T) {
	t.Parallel()
	r := newSite(t, Options{Dir: t.TempDir()})
	// Of many writers with If-None-Match: *, exactly one wins, although all
	// may be in one entry.
	const writers = 50
	won := make(chan bool, writers)
	for range writers {
		go func() {
			res, err := r.Propose(context.Background(), write(bk1, "only", &catalogpb.Conditions{IfNoneMatch: "*"}))
			won <- err == nil && res.GetCode() == raftfsmpb.Code_OK
		}()
	}
	winners := 0
	for range writers {
		if <-won {
			winners++
		}
	}
	if winners != 1 {
		t.Fatalf("%d writers won", winners)
	}
}

func TestProposeRefusals(t *testing.T) {
	t.Parallel()
	r := newSite(t, Options{Dir: t.TempDir()})
	if _, err := r.Propose(testContext(t), &raftfsmpb.Command{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("an empty command: %v", err)
	}
	if _, err := r.Propose(testContext(t), write(bk1, strings.Repeat("x", MaxCommand), nil)); !errors.Is(err, ErrInvalid) {
		t.Errorf("a huge command: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Propose(ctx, write(bk1, "x", nil)); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled caller: %v", err)
	}
	closeNow(t, r)
	if _, err := r.Propose(testContext(t), write(bk1, "x", nil)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := r.Barrier(testContext(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("barrier after Close: %v", err)
	}
}

// TestDiskNearlyFull takes the disk's space away: changes are refused and change
// nothing, what is there is read, and with space they go on.
func TestDiskNearlyFull(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: DefaultReserveBytes})
	r := newSite(t, Options{Dir: t.TempDir(), fs: mem})
	mustPropose(t, r, write(bk1, "before", nil))
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: DefaultReserveBytes - 1})
	for _, cmd := range []*raftfsmpb.Command{write(bk1, "full", nil), remove(bk1, "before")} {
		_, err := r.Propose(testContext(t), cmd)
		if !errors.Is(err, ErrNoSpace) || errors.Is(err, ErrUnknownOutcome) || !strings.Contains(err.Error(), "127 MiB are free on the disk of "+r.options.Dir) {
			t.Errorf("on a full disk: %v", err)
		}
	}
	if err := r.Space(); !errors.Is(err, ErrNoSpace) {
		t.Errorf("the space: %v", err)
	}
	if !hasKey(r, bk1, "before") || hasKey(r, bk1, "full") {
		t.Error("what was refused changed something")
	}
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: DefaultReserveBytes})
	mustPropose(t, r, write(bk1, "after", nil))
}

func TestResultError(t *testing.T) {
	t.Parallel()
	for code, kind := range map[raftfsmpb.Code]error{
		raftfsmpb.Code_CONFLICT: ErrConflict, raftfsmpb.Code_NOT_FOUND: ErrNotFound, raftfsmpb.Code_EXISTS: ErrExists,
		raftfsmpb.Code_INVALID: ErrInvalid, raftfsmpb.Code_NOT_EMPTY: ErrNotEmpty,
	} {
		err := ResultError(&raftfsmpb.Result{Code: code, Message: "because"})
		if !errors.Is(err, kind) || err.Error() != "because" {
			t.Errorf("%v became %v", code, err)
		}
		if back := refusal(err); back.GetCode() != code || back.GetMessage() != "because" {
			t.Errorf("%v came back as %v", code, back)
		}
	}
	if err := ResultError(&raftfsmpb.Result{}); err != nil {
		t.Errorf("OK became %v", err)
	}
	if err := ResultError(&raftfsmpb.Result{Code: raftfsmpb.Code_SESSION_EXPIRED}); err == nil {
		t.Error("an expired session passed for a result")
	}
}
