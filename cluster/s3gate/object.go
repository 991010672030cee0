package s3gate

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// PutObject stores an object.
func (b *tenantBackend) PutObject(request context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	ctx, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return s3response.PutObjectOutput{}, err
	}
	extras, err := readExtras(in.Tagging, in.WebsiteRedirectLocation, in.ObjectLockMode, in.ObjectLockRetainUntilDate, in.ObjectLockLegalHoldStatus)
	if err != nil {
		return s3response.PutObjectOutput{}, err
	}
	key := keyOf(in.Key)
	sum, err := newChecked(in.Body, only(in.ChecksumCRC32, in.ChecksumCRC32C, in.ChecksumCRC64NVME, in.ChecksumSHA1, in.ChecksumSHA256,
		in.ChecksumSHA512, in.ChecksumMD5, in.ChecksumXXHASH64, in.ChecksumXXHASH3, in.ChecksumXXHASH128), "")
	if err != nil {
		return s3response.PutObjectOutput{}, b.apiError("put object", path, key, err)
	}
	headers := contentHeaders(contentFields{
		contentType: in.ContentType, encoding: in.ContentEncoding, disposition: in.ContentDisposition,
		language: in.ContentLanguage, cacheControl: in.CacheControl, expires: in.Expires,
	})
	sum.keep = headers
	metadata, err := metadataOf(request, in.Metadata)
	if err == nil {
		err = checkText(headers, metadata)
	}
	if err != nil {
		return s3response.PutObjectOutput{}, err
	}
	size := int64(-1)
	if in.ContentLength != nil {
		size = *in.ContentLength
	}
	rec, err := b.objects.Put(ctx, objects.PutRequest{
		Bucket: path, Key: key, Body: sum, Size: size,
		Headers: headers, Metadata: metadata, Tags: extras.tags, Lock: extras.lock,
		Conditions: writeConditions(in.IfMatch, in.IfNoneMatch),
	})
	if err != nil {
		return s3response.PutObjectOutput{}, b.writeError("put object", path, key, in.IfMatch, in.IfNoneMatch, err)
	}
	v := sum.sum.of
	return s3response.PutObjectOutput{
		ETag: *quoted(rec.GetEtag()), Size: ptr(int64(rec.GetRoot().GetSize())), VersionID: str(b.versionID(path, rec)),
		ChecksumCRC32: v(types.ChecksumAlgorithmCrc32), ChecksumCRC32C: v(types.ChecksumAlgorithmCrc32c),
		ChecksumCRC64NVME: v(types.ChecksumAlgorithmCrc64nvme), ChecksumSHA1: v(types.ChecksumAlgorithmSha1),
		ChecksumSHA256: v(types.ChecksumAlgorithmSha256), ChecksumSHA512: v(types.ChecksumAlgorithmSha512),
		ChecksumMD5: v(types.ChecksumAlgorithmMd5), ChecksumXXHASH64: v(types.ChecksumAlgorithmXxhash64),
		ChecksumXXHASH3: v(types.ChecksumAlgorithmXxhash3), ChecksumXXHASH128: v(types.ChecksumAlgorithmXxhash128),
		ChecksumType: sum.sum.kind(),
	}, nil
}

// extras are what a version begins with beside its content.
type extras struct {
	tags map[string]string
	lock *catalogpb.Lock
}

// readExtras reads what a write gives its version, and refuses what a version
// cannot have here.
func readExtras(tagging, redirect *string, mode types.ObjectLockMode, until *time.Time, hold types.ObjectLockLegalHoldStatus) (extras, error) {
	if str(redirect) != "" {
		return extras{}, s3err.GetNotImplementedErr("x-amz-website-redirect-location", "")
	}
	tags, err := parseTags(tagging)
	if err != nil {
		return extras{}, err
	}
	lock, err := lockOf(mode, until, hold)
	return extras{tags: tags, lock: lock}, err
}

// writeConditions are those of a PUT's headers, whose quotes are gone.
func writeConditions(ifMatch, ifNoneMatch *string) objects.Conditions {
	return objects.Conditions{IfMatch: strings.Clone(str(ifMatch)), IfNoneMatch: strings.Clone(str(ifNoneMatch))}
}

