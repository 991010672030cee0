package s3gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3api/utils"
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
	if err := refuseExtras(in.Tagging, in.WebsiteRedirectLocation, in.ObjectLockMode, in.ObjectLockLegalHoldStatus); err != nil {
		return out, err
	}
	key := keyOf(in.Key)
	up, err := b.objects.CreateUpload(ctx, path, key, contentHeaders(contentFields{
		contentType: in.ContentType, encoding: in.ContentEncoding, disposition: in.ContentDisposition,
		language: in.ContentLanguage, cacheControl: in.CacheControl, expires: in.Expires,
	}), cloneMap(in.Metadata))
	if err != nil {
		return out, b.apiError("create upload", path, key, err)
	}
	return s3response.InitiateMultipartUploadResult{Bucket: strings.Clone(str(in.Bucket)), Key: key, UploadId: up.GetId()}, nil
}

// UploadPart stores a part.
func (b *tenantBackend) UploadPart(request context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	ctx, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return nil, err
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
		return nil, b.apiError("upload part", path, key, err)
	}
	size := int64(-1)
	if in.ContentLength != nil {
		size = *in.ContentLength
	}
	part, err := b.objects.PutPart(ctx, objects.PutPartRequest{
		Bucket: path, Key: key, Upload: strings.Clone(str(in.UploadId)), Number: int(*in.PartNumber), Body: sum, Size: size,
	})
	if err != nil {
		return nil, b.uploadError("upload part", path, key, in.UploadId, err)
	}
	v := sum.values()
	return &s3.UploadPartOutput{
		ETag:          quoted(part.GetEtag()),
		ChecksumCRC32: v(types.ChecksumAlgorithmCrc32), ChecksumCRC32C: v(types.ChecksumAlgorithmCrc32c),
		ChecksumCRC64NVME: v(types.ChecksumAlgorithmCrc64nvme), ChecksumSHA1: v(types.ChecksumAlgorithmSha1),
		ChecksumSHA256: v(types.ChecksumAlgorithmSha256), ChecksumSHA512: v(types.ChecksumAlgorithmSha512),
		ChecksumMD5: v(types.ChecksumAlgorithmMd5), ChecksumXXHASH64: v(types.ChecksumAlgorithmXxhash64),
		ChecksumXXHASH3: v(types.ChecksumAlgorithmXxhash3), ChecksumXXHASH128: v(types.ChecksumAlgorithmXxhash128),
	}, nil
}

// UploadPartCopy makes a part out of an object.
func (b *tenantBackend) UploadPartCopy(request context.Context, in *s3.UploadPartCopyInput) (s3response.CopyPartResult, error) {
	var out s3response.CopyPartResult
	ctx, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return out, err
	}
	src, err := b.copySource(request, in.CopySource, conditions{in.CopySourceIfMatch, in.CopySourceIfNoneMatch, in.CopySourceIfModifiedSince, in.CopySourceIfUnmodifiedSince})
	if err != nil {
		return out, err
	}
	key := keyOf(in.Key)
	obj, err := b.objects.Open(src.record)
	if err != nil {
		return out, b.apiError("copy part", path, key, err)
	}
	off, n, err := copyRange(obj.Size(), str(in.CopySourceRange))
	if err != nil {
		return out, err
	}
	part, err := b.objects.CopyPart(ctx, objects.PutPartRequest{
		Bucket: path, Key: key, Upload: strings.Clone(str(in.UploadId)), Number: int(*in.PartNumber),
	}, obj, off, n)
	if err != nil {
		return out, b.uploadError("copy part", path, key, in.UploadId, err)
	}
	return s3response.CopyPartResult{ETag: quoted(part.GetEtag()), LastModified: modified(part.GetTime())}, nil
}

// CompleteMultipartUpload makes an object out of parts.
func (b *tenantBackend) CompleteMultipartUpload(request context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
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
	want := map[types.ChecksumAlgorithm]*string{
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
	}
	if r.Verify, err = verifier(want); err != nil {
		return out, "", err
	}
	rec, err := b.objects.CompleteUpload(ctx, r)
	if err != nil {
		if errors.Is(err, objects.ErrBodySize) {
			return out, "", s3err.GetAPIError(s3err.ErrInvalidRequest)
		}
		if errors.Is(err, objects.ErrPrecondition) {
			return out, "", b.writeError("complete upload", path, key, in.IfMatch, in.IfNoneMatch, err)
		}
		return out, "", b.uploadError("complete upload", path, key, in.UploadId, err)
	}
	return s3response.CompleteMultipartUploadResult{
		Bucket: ptr(strings.Clone(str(in.Bucket))), Key: &key, ETag: quoted(rec.GetEtag()),
	}, "", nil
}

// verifier returns what compares the checksum that a completion gives with that
// of the whole content, which is read for it. A checksum of checksums is refused:
// the parts' checksums are verified when they come, and not kept.
func verifier(want map[types.ChecksumAlgorithm]*string) (func(context.Context, *objects.Object) error, error) {
	for algorithm, value := range want {
		v := strings.Clone(str(value))
		if v == "" {
			continue
		}
		if strings.Contains(v, "-") {
			return nil, s3err.GetNotImplementedErr(checksumHeader+strings.ToLower(string(algorithm)), "")
		}
		return func(ctx context.Context, o *objects.Object) error {
			body, err := o.Reader(ctx, 0, -1)
			if err != nil {
				return err
			}
			defer body.Close()
			sum, err := utils.NewHashReader(body, v, utils.HashType(strings.ToLower(string(algorithm))))
			if err != nil {
				return fmt.Errorf("verify checksum %s: %w", algorithm, err)
			}
			if _, err := io.Copy(io.Discard, sum); err != nil {
				return err
			}
			// The maps of an upload's headers belong to the catalog.
			h := map[string]string{checksumHeader + strings.ToLower(string(algorithm)): v}
			for name, value := range o.Record.GetHeaders() {
				h[name] = value
			}
			o.Record.Headers = h
			return nil
		}, nil
	}
	return nil, nil
}

