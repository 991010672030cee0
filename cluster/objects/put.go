package objects

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// Conditions must hold when a write is applied. Those left empty hold always.
type Conditions struct {
	// IfMatch is the ETag that the key's content must have, without quotes,
	// or * for any content.
	IfMatch string
	// IfNoneMatch is an ETag that the content must not have, or * when the
	// key must have none.
	IfNoneMatch string
	// Head, when set, is the record that must be the key's newest.
	Head *catalogpb.Dot
	// Modified and Size, when set, are the time in whole seconds and the length in
	// bytes that the content must have. They are for deletions.
	Modified *time.Time
	Size     *uint64
}

func (c Conditions) message() *catalogpb.Conditions {
	if c == (Conditions{}) {
		return nil
	}
	m := &catalogpb.Conditions{IfMatch: c.IfMatch, IfNoneMatch: c.IfNoneMatch, Head: c.Head, IfSize: c.Size}
	if c.Modified != nil {
		at := c.Modified.UnixNano()
		m.IfModified = &at
	}
	return m
}

// PutRequest is what Put writes.
type PutRequest struct {
	Bucket string // path, Namespace/Tenant/bucket
	Key    string
	// Body is read to its io.EOF during the call and not after it.
	Body io.Reader
	// Size is the number of bytes announced, or -1 when that is unknown.
	Size int64
	// Headers are the system headers to keep, names in lower case.
	Headers map[string]string
	// Metadata is the user's metadata, names in lower case without x-amz-meta-.
	Metadata map[string]string
	// Tags and Lock are what the version begins with. A version without a lock gets
	// the bucket's default. A lock is ErrNoLock in a bucket without object lock.
	Tags       map[string]string
	Lock       *catalogpb.Lock
	Conditions Conditions
}

// Put stores an object and returns its record. The maps are the caller's own
// again when it returns. Conditions are evaluated when the record is applied,
// after the body was read.
func (s *Store) Put(ctx context.Context, r PutRequest) (*catalogpb.Record, error) {
	if err := checkKey(r.Key); err != nil {
		return nil, fmt.Errorf("put object: %w", err)
	}
	if err := s.checkTarget(ctx, r.Bucket, r.Lock); err != nil {
		return nil, fmt.Errorf("put object: %w", err)
	}
	c, err := s.storeBody(ctx, r.Body, r.Size)
	if err != nil {
		return nil, fmt.Errorf("put object %s/%s: %w", r.Bucket, r.Key, err)
	}
	rec, err := s.write(ctx, &catalogpb.Write{
		Bucket: r.Bucket,
		Record: &catalogpb.Record{
			Key:      []byte(r.Key),
			Kind:     catalogpb.RecordKind_RECORD_VERSION,
			Root:     rootMessage(c.ref),
			Etag:     hex.EncodeToString(c.md5[:]),
			Headers:  r.Headers,
			Metadata: r.Metadata,
			Tags:     r.Tags,
			Lock:     r.Lock,
		},
		Conditions: r.Conditions.message(),
	})
	if err != nil {
		return nil, fmt.Errorf("put object %s/%s: %w", r.Bucket, r.Key, err)
	}
	return rec, nil
}

// CopyRequest says where a copy goes and what it is given.
type CopyRequest struct {
	Bucket string // path of the target
	Key    string
	// Replace gives the copy these headers and this metadata; without it they
	// are the source's.
	Replace  bool
	Headers  map[string]string
	Metadata map[string]string
	// Tags and Lock are as in PutRequest. Those of the source are not taken over.
	Tags       map[string]string
	Lock       *catalogpb.Lock
	Conditions Conditions
}

// Copy makes a version with the content of source, a record that Head or Get
// returned. No content is read or written. The copy keeps the source's ETag.
func (s *Store) Copy(ctx context.Context, source *catalogpb.Record, r CopyRequest) (*catalogpb.Record, error) {
	if err := checkKey(r.Key); err != nil {
		return nil, fmt.Errorf("copy object: %w", err)
	}
	if err := s.checkTarget(ctx, r.Bucket, r.Lock); err != nil {
		return nil, fmt.Errorf("copy object: %w", err)
	}
	rec := &catalogpb.Record{
		Key:           []byte(r.Key),
		Kind:          catalogpb.RecordKind_RECORD_VERSION,
		Root:          source.GetRoot(),
		Etag:          source.GetEtag(),
		PartSizes:     source.GetPartSizes(),
		PartChecksums: source.GetPartChecksums(),
		Headers:       withUpload(source.GetHeaders(), ""),
		Metadata:      source.GetMetadata(),
		Tags:          r.Tags,
		Lock:          r.Lock,
	}
	if r.Replace {
		rec.Headers, rec.Metadata = r.Headers, r.Metadata
	}
	for name, value := range source.GetHeaders() {
		if strings.HasPrefix(name, ChecksumPrefix) && rec.GetHeaders()[name] != value {
			rec.PartChecksums = nil // they are of that algorithm
		}
	}
	out, err := s.write(ctx, &catalogpb.Write{Bucket: r.Bucket, Record: rec, Conditions: r.Conditions.message()})
	if err != nil {
		return nil, fmt.Errorf("copy object to %s/%s: %w", r.Bucket, r.Key, err)
	}
	return out, nil
}

