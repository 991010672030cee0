package objsync

import (
	"errors"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// incoming is a record of a peer that was looked at.
type incoming struct {
	rec       *catalogpb.Record
	size      int // encoded
	root      manifest.Ref
	seq       uint64 // in the sender's log
	committed int64  // there
	// needed says that the record is to be committed here, once its content is;
	// otherwise it is known here, or was seen and dropped, or lost already.
	needed bool
	// bare says that it is committed without its content, which is not kept.
	bare bool
	// again says that it is a deletion or a purge that was seen and dropped here: it
	// still beats what is on its way in.
	again bool
	// restore says that it is committed although it was seen before.
	restore bool
	// deleted says, of an entry of the pending table, that a deletion that is kept here
	// beats it: at most the history of its key has a place for it.
	deleted bool
	// fault says why it cannot be applied; it is kept by name then.
	fault string
}

// examine looks at records of a peer before anything is fetched for them; what the
// filter leaves out is not needed. The
// error is an integrityError when one cannot even be kept by name. It reads the
// catalog and is not for the session's goroutine.
func examine(c *catalog.Catalog, path string, records []*catalogpb.Record, filter Filter) ([]incoming, error) {
	return examineBy(c, path, records, filter, c.Decide)
}

// examineLost is examine for records of keys that somebody asked to get back: that
// they were seen here before does not count against them.
func examineLost(c *catalog.Catalog, path string, records []*catalogpb.Record, filter Filter) ([]incoming, error) {
	out, err := examineBy(c, path, records, filter, c.DecideRestore)
	for i := range out {
		out[i].restore = true
	}
	return out, err
}

// examinePending is examine for entries of the pending table.
func examinePending(c *catalog.Catalog, path string, entries []*catalogpb.Pending, filter Filter) ([]incoming, error) {
	records := make([]*catalogpb.Record, len(entries))
	for i, p := range entries {
		records[i] = p.GetRecord()
	}
	out, err := examine(c, path, records, filter)
	if err != nil {
		return nil, err
	}
	for i := range out {
		if !out[i].needed {
			continue
		}
		if out[i].deleted, err = c.Deleted(path, records[i]); err != nil {
			return nil, &localError{err}
		}
	}
	return out, nil
}

// examineBy is examine with the verdicts that decide gives.
func examineBy(c *catalog.Catalog, path string, records []*catalogpb.Record, filter Filter,
	decide func(string, []*catalogpb.Record) ([]catalog.Verdict, []string, error)) ([]incoming, error) {
	out := make([]incoming, len(records))
	for i, r := range records {
		size := proto.Size(r)
		if err := wellFormed(r, size); err != nil {
			return nil, violated("bucket %s: %w", path, err)
		}
		out[i] = incoming{rec: r, size: size}
	}
	verdicts, why, err := decide(path, records)
	if err != nil {
		return nil, &localError{err}
	}
	lost := func(r *catalogpb.Record) bool {
		deleted, derr := c.Deleted(path, r)
		err = errors.Join(err, derr)
		return deleted
	}
	for i := range out {
		in := &out[i]
		if !filter.admits(in.rec) {
			continue
		}
		switch verdicts[i] {
		case catalog.Invalid:
			in.needed, in.fault = true, why[i]
		case catalog.Apply:
			in.needed = true
		case catalog.Superseded:
			// Nothing of it is kept, and nothing of it need come. Only when it
			// lost against a deletion it is committed all the same: Ingest then
			// sees whether the deletion has to be announced to the sender again.
			// Its content comes too, because the deletion may be trimmed before. And so
			// does what lost without the winner's knowledge: a user may want it back.
			in.needed = lost(in.rec) || crowded(c, path, in.rec)
			if !in.needed {
				contends, cerr := c.Contends(path, in.rec)
				err = errors.Join(err, cerr)
				in.needed = contends
			}
		case catalog.Here:
			// As above, for what is kept in the history, with its content. And what a
			// version brings along may be missing here.
			in.needed, in.bare = lost(in.rec) || catalog.BringsAlong(in.rec), true
		case catalog.Covered:
			// As above; but what is covered stays so, and needs no content.
			in.needed, in.bare = lost(in.rec), true
			in.again = catalog.Deletes(in.rec) && !in.rec.GetRevoked()
		}
		if !in.needed || in.fault != "" || in.bare {
			continue
		}
		if err := sound(in.rec); err != nil {
			in.fault = err.Error()
			continue
		}
		if in.rec.GetKind() == catalogpb.RecordKind_RECORD_VERSION {
			in.root, _ = rootOf(in.rec) // checked by sound
		}
	}
	if err != nil {
		return nil, &localError{err}
	}
	return out, nil
}

// crowded reports whether a version with an id of its own has no place because the
// bucket keeps a bounded number of them, and this site has not noted yet that there
// are such versions: that is done when one is committed.
func crowded(c *catalog.Catalog, path string, r *catalogpb.Record) bool {
	if !catalog.HasID(r) || r.GetKind() == catalogpb.RecordKind_RECORD_PURGE {
		return false
	}
	st, err := c.Bucket(path)
	return err == nil && st.GetBounded() && !st.GetSeen().GetSparse()
}
