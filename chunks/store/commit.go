package store

import (
	"fmt"
	"slices"

	"edgefog.dev/isgw/chunks"
)

// committer writes groups of requests. Its goroutine alone touches the writer
// and the fields below.
type committer struct {
	s *Store
	w segmentWriter

	group []*request
	added []addition
	// seen are the chunks of the group that are in added.
	seen map[chunks.ID]struct{}
	// ended are segments that failed, with what the index knows of them. The
	// next commit seals them; until then they count as unsealed, which is
	// safe: the next Open would look for records after their end.
	ended map[uint32]mark
	// failing says that the last group that had to be written failed.
	failing bool
}

// addition is a chunk that the group being committed adds.
type addition struct {
	id  chunks.ID
	loc location
	// again says that the index holds the chunk already, marked as damaged.
	again    bool
	oldBytes uint32
}

// run commits what arrives until stop is closed, when nothing can be waiting:
// Close lets the calls under way finish first.
func (c *committer) run(stop <-chan struct{}) {
	for {
		select {
		case <-c.s.queue.wake:
		case <-stop:
			return
		}
		for {
			c.group = c.s.queue.take(c.group)
			if len(c.group) == 0 {
				break
			}
			err := c.commit(c.group)
			for _, r := range c.group {
				r.done <- err
			}
			clear(c.group)
		}
	}
}

// commit makes a group durable and visible, or, with an error, nothing of it.
func (c *committer) commit(group []*request) error {
	c.added = c.added[:0]
	clear(c.seen)
	err := c.write(group)
	if err == nil && len(c.added) > 0 {
		err = c.publish()
	}
	if err != nil {
		c.abandon()
	}
	// Each Put returns its error; the log has the turns only.
	switch {
	case err != nil && !c.failing:
		c.s.opts.Logger.Error("chunk store: chunks cannot be put", "err", err)
		c.failing = true
	case err == nil && c.failing && len(c.added) > 0:
		c.s.opts.Logger.Info("chunk store: chunks can be put again")
		c.failing = false
	}
	return err
}

// write appends the group's new chunks to segments and syncs these.
func (c *committer) write(group []*request) error {
	for _, r := range group {
		for i := range r.batch {
			ch := &r.batch[i]
			if _, ok := c.seen[ch.ID]; ok {
				continue
			}
			// Put looked before it queued; an earlier group may have
			// written the chunk since.
			old, found, err := c.s.find(&ch.ID)
			if err != nil {
				return err
			}
			if found && !old.damaged {
				continue
			}
			loc, err := c.w.append(ch)
			if err != nil {
				return err
			}
			c.seen[ch.ID] = struct{}{}
			c.added = append(c.added, addition{id: ch.ID, loc: loc, again: found, oldBytes: old.storedLen})
		}
	}
	return c.w.syncGroup()
}

// publish commits the index entries of what write has made durable, and syncs
// them when it has to.
func (c *committer) publish() error {
	s := c.s
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	held, bytes := s.held.Load(), s.bytes.Load()
	u := s.index.update()
	for i := range c.added {
		a := &c.added[i]
		u.setLocation(&a.id, a.loc)
		bytes += uint64(a.loc.storedLen)
		if a.again {
			bytes -= uint64(a.oldBytes)
		} else {
			held++
		}
	}
	u.setCounts(held, bytes)
	for _, seg := range c.w.full {
		u.setMark(seg.no, mark{end: seg.size, sealed: true})
	}
	if c.w.cur != nil {
		u.setMark(c.w.cur.no, mark{end: c.w.cur.size})
	}
	for no, m := range c.ended {
		u.setMark(no, m)
	}
	sync := c.syncsIndex()
	if err := u.commit(sync); err != nil {
		return err
	}
	for i := range c.added {
		s.filter.add(&c.added[i].id)
	}
	s.held.Store(held)
	s.bytes.Store(bytes)
	s.written.Add(uint64(len(c.added)))
	s.syncs.Add(1)
	for no := range c.ended {
		delete(c.ended, no)
	}
	for _, seg := range c.w.full {
		s.diskBytes.Add(seg.size - seg.indexed)
		c.told(c.w.release(seg, seg.size))
	}
	c.w.full = c.w.full[:0]
	if cur := c.w.cur; cur != nil {
		s.diskBytes.Add(cur.size - cur.indexed)
		cur.indexed = cur.size
		if sync {
			cur.synced = cur.size
		}
	}
	return nil
}

// syncsIndex says whether the index has to be durable with the group being
// committed. Mostly it need not be: the group's records are, in a segment whose
// mark does not say that it is sealed, where the next Open finds them. It has to
//   - when a segment ends, so that Open reads at most the last one again, and
//     of that IndexSyncBytes;
//   - when a chunk is replaced whose mark of damage may not be durable: without
//     the mark Open would keep the damaged place.
func (c *committer) syncsIndex() bool {
	cur := c.w.cur
	return len(c.w.full) > 0 || len(c.ended) > 0 ||
		cur != nil && cur.size-cur.synced >= c.s.opts.IndexSyncBytes ||
		slices.ContainsFunc(c.added, func(a addition) bool { return a.again })
}

// abandon ends the segments of a group that failed, at what the index knows of
// them, so that nothing of the group is ever found. The next group starts a
// segment.
func (c *committer) abandon() {
	failed := c.w.full
	if c.w.cur != nil {
		failed = append(failed, c.w.cur)
	}
	for _, seg := range failed {
		if c.s.index.failed.Load() {
			// Whether the index has the group's entries will be known at the
			// next Open, so its records must stay.
			c.told(seg.file.Close())
			continue
		}
		c.told(c.w.release(seg, seg.indexed))
		if seg.indexed > 0 {
			c.ended[seg.no] = mark{end: seg.indexed, sealed: true}
		}
	}
	clear(failed)
	c.w.full, c.w.cur, c.w.buf = c.w.full[:0], nil, c.w.buf[:0]
}

// seal ends the current segment when the store is closed, so that the next Open
// has nothing to look for.
func (c *committer) seal() error {
	cur := c.w.cur
	if cur == nil && len(c.ended) == 0 || c.s.index.failed.Load() {
		if cur != nil {
			return cur.file.Close()
		}
		return nil
	}
	u := c.s.index.update()
	for no, m := range c.ended {
		u.setMark(no, m)
	}
	if cur != nil {
		c.w.cur = nil
		if err := c.w.release(cur, cur.size); err != nil {
			u.discard()
			return err
		}
		u.setMark(cur.no, mark{end: cur.size, sealed: true})
	}
	if err := u.commit(true); err != nil {
		return fmt.Errorf("seal segments: %w", err)
	}
	return nil
}

// told logs an error of cleaning up, which changes nothing that was promised.
func (c *committer) told(err error) {
	if err != nil {
		c.s.opts.Logger.Warn("chunk store: clean up", "err", err)
	}
}