// write proposes one record.
func (s *Store) write(ctx context.Context, w *catalogpb.Write) (*catalogpb.Record, error) {
	w.Record.Time = s.clock().UnixNano()
	res, err := s.propose(ctx, &raftfsmpb.Command{Command: &raftfsmpb.Command_Write{Write: w}})
	if err != nil {
		return nil, fmt.Errorf("commit record: %w", err)
	}
	if res.GetCode() == raftfsmpb.Code_OK {
		return res.GetRecord(), nil
	}
	return nil, fmt.Errorf("commit record: %w", s.refusal(w, res))
}

// refusal names the reason why a write was not applied.
func (s *Store) refusal(w *catalogpb.Write, res *raftfsmpb.Result) error {
	switch res.GetCode() {
	case raftfsmpb.Code_CONFLICT:
		return conflict(w.GetConditions(), res)
	case raftfsmpb.Code_PARTS_CHANGED:
		return fmt.Errorf("%s: %w", res.GetMessage(), ErrUploadChanged)
	case raftfsmpb.Code_NOT_FOUND:
		if _, err := s.catalog.Bucket(w.GetBucket()); err == nil && w.GetUpload() != "" {
			return fmt.Errorf("%s: %w", res.GetMessage(), ErrNoUpload)
		}
		return fmt.Errorf("%s: %w", res.GetMessage(), ErrNoBucket)
	}
	return refused(res)
}

// conflict names the condition that did not hold.
func conflict(c *catalogpb.Conditions, res *raftfsmpb.Result) error {
	if c.GetIfMatch() != "" && res.GetRecord().GetKind() != catalogpb.RecordKind_RECORD_VERSION {
		return fmt.Errorf("%s: %w", res.GetMessage(), ErrNoKey)
	}
	return fmt.Errorf("%s: %w", res.GetMessage(), ErrPrecondition)
}

// refused names what any command may meet.
func refused(res *raftfsmpb.Result) error {
	switch res.GetCode() {
	case raftfsmpb.Code_CONFLICT:
		return fmt.Errorf("%s: %w", res.GetMessage(), ErrPrecondition)
	case raftfsmpb.Code_NOT_FOUND:
		return fmt.Errorf("%s: %w", res.GetMessage(), ErrNoBucket)
	case raftfsmpb.Code_INVALID:
		return fmt.Errorf("%s: %w", res.GetMessage(), ErrInvalid)
	case raftfsmpb.Code_QUOTA:
		return fmt.Errorf("%s: %w", res.GetMessage(), ErrQuota)
	case raftfsmpb.Code_LOCKED:
		return fmt.Errorf("%s: %w", res.GetMessage(), ErrLocked)
	}
	return fmt.Errorf("refused with %v: %s", res.GetCode(), res.GetMessage())
}

// rootMessage and RootRef convert between the two forms of a root.
func rootMessage(r manifest.Ref) *catalogpb.Root {
	if r.IsEmpty() {
		return &catalogpb.Root{}
	}
	return &catalogpb.Root{Level: uint32(r.Level), Id: r.ID[:], Size: r.Size}
}

// RootRef reads the root of a record or of a part. The error wraps
// chunks.ErrCorrupt.
func RootRef(m *catalogpb.Root) (manifest.Ref, error) {
	if len(m.GetId()) == 0 && m.GetSize() == 0 && m.GetLevel() == 0 {
		return manifest.Ref{}, nil
	}
	id, err := chunks.IDFromBytes(m.GetId())
	if err != nil {
		return manifest.Ref{}, fmt.Errorf("read root: %w: %w", err, chunks.ErrCorrupt)
	}
	if m.GetLevel() > manifest.MaxLevel {
		return manifest.Ref{}, fmt.Errorf("read root: level %d: %w", m.GetLevel(), chunks.ErrCorrupt)
	}
	ref := manifest.Ref{Level: uint8(m.GetLevel()), ID: id, Size: m.GetSize()}
	return ref, ref.Validate()
}
