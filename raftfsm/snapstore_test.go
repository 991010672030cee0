package raftfsm

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"
)

// stream reads the whole stream of a snapshot.
func stream(t testing.TB, s *snapshotStore, id string) []byte {
	t.Helper()
	meta, r, err := s.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if int64(len(raw)) != meta.Size {
		t.Fatalf("stream has %d bytes, not %d", len(raw), meta.Size)
	}
	return raw
}

// receive gives a stream to a store as raft does when a leader sends it.
func receive(s *snapshotStore, index uint64, raw []byte) (id string, err error) {
	sink, err := s.Create(raft.SnapshotVersionMax, index, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(sink, bytes.NewReader(raw)); err != nil {
		return "", errors.Join(err, sink.Cancel())
	}
	return sink.ID(), sink.Close()
}

// filled is a machine that has applied a random log.
func filled(t testing.TB, fs *vfs.MemFS, n int) (*testMachine, []logEntry) {
	m := newTestMachine(t, fs)
	entries := randomEntries(t, rand.New(rand.NewPCG(7, 7)), n)
	m.run(entries...)
	return m, entries
}

func listIDs(t testing.TB, s *snapshotStore) []string {
	t.Helper()
	metas, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, meta := range metas {
		ids = append(ids, meta.ID)
	}
	return ids
}

func TestSnapshotTravels(t *testing.T) {
	t.Parallel()
	leader, entries := filled(t, vfs.NewMem(), 100)
	takeSnapshot(t, leader)
	meta, _, err := leader.snapshots.newest()
	if err != nil {
		t.Fatal(err)
	}
	raw := stream(t, leader.snapshots, meta.ID)
	if again := stream(t, leader.snapshots, meta.ID); !bytes.Equal(raw, again) {
		t.Fatal("a snapshot gives two different streams")
	}

	follower := newTestMachine(t, vfs.NewMem())
	follower.run(entries[:3]...)
	readers := follower.catalog // must survive the restore
	id, err := receive(follower.snapshots, meta.Index, raw)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := follower.snapshots.newest()
	if err != nil || got.ID != id || got.Applied != leader.applied.Load() {
		t.Fatalf("received %+v, %v", got, err)
	}
	if _, err := follower.restore(follower.snapshots.data(id), got); err != nil {
		t.Fatal(err)
	}
	if a, b := fingerprintDB(t, leader.db), fingerprintDB(t, follower.db); a != b {
		t.Fatalf("states differ: %s, %s", a, b)
	}
	if !bytes.Equal(readers.Digest(), leader.catalog.Digest()) {
		t.Fatal("the catalog that readers hold shows another state")
	}
	// The received snapshot is intact after the state it became has changed.
	follower.index = follower.applied.Load()
	follower.run(follower.open(), follower.entry(write(bk1, "more", nil)))
	if err := follower.flushAhead(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(raw, stream(t, follower.snapshots, id)) {
		t.Fatal("using a restored state changed the snapshot")
	}
}

func TestDamagedStreamRefused(t *testing.T) {
	t.Parallel()
	leader, _ := filled(t, vfs.NewMem(), 60)
	takeSnapshot(t, leader)
	raw := stream(t, leader.snapshots, listIDs(t, leader.snapshots)[0])
	follower := newTestMachine(t, vfs.NewMem())
	follower.site()
	before := fingerprintDB(t, follower.db)

	check := func(name string, damaged []byte) {
		t.Helper()
		id, err := receive(follower.snapshots, 1000, damaged)
		if err == nil {
			t.Errorf("%s: accepted as %s", name, id)
		}
		names, err := follower.fs.List("/snapshots")
		if err != nil || len(names) != 0 {
			t.Fatalf("%s: left %v behind, %v", name, names, err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	offsets := []int{0, 7, 8, 11, 12, 13, 14, 20, len(raw) - 1, len(raw) - 33}
	for range 30 {
		offsets = append(offsets, rng.IntN(len(raw)))
	}
	for _, at := range offsets {
		flipped := bytes.Clone(raw)
		flipped[at] ^= 1 << rng.IntN(8)
		check("flipped", flipped)
		check("truncated", raw[:at])
	}
	check("empty", nil)
	check("extended", append(bytes.Clone(raw), 0))

	// A stream that is whole but holds no state database.
	empty := vfs.NewMem()
	if err := empty.MkdirAll("/d", 0o700); err != nil {
		t.Fatal(err)
	}
	none, err := io.ReadAll(newStreamReader(empty, "/d", nil))
	if err != nil {
		t.Fatal(err)
	}
	check("no files", none)

	// One whose state is ahead of the snapshot's index.
	if _, err := receive(follower.snapshots, 3, raw); err == nil || !strings.Contains(err.Error(), "beyond its index") {
		t.Errorf("a state ahead of its snapshot: %v", err)
	}
	if after := fingerprintDB(t, follower.db); after != before {
		t.Error("refused snapshots changed the state")
	}
}

func TestSinkCancelled(t *testing.T) {
	t.Parallel()
	m, _ := filled(t, vfs.NewMem(), 40)
	takeSnapshot(t, m)
	raw := stream(t, m.snapshots, listIDs(t, m.snapshots)[0])
	sink, err := m.snapshots.Create(raft.SnapshotVersionMax, 900, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write(raw[:len(raw)/2]); err != nil {
		t.Fatal(err)
	}
	if err := sink.Cancel(); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err == nil {
		t.Error("a cancelled snapshot was closed")
	}
	if names, _ := m.fs.List("/snapshots"); len(names) != 1 {
		t.Errorf("directories %v", names)
	}
	// A snapshot without content, and one with two.
	if sink, err = m.snapshots.Create(raft.SnapshotVersionMax, 901, 1, raft.Configuration{}, 1, nil); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err == nil || !strings.Contains(err.Error(), "no content") {
		t.Errorf("an empty snapshot: %v", err)
	}
}

func TestSnapshotsReaped(t *testing.T) {
	t.Parallel()
	m, _ := filled(t, vfs.NewMem(), 20)
	var reading io.ReadCloser
	var first string
	var want []byte
	for i := range 5 {
		m.index = m.applied.Load()
		m.run(m.open(), m.entry(write(bk1, "x", nil)))
		takeSnapshot(t, m)
		if i == 0 {
			first = listIDs(t, m.snapshots)[0]
			want = stream(t, m.snapshots, first)
			var err error
			if _, reading, err = m.snapshots.Open(first); err != nil {
				t.Fatal(err)
			}
		}
	}
	ids := listIDs(t, m.snapshots)
	if len(ids) != keepSnapshots+1 || ids[keepSnapshots] != first || !slices.IsSortedFunc(ids, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Fatalf("kept %v, reading %s", ids, first)
	}
	if got, err := io.ReadAll(reading); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("a snapshot that was being read is damaged: %v", err)
	}
	if err := reading.Close(); err != nil {
		t.Fatal(err)
	}
	if ids = listIDs(t, m.snapshots); len(ids) != keepSnapshots || slices.Contains(ids, first) {
		t.Fatalf("kept %v", ids)
	}
	if _, _, err := m.snapshots.Open(first); err == nil {
		t.Fatal("opened a snapshot that is gone")
	}

	// A damaged description takes the snapshot out of the list, loudly.
	raw, err := readFile(m.fs, "/snapshots/"+ids[0]+"/META", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	raw[20] ^= 1
	if err := writeFileSync(m.fs, "/snapshots/"+ids[0]+"/META", raw); err != nil {
		t.Fatal(err)
	}
	if left := listIDs(t, m.snapshots); !slices.Equal(left, ids[1:]) {
		t.Fatalf("listed %v", left)
	}
}

// TestCrashAnywhere takes, receives and restores snapshots, and crashes at
// every single operation on the file system. Whatever moment it was, the node
// opens with a whole state that is not behind its newest snapshot, and replays
// to the same end.
func TestCrashAnywhere(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	leader, entries := filled(t, vfs.NewMem(), 48)
	takeSnapshot(t, leader)
	meta, _, err := leader.snapshots.newest()
	if err != nil {
		t.Fatal(err)
	}
	raw := stream(t, leader.snapshots, meta.ID)
	want := fingerprintDB(t, leader.db)

	// One run of the scenario leaves a clone for each operation that changes
	// the file system: what a power cut at that moment would have left.
	var mu sync.Mutex
	var crashed []*vfs.MemFS
	rng := rand.New(rand.NewPCG(3, 4))
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose {
			mu.Lock()
			defer mu.Unlock()
			crashed = append(crashed, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng}))
		}
		return nil
	})
	o := Options{Dir: "/", NodeID: "n1", CacheBytes: 1 << 20, MemtableBytes: 256 << 10, fs: errorfs.Wrap(mem, hook)}.withDefaults()
	dbs := newDatabases(o)
	defer dbs.close()
	snapshots, err := openSnapshotStore(o.fs, "/snapshots", o.Logger, dbs.inspect)
	if err != nil {
		t.Fatal(err)
	}
	root, err := openStateDir(o.fs, "/state")
	if err != nil {
		t.Fatal(err)
	}
	m, err := openMachine(dbs, root, snapshots)
	if err != nil {
		t.Fatal(err)
	}
	type promise struct {
		from  int // crashes from this one on
		index uint64
	}
	var promises []promise // raft drops the log up to a snapshot that was closed
	closed := func(index uint64) {
		mu.Lock()
		defer mu.Unlock()
		promises = append(promises, promise{len(crashed), index})
	}
	tm := &testMachine{machine: m, t: t, snapshots: snapshots}
	tm.run(entries[:12]...)
	takeSnapshot(t, tm)
	closed(13)
	tm.run(entries[12:24]...)
	takeSnapshot(t, tm)
	closed(25)
	id, err := receive(snapshots, meta.Index, raw)
	if err != nil {
		t.Fatal(err)
	}
	closed(meta.Index)
	got, _, err := snapshots.newest()
	if err != nil || got.ID != id {
		t.Fatalf("newest is %v, %v", got.ID, err)
	}
	if _, err := m.restore(snapshots.data(id), got); err != nil {
		t.Fatal(err)
	}
	if err := m.close(); err != nil {
		t.Fatal(err)
	}

	mu.Lock()
	defer mu.Unlock()
	seen := map[uint64]int{}
	every := 2 // each run tries one half of the moments
	for k := rand.IntN(every); k < len(crashed); k += every {
		m := newTestMachine(t, crashed[k])
		newest, ok, err := m.snapshots.newest()
		if err != nil {
			t.Fatal(err)
		}
		applied := m.applied.Load()
		for _, p := range promises {
			if k >= p.from && newest.Index < p.index {
				t.Fatalf("crash at operation %d: the newest snapshot is %d, but %d was promised", k, newest.Index, p.index)
			}
		}
		if ok && applied < newest.Applied {
			t.Fatalf("crash at operation %d: state at %d, behind the snapshot's %d", k, applied, newest.Applied)
		}
		seen[applied]++
		m.run(entries...)
		if got := fingerprintDB(t, m.db); got != want {
			t.Fatalf("crash at operation %d: state from %d replays to %s, not %s", k, applied, got, want)
		}
	}
	t.Logf("%d operations; states found: %v", len(crashed), seen)
	if len(seen) < 4 {
		t.Error("the crashes did not reach the several states there are")
	}
}

func TestMissingStateIsMadeAgain(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	m, _ := filled(t, fs, 80)
	takeSnapshot(t, m)
	want := fingerprintDB(t, m.db)
	copyFS := vfs.NewMem()
	if ok, err := vfs.Clone(fs, copyFS, "/snapshots", "/snapshots", vfs.CloneSync); err != nil || !ok {
		t.Fatal(ok, err)
	}
	again := newTestMachine(t, copyFS)
	if got := fingerprintDB(t, again.db); got != want {
		t.Fatalf("state is %s, not %s", got, want)
	}
}

// FuzzUnpack feeds anything to the parser of snapshot streams: it never
// panics, takes no name that leads out of its directory, and what it takes it
// gives back as the same stream.
func FuzzUnpack(f *testing.F) {
	small := vfs.NewMem()
	if err := small.MkdirAll("/d", 0o700); err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"000001.sst", "MANIFEST-1"} {
		if err := writeFileSync(small, "/d/"+name, []byte(name)); err != nil {
			f.Fatal(err)
		}
	}
	files, err := streamFiles(small, "/d")
	if err != nil {
		f.Fatal(err)
	}
	good, err := io.ReadAll(newStreamReader(small, "/d", files))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte(streamMagic + "\x00\x00\x00\x01\x00\x04../x"))
	f.Add([]byte(streamMagic + "\xff\xff\xff\xff"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		fs := vfs.NewMem()
		err := unpack(fs, "/d", bytes.NewReader(raw))
		top, lerr := fs.List("/")
		if lerr != nil || len(top) > 1 {
			t.Fatalf("wrote outside of its directory: %v %v", top, lerr)
		}
		if err != nil {
			return
		}
		files, err := streamFiles(fs, "/d")
		if err != nil {
			t.Fatal(err)
		}
		back, err := io.ReadAll(newStreamReader(fs, "/d", files))
		if err != nil || !bytes.Equal(back, raw) {
			t.Fatalf("read back another stream: %v", err)
		}
	})
}

// FuzzMeta feeds anything to the parser of snapshot descriptions.
func FuzzMeta(f *testing.F) {
	good, err := encodeMeta(snapshotMeta{SnapshotMeta: raft.SnapshotMeta{ID: "x", Index: 5}, Applied: 4})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		meta, err := decodeMeta(raw)
		if err != nil {
			return
		}
		if _, err := encodeMeta(meta); err != nil {
			t.Fatal(err)
		}
	})
}
