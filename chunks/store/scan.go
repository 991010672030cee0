package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"edgefog.dev/isgw/chunks"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// windowSize is the length in bytes of a scan's reads.
const windowSize = 1 << 20

// sectorSize is how far a scan moves on from a place that cannot be read.
const sectorSize = 4096

// window reads a file from front to back.
type window struct {
	file vfs.File
	size int64
	off  int64 // where buf begins in the file
	buf  []byte
	mem  []byte
}

// at returns n bytes from off, or fewer at the file's end. They are valid until
// the next call.
func (w *window) at(off int64, n int) ([]byte, error) {
	n = int(min(int64(n), w.size-off))
	if n <= 0 {
		return nil, nil
	}
	if off < w.off || off+int64(n) > w.off+int64(len(w.buf)) {
		if err := w.read(off, int(min(windowSize, w.size-off))); err != nil {
			// Perhaps only a later part of the window cannot be read.
			if err := w.read(off, n); err != nil {
				return nil, err
			}
		}
	}
	start := int(off - w.off)
	return w.buf[start : start+n], nil
}

func (w *window) read(off int64, n int) error {
	w.off, w.buf = off, w.mem[:n]
	if _, err := w.file.ReadAt(w.buf, off); err != nil && !errors.Is(err, io.EOF) {
		w.buf = w.buf[:0]
		return fmt.Errorf("read segment: %w", err)
	}
	return nil
}

// scanner finds the records of segments.
type scanner struct {
	codec *chunks.Codec
	win   window
	buf   chunks.Buffer
	// unread is where the last scan first met something that could not be read:
	// a record that begins there, or later, may have been passed over although the
	// disk has it. noneUnread when all was read.
	unread int64
}

const noneUnread = math.MaxInt64

// scan calls fn for each record at or after from whose bytes are verified to be
// the chunk that its header names, with where the record begins and ends.
// Anything else is passed over: after bytes that are no record it looks for the
// next place that begins one, so damage costs what it hits and no more. It
// returns the end of the last verified record, or from, and the number of bytes
// passed over before that. What of them could not be read sc.unread tells.
func (sc *scanner) scan(
	ctx context.Context, f vfs.File, size, from int64, fn func(rec record, start, end int64) error,
) (end, skipped int64, err error) {
	if sc.win.mem == nil {
		sc.win.mem = make([]byte, windowSize)
	}
	sc.win = window{file: f, size: size, mem: sc.win.mem}
	sc.unread = noneUnread
	end = from
	for off := from; off < size; {
		if err := ctx.Err(); err != nil {
			return 0, 0, fmt.Errorf("scan segment: %w", err)
		}
		rec, next := sc.record(off)
		if next == 0 {
			off = sc.search(off + 1)
			continue
		}
		skipped += off - end
		if err := fn(rec, off, next); err != nil {
			return 0, 0, err
		}
		off, end = next, next
	}
	return end, skipped, nil
}

// record returns the verified record at off and its end, or 0.
func (sc *scanner) record(off int64) (record, int64) {
	header, err := sc.win.at(off, recordHeaderSize)
	if err != nil {
		sc.unread = min(sc.unread, off)
		return record{}, 0
	}
	rec, ok := parseRecordHeader(header)
	if !ok {
		return record{}, 0
	}
	data, err := sc.win.at(off+recordHeaderSize, int(rec.storedLen))
	if err != nil {
		sc.unread = min(sc.unread, off)
	}
	if err != nil || len(data) < int(rec.storedLen) {
		return record{}, 0
	}
	sc.buf.Chunk = chunks.Chunk{ID: rec.id, Encoding: rec.encoding, RawLen: rec.rawLen, Data: data}
	if sc.codec.Decode(&sc.buf) != nil {
		return record{}, 0
	}
	return rec, off + recordHeaderSize + int64(rec.storedLen)
}

// search returns the next place at or after off with a record's magic, or the
// file's end.
func (sc *scanner) search(off int64) int64 {
	for off < sc.win.size {
		p, err := sc.win.at(off, windowSize/2)
		if err != nil {
			// It may be a later part that cannot be read: sector by sector, with what
			// of a magic may lie in the next one.
			sc.unread = min(sc.unread, off)
			next := (off/sectorSize + 1) * sectorSize
			if p, err = sc.win.at(off, int(next-off)+len(recordMagic)-1); err != nil {
				p, err = sc.win.at(off, int(next-off))
			}
			if err != nil {
				off = next
				continue
			}
		}
		if i := bytes.Index(p, []byte(recordMagic)); i >= 0 {
			return off + int64(i)
		}
		// The magic may lie across the end of p.
		off += int64(max(1, len(p)-len(recordMagic)+1))
	}
	return sc.win.size
}
