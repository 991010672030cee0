package raftfsm

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	catalogpb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// testMachine is a machine and its snapshots on a file system in memory.
type testMachine struct {
	*machine
	t         testing.TB
	fs        *vfs.MemFS
	snapshots *snapshotStore
	index     uint64
	session   uint64
	number    uint64
}

func newTestMachine(t testing.TB, fs *vfs.MemFS) *testMachine {
	t.Helper()
	o := Options{Dir: "/", NodeID: "n1", CacheBytes: 1 << 20, MemtableBytes: 256 << 10, fs: fs}.withDefaults()
	dbs := newDatabases(o)
	snapshots, err := openSnapshotStore(fs, "/snapshots", slog.New(slog.DiscardHandler), dbs.inspect)
	if err != nil {
		t.Fatal(err)
	}
	root, err := openStateDir(fs, "/state")
	if err != nil {
		t.Fatal(err)
	}
	m, err := openMachine(dbs, root, snapshots)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.close(); err != nil {
			t.Error(err)
		}
		dbs.close()
	})
	return &testMachine{machine: m, t: t, fs: fs, snapshots: snapshots}
}

// entry encodes the next entry of the test's session, opening one first.
func (m *testMachine) entry(cmds ...*raftfsmpb.Command) logEntry {
	m.number++
	return m.encode(&raftfsmpb.Entry{Session: m.session, Number: m.number, Time: int64(m.index + 1), Commands: cmds})
}

func (m *testMachine) encode(e *raftfsmpb.Entry) logEntry {
	raw, err := proto.Marshal(e)
	if err != nil {
		m.t.Fatal(err)
	}
	m.index++
	return logEntry{index: m.index, term: 1, data: raw}
}

func (m *testMachine) open() logEntry {
	e := m.encode(&raftfsmpb.Entry{OpenSession: true})
	m.session, m.number = e.index, 0
	return e
}

// run applies entries that must not halt the node.
func (m *testMachine) run(entries ...logEntry) []response {
	m.t.Helper()
	res, err := m.apply(entries)
	if err != nil {
		m.t.Fatal(err)
	}
	return res
}

func (m *testMachine) site() {
	m.run(m.open(), m.entry(siteTxn()))
}

func codes(r response) []raftfsmpb.Code {
	var out []raftfsmpb.Code
	for _, res := range r.results {
		out = append(out, res.GetCode())
	}
	return out
}

