//go:build !linux

package store

import "github.com/cockroachdb/pebble/v2/vfs"

// truncate does nothing here: segments are not preallocated, and records after
// the indexed end are never read.
func truncate(vfs.File, int64) error { return nil }

// startWriting does nothing here.
func startWriting(vfs.File, int64, int64) {}

// dropCache does nothing here.
func dropCache(vfs.File) {}
