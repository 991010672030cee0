package store

import (
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// truncate cuts a file to size, which also gives back blocks preallocated
// beyond it. A simulated file, which has none, keeps its length.
func truncate(f vfs.File, size int64) error {
	if f.Fd() == vfs.InvalidFd {
		return nil
	}
	return unix.Ftruncate(int(f.Fd()), size)
}

// dropCache asks the kernel to forget the file's synced pages, so that what is
// read next comes from the disk. It is advice, and may do nothing.
func dropCache(f vfs.File) {
	if f.Fd() != vfs.InvalidFd {
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
}
