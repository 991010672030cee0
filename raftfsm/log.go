package raftfsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// raftLog is the raft log of a replica and its node's vote, a [raft.LogStore]
// and [raft.StableStore] in a Pebble of its own. An append is one record of the
// write-ahead log and one sync of it. The memtable is wide enough that most
// entries are compacted away before they would be written a second time.
//
// Methods may be called from any goroutine; appends and deletions are serialised.
type raftLog struct {
	db    *pebble.DB
	cache *pebble.Cache
	lock  *pebble.Lock

	mu          sync.RWMutex
	first, last uint64 // both 0 while there is no entry
}

// Keys of the log's Pebble. Numbers are big-endian.
var (
	logFormatKey = []byte{'f'} // 4 bytes, logFormat
	logEntryKey  = byte('l')   // index: an entry, see appendLogValue
	logStableKey = byte('s')   // name: a value that raft itself keeps
)

const (
	logFormat   = 1
	logMemtable = 16 << 20
	logCache    = 1 << 20 // raft keeps the newest entries itself
)

var (
	_ raft.LogStore          = (*raftLog)(nil)
	_ raft.StableStore       = (*raftLog)(nil)
	_ raft.MonotonicLogStore = (*raftLog)(nil)
)

// openLog opens or creates the raft log in a directory, which is locked against
// a second process. The caller closes it.
func openLog(fs vfs.FS, dir string, logger *slog.Logger) (_ *raftLog, err error) {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create raft log %s: %w", dir, err)
	}
	lock, err := pebble.LockDirectory(dir, fs)
	if err != nil {
		return nil, fmt.Errorf("lock raft log %s, which may be in use by another process: %w", dir, err)
	}
	l := &raftLog{lock: lock, cache: pebble.NewCache(logCache)}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	logger = logger.With("component", "raft log")
	l.db, err = pebble.Open(dir, &pebble.Options{
		FS:     fs,
		Lock:   lock,
		Cache:  l.cache,
		Logger: pebbleLogger{logger},
		// Who meets the damage gets an error too; without this Pebble panics.
		EventListener: &pebble.EventListener{DataCorruption: func(i pebble.DataCorruptionInfo) {
			logger.Error("raft log is damaged", "file", i.Path, "cause", i.Details)
		}},
		MemTableSize:                logMemtable,
		MemTableStopWritesThreshold: 2,
		MaxOpenFiles:                64,
		FormatMajorVersion:          pebble.FormatNewest,
	})
	if err != nil {
		return nil, fmt.Errorf("open raft log %s: %w", dir, err)
	}
	if err := l.checkFormat(); err != nil {
		return nil, fmt.Errorf("open raft log %s: %w", dir, err)
	}
	if err := l.findEnds(); err != nil {
		return nil, fmt.Errorf("open raft log %s: %w", dir, err)
	}
	return l, nil
}

// checkFormat makes sure that this program wrote the log, and signs a new one.
func (l *raftLog) checkFormat() error {
	raw, err := get(l.db, logFormatKey)
	switch {
	case err != nil:
		return err
	case raw == nil:
		if err := l.db.Set(logFormatKey, binary.BigEndian.AppendUint32(nil, logFormat), pebble.Sync); err != nil {
			return err
		}
		// A new Pebble begins its first write-ahead log in an old format, in which
		// damage in the middle reads as the end. Flushing begins the next one.
		return l.db.Flush()
	case len(raw) != 4:
		return errors.New("it is not a raft log: it names no format")
	}
	if v := binary.BigEndian.Uint32(raw); v != logFormat {
		return fmt.Errorf("its format is %d, but this program knows only %d: use the program that wrote it", v, logFormat)
	}
	return nil
}

// findEnds reads the first and the last index.
func (l *raftLog) findEnds() error {
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte{logEntryKey}, UpperBound: []byte{logEntryKey + 1}})
	if err != nil {
		return err
	}
	index := func(ok bool) (n uint64) {
		if !ok || err != nil {
			return 0
		}
		if len(it.Key()) != 9 {
			err = fmt.Errorf("key %x is not that of an entry", it.Key())
			return 0
		}
		return binary.BigEndian.Uint64(it.Key()[1:])
	}
	l.first = index(it.First())
	l.last = index(it.Last())
	return errors.Join(err, it.Close())
}

