package objects

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

const (
	// MinPartSize is the least size in bytes of a part that is not the last.
	MinPartSize = 5 << 20
	// MaxParts is the greatest number of a part.
	MaxParts = 10000
)

// CreateUploadRequest says what the object of an upload will be.
type CreateUploadRequest struct {
	Bucket string
	Key    string
	// Headers and Metadata are as in PutRequest. Headers that begin with
	// UploadPrefix belong to the upload alone.
	Headers  map[string]string
	Metadata map[string]string
	// Tags and Lock are as in PutRequest; a default lock is that of the time of
	// completion.
	Tags map[string]string
	Lock *catalogpb.Lock
}

// CreateUpload begins a multipart upload.
func (s *Store) CreateUpload(ctx context.Context, r CreateUploadRequest) (*catalogpb.Upload, error) {
	if err := checkKey(r.Key); err != nil {
		return nil, fmt.Errorf("create upload: %w", err)
	}
	if err := s.checkTarget(ctx, r.Bucket, r.Lock); err != nil {
		return nil, fmt.Errorf("create upload: %w", err)
	}
	now := s.clock()
	var random [8]byte
	if _, err := io.ReadFull(s.rand, random[:]); err != nil {
		return nil, fmt.Errorf("create upload: make its ID: %w", err)
	}
	up := &catalogpb.Upload{
		// The time first, so that a listing by ID is one by time.
		Id:      fmt.Sprintf("%016x%x", now.UnixNano(), random),
		Bucket:  r.Bucket,
		Key:     []byte(r.Key),
		Created: now.UnixNano(), Headers: r.Headers, Metadata: r.Metadata, Tags: r.Tags, Lock: r.Lock,
	}
	err := s.proposeUpload(ctx, r.Bucket, &raftfsmpb.Command{Command: &raftfsmpb.Command_CreateUpload{
		CreateUpload: &catalogpb.CreateUpload{Upload: up}}})
	if err != nil {
		return nil, fmt.Errorf("create upload of %s/%s: %w", r.Bucket, r.Key, err)
	}
	return up, nil
}

// PutPartRequest is what PutPart stores.
type PutPartRequest struct {
	Bucket string
	Key    string
	Upload string
	Number int // 1 to MaxParts
	// Body and Size are as in PutRequest.
	Body io.Reader
	Size int64
	// Checksums is called once the body was read to its end, and returns the
	// checksums to be kept with the part, by the names of a record's headers. Nil
	// keeps none.
	Checksums func() map[string]string
}

// PutPart stores one part and returns it. A part of the same number that was
// there before is replaced.
func (s *Store) PutPart(ctx context.Context, r PutPartRequest) (*catalogpb.Part, error) {
	if r.Number < 1 || r.Number > MaxParts {
		return nil, fmt.Errorf("put part: its number %d is not within 1 to %d: %w", r.Number, MaxParts, ErrInvalid)
	}
	if _, err := s.Upload(ctx, r.Bucket, r.Key, r.Upload); err != nil {
		return nil, fmt.Errorf("put part: %w", err)
	}
	c, err := s.storeBody(ctx, r.Body, r.Size)
	if err != nil {
		return nil, fmt.Errorf("put part %d of %s/%s: %w", r.Number, r.Bucket, r.Key, err)
	}
	return s.putPart(ctx, r, c.ref, hex.EncodeToString(c.md5[:]))
}

