package s3gate

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3response"

	"edgefog.dev/isgw/raftfsm/catalog"
)

// ListMultipartUploads lists the uploads under way.
func (b *tenantBackend) ListMultipartUploads(request context.Context, in *s3.ListMultipartUploadsInput) (s3response.ListMultipartUploadsResult, error) {
	var out s3response.ListMultipartUploadsResult
	ctx, l, err := b.listed(request, in.Bucket)
	if err != nil {
		return out, err
	}
	prefix, delimiter := str(in.Prefix), str(in.Delimiter)
	out = s3response.ListMultipartUploadsResult{
		Bucket: l.bucket, Prefix: *l.name(prefix), Delimiter: *l.name(delimiter),
		KeyMarker: *l.name(str(in.KeyMarker)), UploadIDMarker: strings.Clone(str(in.UploadIdMarker)),
		MaxUploads: int(*in.MaxUploads), EncodingType: string(l.kind),
	}
	limit := min(int(*in.MaxUploads), maxKeys)
	if limit <= 0 {
		return out, nil
	}
	items, more, err := b.objects.ListUploads(ctx, l.path, catalog.ListUploadsOptions{
		Prefix: []byte(prefix), Delimiter: []byte(delimiter), AfterKey: []byte(str(in.KeyMarker)), AfterID: str(in.UploadIdMarker), Limit: limit,
	})
	if err != nil {
		return out, b.apiError("list uploads", l.path, prefix, err)
	}
	out.IsTruncated = more
	for i, item := range items {
		u, name := item.Upload, l.name(string(item.CommonPrefix))
		if u == nil {
			out.CommonPrefixes = append(out.CommonPrefixes, s3response.CommonPrefix{Prefix: *name})
		} else {
			name = l.name(string(u.GetKey()))
			out.Uploads = append(out.Uploads, s3response.Upload{
				Key: *name, UploadID: u.GetId(), Initiated: modified(u.GetCreated()), StorageClass: types.StorageClassStandard,
				Owner:             s3response.Owner(l.owner),
				Initiator:         s3response.Initiator(l.owner),
				ChecksumAlgorithm: sumsOf(u.GetHeaders()).algorithm, ChecksumType: sumsOf(u.GetHeaders()).kind,
			})
		}
		if more && i == len(items)-1 {
			out.NextKeyMarker, out.NextUploadIDMarker = *name, u.GetId()
		}
	}
	return out, nil
}
