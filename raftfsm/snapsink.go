package raftfsm

import (
	"errors"
	"fmt"
	"io"
)

// snapshotSink makes one snapshot. On the node that takes it, Persist hands a
// checkpoint over with adopt; on a follower, raft writes the leader's stream
// and the sink unpacks it as it comes. Either way the snapshot exists when
// Close has returned nil, and nothing of it does after Cancel. As with raft's
// own sinks, one goroutine uses it.
type snapshotSink struct {
	store *snapshotStore
	tmp   string
	meta  snapshotMeta

	adopted bool
	pipe    *io.PipeWriter // set by the first Write
	written int64
	result  chan error // of the unpacking goroutine; holds one

	ended bool
	err   error // of Close
}

// ID implements raft.SnapshotSink.
func (k *snapshotSink) ID() string { return k.meta.ID }

func (k *snapshotSink) data() string { return k.store.fs.PathJoin(k.tmp, "data") }

// adopt makes a checkpoint the snapshot's content by moving its directory.
func (k *snapshotSink) adopt(checkpoint string) error {
	if k.ended || k.adopted || k.pipe != nil {
		return errors.New("adopt checkpoint: the snapshot has content already")
	}
	if err := k.store.fs.Rename(checkpoint, k.data()); err != nil {
		return fmt.Errorf("adopt checkpoint: %w", err)
	}
	k.adopted = true
	return nil
}

// Write takes the next bytes of a snapshot's stream. An error means that the
// stream is damaged or cannot be stored; the sink can only be cancelled then.
func (k *snapshotSink) Write(p []byte) (int, error) {
	if k.ended || k.adopted {
		return 0, errors.New("write snapshot: it is complete")
	}
	if k.pipe == nil {
		var r *io.PipeReader
		r, k.pipe = io.Pipe()
		k.result = make(chan error, 1)
		go func() { // ends with the pipe; Close and Cancel wait for it
			err := unpack(k.store.fs, k.data(), r)
			r.CloseWithError(err)
			k.result <- err
		}()
	}
	n, err := k.pipe.Write(p)
	k.written += int64(n)
	if err != nil {
		return n, fmt.Errorf("write snapshot: %w", err)
	}
	return n, nil
}

// Close makes the snapshot durable and gives it its name. Closing again
// returns the first outcome.
func (k *snapshotSink) Close() error {
	if k.ended {
		return k.err
	}
	k.ended = true
	if err := k.finish(); err != nil {
		k.err = fmt.Errorf("finish snapshot %s: %w", k.meta.ID, err)
		if rerr := k.store.fs.RemoveAll(k.tmp); rerr != nil {
			k.err = errors.Join(k.err, rerr)
		}
		return k.err
	}
	if err := k.store.reap(); err != nil {
		// The new snapshot is whole; old ones are removed another time.
		k.store.logger.Warn("old snapshots were not removed", "cause", err)
	}
	return nil
}

func (k *snapshotSink) finish() error {
	fs := k.store.fs
	switch {
	case k.pipe != nil:
		k.pipe.Close()
		if err := <-k.result; err != nil {
			return err
		}
	case !k.adopted:
		return errors.New("it has no content")
	}
	var err error
	if k.meta.Applied, err = k.store.inspect(k.data()); err != nil {
		return fmt.Errorf("inspect its state: %w", err)
	}
	if k.meta.Applied > k.meta.Index {
		return fmt.Errorf("its state has applied entry %d, beyond its index %d", k.meta.Applied, k.meta.Index)
	}
	if err := syncTree(fs, k.data()); err != nil {
		return err
	}
	files, err := streamFiles(fs, k.data())
	if err != nil {
		return err
	}
	k.meta.Size = streamSize(files)
	if k.pipe != nil && k.meta.Size != k.written {
		return fmt.Errorf("%d bytes came, but its files make %d", k.written, k.meta.Size)
	}
	raw, err := encodeMeta(k.meta)
	if err != nil {
		return err
	}
	if err := writeFileSync(fs, fs.PathJoin(k.tmp, "META"), raw); err != nil {
		return err
	}
	if err := fs.Rename(k.tmp, k.store.path(k.meta.ID)); err != nil {
		return err
	}
	return syncDir(fs, k.store.dir)
}

// Cancel implements raft.SnapshotSink: it removes what there is. After Close
// it does nothing.
func (k *snapshotSink) Cancel() error {
	if k.ended {
		return nil
	}
	k.ended = true
	k.err = errors.New("snapshot was cancelled")
	if k.pipe != nil {
		k.pipe.CloseWithError(k.err)
		<-k.result
	}
	return k.store.fs.RemoveAll(k.tmp)
}
