package store

import (
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/chunkstest"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// badDisk is a file system that cannot read some places of segments.
type badDisk struct {
	vfs.FS
	bad *atomic.Pointer[[][2]int64] // from and to, of each
}

func (d badDisk) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.OpenReadWrite(name, c, opts...)
	if err == nil && strings.HasSuffix(name, ".seg") {
		f = badFile{f, d.bad}
	}
	return f, err
}

type badFile struct {
	vfs.File
	bad *atomic.Pointer[[][2]int64]
}

func (f badFile) ReadAt(p []byte, off int64) (int, error) {
	for _, b := range *f.bad.Load() {
		if off < b[1] && off+int64(len(p)) > b[0] {
			return 0, syscall.EIO
		}
	}
	return f.File.ReadAt(p, off)
}

// TestUnreadableWhileRecovering: what the disk could not read when the store was
// opened after a crash, and can read later, is not lost. It was acknowledged, and
// its index was not on the disk yet.
func TestUnreadableWhileRecovering(t *testing.T) {
	const length = 20_000
	batch, raws := chunkstest.Batch(1, 6, length)
	record := func(i int64) int64 { // where it begins in the segment
		at := int64(segmentHeaderSize)
		for j := range i {
			at += recordHeaderSize + int64(len(batch[j].Data))
		}
		return at
	}
	for what, bad := range map[string][][2]int64{
		"all of the segment":     {{0, 1 << 40}},
		"the first record":       {{record(0), record(0) + 1}},
		"within a record":        {{record(2) + 5000, record(2) + 5001}},
		"the end of the records": {{record(4), 1 << 40}},
		"two places":             {{record(1) + 100, record(1) + 101}, {record(4) + 100, record(4) + 101}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewCrashableMem()
			s := open(t, small(mem, "store"))
			for i := range batch { // in this order in the segment
				must(t, s.Put(t.Context(), batch[i:i+1]))
			}
			crashed := mem.CrashClone(vfs.CrashCloneCfg{})
			must(t, s.Close())

			disk := badDisk{crashed, new(atomic.Pointer[[][2]int64])}
			disk.bad.Store(&bad)
			s = open(t, small(disk, "store"))
			more, moreRaws := chunkstest.Batch(2, 3, length)
			must(t, s.Put(t.Context(), more))
			readable := 0
			for i := range int64(6) {
				hit := false
				for _, b := range bad {
					hit = hit || record(i) < b[1] && record(i+1) > b[0]
				}
				present := make([]bool, 1)
				must(t, s.Has(t.Context(), []chunks.ID{batch[i].ID}, present))
				if present[0] == hit {
					t.Errorf("record %d is said to be present: %v", i, present[0])
				}
				if !hit {
					readable++
				}
			}
			if got := s.Stats().Chunks; got != uint64(readable+3) {
				t.Errorf("%d chunks, want %d", got, readable+3)
			}
			must(t, s.Close())

			disk.bad.Store(&[][2]int64{})
			for range 2 { // the second time from sealed segments
				s = open(t, small(disk, "store"))
				chunkstest.Check(t, s, slices.Concat(raws, moreRaws))
				if got := s.Stats().Chunks; got != 9 {
					t.Errorf("%d chunks in the end, want 9", got)
				}
				must(t, s.Close())
			}
		})
	}
}
