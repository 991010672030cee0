package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"

	"edgefog.dev/isgw/chunks"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// The index's keys: one chunk, one segment, the counts.
const (
	chunkPrefix   = 'c' // followed by the ID; the value is a location
	segmentPrefix = 's' // followed by the number, big-endian; the value is a mark
	countsKey     = "n" // chunks and bytes held, 8 bytes each
)

// errIndexFailed says that the index cannot be written any more.
var errIndexFailed = errors.New("chunk index failed; open the store again")

// mark is what the index knows of a segment: that every record before end is
// indexed, and whether the segment is sealed, so that nothing follows.
type mark struct {
	end    int64
	sealed bool
}

// index is the Pebble database of locations.
type index struct {
	db *pebble.DB
	// failed is set when a write failed: what is durable is then unknown.
	failed atomic.Bool
}

// openIndex opens or makes the index in dir. damaged is called at most once at
// a time when Pebble finds a table of the index damaged.
func openIndex(dir string, o *Options, damaged func(error)) (*index, error) {
	// One entry takes about 100 bytes, so a memtable is some 80,000 chunks, and
	// at most two full ones are in the log to be replayed. Pebble takes their
	// room out of its cache.
	const memtable, memtables = 8 << 20, 3
	cache := pebble.NewCache(o.IndexCacheBytes + memtables*memtable)
	defer cache.Unref() // the database holds it as long as it needs
	opts := &pebble.Options{
		FS:                          o.FS,
		Cache:                       cache,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                memtable,
		MemTableStopWritesThreshold: memtables,
		MaxOpenFiles:                200,
		WALBytesPerSync:             512 << 10,
		Logger:                      indexLogger{o.Logger},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { o.Logger.Error("chunk index: background work failed", "err", err) },
			DataCorruption:  func(info pebble.DataCorruptionInfo) { damaged(info.Details) },
		},
	}
	// IDs are random, so nothing is gained by compressing them.
	opts.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("open chunk index: %w", err)
	}
	return &index{db: db}, nil
}

// close closes the database. After a failure Pebble may refuse or panic, and
// there is nothing left to save.
func (x *index) close() (err error) {
	defer func() {
		if p := recover(); p != nil {
			if !x.failed.Load() {
				panic(p)
			}
			err = fmt.Errorf("close chunk index: %v", p)
		}
	}()
	if err := x.db.Close(); err != nil {
		return fmt.Errorf("close chunk index: %w", err)
	}
	return nil
}

// indexLogger hands Pebble's messages on.
type indexLogger struct{ log *slog.Logger }

// indexFatal is the panic of a failure after which Pebble must not go on.
type indexFatal struct{ msg string }

func (l indexLogger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("chunk index: " + fmt.Sprintf(format, args...))
	}
}

func (l indexLogger) Errorf(format string, args ...any) {
	l.log.Error("chunk index: " + fmt.Sprintf(format, args...))
}

// Fatalf must not return. In a commit the panic is recovered and fails the
// store's writes; in Pebble's background work it ends the process, as Pebble's
// own logger would, because its state cannot be trusted then.
func (l indexLogger) Fatalf(format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	l.log.Error("chunk index: " + msg)
	panic(indexFatal{msg})
}

func chunkKey(buf *[1 + chunks.IDSize]byte, id *chunks.ID) []byte {
	buf[0] = chunkPrefix
	copy(buf[1:], id[:])
	return buf[:]
}

func segmentKey(no uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{segmentPrefix}, no)
}

// lookup returns where a chunk lies, and false when the index has it not.
func (x *index) lookup(id *chunks.ID) (location, bool, error) {
	var buf [1 + chunks.IDSize]byte
	value, closer, err := x.db.Get(chunkKey(&buf, id))
	if errors.Is(err, pebble.ErrNotFound) {
		return location{}, false, nil
	}
	if err != nil {
		return location{}, false, fmt.Errorf("look up chunk %s: %w", id, err)
	}
	loc, ok := parseLocation(value)
	if !ok {
		err = fmt.Errorf("look up chunk %s: malformed location %x", id, value)
	}
	if err := errors.Join(err, closer.Close()); err != nil {
		return location{}, false, err
	}
	return loc, true, nil
}

// update is a set of changes to the index that is committed as one.
type update struct {
	x     *index
	batch *pebble.Batch
	err   error
}

func (x *index) update() *update { return &update{x: x, batch: x.db.NewBatch()} }

