package objsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// scanState is the scan of one bucket, of the session's goroutine.
type scanState struct {
	on       bool
	fetching bool   // a page is being read
	read     bool   // the last page was read
	next     []byte // where the next page to be read begins
	since    time.Time
	guided   bool // only the keys that differ are read
}

const (
	scanPage = 1000 // records asked for in one page
	// scanAhead is the number of records queued above which no page is read;
	// laneBytes bounds their size.
	scanAhead = 2000
)

// page is one page of a scan that was read and looked at.
type page struct {
	seq     uint64
	seen    *catalogpb.Vector
	records []incoming
	mark    *pageMark
	took    time.Duration // to get it
	nodes   int           // manifest nodes that came along
	long    func()        // set when it is of a long key: see longGate
}

// release gives up a page that was read; it may be nil.
func (p *page) release() {
	if p != nil && p.long != nil {
		p.long()
	}
}

// moreScan reads the next page when there is room for it. The change stream of
// the bucket runs beside the scan, from the sequence at which it began: what is
// written meanwhile does not wait for it.
func (s *session) moreScan(b *bucket) {
	sc := &b.scanning
	if !sc.on || sc.fetching || sc.read || len(b.scan.items) >= scanAhead || b.scan.bytes >= laneBytes || s.crowded(b) || !s.mayFetch() || s.o.Clock().Before(b.again) {
		return
	}
	sc.fetching = true
	o, from := &opening{there: b.there, want: b.want, filter: b.filter, guided: sc.guided}, sc.next
	s.do(func(ctx context.Context) func() {
		p, err := s.readPage(ctx, o, from, 0)
		return func() {
			sc.fetching = false
			if b.closed {
				p.release()
				return
			}
			if err != nil {
				s.openFailed(b, err)
				return
			}
			b.aside = ""
			s.onPage(b, p, s.o.Clock())
		}
	})
}

// pageLimit is the number of records asked for in one page: fewer where the queue is
// short, because 16 buckets may be opened at once, each with its first page.
func (s *session) pageLimit() int {
	return min(s.o.page, max(20, int(s.o.Queue/maxOpening/2/recordSize)))
}

// errAnotherLife says that a bucket was deleted or made anew during a scan.
var errAnotherLife = errors.New("the bucket was made anew at the sender, or the sender was restored, during the copy")

// readPage reads a page, looks at its records, and removes here what the sender
// has dropped on purpose within its range of keys. Up to nodes bytes of manifest
// nodes may come along, which are stored.
func (s *session) readPage(ctx context.Context, o *opening, from []byte, nodes int) (*page, error) {
	if o.guided {
		return s.readDiffering(ctx, o, from, nodes)
	}
	return s.readWhole(ctx, o, from, nodes)
}

// readWhole is readPage for a scan of all keys.
func (s *session) readWhole(ctx context.Context, o *opening, from []byte, nodes int) (p *page, err error) {
	there := o.there
	path := there.GetPath()
	asked := s.o.Clock()
	got, long, err := s.askPage(ctx, func(most uint32) (*linkpb.ScanPage, error) {
		return s.o.Source.Scan(ctx, &linkpb.ScanRequest{Path: path, FromKey: from, Scope: there.GetScope(), Limit: uint32(s.pageLimit()), Nodes: uint32(nodes), Most: most})
	})
	if err != nil {
		return nil, err
	}
	if long != nil {
		defer func() {
			if p == nil {
				long()
			}
		}()
	}
	s.o.Limit.Charge(proto.Size(got))
	took := s.o.Clock().Sub(asked)
	if !bytes.Equal(got.GetIncarnation(), there.GetIncarnation()) || got.GetEpoch() != there.GetEpoch() {
		return nil, errAnotherLife
	}
	keys, err := checkPage(got, from)
	if err != nil {
		return nil, violated("page of bucket %s: %w", path, err)
	}
	manifests, err := s.keepNodes(ctx, got, nodes)
	if err != nil {
		if errors.As(err, new(*localError)) {
			return nil, err
		}
		return nil, violated("page of bucket %s: %w", path, err)
	}
	records, err := examine(s.o.Catalog, path, got.GetRecords(), o.filter)
	if err != nil {
		return nil, err
	}
	// A version that comes by a scan is as old as the scan, for all that the lag
	// is concerned: the cursor stands where the scan began.
	for i := range records {
		records[i].seq = got.GetSeq()
	}
	// What a page leaves out on purpose is not what the sender has dropped.
	if o.want.scope == "" {
		if err := s.removeDropped(ctx, path, from, got); err != nil {
			return nil, err
		}
	}
	return &page{
		seq:     got.GetSeq(),
		seen:    got.GetSeen(),
		records: records,
		mark:    &pageMark{next: got.GetNextKey(), keys: keys, done: got.GetDone()},
		took:    took,
		nodes:   manifests,
		long:    long,
	}, nil
}

