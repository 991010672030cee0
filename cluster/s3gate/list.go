package s3gate

import (
	"context"
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3response"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// maxKeys is the greatest number of keys of one listing.
const maxKeys = 1000

// listing is what a page of a listing holds, in the order of the names.
type listing struct {
	records   []*catalogpb.Record
	prefixes  []string
	truncated bool
	last      string // name of the last item, a key or a common prefix
}

// list reads a page of at most limit names above after.
func (b *tenantBackend) list(ctx context.Context, path, prefix, delimiter, after string, limit int) (listing, error) {
	var out listing
	limit = min(limit, maxKeys)
	if limit <= 0 {
		return out, nil
	}
	o := catalog.ListOptions{Prefix: []byte(prefix), Delimiter: []byte(delimiter), After: []byte(after)}
	for count := 0; ; {
		// One more than is wanted tells whether there are more.
		o.Limit = limit + 1 - count
		page, err := b.objects.List(ctx, path, o)
		if err != nil {
			return listing{}, b.apiError("list objects", path, prefix, err)
		}
		for _, item := range page.Items {
			if count == limit {
				out.truncated = true
				return out, nil
			}
			count++
			if item.Record != nil {
				out.records = append(out.records, item.Record)
				out.last = string(item.Record.GetKey())
			} else {
				out.last = string(item.CommonPrefix)
				out.prefixes = append(out.prefixes, out.last)
			}
		}
		if !page.Truncated {
			return out, nil
		}
		// A page may be short, or empty, where many keys are deleted.
		if err := ctx.Err(); err != nil {
			return listing{}, b.apiError("list objects", path, prefix, err)
		}
		o.From = page.Next
	}
}

// encoding is how a client wants names in a listing: as they are, or escaped,
// because XML cannot hold every character of a key.
type encoding struct{ kind types.EncodingType }

// requestedEncoding reads encoding-type, which versitygw does not pass on.
func requestedEncoding(request context.Context) (encoding, error) {
	rc, ok := request.(*fasthttp.RequestCtx)
	if !ok {
		return encoding{}, nil
	}
	switch v := string(rc.QueryArgs().Peek("encoding-type")); v {
	case "":
		return encoding{}, nil
	case string(types.EncodingTypeUrl):
		return encoding{types.EncodingTypeUrl}, nil
	default:
		return encoding{}, invalidArgument("encoding-type", v, "Invalid Encoding Method specified in Request")
	}
}

// name returns a name as the client wants it. A space is %20 and a plus sign
// %2B, which clients that unescape as a query and those that unescape as a path
// read alike.
func (e encoding) name(s string) *string {
	if e.kind == types.EncodingTypeUrl {
		s = strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
		s = strings.ReplaceAll(s, "%2F", "/")
		return &s
	}
	s = strings.Clone(s)
	return &s
}

// optional is name, and nil for an empty one.
func (e encoding) optional(s string) *string {
	if s == "" {
		return nil
	}
	return e.name(s)
}

func (e encoding) prefixes(list []string) []types.CommonPrefix {
	out := make([]types.CommonPrefix, len(list))
	for i, p := range list {
		out[i].Prefix = e.name(p)
	}
	return out
}

func (e encoding) objects(records []*catalogpb.Record, owner *types.Owner) []s3response.Object {
	out := make([]s3response.Object, len(records))
	for i, rec := range records {
		out[i] = s3response.Object{
			Key: e.name(string(rec.GetKey())), ETag: quoted(rec.GetEtag()), Owner: owner,
			Size: ptr(int64(rec.GetRoot().GetSize())), LastModified: ptr(modified(rec.GetTime())),
			StorageClass: types.ObjectStorageClassStandard,
		}
	}
	return out
}

// ListObjects lists a bucket in the first version of the protocol.
func (b *tenantBackend) ListObjects(request context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	var out s3response.ListObjectsResult
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
	page, err := b.list(ctx, path, str(in.Prefix), str(in.Delimiter), str(in.Marker), int(*in.MaxKeys))
	if err != nil {
		return out, err
	}
	out = s3response.ListObjectsResult{
		Name: ptr(strings.Clone(str(in.Bucket))), Prefix: e.name(str(in.Prefix)), Marker: e.name(str(in.Marker)),
		Delimiter: e.optional(str(in.Delimiter)), MaxKeys: in.MaxKeys, IsTruncated: &page.truncated,
		Contents:       e.objects(page.records, &types.Owner{ID: &tenant, DisplayName: &tenant}),
		CommonPrefixes: e.prefixes(page.prefixes), EncodingType: e.kind,
	}
	if page.truncated {
		out.NextMarker = e.name(page.last)
	}
	return out, nil
}

// ListObjectsV2 lists a bucket in the second version of the protocol. The
// continuation token is the last name of the page before, so that it stays good
// whatever happens to that name.
func (b *tenantBackend) ListObjectsV2(request context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	var out s3response.ListObjectsV2Result
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
	after := str(in.StartAfter)
	if token := str(in.ContinuationToken); token != "" {
		name, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			return out, invalidArgument("continuation-token", token, "The continuation token provided is incorrect")
		}
		after = string(name)
	}
	page, err := b.list(ctx, path, str(in.Prefix), str(in.Delimiter), after, int(*in.MaxKeys))
	if err != nil {
		return out, err
	}
	var owner *types.Owner
	if in.FetchOwner != nil && *in.FetchOwner {
		owner = &types.Owner{ID: &tenant, DisplayName: &tenant}
	}
	out = s3response.ListObjectsV2Result{
		Name: ptr(strings.Clone(str(in.Bucket))), Prefix: e.name(str(in.Prefix)), StartAfter: e.optional(str(in.StartAfter)),
		Delimiter: e.optional(str(in.Delimiter)), MaxKeys: in.MaxKeys, IsTruncated: &page.truncated,
		KeyCount: ptr(int32(len(page.records) + len(page.prefixes))),
		Contents: e.objects(page.records, owner), CommonPrefixes: e.prefixes(page.prefixes), EncodingType: e.kind,
	}
	if token := str(in.ContinuationToken); token != "" {
		out.ContinuationToken = ptr(strings.Clone(token))
	}
	if page.truncated {
		out.NextContinuationToken = ptr(base64.RawURLEncoding.EncodeToString([]byte(page.last)))
	}
	return out, nil
}
