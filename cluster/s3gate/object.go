package s3gate

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// nullVersion is the version ID of every object of a bucket without versioning.
const nullVersion = "null"

// PutObject stores an object.
func (b *tenantBackend) PutObject(request context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	ctx, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return s3response.PutObjectOutput{}, err
	}
	if err := refuseExtras(in.Tagging, in.WebsiteRedirectLocation, in.ObjectLockMode, in.ObjectLockLegalHoldStatus); err != nil {
		return s3response.PutObjectOutput{}, err
	}
	key := keyOf(in.Key)
	sum, err := newChecked(in.Body, map[types.ChecksumAlgorithm]*string{
		types.ChecksumAlgorithmCrc32:     in.ChecksumCRC32,
		types.ChecksumAlgorithmCrc32c:    in.ChecksumCRC32C,
		types.ChecksumAlgorithmCrc64nvme: in.ChecksumCRC64NVME,
		types.ChecksumAlgorithmSha1:      in.ChecksumSHA1,
		types.ChecksumAlgorithmSha256:    in.ChecksumSHA256,
		types.ChecksumAlgorithmSha512:    in.ChecksumSHA512,
		types.ChecksumAlgorithmMd5:       in.ChecksumMD5,
		types.ChecksumAlgorithmXxhash64:  in.ChecksumXXHASH64,
		types.ChecksumAlgorithmXxhash3:   in.ChecksumXXHASH3,
		types.ChecksumAlgorithmXxhash128: in.ChecksumXXHASH128,
	})
	if err != nil {
		return s3response.PutObjectOutput{}, b.apiError("put object", path, key, err)
	}
	headers := contentHeaders(contentFields{
		contentType: in.ContentType, encoding: in.ContentEncoding, disposition: in.ContentDisposition,
		language: in.ContentLanguage, cacheControl: in.CacheControl, expires: in.Expires,
	})
	sum.keep = headers
	size := int64(-1)
	if in.ContentLength != nil {
		size = *in.ContentLength
	}
	rec, err := b.objects.Put(ctx, objects.PutRequest{
		Bucket: path, Key: key, Body: sum, Size: size,
		Headers: headers, Metadata: cloneMap(in.Metadata),
		Conditions: writeConditions(in.IfMatch, in.IfNoneMatch),
	})
	if err != nil {
		return s3response.PutObjectOutput{}, b.writeError("put object", path, key, in.IfMatch, in.IfNoneMatch, err)
	}
	v := sum.values()
	return s3response.PutObjectOutput{
		ETag: *quoted(rec.GetEtag()), Size: ptr(int64(rec.GetRoot().GetSize())),
		ChecksumCRC32: v(types.ChecksumAlgorithmCrc32), ChecksumCRC32C: v(types.ChecksumAlgorithmCrc32c),
		ChecksumCRC64NVME: v(types.ChecksumAlgorithmCrc64nvme), ChecksumSHA1: v(types.ChecksumAlgorithmSha1),
		ChecksumSHA256: v(types.ChecksumAlgorithmSha256), ChecksumSHA512: v(types.ChecksumAlgorithmSha512),
		ChecksumMD5: v(types.ChecksumAlgorithmMd5), ChecksumXXHASH64: v(types.ChecksumAlgorithmXxhash64),
		ChecksumXXHASH3: v(types.ChecksumAlgorithmXxhash3), ChecksumXXHASH128: v(types.ChecksumAlgorithmXxhash128),
		ChecksumType: sum.kind(),
	}, nil
}

