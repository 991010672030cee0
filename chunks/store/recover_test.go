package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/chunkstest"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// filled makes a store on disk with chunks in at least three segments, closed.
func filled(t *testing.T) (o Options, raws [][]byte) {
	t.Helper()
	o = small(quickDisk, t.TempDir())
	s := open(t, o)
	for seed := range uint64(4) {
		batch, r := chunkstest.Batch(seed+1, 6, 100_000)
		if err := s.Put(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		raws = append(raws, r...)
	}
	closeStore(t, s)
	if n := len(segments(t, o)); n < 3 {
		t.Fatalf("only %d segments", n)
	}
	return o, raws
}

func closeStore(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// segments returns the paths of the segments in order.
func segments(t *testing.T, o Options) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(o.Dir, segmentsName, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	return paths
}

// flip changes a byte of a file.
func flip(t *testing.T, path string, off int64) {
	t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p[off] ^= 0x10
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
}

// state returns which of the contents s holds, and fails the test when what Has
// says and what Get gives differ.
func state(t *testing.T, s *Store, raws [][]byte) (present []bool, count int) {
	t.Helper()
	var b chunks.Buffer
	for _, raw := range raws {
		p := make([]bool, 1)
		if err := s.Has(t.Context(), []chunks.ID{chunks.Sum(raw)}, p); err != nil {
			t.Fatal(err)
		}
		if err := s.Get(t.Context(), chunks.Sum(raw), &b); p[0] != (err == nil) {
			t.Fatalf("present %v, Get: %v", p[0], err)
		}
		present = append(present, p[0])
		if p[0] {
			count++
		}
	}
	return present, count
}

// repair puts all contents again and expects all to be there, now and later.
func repair(t *testing.T, o Options, s *Store, raws [][]byte) {
	t.Helper()
	var batch []chunks.Chunk
	for _, raw := range raws {
		batch = append(batch, chunkstest.Encode(raw))
	}
	if err := s.Put(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	chunkstest.Check(t, s, raws)
	if st := s.Stats(); st.Chunks != uint64(len(raws)) {
		t.Errorf("the store counts %d chunks and holds %d", st.Chunks, len(raws))
	}
	closeStore(t, s)
	s = open(t, o)
	chunkstest.Check(t, s, raws)
	var bytes uint64
	n := uint64(0)
	err := s.index.locations(t.Context(), func(_ chunks.ID, loc location) error {
		bytes += uint64(loc.storedLen)
		n++
		return nil
	})
	if st := s.Stats(); err != nil || st.Bytes != bytes || st.Chunks != n {
		t.Errorf("the store counts %d bytes in %d chunks and holds %d in %d: %v", st.Bytes, st.Chunks, bytes, n, err)
	}
	closeStore(t, s)
}

func TestIndexIsBuiltAgain(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, index string){
		"removed": func(t *testing.T, index string) {
			if err := os.RemoveAll(index); err != nil {
				t.Fatal(err)
			}
		},
		"manifest cut short": func(t *testing.T, index string) {
			m, _ := filepath.Glob(filepath.Join(index, "MANIFEST-*"))
			if err := os.Truncate(m[len(m)-1], 10); err != nil {
				t.Fatal(err)
			}
		},
		"manifest gone": func(t *testing.T, index string) {
			m, _ := filepath.Glob(filepath.Join(index, "MANIFEST-*"))
			for _, path := range m {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
		},
		"marker gone": func(t *testing.T, index string) {
			m, _ := filepath.Glob(filepath.Join(index, "marker.*"))
			for _, path := range m {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
		},
		"asked for": func(t *testing.T, index string) {
			if err := os.WriteFile(filepath.Join(index, "..", rebuildName), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, raws := filled(t)
			spoil(t, filepath.Join(o.Dir, indexName))
			s := open(t, o)
			chunkstest.Check(t, s, raws)
			if st := s.Stats(); st.Written != 0 {
				t.Errorf("%d chunks were written to build the index", st.Written)
			}
			if _, err := os.Stat(filepath.Join(o.Dir, rebuildName)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the request to build the index is still there: %v", err)
			}
			repair(t, o, s, raws)
		})
	}
}

// TestIndexDamagedWhileOpen checks that a damaged table, found when it is read,
// makes the next Open build the index again.
func TestIndexDamagedWhileOpen(t *testing.T) {
	o, raws := filled(t)
	s := open(t, o)
	if err := s.index.db.Flush(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	tables, _ := filepath.Glob(filepath.Join(o.Dir, indexName, "*.sst"))
	if len(tables) == 0 {
		t.Fatal("no tables")
	}
	for _, path := range tables {
		flip(t, path, 20) // in the first block of data
	}
	s, err := Open(t.Context(), o)
	if err == nil {
		var b chunks.Buffer
		failed := 0
		for _, raw := range raws {
			if s.Get(t.Context(), chunks.Sum(raw), &b) != nil {
				failed++
			}
		}
		if failed == 0 {
			t.Error("no read noticed the damage")
		}
		_ = s.Close()
	}
	s = open(t, o)
	repair(t, o, s, raws)
}

// TestDamagedSegments spoils segments in every way, with the index present and
// lost: what was hit is absent or an error, all else is there, and putting the
// contents again repairs.
func TestDamagedSegments(t *testing.T) {
	const data = segmentHeaderSize + recordHeaderSize
	for name, spoil := range map[string]func(t *testing.T, path string) (lostAtMost int){
		"flipped data":    func(t *testing.T, path string) int { flip(t, path, data+3); return 1 },
		"flipped header":  func(t *testing.T, path string) int { flip(t, path, segmentHeaderSize+20); return 1 },
		"flipped magic":   func(t *testing.T, path string) int { flip(t, path, segmentHeaderSize); return 1 },
		"segment header":  func(t *testing.T, path string) int { flip(t, path, 2); return 0 },
		"removed":         func(t *testing.T, path string) int { must(t, os.Remove(path)); return 24 },
		"empty":           func(t *testing.T, path string) int { must(t, os.Truncate(path, 0)); return 24 },
		"cut by one byte": func(t *testing.T, path string) int { must(t, os.Truncate(path, size(t, path)-1)); return 1 },
		"cut in half":     func(t *testing.T, path string) int { must(t, os.Truncate(path, size(t, path)/2)); return 24 },
		"garbage after":   func(t *testing.T, path string) int { grow(t, path, chunkstest.Random(77, 5000)); return 0 },
		"zeros after":     func(t *testing.T, path string) int { grow(t, path, make([]byte, 3<<20)); return 0 },
		"torn after": func(t *testing.T, path string) int {
			c := chunkstest.Encode(chunkstest.Random(78, 5000))
			grow(t, path, append(appendRecordHeader(nil, &c), c.Data[:100]...))
			return 0
		},
	} {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, index lost %v", name, lost), func(t *testing.T) {
				t.Parallel()
				o, raws := filled(t)
				most := spoil(t, segments(t, o)[1])
				if lost {
					must(t, os.RemoveAll(filepath.Join(o.Dir, indexName)))
				}
				s := open(t, o)
				var b chunks.Buffer
				for _, raw := range raws { // finds the damage
					if err := s.Get(t.Context(), chunks.Sum(raw), &b); err != nil && !errors.Is(err, chunks.ErrCorrupt) && !errors.Is(err, chunks.ErrNotFound) {
						t.Errorf("Get: %v", err)
					}
				}
				_, count := state(t, s, raws)
				if count < len(raws)-most {
					t.Errorf("%d chunks of %d are left, at most %d were hit", count, len(raws), most)
				}
				if most > 0 && count == len(raws) && name != "flipped header" && name != "flipped magic" {
					t.Error("nothing noticed the damage")
				}
				repair(t, o, s, raws)
			})
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Size()
}

func grow(t *testing.T, path string, tail []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.Write(tail)
	must(t, errors.Join(err, f.Close()))
}

// TestLostSegmentIsAbsentAtOnce checks that Has does not report a chunk of a
// segment that is gone, before anything tried to read it.
func TestLostSegmentIsAbsentAtOnce(t *testing.T) {
	o, raws := filled(t)
	must(t, os.Remove(segments(t, o)[0]))
	s := open(t, o)
	_, count := state(t, s, raws)
	if count == len(raws) || count == 0 {
		t.Errorf("%d chunks of %d are present", count, len(raws))
	}
	repair(t, o, s, raws)
}

// TestMarkOfDamageIsKept reads a damaged chunk once and asks in a new Open.
func TestMarkOfDamageIsKept(t *testing.T) {
	o, raws := filled(t)
	flip(t, segments(t, o)[0], segmentHeaderSize+recordHeaderSize)
	s := open(t, o)
	id := chunks.Sum(raws[0])
	var b chunks.Buffer
	for range 2 {
		if err := s.Get(t.Context(), id, &b); !errors.Is(err, chunks.ErrCorrupt) {
			t.Errorf("Get: %v", err)
		}
	}
	if st := s.Stats(); st.Corrupt != 2 {
		t.Errorf("%d damaged reads counted", st.Corrupt)
	}
	closeStore(t, s)
	s = open(t, o)
	if present, _ := state(t, s, raws); present[0] {
		t.Error("the damaged chunk is present again")
	}
	damaged := 0
	must(t, s.index.locations(t.Context(), func(_ chunks.ID, loc location) error {
		if loc.damaged {
			damaged++
		}
		return nil
	}))
	if damaged != 1 {
		t.Errorf("%d chunks are listed as damaged", damaged)
	}
	repair(t, o, s, raws)
}

// TestStoredFormIsChecked reads the stored form of chunks whose records were
// spoiled: it is refused as Get refuses it, and of a record without a check, as
// the first versions wrote it, it is what Get returns.
func TestStoredFormIsChecked(t *testing.T) {
	const data = segmentHeaderSize + recordHeaderSize
	withoutCheck := func(p []byte) {
		header := p[segmentHeaderSize:data]
		header[5], header[6], header[7] = 0, 0, 0
		binary.LittleEndian.PutUint32(header[48:], crc32.Checksum(header[:48], castagnoli))
	}
	for _, c := range []struct {
		name    string
		spoil   func(p []byte)
		damaged bool
	}{
		{"nothing", func([]byte) {}, false},
		{"first byte", func(p []byte) { p[data] ^= 1 }, true},
		{"a later byte", func(p []byte) { p[data+20] ^= 0x80 }, true},
		{"no check", withoutCheck, false},
		{"no check, and damage", func(p []byte) { withoutCheck(p); p[data+20] ^= 1 }, true},
		{"check alone", func(p []byte) { p[segmentHeaderSize+6] ^= 1 }, false},
		{"header alone", func(p []byte) { p[segmentHeaderSize+20] ^= 1 }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := small(vfs.Default, t.TempDir())
			raw := chunkstest.Random(5, 1000)
			s := open(t, o)
			must(t, s.Put(t.Context(), []chunks.Chunk{chunkstest.Encode(raw)}))
			closeStore(t, s)
			path := segments(t, o)[0]
			p, err := os.ReadFile(path)
			must(t, err)
			c.spoil(p)
			must(t, os.WriteFile(path, p, 0o600))

			s = open(t, o)
			var b chunks.Buffer
			err = s.GetStored(t.Context(), chunks.Sum(raw), &b)
			switch {
			case c.damaged && !errors.Is(err, chunks.ErrCorrupt):
				t.Errorf("GetStored of a damaged chunk: %v", err)
			case !c.damaged && err != nil:
				t.Errorf("GetStored: %v", err)
			case !c.damaged && !bytes.Equal(b.Chunk.Data, raw):
				t.Error("GetStored returned other bytes")
			}
			if present, _ := state(t, s, [][]byte{raw}); present[0] == c.damaged {
				t.Errorf("present %v after GetStored of a chunk that is damaged: %v", present[0], c.damaged)
			}
			closeStore(t, s)
		})
	}
}

// TestPreallocatedTailIsFreed looks at the blocks of segments on the disk.
func TestPreallocatedTailIsFreed(t *testing.T) {
	o := small(vfs.Default, t.TempDir())
	o.SegmentSize = 8 << 20
	blocks := func(path string) int64 {
		var st syscall.Stat_t
		must(t, syscall.Stat(path, &st))
		return st.Blocks * 512
	}
	batch, raws := chunkstest.Batch(1, 2, 1000)
	s := open(t, o)
	must(t, s.Put(t.Context(), batch))
	path := segments(t, o)[0]
	if blocks(path) < o.SegmentSize {
		t.Skip("the file system of the temporary directory does not preallocate")
	}
	closeStore(t, s)
	if n := blocks(path); n >= 1<<20 {
		t.Errorf("after Close the segment of %d bytes takes %d", size(t, path), n)
	}
	// The next segment is left as a crash leaves it: preallocated, unsealed.
	f, err := vfs.Default.Create(filepath.Join(o.Dir, segmentsName, segmentName(7)), writeCategory)
	must(t, err)
	must(t, f.Preallocate(0, o.SegmentSize))
	more, moreRaws := chunkstest.Batch(2, 1, 1000)
	p := append(appendRecordHeader(appendSegmentHeader(nil, 7), &more[0]), more[0].Data...)
	_, err = f.Write(append(p, make([]byte, 100)...))
	must(t, errors.Join(err, f.Close()))
	s = open(t, o)
	chunkstest.Check(t, s, append(raws, moreRaws...))
	path = segments(t, o)[1]
	if n := blocks(path); n >= 1<<20 || size(t, path) != int64(len(p)) {
		t.Errorf("after recovery the segment of %d bytes, %d long, takes %d", len(p), size(t, path), n)
	}
	closeStore(t, s)
}

func TestTwoProcesses(t *testing.T) {
	o := small(vfs.Default, t.TempDir())
	s := open(t, o)
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("second Open: %v", err)
	}
	closeStore(t, s)
	closeStore(t, open(t, o))
}

func TestUnknownFormat(t *testing.T) {
	o, _ := filled(t)
	must(t, os.WriteFile(filepath.Join(o.Dir, formatName), []byte("isgw chunk store 2\n"), 0o600))
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "store 2") {
		t.Errorf("Open: %v", err)
	}
}

// TestOpenEnds ends a recovery by its context and repeats it.
func TestOpenEnds(t *testing.T) {
	o, raws := filled(t)
	must(t, os.RemoveAll(filepath.Join(o.Dir, indexName)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
	s := open(t, o)
	repair(t, o, s, raws)
}

// TestManySegmentsFewFiles reads more segments than may be open.
func TestManySegmentsFewFiles(t *testing.T) {
	o, raws := filled(t)
	o.MaxOpenSegments = 1
	s := open(t, o)
	for range 2 {
		chunkstest.Check(t, s, raws)
	}
	if n := len(s.readers.open); n > 1 {
		t.Errorf("%d segments are open", n)
	}
	closeStore(t, s)
}

// TestFailedGroupIsCutOff fails a sync on a real file: what the index knows of
// the segment stays, what follows is cut off, and a segment of which it knows
// nothing is removed.
func TestFailedGroupIsCutOff(t *testing.T) {
	rig := &faultRig{}
	o := small(errorfs.Wrap(quickDisk, rig), t.TempDir())
	o.SegmentSize = 1 << 20
	s := open(t, o)
	first, raws := chunkstest.Batch(1, 3, 10_000)
	must(t, s.Put(t.Context(), first))
	path := segments(t, o)[0]
	before := size(t, path)
	second, more := chunkstest.Batch(2, 3, 10_000)
	rig.plan(fail(errorfs.OpFileSyncData, ".seg", syscall.EIO))
	for range 2 { // the second time in a new segment
		if err := s.Put(t.Context(), second); !errors.Is(err, syscall.EIO) {
			t.Fatalf("Put: %v", err)
		}
	}
	if hits := rig.plan(nil); hits != 2 {
		t.Errorf("%d faults were hit", hits)
	}
	if got := size(t, path); got != before {
		t.Errorf("the segment is %d bytes long, %d were indexed", got, before)
	}
	if got := segments(t, o); len(got) != 1 {
		t.Errorf("segments %v are left", got)
	}
	chunkstest.Check(t, s, raws)
	repair(t, o, s, append(raws, more...))
}
