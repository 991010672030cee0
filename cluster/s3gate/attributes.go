package s3gate

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3response"

	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// GetObjectAttributes describes a version in a body.
func (b *tenantBackend) GetObjectAttributes(request context.Context, in *s3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	_, t, found, err := b.find(request, "get object attributes", in.Bucket, in.Key, in.VersionId)
	if err != nil {
		if found != nil {
			return s3response.GetObjectAttributesResponse{DeleteMarker: ptr(true)}, err
		}
		return s3response.GetObjectAttributesResponse{}, err
	}
	rec := found.Record
	out := s3response.GetObjectAttributesResponse{
		ETag: ptr(rec.GetEtag()), ObjectSize: ptr(int64(rec.GetRoot().GetSize())),
		StorageClass: types.StorageClassStandard, VersionId: b.versionID(t.path, rec),
	}
	// versitygw would write the time in a form that clients do not read.
	tell(request, "Last-Modified", modified(rec.GetTime()).Format(http.TimeFormat))
	if sum := kept(rec.GetHeaders()); sum.value != "" {
		v := sum.of
		out.Checksum = &types.Checksum{
			ChecksumCRC32: v(types.ChecksumAlgorithmCrc32), ChecksumCRC32C: v(types.ChecksumAlgorithmCrc32c),
			ChecksumCRC64NVME: v(types.ChecksumAlgorithmCrc64nvme), ChecksumSHA1: v(types.ChecksumAlgorithmSha1),
			ChecksumSHA256: v(types.ChecksumAlgorithmSha256), ChecksumSHA512: v(types.ChecksumAlgorithmSha512),
			ChecksumMD5: v(types.ChecksumAlgorithmMd5), ChecksumXXHASH64: v(types.ChecksumAlgorithmXxhash64),
			ChecksumXXHASH3: v(types.ChecksumAlgorithmXxhash3), ChecksumXXHASH128: v(types.ChecksumAlgorithmXxhash128),
			ChecksumType: sum.kind(),
		}
	}
	if len(rec.GetPartSizes()) == 0 {
		return out, nil
	}
	limit, after := maxKeys, 0
	if in.MaxParts != nil {
		limit = min(int(*in.MaxParts), maxKeys)
	}
	if m := str(in.PartNumberMarker); m != "" {
		if after, err = strconv.Atoi(m); err != nil || after < 0 || after > objects.MaxParts {
			return out, invalidArgument("x-amz-part-number-marker", m, "The part number marker must be an integer between 0 and 10000")
		}
	}
	out.ObjectParts = objectParts(rec, after, limit)
	// versitygw's type has no number of parts.
	rewrite(request, func(body []byte) []byte {
		const start = "<ObjectParts>"
		return bytes.Replace(body, []byte(start), fmt.Appendf(nil, "%s<PartsCount>%d</PartsCount>", start, len(rec.GetPartSizes())), 1)
	})
	return out, nil
}

// objectParts lists the parts of an object with numbers above after, at most
// limit. S3 lists those of an object whose parts have checksums, and tells of any
// other only how many there are. They are numbered from 1, as for GetObject.
func objectParts(rec *catalogpb.Record, after, limit int) *s3response.ObjectParts {
	out := &s3response.ObjectParts{PartNumberMarker: after, MaxParts: limit}
	if len(rec.GetPartChecksums()) != len(rec.GetPartSizes()) {
		return out
	}
	for i := after; i < len(rec.GetPartSizes()); i++ {
		if len(out.Parts) == limit {
			out.IsTruncated = true
			break
		}
		v := keptPart(rec, i).of
		out.Parts = append(out.Parts, types.ObjectPart{
			PartNumber: ptr(int32(i + 1)), Size: ptr(int64(rec.GetPartSizes()[i])),
			ChecksumCRC32: v(types.ChecksumAlgorithmCrc32), ChecksumCRC32C: v(types.ChecksumAlgorithmCrc32c),
			ChecksumCRC64NVME: v(types.ChecksumAlgorithmCrc64nvme), ChecksumSHA1: v(types.ChecksumAlgorithmSha1),
			ChecksumSHA256: v(types.ChecksumAlgorithmSha256), ChecksumSHA512: v(types.ChecksumAlgorithmSha512),
			ChecksumMD5: v(types.ChecksumAlgorithmMd5), ChecksumXXHASH64: v(types.ChecksumAlgorithmXxhash64),
			ChecksumXXHASH3: v(types.ChecksumAlgorithmXxhash3), ChecksumXXHASH128: v(types.ChecksumAlgorithmXxhash128),
		})
		out.NextPartNumberMarker = i + 1
	}
	return out
}
