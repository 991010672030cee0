package catalog

import (
	"errors"
	"fmt"
	"strings"
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
	// listBytes is the same for pages that stay on the site.
	listBytes = 8 << 20
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
	since    uint32             // the epoch at which the site was restored last
	buckets  map[string]*bucket // by path, deleted ones too
	tenants  map[string]uint64  // by path: stored bytes of all buckets
	watchers map[*Watcher]struct{}
}

// bucket is what is held in memory of one bucket. Readers take its fields under
// the catalog's mu.
type bucket struct {
	state *pb.BucketState // never changed, only replaced
	tree  tree            // over its keys
	// pending names the pending records of each peer, each with what must not be
	// told because of it.
	pending map[state.SiteID]map[dotID]*untold
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
	return &Catalog{db: db, buckets: buckets, tenants: sumTenants(buckets), watchers: make(map[*Watcher]struct{})}, nil
}

// sumTenants adds up what is stored in the buckets of each tenant.
func sumTenants(buckets map[string]*bucket) map[string]uint64 {
	tenants := make(map[string]uint64)
	for path, b := range buckets {
		tenants[tenantOf(path)] += b.state.GetStored()
	}
	return tenants
}

// countStored keeps up a tenant's sum when the state of a bucket changes. The
// catalog's mu is held.
func (c *Catalog) countStored(was, is *pb.BucketState) {
	c.tenants[tenantOf(is.GetPath())] += is.GetStored() - was.GetStored()
}

// tenantOf is the path of the tenant that a bucket belongs to.
func tenantOf(bucket string) string {
	return bucket[:max(0, strings.LastIndexByte(bucket, '/'))]
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
		t, err := loadTree(db, s)
		if err != nil {
			return false, err
		}
		b := &bucket{state: s, tree: t, pending: make(map[state.SiteID]map[dotID]*untold)}
		buckets[s.GetPath()], byNumber[s.GetNumber()] = b, b
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("load buckets: %w", err)
	}
	for number, b := range byNumber {
		lower, upper := bounds(rowPending, number)
		err := scan(db, lower, upper, func(key, value []byte) (bool, error) {
			key = key[prefixLen:]
			if len(key) != 16+dotLen {
				return false, fmt.Errorf("key has %d bytes, not %d", len(key), 16+dotLen)
			}
			p := new(pb.Pending)
			if err := proto.Unmarshal(value, p); err != nil {
				return false, err
			}
			d, err := parseDot(key[16:])
			b.addPending(state.SiteID(key[:16]), d, untoldOf(p.GetRecord()))
			return true, err
		})
		if err != nil {
			return nil, fmt.Errorf("load pending records of bucket %s: %w", b.state.GetPath(), err)
		}
	}
	return buckets, nil
}

func (b *bucket) addPending(peer state.SiteID, d dotID, u *untold) {
	dots := b.pending[peer]
	if dots == nil {
		dots = make(map[dotID]*untold)
		b.pending[peer] = dots
	}
	dots[d] = u
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
// origin included, without what is pending and what that replaces. The catalog's mu is held.
func (b *bucket) told(self state.SiteID) *pb.Vector {
	capped := b.capped.Load()
	if capped == nil {
		except := make([]*pb.Dot, 0, len(b.pending))
		all := false
		for _, pending := range b.pending {
			for _, u := range pending {
				except, all = u.appendTo(except, all)
			}
		}
		capped = told(b.state, except, all)
		b.capped.Store(capped)
	}
	return withOwn(capped, b.state, self)
}

// told is a bucket's seen vector without what must not be told.
func told(s *pb.BucketState, except []*pb.Dot, all bool) *pb.Vector {
	if all {
		return &pb.Vector{Sparse: s.GetSeen().GetSparse()}
	}
	return CapVector(s.GetSeen(), except)
}

// withOwn adds a bucket's own sequence to a vector, and makes it the caller's
// own. A version of this site's own that a pending record replaces is kept here,
// or was dropped here on purpose; so the own origin needs no cap.
func withOwn(v *pb.Vector, s *pb.BucketState, self state.SiteID) *pb.Vector {
	if s.GetSeq() > 0 && !self.IsZero() {
		v = MergeVector(v, &pb.Vector{Upto: []*pb.Dot{{Origin: self.Bytes(), Epoch: s.GetEpoch(), Seq: s.GetSeq()}}})
	}
	return proto.CloneOf(v)
}

// untold is what Untold says of a pending record, in a small form.
type untold struct {
	dots []dotID
	all  bool
}

func (u *untold) appendTo(except []*pb.Dot, all bool) ([]*pb.Dot, bool) {
	for _, d := range u.dots {
		except = append(except, d.dot())
	}
	return except, all || u.all
}

func untoldOf(r *pb.Record) *untold {
	dots, all := Untold(r)
	u := &untold{all: all}
	for _, d := range dots {
		if CheckDot(d) == nil { // the context of a quarantined record can be anything
			u.dots = append(u.dots, idOf(d))
		}
	}
	return u
}

// SetSelf names this site, its epoch, and the epoch at which it was restored last, as
// the config has them. It is called once the config is loaded and whenever its site
// object changes, by the goroutine that applies; before that no record can be written.
func (c *Catalog) SetSelf(self state.SiteID, epoch, since uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.self, c.epoch, c.since = self, epoch, since
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
	c.db, c.buckets, c.tenants = db, buckets, sumTenants(buckets)
	c.mu.Unlock()
	c.swap.Unlock()
	c.wake()
	return nil
}