// Close releases the log. It must not be used any more.
func (l *raftLog) Close() error {
	var err error
	if l.db != nil {
		err = l.db.Close()
	}
	l.cache.Unref()
	if err = errors.Join(err, l.lock.Close()); err != nil {
		return fmt.Errorf("close raft log: %w", err)
	}
	return nil
}

// IsMonotonic says that the log has no gaps: raft then drops the whole of it
// when a snapshot from another node takes its place.
func (l *raftLog) IsMonotonic() bool { return true }

// FirstIndex is the index of the oldest entry, 0 when there is none.
func (l *raftLog) FirstIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.first, nil
}

// LastIndex is the index of the newest entry, 0 when there is none.
func (l *raftLog) LastIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last, nil
}

// GetLog reads an entry. The error is raft.ErrLogNotFound when there is none of
// the index. The entry's bytes are the caller's own.
func (l *raftLog) GetLog(index uint64, entry *raft.Log) error {
	value, closer, err := l.db.Get(logKey(index))
	if errors.Is(err, pebble.ErrNotFound) {
		return raft.ErrLogNotFound
	}
	if err != nil {
		return fmt.Errorf("read raft log entry %d: %w", index, err)
	}
	defer closer.Close()
	if err := decodeLogValue(value, entry); err != nil {
		return fmt.Errorf("read raft log entry %d: %w", index, err)
	}
	entry.Index = index
	return nil
}

// StoreLog appends one entry; see StoreLogs.
func (l *raftLog) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

// StoreLogs appends entries, all or none; when it returns nil they are on disk.
// Entries that begin above the end of the log take its place: raft appends them
// after a snapshot that another node sent, and may have died before it dropped
// what that replaces. Any others that do not follow the last one are refused.
func (l *raftLog) StoreLogs(entries []*raft.Log) error {
	if len(entries) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	size := 64
	for _, e := range entries {
		size += len(e.Data) + len(e.Extensions) + 64
	}
	batch := l.db.NewBatchWithSize(size)
	defer batch.Close()
	first, last := l.first, l.last
	if last != 0 && entries[0].Index > last+1 {
		if err := batch.DeleteRange([]byte{logEntryKey}, []byte{logEntryKey + 1}, nil); err != nil {
			return fmt.Errorf("drop raft log entries %d to %d: %w", first, last, err)
		}
		first, last = 0, 0
	}
	for _, e := range entries {
		if last != 0 && e.Index != last+1 {
			return fmt.Errorf("append raft log entry %d: the log ends at %d", e.Index, last)
		}
		if first == 0 {
			first = e.Index
		}
		last = e.Index
		put := batch.SetDeferred(9, logValueSize(e))
		appendLogKey(put.Key[:0], e.Index)
		appendLogValue(put.Value[:0], e)
		if err := put.Finish(); err != nil {
			return fmt.Errorf("append raft log entry %d: %w", e.Index, err)
		}
	}
	if err := batch.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("append to raft log: %w", err)
	}
	l.first, l.last = first, last
	return nil
}

// DeleteRange drops the entries from low to high, both included, of which one
// must be an end of the log. When it returns nil they do not come back.
func (l *raftLog) DeleteRange(low, high uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == 0 || high < l.first || low > l.last || low > high {
		return nil
	}
	first, last := l.first, l.last
	switch {
	case low <= first && high >= last:
		first, last = 0, 0
	case low <= first:
		first = high + 1
	case high >= last:
		last = low - 1
	default:
		return fmt.Errorf("drop raft log entries %d to %d: the log from %d to %d would have a gap", low, high, first, last)
	}
	end := []byte{logEntryKey + 1}
	if high < math.MaxUint64 {
		end = logKey(high + 1)
	}
	if err := l.db.DeleteRange(logKey(low), end, pebble.Sync); err != nil {
		return fmt.Errorf("drop raft log entries %d to %d: %w", low, high, err)
	}
	l.first, l.last = first, last
	return nil
}

// Set keeps a value that raft names; it is on disk when Set returns nil.
func (l *raftLog) Set(name, value []byte) error {
	if err := l.db.Set(stableKey(name), value, pebble.Sync); err != nil {
		return fmt.Errorf("write raft's %s: %w", name, err)
	}
	return nil
}

