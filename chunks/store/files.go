package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"edgefog.dev/isgw/chunks"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// segmentName returns the file name of a segment.
func segmentName(no uint32) string { return fmt.Sprintf("%010d.seg", no) }

// parseSegmentName reads what segmentName makes.
func parseSegmentName(name string) (uint32, bool) {
	digits, ok := strings.CutSuffix(name, ".seg")
	no, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || segmentName(uint32(no)) != name {
		return 0, false
	}
	return uint32(no), true
}

// readers holds segments open for reading, at most a fixed number beyond those
// in use at the moment.
type readers struct {
	fs    vfs.FS
	dir   string
	limit int

	mu   sync.Mutex
	open map[uint32]*reader
}

// reader is a segment open for reading.
type reader struct {
	file vfs.File
	refs int // guarded by readers.mu
}

// readAt reads len(p) bytes of a segment. An error wraps chunks.ErrCorrupt when
// the bytes are not there to be read: the segment is gone or too short, or the
// disk cannot read that place.
func (r *readers) readAt(no uint32, p []byte, off int64) error {
	h, err := r.acquire(no)
	if err != nil {
		return err
	}
	defer r.release(h)
	if _, err := h.file.ReadAt(p, off); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.EIO) {
			return fmt.Errorf("read %s: %w: %w", segmentName(no), err, chunks.ErrCorrupt)
		}
		return fmt.Errorf("read %s: %w", segmentName(no), err)
	}
	return nil
}

func (r *readers) acquire(no uint32) (*reader, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.open[no]; h != nil {
		h.refs++
		return h, nil
	}
	if len(r.open) >= r.limit {
		// Any idle one will do: to open a file again takes microseconds.
		for other, h := range r.open {
			if h.refs == 0 {
				delete(r.open, other)
				_ = h.file.Close() // nothing was written through it
				break
			}
		}
	}
	name := segmentName(no)
	f, err := r.fs.Open(r.fs.PathJoin(r.dir, name), vfs.RandomReadsOption)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open %s: %w: %w", name, err, chunks.ErrCorrupt)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	h := &reader{file: f, refs: 1}
	r.open[no] = h
	return h, nil
}

func (r *readers) release(h *reader) {
	r.mu.Lock()
	h.refs--
	r.mu.Unlock()
}

// close closes all files; none may be in use.
func (r *readers) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for no, h := range r.open {
		errs = append(errs, h.file.Close())
		delete(r.open, no)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close segments: %w", err)
	}
	return nil
}