func TestEntryAppliedOnce(t *testing.T) {
	t.Parallel()
	m := newTestMachine(t, vfs.NewMem())
	m.site()
	e := m.entry(write(bk1, "a", nil), write(bk1, "a", &catalogpb.Conditions{IfNoneMatch: "*"}))
	first := m.run(e)[0]
	if want := []raftfsmpb.Code{raftfsmpb.Code_OK, raftfsmpb.Code_CONFLICT}; !slices.Equal(codes(first), want) {
		t.Fatalf("results %v", first)
	}
	bucket, _ := m.catalog.Bucket(bk1)
	// The same entry again, at a later index, as a proposer in doubt sends it,
	// and in one batch with another.
	m.index += 2
	again := m.run(logEntry{m.index - 1, 1, e.data}, logEntry{m.index, 1, e.data})
	for _, r := range again {
		if len(r.results) != 2 || !proto.Equal(r.results[0], first.results[0]) || !proto.Equal(r.results[1], first.results[1]) {
			t.Fatalf("results differ:\n%v\n%v", first.results, r.results)
		}
	}
	if after, _ := m.catalog.Bucket(bk1); after.GetSeq() != bucket.GetSeq() {
		t.Fatal("a repeated entry was applied again")
	}
	// Twice within one batch.
	e = m.entry(write(bk1, "b", nil))
	m.index++
	both := m.run(e, logEntry{m.index, 1, e.data})
	if !proto.Equal(both[0].results[0], both[1].results[0]) {
		t.Fatal("a repetition in the same batch has another result")
	}
	if m.applied.Load() != m.index {
		t.Fatalf("applied %d, not %d", m.applied.Load(), m.index)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	s := &raftfsmpb.Session{Number: 5, Last: 20, Remembered: []uint64{13, 14, 16, 17, 18, 19, 20}}
	for _, c := range []struct {
		session *raftfsmpb.Session
		number  uint64
		want    verdict
	}{
		{nil, 1, entryExpired},
		{s, 0, entryExpired},
		{s, 21, entryNew},
		{s, 100, entryNew},
		{s, 20, entryApplied},
		{s, 13, entryApplied},
		{s, 15, entryNew}, // overtaken by 16, never applied
		{s, 12, entryExpired},
		{s, 1, entryExpired},
		{&raftfsmpb.Session{Number: 5}, 1, entryNew},
	} {
		if got := judge(c.session, c.number); got != c.want {
			t.Errorf("judge(%v, %d) = %v, want %v", c.session, c.number, got, c.want)
		}
	}
}

func TestSessionsExpire(t *testing.T) {
	t.Parallel()
	m := newTestMachine(t, vfs.NewMem())
	m.site()
	first, number := m.session, m.number
	m.run(m.open())
	second := m.session
	m.run(m.entry(write(bk1, "a", nil))) // second is used after it was opened
	for range maxSessions - 2 {
		m.run(m.open())
	}
	last, lastNumber := m.session, m.number
	expired := func(session, number uint64) bool {
		r := m.run(m.encode(&raftfsmpb.Entry{Session: session, Number: number, Commands: []*raftfsmpb.Command{write(bk1, "b", nil), write(bk1, "c", nil)}}))[0]
		return slices.Equal(codes(r), []raftfsmpb.Code{raftfsmpb.Code_SESSION_EXPIRED, raftfsmpb.Code_SESSION_EXPIRED})
	}
	if len(m.sessions) != maxSessions || expired(first, number+1) {
		t.Fatal("a session expired too early")
	}
	m.run(m.open(), m.open()) // first was just used; second and a later one go
	if !expired(second, 2) || hasSession(m, second) {
		t.Fatal("the session that was not used for longest is still there")
	}
	if expired(first, number+2) || expired(last, lastNumber+1) {
		t.Fatal("a session that was used expired")
	}
	if n := countKeys(t, m, keySessions); n != maxSessions {
		t.Fatalf("%d sessions are stored", n)
	}
	if hasKeyRow(t, m, windowKey(second, 1)) {
		t.Fatal("the results of an expired session are still stored")
	}
	for n := range uint64(100) { // the window is bounded
		m.run(m.encode(&raftfsmpb.Entry{Session: last, Number: 100 + n, Commands: []*raftfsmpb.Command{write(bk1, "d", nil)}}))
	}
	from, _ := windowRange(last)
	if n := countKeys(t, m, from); n != sessionWindow || len(m.sessions[last].GetRemembered()) != sessionWindow {
		t.Fatalf("%d results are remembered", n)
	}
}

func hasSession(m *testMachine, number uint64) bool { _, ok := m.sessions[number]; return ok }

func hasKeyRow(t *testing.T, m *testMachine, key []byte) bool {
	raw, err := get(m.db, key)
	if err != nil {
		t.Fatal(err)
	}
	return raw != nil
}

func countKeys(t *testing.T, m *testMachine, prefix []byte) (n int) {
	if err := each(m.db, prefix, func([]byte) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestUnknownHalts(t *testing.T) {
	t.Parallel()
	field := func(number protowire.Number) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), []byte("x"))
	}
	newer := func(change func(*raftfsmpb.Entry)) func(*testMachine) logEntry {
		return func(m *testMachine) logEntry {
			e := &raftfsmpb.Entry{Session: m.session, Number: m.number + 1, Commands: []*raftfsmpb.Command{write(bk1, "bad", nil)}}
			change(e)
			return m.encode(e)
		}
	}
	add := func(m proto.Message, number protowire.Number) { m.ProtoReflect().SetUnknown(field(number)) }
	for name, bad := range map[string]func(*testMachine) logEntry{
		"garbage": func(m *testMachine) logEntry { m.index++; return logEntry{m.index, 1, []byte("\xff\xff")} },
		"a newer entry": newer(func(e *raftfsmpb.Entry) {
			add(e, 900)
		}),
		"a newer command": newer(func(e *raftfsmpb.Entry) {
			c := &raftfsmpb.Command{}
			add(c, 900)
			e.Commands = append(e.Commands, c)
		}),
		"an empty command": newer(func(e *raftfsmpb.Entry) { e.Commands = append(e.Commands, &raftfsmpb.Command{}) }),
		"a newer config object": newer(func(e *raftfsmpb.Entry) {
			o := &statepb.Object{}
			add(o, 900)
			e.Commands = append(e.Commands, config(&statepb.Txn{Puts: []*statepb.Object{o}}))
		}),
		"a newer kind": newer(func(e *raftfsmpb.Entry) {
			e.Commands = append(e.Commands, config(&statepb.Txn{Deletes: []*statepb.ObjectKey{{Kind: 99, Name: "x"}}}))
		}),
		"a newer check": newer(func(e *raftfsmpb.Entry) {
			e.Commands = append(e.Commands, config(&statepb.Txn{Checks: []*statepb.Check{{Key: &statepb.ObjectKey{Kind: 99}}}}))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			m := newTestMachine(t, vfs.NewMem())
			m.site()
			good := m.entry(write(bk1, "good", nil))
			entries := []logEntry{good, bad(m), m.entry(write(bk1, "later", nil))}
			res, err := m.apply(entries)
			if err == nil || len(res) != 1 || len(res[0].results) != 1 {
				t.Fatalf("%d responses, error %v", len(res), err)
			}
			if name != "garbage" && !strings.Contains(err.Error(), "upgrade this node") {
				t.Errorf("error %v", err)
			}
			if m.applied.Load() != good.index {
				t.Errorf("applied %d, not %d", m.applied.Load(), good.index)
			}
			for key, want := range map[string]bool{"good": true, "bad": false, "later": false} {
				_, err := m.catalog.Head(bk1, []byte(key))
				if (err == nil) != want {
					t.Errorf("key %s: %v", key, err)
				}
			}
		})
	}
}

