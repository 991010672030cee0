package catalog

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// Errors of the read side. Others mean that Pebble failed or that its content is
// damaged; after one of those a node must not go on as if nothing had happened.
var (
	ErrNoBucket = errors.New("bucket does not exist")
	ErrNoKey    = errors.New("key does not exist")
	ErrNoRecord = errors.New("record is not kept")
	ErrNoUpload = errors.New("upload does not exist")
	ErrNoCursor = errors.New("no cursor is stored")
	// ErrTrimmed says that the log does not go back to the sequence asked for;
	// the reader must scan.
	ErrTrimmed = errors.New("log is trimmed beyond the sequence asked for")
	// ErrAhead says that the sequence asked for is above the log's end; the
	// reader's cursor is of another history, and it must scan.
	ErrAhead = errors.New("sequence asked for is above the log's end")
)

// Limits of the catalog itself.
const (
	// MaxPage is the greatest number of items that a read method returns.
	MaxPage = 10_000
	// MaxPending is the greatest number of pending records of one peer in one
	// bucket.
	MaxPending = 16_384
	// defaultPage is the number of items of a page whose limit is 0.
	defaultPage = 1000
	// pageBytes is about how many bytes of records a page of a log or a scan
	// holds at most.
	pageBytes = 1 << 20
)

// Catalog is the site's index of records. Its read methods may be called from
// any goroutine; Begin, SetSelf and Swap belong to the one goroutine that applies
// the raft log. Messages that read methods return are the caller's own.
type Catalog struct {
	// swap is held for reading by whoever uses db, for the length of a call.
	swap sync.RWMutex
	db   *pebble.DB

	// mu guards the rest. It is taken after swap and held briefly, never while
	// Pebble works. Only the goroutine that applies changes what it guards, so
	// that goroutine reads without it.
	mu       sync.RWMutex
	self     state.SiteID
	epoch    uint32
	buckets  map[string]*bucket // by path, deleted ones too
	watchers map[*Watcher]struct{}
}

// bucket is what is held in memory of one bucket. Readers take its fields under
// the catalog's mu.
type bucket struct {
	state   *pb.BucketState // never changed, only replaced
	pending map[state.SiteID]map[dotID]struct{}
	// capped is state.seen without what is pending; nil until somebody asks.
	capped atomic.Pointer[pb.Vector]
}

// New reads what a Pebble holds of the catalog. The Pebble stays the caller's;
// it must outlive the catalog's use. It should have bloom filters: most keys that
// are written do not exist yet.
func New(db *pebble.DB) (*Catalog, error) {
	buckets, err := load(db)
	if err != nil {
		return nil, err
	}
	return &Catalog{db: db, buckets: buckets, watchers: make(map[*Watcher]struct{})}, nil
}

// load reads the buckets' states and the names of the pending records.
func load(db *pebble.DB) (map[string]*bucket, error) {
	buckets := make(map[string]*bucket)
	byNumber := make(map[uint64]*bucket)
	err := scan(db, []byte{rowBucket}, successor([]byte{rowBucket}), func(key, value []byte) (bool, error) {
		s := new(pb.BucketState)
		if err := proto.Unmarshal(value, s); err != nil {
			return false, err
		}
		if s.GetPath() != string(key[1:]) || s.GetNumber() == 0 || byNumber[s.GetNumber()] != nil {
			return false, fmt.Errorf("state of bucket %q is damaged: path %q, number %d", key[1:], s.GetPath(), s.GetNumber())
		}
		b := &bucket{state: s, pending: make(map[state.SiteID]map[dotID]struct{})}
		buckets[s.GetPath()], byNumber[s.GetNumber()] = b, b
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("load buckets: %w", err)
	}
	for number, b := range byNumber {
		lower, upper := bounds(rowPending, number)
		err := scan(db, lower, upper, func(key, _ []byte) (bool, error) {
			key = key[prefixLen:]
			if len(key) != 16+dotLen {
				return false, fmt.Errorf("key has %d bytes, not %d", len(key), 16+dotLen)
			}
			d, err := parseDot(key[16:])
			b.addPending(state.SiteID(key[:16]), d)
			return true, err
		})
		if err != nil {
			return nil, fmt.Errorf("load pending records of bucket %s: %w", b.state.GetPath(), err)
		}
	}
	return buckets, nil
}

func (b *bucket) addPending(peer state.SiteID, d dotID) {
	dots := b.pending[peer]
	if dots == nil {
		dots = make(map[dotID]struct{})
		b.pending[peer] = dots
	}
	dots[d] = struct{}{}
}

func (b *bucket) removePending(peer state.SiteID, d dotID) {
	delete(b.pending[peer], d)
	if len(b.pending[peer]) == 0 {
		delete(b.pending, peer)
	}
}

func (b *bucket) isPending(d dotID) bool {
	for _, dots := range b.pending {
		if _, ok := dots[d]; ok {
			return true
		}
	}
	return false
}

// told is what the site may tell others that it has seen of the bucket: its own
// origin included, without what is pending. The catalog's mu is held.
func (b *bucket) told(self state.SiteID) *pb.Vector {
	capped := b.capped.Load()
	if capped == nil {
		var dots []*pb.Dot
		for _, pending := range b.pending {
			for d := range pending {
				dots = append(dots, d.dot())
			}
		}
		capped = CapVector(b.state.GetSeen(), dots)
		b.capped.Store(capped)
	}
	own := &pb.Vector{}
	if b.state.GetSeq() > 0 && !self.IsZero() {
		own.Upto = []*pb.Dot{{Origin: self.Bytes(), Epoch: b.state.GetEpoch(), Seq: b.state.GetSeq()}}
	}
	return proto.CloneOf(MergeVector(capped, own))
}

// SetSelf names this site and its epoch, as the config has them. It is called
// once the config is loaded and whenever its site object changes, by the
// goroutine that applies; before that no record can be written.
func (c *Catalog) SetSelf(self state.SiteID, epoch uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.self, c.epoch = self, epoch
}

// Swap replaces the Pebble after a snapshot was restored. It waits for the read
// calls under way, so that the former Pebble can be closed afterwards, and wakes
// the watchers. After an error the catalog still uses the former one.
func (c *Catalog) Swap(db *pebble.DB) error {
	buckets, err := load(db)
	if err != nil {
		return err
	}
	c.swap.Lock()
	c.mu.Lock()
	c.db, c.buckets = db, buckets
	c.mu.Unlock()
	c.swap.Unlock()
	c.wake()
	return nil
}
