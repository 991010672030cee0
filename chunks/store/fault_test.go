package store

import (
	"context"
	"errors"
	"io"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/chunkstest"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// faultRig is a file system whose operations can be made to fail or wait.
type faultRig struct {
	mu   sync.Mutex
	hook func(errorfs.Op) error
	hits int
	log  []errorfs.Op // operations on segments
}

func (r *faultRig) String() string { return "planned faults" }

func (r *faultRig) MaybeError(op errorfs.Op) error {
	r.mu.Lock()
	hook := r.hook
	if strings.HasSuffix(op.Path, ".seg") {
		r.log = append(r.log, op)
	}
	r.mu.Unlock()
	if hook == nil {
		return nil
	}
	err := hook(op)
	if err != nil {
		r.mu.Lock()
		r.hits++
		r.mu.Unlock()
	}
	return err
}

// plan sets what fails from now on; nil is nothing. It returns how often the
// last plan was hit.
func (r *faultRig) plan(hook func(errorfs.Op) error) (hits int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hits, r.hits, r.hook = r.hits, 0, hook
	return hits
}

// fail makes operations of a kind on paths with a suffix fail.
func fail(kind errorfs.OpKind, suffix string, err error) func(errorfs.Op) error {
	return func(op errorfs.Op) error {
		if op.Kind == kind && strings.HasSuffix(op.Path, suffix) {
			return err
		}
		return nil
	}
}

// TestFailedGroups breaks every step of a commit to a segment: the group fails
// whole, is not to be seen, reads go on, and the next Put succeeds.
func TestFailedGroups(t *testing.T) {
	for _, c := range []struct {
		name string
		plan func(errorfs.Op) error
		is   error
	}{
		{"disk full, write", fail(errorfs.OpFileWrite, ".seg", syscall.ENOSPC), chunks.ErrNoSpace},
		{"quota, write", fail(errorfs.OpFileWrite, ".seg", syscall.EDQUOT), chunks.ErrNoSpace},
		{"I/O error, write", fail(errorfs.OpFileWrite, ".seg", syscall.EIO), syscall.EIO},
		{"sync", fail(errorfs.OpFileSyncData, ".seg", syscall.EIO), syscall.EIO},
		{"disk full, sync", fail(errorfs.OpFileSyncData, ".seg", syscall.ENOSPC), chunks.ErrNoSpace},
		{"disk full, preallocation", fail(errorfs.OpFilePreallocate, ".seg", syscall.ENOSPC), chunks.ErrNoSpace},
		{"disk full, creation", fail(errorfs.OpCreate, ".seg", syscall.ENOSPC), chunks.ErrNoSpace},
		{"sync of the directory", fail(errorfs.OpFileSync, segmentsName, syscall.EIO), syscall.EIO},
		{"open of the directory", fail(errorfs.OpOpenDir, segmentsName, syscall.EMFILE), syscall.EMFILE},
	} {
		t.Run(c.name, func(t *testing.T) {
			rig := &faultRig{}
			mem := vfs.NewCrashableMem()
			o := small(errorfs.Wrap(mem, rig), "store")
			s := open(t, o)
			before, beforeRaws := chunkstest.Batch(1, 4, 10_000)
			if err := s.Put(t.Context(), before); err != nil {
				t.Fatal(err)
			}
			stats := s.Stats()

			// More than a segment, so that every step is taken.
			batch, raws := chunkstest.Batch(2, 12, 100_000)
			rig.plan(c.plan)
			if err := s.Put(t.Context(), batch); !errors.Is(err, c.is) {
				t.Fatalf("Put: %v, want %v", err, c.is)
			}
			present := make([]bool, len(batch))
			ids := make([]chunks.ID, len(batch))
			for i := range batch {
				ids[i] = batch[i].ID
			}
			if err := s.Has(t.Context(), ids, present); err != nil {
				t.Fatal(err)
			}
			for i, p := range present {
				if p {
					t.Errorf("chunk %d of a failed batch is present", i)
				}
			}
			if now := s.Stats(); now.Chunks != stats.Chunks || now.Bytes != stats.Bytes {
				t.Errorf("a failed batch counts: %+v, was %+v", now, stats)
			}
			chunkstest.Check(t, s, beforeRaws)
			if rig.plan(nil) == 0 {
				t.Fatal("the planned fault was never hit")
			}

			if err := s.Put(t.Context(), batch); err != nil {
				t.Fatalf("Put after the fault: %v", err)
			}
			chunkstest.Check(t, s, append(raws, beforeRaws...))

			// A crash now, and a clean end, both keep all of it.
			for _, fs := range []vfs.FS{mem.CrashClone(vfs.CrashCloneCfg{}), o.FS} {
				if fs == o.FS {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				}
				again := open(t, small(fs, "store"))
				chunkstest.Check(t, again, append(raws, beforeRaws...))
				if err := again.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestFailedSyncIsFinal checks that a segment whose sync failed is neither
// synced nor written again.
func TestFailedSyncIsFinal(t *testing.T) {
	rig := &faultRig{}
	s := open(t, small(errorfs.Wrap(vfs.NewMem(), rig), "store"))
	first, _ := chunkstest.Batch(1, 2, 1000)
	second, _ := chunkstest.Batch(2, 2, 1000)
	if err := s.Put(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	rig.plan(fail(errorfs.OpFileSyncData, ".seg", syscall.EIO))
	if err := s.Put(t.Context(), second); err == nil {
		t.Fatal("Put succeeded without a sync")
	}
	rig.plan(nil)
	rig.mu.Lock()
	failed := path.Base(rig.log[len(rig.log)-1].Path)
	rig.log = nil
	rig.mu.Unlock()
	if err := s.Put(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, op := range rig.log {
		if path.Base(op.Path) == failed && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose {
			t.Errorf("after its sync failed, %s had operation %v", failed, op.Kind)
		}
	}
}

// TestNoPreallocation uses a file system that cannot preallocate.
func TestNoPreallocation(t *testing.T) {
	rig := &faultRig{}
	rig.plan(fail(errorfs.OpFilePreallocate, ".seg", syscall.EOPNOTSUPP))
	s := open(t, small(errorfs.Wrap(vfs.NewMem(), rig), "store"))
	batch, raws := chunkstest.Batch(1, 2, 1000)
	if err := s.Put(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	chunkstest.Check(t, s, raws)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if rig.plan(nil) == 0 {
		t.Error("the planned fault was never hit")
	}
}

// TestReserve keeps space for the index: the segment that would take it is not
// made.
func TestReserve(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem, "store")
	o.ReserveBytes = 1 << 20
	s := open(t, o)
	batch, raws := chunkstest.Batch(1, 2, 1000)
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: uint64(o.SegmentSize+o.ReserveBytes) - 1})
	if err := s.Put(t.Context(), batch); !errors.Is(err, chunks.ErrNoSpace) {
		t.Errorf("Put into the reserve: %v", err)
	}
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: uint64(o.SegmentSize + o.ReserveBytes)})
	if err := s.Put(t.Context(), batch); err != nil {
		t.Errorf("Put with room again: %v", err)
	}
	chunkstest.Check(t, s, raws)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFailedIndex breaks the index's log: what is durable is then unknown, so
// Put and Has fail, Get goes on, and another Open recovers.
func TestFailedIndex(t *testing.T) {
	for _, kind := range []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileSyncData, errorfs.OpFileSync} {
		rig := &faultRig{}
		mem := vfs.NewCrashableMem()
		o := small(errorfs.Wrap(mem, rig), "store")
		o.IndexSyncBytes = 1 // every commit
		s := open(t, o)
		before, beforeRaws := chunkstest.Batch(1, 4, 1000)
		if err := s.Put(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		rig.plan(fail(kind, ".log", syscall.EIO))
		batch, _ := chunkstest.Batch(2, 4, 1000)
		err := s.Put(t.Context(), batch)
		if rig.plan(nil) == 0 {
			if err != nil {
				t.Errorf("%v: Put fails without a fault: %v", kind, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			continue // Pebble does not use this operation
		}
		if !errors.Is(err, errIndexFailed) {
			t.Fatalf("%v: Put: %v", kind, err)
		}
		t.Logf("%v: %v", kind, err)
		if err := s.Put(t.Context(), batch); !errors.Is(err, errIndexFailed) {
			t.Errorf("second Put: %v", err)
		}
		if err := s.Has(t.Context(), nil, nil); !errors.Is(err, errIndexFailed) {
			t.Errorf("Has: %v", err)
		}
		var b chunks.Buffer
		if err := s.Get(t.Context(), before[0].ID, &b); err != nil {
			t.Errorf("Get: %v", err)
		}
		again := open(t, small(mem.CrashClone(vfs.CrashCloneCfg{}), "store"))
		chunkstest.Check(t, again, beforeRaws)
		if err := again.Put(t.Context(), batch); err != nil {
			t.Errorf("Put after another Open: %v", err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
		_ = s.Close() // it may report the failure again
	}
}

// TestIndexIsSyncedSeldom counts the syncs of small puts: one each, of the
// segment, until IndexSyncBytes have come together. What was acknowledged
// survives a power cut at any of them.
func TestIndexIsSyncedSeldom(t *testing.T) {
	const puts, length = 40, 10_000
	rig := &faultRig{}
	mem := vfs.NewCrashableMem()
	o := small(errorfs.Wrap(mem, rig), "store")
	o.SegmentSize, o.IndexSyncBytes = 1<<20, 10*(length+recordHeaderSize)
	var segment, log atomic.Int32
	s := open(t, o)
	rig.plan(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSync {
			switch path.Ext(op.Path) {
			case ".seg":
				segment.Add(1)
			case ".log":
				log.Add(1)
			}
		}
		return nil
	})
	var raws [][]byte
	for seed := range uint64(puts) {
		batch, r := chunkstest.Batch(seed+1, 1, length)
		if err := s.Put(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		raws = append(raws, r...)
		if seed%13 == 7 {
			again := open(t, small(mem.CrashClone(vfs.CrashCloneCfg{}), "store"))
			chunkstest.Check(t, again, raws)
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Some of the chunks are stored compressed, so it is not exactly ten.
	if segment.Load() != puts || log.Load() == 0 || log.Load() > puts/10 {
		t.Errorf("%d puts synced the segment %d times and the index %d times, want %d and at most %d",
			puts, segment.Load(), log.Load(), puts, puts/10)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReplacedChunkSurvives damages a chunk, reads it, which marks it, and puts
// it again: the replacement is durable although the mark alone is not.
func TestReplacedChunkSurvives(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := open(t, small(mem, "store"))
	batch, raws := chunkstest.Batch(1, 3, 1000)
	if err := s.Put(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // the index is synced
		t.Fatal(err)
	}
	f, err := mem.OpenReadWrite("store/segments/"+segmentName(0), writeCategory)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff, 0xff}, segmentHeaderSize+recordHeaderSize+10); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}

	s = open(t, small(mem, "store"))
	var b chunks.Buffer
	if err := s.Get(t.Context(), batch[0].ID, &b); !errors.Is(err, chunks.ErrCorrupt) {
		t.Fatalf("Get of a damaged chunk: %v", err)
	}
	if err := s.Put(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	again := open(t, small(mem.CrashClone(vfs.CrashCloneCfg{}), "store"))
	chunkstest.Check(t, again, raws)
	if err := errors.Join(again.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// unlocked lets two stores share a directory, as when a process was killed and
// the kernel has freed its lock.
type unlocked struct{ vfs.FS }

func (unlocked) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// TestKillThenPowerCut kills a process between write and sync. What the next
// one reports, from the page cache, must be durable.
func TestKillThenPowerCut(t *testing.T) {
	rig := &faultRig{}
	mem := vfs.NewCrashableMem()
	killed := open(t, small(unlocked{errorfs.Wrap(mem, rig)}, "store"))
	reached, gate := make(chan struct{}), make(chan struct{})
	rig.plan(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && strings.HasSuffix(op.Path, ".seg") {
			close(reached)
			<-gate
			return syscall.EIO
		}
		return nil
	})
	batch, raws := chunkstest.Batch(1, 3, 1000)
	result := make(chan error)
	go func() { result <- killed.Put(context.Background(), batch) }()
	<-reached

	next := open(t, small(unlocked{mem}, "store"))
	chunkstest.Check(t, next, raws) // written, so it is found
	after := open(t, small(mem.CrashClone(vfs.CrashCloneCfg{}), "store"))
	chunkstest.Check(t, after, raws)
	for _, s := range []*Store{after, next} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	close(gate)
	if err := <-result; err == nil {
		t.Error("Put succeeded without a sync")
	}
	_ = killed.Close() // its files belong to another store by now
}

// gated is a store whose segment syncs wait, one at a time, for a permission.
func gated(t *testing.T, groupBytes int64) (s *Store, waiting, permit chan struct{}) {
	t.Helper()
	rig := &faultRig{}
	o := small(errorfs.Wrap(vfs.NewMem(), rig), "store")
	o.GroupBytes = groupBytes
	s = open(t, o)
	waiting, permit = make(chan struct{}), make(chan struct{})
	rig.plan(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && strings.HasSuffix(op.Path, ".seg") {
			waiting <- struct{}{}
			<-permit
		}
		return nil
	})
	return s, waiting, permit
}

// eventually polls.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	look := time.NewTicker(100 * time.Microsecond)
	defer look.Stop()
	for end := time.Now().Add(time.Minute); !ok(); <-look.C {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// TestGroupCommit puts many batches while one is being synced: they are
// committed together.
func TestGroupCommit(t *testing.T) {
	s, waiting, permit := gated(t, 1<<20)
	var wg sync.WaitGroup
	var raws [][]byte
	put := func(seed uint64) {
		batch, r := chunkstest.Batch(seed, 2, 1000)
		raws = append(raws, r...)
		wg.Go(func() {
			if err := s.Put(context.Background(), batch); err != nil {
				t.Error(err)
			}
		})
	}
	put(1)
	<-waiting
	for seed := range uint64(20) {
		put(seed + 2)
	}
	put(5) // a chunk twice in a group
	eventually(t, "20 batches wait", func() bool { return s.queue.length() == 21 })
	permit <- struct{}{}
	<-waiting
	permit <- struct{}{}
	wg.Wait()
	if st := s.Stats(); st.Syncs != 2 || st.Written != 42 {
		t.Errorf("%d groups wrote %d chunks, want 2 and 42", st.Syncs, st.Written)
	}
	chunkstest.Check(t, s, raws)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestQueueIsBounded fills the queue: a Put beyond its bound waits, and ends
// with its context.
func TestQueueIsBounded(t *testing.T) {
	s, waiting, permit := gated(t, 1500)
	var wg sync.WaitGroup
	var done atomic.Int32
	put := func(ctx context.Context, seed uint64, want error) {
		raw := chunkstest.Random(seed, 1000)
		wg.Go(func() {
			if err := s.Put(ctx, []chunks.Chunk{chunkstest.Encode(raw)}); !errors.Is(err, want) {
				t.Errorf("Put %d: %v, want %v", seed, err, want)
			}
			done.Add(1)
		})
	}
	put(t.Context(), 1, nil)
	<-waiting
	put(t.Context(), 2, nil)
	queued, cancelQueued := context.WithCancel(t.Context())
	put(queued, 3, context.Canceled)
	eventually(t, "two wait", func() bool { return s.queue.length() == 2 })
	outside, cancelOutside := context.WithCancel(t.Context())
	put(outside, 4, context.Canceled)
	cancelOutside()
	eventually(t, "the Put outside gives up", func() bool { return done.Load() == 1 })
	if n := s.queue.length(); n != 2 {
		t.Errorf("%d batches wait beyond the bound", n)
	}
	cancelQueued()
	eventually(t, "the queued Put gives up", func() bool { return done.Load() == 2 })
	put(t.Context(), 5, nil) // there is room again
	eventually(t, "two wait", func() bool { return s.queue.length() == 2 })
	permit <- struct{}{}
	<-waiting
	permit <- struct{}{}
	wg.Wait()
	chunkstest.Check(t, s, [][]byte{chunkstest.Random(1, 1000), chunkstest.Random(2, 1000), chunkstest.Random(5, 1000)})
	if st := s.Stats(); st.Chunks != 3 {
		t.Errorf("%d chunks, want 3", st.Chunks)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestPutWaitsForWhatIsWritten ends a context while its batch is written: the
// caller's bytes are in use, so Put returns the result.
func TestPutWaitsForWhatIsWritten(t *testing.T) {
	s, waiting, permit := gated(t, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	batch, raws := chunkstest.Batch(1, 2, 1000)
	result := make(chan error)
	go func() { result <- s.Put(ctx, batch) }()
	<-waiting
	cancel()
	select {
	case err := <-result:
		t.Fatalf("Put returned while its bytes are read: %v", err)
	case permit <- struct{}{}:
	}
	if err := <-result; err != nil {
		t.Errorf("Put: %v", err)
	}
	chunkstest.Check(t, s, raws)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestNamesOfDirectories: a store whose making failed, when the names of its
// directories could not be synced, is not taken for durable the next time because
// the directories are there.
func TestNamesOfDirectories(t *testing.T) {
	for _, dir := range []string{"store", "store/segments"} {
		rig := &faultRig{}
		mem := vfs.NewCrashableMem()
		must(t, mem.MkdirAll("data", 0o700))
		root, err := mem.OpenDir("")
		must(t, err)
		must(t, errors.Join(root.Sync(), root.Close()))
		o := small(errorfs.Wrap(mem, rig), "data/store")
		parent := path.Dir("data/" + dir)
		rig.plan(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileSync && path.Clean(op.Path) == parent {
				return syscall.EIO
			}
			return nil
		})
		if s, err := Open(t.Context(), o); !errors.Is(err, syscall.EIO) {
			t.Fatalf("Open: %v, %v", s, err)
		}
		rig.plan(nil)
		s := open(t, o)
		batch, raws := chunkstest.Batch(1, 3, 1000)
		must(t, s.Put(t.Context(), batch))
		after := open(t, small(mem.CrashClone(vfs.CrashCloneCfg{}), "data/store"))
		present, _ := state(t, after, raws)
		for i, p := range present {
			if !p {
				t.Errorf("the name of %s was not synced: chunk %d was acknowledged and is lost", dir, i)
			}
		}
		must(t, errors.Join(s.Close(), after.Close()))
	}
}
