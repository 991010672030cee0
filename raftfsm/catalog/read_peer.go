package catalog

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// maxBehind bounds the log entries that Behind looks at, and the holds.
const maxBehind = 4096

// Cursor returns how far this site has taken a peer's log, or ErrNoCursor. One
// that is neither initial_done nor has a scan demands a scan; after this site was
// restored from a backup every cursor does, because a log does not give back what
// the backup lacks.
func (c *Catalog) Cursor(path string, peer state.SiteID) (*pb.Cursor, error) {
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	out := new(pb.Cursor)
	found, err := readMessage(v.rows, cursorKey(nil, v.number, peer), out)
	if found && restored(v.state, v.since) {
		out = unfinished(out)
	}
	if err == nil && !found {
		err = fmt.Errorf("cursor of bucket %s for site %s: %w", path, peer, ErrNoCursor)
	}
	return out, err
}

// Pending returns records of a peer that are not applied yet, in the order of
// their dots, after the given one (nil for the beginning), at most limit of them
// (1,000 when it is 0) and about 8 MiB. Only an empty page is the end.
func (c *Catalog) Pending(path string, peer state.SiteID, after *pb.Dot, limit int) ([]*pb.Pending, error) {
	limit = pageLimit(limit)
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	var out []*pb.Pending
	prefix := pendingPrefix(nil, v.number, peer)
	lower := prefix
	if after != nil {
		lower = append(pendingKey(nil, v.number, peer, after), 0)
	}
	size := 0
	err = scan(v.rows, lower, successor(prefix), func(_, value []byte) (bool, error) {
		p := new(pb.Pending)
		out = append(out, p)
		size += len(value)
		return len(out) < limit && size < listBytes, proto.Unmarshal(value, p)
	})
	return out, err
}

// PendingCount returns the number of pending records of a peer.
func (c *Catalog) PendingCount(path string, peer state.SiteID) (int, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	b := c.buckets[path]
	if b == nil || b.state.GetDeleted() {
		return 0, noBucket(path)
	}
	return len(b.pending[peer]), nil
}

// Progress returns what a peer told of itself, or ErrNoCursor when it told
// nothing. The bucket's path is not set in it.
func (c *Catalog) Progress(path string, peer state.SiteID) (*pb.PeerProgress, error) {
	c.swap.RLock()
	defer c.swap.RUnlock()
	number, err := c.number(path)
	if err != nil {
		return nil, err
	}
	out := new(pb.PeerProgress)
	found, err := readMessage(c.db, progressKey(nil, number, peer), out)
	if err == nil && !found {
		err = fmt.Errorf("progress of site %s in bucket %s: %w", peer, path, ErrNoCursor)
	}
	return out, err
}

// Behind is how far a peer is behind this site in one bucket.
type Behind struct {
	// Entries is the number of versions that the peer does not have yet, and
	// Bytes the sum of their logical sizes. With a history of more than one
	// version the count may hold some that have been superseded.
	Entries, Bytes uint64
	// Oldest is when the oldest of them was committed here, Unix nanoseconds; 0
	// when there is none. Of a version that the peer holds pending it is the
	// version's own time.
	Oldest    int64
	OldestKey []byte
	// Estimated says that there were too many to look at: the rest was counted as
	// sequences, of the mean size of those that were.
	Estimated bool
	// Scan says that the peer has not told a place in this log, or has a scan to
	// finish: what the scan has left is estimated from the number of objects, and
	// Oldest is when the bucket was made, unless the bucket is empty.
	Scan bool
}

// Behind computes from the progress of a peer that was committed last how far the
// peer is behind; see [Behind]. It looks at most log entries, but no more than 4096,
// and at next to none when the peer is not behind.
func (c *Catalog) Behind(path string, peer state.SiteID, most int) (*Behind, error) {
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	p := new(pb.PeerProgress)
	if _, err := readMessage(v.rows, progressKey(nil, v.number, peer), p); err != nil {
		return nil, err
	}
	return v.behind(peer, p, most)
}

// BehindFrom is Behind for what a peer told last, committed or not.
func (c *Catalog) BehindFrom(path string, peer state.SiteID, p *pb.PeerProgress, most int) (*Behind, error) {
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	return v.behind(peer, p, most)
}