// CopyPart makes a part out of n bytes at off of an object; n is -1 for all
// that follow. Body and Size of r are not used. A whole object that was
// uploaded in one piece is not read; any other range is, to know its MD5, and so is
// any when through is set: the bytes are then read through what it returns.
func (s *Store) CopyPart(ctx context.Context, r PutPartRequest, source *Object, off, n int64, through func(io.Reader) (io.Reader, error)) (*catalogpb.Part, error) {
	if n < 0 {
		n = source.Size() - off
	}
	rec := source.Record
	if through == nil && off == 0 && n == source.Size() && len(rec.GetPartSizes()) == 0 && len(rec.GetEtag()) == 2*md5.Size {
		if r.Number < 1 || r.Number > MaxParts {
			return nil, fmt.Errorf("copy part: its number %d is not within 1 to %d: %w", r.Number, MaxParts, ErrInvalid)
		}
		if _, err := s.Upload(ctx, r.Bucket, r.Key, r.Upload); err != nil {
			return nil, fmt.Errorf("copy part: %w", err)
		}
		return s.putPart(ctx, r, source.ref, rec.GetEtag())
	}
	body, err := source.Reader(ctx, off, n)
	if err != nil {
		return nil, fmt.Errorf("copy part: %w", err)
	}
	defer body.Close()
	r.Body, r.Size = body, n
	if through != nil {
		if r.Body, err = through(body); err != nil {
			return nil, fmt.Errorf("copy part: %w", err)
		}
	}
	return s.PutPart(ctx, r)
}

func (s *Store) putPart(ctx context.Context, r PutPartRequest, ref manifest.Ref, etag string) (*catalogpb.Part, error) {
	part := &catalogpb.Part{Number: uint32(r.Number), Root: rootMessage(ref), Etag: etag, Time: s.clock().UnixNano()}
	if r.Checksums != nil {
		part.Checksums = r.Checksums()
	}
	err := s.proposeUpload(ctx, r.Bucket, &raftfsmpb.Command{Command: &raftfsmpb.Command_PutPart{
		PutPart: &catalogpb.PutPart{Bucket: r.Bucket, Upload: r.Upload, Part: part}}})
	if err != nil {
		return nil, fmt.Errorf("put part %d of %s/%s: %w", r.Number, r.Bucket, r.Key, err)
	}
	return part, nil
}

// AbortUpload ends an upload and forgets its parts.
func (s *Store) AbortUpload(ctx context.Context, bucket, key, upload string) error {
	if _, err := s.Upload(ctx, bucket, key, upload); err != nil {
		return fmt.Errorf("abort upload: %w", err)
	}
	err := s.proposeUpload(ctx, bucket, &raftfsmpb.Command{Command: &raftfsmpb.Command_AbortUpload{
		AbortUpload: &catalogpb.AbortUpload{Bucket: bucket, Upload: upload}}})
	if err != nil {
		return fmt.Errorf("abort upload of %s/%s: %w", bucket, key, err)
	}
	return nil
}

// proposeUpload proposes a command about an upload and names what it met.
func (s *Store) proposeUpload(ctx context.Context, bucket string, cmd *raftfsmpb.Command) error {
	res, err := s.propose(ctx, cmd)
	switch {
	case err != nil:
		return fmt.Errorf("commit: %w", err)
	case res.GetCode() == raftfsmpb.Code_OK:
		return nil
	case res.GetCode() == raftfsmpb.Code_NOT_FOUND:
		if _, err := s.catalog.Bucket(bucket); err != nil {
			return fmt.Errorf("%s: %w", res.GetMessage(), ErrNoBucket)
		}
		return fmt.Errorf("%s: %w", res.GetMessage(), ErrNoUpload)
	}
	return refused(res)
}

// Upload returns an upload of the key that is under way.
func (s *Store) Upload(ctx context.Context, bucket, key, upload string) (*catalogpb.Upload, error) {
	if err := s.CheckBucket(ctx, bucket); err != nil {
		return nil, err
	}
	up, err := s.catalog.Upload(bucket, upload)
	if err != nil {
		return nil, fmt.Errorf("look up upload %q: %w", upload, readError(err))
	}
	if string(up.GetKey()) != key {
		return nil, fmt.Errorf("look up upload %q: it is of another key: %w", upload, ErrNoUpload)
	}
	return up, nil
}

// Parts returns up to limit parts of an upload with numbers above after, in
// order, and whether there are more.
func (s *Store) Parts(ctx context.Context, bucket, key, upload string, after uint32, limit int) (parts []*catalogpb.Part, more bool, err error) {
	if _, err := s.Upload(ctx, bucket, key, upload); err != nil {
		return nil, false, fmt.Errorf("list parts: %w", err)
	}
	parts, more, err = s.catalog.Parts(bucket, upload, after, limit)
	if err != nil {
		return nil, false, fmt.Errorf("list parts: %w", readError(err))
	}
	return parts, more, nil
}

