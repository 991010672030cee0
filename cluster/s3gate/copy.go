package s3gate

import (
	"context"
	"errors"
	"io"
	"maps"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// CopyObject makes a version with the content of another. No content is written,
// and it is read only for a checksum that the source does not have.
func (b *tenantBackend) CopyObject(request context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	const op = "copy object"
	ctx, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return s3response.CopyObjectOutput{}, err
	}
	extras, err := readExtras(in.Tagging, in.WebsiteRedirectLocation, in.ObjectLockMode, in.ObjectLockRetainUntilDate, in.ObjectLockLegalHoldStatus)
	if err != nil {
		return s3response.CopyObjectOutput{}, err
	}
	src, err := b.copySource(request, in.CopySource, conditions{in.CopySourceIfMatch, in.CopySourceIfNoneMatch, in.CopySourceIfModifiedSince, in.CopySourceIfUnmodifiedSince})
	if err != nil {
		return s3response.CopyObjectOutput{}, err
	}
	key := keyOf(in.Key)
	r := objects.CopyRequest{
		Bucket: path, Key: key, Replace: in.MetadataDirective == types.MetadataDirectiveReplace,
		Tags: src.version.Tags, Lock: extras.lock,
	}
	// versitygw hands on the conditions on the source alone.
	ifMatch, ifNoneMatch := strings.Trim(asked(request, "If-Match"), `"`), strings.Trim(asked(request, "If-None-Match"), `"`)
	r.Conditions = writeConditions(&ifMatch, &ifNoneMatch)
	newTags := in.TaggingDirective == types.TaggingDirectiveReplace
	if !r.Replace && !newTags && extras.lock == nil && src.which.Latest() && src.path == path && src.key == key {
		return s3response.CopyObjectOutput{}, s3err.GetAPIError(s3err.ErrInvalidCopyDest)
	}
	if newTags {
		r.Tags = extras.tags
	}
	if r.Replace {
		r.Headers = contentHeaders(contentFields{
			contentType: in.ContentType, encoding: in.ContentEncoding, disposition: in.ContentDisposition,
			language: in.ContentLanguage, cacheControl: in.CacheControl, expires: in.Expires,
		})
		for name, value := range kept(src.record().GetHeaders()).header() {
			r.Headers[name] = value
		}
		if r.Metadata, err = metadataOf(request, in.Metadata); err == nil {
			err = checkText(r.Headers, r.Metadata)
		}
		if err != nil {
			return s3response.CopyObjectOutput{}, err
		}
	}
	sum := kept(src.record().GetHeaders())
	if a := types.ChecksumAlgorithm(strings.ToUpper(string(in.ChecksumAlgorithm))); a != "" && (sum.algorithm != a || sum.kind() != types.ChecksumTypeFullObject) {
		if sum, err = b.contentChecksum(ctx, src.record(), a); err != nil {
			return s3response.CopyObjectOutput{}, b.apiError(op, path, key, err)
		}
		if !r.Replace {
			r.Replace, r.Headers, r.Metadata = true, src.record().GetHeaders(), src.record().GetMetadata()
		}
		r.Headers = withoutChecksums(r.Headers)
		maps.Copy(r.Headers, sum.header())
	}
	rec, err := b.objects.Copy(ctx, src.record(), r)
	if err != nil {
		return s3response.CopyObjectOutput{}, b.writeError(op, path, key, &ifMatch, &ifNoneMatch, err)
	}
	v := sum.of
	return s3response.CopyObjectOutput{
		CopyObjectResult: &s3response.CopyObjectResult{
			ETag: quoted(rec.GetEtag()), LastModified: ptr(modified(rec.GetTime())),
			ChecksumCRC32: v(types.ChecksumAlgorithmCrc32), ChecksumCRC32C: v(types.ChecksumAlgorithmCrc32c),
			ChecksumCRC64NVME: v(types.ChecksumAlgorithmCrc64nvme), ChecksumSHA1: v(types.ChecksumAlgorithmSha1),
			ChecksumSHA256: v(types.ChecksumAlgorithmSha256), ChecksumSHA512: v(types.ChecksumAlgorithmSha512),
			ChecksumMD5: v(types.ChecksumAlgorithmMd5), ChecksumXXHASH64: v(types.ChecksumAlgorithmXxhash64),
			ChecksumXXHASH3: v(types.ChecksumAlgorithmXxhash3), ChecksumXXHASH128: v(types.ChecksumAlgorithmXxhash128),
			ChecksumType: sum.kind(),
		},
		VersionId: b.versionID(path, rec), CopySourceVersionId: b.versionID(src.path, src.record()),
	}, nil
}

// contentChecksum reads a version to take a checksum of its content.
func (b *tenantBackend) contentChecksum(ctx context.Context, rec *catalogpb.Record, a types.ChecksumAlgorithm) (checksum, error) {
	obj, err := b.objects.Open(rec)
	if err != nil {
		return checksum{}, err
	}
	body, err := obj.Reader(ctx, 0, -1)
	if err != nil {
		return checksum{}, err
	}
	defer body.Close()
	c, err := newChecked(body, checksum{}, a)
	if err != nil {
		return checksum{}, err
	}
	_, err = io.Copy(io.Discard, c)
	return c.sum, err
}

// copySource is a version that a copy is made of.
type copySource struct {
	target
	version *catalog.Version
}

func (s copySource) record() *catalogpb.Record { return s.version.Record }

// copySource finds the version that a copy is made of, in a bucket of the same
// tenant, and checks the conditions, all of which answer PreconditionFailed.
func (b *tenantBackend) copySource(request context.Context, source *string, c conditions) (copySource, error) {
	bucket, name, id, err := backend.ParseCopySource(str(source))
	if err != nil {
		return copySource{}, err
	}
	_, tenant, err := b.tenant(request)
	if err != nil {
		return copySource{}, err
	}
	if owner := asked(request, "X-Amz-Source-Expected-Bucket-Owner"); owner != "" && owner != tenant {
		return copySource{}, s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	ctx, t, err := b.target(request, ptr(strings.Clone(bucket)), &name, &id)
	if err != nil {
		return copySource{}, err
	}
	v, err := b.objects.Version(ctx, t.path, t.key, t.which)
	if errors.Is(err, objects.ErrDeleteMarker) {
		return copySource{}, errCopyOfMarker
	}
	if err != nil {
		return copySource{}, b.versionError("copy object", t, &id, err)
	}
	if err := readConditions(v.Record, c); err != nil {
		return copySource{}, s3err.GetAPIError(s3err.ErrPreconditionFailed)
	}
	return copySource{t, v}, nil
}
