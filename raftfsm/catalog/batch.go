package catalog

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// Batch carries out commands within one Pebble batch: each command sees what
// the earlier ones did, readers see all of it once the batch is committed. The
// order of calls is Begin, any number of commands, Flush, the commit of the
// Pebble batch (by the caller), Done. A Batch that is dropped before Done
// changes nothing. It is used by one goroutine.
//
// Every command returns a result, never nil; a code other than OK means that
// the command changed nothing. A failure of Pebble is not a result: it is kept,
// every later command is refused, and Flush returns it. The node must then halt,
// and no result of the batch may be answered.
//
// Commands keep parts of their messages; the caller must not change them
// afterwards.
type Batch struct {
	c       *Catalog
	rows    *pebble.Batch
	err     error
	flushed bool
	buckets map[string]*bucketTxn // touched, by path
	last    uint64                // the highest bucket number given out; 0: not known yet
	hashes  hashes
	key     []byte // scratch
	value   []byte // scratch
}

// bucketTxn is a bucket as the batch has it so far.
type bucketTxn struct {
	state  *pb.BucketState                    // a copy of its own
	sum    setSum                             // of state.digest
	base   *bucket                            // as committed; nil for a new bucket
	pend   map[state.SiteID]map[dotID]*untold // as in bucket; nil: removed
	counts map[state.SiteID]int               // pending records, of the peers in pend
	dirty  bool
	capped bool // seen or pending changed
	deltas []keyDelta
	tree   tree // without the deltas
}

// Begin starts a batch on a Pebble batch made by NewIndexedBatch of the
// catalog's Pebble. It panics on a batch without an index, which could not show
// later commands what earlier ones wrote.
func (c *Catalog) Begin(batch *pebble.Batch) *Batch {
	if !batch.Indexed() {
		panic("catalog: Begin needs an indexed batch")
	}
	return &Batch{c: c, rows: batch, buckets: make(map[string]*bucketTxn)}
}

// Flush writes what was gathered for the buckets into the Pebble batch. It is
// the last call before the commit, and returns the first failure of the batch.
func (b *Batch) Flush() error {
	for _, path := range slices.Sorted(maps.Keys(b.buckets)) {
		t := b.buckets[path]
		if !t.dirty {
			continue
		}
		t.state.Digest = t.sum.bytes()
		b.flushTree(t)
		b.put(bucketKey(path), t.state)
	}
	b.flushed = true
	return b.err
}

// Done makes the committed batch visible to readers and wakes the watchers. It
// panics when Flush was not called or failed.
func (b *Batch) Done() {
	if !b.flushed || b.err != nil {
		panic("catalog: Done without a successful Flush")
	}
	b.c.mu.Lock()
	for path, t := range b.buckets {
		if !t.dirty {
			continue
		}
		k := t.base
		if k == nil {
			k = &bucket{pending: make(map[state.SiteID]map[dotID]*untold)}
			b.c.buckets[path] = k
		}
		b.c.countStored(k.state, t.state)
		k.state, k.tree = t.state, t.tree
		for peer, dots := range t.pend {
			for d, u := range dots {
				if u != nil {
					k.addPending(peer, d, u)
				} else {
					k.removePending(peer, d)
				}
			}
		}
		if t.capped {
			k.capped.Store(nil)
		}
	}
	b.c.mu.Unlock()
	b.buckets = nil
	b.c.wake()
}

// ok is the result of a command that was carried out.
func ok() *raftfsmpb.Result { return &raftfsmpb.Result{} }

// refuse is the result of a command that changed nothing.
func refuse(code raftfsmpb.Code, format string, args ...any) *raftfsmpb.Result {
	return &raftfsmpb.Result{Code: code, Message: fmt.Sprintf(format, args...)}
}

// fail keeps the first failure of the batch.
func (b *Batch) fail(err error) *raftfsmpb.Result {
	if b.err == nil {
		b.err = fmt.Errorf("apply to catalog: %w", err)
	}
	return refuse(raftfsmpb.Code_INVALID, "the catalog has failed: %v", b.err)
}

// result is what a command returns in the end: done, unless the batch failed on
// the way.
func (b *Batch) result(done *raftfsmpb.Result) *raftfsmpb.Result {
	if b.err != nil {
		return b.fail(b.err)
	}
	return done
}

var errFlushed = errors.New("a command after Flush")

// find returns a bucket, deleted or not; nil if its path was never used.
func (b *Batch) find(path string) *bucketTxn {
	if b.flushed {
		b.fail(errFlushed)
	}
	if t := b.buckets[path]; t != nil {
		return t
	}
	base := b.c.buckets[path]
	if base == nil {
		return nil
	}
	t := &bucketTxn{state: proto.CloneOf(base.state), sum: parseSum(base.state.GetDigest()), base: base, tree: base.tree}
	b.buckets[path] = t
	return t
}