// CompletePart names a part of a completed object.
type CompletePart struct {
	Number int
	ETag   string // without quotes
}

// CompleteRequest says what a completed object consists of.
type CompleteRequest struct {
	Bucket, Key, Upload string
	Parts               []CompletePart
	// Size, unless negative, is what the parts' sizes must add up to.
	Size       int64
	Conditions Conditions
	// Checksums, when set, sees the upload and the parts before anything is made
	// of them, and returns the checksums of the object, by the names of a record's
	// headers, and those of its parts, if they are to be kept. Its error refuses
	// the completion.
	Checksums func(up *catalogpb.Upload, parts []*catalogpb.Part) (object map[string]string, ofParts [][]byte, err error)
	// Verify, when set, sees the content before it is committed; its error
	// refuses the completion.
	Verify func(ctx context.Context, o *Object) error
}

// CompleteUpload makes an object out of parts. Its chunks and manifest are
// those that its bytes would have in one piece. Completing again what was just
// completed with the same parts returns the object.
func (s *Store) CompleteUpload(ctx context.Context, r CompleteRequest) (*catalogpb.Record, error) {
	rec, err := s.completeUpload(ctx, r)
	if errors.Is(err, ErrNoUpload) {
		if done := s.completed(ctx, r); done != nil {
			return done, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("complete upload of %s/%s: %w", r.Bucket, r.Key, err)
	}
	return rec, nil
}

func (s *Store) completeUpload(ctx context.Context, r CompleteRequest) (*catalogpb.Record, error) {
	up, err := s.Upload(ctx, r.Bucket, r.Key, r.Upload)
	if err != nil {
		return nil, err
	}
	have, err := s.allParts(ctx, r.Bucket, r.Upload)
	if err != nil {
		return nil, err
	}
	used, err := chooseParts(r.Parts, have)
	if err != nil {
		return nil, err
	}
	etag, err := partsETag(r.Parts)
	if err != nil {
		return nil, err
	}
	headers := withUpload(up.GetHeaders(), r.Upload)
	var checksums [][]byte
	if r.Checksums != nil {
		var object map[string]string
		if object, checksums, err = r.Checksums(up, used); err != nil {
			return nil, err
		}
		maps.Copy(headers, object)
	}
	var size int64
	refs, sizes, numbers := make([]manifest.Ref, len(used)), make([]uint64, len(used)), make([]uint32, len(used))
	for i, p := range used {
		if refs[i], err = RootRef(p.GetRoot()); err != nil {
			return nil, fmt.Errorf("part %d: %w", p.GetNumber(), err)
		}
		sizes[i], numbers[i] = refs[i].Size, p.GetNumber()
		size += int64(refs[i].Size)
	}
	if r.Size >= 0 && r.Size != size {
		return nil, fmt.Errorf("the parts have %d bytes, not %d: %w", size, r.Size, ErrBodySize)
	}
	root, err := s.join(ctx, refs)
	if err != nil {
		return nil, err
	}
	rec := &catalogpb.Record{
		Key:           []byte(r.Key),
		Kind:          catalogpb.RecordKind_RECORD_VERSION,
		Root:          rootMessage(root),
		Etag:          etag,
		Headers:       headers,
		Metadata:      up.GetMetadata(),
		PartSizes:     sizes,
		PartChecksums: checksums,
		Tags:          up.GetTags(),
		Lock:          up.GetLock(),
	}
	if r.Verify != nil {
		if err := r.Verify(ctx, &Object{Record: rec, store: s, ref: root}); err != nil {
			return nil, err
		}
	}
	return s.write(ctx, &catalogpb.Write{
		Bucket:         r.Bucket,
		Record:         rec,
		Conditions:     r.Conditions.message(),
		Upload:         r.Upload,
		PartListDigest: catalog.PartListDigest(used),
		Parts:          numbers,
	})
}

const (
	// UploadPrefix begins the headers of an upload that its object does not get.
	UploadPrefix = "x-isgw-"
	// ChecksumPrefix begins the headers that keep checksums.
	ChecksumPrefix = "x-amz-checksum-"
	// uploadHeader is the record header that names the upload which made a version.
	uploadHeader = UploadPrefix + "upload"
)

// withUpload returns a copy of headers that names an upload, or none.
func withUpload(headers map[string]string, upload string) map[string]string {
	out := make(map[string]string, len(headers)+1)
	for name, value := range headers {
		if !strings.HasPrefix(name, UploadPrefix) {
			out[name] = value
		}
	}
	if upload != "" {
		out[uploadHeader] = upload
	}
	return out
}

// completed returns the key's content when it is what r asks for, made by the
// same upload out of the same parts. S3 answers a repeated completion so.
func (s *Store) completed(ctx context.Context, r CompleteRequest) *catalogpb.Record {
	etag, err := partsETag(r.Parts)
	if err != nil {
		return nil
	}
	head, err := s.Head(ctx, r.Bucket, r.Key)
	if err != nil || head.GetHeaders()[uploadHeader] != r.Upload || head.GetEtag() != etag {
		return nil
	}
	return head
}

// allParts returns every part of an upload by its number.
func (s *Store) allParts(ctx context.Context, bucket, upload string) (map[uint32]*catalogpb.Part, error) {
	const page = 1000
	all := make(map[uint32]*catalogpb.Part)
	for after := uint32(0); ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		parts, more, err := s.catalog.Parts(bucket, upload, after, page)
		if err != nil {
			return nil, fmt.Errorf("list parts: %w", readError(err))
		}
		for _, p := range parts {
			all[p.GetNumber()] = p
			after = p.GetNumber()
		}
		if !more {
			return all, nil
		}
	}
}