// refuseExtras refuses what an object cannot have here.
func refuseExtras(tagging, redirect *string, lock types.ObjectLockMode, hold types.ObjectLockLegalHoldStatus) error {
	switch {
	case str(tagging) != "":
		return s3err.GetNotImplementedErr("x-amz-tagging", "")
	case str(redirect) != "":
		return s3err.GetNotImplementedErr("x-amz-website-redirect-location", "")
	case lock != "" || hold != "":
		return s3err.GetAPIError(s3err.ErrMissingObjectLockConfiguration)
	}
	return nil
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

// head returns the record of a key, once the version that a request names is
// the one there is.
func (b *tenantBackend) head(request context.Context, op string, bucket, key, version *string) (context.Context, *catalogpb.Record, error) {
	ctx, path, err := b.bucketPath(request, str(bucket))
	if err != nil {
		return nil, nil, err
	}
	k := keyOf(key)
	if v := str(version); v != "" && v != nullVersion {
		return nil, nil, s3err.GetNoSuchVersionErr(k, strings.Clone(v))
	}
	rec, err := b.objects.Head(ctx, path, k)
	if err != nil {
		return nil, nil, b.apiError(op, path, k, err)
	}
	return ctx, rec, nil
}

// HeadObject describes an object.
func (b *tenantBackend) HeadObject(request context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	_, rec, err := b.head(request, "head object", in.Bucket, in.Key, in.VersionId)
	if err != nil {
		return nil, err
	}
	if err := readConditions(rec, conditions{in.IfMatch, in.IfNoneMatch, in.IfModifiedSince, in.IfUnmodifiedSince}); err != nil {
		return nil, err
	}
	sel, err := selectRange(rec, str(in.Range), in.PartNumber)
	if err != nil {
		return nil, err
	}
	h := rec.GetHeaders()
	v, kind := keptChecksums(rec, in.ChecksumMode == types.ChecksumModeEnabled && sel.whole)
	return &s3.HeadObjectOutput{
		AcceptRanges: ptr("bytes"), ContentLength: &sel.length, ContentRange: sel.header, PartsCount: sel.parts,
		ETag: quoted(rec.GetEtag()), LastModified: ptr(modified(rec.GetTime())), Metadata: rec.GetMetadata(),
		ContentType: header(h, "content-type"), ContentEncoding: header(h, "content-encoding"),
		ContentDisposition: header(h, "content-disposition"), ContentLanguage: header(h, "content-language"),
		CacheControl: header(h, "cache-control"), ExpiresString: header(h, "expires"),
		ChecksumCRC32: v(types.ChecksumAlgorithmCrc32), ChecksumCRC32C: v(types.ChecksumAlgorithmCrc32c),
		ChecksumCRC64NVME: v(types.ChecksumAlgorithmCrc64nvme), ChecksumSHA1: v(types.ChecksumAlgorithmSha1),
		ChecksumSHA256: v(types.ChecksumAlgorithmSha256), ChecksumSHA512: v(types.ChecksumAlgorithmSha512),
		ChecksumMD5: v(types.ChecksumAlgorithmMd5), ChecksumXXHASH64: v(types.ChecksumAlgorithmXxhash64),
		ChecksumXXHASH3: v(types.ChecksumAlgorithmXxhash3), ChecksumXXHASH128: v(types.ChecksumAlgorithmXxhash128),
		ChecksumType: kind,
	}, nil
}

// GetObject reads an object. The body is read while it is sent, after the
// method has returned; its first chunk is read before, so that a damaged object
// is an error and not a broken connection where that can be told.
func (b *tenantBackend) GetObject(request context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	ctx, rec, err := b.head(request, "get object", in.Bucket, in.Key, in.VersionId)
	if err != nil {
		return nil, err
	}
	if err := readConditions(rec, conditions{in.IfMatch, in.IfNoneMatch, in.IfModifiedSince, in.IfUnmodifiedSince}); err != nil {
		return nil, err
	}
	sel, err := selectRange(rec, str(in.Range), in.PartNumber)
	if err != nil {
		return nil, err
	}
	bucket, key := strings.Clone(str(in.Bucket)), string(rec.GetKey())
	obj, err := b.objects.Open(rec)
	if err != nil {
		return nil, b.apiError("get object", bucket, key, err)
	}
	body, err := obj.Reader(ctx, sel.off, sel.length)
	if err != nil {
		return nil, b.apiError("get object", bucket, key, err)
	}
	if err := body.Prime(); err != nil {
		_ = body.Close()
		return nil, b.apiError("get object", bucket, key, err)
	}
	h := rec.GetHeaders()
	v, kind := keptChecksums(rec, in.ChecksumMode == types.ChecksumModeEnabled && sel.whole)
	return &s3.GetObjectOutput{
		Body:         &sentBody{Reader: body, backend: b, bucket: bucket, key: key},
		AcceptRanges: ptr("bytes"), ContentLength: &sel.length, ContentRange: sel.header, PartsCount: sel.parts,
		ETag: quoted(rec.GetEtag()), LastModified: ptr(modified(rec.GetTime())), Metadata: rec.GetMetadata(),
		ContentType: header(h, "content-type"), ContentEncoding: header(h, "content-encoding"),
		ContentDisposition: header(h, "content-disposition"), ContentLanguage: header(h, "content-language"),
		CacheControl: header(h, "cache-control"), ExpiresString: header(h, "expires"),
		ChecksumCRC32: v(types.ChecksumAlgorithmCrc32), ChecksumCRC32C: v(types.ChecksumAlgorithmCrc32c),
		ChecksumCRC64NVME: v(types.ChecksumAlgorithmCrc64nvme), ChecksumSHA1: v(types.ChecksumAlgorithmSha1),
		ChecksumSHA256: v(types.ChecksumAlgorithmSha256), ChecksumSHA512: v(types.ChecksumAlgorithmSha512),
		ChecksumMD5: v(types.ChecksumAlgorithmMd5), ChecksumXXHASH64: v(types.ChecksumAlgorithmXxhash64),
		ChecksumXXHASH3: v(types.ChecksumAlgorithmXxhash3), ChecksumXXHASH128: v(types.ChecksumAlgorithmXxhash128),
		ChecksumType: kind,
	}, nil
}

// GetObjectAcl says that the object belongs to the tenant.
func (b *tenantBackend) GetObjectAcl(request context.Context, in *s3.GetObjectAclInput) (*s3.GetObjectAclOutput, error) {
	if _, _, err := b.head(request, "get object ACL", in.Bucket, in.Key, in.VersionId); err != nil {
		return nil, err
	}
	_, tenant, err := b.tenant(request)
	if err != nil {
		return nil, err
	}
	return &s3.GetObjectAclOutput{Owner: &types.Owner{ID: &tenant, DisplayName: &tenant}}, nil
}

// GetObjectAttributes describes an object in a body.
func (b *tenantBackend) GetObjectAttributes(request context.Context, in *s3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	_, rec, err := b.head(request, "get object attributes", in.Bucket, in.Key, in.VersionId)
	if err != nil {
		return s3response.GetObjectAttributesResponse{}, err
	}
	return s3response.GetObjectAttributesResponse{
		ETag: ptr(rec.GetEtag()), ObjectSize: ptr(int64(rec.GetRoot().GetSize())),
		StorageClass: types.StorageClassStandard, LastModified: ptr(modified(rec.GetTime())),
	}, nil
}

// DeleteObject deletes an object.
func (b *tenantBackend) DeleteObject(request context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	ctx, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return nil, err
	}
	if in.IfMatchLastModifiedTime != nil || in.IfMatchSize != nil {
		return nil, s3err.GetAPIError(s3err.ErrNotImplemented)
	}
	key := keyOf(in.Key)
	if v := str(in.VersionId); v != "" && v != nullVersion {
		return nil, s3err.GetNoSuchVersionErr(key, strings.Clone(v))
	}
	if _, err := b.objects.Delete(ctx, path, key, writeConditions(in.IfMatch, nil)); err != nil {
		return nil, b.writeError("delete object", path, key, in.IfMatch, nil, err)
	}
	return &s3.DeleteObjectOutput{}, nil
}

