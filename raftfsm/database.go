package raftfsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// databases opens the Pebbles of a replica: the state in use, one that is
// restored beside it, and checkpoints that are only looked at.
type databases struct {
	fs       vfs.FS
	logger   *slog.Logger
	memtable uint64
	cache    *pebble.Cache // shared by all
}

// memtables is how many memtables of the state there are at most.
const memtables = 2

func newDatabases(o Options) *databases {
	return &databases{
		fs:       o.fs,
		logger:   o.Logger.With("component", "state"),
		memtable: o.MemtableBytes,
		// Pebble takes the room of memtables out of its cache.
		cache: pebble.NewCache(o.CacheBytes + memtables*int64(o.MemtableBytes)),
	}
}

// close releases the cache; every Pebble must have been closed.
func (d *databases) close() { d.cache.Unref() }

func (d *databases) options() *pebble.Options {
	o := &pebble.Options{
		FS:         d.fs,
		Cache:      d.cache,
		Logger:     pebbleLogger{d.logger},
		DisableWAL: true, // the raft log is the write-ahead log
		// Whoever meets the damage gets an error too; without this Pebble panics, and
		// one record that cannot be read would end the node each time it is asked for.
		EventListener: &pebble.EventListener{DataCorruption: func(i pebble.DataCorruptionInfo) {
			d.logger.Error("state is damaged", "file", i.Path, "cause", i.Details)
		}},

		MemTableSize:                d.memtable,
		MemTableStopWritesThreshold: memtables,
		MaxOpenFiles:                512,

		// Compact early: reads of heads go to L0 otherwise, and one snapshot
		// shares the more tables with the next the fewer lie in L0.
		L0CompactionThreshold: 2,
		L0StopWritesThreshold: 20,
		LBaseMaxBytes:         int64(2 * d.memtable),
		FormatMajorVersion:    pebble.FormatNewest,
	}
	o.CompactionConcurrencyRange = func() (int, int) { return 1, 2 }
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].BlockSize = 16 << 10
	}
	return o
}

// open opens a state database that exists.
func (d *databases) open(dir string) (*pebble.DB, error) {
	o := d.options()
	o.ErrorIfNotExists = true
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open state database %s: %w", dir, err)
	}
	if err := checkFormat(db); err != nil {
		return nil, errors.Join(fmt.Errorf("open state database %s: %w", dir, err), db.Close())
	}
	return db, nil
}

// create makes an empty state database that is durable.
func (d *databases) create(dir string) (*pebble.DB, error) {
	o := d.options()
	o.ErrorIfExists = true
	db, err := pebble.Open(dir, o)
	if err == nil {
		err = db.Set(keyFormat, binary.BigEndian.AppendUint32(nil, formatVersion), pebble.NoSync)
		if err == nil {
			err = db.Flush()
		}
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}
	if err == nil {
		err = syncTree(d.fs, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("create state database %s: %w", dir, err)
	}
	return db, nil
}

// inspect opens a Pebble directory without changing it and returns the last
// entry applied in it.
func (d *databases) inspect(dir string) (applied uint64, err error) {
	o := d.options()
	o.ReadOnly = true
	o.ErrorIfNotExists = true
	db, err := pebble.Open(dir, o)
	if err != nil {
		return 0, err
	}
	defer func() {
		if cerr := db.Close(); err == nil {
			err = cerr
		}
	}()
	if err := checkFormat(db); err != nil {
		return 0, err
	}
	applied, _, err = readApplied(db)
	return applied, err
}

func checkFormat(db *pebble.DB) error {
	raw, err := get(db, keyFormat)
	if err != nil {
		return err
	}
	if len(raw) != 4 {
		return errors.New("it is not a state database: it names no format")
	}
	if v := binary.BigEndian.Uint32(raw); v != formatVersion {
		return fmt.Errorf("its format is %d, but this program knows only %d: use the program that wrote it", v, formatVersion)
	}
	return nil
}

func readApplied(db pebble.Reader) (index, term uint64, err error) {
	raw, err := get(db, keyApplied)
	if err != nil || raw == nil {
		return 0, 0, err
	}
	return decodeApplied(raw)
}

// get returns a copy of a value, or nil when the key does not exist.
func get(db pebble.Reader, key []byte) ([]byte, error) {
	value, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	defer closer.Close()
	return append(make([]byte, 0, len(value)), value...), nil
}

// stored is what this package itself keeps in a state database.
type stored struct {
	index, term uint64
	revision    uint64
	config      []*statepb.Stored
	sessions    map[uint64]*raftfsmpb.Session
}

func load(db *pebble.DB) (*stored, error) {
	s := &stored{sessions: map[uint64]*raftfsmpb.Session{}}
	var err error
	if s.index, s.term, err = readApplied(db); err != nil {
		return nil, err
	}
	raw, err := get(db, keyRevision)
	if err != nil {
		return nil, err
	}
	if raw != nil {
		if len(raw) != 8 {
			return nil, fmt.Errorf("decode config revision: %d bytes, not 8", len(raw))
		}
		s.revision = binary.BigEndian.Uint64(raw)
	}
	err = each(db, keyConfig, func(value []byte) error {
		object := &statepb.Stored{}
		s.config = append(s.config, object)
		return proto.Unmarshal(value, object)
	})
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	err = each(db, keySessions, func(value []byte) error {
		session := &raftfsmpb.Session{}
		if err := proto.Unmarshal(value, session); err != nil {
			return err
		}
		s.sessions[session.GetNumber()] = session
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	return s, nil
}

// each visits the values of the keys with a prefix, in order.
func each(db *pebble.DB, prefix []byte, fn func(value []byte) error) (err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = cerr
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := fn(value); err != nil {
			return err
		}
	}
	return it.Error()
}
