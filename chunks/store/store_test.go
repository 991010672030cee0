package store

import (
	"errors"
	"log/slog"
	"testing"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/chunkstest"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// small are options for tests: little memory, segments of the least size, and
// the log discarded.
func small(fs vfs.FS, dir string) Options {
	return Options{
		Dir: dir, FS: fs, SegmentSize: minSegmentSize, FilterBytes: 64 << 10, IndexCacheBytes: 1 << 20,
		ReserveBytes: -1, Codec: chunkstest.Codec(), Logger: slog.New(slog.DiscardHandler),
	}
}

// quickFS is the disk without its syncs, for tests that end no process and cut
// no power.
type quickFS struct{ vfs.FS }

type quickFile struct{ vfs.File }

func (quickFile) Sync() error                { return nil }
func (quickFile) SyncData() error            { return nil }
func (quickFile) SyncTo(int64) (bool, error) { return false, nil }

func quick(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return quickFile{f}, nil
}

func (q quickFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return quick(q.FS.Create(name, c))
}

func (q quickFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return quick(q.FS.OpenReadWrite(name, c, o...))
}

func (q quickFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return quick(q.FS.ReuseForWrite(from, to, c))
}

func (q quickFS) OpenDir(name string) (vfs.File, error) { return quick(q.FS.OpenDir(name)) }

var quickDisk = quickFS{vfs.Default}

func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformanceOnDisk(t *testing.T) {
	chunkstest.Run(t, func(t *testing.T) chunks.Store { return open(t, small(vfs.Default, t.TempDir())) })
}

func TestConformanceInMemory(t *testing.T) {
	chunkstest.Run(t, func(t *testing.T) chunks.Store { return open(t, small(vfs.NewMem(), "store")) })
}

// TestPutRefusesWhatNoCodecMakes checks that nothing is stored that could not
// be read again.
func TestPutRefusesWhatNoCodecMakes(t *testing.T) {
	s := open(t, small(vfs.NewMem(), "store"))
	defer closeStore(t, s)
	good := chunkstest.Encode(chunkstest.Random(1, 1000))
	for name, change := range map[string]func(*chunks.Chunk){
		"zero ID":          func(c *chunks.Chunk) { c.ID = chunks.ID{} },
		"unknown encoding": func(c *chunks.Chunk) { c.Encoding = 9 },
		"no raw length":    func(c *chunks.Chunk) { c.RawLen = 0 },
		"too long":         func(c *chunks.Chunk) { c.RawLen = chunks.MaxRaw + 1 },
		"no data":          func(c *chunks.Chunk) { c.Data = nil },
		"more than raw":    func(c *chunks.Chunk) { c.RawLen = 999 },
	} {
		c := good
		change(&c)
		if err := s.Put(t.Context(), []chunks.Chunk{good, c}); !errors.Is(err, chunks.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if st := s.Stats(); st.Chunks != 0 {
		t.Errorf("%d chunks of refused batches are held", st.Chunks)
	}
}

// TestSteadyStateAllocations checks that reading allocates next to nothing.
func TestSteadyStateAllocations(t *testing.T) {
	s := open(t, small(quickDisk, t.TempDir()))
	defer closeStore(t, s)
	batch, raws := chunkstest.Batch(1, 20, 60_000)
	if err := s.Put(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	var b chunks.Buffer
	ids := make([]chunks.ID, len(batch))
	present := make([]bool, len(batch))
	for i := range batch {
		ids[i] = batch[i].ID
	}
	chunkstest.Check(t, s, raws)
	get := testing.AllocsPerRun(20, func() {
		for _, id := range ids {
			if err := s.Get(t.Context(), id, &b); err != nil {
				t.Fatal(err)
			}
		}
	}) / float64(len(ids))
	known := testing.AllocsPerRun(20, func() {
		if err := errors.Join(s.Has(t.Context(), ids, present), s.Put(t.Context(), batch)); err != nil {
			t.Fatal(err)
		}
	}) / float64(len(ids))
	t.Logf("%.2f allocations a Get, %.2f a known chunk asked for and put", get, known)
	if !raceEnabled && (get > 3 || known > 3) {
		t.Errorf("%.2f allocations a Get, %.2f a known chunk", get, known)
	}
}