// checkPage checks that a page is one of the keys it claims to have, so that the
// scan ends and passes over nothing. It returns the number of keys.
func checkPage(p *linkpb.ScanPage, from []byte) (keys uint64, err error) {
	last := []byte(nil)
	for i, r := range p.GetRecords() {
		k := r.GetKey()
		switch {
		case bytes.Compare(k, from) < 0:
			return 0, fmt.Errorf("key %q lies before the page", k)
		case i > 0 && bytes.Compare(k, last) < 0:
			return 0, fmt.Errorf("key %q is out of order", k)
		case !p.GetDone() && bytes.Compare(k, p.GetNextKey()) >= 0:
			return 0, fmt.Errorf("key %q lies behind the page", k)
		}
		if len(k) > 0 && !bytes.Equal(k, last) { // a setting of the bucket has none
			keys++
		}
		last = k
	}
	if !p.GetDone() && bytes.Compare(p.GetNextKey(), from) <= 0 {
		return 0, fmt.Errorf("the next key %q does not lie behind %q", p.GetNextKey(), from)
	}
	return keys, nil
}

// removeDropped removes here what the sender has seen and does not have any more:
// it dropped it while this site was away so long that the deletions and purges are
// gone.
func (s *session) removeDropped(ctx context.Context, path string, from []byte, p *linkpb.ScanPage) error {
	next := p.GetNextKey()
	if p.GetDone() {
		next = nil
	}
	for {
		dropped, resume, err := s.o.Catalog.DroppedThere(path, from, next, p.GetRecords(), p.GetSeen())
		if err != nil {
			return &localError{fmt.Errorf("compare page of bucket %s: %w", path, err)}
		}
		// At once, so that the proposer puts many into one raft entry.
		var g errgroup.Group
		g.SetLimit(64)
		for _, r := range dropped {
			g.Go(func() error { return s.removeHere(ctx, path, r) })
		}
		if err := g.Wait(); err != nil {
			return &localError{err}
		}
		if len(resume) == 0 {
			return nil
		}
		from = resume
	}
}

// removeHere removes a version, or a delete marker.
func (s *session) removeHere(ctx context.Context, path string, r *catalogpb.Record) error {
	res, err := s.o.Propose(ctx, catalog.Follow(path, r))
	switch {
	case err == nil && res.GetCode() == raftfsmpb.Code_CONFLICT:
		return nil // it was changed meanwhile, or is locked: it stays
	case err == nil && res.GetCode() != raftfsmpb.Code_OK:
		err = errors.New(res.GetMessage())
	}
	if err != nil {
		return fmt.Errorf("remove key %q, version %s, that was removed at %s: %w", r.GetKey(), catalog.VersionID(r), s.o.PeerName, err)
	}
	if res.GetRemoved() {
		s.log.Info("link: version removed here because it was removed there", "bucket", path, "key", string(r.GetKey()), "version", catalog.VersionID(r))
	}
	return nil
}

// onPage queues a page.
func (s *session) onPage(b *bucket, p *page, now time.Time) {
	s.heard, s.moved = now, now
	s.line.tripped(p.took)
	s.e.count.Manifests += uint64(p.nodes)
	b.scanning.next = p.mark.next
	b.scanning.read = p.mark.done
	s.enlist(b, &b.scan, p.records, now)
	s.queueLong(b, p.records, p.long)
	b.scan.pageEnd(p.mark)
	s.mark(b)
}

func sizeOf(r *catalogpb.Record) int { return proto.Size(r) }
