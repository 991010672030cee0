package s3gate

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"edgefog.dev/isgw/cluster/objects"
)

// CreateMultipartUpload begins an upload.
func (b *tenantBackend) CreateMultipartUpload(request context.Context, in s3response.CreateMultipartUploadInput) (s3response.InitiateMultipartUploadResult, error) {
	var out s3response.InitiateMultipartUploadResult
	ctx, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return out, err
	}
	extras, err := readExtras(in.Tagging, in.WebsiteRedirectLocation, in.ObjectLockMode, in.ObjectLockRetainUntilDate, in.ObjectLockLegalHoldStatus)
	if err != nil {
		return out, err
	}
	key := keyOf(in.Key)
	headers := contentHeaders(contentFields{
		contentType: in.ContentType, encoding: in.ContentEncoding, disposition: in.ContentDisposition,
		language: in.ContentLanguage, cacheControl: in.CacheControl, expires: in.Expires,
	})
	if in.ChecksumAlgorithm != "" {
		headers[uploadAlgorithm], headers[uploadKind] = strings.Clone(string(in.ChecksumAlgorithm)), strings.Clone(string(in.ChecksumType))
	}
	metadata, err := metadataOf(request, in.Metadata)
	if err == nil {
		err = checkText(headers, metadata)
	}
	if err != nil {
		return out, err
	}
	up, err := b.objects.CreateUpload(ctx, objects.CreateUploadRequest{
		Bucket: path, Key: key, Headers: headers, Metadata: metadata, Tags: extras.tags, Lock: extras.lock,
	})
	if err != nil {
		return out, b.apiError("create upload", path, key, err)
	}
	return s3response.InitiateMultipartUploadResult{Bucket: strings.Clone(str(in.Bucket)), Key: key, UploadId: up.GetId()}, nil
}

// UploadPart stores a part.
func (b *tenantBackend) UploadPart(request context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	const op = "upload part"
	ctx, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return nil, err
	}
	key, id := keyOf(in.Key), strings.Clone(str(in.UploadId))
	up, err := b.objects.Upload(ctx, path, key, id)
	if err != nil {
		return nil, b.uploadError(op, path, key, in.UploadId, err)
	}
	sums := sumsOf(up.GetHeaders())
	body, err := newChecked(in.Body, only(in.ChecksumCRC32, in.ChecksumCRC32C, in.ChecksumCRC64NVME, in.ChecksumSHA1, in.ChecksumSHA256,
		in.ChecksumSHA512, in.ChecksumMD5, in.ChecksumXXHASH64, in.ChecksumXXHASH3, in.ChecksumXXHASH128), sums.algorithm)
	if err != nil {
		return nil, b.apiError(op, path, key, err)
	}
	if err := sums.accepts(body.given()); err != nil {
		return nil, err
	}
	size := int64(-1)
	if in.ContentLength != nil {
		size = *in.ContentLength
	}
	part, err := b.objects.PutPart(ctx, objects.PutPartRequest{
		Bucket: path, Key: key, Upload: id, Number: int(*in.PartNumber), Body: body, Size: size,
		Checksums: func() map[string]string { return body.sum.header() },
	})
	if err != nil {
		return nil, b.uploadError(op, path, key, in.UploadId, err)
	}
	v := body.sum.of
	return &s3.UploadPartOutput{
		ETag:          quoted(part.GetEtag()),
		ChecksumCRC32: v(types.ChecksumAlgorithmCrc32), ChecksumCRC32C: v(types.ChecksumAlgorithmCrc32c),
		ChecksumCRC64NVME: v(types.ChecksumAlgorithmCrc64nvme), ChecksumSHA1: v(types.ChecksumAlgorithmSha1),
		ChecksumSHA256: v(types.ChecksumAlgorithmSha256), ChecksumSHA512: v(types.ChecksumAlgorithmSha512),
		ChecksumMD5: v(types.ChecksumAlgorithmMd5), ChecksumXXHASH64: v(types.ChecksumAlgorithmXxhash64),
		ChecksumXXHASH3: v(types.ChecksumAlgorithmXxhash3), ChecksumXXHASH128: v(types.ChecksumAlgorithmXxhash128),
	}, nil
}