// randomEntries makes a log: writes, conditions, deletes, config changes,
// repetitions and entries of raft's own.
func randomEntries(t testing.TB, rng *rand.Rand, n int) []logEntry {
	m := &testMachine{t: t}
	entries := []logEntry{m.open(), m.entry(siteTxn())}
	buckets := []string{bk1, "Hawaii/Cola/bk2", "Hawaii/Cola/bk3"}
	for len(entries) < n {
		bucket := buckets[rng.IntN(len(buckets))]
		key := fmt.Sprintf("k%02d", rng.IntN(40))
		switch rng.IntN(12) {
		case 0:
			entries = append(entries, m.entry(remove(bucket, key)))
		case 1:
			entries = append(entries, m.entry(write(bucket, key, &catalogpb.Conditions{IfNoneMatch: "*"})))
		case 2:
			entries = append(entries, m.entry(config(&statepb.Txn{Puts: []*statepb.Object{bucketObject(bucket)}})))
		case 3:
			entries = append(entries, m.entry(config(&statepb.Txn{Deletes: []*statepb.ObjectKey{{Kind: statepb.Kind_KIND_BUCKET, Name: bucket}}})))
		case 4:
			entries = append(entries, m.entry(config(&statepb.Txn{Puts: []*statepb.Object{
				state.Wrap(&statepb.Tenant{Path: "Hawaii/Cola", Versions: rng.Uint32N(4)})}})))
		case 5:
			m.index++
			entries = append(entries, logEntry{index: m.index, term: 1})
		case 6:
			m.index++
			old := entries[rng.IntN(len(entries))]
			if old.data != nil {
				old.index = m.index
				entries = append(entries, old)
			} else {
				m.index--
			}
		case 7:
			entries = append(entries, m.open())
		default:
			var cmds []*raftfsmpb.Command
			for range 1 + rng.IntN(5) {
				cmds = append(cmds, write(bucket, fmt.Sprintf("k%02d", rng.IntN(40)), nil))
			}
			entries = append(entries, m.entry(cmds...))
		}
	}
	return entries
}

