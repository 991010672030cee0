package store

import (
	"errors"
	"fmt"
	"log/slog"
	"math"

	"edgefog.dev/isgw/chunks"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The defaults of Options.
const (
	DefaultSegmentSize     = 256 << 20
	DefaultFilterBytes     = 16 << 20
	DefaultIndexCacheBytes = 32 << 20
	DefaultGroupBytes      = 32 << 20
	DefaultIndexSyncBytes  = 32 << 20
	DefaultReserveBytes    = 256 << 20
	DefaultMaxOpenSegments = 256
)

// minSegmentSize holds one chunk of any length.
const minSegmentSize = segmentHeaderSize + recordHeaderSize + chunks.MaxRaw

// Options are a store's settings. A field of zero takes its default.
type Options struct {
	// Dir is the store's directory, made when it does not exist. Required.
	Dir string
	// FS is the file system that Dir is on: vfs.Default unless a test
	// simulates one.
	FS vfs.FS
	// SegmentSize is the length in bytes at which a segment is full and the
	// next is started, less than 4 GiB. It may change from one Open to
	// another.
	SegmentSize int64
	// FilterBytes is the memory of the filter of IDs. 16 MiB keep a look-up
	// of an unknown chunk off the index 99 times in 100 up to about ten
	// million chunks, and ever less often beyond.
	FilterBytes int64
	// IndexCacheBytes is the memory of the index's block cache.
	IndexCacheBytes int64
	// GroupBytes bounds the encoded bytes that wait while a group is
	// committed; a Put beyond it waits for its turn. It costs no memory of
	// the store's own: the bytes are the callers'.
	GroupBytes int64
	// IndexSyncBytes is how much of a segment may be ahead of what the disk
	// holds of the index. It bounds what Open reads again after a crash, and
	// costs a sync each time; a segment's end always is one.
	IndexSyncBytes int64
	// ReserveBytes is disk space left for the index and for what refers to the
	// chunks, so that a full disk stops Put and nothing else. -1 reserves nothing.
	ReserveBytes int64
	// MaxOpenSegments bounds the files held open for reading.
	MaxOpenSegments int
	// Codec verifies chunks. A store made without one makes its own; a
	// process should share one, because it holds the zstd memory.
	Codec *chunks.Codec
	// Logger receives what an operator should know: recovery, damage, lack
	// of space. Default slog.Default.
	Logger *slog.Logger
}

// withDefaults returns o with every zero field set.
func (o Options) withDefaults() Options {
	setDefault(&o.SegmentSize, DefaultSegmentSize)
	setDefault(&o.FilterBytes, DefaultFilterBytes)
	setDefault(&o.IndexCacheBytes, DefaultIndexCacheBytes)
	setDefault(&o.GroupBytes, DefaultGroupBytes)
	setDefault(&o.IndexSyncBytes, DefaultIndexSyncBytes)
	setDefault(&o.ReserveBytes, DefaultReserveBytes)
	setDefault(&o.MaxOpenSegments, DefaultMaxOpenSegments)
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports every fault of the options at once. Fields of zero are
// valid, except Dir.
func (o Options) Validate() error {
	o = o.withDefaults()
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(o.Dir != "", "Dir is not set")
	check(o.SegmentSize >= minSegmentSize && o.SegmentSize <= math.MaxUint32,
		"SegmentSize %d is not within %d to %d", o.SegmentSize, int64(minSegmentSize), int64(math.MaxUint32))
	check(o.FilterBytes >= filterBlockBytes, "FilterBytes %d is less than %d", o.FilterBytes, filterBlockBytes)
	check(o.IndexCacheBytes >= 1<<20, "IndexCacheBytes %d is less than 1 MiB", o.IndexCacheBytes)
	check(o.GroupBytes >= 1, "GroupBytes %d is not positive", o.GroupBytes)
	check(o.IndexSyncBytes >= 1, "IndexSyncBytes %d is not positive", o.IndexSyncBytes)
	check(o.ReserveBytes >= -1, "ReserveBytes %d is negative", o.ReserveBytes)
	check(o.MaxOpenSegments >= 1, "MaxOpenSegments %d is not positive", o.MaxOpenSegments)
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("check chunk store options: %w", errors.Join(faults...))
}
