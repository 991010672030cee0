package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"edgefog.dev/isgw/chunks"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The names in a store's directory.
const (
	lockName     = "LOCK"
	formatName   = "FORMAT"
	indexName    = "index"
	segmentsName = "segments"
	// rebuildName is a file whose presence makes the next Open build the
	// index again. The store makes it when it finds the index damaged.
	rebuildName = "REBUILD-INDEX"

	formatText = "isgw chunk store 1\n"
)

// updateRecords is the number of records that recovery indexes at a time.
const updateRecords = 4096

// makeDirs makes dir and its missing parents and makes their names durable. Those of
// dir and its parent, which are the store's, are so when they were there before, too:
// whoever made them may not have come to that.
func makeDirs(fsys vfs.FS, dir string) error {
	const own = 2
	var parents []string // of what is missing or the store's, the innermost first
	for d := dir; fsys.PathDir(d) != d; d = fsys.PathDir(d) {
		if _, err := fsys.Stat(d); err == nil && len(parents) >= own {
			break
		}
		parents = append(parents, fsys.PathDir(d))
	}
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make directory %s: %w", dir, err)
	}
	for _, d := range parents {
		if err := syncDir(fsys, d); err != nil {
			return err
		}
	}
	return nil
}

// checkFormat writes the format file of a new store, and refuses a store of
// another version.
func checkFormat(fsys vfs.FS, dir string) error {
	path := fsys.PathJoin(dir, formatName)
	f, err := fsys.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return writeFile(fsys, dir, formatName, formatText)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	buf := make([]byte, len(formatText)+1)
	n, err := io.ReadFull(f, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // the buffer is longer than the file
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if got := string(buf[:n]); got != formatText {
		return fmt.Errorf("read %s: it says %q, this version knows %q", path, got, formatText)
	}
	return nil
}

// writeFile makes a small file that is there whole or not at all.
func writeFile(fsys vfs.FS, dir, name, text string) error {
	path := fsys.PathJoin(dir, name)
	f, err := fsys.Create(path+".tmp", writeCategory)
	if err != nil {
		return fmt.Errorf("create %s: %w", path, asNoSpace(err))
	}
	_, err = f.Write([]byte(text))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, asNoSpace(err))
	}
	if err := fsys.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(fsys, dir)
}

// openOrRebuild opens the index. One that is damaged, or was found to be, is
// removed, and an empty one is returned: recovery fills it from the segments.
func (s *Store) openOrRebuild() error {
	o := &s.opts
	dir := o.FS.PathJoin(o.Dir, indexName)
	_, err := o.FS.Stat(o.FS.PathJoin(o.Dir, rebuildName))
	rebuild := err == nil
	if !rebuild {
		s.index, err = openIndex(dir, o, s.indexDamaged)
		if err == nil || !isDamaged(err) {
			return err
		}
	}
	o.Logger.Error("chunk store: the index is damaged and is built again from the segments", "dir", o.Dir, "err", err)
	if err := s.removeIndex(dir, rebuild); err != nil {
		return err
	}
	s.index, err = openIndex(dir, o, s.indexDamaged)
	return err
}

// removeIndex removes the index, and then the file that asked for it.
func (s *Store) removeIndex(dir string, asked bool) error {
	o := &s.opts
	if err := o.FS.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove damaged chunk index: %w", err)
	}
	if asked {
		// The removal is durable before the request is gone.
		if err := syncDir(o.FS, o.Dir); err != nil {
			return err
		}
		if err := o.FS.Remove(o.FS.PathJoin(o.Dir, rebuildName)); err != nil {
			return fmt.Errorf("remove damaged chunk index: %w", err)
		}
	}
	return syncDir(o.FS, o.Dir)
}

// indexDamaged is told by Pebble that a table of the index is damaged. The next
// Open builds it again.
func (s *Store) indexDamaged(cause error) {
	s.opts.Logger.Error("chunk store: the index is damaged; it will be built again when the store is opened", "err", cause)
	if err := writeFile(s.opts.FS, s.opts.Dir, rebuildName, ""); err != nil {
		s.opts.Logger.Error("chunk store: request that the index is built again", "err", err)
	}
}

// recoverSegments brings the index up to date with the segments, and returns the number
// of the next segment.
func (s *Store) recoverSegments(ctx context.Context) (next uint32, err error) {
	names, err := s.opts.FS.List(s.segmentsDir)
	if err != nil {
		return 0, fmt.Errorf("list segments: %w", err)
	}
	marks, err := s.index.marks(ctx)
	if err != nil {
		return 0, err
	}
	sizes := make(map[uint32]int64)
	for _, name := range names {
		no, ok := parseSegmentName(name)
		if !ok {
			continue
		}
		info, err := s.opts.FS.Stat(s.opts.FS.PathJoin(s.segmentsDir, name))
		if err != nil {
			return 0, fmt.Errorf("inspect segment: %w", err)
		}
		sizes[no] = info.Size()
	}
	for no, m := range marks {
		next = max(next, no+1)
		// A segment that is gone, or shorter than what is indexed of it.
		if size, ok := sizes[no]; !ok || size < m.end {
			s.opts.Logger.Error("chunk store: a segment is damaged", "segment", segmentName(no), "size", size, "indexed", m.end)
			if err := s.markLost(ctx, no, size); err != nil {
				return 0, err
			}
		}
	}
	sc := &scanner{codec: s.opts.Codec}
	for _, no := range slices.Sorted(maps.Keys(sizes)) {
		next = max(next, no+1)
		if m := marks[no]; !m.sealed {
			size, err := s.recoverSegment(ctx, sc, no, m)
			if err != nil {
				return 0, err
			}
			sizes[no] = size
		}
		s.diskBytes.Add(sizes[no])
	}
	return next, nil
}

