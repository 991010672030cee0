package catalog

import (
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2"

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

// Catalog is the site's index of records. Its read methods may be called from
// any goroutine; Begin, SetSelf and Swap belong to the goroutine that applies
// the raft log.
type Catalog struct {
	swap sync.RWMutex // held for reading by whoever uses db
	db   *pebble.DB

	mu       sync.RWMutex // taken after swap, held briefly
	self     state.SiteID
	epoch    uint32
	buckets  map[string]*bucket
	watchers map[*Watcher]struct{}
}

type bucket struct {
	state *pb.BucketState
}

// New reads what a Pebble holds of the catalog. The Pebble stays the caller's;
// it must outlive the catalog's use.
func New(db *pebble.DB) (*Catalog, error) { return nil, nil }

// SetSelf names this site and its epoch, as the config has them. It is called
// once the config is loaded and whenever its site object changes, by the
// goroutine that applies; before that no record can be written.
func (c *Catalog) SetSelf(self state.SiteID, epoch uint32) {}

// Swap replaces the Pebble after a snapshot was restored. It waits for the read
// calls under way, so that the former Pebble can be closed afterwards, and wakes
// the watchers.
func (c *Catalog) Swap(db *pebble.DB) error { return nil }

// Digest returns the set hash of the whole catalog, 32 bytes. It is equal on
// all nodes of a site that have applied the same raft index.
func (c *Catalog) Digest() []byte { return nil }

// Watch returns a watcher that is signalled after every committed batch.
func (c *Catalog) Watch() *Watcher { return nil }

// Watcher signals that something was committed. Signals coalesce: whoever
// receives one looks at everything that matters to it.
type Watcher struct {
	C <-chan struct{}
}

// Stop ends the signals and frees the watcher. It may be called more than once.
func (w *Watcher) Stop() {}
