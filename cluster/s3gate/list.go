package s3gate

import (
	"context"
	"encoding/base64"
	"encoding/xml"
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

// listed is what all listings begin with.
type listed struct {
	path   string     // of the bucket
	bucket string     // its last name
	owner  ownerEntry // of everything in it
	encoding
}

// listed reads what a listing is of. It does not look whether the bucket exists.
func (b *tenantBackend) listed(request context.Context, bucket *string) (context.Context, listed, error) {
	ctx, path, err := b.bucketPath(request, str(bucket))
	if err != nil {
		return nil, listed{}, err
	}
	_, tenant, err := b.tenant(request)
	if err != nil {
		return nil, listed{}, err
	}
	e, err := requestedEncoding(request)
	return ctx, listed{path, strings.Clone(str(bucket)), ownerEntry{tenant, tenant}, e}, err
}

// objectsAnswer is the answer to ListObjects in both versions of the protocol.
// versitygw's type would name a type of checksum for objects that have none.
type objectsAnswer struct {
	XMLName        xml.Name           `xml:"ListBucketResult"`
	Xmlns          string             `xml:"xmlns,attr"`
	Name           string             `xml:"Name"`
	Prefix         string             `xml:"Prefix"`
	Delimiter      string             `xml:"Delimiter,omitempty"`
	MaxKeys        int32              `xml:"MaxKeys"`
	EncodingType   types.EncodingType `xml:"EncodingType,omitempty"`
	IsTruncated    bool               `xml:"IsTruncated"`
	Marker         *string            `xml:"Marker"` // of the first version, as is NextMarker
	NextMarker     string             `xml:"NextMarker,omitempty"`
	StartAfter     string             `xml:"StartAfter,omitempty"` // of the second, as is what follows
	Token          string             `xml:"ContinuationToken,omitempty"`
	NextToken      string             `xml:"NextContinuationToken,omitempty"`
	KeyCount       *int               `xml:"KeyCount"`
	Contents       []objectEntry      `xml:"Contents"`
	CommonPrefixes []prefixEntry      `xml:"CommonPrefixes"`
}

type objectEntry struct {
	Key          string                  `xml:"Key"`
	LastModified string                  `xml:"LastModified"`
	ETag         string                  `xml:"ETag"`
	Algorithm    types.ChecksumAlgorithm `xml:"ChecksumAlgorithm,omitempty"`
	Type         types.ChecksumType      `xml:"ChecksumType,omitempty"`
	Size         uint64                  `xml:"Size"`
	Owner        *ownerEntry             `xml:"Owner"`
	StorageClass string                  `xml:"StorageClass"`
}

type ownerEntry struct{ ID, DisplayName string }

type prefixEntry struct{ Prefix string }

// listedTime is the form of times in listings.
const listedTime = "2006-01-02T15:04:05.000Z"

// answer returns the part of an answer that both versions share; the owner is told
// with each object if withOwner is set.
func (l listed) answer(page listing, prefix, delimiter *string, maxKeys *int32, withOwner bool) objectsAnswer {
	out := objectsAnswer{
		Xmlns: namespace, Name: l.bucket, Prefix: *l.name(str(prefix)), Delimiter: *l.name(str(delimiter)), MaxKeys: *maxKeys,
		EncodingType: l.kind, IsTruncated: page.truncated,
		Contents: make([]objectEntry, len(page.records)), CommonPrefixes: l.prefixes(page.prefixes),
	}
	for i, rec := range page.records {
		sum := kept(rec.GetHeaders())
		out.Contents[i] = objectEntry{
			Key: *l.name(string(rec.GetKey())), LastModified: modified(rec.GetTime()).Format(listedTime), ETag: *quoted(rec.GetEtag()),
			Algorithm: sum.algorithm, Type: sum.kind(), Size: rec.GetRoot().GetSize(), StorageClass: string(types.ObjectStorageClassStandard),
		}
		if withOwner {
			out.Contents[i].Owner = &l.owner
		}
	}
	return out
}

func (e encoding) prefixes(list []string) []prefixEntry {
	out := make([]prefixEntry, len(list))
	for i, p := range list {
		out[i].Prefix = *e.name(p)
	}
	return out
}

// ListObjects lists a bucket in the first version of the protocol.
func (b *tenantBackend) ListObjects(request context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	var out s3response.ListObjectsResult
	ctx, l, err := b.listed(request, in.Bucket)
	if err != nil {
		return out, err
	}
	page, err := b.list(ctx, l.path, str(in.Prefix), str(in.Delimiter), str(in.Marker), int(*in.MaxKeys))
	if err != nil {
		return out, err
	}
	a := l.answer(page, in.Prefix, in.Delimiter, in.MaxKeys, true)
	a.Marker = l.name(str(in.Marker))
	if page.truncated {
		a.NextMarker = *l.name(page.last)
	}
	return out, b.answer(request, "list objects", l.path, a)
}

// ListObjectsV2 lists a bucket in the second version of the protocol. The
// continuation token is the last name of the page before, so that it stays good
// whatever happens to that name.
func (b *tenantBackend) ListObjectsV2(request context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	var out s3response.ListObjectsV2Result
	ctx, l, err := b.listed(request, in.Bucket)
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
	page, err := b.list(ctx, l.path, str(in.Prefix), str(in.Delimiter), after, int(*in.MaxKeys))
	if err != nil {
		return out, err
	}
	a := l.answer(page, in.Prefix, in.Delimiter, in.MaxKeys, in.FetchOwner != nil && *in.FetchOwner)
	a.KeyCount = ptr(len(page.records) + len(page.prefixes))
	a.StartAfter, a.Token = *l.name(str(in.StartAfter)), str(in.ContinuationToken)
	if page.truncated {
		a.NextToken = base64.RawURLEncoding.EncodeToString([]byte(page.last))
	}
	return out, b.answer(request, "list objects", l.path, a)
}
