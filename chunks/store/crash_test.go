package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/chunkstest"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// crashRig runs a store on a file system that forgets what was not synced, and
// crashes it, in a copy, before every operation that changes the disk.
type crashRig struct {
	t    *testing.T
	mem  *vfs.MemFS
	rng  *rand.Rand
	keep int // percent of what was not synced that a crash leaves

	mu      sync.Mutex // held during a crash, so that operations stand still
	acked   [][]byte   // contents whose Put has returned nil
	tried   [][]byte   // all contents
	crashes int
	failed  bool
}

// MaybeError crashes a copy of the disk and checks what is found on it.
func (r *crashRig) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsRead || op.Kind == errorfs.OpFileClose {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed {
		return nil // one crash explains the fault
	}
	r.crashes++
	clone := r.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.keep, RNG: r.rng})
	what := fmt.Sprintf("crash %d, before %v of %s", r.crashes, op.Kind, op.Path)
	r.failed = !r.check(clone, what)
	return nil
}

func (r *crashRig) String() string { return "crash before every change" }

// check opens the store on a disk after a crash: nothing that was acknowledged
// is lost, and what is said to be there is there.
func (r *crashRig) check(disk vfs.FS, what string) bool {
	ctx := context.Background()
	s, err := Open(ctx, small(disk, "store"))
	if err != nil {
		r.t.Errorf("%s: Open: %v", what, err)
		return false
	}
	ok := true
	fail := func(format string, args ...any) {
		r.t.Errorf("%s: %s", what, fmt.Sprintf(format, args...))
		ok = false
	}
	acked := make(map[chunks.ID]bool)
	for _, raw := range r.acked {
		acked[chunks.Sum(raw)] = true
	}
	var b chunks.Buffer
	held := uint64(0)
	for _, raw := range r.tried {
		id := chunks.Sum(raw)
		present := make([]bool, 1)
		if err := s.Has(ctx, []chunks.ID{id}, present); err != nil {
			fail("Has: %v", err)
		}
		err := s.Get(ctx, id, &b)
		switch {
		case present[0] && err != nil:
			fail("a chunk that is said to be present: %v", err)
		case acked[id] && err != nil:
			fail("an acknowledged chunk: %v", err)
		case err != nil && !errors.Is(err, chunks.ErrNotFound):
			fail("Get: %v", err)
		}
		if present[0] {
			held++
		}
	}
	if got := s.Stats().Chunks; got != held {
		fail("the store counts %d chunks and holds %d", got, held)
	}
	// It goes on working, from where it is.
	if batch, raws := chunkstest.Batch(999, 2, 1000); ok {
		if err := s.Put(ctx, batch); err != nil {
			fail("Put after the crash: %v", err)
		} else {
			chunkstest.Check(r.t, s, raws)
		}
	}
	if err := s.Close(); err != nil {
		fail("Close: %v", err)
	}
	return ok
}

// put stores a batch and notes that it was acknowledged. Any goroutine may.
func (r *crashRig) put(s *Store, batch []chunks.Chunk, raws [][]byte) {
	r.mu.Lock()
	r.tried = append(r.tried, raws...)
	r.mu.Unlock()
	if err := s.Put(r.t.Context(), batch); err != nil {
		r.t.Errorf("Put: %v", err)
		return
	}
	r.mu.Lock()
	r.acked = append(r.acked, raws...)
	r.mu.Unlock()
}

// TestCrashes is method C of the design's reliability: a crash at every write,
// sync and change of a name, keeping nothing, half, or all of what was not
// synced.
func TestCrashes(t *testing.T) {
	for _, keep := range []int{0, 50, 100} {
		t.Run(fmt.Sprintf("keep %d%%", keep), func(t *testing.T) {
			t.Parallel()
			r := &crashRig{t: t, mem: vfs.NewCrashableMem(), keep: keep, rng: rand.New(rand.NewPCG(uint64(keep), 7))}
			o := small(errorfs.Wrap(r.mem, r), "store")
			seed := uint64(1)
			// Twice: made anew, and opened again after a clean close. The
			// contents of a round fill more than one segment, and one batch
			// crosses from a segment to the next.
			for range 2 {
				s := open(t, o)
				for i := range 4 {
					n, length := 3, 3000
					if i == 2 {
						n, length = 6, 120_000
					}
					batch, raws := chunkstest.Batch(seed, n, length)
					seed++
					r.put(s, batch, raws)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if r.crashes < 50 {
				t.Errorf("only %d crashes", r.crashes)
			}
			t.Logf("%d crashes", r.crashes)
		})
	}
}

// TestCrashesOfRecovery crashes while a lost index is built again.
func TestCrashesOfRecovery(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := open(t, small(mem, "store"))
	r := &crashRig{t: t, mem: mem, keep: 30, rng: rand.New(rand.NewPCG(1, 8))}
	for seed := range uint64(3) {
		batch, raws := chunkstest.Batch(seed+1, 5, 100_000)
		r.put(s, batch, raws)
	}
	// The crash leaves the last segment unsealed.
	r.mem = mem.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(r.mem, "store", rebuildName, ""); err != nil {
		t.Fatal(err)
	}
	s = open(t, small(errorfs.Wrap(r.mem, r), "store"))
	chunkstest.Check(t, s, r.acked)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crashes", r.crashes)
}

// TestConcurrentCrashes crashes now and then while many write at once.
func TestConcurrentCrashes(t *testing.T) {
	r := &crashRig{t: t, mem: vfs.NewCrashableMem(), keep: 50, rng: rand.New(rand.NewPCG(3, 9))}
	calls := 0
	sometimes := errorfs.InjectorFunc(func(op errorfs.Op) error {
		r.mu.Lock()
		calls++
		crash := calls%7 == 0 && strings.Contains(op.Path, "store")
		r.mu.Unlock()
		if crash {
			return r.MaybeError(op)
		}
		return nil
	})
	s := open(t, small(errorfs.Wrap(r.mem, sometimes), "store"))
	var wg sync.WaitGroup
	for w := range uint64(4) {
		wg.Go(func() {
			for i := range uint64(6) {
				batch, raws := chunkstest.Batch(10+w*10+i, 3, 20_000)
				r.put(s, batch, raws)
			}
		})
	}
	wg.Wait()
	chunkstest.Check(t, s, r.acked)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