// AbortMultipartUpload ends an upload without an object.
func (b *tenantBackend) AbortMultipartUpload(request context.Context, in *s3.AbortMultipartUploadInput) error {
	ctx, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return err
	}
	if in.IfMatchInitiatedTime != nil {
		return s3err.GetAPIError(s3err.ErrNotImplemented)
	}
	key := keyOf(in.Key)
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
	parts, more, err := b.objects.Parts(ctx, path, key, upload, uint32(after), max(limit, 1))
	if err != nil {
		return out, b.uploadError("list parts", path, key, in.UploadId, err)
	}
	if limit == 0 {
		return out, nil
	}
	out.IsTruncated = more
	for _, p := range parts {
		out.Parts = append(out.Parts, s3response.Part{
			PartNumber: int(p.GetNumber()), ETag: *quoted(p.GetEtag()), Size: int64(p.GetRoot().GetSize()), LastModified: modified(p.GetTime()),
		})
		out.NextPartNumberMarker = int(p.GetNumber())
	}
	return out, nil
}

// ListMultipartUploads lists the uploads under way.
func (b *tenantBackend) ListMultipartUploads(request context.Context, in *s3.ListMultipartUploadsInput) (s3response.ListMultipartUploadsResult, error) {
	var out s3response.ListMultipartUploadsResult
	ctx, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return out, err
	}
	_, tenant, err := b.tenant(request)
	if err != nil {
		return out, err
	}
	e, err := requestedEncoding(request)
	if err != nil {
		return out, err
	}
	prefix, delimiter := str(in.Prefix), str(in.Delimiter)
	out = s3response.ListMultipartUploadsResult{
		Bucket: strings.Clone(str(in.Bucket)), Prefix: *e.name(prefix), Delimiter: *e.name(delimiter),
		KeyMarker: *e.name(str(in.KeyMarker)), UploadIDMarker: strings.Clone(str(in.UploadIdMarker)),
		MaxUploads: int(*in.MaxUploads), EncodingType: string(e.kind),
	}
	limit := min(int(*in.MaxUploads), maxKeys)
	if limit == 0 {
		return out, nil
	}
	w := uploadWalk{prefix: prefix, delimiter: delimiter, limit: limit}
	page := objects.UploadsPage{Prefix: prefix, AfterKey: str(in.KeyMarker), AfterID: str(in.UploadIdMarker), Limit: maxKeys}
	if page.AfterKey != "" {
		w.skip = rolledUp(page.AfterKey, prefix, delimiter)
		if page.AfterID == "" {
			page.AfterID = afterAllIDs
		}
	}
	for !w.full {
		uploads, more, err := b.objects.Uploads(ctx, path, page)
		if err != nil {
			return out, b.apiError("list uploads", path, prefix, err)
		}
		for _, up := range uploads {
			w.add(string(up.GetKey()), up.GetId(), up.GetCreated())
			page.AfterKey, page.AfterID = string(up.GetKey()), up.GetId()
		}
		if !more {
			break
		}
	}
	for _, u := range w.uploads {
		out.Uploads = append(out.Uploads, s3response.Upload{
			Key: *e.name(u.key), UploadID: u.id, Initiated: modified(u.created), StorageClass: types.StorageClassStandard,
			Owner:     s3response.Owner{ID: tenant, DisplayName: tenant},
			Initiator: s3response.Initiator{ID: tenant, DisplayName: tenant},
		})
	}
	for _, p := range w.prefixes {
		out.CommonPrefixes = append(out.CommonPrefixes, s3response.CommonPrefix{Prefix: *e.name(p)})
	}
	if out.IsTruncated = w.full; w.full {
		out.NextKeyMarker, out.NextUploadIDMarker = *e.name(w.lastKey), w.lastID
	}
	return out, nil
}

// afterAllIDs is above every upload ID, which are hexadecimal.
const afterAllIDs = "~"

// rolledUp returns the common prefix that rolls up a key, or "".
func rolledUp(key, prefix, delimiter string) string {
	if delimiter == "" || !strings.HasPrefix(key, prefix) {
		return ""
	}
	if i := strings.Index(key[len(prefix):], delimiter); i >= 0 {
		return key[:len(prefix)+i+len(delimiter)]
	}
	return ""
}

// uploadWalk gathers one page of uploads, with common prefixes.
type uploadWalk struct {
	prefix, delimiter string
	limit             int
	skip              string // a common prefix that the page before has named

	uploads         []walkedUpload
	prefixes        []string
	full            bool // there is more than the page holds
	lastKey, lastID string
}

type walkedUpload struct {
	key, id string
	created int64
}

func (w *uploadWalk) add(key, id string, created int64) {
	p := rolledUp(key, w.prefix, w.delimiter)
	if w.full || p != "" && (p == w.skip || len(w.prefixes) > 0 && w.prefixes[len(w.prefixes)-1] == p) {
		return
	}
	if len(w.uploads)+len(w.prefixes) == w.limit {
		w.full = true
		return
	}
	if p != "" {
		w.prefixes = append(w.prefixes, p)
		w.lastKey, w.lastID = p, ""
		return
	}
	w.uploads = append(w.uploads, walkedUpload{key, id, created})
	w.lastKey, w.lastID = key, id
}
