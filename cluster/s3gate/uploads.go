package s3gate

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3response"

	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
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
	if limit == 0 {
		return out, nil
	}
	w := uploadWalk{prefix: prefix, delimiter: delimiter, limit: limit}
	page := objects.UploadsPage{Prefix: prefix, AfterKey: str(in.KeyMarker), AfterID: str(in.UploadIdMarker), Limit: maxKeys}
	if page.AfterKey != "" {
		if p := rolledUp(page.AfterKey, prefix, delimiter); p == page.AfterKey {
			w.skip = p // the page before ended with it; a marker within it hides nothing
		}
		if page.AfterID == "" {
			page.AfterID = afterAllIDs
		}
	}
	for !w.full {
		uploads, more, err := b.objects.Uploads(ctx, l.path, page)
		if err != nil {
			return out, b.apiError("list uploads", l.path, prefix, err)
		}
		for _, up := range uploads {
			w.add(string(up.GetKey()), up)
			page.AfterKey, page.AfterID = string(up.GetKey()), up.GetId()
		}
		if !more {
			break
		}
	}
	for _, u := range w.uploads {
		out.Uploads = append(out.Uploads, s3response.Upload{
			Key: *l.name(string(u.GetKey())), UploadID: u.GetId(), Initiated: modified(u.GetCreated()), StorageClass: types.StorageClassStandard,
			Owner:             s3response.Owner(l.owner),
			Initiator:         s3response.Initiator(l.owner),
			ChecksumAlgorithm: sumsOf(u.GetHeaders()).algorithm, ChecksumType: sumsOf(u.GetHeaders()).kind,
		})
	}
	for _, p := range w.prefixes {
		out.CommonPrefixes = append(out.CommonPrefixes, s3response.CommonPrefix{Prefix: *l.name(p)})
	}
	if out.IsTruncated = w.full; w.full {
		out.NextKeyMarker, out.NextUploadIDMarker = *l.name(w.lastKey), w.lastID
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

	uploads         []*catalogpb.Upload
	prefixes        []string
	full            bool // there is more than the page holds
	lastKey, lastID string
}

func (w *uploadWalk) add(key string, up *catalogpb.Upload) {
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
	w.uploads = append(w.uploads, up)
	w.lastKey, w.lastID = key, up.GetId()
}
