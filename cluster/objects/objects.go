package objects

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// MaxKeySize is the greatest length of a key in bytes.
const MaxKeySize = 1024

// DefaultMemoryBytes bounds the buffers of all writes, and again those of all
// reads, when Options.MemoryBytes is 0.
const DefaultMemoryBytes = 64 << 20

// Proposer commits one command and returns its result. The error says that
// the command was not committed, or that this is unknown; what the command
// itself met is the result's code.
type Proposer func(ctx context.Context, cmd *raftfsmpb.Command) (*raftfsmpb.Result, error)

// Options are what a Store is made of.
type Options struct {
	// Chunks keeps the content. Required.
	Chunks chunks.Store
	// Codec encodes chunks; one for the process. Required.
	Codec *chunks.Codec
	// Catalog is read for records, listings and uploads. Required.
	Catalog *catalog.Catalog
	// Propose commits commands. Required. Its errors are passed on, wrapped.
	Propose Proposer
	// Barrier, when set, is called before a read of the catalog and returns
	// when the catalog has everything that was committed before the call.
	Barrier func(ctx context.Context) error
	// Clock stamps records and uploads; time.Now by default.
	Clock func() time.Time
	// Rand makes the IDs of uploads; crypto/rand by default.
	Rand io.Reader
	// MemoryBytes bounds the buffers of all writes together, and again those
	// of all reads together; DefaultMemoryBytes by default. A write or a read
	// that finds none free waits for its first buffer.
	MemoryBytes int64
}

// Store writes and reads objects. It may be used by any number of goroutines.
type Store struct {
	chunks  chunks.Store
	codec   *chunks.Codec
	catalog *catalog.Catalog
	propose Proposer
	barrier func(context.Context) error
	clock   func() time.Time
	rand    io.Reader

	writing *blockPool
	reading *readBudget
}

// New returns a store.
func New(o Options) (*Store, error) {
	if o.Chunks == nil || o.Codec == nil || o.Catalog == nil || o.Propose == nil {
		return nil, errors.New("make object store: Chunks, Codec, Catalog and Propose are required")
	}
	if o.Barrier == nil {
		o.Barrier = func(context.Context) error { return nil }
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.MemoryBytes == 0 {
		o.MemoryBytes = DefaultMemoryBytes
	}
	return &Store{
		chunks: o.Chunks, codec: o.Codec, catalog: o.Catalog, propose: o.Propose,
		barrier: o.Barrier, clock: o.Clock, rand: o.Rand,
		writing: newBlockPool(o.MemoryBytes),
		reading: newReadBudget(o.MemoryBytes),
	}, nil
}

// checkKey says whether a bucket can have an object of that key.
func checkKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("the key is empty: %w", ErrInvalidKey)
	case len(key) > MaxKeySize:
		return fmt.Errorf("the key has %d bytes, more than %d: %w", len(key), MaxKeySize, ErrInvalidKey)
	case !utf8.ValidString(key):
		return fmt.Errorf("the key is not UTF-8: %w", ErrInvalidKey)
	}
	return nil
}

// CheckBucket returns ErrNoBucket (wrapped) when the bucket does not exist. A
// bucket that was deleted at another node a moment ago may still pass; whatever
// is done with it then fails.
func (s *Store) CheckBucket(ctx context.Context, bucket string) error {
	_, err := s.catalog.Bucket(bucket)
	if errors.Is(err, catalog.ErrNoBucket) {
		// It may just have been made.
		if err := s.barrier(ctx); err != nil {
			return fmt.Errorf("look up bucket %s: %w", bucket, err)
		}
		_, err = s.catalog.Bucket(bucket)
	}
	if err != nil {
		return fmt.Errorf("look up bucket: %w", readError(err))
	}
	return nil
}

// Head returns the record of the key's content. The error is ErrNoKey when
// there is none, which is also what a deleted key gives.
func (s *Store) Head(ctx context.Context, bucket, key string) (*catalogpb.Record, error) {
	if err := checkKey(key); err != nil {
		return nil, fmt.Errorf("read object: %w", err)
	}
	if err := s.barrier(ctx); err != nil {
		return nil, fmt.Errorf("read object: %w", err)
	}
	rec, err := s.catalog.Head(bucket, []byte(key))
	if err != nil {
		return nil, fmt.Errorf("read object %s/%s: %w", bucket, key, readError(err))
	}
	if rec.GetKind() != catalogpb.RecordKind_RECORD_VERSION {
		return nil, fmt.Errorf("read object %s/%s: %w", bucket, key, ErrNoKey)
	}
	return rec, nil
}

// List returns one page of the bucket's objects; see catalog.ListOptions.
func (s *Store) List(ctx context.Context, bucket string, o catalog.ListOptions) (*catalog.ListPage, error) {
	if err := s.barrier(ctx); err != nil {
		return nil, fmt.Errorf("list bucket %s: %w", bucket, err)
	}
	page, err := s.catalog.List(bucket, o)
	if err != nil {
		return nil, fmt.Errorf("list bucket: %w", readError(err))
	}
	return page, nil
}

// readError gives the catalog's errors the names that this package promises.
func readError(err error) error {
	switch {
	case errors.Is(err, catalog.ErrNoBucket):
		return fmt.Errorf("%w: %w", ErrNoBucket, err)
	case errors.Is(err, catalog.ErrNoKey):
		return fmt.Errorf("%w: %w", ErrNoKey, err)
	case errors.Is(err, catalog.ErrNoUpload):
		return fmt.Errorf("%w: %w", ErrNoUpload, err)
	}
	return err
}