// UploadPartCopy makes a part out of a version of an object. An upload with a
// checksum has the source's bytes read for it.
func (b *tenantBackend) UploadPartCopy(request context.Context, in *s3.UploadPartCopyInput) (s3response.CopyPartResult, error) {
	const op = "copy part"
	var out s3response.CopyPartResult
	ctx, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return out, err
	}
	src, err := b.copySource(request, in.CopySource, conditions{in.CopySourceIfMatch, in.CopySourceIfNoneMatch, in.CopySourceIfModifiedSince, in.CopySourceIfUnmodifiedSince})
	if err != nil {
		return out, err
	}
	key, id := keyOf(in.Key), strings.Clone(str(in.UploadId))
	up, err := b.objects.Upload(ctx, path, key, id)
	if err != nil {
		return out, b.uploadError(op, path, key, in.UploadId, err)
	}
	obj, err := b.objects.Open(src.record())
	if err != nil {
		return out, b.apiError(op, path, key, err)
	}
	off, n, err := copyRange(obj.Size(), str(in.CopySourceRange))
	if err != nil {
		return out, err
	}
	r := objects.PutPartRequest{Bucket: path, Key: key, Upload: id, Number: int(*in.PartNumber)}
	sum := checksum{}
	var body *checked
	r.Checksums = func() map[string]string {
		if body != nil {
			sum = body.sum
		}
		return sum.header()
	}
	var through func(io.Reader) (io.Reader, error)
	if a := sumsOf(up.GetHeaders()).algorithm; a != "" {
		whole := kept(src.record().GetHeaders())
		if off == 0 && n == obj.Size() && whole.algorithm == a && whole.kind() == types.ChecksumTypeFullObject {
			sum = whole
		} else {
			through = func(content io.Reader) (_ io.Reader, err error) {
				body, err = newChecked(content, checksum{}, a)
				return body, err
			}
		}
	}
	part, err := b.objects.CopyPart(ctx, r, obj, off, n, through)
	if err != nil {
		return out, b.uploadError(op, path, key, in.UploadId, err)
	}
	v := sum.of
	return s3response.CopyPartResult{
		ETag: quoted(part.GetEtag()), LastModified: modified(part.GetTime()), CopySourceVersionId: str(b.versionID(src.path, src.record())),
		ChecksumCRC32: v(types.ChecksumAlgorithmCrc32), ChecksumCRC32C: v(types.ChecksumAlgorithmCrc32c),
		ChecksumCRC64NVME: v(types.ChecksumAlgorithmCrc64nvme), ChecksumSHA1: v(types.ChecksumAlgorithmSha1),
		ChecksumSHA256: v(types.ChecksumAlgorithmSha256), ChecksumSHA512: v(types.ChecksumAlgorithmSha512),
		ChecksumMD5: v(types.ChecksumAlgorithmMd5), ChecksumXXHASH64: v(types.ChecksumAlgorithmXxhash64),
		ChecksumXXHASH3: v(types.ChecksumAlgorithmXxhash3), ChecksumXXHASH128: v(types.ChecksumAlgorithmXxhash128),
	}, nil
}

// CompleteMultipartUpload makes an object out of parts.
func (b *tenantBackend) CompleteMultipartUpload(request context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	const op = "complete upload"
	var out s3response.CompleteMultipartUploadResult
	ctx, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return out, "", err
	}
	key := keyOf(in.Key)
	r := objects.CompleteRequest{
		Bucket: path, Key: key, Upload: strings.Clone(str(in.UploadId)), Size: -1,
		Conditions: writeConditions(in.IfMatch, in.IfNoneMatch),
	}
	if in.MpuObjectSize != nil {
		r.Size = *in.MpuObjectSize
	}
	for _, p := range in.MultipartUpload.Parts {
		if p.PartNumber == nil || p.ETag == nil {
			return out, "", s3err.GetAPIError(s3err.ErrMalformedXML)
		}
		r.Parts = append(r.Parts, objects.CompletePart{Number: int(*p.PartNumber), ETag: strings.Trim(*p.ETag, `"`)})
	}
	c := completion{
		parts: in.MultipartUpload.Parts, kind: types.ChecksumType(strings.Clone(string(in.ChecksumType))),
		given: only(in.ChecksumCRC32, in.ChecksumCRC32C, in.ChecksumCRC64NVME, in.ChecksumSHA1, in.ChecksumSHA256,
			in.ChecksumSHA512, in.ChecksumMD5, in.ChecksumXXHASH64, in.ChecksumXXHASH3, in.ChecksumXXHASH128),
	}
	r.Checksums, r.Verify = c.checksums, c.verify
	rec, err := b.objects.CompleteUpload(ctx, r)
	if err != nil {
		if errors.Is(err, objects.ErrBodySize) {
			return out, "", s3err.GetAPIError(s3err.ErrInvalidRequest)
		}
		if errors.Is(err, objects.ErrPrecondition) {
			return out, "", b.writeError(op, path, key, in.IfMatch, in.IfNoneMatch, err)
		}
		return out, "", b.uploadError(op, path, key, in.UploadId, err)
	}
	sum := kept(rec.GetHeaders())
	v := sum.of
	out = s3response.CompleteMultipartUploadResult{
		Bucket: ptr(strings.Clone(str(in.Bucket))), Key: &key, ETag: quoted(rec.GetEtag()),
		ChecksumCRC32: v(types.ChecksumAlgorithmCrc32), ChecksumCRC32C: v(types.ChecksumAlgorithmCrc32c),
		ChecksumCRC64NVME: v(types.ChecksumAlgorithmCrc64nvme), ChecksumSHA1: v(types.ChecksumAlgorithmSha1),
		ChecksumSHA256: v(types.ChecksumAlgorithmSha256), ChecksumSHA512: v(types.ChecksumAlgorithmSha512),
		ChecksumMD5: v(types.ChecksumAlgorithmMd5), ChecksumXXHASH64: v(types.ChecksumAlgorithmXxhash64),
		ChecksumXXHASH3: v(types.ChecksumAlgorithmXxhash3), ChecksumXXHASH128: v(types.ChecksumAlgorithmXxhash128),
	}
	if kind := sum.kind(); kind != "" {
		out.ChecksumType = &kind
	}
	return out, str(b.versionID(path, rec)), nil
}

