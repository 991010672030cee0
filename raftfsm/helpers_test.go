package raftfsm

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/zeebo/blake3"

	catalogpb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

const bk1 = "Hawaii/Cola/bk1"

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// openAt opens a replica and closes it at the end of the test, unless the
// test has done it.
func openAt(t testing.TB, o Options) *Replica {
	t.Helper()
	if o.NodeID == "" {
		o.NodeID = "n1"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 8 << 20
	}
	if o.MemtableBytes == 0 {
		o.MemtableBytes = 4 << 20
	}
	r, err := Open(testContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(t, r) })
	return r
}

func closeNow(t testing.TB, r *Replica) {
	t.Helper()
	if r.proposer.ctx.Err() != nil {
		return // closed by the test
	}
	if err := r.Close(testContext(t)); err != nil {
		t.Error(err)
	}
}

// newSite opens a replica, bootstraps it and makes a site with one bucket.
func newSite(t testing.TB, o Options) *Replica {
	t.Helper()
	r := openAt(t, o)
	if err := r.Bootstrap(testContext(t)); err != nil {
		t.Fatal(err)
	}
	mustPropose(t, r, siteTxn())
	return r
}

func siteTxn() *raftfsmpb.Command {
	return config(&statepb.Txn{Puts: []*statepb.Object{
		state.Wrap(&statepb.Site{Id: bytes.Repeat([]byte{1}, 16), Name: "east", Epoch: 1, IdentityPublic: make([]byte, 32)}),
		state.Wrap(&statepb.Namespace{Name: "Hawaii"}),
		state.Wrap(&statepb.Tenant{Path: "Hawaii/Cola"}),
		bucketObject(bk1),
	}})
}

func bucketObject(path string) *statepb.Object {
	return state.Wrap(&statepb.Bucket{Path: path, Incarnation: bytes.Repeat([]byte{7}, 16)})
}

func config(txn *statepb.Txn) *raftfsmpb.Command {
	return &raftfsmpb.Command{Command: &raftfsmpb.Command_Config{Config: txn}}
}

func write(bucket, key string, c *catalogpb.Conditions) *raftfsmpb.Command {
	return &raftfsmpb.Command{Command: &raftfsmpb.Command_Write{Write: &catalogpb.Write{
		Bucket:     bucket,
		Conditions: c,
		Record: &catalogpb.Record{
			Key: []byte(key), Kind: catalogpb.RecordKind_RECORD_VERSION, Etag: "e-" + key,
			Root:    &catalogpb.Root{Id: bytes.Repeat([]byte{9}, 32), Size: 100},
			Headers: map[string]string{"content-type": "text/plain", "cache-control": "no-store"},
		},
	}}}
}

func remove(bucket, key string) *raftfsmpb.Command {
	return &raftfsmpb.Command{Command: &raftfsmpb.Command_Write{Write: &catalogpb.Write{
		Bucket: bucket,
		Record: &catalogpb.Record{Key: []byte(key), Kind: catalogpb.RecordKind_RECORD_TOMBSTONE},
	}}}
}

func propose(t testing.TB, r *Replica, cmd *raftfsmpb.Command) *raftfsmpb.Result {
	t.Helper()
	res, err := r.Propose(testContext(t), cmd)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func mustPropose(t testing.TB, r *Replica, cmd *raftfsmpb.Command) *raftfsmpb.Result {
	t.Helper()
	res := propose(t, r, cmd)
	if err := ResultError(res); err != nil {
		t.Fatal(err)
	}
	return res
}

func fill(t testing.TB, r *Replica, prefix string, n int) {
	t.Helper()
	for i := range n {
		mustPropose(t, r, write(bk1, fmt.Sprintf("%s-%04d", prefix, i), nil))
	}
}

func hasKey(r *Replica, bucket, key string) bool {
	rec, err := r.Catalog().Head(bucket, []byte(key))
	return err == nil && rec.GetKind() == catalogpb.RecordKind_RECORD_VERSION
}

// fingerprint is a hash of the whole state database, byte for byte, but for
// the term of the last entry's tail that raft itself may have added.
func fingerprint(t testing.TB, r *Replica) string {
	t.Helper()
	return fingerprintDB(t, r.machine.db)
}

func fingerprintDB(t testing.TB, db *pebble.DB) string {
	t.Helper()
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := blake3.New()
	rows := 0
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(h, "%d %d ", len(it.Key()), len(value))
		h.Write(it.Key())
		h.Write(value)
		rows++
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d rows %x", rows, h.Sum(nil)[:8])
}

// eventually polls a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s did not happen", what)
		}
	}
}