// recoverSegment indexes the records of a segment that the index does not know,
// cuts off what follows them, and seals it, unless something in it cannot be read. It
// returns the segment's size.
func (s *Store) recoverSegment(ctx context.Context, sc *scanner, no uint32, m mark) (int64, error) {
	name := segmentName(no)
	path := s.opts.FS.PathJoin(s.segmentsDir, name)
	f, err := s.opts.FS.OpenReadWrite(path, writeCategory)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", name, err)
	}
	defer f.Close() // what matters is synced below, and checked
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("inspect %s: %w", name, err)
	}
	// What is read must be what is on the disk: records that were written and
	// not synced are synced first, and the pages of a sync that failed before
	// the process ended, which the kernel may hold without having written
	// them, are dropped.
	if err := f.Sync(); err != nil {
		return 0, fmt.Errorf("sync %s: %w", name, err)
	}
	dropCache(f)
	// The index refers to a segment only after its name is durable.
	if err := syncDir(s.opts.FS, s.segmentsDir); err != nil {
		return 0, err
	}

	r := recovery{s: s, no: no, sc: sc}
	from := max(m.end, segmentHeaderSize)
	end, skipped, err := sc.scan(ctx, f, info.Size(), from, r.add)
	if err != nil {
		return 0, err
	}
	if sc.unread != noneUnread {
		// Records that were acknowledged may lie there, and the disk may give them
		// another time: the segment stays as it is, to be looked at again.
		if err := r.commit(mark{end: r.known(end)}); err != nil {
			return 0, err
		}
		s.opts.Logger.Error("chunk store: a segment cannot be read in whole, chunks in it may be missing until the store is opened again and it can",
			"segment", name, "offset", sc.unread, "records", r.total, "new", r.fresh)
		return info.Size(), nil
	}
	if r.total == 0 && m.end == 0 {
		// Nothing in it is, or ever was, indexed.
		if err := s.opts.FS.Remove(path); err != nil {
			return 0, fmt.Errorf("remove empty %s: %w", name, err)
		}
		return 0, nil
	}
	if err := truncate(f, end); err != nil {
		return 0, fmt.Errorf("cut the end off %s: %w", name, err)
	}
	if err := f.Sync(); err != nil {
		return 0, fmt.Errorf("sync %s: %w", name, err)
	}
	if err := r.commit(mark{end: end, sealed: true}); err != nil {
		return 0, err
	}
	s.opts.Logger.Info("chunk store: recovered a segment", "segment", name,
		"records", r.total, "new", r.fresh, "skipped_bytes", skipped, "cut_bytes", info.Size()-end)
	return end, nil
}

// recovery gathers a segment's records into updates of the index.
type recovery struct {
	s     *Store
	no    uint32
	sc    *scanner
	total int
	fresh int

	added map[chunks.ID]location // since the last commit
	order []chunks.ID
}

func (r *recovery) add(rec record, start, end int64) error {
	r.total++
	old, found, err := r.s.index.lookup(&rec.id)
	if err != nil {
		return err
	}
	if _, twice := r.added[rec.id]; twice || found && !old.damaged {
		return nil
	}
	if r.added == nil {
		r.added = make(map[chunks.ID]location)
	}
	r.added[rec.id] = location{
		segment: r.no, offset: uint32(start + recordHeaderSize),
		storedLen: rec.storedLen, rawLen: rec.rawLen, encoding: rec.encoding,
	}
	r.order = append(r.order, rec.id)
	if len(r.order) < updateRecords {
		return nil
	}
	return r.commit(mark{end: r.known(end)})
}

// known is the end of what needs not be looked at again when all up to end was
// scanned.
func (r *recovery) known(end int64) int64 {
	if r.sc.unread < end {
		return max(r.sc.unread, segmentHeaderSize)
	}
	return end
}

// commit indexes what was added and sets the segment's mark.
func (r *recovery) commit(m mark) error {
	s := r.s
	u := s.index.update()
	held, bytes := s.held.Load(), s.bytes.Load()
	for i := range r.order {
		id := &r.order[i]
		old, found, err := s.index.lookup(id)
		if err != nil {
			u.discard()
			return err
		}
		if found {
			bytes -= uint64(old.storedLen)
		} else {
			held++
		}
		loc := r.added[*id]
		bytes += uint64(loc.storedLen)
		u.setLocation(id, loc)
	}
	u.setCounts(held, bytes)
	u.setMark(r.no, m)
	if err := u.commit(true); err != nil {
		return err
	}
	s.held.Store(held)
	s.bytes.Store(bytes)
	r.fresh += len(r.order)
	clear(r.added)
	r.order = r.order[:0]
	return nil
}

// markLost marks every chunk as damaged that lies in a segment beyond its size,
// so that it counts as absent until it is stored again.
func (s *Store) markLost(ctx context.Context, no uint32, size int64) error {
	u := s.index.update()
	lost := 0
	err := s.index.locations(ctx, func(id chunks.ID, loc location) error {
		if loc.segment != no || int64(loc.offset)+int64(loc.storedLen) <= size || loc.damaged {
			return nil
		}
		loc.damaged = true
		u.setLocation(&id, loc)
		lost++
		return nil
	})
	if err != nil {
		u.discard()
		return err
	}
	if err := u.commit(true); err != nil {
		return err
	}
	s.opts.Logger.Error("chunk store: chunks are lost", "segment", segmentName(no), "chunks", lost)
	return nil
}