// maxDeletions is the greatest number of keys of DeleteObjects.
const maxDeletions = 1000

// DeleteObjects deletes many objects and tells of each what became of it.
func (b *tenantBackend) DeleteObjects(request context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	ctx, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return s3response.DeleteResult{}, err
	}
	if in.Delete == nil || len(in.Delete.Objects) > maxDeletions {
		return s3response.DeleteResult{}, s3err.GetAPIError(s3err.ErrMalformedXML)
	}
	var out s3response.DeleteResult
	var list []objects.Deletion
	var ids []types.ObjectIdentifier
	refuse := func(o types.ObjectIdentifier, err error) {
		out.Error = append(out.Error, s3err.ObjectDeleteError(o.Key, o.VersionId, err))
	}
	for _, o := range in.Delete.Objects {
		switch v := str(o.VersionId); {
		case v != "" && v != nullVersion:
			refuse(o, s3err.GetNoSuchVersionErr(str(o.Key), v))
		case o.LastModifiedTime != nil || o.Size != nil:
			refuse(o, s3err.GetAPIError(s3err.ErrNotImplemented))
		default:
			ids = append(ids, o)
			list = append(list, objects.Deletion{Key: str(o.Key), Conditions: writeConditions(backend.TrimEtag(o.ETag), nil)})
		}
	}
	for i, err := range b.objects.DeleteMany(ctx, path, list) {
		if err != nil {
			refuse(ids[i], b.writeError("delete object", path, list[i].Key, ids[i].ETag, nil, err))
			continue
		}
		out.Deleted = append(out.Deleted, types.DeletedObject{Key: ids[i].Key, VersionId: ids[i].VersionId})
	}
	return out, nil
}

