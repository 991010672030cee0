package raftfsm

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// machine is the state and what an entry of the log does to it; it knows
// entries, not raft. Its methods belong to one goroutine, except that the
// config, the catalog and applied are read from any.
type machine struct {
	dbs     *databases
	root    *stateDir
	name    string // of the database in root
	db      *pebble.DB
	closing sync.Mutex // held while db is replaced, and while flushAhead uses it
	config  *state.Config
	catalog *catalog.Catalog

	applied  atomic.Uint64 // index whose effects readers see
	sessions map[uint64]*raftfsmpb.Session
}

// openMachine opens the state in root. When it is behind the newest snapshot,
// which raft will go on from, or missing, it is made from that snapshot.
func openMachine(dbs *databases, root *stateDir, snapshots *snapshotStore) (*machine, error) {
	m := &machine{dbs: dbs, root: root, config: state.New()}
	newest, haveSnapshot, err := snapshots.newest()
	if err != nil {
		return nil, err
	}
	m.name, err = root.current()
	if err != nil {
		return nil, err
	}
	if m.name != "" {
		if m.db, err = dbs.open(root.path(m.name)); err != nil {
			return nil, fmt.Errorf("%w (a state that is damaged is made again from the newest snapshot and the raft log when the directory %s is moved away)", err, root.dir)
		}
		index, _, err := readApplied(m.db)
		if err != nil {
			return nil, errors.Join(err, m.db.Close())
		}
		if haveSnapshot && index < newest.Applied {
			dbs.logger.Info("state is behind the newest snapshot and is restored from it",
				"applied", index, "snapshot", newest.ID, "snapshot_applied", newest.Applied)
			if err := m.db.Close(); err != nil {
				return nil, fmt.Errorf("close old state: %w", err)
			}
			m.db = nil
		}
	}
	if m.db == nil {
		if haveSnapshot {
			m.name, m.db, err = m.fromSnapshot(snapshots.data(newest.ID), newest)
		} else {
			m.name, m.db, err = m.empty()
		}
		if err != nil {
			return nil, err
		}
	}
	if err := m.begin(); err != nil {
		return nil, errors.Join(err, m.db.Close())
	}
	return m, nil
}

// begin reads the database that was opened.
func (m *machine) begin() error {
	if err := m.root.sweep(m.name); err != nil {
		return err
	}
	s, err := load(m.db)
	if err != nil {
		return fmt.Errorf("load state: %w", err)
	}
	if m.catalog, err = catalog.New(m.db); err != nil {
		return fmt.Errorf("load catalog: %w", err)
	}
	return m.take(s)
}

// take makes what was read of a database the state in memory.
func (m *machine) take(s *stored) error {
	if err := m.config.Load(s.revision, s.config); err != nil {
		return err
	}
	m.setSelf()
	m.sessions = s.sessions
	m.applied.Store(s.index)
	return nil
}

// setSelf tells the catalog who this site is.
func (m *machine) setSelf() {
	site, _, _ := m.config.Site()
	m.catalog.SetSelf(m.config.SiteID(), site.GetEpoch(), state.Since(site))
}

// empty makes an empty database the current one.
func (m *machine) empty() (name string, db *pebble.DB, err error) {
	if name, err = m.root.fresh(); err != nil {
		return "", nil, err
	}
	if db, err = m.dbs.create(m.root.path(name)); err != nil {
		return "", nil, err
	}
	if err := m.root.switchTo(name); err != nil {
		return "", nil, errors.Join(err, db.Close())
	}
	return name, db, nil
}

// fromSnapshot makes a copy of a snapshot's directory the current database.
// Until the pointer to it is written nothing has changed.
func (m *machine) fromSnapshot(dir string, meta snapshotMeta) (name string, db *pebble.DB, err error) {
	if name, err = m.root.fresh(); err != nil {
		return "", nil, err
	}
	path := m.root.path(name)
	defer func() {
		if err != nil {
			err = fmt.Errorf("restore snapshot %s: %w", meta.ID, err)
			if rerr := m.dbs.fs.RemoveAll(path); rerr != nil {
				err = errors.Join(err, rerr)
			}
		}
	}()
	if err := cloneTree(m.dbs.fs, dir, path); err != nil {
		return "", nil, err
	}
	if db, err = m.dbs.open(path); err != nil {
		return "", nil, err
	}
	index, _, err := readApplied(db)
	if err == nil && index != meta.Applied {
		err = fmt.Errorf("its state has applied entry %d, not %d", index, meta.Applied)
	}
	if err == nil {
		err = m.root.switchTo(name)
	}
	if err != nil {
		return "", nil, errors.Join(err, db.Close())
	}
	return name, db, nil
}

// restore replaces the whole state by a snapshot's, under the catalog and the
// config that readers hold. When it fails with halt false, the old state is
// still in use.
func (m *machine) restore(dir string, meta snapshotMeta) (halt bool, err error) {
	name, db, err := m.fromSnapshot(dir, meta)
	if err != nil {
		return false, err
	}
	// The pointer names the new state: from here on there is no way back.
	m.closing.Lock()
	defer m.closing.Unlock()
	old := m.db
	m.db, m.name = db, name
	s, err := load(db)
	if err == nil {
		err = m.catalog.Swap(db)
	}
	if err == nil {
		err = m.take(s)
	}
	if err != nil {
		return true, fmt.Errorf("restore snapshot %s: %w", meta.ID, err)
	}
	if err := old.Close(); err != nil {
		m.dbs.logger.Warn("old state was not closed cleanly", "cause", err)
	}
	if err := m.root.sweep(name); err != nil {
		m.dbs.logger.Warn("old state was not removed", "cause", err)
	}
	return false, nil
}

// flushAhead writes the memtables to disk so that the flush of a checkpoint,
// during which nothing is applied, finds little left. Any goroutine may call it.
func (m *machine) flushAhead() error {
	m.closing.Lock()
	defer m.closing.Unlock()
	return m.db.Flush()
}

// checkpoint makes a durable copy of the state, of hard links, in a directory
// that must not exist.
func (m *machine) checkpoint(dir string) error {
	if err := m.db.Flush(); err != nil {
		return fmt.Errorf("flush state: %w", err)
	}
	if err := m.db.Checkpoint(dir); err != nil {
		return fmt.Errorf("checkpoint state: %w", err)
	}
	return nil
}

// close flushes the state, so that the next start replays nothing, and closes
// it. No reader may use the catalog any more.
func (m *machine) close() error {
	err := m.db.Flush()
	if cerr := m.db.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("close state: %w", err)
	}
	return nil
}
