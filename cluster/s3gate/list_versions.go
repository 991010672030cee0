package s3gate

import (
	"context"
	"encoding/xml"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3response"

	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// versionsAnswer is the answer to ListObjectVersions. versitygw's type has versions
// and delete markers in two lists; S3 tells them in one order, on which clients rely
// that look for what was there at a time.
type versionsAnswer struct {
	XMLName             xml.Name           `xml:"ListVersionsResult"`
	Xmlns               string             `xml:"xmlns,attr"` // and of what is within, which XMLName would exclude
	Name                string             `xml:"Name"`
	Prefix              string             `xml:"Prefix"`
	KeyMarker           string             `xml:"KeyMarker"`
	VersionIDMarker     string             `xml:"VersionIdMarker"`
	NextKeyMarker       string             `xml:"NextKeyMarker,omitempty"`
	NextVersionIDMarker string             `xml:"NextVersionIdMarker,omitempty"`
	MaxKeys             int32              `xml:"MaxKeys"`
	Delimiter           string             `xml:"Delimiter,omitempty"`
	EncodingType        types.EncodingType `xml:"EncodingType,omitempty"`
	IsTruncated         bool               `xml:"IsTruncated"`
	Entries             []versionEntry
	CommonPrefixes      []prefixEntry `xml:"CommonPrefixes"`
}

// versionEntry is a Version or a DeleteMarker, as XMLName says.
type versionEntry struct {
	XMLName      xml.Name
	Key          string  `xml:"Key"`
	VersionID    string  `xml:"VersionId"`
	IsLatest     bool    `xml:"IsLatest"`
	LastModified string  `xml:"LastModified"`
	ETag         *string `xml:"ETag"`
	Size         *uint64 `xml:"Size"`
	Owner        ownerEntry
	StorageClass string `xml:"StorageClass,omitempty"`
}

// ListObjectVersions lists the versions and delete markers of a bucket.
func (b *tenantBackend) ListObjectVersions(request context.Context, in *s3.ListObjectVersionsInput) (s3response.ListVersionsResult, error) {
	var out s3response.ListVersionsResult
	ctx, l, err := b.listed(request, in.Bucket)
	if err != nil {
		return out, err
	}
	o := catalog.ListVersionsOptions{Prefix: []byte(str(in.Prefix)), Delimiter: []byte(str(in.Delimiter)), AfterKey: []byte(str(in.KeyMarker))}
	if id := str(in.VersionIdMarker); id != "" {
		which, err := objects.ParseVersionID(strings.Clone(id))
		if err != nil || str(in.KeyMarker) == "" {
			return out, invalidArgument("version-id-marker", id, "A version-id marker must be a version id and cannot be specified without a key marker.")
		}
		o.AfterVersion, o.AfterNull = which.Dot, which.Null
	}
	page, err := b.listVersions(ctx, l.path, o, int(*in.MaxKeys))
	if err != nil {
		return out, err
	}
	answer := versionsAnswer{
		Xmlns: namespace, Name: l.bucket, Prefix: *l.name(str(in.Prefix)), KeyMarker: *l.name(str(in.KeyMarker)),
		VersionIDMarker: strings.Clone(str(in.VersionIdMarker)), MaxKeys: *in.MaxKeys, Delimiter: *l.name(str(in.Delimiter)),
		EncodingType: l.kind, IsTruncated: page.truncated, CommonPrefixes: l.prefixes(page.prefixes),
	}
	if page.truncated {
		answer.NextKeyMarker, answer.NextVersionIDMarker = *l.name(page.lastKey), page.lastID
	}
	for _, v := range page.versions {
		rec := v.Record
		entry := versionEntry{
			XMLName: xml.Name{Local: "Version"}, Key: *l.name(string(rec.GetKey())), VersionID: catalog.VersionID(rec), IsLatest: v.Latest,
			LastModified: modified(rec.GetTime()).Format(listedTime), Owner: l.owner,
		}
		if rec.GetKind() == catalogpb.RecordKind_RECORD_VERSION {
			entry.ETag, entry.Size, entry.StorageClass = quoted(rec.GetEtag()), ptr(rec.GetRoot().GetSize()), string(types.ObjectVersionStorageClassStandard)
		} else {
			entry.XMLName.Local = "DeleteMarker"
		}
		answer.Entries = append(answer.Entries, entry)
	}
	return out, b.answer(request, "list versions", l.path, answer)
}

// versionsPage is a page of versions, in the order of their keys.
type versionsPage struct {
	versions        []*catalog.Version
	prefixes        []string
	truncated       bool
	lastKey, lastID string // of the last item; no ID after a common prefix
}

// listVersions reads a page of at most limit items.
func (b *tenantBackend) listVersions(ctx context.Context, path string, o catalog.ListVersionsOptions, limit int) (versionsPage, error) {
	var out versionsPage
	limit = min(limit, maxKeys)
	if limit <= 0 {
		return out, nil
	}
	for count := 0; ; {
		// One more than is wanted tells whether there are more.
		o.Limit = limit + 1 - count
		page, err := b.objects.ListVersions(ctx, path, o)
		if err != nil {
			return versionsPage{}, b.apiError("list versions", path, "", err)
		}
		for _, item := range page.Items {
			if count == limit {
				out.truncated = true
				return out, nil
			}
			count++
			if item.Version == nil {
				out.lastKey, out.lastID = string(item.CommonPrefix), ""
				out.prefixes = append(out.prefixes, out.lastKey)
				continue
			}
			out.versions = append(out.versions, item.Version)
			out.lastKey, out.lastID = string(item.Version.Record.GetKey()), catalog.VersionID(item.Version.Record)
		}
		if !page.Truncated {
			return out, nil
		}
		if err := ctx.Err(); err != nil {
			return versionsPage{}, b.apiError("list versions", path, "", err)
		}
		o.AfterKey, o.AfterVersion, o.AfterNull = page.NextKey, page.NextVersion, page.NextNull
	}
}
