package raftfsm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// stateDir is the directory of the Pebble in use. A restore builds the new
// Pebble in a fresh subdirectory and makes it the current one by replacing a
// pointer file, so that after a crash either the old state or the new one is
// there, whole.
//
//	CURRENT     the name of the subdirectory in use, and a newline
//	db-000007/  a Pebble
type stateDir struct {
	fs  vfs.FS
	dir string
}

const (
	currentName = "CURRENT"
	dbPrefix    = "db-"
	tmpSuffix   = ".tmp"
	category    = vfs.WriteCategoryUnspecified
)

// openStateDir makes the directory if it is missing.
func openStateDir(fs vfs.FS, dir string) (*stateDir, error) {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create state directory: %w", err)
	}
	return &stateDir{fs: fs, dir: dir}, syncDir(fs, fs.PathDir(dir))
}

func (s *stateDir) path(name string) string { return s.fs.PathJoin(s.dir, name) }

// current is the name of the subdirectory in use, or "" when there is none.
func (s *stateDir) current() (string, error) {
	raw, err := readFile(s.fs, s.path(currentName), 1024)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read state pointer: %w", err)
	}
	name := strings.TrimSuffix(string(raw), "\n")
	if _, ok := dbNumber(name); !ok {
		return "", fmt.Errorf("read state pointer: %s holds %q, which names no database", s.path(currentName), name)
	}
	return name, nil
}

// fresh is a name that no subdirectory has.
func (s *stateDir) fresh() (string, error) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return "", fmt.Errorf("list state directory: %w", err)
	}
	var last uint64
	for _, name := range names {
		if n, ok := dbNumber(name); ok {
			last = max(last, n)
		}
	}
	return fmt.Sprintf("%s%06d", dbPrefix, last+1), nil
}

// switchTo makes a subdirectory the current one. Its content must be synced.
func (s *stateDir) switchTo(name string) error {
	if err := writeFileSync(s.fs, s.path(currentName), []byte(name+"\n")); err != nil {
		return fmt.Errorf("write state pointer: %w", err)
	}
	return nil
}

// sweep removes everything but the pointer and the subdirectory it names.
func (s *stateDir) sweep(current string) error {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return fmt.Errorf("list state directory: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		if _, ok := dbNumber(name); ok && name != current || strings.HasSuffix(name, tmpSuffix) {
			if err := s.fs.RemoveAll(s.path(name)); err != nil {
				return fmt.Errorf("remove old state: %w", err)
			}
		}
	}
	return nil
}

func dbNumber(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, dbPrefix)
	if !ok || len(digits) < 6 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// writeFileSync replaces a file by one with this content; after a crash the
// file is the old one or the new one, and after it returns it is the new one.
func writeFileSync(fs vfs.FS, path string, content []byte) error {
	tmp := path + tmpSuffix
	f, err := fs.Create(tmp, category)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := fs.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(fs, fs.PathDir(path))
}

// readFile reads a whole file of at most limit bytes.
func readFile(fs vfs.FS, path string, limit int64) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, limit)
	}
	return raw, nil
}

// syncDir makes the names in a directory durable.
func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// syncTree makes every file of a directory durable, and its names.
func syncTree(fs vfs.FS, dir string) error {
	names, err := dataFiles(fs, dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := fs.Open(fs.PathJoin(dir, name))
		if err != nil {
			return err
		}
		err = f.Sync()
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	return syncDir(fs, dir)
}

// dataFiles lists the files that make a Pebble directory, ordered. The lock
// file is none of them.
func dataFiles(fs vfs.FS, dir string) ([]string, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "LOCK" })
	slices.Sort(names)
	return names, nil
}

// cloneTree fills a new directory with a Pebble directory's files: tables are
// immutable and linked, everything else is copied. The result is synced.
func cloneTree(fs vfs.FS, from, to string) error {
	if err := fs.MkdirAll(to, 0o700); err != nil {
		return err
	}
	names, err := dataFiles(fs, from)
	if err != nil {
		return err
	}
	for _, name := range names {
		src, dst := fs.PathJoin(from, name), fs.PathJoin(to, name)
		if strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob") {
			err = vfs.LinkOrCopy(fs, src, dst)
		} else {
			err = vfs.Copy(fs, src, dst)
		}
		if err != nil {
			return err
		}
	}
	if err := syncTree(fs, to); err != nil {
		return err
	}
	return syncDir(fs, fs.PathDir(to))
}
