package objsync

import (
	"bytes"
	"context"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// guides decides whether a scan reads only the keys that differ, by the cursor as it
// is stored: only of a bucket that was copied in whole before, and of which most is
// still here. A bucket of another history has to be read in whole, and so does one of
// this site after it was restored, because the sender's log does not give back what
// came from here.
//
// A guided scan that was interrupted goes on as one; it has no vector to begin with.
// One of a bucket that is copied once, and again when somebody asks, has no log that is
// followed beside it: it claims nothing of what the sender has seen, as no copy of that
// kind does, and what it passes over another one can still bring.
func guides(c *catalogpb.Cursor, there *linkpb.ServedBucket, objects uint64) bool {
	copied := c.GetInitialDone() || c.GetPart() == partOnce || c.GetScan() != nil && len(c.GetScan().GetSeen().GetUpto()) == 0
	return copied && c.GetEpoch() == there.GetEpoch() && bytes.Equal(c.GetIncarnation(), there.GetIncarnation()) &&
		c.GetSeq() <= there.GetSeq() && objects > 0 && there.GetObjects() > 0 &&
		min(objects, there.GetObjects()) >= max(objects, there.GetObjects())/2
}

// guidedPage is the number of keys that differ which make a page.
const guidedPage = 500

// readDiffering is readPage for a bucket most of which is here already: it reads
// only the keys that differ, as many as make a page, and passes over those that are
// equal.
//
// Sums say nothing of deletions and purges that have done their work, and this site
// needs those that the sender still keeps: a version that they beat may be on its way
// from another site. All of them are in the sender's log, so the change stream begins
// with what is left of it instead of with its end. Until it has come to the end, this
// site does not claim to have seen what the sender has.
//
// Where a side keeps a bounded number of versions, only the sums of the latest can be
// compared, and an older null version may be missing below a latest that is equal. What
// is left of the keys is read in whole then.
func (s *session) readDiffering(ctx context.Context, o *opening, from []byte, nodes int) (*page, error) {
	there := o.there
	path := there.GetPath()
	asked := s.o.Clock()
	cmp := newComparison(s.o.Catalog, s.o.Source, path, catalog.KeyRange{From: from})
	if err := cmp.begin(ctx); err != nil {
		return nil, err
	}
	if !bytes.Equal(cmp.life, there.GetIncarnation()) || cmp.epoch != there.GetEpoch() {
		return nil, errAnotherLife
	}
	if cmp.sparse {
		p, err := s.readWhole(ctx, o, from, nodes)
		if err == nil {
			p.seq, p.seen = begunAt(o), &catalogpb.Vector{}
		}
		return p, err
	}
	differing, upTo, err := cmp.next(ctx, guidedPage)
	if err != nil {
		return nil, err
	}
	took := s.o.Clock().Sub(asked) / time.Duration(max(1, cmp.compare.Requests))
	keys := make([][]byte, len(differing))
	for i := range differing {
		keys[i] = differing[i].key
	}
	records, n, long, err := s.readKeys(ctx, o, keys, examine, func(keys [][]byte, p *linkpb.ScanPage) error {
		return s.removeOf(ctx, path, keys, p)
	})
	if err != nil {
		return nil, err
	}
	if n < len(keys) {
		upTo = keys[n] // the others come with the next page
	}
	return &page{
		seq:     begunAt(o),
		seen:    &catalogpb.Vector{},
		records: records,
		mark:    &pageMark{next: upTo, keys: uint64(n), done: upTo == nil},
		took:    took,
		long:    long,
	}, nil
}

// begunAt is where the change stream begins beside a guided scan.
func begunAt(o *opening) uint64 { return max(o.there.GetTrimmed(), o.taken) }

// removeOf is removeDropped for single keys: of others the page says nothing.
func (s *session) removeOf(ctx context.Context, path string, keys [][]byte, p *linkpb.ScanPage) error {
	rest := p.GetRecords()
	for _, key := range keys {
		n := 0
		for n < len(rest) && bytes.Equal(rest[n].GetKey(), key) {
			n++
		}
		one := &linkpb.ScanPage{Records: rest[:n], Seen: p.GetSeen(), NextKey: append(bytes.Clone(key), 0)}
		rest = rest[n:]
		if len(key) == 0 {
			continue // settings are never dropped
		}
		if err := s.removeDropped(ctx, path, key, one); err != nil {
			return err
		}
	}
	return nil
}