// AbortMultipartUpload ends an upload without an object.
func (b *tenantBackend) AbortMultipartUpload(request context.Context, in *s3.AbortMultipartUploadInput) error {
	ctx, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return err
	}
	key := keyOf(in.Key)
	if in.IfMatchInitiatedTime != nil {
		up, err := b.objects.Upload(ctx, path, key, strings.Clone(str(in.UploadId)))
		if err != nil {
			return b.uploadError("abort upload", path, key, in.UploadId, err)
		}
		if !modified(up.GetCreated()).Equal(*in.IfMatchInitiatedTime) {
			return s3err.GetAPIError(s3err.ErrPreconditionFailed)
		}
	}
	if err := b.objects.AbortUpload(ctx, path, key, strings.Clone(str(in.UploadId))); err != nil {
		return b.uploadError("abort upload", path, key, in.UploadId, err)
	}
	return nil
}

// uploadError is apiError, and names the upload that does not exist.
func (b *tenantBackend) uploadError(op, path, key string, upload *string, err error) error {
	if errors.Is(err, objects.ErrNoUpload) {
		return s3err.GetNoSuchUploadErr(strings.Clone(str(upload)))
	}
	return b.apiError(op, path, key, err)
}

// ListParts lists the parts of an upload.
func (b *tenantBackend) ListParts(request context.Context, in *s3.ListPartsInput) (s3response.ListPartsResult, error) {
	var out s3response.ListPartsResult
	ctx, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return out, err
	}
	_, tenant, err := b.tenant(request)
	if err != nil {
		return out, err
	}
	after := 0
	if m := str(in.PartNumberMarker); m != "" {
		if after, err = strconv.Atoi(m); err != nil || after < 0 || after > objects.MaxParts {
			return out, invalidArgument("part-number-marker", m, "The part number marker must be an integer between 0 and 10000")
		}
	}
	key, upload := keyOf(in.Key), strings.Clone(str(in.UploadId))
	limit := min(int(*in.MaxParts), maxKeys)
	out = s3response.ListPartsResult{
		Bucket: strings.Clone(str(in.Bucket)), Key: key, UploadID: upload,
		Owner:     s3response.Owner{ID: tenant, DisplayName: tenant},
		Initiator: s3response.Initiator{ID: tenant, DisplayName: tenant},
		MaxParts:  int(*in.MaxParts), PartNumberMarker: after, StorageClass: types.StorageClassStandard,
	}
	up, err := b.objects.Upload(ctx, path, key, upload)
	if err != nil {
		return out, b.uploadError("list parts", path, key, in.UploadId, err)
	}
	sums := sumsOf(up.GetHeaders())
	out.ChecksumAlgorithm, out.ChecksumType = sums.algorithm, sums.kind
	parts, more, err := b.objects.Parts(ctx, path, key, upload, uint32(after), max(limit, 1))
	if err != nil {
		return out, b.uploadError("list parts", path, key, in.UploadId, err)
	}
	if limit == 0 {
		return out, nil
	}
	out.IsTruncated = more
	for _, p := range parts {
		v := kept(p.GetChecksums()).of
		out.Parts = append(out.Parts, s3response.Part{
			PartNumber: int(p.GetNumber()), ETag: *quoted(p.GetEtag()), Size: int64(p.GetRoot().GetSize()), LastModified: modified(p.GetTime()),
			ChecksumCRC32: v(types.ChecksumAlgorithmCrc32), ChecksumCRC32C: v(types.ChecksumAlgorithmCrc32c),
			ChecksumCRC64NVME: v(types.ChecksumAlgorithmCrc64nvme), ChecksumSHA1: v(types.ChecksumAlgorithmSha1),
			ChecksumSHA256: v(types.ChecksumAlgorithmSha256), ChecksumSHA512: v(types.ChecksumAlgorithmSha512),
			ChecksumMD5: v(types.ChecksumAlgorithmMd5), ChecksumXXHASH64: v(types.ChecksumAlgorithmXxhash64),
			ChecksumXXHASH3: v(types.ChecksumAlgorithmXxhash3), ChecksumXXHASH128: v(types.ChecksumAlgorithmXxhash128),
		})
		out.NextPartNumberMarker = int(p.GetNumber())
	}
	return out, nil
}
