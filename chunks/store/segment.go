package store

import (
	"errors"
	"fmt"
	"syscall"

	"edgefog.dev/isgw/chunks"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// writeSize is the length in bytes of the writes to a segment.
const writeSize = 2 << 20

// writeCategory labels the store's writes for file systems that count them.
var writeCategory = vfs.WriteCategoryUnspecified

// segment is a segment being written. Only the committer touches it.
type segment struct {
	no   uint32
	file vfs.File
	size int64 // bytes appended, those in the writer's buffer included
	// written is how much of them was given to the kernel.
	written int64
	// indexed is the end of what the index knows, 0 when it knows nothing of
	// the segment: the records after it belong to the group being committed.
	indexed int64
	// synced is the end of what the disk holds of the index.
	synced int64
}

// segmentWriter appends records to segments.
type segmentWriter struct {
	fs      vfs.FS
	dir     string
	size    int64 // a segment's length
	reserve int64
	next    uint32 // the number of the next segment

	cur *segment // nil when the next record starts a segment
	buf []byte   // the end of cur that is not written yet
	// full are the segments that the group being committed has filled. They
	// are synced.
	full []*segment
	// created says that the directory was not synced since a segment was made.
	created bool
}

// append adds a chunk's record and returns its place.
func (w *segmentWriter) append(c *chunks.Chunk) (location, error) {
	n := int64(recordHeaderSize + len(c.Data))
	if w.cur != nil && w.cur.size+n > w.size {
		if err := w.fill(); err != nil {
			return location{}, err
		}
	}
	if w.cur == nil {
		if err := w.start(); err != nil {
			return location{}, err
		}
	}
	loc := location{
		segment:   w.cur.no,
		offset:    uint32(w.cur.size + recordHeaderSize),
		storedLen: uint32(len(c.Data)),
		rawLen:    c.RawLen,
		encoding:  c.Encoding,
	}
	w.buf = appendRecordHeader(w.buf, c)
	w.cur.size += n
	for data := c.Data; len(data) > 0; {
		room := min(writeSize-len(w.buf), len(data))
		if room > 0 {
			w.buf = append(w.buf, data[:room]...)
			data = data[room:]
		}
		if len(w.buf) >= writeSize {
			from := w.cur.written
			if err := w.flush(); err != nil {
				return location{}, err
			}
			// The disk begins with it while the rest of the group is gathered.
			startWriting(w.cur.file, from, w.cur.written-from)
		}
	}
	return loc, nil
}

// start makes the next segment.
func (w *segmentWriter) start() error {
	name := segmentName(w.next)
	if usage, err := w.fs.GetDiskUsage(w.dir); err == nil && int64(usage.AvailBytes) < w.size+w.reserve {
		return fmt.Errorf("create %s: %d bytes are available, a segment and the reserve take %d: %w",
			name, usage.AvailBytes, w.size+w.reserve, chunks.ErrNoSpace)
	}
	path := w.fs.PathJoin(w.dir, name)
	f, err := w.fs.Create(path, writeCategory)
	if err != nil {
		return fmt.Errorf("create %s: %w", name, asNoSpace(err))
	}
	// Where the file system cannot preallocate, writes find out about space.
	if err := f.Preallocate(0, w.size); err != nil && !preallocationMissing(err) {
		return errors.Join(
			fmt.Errorf("preallocate %s: %w", name, asNoSpace(err)), f.Close(), w.fs.Remove(path))
	}
	w.cur = &segment{no: w.next, file: f, size: segmentHeaderSize}
	w.buf = appendSegmentHeader(w.buf[:0], w.next)
	w.next++
	w.created = true
	return nil
}

// flush writes the buffer.
func (w *segmentWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	n, err := w.cur.file.Write(w.buf)
	if err != nil {
		return fmt.Errorf("write %s: %w", segmentName(w.cur.no), asNoSpace(err))
	}
	w.cur.written += int64(n)
	w.buf = w.buf[:0]
	return nil
}

// sync makes what was appended to the current segment durable.
func (w *segmentWriter) sync() error {
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.cur.file.SyncData(); err != nil {
		return fmt.Errorf("sync %s: %w", segmentName(w.cur.no), asNoSpace(err))
	}
	return nil
}

// fill ends the current segment, because the next record does not fit.
func (w *segmentWriter) fill() error {
	if err := w.sync(); err != nil {
		return err
	}
	w.full = append(w.full, w.cur)
	w.cur = nil
	return nil
}

// syncGroup makes everything durable that was appended since the last commit,
// the names of new segments included.
func (w *segmentWriter) syncGroup() error {
	if w.cur != nil && w.cur.size > w.cur.indexed {
		if err := w.sync(); err != nil {
			return err
		}
	}
	if w.created {
		if err := syncDir(w.fs, w.dir); err != nil {
			return err
		}
		w.created = false
	}
	return nil
}

// release closes a segment that gets no more records and cuts it to size, which
// frees its preallocated end; one of no size is removed.
func (w *segmentWriter) release(s *segment, size int64) error {
	err := errors.Join(truncate(s.file, size), s.file.Close())
	if size == 0 {
		err = errors.Join(err, w.fs.Remove(w.fs.PathJoin(w.dir, segmentName(s.no))))
	}
	if err != nil {
		return fmt.Errorf("close %s: %w", segmentName(s.no), err)
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open directory %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// asNoSpace adds chunks.ErrNoSpace to an error that says so.
func asNoSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", err, chunks.ErrNoSpace)
	}
	return err
}

// preallocationMissing reports whether a file system has no preallocation.
func preallocationMissing(err error) bool {
	return errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EINVAL)
}
