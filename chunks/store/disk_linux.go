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

// startWriting asks the kernel to begin sending a range of a file to the disk. It
// makes nothing durable: what is written now, SyncData need not wait for.
func startWriting(f vfs.File, offset, length int64) {
	if f.Fd() != vfs.InvalidFd {
		_ = unix.SyncFileRange(int(f.Fd()), offset, length, unix.SYNC_FILE_RANGE_WRITE)
	}
}

// dropCache asks the kernel to forget the file's synced pages, so that what is
// read next comes from the disk. It is advice, and may do nothing.
func dropCache(f vfs.File) {
	if f.Fd() != vfs.InvalidFd {
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
}