// writeError is apiError, and names the condition that failed.
func (b *tenantBackend) writeError(op, path, key string, ifMatch, ifNoneMatch *string, err error) error {
	if errors.Is(err, objects.ErrPrecondition) {
		if str(ifMatch) != "" && str(ifNoneMatch) == "" {
			return s3err.GetPreconditionFailedErr(s3err.ConditionIfMatch)
		}
		return s3err.GetPreconditionFailedErr(s3err.ConditionIfNoneMatch)
	}
	return b.apiError(op, path, key, err)
}

// reading is what a request reads of an object.
type reading struct {
	target
	version *catalog.Version
	selection
}

// read finds what a request to read an object names, evaluates its conditions and
// reads its range. When a delete marker is in the way, the time of the marker is
// returned beside the error.
func (b *tenantBackend) read(request context.Context, op string, bucket, key, id *string, c conditions, ranges *string, part *int32) (context.Context, reading, *time.Time, error) {
	ctx, t, found, err := b.find(request, op, bucket, key, id)
	if err != nil {
		if found != nil {
			return nil, reading{}, ptr(modified(found.Record.GetTime())), err
		}
		return nil, reading{}, nil, err
	}
	rec := found.Record
	if err := readConditions(rec, c); err != nil {
		if errors.Is(err, s3err.GetAPIError(s3err.ErrNotModified)) {
			b.tellUnmodified(request, t, rec)
		}
		return nil, reading{}, nil, err
	}
	sel, err := selectRange(rec, str(ranges), asked(request, "If-Range"), part)
	return ctx, reading{t, found, sel}, nil, err
}

// tellUnmodified gives an answer that an object is not modified the headers by which
// caches know what they have, as RFC 9110, section 15.4.5, demands.
func (b *tenantBackend) tellUnmodified(request context.Context, t target, rec *catalogpb.Record) {
	tell(request, "ETag", *quoted(rec.GetEtag()))
	tell(request, "Last-Modified", modified(rec.GetTime()).Format(http.TimeFormat))
	tell(request, "Cache-Control", rec.GetHeaders()["cache-control"])
	tell(request, "Expires", rec.GetHeaders()["expires"])
	tell(request, "x-amz-version-id", str(b.versionID(t.path, rec)))
}

// HeadObject describes an object.
func (b *tenantBackend) HeadObject(request context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	_, r, marker, err := b.read(request, "head object", in.Bucket, in.Key, in.VersionId,
		conditions{in.IfMatch, in.IfNoneMatch, in.IfModifiedSince, in.IfUnmodifiedSince}, in.Range, in.PartNumber)
	if marker != nil {
		return &s3.HeadObjectOutput{DeleteMarker: ptr(true), LastModified: marker}, err
	}
	if err != nil {
		return nil, err
	}
	rec := r.version.Record
	h := rec.GetHeaders()
	sum := r.checksum(rec, in.ChecksumMode)
	v := sum.of
	mode, until, hold := lockHeaders(r.version.Lock)
	return &s3.HeadObjectOutput{
		AcceptRanges: ptr("bytes"), ContentLength: &r.length, ContentRange: r.header, PartsCount: r.parts,
		ETag: quoted(rec.GetEtag()), LastModified: ptr(modified(rec.GetTime())), Metadata: rec.GetMetadata(),
		ContentType: header(h, "content-type"), ContentEncoding: header(h, "content-encoding"),
		ContentDisposition: header(h, "content-disposition"), ContentLanguage: header(h, "content-language"),
		CacheControl: header(h, "cache-control"), ExpiresString: header(h, "expires"),
		ChecksumCRC32: v(types.ChecksumAlgorithmCrc32), ChecksumCRC32C: v(types.ChecksumAlgorithmCrc32c),
		ChecksumCRC64NVME: v(types.ChecksumAlgorithmCrc64nvme), ChecksumSHA1: v(types.ChecksumAlgorithmSha1),
		ChecksumSHA256: v(types.ChecksumAlgorithmSha256), ChecksumSHA512: v(types.ChecksumAlgorithmSha512),
		ChecksumMD5: v(types.ChecksumAlgorithmMd5), ChecksumXXHASH64: v(types.ChecksumAlgorithmXxhash64),
		ChecksumXXHASH3: v(types.ChecksumAlgorithmXxhash3), ChecksumXXHASH128: v(types.ChecksumAlgorithmXxhash128),
		ChecksumType: sum.kind(), VersionId: b.versionID(r.path, rec), TagCount: tagCount(r.version.Tags),
		ObjectLockMode: mode, ObjectLockRetainUntilDate: until, ObjectLockLegalHoldStatus: hold,
	}, nil
}

