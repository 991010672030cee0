package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// view is a consistent view of a bucket for the length of one call. The state
// was taken before the snapshot of the rows, so it is never newer than they are:
// what it claims to have seen is in the rows, or was dropped on purpose.
type view struct {
	c      *Catalog
	number uint64
	state  *pb.BucketState // shared, not to be changed or handed out
	seen   *pb.Vector      // as told to others; only from viewSeen
	self   state.SiteID
	epoch  uint32
	since  uint32
	rows   pebble.Reader // a snapshot
}

// view opens a view of a bucket that exists; the caller closes it.
func (c *Catalog) view(path string) (*view, error) { return c.open(path, false) }

// viewSeen is view, with the vector that the site may tell.
func (c *Catalog) viewSeen(path string) (*view, error) { return c.open(path, true) }

func (c *Catalog) open(path string, seen bool) (*view, error) {
	c.swap.RLock()
	c.mu.RLock()
	b := c.buckets[path]
	if b == nil || b.state.GetDeleted() {
		c.mu.RUnlock()
		c.swap.RUnlock()
		return nil, noBucket(path)
	}
	v := &view{c: c, number: b.state.GetNumber(), state: b.state, self: c.self, epoch: c.epoch, since: c.since}
	if seen {
		v.seen = b.told(c.self)
	}
	c.mu.RUnlock()
	v.rows = c.db.NewSnapshot()
	return v, nil
}

// close ends the view. Closing a snapshot of an open Pebble cannot fail.
func (v *view) close() {
	_ = v.rows.Close()
	v.c.swap.RUnlock()
}

func noBucket(path string) error { return fmt.Errorf("bucket %s: %w", path, ErrNoBucket) }

// pageLimit is a caller's limit within bounds.
func pageLimit(limit int) int {
	if limit <= 0 {
		return defaultPage
	}
	return min(limit, MaxPage)
}

// Buckets returns the state of every bucket that exists, ordered by path.
func (c *Catalog) Buckets() []*pb.BucketState {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := make([]*pb.BucketState, 0, len(c.buckets))
	for _, b := range c.buckets {
		if !b.state.GetDeleted() {
			out = append(out, proto.CloneOf(b.state))
		}
	}
	slices.SortFunc(out, func(a, b *pb.BucketState) int { return strings.Compare(a.GetPath(), b.GetPath()) })
	return out
}

// Bucket returns the state of a bucket, or ErrNoBucket.
func (c *Catalog) Bucket(path string) (*pb.BucketState, error) {
	s, err := c.BucketAny(path)
	if err == nil && s.GetDeleted() {
		return nil, noBucket(path)
	}
	return s, err
}

// BucketAny is Bucket, but finds deleted buckets too.
func (c *Catalog) BucketAny(path string) (*pb.BucketState, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	b := c.buckets[path]
	if b == nil {
		return nil, noBucket(path)
	}
	return proto.CloneOf(b.state), nil
}

// Head returns the greatest version of a key, which may be a tombstone, or
// ErrNoKey when the key has none.
func (c *Catalog) Head(path string, key []byte) (*pb.Record, error) {
	c.swap.RLock()
	defer c.swap.RUnlock()
	number, err := c.number(path)
	if err != nil {
		return nil, err
	}
	_, head, _, err := readHead(c.db, number, key)
	if err == nil && !shown(head) {
		return nil, ErrNoKey
	}
	return head, err
}

// shown reports whether a key's row says more than that its null version was
// purged.
func shown(head *pb.Record) bool {
	return head != nil && head.GetKind() != pb.RecordKind_RECORD_PURGE
}

// number returns the number of a bucket that exists.
func (c *Catalog) number(path string) (uint64, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	b := c.buckets[path]
	if b == nil || b.state.GetDeleted() {
		return 0, noBucket(path)
	}
	return b.state.GetNumber(), nil
}

// Versions returns all versions and deletions kept of a key, greatest first, with
// the history of the null version that S3 does not show; or ErrNoKey.
func (c *Catalog) Versions(path string, key []byte) ([]*pb.Record, error) {
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	records, err := readKey(v.rows, v.number, key)
	if err == nil && len(records) == 0 {
		err = ErrNoKey
	}
	return records, err
}