// chooseParts returns the parts that a completion names, and refuses a list
// that breaks a rule of S3.
func chooseParts(want []CompletePart, have map[uint32]*catalogpb.Part) ([]*catalogpb.Part, error) {
	if len(want) == 0 {
		return nil, fmt.Errorf("no part is named: %w", ErrInvalid)
	}
	used := make([]*catalogpb.Part, len(want))
	for i, w := range want {
		if i > 0 && w.Number <= want[i-1].Number {
			return nil, fmt.Errorf("part %d follows part %d: %w", w.Number, want[i-1].Number, ErrPartOrder)
		}
		if w.Number < 1 || w.Number > MaxParts {
			return nil, fmt.Errorf("part number %d is not within 1 to %d: %w", w.Number, MaxParts, ErrInvalidPart)
		}
		p := have[uint32(w.Number)]
		if p == nil {
			return nil, fmt.Errorf("part %d was not uploaded: %w", w.Number, ErrInvalidPart)
		}
		if p.GetEtag() != w.ETag {
			return nil, fmt.Errorf("part %d has the ETag %q, not %q: %w", w.Number, p.GetEtag(), w.ETag, ErrInvalidPart)
		}
		used[i] = p
	}
	for _, p := range used[:len(used)-1] {
		if size := p.GetRoot().GetSize(); size < MinPartSize {
			return nil, fmt.Errorf("part %d has %d bytes, fewer than %d, and is not the last: %w", p.GetNumber(), size, MinPartSize, ErrPartTooSmall)
		}
	}
	return used, nil
}

// partsETag returns the ETag of an object of parts: the MD5 of their MD5s and
// their number.
func partsETag(parts []CompletePart) (string, error) {
	h := md5.New()
	for _, p := range parts {
		sum, err := hex.DecodeString(p.ETag)
		if err != nil || len(sum) != md5.Size {
			return "", fmt.Errorf("the ETag %q of part %d is not an MD5: %w", p.ETag, p.Number, ErrInvalidPart)
		}
		h.Write(sum)
	}
	return fmt.Sprintf("%x-%d", h.Sum(nil), len(parts)), nil
}
