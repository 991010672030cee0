package raftfsm

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"github.com/zeebo/blake3"
)

// keepSnapshots is how many snapshots stay on disk.
const keepSnapshots = 2

// snapshotStore is raft's store of snapshots. A snapshot is a directory:
//
//	000000000000000a-0000000000003039-0000/
//	  data/  a Pebble directory, whose tables are hard links while they are shared
//	  META   the snapshot's description, and its sum
//
// named by term, index and a number that makes it unique. A directory whose
// name ends in .tmp is not a snapshot yet. Everything in a snapshot is synced
// before its directory gets its name, and nothing in it changes afterwards.
//
// A snapshot taken here costs links, not bytes; the bytes are read only when a
// follower needs them, as the stream that [streamReader] makes.
type snapshotStore struct {
	fs     vfs.FS
	dir    string
	logger *slog.Logger
	// inspect opens a Pebble directory and returns the index it has applied.
	inspect func(dir string) (applied uint64, err error)

	checkpoints atomic.Uint64 // number made, to name them

	mu      sync.Mutex
	readers map[string]int // open streams of a snapshot, which keep it
}

// snapshotMeta is the content of META. Applied is the last entry in the state;
// it can be below the snapshot's index, because raft has entries of its own
// that never reach the state.
type snapshotMeta struct {
	raft.SnapshotMeta
	Applied uint64
}

func openSnapshotStore(fs vfs.FS, dir string, logger *slog.Logger, inspect func(string) (uint64, error)) (*snapshotStore, error) {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create snapshot directory: %w", err)
	}
	if err := syncDir(fs, fs.PathDir(dir)); err != nil {
		return nil, fmt.Errorf("create snapshot directory: %w", err)
	}
	s := &snapshotStore{fs: fs, dir: dir, logger: logger, inspect: inspect, readers: map[string]int{}}
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, tmpSuffix) { // of a process that ended meanwhile
			if err := fs.RemoveAll(s.path(name)); err != nil {
				return nil, fmt.Errorf("remove unfinished snapshot: %w", err)
			}
		}
	}
	return s, s.reap()
}

func (s *snapshotStore) path(elem ...string) string {
	return s.fs.PathJoin(append([]string{s.dir}, elem...)...)
}

func (s *snapshotStore) data(id string) string { return s.path(id, "data") }

// checkpointDir names a directory for a checkpoint, which becomes part of a
// snapshot by a rename or is removed.
func (s *snapshotStore) checkpointDir() string {
	return s.path(fmt.Sprintf("checkpoint-%d%s", s.checkpoints.Add(1), tmpSuffix))
}

// Create implements raft.SnapshotStore. The snapshot exists once the sink was
// closed.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	if version != raft.SnapshotVersionMax {
		return nil, fmt.Errorf("create snapshot: unsupported version %d", version)
	}
	id, err := s.newID(index, term)
	if err != nil {
		return nil, fmt.Errorf("create snapshot: %w", err)
	}
	tmp := s.path(id + tmpSuffix)
	if err := s.fs.MkdirAll(tmp, 0o700); err != nil {
		return nil, fmt.Errorf("create snapshot: %w", err)
	}
	return &snapshotSink{store: s, tmp: tmp, meta: snapshotMeta{SnapshotMeta: raft.SnapshotMeta{
		Version: version, ID: id, Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex,
	}}}, nil
}

func (s *snapshotStore) newID(index, term uint64) (string, error) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return "", err
	}
	for n := 0; ; n++ {
		id := fmt.Sprintf("%016x-%016x-%04d", term, index, n)
		if !slices.Contains(names, id) && !slices.Contains(names, id+tmpSuffix) {
			return id, nil
		}
	}
}

// List implements raft.SnapshotStore: newest first. A snapshot whose
// description is damaged is reported and left out.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	metas, err := s.list()
	out := make([]*raft.SnapshotMeta, len(metas))
	for i := range metas {
		out[i] = &metas[i].SnapshotMeta
	}
	return out, err
}

func (s *snapshotStore) list() ([]snapshotMeta, error) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var metas []snapshotMeta
	for _, name := range names {
		if strings.HasSuffix(name, tmpSuffix) {
			continue
		}
		meta, err := s.readMeta(name)
		if err != nil {
			s.logger.Error("snapshot cannot be used", "directory", s.path(name), "cause", err)
			continue
		}
		metas = append(metas, meta)
	}
	slices.SortFunc(metas, func(a, b snapshotMeta) int {
		return cmp.Or(cmp.Compare(b.Index, a.Index), cmp.Compare(b.Term, a.Term), cmp.Compare(b.ID, a.ID))
	})
	return metas, nil
}

