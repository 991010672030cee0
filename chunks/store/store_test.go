package store

import (
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