// GetObject reads an object. The body is read while it is sent, after the
// method has returned; its first chunk is read before, so that a damaged object
// is an error and not a broken connection where that can be told.
func (b *tenantBackend) GetObject(request context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	const op = "get object"
	ctx, r, marker, err := b.read(request, op, in.Bucket, in.Key, in.VersionId,
		conditions{in.IfMatch, in.IfNoneMatch, in.IfModifiedSince, in.IfUnmodifiedSince}, in.Range, in.PartNumber)
	if marker != nil {
		return &s3.GetObjectOutput{DeleteMarker: ptr(true), LastModified: marker}, err
	}
	if err != nil {
		return nil, err
	}
	rec := r.version.Record
	obj, err := b.objects.Open(rec)
	if err != nil {
		return nil, b.apiError(op, r.path, r.key, err)
	}
	body, err := obj.Reader(ctx, r.off, r.length)
	if err != nil {
		return nil, b.apiError(op, r.path, r.key, err)
	}
	if err := body.Prime(); err != nil {
		_ = body.Close()
		return nil, b.apiError(op, r.path, r.key, err)
	}
	h := rec.GetHeaders()
	sum := r.checksum(rec, in.ChecksumMode)
	v := sum.of
	mode, until, hold := lockHeaders(r.version.Lock)
	return &s3.GetObjectOutput{
		Body:         &sentBody{Reader: body, backend: b, bucket: r.path, key: r.key},
		AcceptRanges: ptr("bytes"), ContentLength: &r.length, ContentRange: r.header, PartsCount: r.parts,
		ETag: quoted(rec.GetEtag()), LastModified: ptr(modified(rec.GetTime())), Metadata: rec.GetMetadata(),
		ContentType: header(h, "content-type"), ContentEncoding: header(h, "content-encoding"),
		ContentDisposition: header(h, "content-disposition"), ContentLanguage: header(h, "content-language"),
		CacheControl: header(h, "cache-control"), ExpiresString: header(h, "expires"),
		ChecksumCRC32: v(types.ChecksumAlgorithmCrc32), ChecksumCRC32C: v(types.ChecksumAlgorithmCrc32c),
		ChecksumCRC64NVME: v(types.ChecksumAlgorithmCrc64nvme), ChecksumSHA1: v(types.ChecksumAlgorithmSha1),
		ChecksumSHA256: v(types.ChecksumAlgorithmSha256), ChecksumSHA512: v(types.ChecksumAlgorithmSha512),
		ChecksumMD5: v(types.ChecksumAlgorithmMd5), ChecksumXXHASH64: v(types.ChecksumAlgorithmXxhash64),
		ChecksumXXHASH3: v(types.ChecksumAlgorithmXxhash3), ChecksumXXHASH128: v(types.ChecksumAlgorithmXxhash128),
		ChecksumType: sum.kind(), VersionId: b.versionID(r.path, rec), TagCount: tagCount(r.version.Tags),
		ObjectLockMode: mode, ObjectLockRetainUntilDate: until, ObjectLockLegalHoldStatus: hold,
	}, nil
}

// tagCount returns the number of tags, nil for none.
func tagCount(tags map[string]string) *int32 {
	if len(tags) == 0 {
		return nil
	}
	return ptr(int32(len(tags)))
}

// sentBody logs a body that failed while it was sent: the client sees only that
// the connection ended early.
type sentBody struct {
	*objects.Reader
	backend     *tenantBackend
	bucket, key string
}

// Close implements io.Closer.
func (s *sentBody) Close() error {
	if err := s.Reader.Failed(); err != nil && !errors.Is(err, context.Canceled) {
		s.backend.logger.Error("S3 object could not be read to its end", "bucket", s.bucket, "key", s.key, "error", err)
	}
	return s.Reader.Close()
}