// CopyObject makes a version with the content of another object. No content is
// read or written.
func (b *tenantBackend) CopyObject(request context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	ctx, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return s3response.CopyObjectOutput{}, err
	}
	if err := refuseExtras(in.Tagging, in.WebsiteRedirectLocation, in.ObjectLockMode, in.ObjectLockLegalHoldStatus); err != nil {
		return s3response.CopyObjectOutput{}, err
	}
	src, err := b.copySource(request, in.CopySource, conditions{in.CopySourceIfMatch, in.CopySourceIfNoneMatch, in.CopySourceIfModifiedSince, in.CopySourceIfUnmodifiedSince})
	if err != nil {
		return s3response.CopyObjectOutput{}, err
	}
	key := keyOf(in.Key)
	r := objects.CopyRequest{Bucket: path, Key: key, Replace: in.MetadataDirective == types.MetadataDirectiveReplace}
	if !r.Replace && src.path == path && src.key == key {
		return s3response.CopyObjectOutput{}, s3err.GetAPIError(s3err.ErrInvalidCopyDest)
	}
	if r.Replace {
		r.Headers = contentHeaders(contentFields{
			contentType: in.ContentType, encoding: in.ContentEncoding, disposition: in.ContentDisposition,
			language: in.ContentLanguage, cacheControl: in.CacheControl, expires: in.Expires,
		})
		keepChecksums(r.Headers, src.record)
		r.Metadata = cloneMap(in.Metadata)
	}
	rec, err := b.objects.Copy(ctx, src.record, r)
	if err != nil {
		return s3response.CopyObjectOutput{}, b.apiError("copy object", path, key, err)
	}
	return s3response.CopyObjectOutput{CopyObjectResult: &s3response.CopyObjectResult{
		ETag: quoted(rec.GetEtag()), LastModified: ptr(modified(rec.GetTime())),
	}}, nil
}

// copySource is an object that a copy is made of.
type copySource struct {
	path, key string
	record    *catalogpb.Record
}

// copySource finds the object that a copy is made of, in a bucket of the same
// tenant, and checks the conditions, all of which answer PreconditionFailed.
func (b *tenantBackend) copySource(request context.Context, source *string, c conditions) (copySource, error) {
	bucket, name, version, err := backend.ParseCopySource(str(source))
	if err != nil {
		return copySource{}, err
	}
	bucket, key := strings.Clone(bucket), keyOf(&name)
	_, rec, err := b.head(request, "copy object", &bucket, &name, &version)
	if err != nil {
		return copySource{}, err
	}
	if err := readConditions(rec, c); err != nil {
		return copySource{}, s3err.GetAPIError(s3err.ErrPreconditionFailed)
	}
	_, path, err := b.bucketPath(request, bucket)
	return copySource{path: path, key: key, record: rec}, err
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