// TestReplayAfterCrash applies a log with crashes at any moment: after each,
// the state on disk is that of some earlier index, whole, and applying the log
// again gives what applying it once gives. Snapshots are taken and restored on
// the way.
func TestReplayAfterCrash(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	entries := randomEntries(t, rng, 400)
	once := newTestMachine(t, vfs.NewMem())
	once.run(entries...)
	want := fingerprintDB(t, once.db)
	digest := once.catalog.Digest()

	fs := vfs.NewCrashableMem()
	m := newTestMachine(t, fs)
	crashes, behind, restored := 0, 0, 0
	for m.applied.Load() < entries[len(entries)-1].index {
		from := 0
		for entries[from].index <= m.applied.Load() {
			from++
		}
		if from > 3 && rng.IntN(2) == 0 {
			from -= 3 // raft replays from its snapshot, which may be older
		}
		m.run(entries[from:min(len(entries), from+1+rng.IntN(20))]...)
		switch rng.IntN(8) {
		case 0:
			if err := m.flushAhead(); err != nil {
				t.Fatal(err)
			}
		case 1:
			takeSnapshot(t, m)
		case 2:
			if meta, ok, err := m.snapshots.newest(); err != nil {
				t.Fatal(err)
			} else if ok {
				if _, err := m.restore(m.snapshots.data(meta.ID), meta); err != nil {
					t.Fatal(err)
				}
				if m.applied.Load() != meta.Applied {
					t.Fatalf("restored to %d, not %d", m.applied.Load(), meta.Applied)
				}
				restored++
			}
		case 3:
			applied := m.applied.Load()
			fs = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
			m = newTestMachine(t, fs)
			if m.applied.Load() > applied {
				t.Fatalf("after a crash the state is at %d, ahead of %d", m.applied.Load(), applied)
			}
			if m.applied.Load() < applied {
				behind++
			}
			crashes++
		}
	}
	t.Logf("%d crashes, %d of them lost entries, %d restores", crashes, behind, restored)
	if got := fingerprintDB(t, m.db); got != want {
		t.Errorf("state is %s, not %s", got, want)
	}
	if !bytes.Equal(m.catalog.Digest(), digest) {
		t.Error("digests differ")
	}
	if m.config.Revision() != once.config.Revision() {
		t.Errorf("config is at revision %d, not %d", m.config.Revision(), once.config.Revision())
	}
}

