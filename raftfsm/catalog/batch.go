package catalog

import (
	"github.com/cockroachdb/pebble/v2"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state/statepb"
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
type Batch struct{}

// Begin starts a batch on a Pebble batch made by NewIndexedBatch of the
// catalog's Pebble. It panics on a batch without an index, which could not show
// later commands what earlier ones wrote.
func (c *Catalog) Begin(batch *pebble.Batch) *Batch { return nil }

// Flush writes what was gathered for the buckets into the Pebble batch. It is
// the last call before the commit, and returns the first failure of the batch.
func (b *Batch) Flush() error { return nil }

// Done makes the committed batch visible to readers and wakes the watchers. It
// panics when Flush was not called.
func (b *Batch) Done() {}

// Write makes a local version or tombstone of a key; now is the entry's time.
// The result's record is the one made, or with CONFLICT the key's head, if any.
// Deleting a key that does not exist is OK and makes no record.
func (b *Batch) Write(cmd *pb.Write, now int64) *raftfsmpb.Result { return nil }

// Ingest takes records of a peer's log and the cursor with them, all or
// nothing. The result counts the records that were kept.
func (b *Batch) Ingest(cmd *pb.Ingest, now int64) *raftfsmpb.Result { return nil }

// CreateUpload starts a multipart upload.
func (b *Batch) CreateUpload(cmd *pb.CreateUpload, now int64) *raftfsmpb.Result { return nil }

// PutPart stores or replaces a part of an upload.
func (b *Batch) PutPart(cmd *pb.PutPart, now int64) *raftfsmpb.Result { return nil }

// AbortUpload removes an upload and its parts.
func (b *Batch) AbortUpload(cmd *pb.AbortUpload) *raftfsmpb.Result { return nil }

// Progress stores what a peer told of itself; without a cursor it forgets the peer.
func (b *Batch) Progress(cmd *pb.PeerProgress) *raftfsmpb.Result { return nil }

// Trim drops the oldest entries of a bucket's log, and tombstones with them. The
// result counts the entries dropped.
func (b *Batch) Trim(cmd *pb.Trim) *raftfsmpb.Result { return nil }

// PutBucket makes a bucket, continues a deleted one with the new incarnation,
// or changes the number of versions kept of one that exists.
func (b *Batch) PutBucket(obj *statepb.Bucket, versions uint32, now int64) *raftfsmpb.Result {
	return nil
}

// CheckDeleteBucket says what DeleteBucket would; it changes nothing. A config
// transaction asks it before it is applied.
func (b *Batch) CheckDeleteBucket(path string) *raftfsmpb.Result { return nil }

// DeleteBucket drops the bucket's records, log, cursors, what peers told, and
// uploads. Kept under the path are the sequence, the generation floor, the seen
// vector, the incarnations, and the pending table: what it names was never
// applied here. It is NOT_EMPTY while a key exists.
func (b *Batch) DeleteBucket(path string) *raftfsmpb.Result { return nil }