func (v *view) behind(peer state.SiteID, p *pb.PeerProgress, most int) (*Behind, error) {
	cursor := p.GetCursor()
	after := cursor.GetSeq()
	out := &Behind{}
	switch {
	case cursor == nil || !v.ownHistory(cursor) || after < v.state.GetTrimmed():
		out.scan(v.state, 0)
		return out, nil
	case cursor.GetScan() != nil || !cursor.GetInitialDone() && cursor.GetPart() == "":
		out.scan(v.state, cursor.GetScan().GetKeysDone())
	}
	if err := v.behindLog(out, after, peer, MergeVector(nil, p.GetSeen()), uint64(min(most, maxBehind))); err != nil {
		return nil, err
	}
	return out, v.behindHolds(out, p.GetHolds())
}

func (v *view) ownHistory(cursor *pb.Cursor) bool {
	return inLog(v.state, v.epoch, v.since, cursor)
}

// scan adds what a scan of the bucket has left.
func (b *Behind) scan(s *pb.BucketState, keysDone uint64) {
	b.Scan = true
	left := s.GetObjects() - min(keysDone, s.GetObjects())
	if left == 0 {
		return
	}
	b.Entries += left
	b.Bytes += uint64(float64(s.GetBytes()) / float64(s.GetObjects()) * float64(left))
	b.Oldest = s.GetCreated()
}

// note counts a version that the peer does not have.
func (b *Behind) note(committed int64, key []byte, size uint64) {
	b.Entries++
	b.Bytes += size
	if b.Oldest == 0 || committed < b.Oldest {
		b.Oldest, b.OldestKey = committed, key
	}
}

// behindLog adds the log entries after a sequence that are offered to the peer.
// Where no history is kept, only the last entry of a key counts.
func (v *view) behindLog(out *Behind, after uint64, peer state.SiteID, seen *pb.Vector, most uint64) error {
	type version struct {
		committed int64
		key       string
		size      uint64
	}
	var found []version
	last := make(map[string]int) // key -> index in found
	reached := after
	err := scan(v.rows, logKey(nil, v.number, after+1), logKey(nil, v.number, v.state.GetSeq()+1), func(key, value []byte) (bool, error) {
		if reached-after >= most {
			return false, nil
		}
		reached = binary.BigEndian.Uint64(key[prefixLen:])
		e := new(pb.LogEntry)
		if err := proto.Unmarshal(value, e); err != nil || !Offer(e, peer, seen) {
			return err == nil, err
		}
		if v.state.GetVersions() <= 1 && v.state.GetVersioning() == pb.Versioning_VERSIONING_NEVER {
			if i, again := last[string(e.GetKey())]; again {
				found[i].key = ""
			}
			last[string(e.GetKey())] = len(found)
		}
		found = append(found, version{e.GetCommitted(), string(e.GetKey()), e.GetSize()})
		return true, nil
	})
	if err != nil {
		return err
	}
	before := *out
	for _, f := range found {
		if f.key != "" {
			out.note(f.committed, []byte(f.key), f.size)
		}
	}
	if rest := v.state.GetSeq() - reached; rest > 0 && reached > after {
		out.Estimated = true
		share := float64(rest) / float64(reached-after)
		out.Entries += uint64(float64(out.Entries-before.Entries) * share)
		out.Bytes += uint64(float64(out.Bytes-before.Bytes) * share)
	}
	return nil
}

// behindHolds adds the records that the peer has pending and this site still has.
func (v *view) behindHolds(out *Behind, holds []*pb.Dot) error {
	if len(holds) > maxBehind {
		out.Estimated = true
		out.Entries += uint64(len(holds) - maxBehind)
		holds = holds[:maxBehind]
	}
	for _, d := range holds {
		_, kept, err := readDot(v.rows, v.number, d)
		if err != nil {
			return err
		}
		if !kept {
			continue // dropped here; the peer will be told that it is gone
		}
		r, err := v.byDot(d)
		if err != nil {
			return err
		}
		out.note(r.GetTime(), r.GetKey(), r.GetRoot().GetSize())
	}
	return nil
}