// newest is the description of the newest snapshot; ok is false when there is
// none.
func (s *snapshotStore) newest() (meta snapshotMeta, ok bool, err error) {
	metas, err := s.list()
	if err != nil || len(metas) == 0 {
		return snapshotMeta{}, false, err
	}
	return metas[0], true, nil
}

// Open implements raft.SnapshotStore. The reader is an *openSnapshot: a
// follower is sent what it reads, a restore on this node uses its directory.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	meta, err := s.readMeta(id)
	if err != nil {
		return nil, nil, fmt.Errorf("open snapshot %s: %w", id, err)
	}
	files, err := streamFiles(s.fs, s.data(id))
	if err != nil {
		return nil, nil, fmt.Errorf("open snapshot %s: %w", id, err)
	}
	if size := streamSize(files); size != meta.Size {
		return nil, nil, fmt.Errorf("open snapshot %s: its files make %d bytes, not %d", id, size, meta.Size)
	}
	s.readers[id]++
	return &meta.SnapshotMeta, &openSnapshot{
		streamReader: newStreamReader(s.fs, s.data(id), files), store: s, meta: meta,
	}, nil
}

// openSnapshot is a snapshot that stays on disk until it is closed.
type openSnapshot struct {
	*streamReader
	store  *snapshotStore
	meta   snapshotMeta
	closed bool
}

// Close lets the snapshot be removed.
func (o *openSnapshot) Close() error {
	if o.closed {
		return nil
	}
	o.closed = true
	err := o.streamReader.Close()
	s := o.store
	s.mu.Lock()
	if s.readers[o.meta.ID]--; s.readers[o.meta.ID] == 0 {
		delete(s.readers, o.meta.ID)
	}
	s.mu.Unlock()
	return errors.Join(err, s.reap())
}

// reap removes all but the newest snapshots and those that are being read.
func (s *snapshotStore) reap() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	metas, err := s.list()
	if err != nil || len(metas) <= keepSnapshots {
		return err
	}
	for _, meta := range metas[keepSnapshots:] {
		if s.readers[meta.ID] > 0 {
			continue
		}
		// Renamed it is no snapshot any more, wherever the removal stops.
		tmp := s.path(meta.ID + tmpSuffix)
		if err := s.fs.Rename(s.path(meta.ID), tmp); err != nil {
			return fmt.Errorf("remove old snapshot: %w", err)
		}
		if err := s.fs.RemoveAll(tmp); err != nil {
			return fmt.Errorf("remove old snapshot: %w", err)
		}
	}
	return syncDir(s.fs, s.dir)
}

func (s *snapshotStore) readMeta(id string) (snapshotMeta, error) {
	raw, err := readFile(s.fs, s.path(id, "META"), 1<<20)
	if errors.Is(err, os.ErrNotExist) {
		return snapshotMeta{}, fmt.Errorf("it has no description: %w", err)
	}
	if err != nil {
		return snapshotMeta{}, err
	}
	meta, err := decodeMeta(raw)
	if err == nil && meta.ID != id {
		err = fmt.Errorf("its description is of %q", meta.ID)
	}
	return meta, err
}

// encodeMeta writes a description: JSON, a newline, the hexadecimal BLAKE3-256
// of the JSON, a newline.
func encodeMeta(meta snapshotMeta) ([]byte, error) {
	body, err := json.Marshal(meta)
	if err != nil {
		return nil, err
	}
	sum := blake3.Sum256(body)
	return fmt.Appendf(body, "\n%x\n", sum), nil
}

func decodeMeta(raw []byte) (snapshotMeta, error) {
	body, tail, ok := bytes.Cut(raw, []byte("\n"))
	sum := blake3.Sum256(body)
	if !ok || string(tail) != hex.EncodeToString(sum[:])+"\n" {
		return snapshotMeta{}, errors.New("its description is damaged")
	}
	var meta snapshotMeta
	if err := json.Unmarshal(body, &meta); err != nil {
		return snapshotMeta{}, fmt.Errorf("decode its description: %w", err)
	}
	return meta, nil
}
