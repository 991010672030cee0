package catalog

import (
	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// Buckets returns the state of every bucket that exists, ordered by path.
func (c *Catalog) Buckets() []*pb.BucketState { return nil }

// Bucket returns the state of a bucket, or ErrNoBucket.
func (c *Catalog) Bucket(path string) (*pb.BucketState, error) { return nil, nil }

// BucketAny is Bucket, but finds deleted buckets too.
func (c *Catalog) BucketAny(path string) (*pb.BucketState, error) { return nil, nil }

// Head returns the greatest version of a key, which may be a tombstone, or
// ErrNoKey when no record of the key is kept.
func (c *Catalog) Head(path string, key []byte) (*pb.Record, error) { return nil, nil }

// Versions returns all records kept of a key, greatest first, or ErrNoKey.
func (c *Catalog) Versions(path string, key []byte) ([]*pb.Record, error) { return nil, nil }

// ByDot returns a record by its name, or ErrNoRecord.
func (c *Catalog) ByDot(path string, dot *pb.Dot) (*pb.Record, error) { return nil, nil }

// ListOptions select a page of a listing. The zero value lists everything.
type ListOptions struct {
	Prefix    []byte
	Delimiter []byte // keys that have it after the prefix are rolled up
	After     []byte // only what is greater; a rolled-up prefix counts as its own name
	From      []byte // where the page before said to go on: its Next
	Limit     int    // items; 1,000 when it is 0, at most MaxPage
}

// ListItem is a live head, or a prefix that rolls up at least one.
type ListItem struct {
	Record       *pb.Record
	CommonPrefix []byte
}

// ListPage is a page of live heads in the order of their keys.
type ListPage struct {
	Items     []ListItem
	Next      []byte // with Truncated: From of the next page
	Truncated bool   // there may be more; the page can be short, even empty
}

// List returns the live heads of a bucket. The cost of a page does not depend on
// the number of keys, nor on how many a common prefix rolls up.
func (c *Catalog) List(path string, o ListOptions) (*ListPage, error) { return nil, nil }

// LogItem is an entry of a bucket's log.
type LogItem struct {
	Seq   uint64
	Entry *pb.LogEntry
	// Record is nil when it is not kept any more, or not worth sending: it is
	// history of a deleted key. Its successor has an entry of its own, further on.
	Record *pb.Record
}

// LogPage is a run of a bucket's log.
type LogPage struct {
	From, To uint64 // the sequences accounted for; To is From-1 in an empty page
	Entries  []LogItem
	AtEnd    bool
	// Seen is set at the end: what this site has seen, its own origin included,
	// without what is pending. Whoever has taken the log up to To may claim it.
	Seen *pb.Vector
	// Incarnation and Epoch are the bucket's and the site's.
	Incarnation []byte
	Epoch       uint32
}

// Log returns the entries after a sequence, at most limit (1,000 when it is 0)
// and about 1 MiB. It is ErrTrimmed or ErrAhead when the log cannot go on there.
func (c *Catalog) Log(path string, after uint64, limit int) (*LogPage, error) { return nil, nil }

// ScanPage holds the records of a range of keys.
type ScanPage struct {
	Records     []*pb.Record // whole keys in order, the records of a key greatest first
	NextKey     []byte       // where the next page begins
	Done        bool         // no key from NextKey on
	Seq         uint64       // the bucket's last sequence, at most that of the view
	Seen        *pb.Vector   // as in LogPage, at Seq
	Incarnation []byte
	Epoch       uint32
}

// ScanKeys returns the records of the keys from a key on, at most limit (1,000
// when it is 0) and about 1 MiB, and always whole keys. Of a deleted key it
// returns the tombstone alone.
func (c *Catalog) ScanKeys(path string, from []byte, limit int) (*ScanPage, error) { return nil, nil }

// DroppedThere compares this site with a page of a sender's scan: it returns the
// local live heads of keys from fromKey (inclusive) up to nextKey (exclusive, nil
// for the end) that the sender has dropped on purpose, by the rule of the same
// name. senderRecords are the page's records, ordered by key, and senderSeen its
// vector. It looks at a bounded number of keys; when more is left, resume is
// where to go on. The caller deletes each with the condition that it still is
// the head.
func (c *Catalog) DroppedThere(path string, fromKey, nextKey []byte, senderRecords []*pb.Record, senderSeen *pb.Vector) (dropped []*pb.Record, resume []byte, err error) {
	return nil, nil, nil
}

// Decide says what Ingest would do now with each record of a peer; with Invalid,
// why[i] is the cause. Records before it in the same list are not taken into
// account.
func (c *Catalog) Decide(path string, records []*pb.Record) (verdicts []Verdict, why []string, err error) {
	return nil, nil, nil
}

// Seen returns what this site tells others that it has seen of a bucket: its own
// origin included, without what is pending.
func (c *Catalog) Seen(path string) (*pb.Vector, error) { return nil, nil }

// Cursor returns how far this site has taken a peer's log, or ErrNoCursor.
func (c *Catalog) Cursor(path string, peer state.SiteID) (*pb.Cursor, error) { return nil, nil }

// Pending returns records of a peer that are not applied yet, in the order of
// their dots, at most limit (1,000 when it is 0), after the given dot.
func (c *Catalog) Pending(path string, peer state.SiteID, after *pb.Dot, limit int) ([]*pb.Pending, error) {
	return nil, nil
}

// PendingCount returns the number of pending records of a peer.
func (c *Catalog) PendingCount(path string, peer state.SiteID) (int, error) { return 0, nil }

// Progress returns what a peer told of itself, or ErrNoCursor.
func (c *Catalog) Progress(path string, peer state.SiteID) (*pb.PeerProgress, error) { return nil, nil }

// Behind is how far a peer is behind this site in one bucket.
type Behind struct {
	Entries   uint64 // versions that the peer does not have yet
	Bytes     uint64 // their logical bytes
	Oldest    int64  // when the oldest of them was committed here; 0 when there is none
	OldestKey []byte
	Estimated bool // too many to count: Entries and Bytes are extrapolated
	Scan      bool // the peer must scan, or does: the figures are the bucket's
}

// Behind computes how far a peer is behind from what it told last; see [Behind].
// It looks at a bounded number of entries.
func (c *Catalog) Behind(path string, peer state.SiteID) (*Behind, error) { return nil, nil }

// Upload returns an upload under way, or ErrNoUpload.
func (c *Catalog) Upload(path, id string) (*pb.Upload, error) { return nil, nil }

// Uploads returns the uploads under way of keys with a prefix, ordered by key and
// id, after the given pair, at most limit (1,000 when it is 0).
func (c *Catalog) Uploads(path string, prefix, afterKey []byte, afterID string, limit int) (uploads []*pb.Upload, more bool, err error) {
	return nil, false, nil
}

// Parts returns the parts of an upload, ordered by number, after a number, at
// most limit (1,000 when it is 0).
func (c *Catalog) Parts(path, id string, after uint32, limit int) (parts []*pb.Part, more bool, err error) {
	return nil, false, nil
}

// MaxPage is the greatest number of items that a read method returns.
const MaxPage = 10_000

// MaxPending is the greatest number of pending records of one peer in one bucket.
const MaxPending = 16_384

// PartListDigest is the BLAKE3-256 of a canonical encoding of parts in the given
// order: their numbers, contents and ETags.
func PartListDigest(parts []*pb.Part) []byte { return nil }
