package s3gate

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm/catalog"
)

// deleteConditions are those of a deletion.
func deleteConditions(etag *string, modified *time.Time, size *int64) (objects.Conditions, error) {
	c := objects.Conditions{IfMatch: strings.Clone(str(etag)), Modified: modified}
	if size != nil {
		if *size < 0 {
			return c, invalidArgument("x-amz-if-match-size", "", "The size must not be negative")
		}
		c.Size = ptr(uint64(*size))
	}
	return c, nil
}

// DeleteObject deletes an object, or removes one of its versions for good.
func (b *tenantBackend) DeleteObject(request context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	ctx, t, err := b.target(request, in.Bucket, in.Key, in.VersionId)
	if err != nil {
		return nil, err
	}
	c, err := deleteConditions(in.IfMatch, in.IfMatchLastModifiedTime, in.IfMatchSize)
	if err != nil {
		return nil, err
	}
	done, err := b.objects.DeleteVersion(ctx, t.path, objects.Deletion{
		Key: t.key, Version: t.which, Conditions: c, Bypass: mayBypass(request),
	})
	if err != nil {
		return nil, b.deleteError(t, c, err)
	}
	out := &s3.DeleteObjectOutput{DeleteMarker: &done.Marker}
	if id := str(in.VersionId); id != "" {
		out.VersionId = ptr(strings.Clone(id))
	} else if done.Marker {
		out.VersionId = ptr(catalog.VersionID(done.Record))
	}
	return out, nil
}

// deleteError is apiError, and names the condition that failed.
func (b *tenantBackend) deleteError(t target, c objects.Conditions, err error) error {
	if errors.Is(err, objects.ErrPrecondition) && c.IfMatch != "" && c.Modified == nil && c.Size == nil {
		return s3err.GetPreconditionFailedErr(s3err.ConditionIfMatch)
	}
	return b.apiError("delete object", t.path, t.key, err)
}

// maxDeletions is the greatest number of keys of DeleteObjects.
const maxDeletions = 1000

// DeleteObjects deletes many objects and tells of each what became of it, or of those
// only that it did not delete. Keys come in the body here, under their own names.
func (b *tenantBackend) DeleteObjects(request context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	ctx, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return s3response.DeleteResult{}, err
	}
	var out s3response.DeleteResult
	var list []objects.Deletion
	var ids []types.ObjectIdentifier
	refuse := func(o types.ObjectIdentifier, err error) {
		out.Error = append(out.Error, s3err.ObjectDeleteError(o.Key, o.VersionId, err))
	}
	bypass := mayBypass(request)
	for _, o := range in.Delete.Objects {
		which, err := objects.ParseVersionID(str(o.VersionId))
		if err != nil {
			refuse(o, s3err.GetInvalidArgumentErr(s3err.InvalidArgVersionId, str(o.VersionId)))
			continue
		}
		c, err := deleteConditions(backend.TrimEtag(o.ETag), o.LastModifiedTime, o.Size)
		if err != nil {
			refuse(o, err)
			continue
		}
		ids = append(ids, o)
		list = append(list, objects.Deletion{Key: str(o.Key), Version: which, Conditions: c, Bypass: bypass})
	}
	silent, _ := request.Value(quiet{}).(bool)
	done, errs := b.objects.DeleteMany(ctx, path, list)
	for i, d := range done {
		if errs[i] != nil {
			refuse(ids[i], b.deleteError(target{path: path, key: list[i].Key}, list[i].Conditions, errs[i]))
			continue
		}
		if silent {
			continue
		}
		deleted := types.DeletedObject{Key: ids[i].Key, VersionId: ids[i].VersionId}
		if d.Marker {
			deleted.DeleteMarker, deleted.DeleteMarkerVersionId = ptr(true), ids[i].VersionId
			if list[i].Version.Latest() {
				deleted.DeleteMarkerVersionId = ptr(catalog.VersionID(d.Record))
			}
		}
		out.Deleted = append(out.Deleted, deleted)
	}
	return out, nil
}