// live finds a bucket that exists, or gives the refusal.
func (b *Batch) live(path string) (*bucketTxn, *raftfsmpb.Result) {
	t := b.find(path)
	if b.err != nil {
		return nil, b.fail(b.err)
	}
	if t == nil || t.state.GetDeleted() {
		return nil, refuse(raftfsmpb.Code_NOT_FOUND, "bucket %s does not exist", path)
	}
	return t, nil
}

// tenantStored is what all buckets of a tenant hold, as the batch has it so far.
func (b *Batch) tenantStored(tenant string) uint64 {
	sum := b.c.tenants[tenant]
	for path, t := range b.buckets {
		if tenantOf(path) == tenant {
			var was *pb.BucketState
			if t.base != nil {
				was = t.base.state
			}
			sum += t.state.GetStored() - was.GetStored()
		}
	}
	return sum
}

// put writes a row.
func (b *Batch) put(key []byte, m proto.Message) {
	value, err := marshal.MarshalAppend(b.value[:0], m)
	if err != nil {
		b.fail(fmt.Errorf("encode row %q: %w", key, err))
		return
	}
	b.value = value
	b.set(key, value)
}

func (b *Batch) set(key, value []byte) {
	if err := b.rows.Set(key, value, nil); err != nil {
		b.fail(err)
	}
}

func (b *Batch) delete(key []byte) {
	if err := b.rows.Delete(key, nil); err != nil {
		b.fail(err)
	}
}

func (b *Batch) deleteRange(lower, upper []byte) {
	if err := b.rows.DeleteRange(lower, upper, nil); err != nil {
		b.fail(err)
	}
}

// get reads a row that holds a message; a failure is kept and reads as absent.
func (b *Batch) get(key []byte, m proto.Message) bool {
	found, err := readMessage(b.rows, key, m)
	if err != nil {
		b.fail(err)
		return false
	}
	return found
}

// isPending reports whether a record is pending, from whichever peer.
func (t *bucketTxn) isPending(d dotID) bool {
	return len(t.pendingFrom(d)) > 0
}

// pendingFrom returns the peers from which a record is pending, ordered.
func (t *bucketTxn) pendingFrom(d dotID) []state.SiteID {
	var peers []state.SiteID
	if t.base != nil {
		for peer, dots := range t.base.pending {
			if _, ok := dots[d]; ok {
				peers = append(peers, peer)
			}
		}
	}
	for peer, dots := range t.pend {
		u, touched := dots[d]
		i := slices.Index(peers, peer)
		switch {
		case touched && u != nil && i < 0:
			peers = append(peers, peer)
		case touched && u == nil && i >= 0:
			peers = slices.Delete(peers, i, i+1)
		}
	}
	slices.SortFunc(peers, func(a, b state.SiteID) int { return slices.Compare(a[:], b[:]) })
	return peers
}

// pendingCount is the number of records pending from a peer.
func (t *bucketTxn) pendingCount(peer state.SiteID) int {
	if n, touched := t.counts[peer]; touched {
		return n
	}
	if t.base == nil {
		return 0
	}
	return len(t.base.pending[peer])
}

// markPending notes that a row of the pending table was added, with what must not
// be told because of it, or removed (nil).
func (t *bucketTxn) markPending(peer state.SiteID, d dotID, u *untold) {
	n := t.pendingCount(peer)
	if was := slices.Contains(t.pendingFrom(d), peer); u != nil && !was {
		n++
	} else if u == nil && was {
		n--
	}
	if t.pend == nil {
		t.pend = make(map[state.SiteID]map[dotID]*untold)
		t.counts = make(map[state.SiteID]int)
	}
	if t.pend[peer] == nil {
		t.pend[peer] = make(map[dotID]*untold)
	}
	t.pend[peer][d] = u
	t.counts[peer] = n
	t.dirty, t.capped = true, true
}

// told is what the site may tell others that it has seen, as in bucket.
func (t *bucketTxn) told(self state.SiteID) *pb.Vector {
	var except []*pb.Dot
	all := false
	if t.base != nil {
		for peer, pending := range t.base.pending {
			for d, u := range pending {
				if _, touched := t.pend[peer][d]; !touched {
					except, all = u.appendTo(except, all)
				}
			}
		}
	}
	for _, pending := range t.pend {
		for _, u := range pending {
			if u != nil {
				except, all = u.appendTo(except, all)
			}
		}
	}
	return withOwn(told(t.state, except, all), t.state, self)
}