// ByDot returns a record of any kind by its name, in the form in which a log and a
// scan give it, or ErrNoRecord.
func (c *Catalog) ByDot(path string, dot *pb.Dot) (*pb.Record, error) {
	if err := CheckDot(dot); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoRecord, err)
	}
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	return v.byDot(dot)
}

func (v *view) byDot(dot *pb.Dot) (*pb.Record, error) {
	at, kept, err := readDot(v.rows, v.number, dot)
	if err != nil {
		return nil, err
	}
	if !kept {
		return nil, ErrNoRecord
	}
	r, err := readRecord(v.rows, v.number, dot, at)
	if err == nil && r == nil {
		err = fmt.Errorf("bucket %s is damaged: key %q does not have the record that its dot names", v.state.GetPath(), at.key)
	}
	if err != nil || at.row != rowOwn {
		return r, err
	}
	m, _, _, err := readHead(v.rows, v.number, at.key)
	if err != nil {
		return nil, err
	}
	return travelling(v.rows, v.number, m, r)
}

// Seen returns what this site tells others that it has seen of a bucket: its own
// origin included, without what is pending.
func (c *Catalog) Seen(path string) (*pb.Vector, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	b := c.buckets[path]
	if b == nil || b.state.GetDeleted() {
		return nil, noBucket(path)
	}
	return b.told(c.self), nil
}

// Decide says what Ingest would do now with each record of a peer; with Invalid,
// why[i] is the cause. Records before it in the same list are not taken into
// account.
func (c *Catalog) Decide(path string, records []*pb.Record) (verdicts []Verdict, why []string, err error) {
	return c.decide(path, records, false)
}

// DecideRestore is Decide for records that are all named in Ingest.restore.
func (c *Catalog) DecideRestore(path string, records []*pb.Record) (verdicts []Verdict, why []string, err error) {
	return c.decide(path, records, true)
}

func (c *Catalog) decide(path string, records []*pb.Record, restore bool) (verdicts []Verdict, why []string, err error) {
	pending, err := c.pendingAmong(path, records)
	if err != nil {
		return nil, nil, err
	}
	v, err := c.view(path)
	if err != nil {
		return nil, nil, err
	}
	defer v.close()
	verdicts, why = make([]Verdict, len(records)), make([]string, len(records))
	for i, r := range records {
		if err := CheckRecord(r); err != nil {
			why[i] = err.Error()
			continue
		}
		s, err := v.situation(r)
		if err != nil {
			return nil, nil, err
		}
		s.Pending, s.Restore = pending[i], restore
		if verdicts[i], why[i], err = s.decideNamed(v.rows, v.number, r); err != nil {
			return nil, nil, err
		}
	}
	return verdicts, why, nil
}

// situation is what the verdict about a record depends on, but for what is pending.
func (v *view) situation(r *pb.Record) (Situation, error) {
	k := &keyTxn{key: r.GetKey()}
	if r.GetKind() != pb.RecordKind_RECORD_BUCKET {
		var err error
		if k.meta, k.head, _, err = readHead(v.rows, v.number, k.key); err != nil {
			return Situation{}, err
		}
		if k.nulls, err = readNulls(v.rows, v.number, k.key, k.meta, k.head); err != nil {
			return Situation{}, err
		}
	}
	s, err := situation(v.rows, v.state, k, r)
	s.Self, s.Epoch = v.self, max(v.epoch, v.state.GetEpoch())
	return s, err
}

// pendingAmong reports which records are in a bucket's pending table.
func (c *Catalog) pendingAmong(path string, records []*pb.Record) ([]bool, error) {
	pending := make([]bool, len(records))
	c.mu.RLock()
	defer c.mu.RUnlock()
	b := c.buckets[path]
	if b == nil {
		return nil, noBucket(path)
	}
	if len(b.pending) == 0 {
		return pending, nil
	}
	for i, r := range records {
		pending[i] = CheckDot(r.GetDot()) == nil && b.isPending(idOf(r.GetDot()))
	}
	return pending, nil
}
