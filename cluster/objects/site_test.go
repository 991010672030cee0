package objects_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/store"
	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

const bk1 = "Hawaii/Cola/bk1"

// site is a site of one node as far as objects need it: a replica on raft and
// a chunk store, both on disk.
type site struct {
	*objects.Store
	replica *raftfsm.Replica
	chunks  chunks.Store
}

func openSite(t testing.TB, wrap func(chunks.Store) chunks.Store) *site {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	codec, err := chunks.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	var cs chunks.Store
	if cs, err = store.Open(ctx, store.Options{Dir: t.TempDir(), Codec: codec, Logger: quiet, SegmentSize: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	replica, err := raftfsm.Open(ctx, raftfsm.Options{Dir: t.TempDir(), NodeID: "n1", Logger: quiet, CacheBytes: 8 << 20, MemtableBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := replica.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := cs.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := replica.Bootstrap(ctx); err != nil {
		t.Fatal(err)
	}
	s := &site{replica: replica, chunks: cs}
	s.config(t, &statepb.Txn{Puts: []*statepb.Object{
		state.Wrap(&statepb.Site{Id: bytes.Repeat([]byte{1}, 16), Name: "east", Epoch: 1, IdentityPublic: make([]byte, 32)}),
		state.Wrap(&statepb.Namespace{Name: "Hawaii"}),
		state.Wrap(&statepb.Tenant{Path: "Hawaii/Cola"}),
		state.Wrap(&statepb.Bucket{Path: bk1, Incarnation: bytes.Repeat([]byte{7}, 16)}),
	}})
	if wrap != nil {
		cs = wrap(cs)
	}
	s.Store, err = objects.New(objects.Options{Chunks: cs, Codec: codec, Catalog: replica.Catalog(), Propose: replica.Propose, Barrier: replica.Barrier})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) config(t testing.TB, txn *statepb.Txn) {
	t.Helper()
	res, err := s.replica.Propose(t.Context(), &raftfsmpb.Command{Command: &raftfsmpb.Command_Config{Config: txn}})
	if err == nil {
		err = raftfsm.ResultError(res)
	}
	if err != nil {
		t.Fatal(err)
	}
}