// Get returns a value that raft named. It is empty when it was never set, which
// raft asks of a store in place of an error of its own.
func (l *raftLog) Get(name []byte) ([]byte, error) {
	value, err := get(l.db, stableKey(name))
	if err != nil {
		return nil, fmt.Errorf("read raft's %s: %w", name, err)
	}
	return value, nil
}

// SetUint64 is Set of a number.
func (l *raftLog) SetUint64(name []byte, value uint64) error {
	return l.Set(name, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 is Get of a number; it is 0 when it was never set.
func (l *raftLog) GetUint64(name []byte) (uint64, error) {
	value, err := l.Get(name)
	if err != nil || value == nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("read raft's %s: %d bytes, not 8", name, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

func logKey(index uint64) []byte { return appendLogKey(make([]byte, 0, 9), index) }

func appendLogKey(to []byte, index uint64) []byte {
	return binary.BigEndian.AppendUint64(append(to, logEntryKey), index)
}

func stableKey(name []byte) []byte { return append([]byte{logStableKey}, name...) }

// The value of an entry: its term (8 bytes), when the leader appended it (Unix
// nanoseconds, 8 bytes, 0 for not known), its type (1 byte), the length of its
// extensions (4 bytes), the extensions, the data.
const logValueHead = 8 + 8 + 1 + 4

func logValueSize(e *raft.Log) int { return logValueHead + len(e.Extensions) + len(e.Data) }

func appendLogValue(to []byte, e *raft.Log) []byte {
	var at int64
	if !e.AppendedAt.IsZero() {
		at = e.AppendedAt.UnixNano()
	}
	to = binary.BigEndian.AppendUint64(to, e.Term)
	to = binary.BigEndian.AppendUint64(to, uint64(at))
	to = append(to, byte(e.Type))
	to = binary.BigEndian.AppendUint32(to, uint32(len(e.Extensions)))
	return append(append(to, e.Extensions...), e.Data...)
}

// decodeLogValue is the inverse of appendLogValue, but for the index, which is the
// key. What it returns shares nothing with raw.
func decodeLogValue(raw []byte, e *raft.Log) error {
	if len(raw) < logValueHead {
		return fmt.Errorf("decode entry: %d bytes, less than %d", len(raw), logValueHead)
	}
	extensions, rest := uint64(binary.BigEndian.Uint32(raw[17:])), raw[logValueHead:]
	if extensions > uint64(len(rest)) {
		return fmt.Errorf("decode entry: extensions of %d bytes in %d", extensions, len(rest))
	}
	*e = raft.Log{
		Term: binary.BigEndian.Uint64(raw),
		Type: raft.LogType(raw[16]),
		Data: bytes.Clone(rest[extensions:]),
	}
	if extensions > 0 {
		e.Extensions = bytes.Clone(rest[:extensions])
	}
	if at := int64(binary.BigEndian.Uint64(raw[8:])); at != 0 {
		e.AppendedAt = time.Unix(0, at)
	}
	return nil
}

// checkLog compares the log with the state before raft starts, because raft
// itself would panic on a gap or apply nothing for a while.
func checkLog(log *raftLog, newest uint64, applied uint64) error {
	used, err := raft.HasExistingState(log, log, raft.NewDiscardSnapshotStore())
	if err != nil {
		return fmt.Errorf("read raft log: %w", err)
	}
	if !used && (newest > 0 || applied > 0) {
		// It held this node's vote too: going on could elect two leaders.
		return fmt.Errorf("raft log is empty, but there is state up to entry %d: the log was lost; restore this node's data directory or join it anew", max(newest, applied))
	}
	// Raft goes on from the newest snapshot, so the log must reach back to it.
	if log.first > newest+1 {
		return fmt.Errorf("raft log begins at entry %d, but the newest snapshot ends at %d: a snapshot is missing; restore this node's data directory or join it anew", log.first, newest)
	}
	if end := max(log.last, newest); applied > end {
		return fmt.Errorf("state has applied entry %d, but the raft log ends at %d: the log is older than the state; restore this node's data directory or join it anew", applied, end)
	}
	return nil
}