func (u *update) set(key, value []byte) {
	if u.err == nil {
		u.err = u.batch.Set(key, value, nil)
	}
}

func (u *update) setLocation(id *chunks.ID, loc location) {
	var key [1 + chunks.IDSize]byte
	var value [locationSize]byte
	u.set(chunkKey(&key, id), loc.appendTo(value[:0]))
}

func (u *update) setMark(no uint32, m mark) {
	value := binary.LittleEndian.AppendUint64(nil, uint64(m.end))
	sealed := byte(0)
	if m.sealed {
		sealed = 1
	}
	u.set(segmentKey(no), append(value, sealed))
}

func (u *update) setCounts(held, bytes uint64) {
	value := binary.LittleEndian.AppendUint64(nil, held)
	u.set([]byte(countsKey), binary.LittleEndian.AppendUint64(value, bytes))
}

// discard frees the update, and drops the changes unless they are committed.
func (u *update) discard() { _ = u.batch.Close() }

// commit makes the changes durable, or, when sync is false, leaves that to a
// later commit. An error is final: it is unknown whether the changes will be
// there after a restart.
func (u *update) commit(sync bool) (err error) {
	if u.err != nil {
		u.discard()
		return fmt.Errorf("write chunk index: %w", u.err)
	}
	defer func() {
		if p := recover(); p != nil {
			f, ok := p.(indexFatal)
			if !ok {
				panic(p)
			}
			u.x.failed.Store(true)
			err = fmt.Errorf("write chunk index: %s: %w", f.msg, errIndexFailed)
		}
	}()
	if u.x.failed.Load() {
		return fmt.Errorf("write chunk index: %w", errIndexFailed)
	}
	opts := pebble.NoSync
	if sync {
		opts = pebble.Sync
	}
	if err := u.batch.Commit(opts); err != nil {
		u.x.failed.Store(true)
		return fmt.Errorf("write chunk index: %w: %w", err, errIndexFailed)
	}
	// The changes are made, so nothing that follows may be an error.
	u.discard()
	return nil
}

// counts returns what the store holds.
func (x *index) counts() (held, bytes uint64, err error) {
	value, closer, err := x.db.Get([]byte(countsKey))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read chunk index: %w", err)
	}
	if len(value) == 16 {
		held, bytes = binary.LittleEndian.Uint64(value), binary.LittleEndian.Uint64(value[8:])
	}
	if err := closer.Close(); err != nil {
		return 0, 0, fmt.Errorf("read chunk index: %w", err)
	}
	return held, bytes, nil
}

// marks returns what the index knows of every segment.
func (x *index) marks(ctx context.Context) (map[uint32]mark, error) {
	out := make(map[uint32]mark)
	err := x.scan(ctx, segmentPrefix, func(key, value []byte) error {
		if len(key) != 4 || len(value) != 9 {
			return fmt.Errorf("read chunk index: malformed mark %x of segment %x", value, key)
		}
		out[binary.BigEndian.Uint32(key)] = mark{
			end:    int64(binary.LittleEndian.Uint64(value)),
			sealed: value[8] != 0,
		}
		return nil
	})
	return out, err
}

// locations calls fn for every chunk of the index as it is now, by ID.
func (x *index) locations(ctx context.Context, fn func(chunks.ID, location) error) error {
	return x.scan(ctx, chunkPrefix, func(key, value []byte) error {
		id, err := chunks.IDFromBytes(key)
		if err != nil {
			return fmt.Errorf("read chunk index: %w", err)
		}
		loc, ok := parseLocation(value)
		if !ok {
			return fmt.Errorf("read chunk index: malformed location %x of chunk %s", value, id)
		}
		return fn(id, loc)
	})
}

// scan calls fn for every key of a prefix, without the prefix.
func (x *index) scan(ctx context.Context, prefix byte, fn func(key, value []byte) error) error {
	it, err := x.db.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: []byte{prefix},
		UpperBound: []byte{prefix + 1},
	})
	if err != nil {
		return fmt.Errorf("read chunk index: %w", err)
	}
	n := 0
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			err = fmt.Errorf("read chunk index: %w", ctx.Err())
			break
		}
		err = fn(it.Key()[1:], it.Value())
	}
	if closeErr := it.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("read chunk index: %w", closeErr)
	}
	return err
}

// isDamaged reports whether an error of openIndex means that the index's files
// do not form a database, so that it must be made again.
func isDamaged(err error) bool {
	return pebble.IsCorruptionError(err) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, pebble.ErrDBNotPristine)
}