func takeSnapshot(t *testing.T, m *testMachine) {
	t.Helper()
	sink, err := m.snapshots.Create(raft.SnapshotVersionMax, m.applied.Load()+1, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &fsm{machine: m.machine, snapshots: m.snapshots, halt: newHalt()}
	snap, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := snap.Persist(sink); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	snap.Release()
}

func TestHaltedTakesNoSnapshot(t *testing.T) {
	t.Parallel()
	m := newTestMachine(t, vfs.NewMem())
	h := newHalt()
	f := &fsm{machine: m.machine, snapshots: m.snapshots, halt: h, grown: func(uint64, int) {}, advanced: make(chan struct{}, 1)}
	out := f.ApplyBatch([]*raft.Log{{Index: 1, Term: 1, Type: raft.LogCommand, Data: []byte("\xff")}})
	if res := out[0].(response); !errors.Is(res.err, ErrHalted) {
		t.Fatalf("response %v", res)
	}
	select {
	case <-h.done:
	default:
		t.Fatal("an entry that cannot be read did not halt the node")
	}
	if _, err := f.Snapshot(); !errors.Is(err, ErrHalted) {
		t.Fatalf("snapshot of a halted node: %v", err)
	}
	if err := f.Restore(nil); !errors.Is(err, ErrHalted) {
		t.Fatalf("restore of a halted node: %v", err)
	}
	out = f.ApplyBatch([]*raft.Log{{Index: 2, Term: 1, Type: raft.LogNoop}})
	if res := out[0].(response); !errors.Is(res.err, ErrHalted) || m.applied.Load() != 0 {
		t.Fatalf("a halted node applied: %v", res)
	}
}

func setVersioning() *raftfsmpb.Command {
	return &raftfsmpb.Command{Command: &raftfsmpb.Command_SetBucketAttribute{SetBucketAttribute: &catalogpb.SetBucketAttribute{
		Bucket: bk1, Field: "versioning", Value: &catalogpb.Value{Versioning: catalogpb.Versioning_VERSIONING_ENABLED}}}}
}

// TestVersionCommands carries the commands about versions through an entry.
func TestVersionCommands(t *testing.T) {
	t.Parallel()
	m := newTestMachine(t, vfs.NewMem())
	m.site()
	results := m.run(m.entry(setVersioning(), write(bk1, "k", nil)))[0].results
	rec := results[1].GetRecord()
	if results[0].GetRecord() == nil || rec.GetVersioning() != catalogpb.Versioning_VERSIONING_ENABLED {
		t.Fatalf("results %v", results)
	}
	attribute := &raftfsmpb.Command{Command: &raftfsmpb.Command_SetAttribute{SetAttribute: &catalogpb.SetAttribute{
		Bucket: bk1, Key: []byte("k"), Field: "tags", Latest: true, Value: &catalogpb.Value{Tags: map[string]string{"a": "1"}}}}}
	purge := &raftfsmpb.Command{Command: &raftfsmpb.Command_Purge{Purge: &catalogpb.Purge{Bucket: bk1, Key: []byte("k"), Target: rec.GetDot()}}}
	e := m.entry(attribute, purge, attribute)
	first := m.run(e)[0]
	if want := []raftfsmpb.Code{raftfsmpb.Code_OK, raftfsmpb.Code_OK, raftfsmpb.Code_NOT_FOUND}; !slices.Equal(codes(first), want) || !first.results[1].GetRemoved() {
		t.Fatalf("results %v", first)
	}
	m.index++
	if again := m.run(logEntry{m.index, 1, e.data})[0]; !proto.Equal(again.results[1], first.results[1]) {
		t.Fatalf("remembered %v, want %v", again.results[1], first.results[1])
	}
}

// TestQuotasFollowConfig: the quotas of buckets and tenants, and whether somebody
// set the number of versions, are what the config says at each write.
func TestQuotasFollowConfig(t *testing.T) {
	t.Parallel()
	m := newTestMachine(t, vfs.NewMem())
	m.site()
	tenant := func(quota uint64, versions uint32) *raftfsmpb.Command {
		return config(&statepb.Txn{Puts: []*statepb.Object{state.Wrap(&statepb.Tenant{Path: "Hawaii/Cola", Quota: quota, Versions: versions})}})
	}
	bucket := func(quota uint64) *raftfsmpb.Command {
		return config(&statepb.Txn{Puts: []*statepb.Object{state.Wrap(&statepb.Bucket{Path: bk1, Incarnation: bytes.Repeat([]byte{7}, 16), Quota: quota})}})
	}
	for _, c := range []struct {
		name string
		cmd  *raftfsmpb.Command
		want raftfsmpb.Code // of a write of 100 bytes
	}{
		{"no quota", write(bk1, "a", nil), raftfsmpb.Code_OK},
		{"of the bucket", bucket(250), raftfsmpb.Code_QUOTA},
		{"of the tenant, too small", tenant(299, 0), raftfsmpb.Code_QUOTA},
		{"of the tenant alone", bucket(0), raftfsmpb.Code_QUOTA},
		{"of the tenant, raised", tenant(300, 0), raftfsmpb.Code_OK},
		{"none", tenant(0, 5), raftfsmpb.Code_OK},
	} {
		results := m.run(m.entry(c.cmd, write(bk1, c.name, nil)))[0].results
		if results[0].GetCode() != raftfsmpb.Code_OK || results[1].GetCode() != c.want {
			t.Fatalf("%s: %v, want %v", c.name, results, c.want)
		}
	}
	if st, err := m.catalog.Bucket(bk1); err != nil || !st.GetBounded() || st.GetVersions() != 5 {
		t.Fatalf("state %v %v", st, err)
	}
}

// FuzzEntry applies whatever the log could hold: first as an entry, then as a
// command of a good entry. Nothing panics, a result is there for each command,
// and a second node comes to the same state.
func FuzzEntry(f *testing.F) {
	for _, e := range randomEntries(f, rand.New(rand.NewPCG(5, 5)), 60) {
		entry := &raftfsmpb.Entry{}
		if proto.Unmarshal(e.data, entry) != nil {
			continue
		}
		f.Add(e.data)
		for _, cmd := range entry.GetCommands() {
			raw, err := proto.Marshal(cmd)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw)
		}
	}
	id, life := bytes.Repeat([]byte{2}, 16), bytes.Repeat([]byte{3}, 16)
	record := &catalogpb.Record{Key: []byte("k"), Kind: catalogpb.RecordKind_RECORD_VERSION, Generation: 1, Time: 1,
		Dot: &catalogpb.Dot{Origin: id, Epoch: 1, Seq: 1}, Root: &catalogpb.Root{}}
	cursor := &catalogpb.Cursor{Site: id, Epoch: 1, Incarnation: life, Seq: 1}
	for _, cmd := range []*raftfsmpb.Command{
		{Command: &raftfsmpb.Command_Ingest{Ingest: &catalogpb.Ingest{Bucket: bk1, Peer: id, Cursor: cursor, Records: []*catalogpb.Record{record},
			Hold: []*catalogpb.Pending{{Record: record, Reason: 1, Seq: 2}}, Seen: &catalogpb.Vector{Upto: []*catalogpb.Dot{record.GetDot()}}}}},
		{Command: &raftfsmpb.Command_CreateUpload{CreateUpload: &catalogpb.CreateUpload{Upload: &catalogpb.Upload{Id: "u", Bucket: bk1, Key: []byte("k")}}}},
		{Command: &raftfsmpb.Command_PutPart{PutPart: &catalogpb.PutPart{Bucket: bk1, Upload: "u", Part: &catalogpb.Part{Number: 1}}}},
		{Command: &raftfsmpb.Command_AbortUpload{AbortUpload: &catalogpb.AbortUpload{Bucket: bk1, Upload: "u"}}},
		{Command: &raftfsmpb.Command_Progress{Progress: &catalogpb.PeerProgress{Bucket: bk1, Peer: id, Cursor: cursor}}},
		{Command: &raftfsmpb.Command_Trim{Trim: &catalogpb.Trim{Bucket: bk1, Before: 10, Horizon: 5, Limit: 3}}},
		setVersioning(),
		{Command: &raftfsmpb.Command_SetAttribute{SetAttribute: &catalogpb.SetAttribute{Bucket: bk1, Key: []byte("k"), Field: "tags", Latest: true,
			Value: &catalogpb.Value{Tags: map[string]string{"a": "1"}}}}},
		{Command: &raftfsmpb.Command_Purge{Purge: &catalogpb.Purge{Bucket: bk1, Key: []byte("k"), Target: record.GetDot()}}},
	} {
		raw, err := proto.Marshal(cmd)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		end := ""
		for range 2 {
			m := newTestMachine(t, vfs.NewMem())
			m.run(m.open(), m.entry(siteTxn()), m.entry(write(bk1, "k", nil)))
			m.index++
			if res, err := m.apply([]logEntry{{m.index, 1, raw}}); err == nil && len(res) != 1 {
				t.Fatalf("%d responses", len(res))
			}
			cmd := &raftfsmpb.Command{}
			if proto.Unmarshal(raw, cmd) == nil && cmd.GetCommand() != nil {
				m.index = m.applied.Load()
				if res, err := m.apply([]logEntry{m.entry(cmd, cmd)}); err == nil && len(res[0].results) != 2 {
					t.Fatalf("%d results", len(res[0].results))
				}
			}
			got := fingerprintDB(t, m.db)
			if end != "" && got != end {
				t.Fatalf("one node has state %s, another %s", end, got)
			}
			end = got
		}
	})
}
