package s3gate

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// target is a version of a key that a request names.
type target struct {
	path, key string
	which     objects.Which
}

// target reads what a request names. It does not look whether it exists.
func (b *tenantBackend) target(request context.Context, bucket, key, id *string) (context.Context, target, error) {
	ctx, path, err := b.bucketPath(request, str(bucket))
	if err != nil {
		return nil, target{}, err
	}
	t := target{path: path, key: keyOf(key)}
	if fast, ok := request.(*fasthttp.RequestCtx); ok && str(id) == "" && fast.QueryArgs().Has("versionId") {
		// A script whose variable is empty does not mean the latest version.
		return nil, t, invalidArgument("versionId", "", "Version id cannot be the empty string")
	}
	if t.which, err = objects.ParseVersionID(strings.Clone(str(id))); err != nil {
		return nil, t, s3err.GetInvalidArgumentErr(s3err.InvalidArgVersionId, strings.Clone(str(id)))
	}
	return ctx, t, nil
}

// find returns the version that a request names. When a delete marker is in the
// way it is returned beside the error.
func (b *tenantBackend) find(request context.Context, op string, bucket, key, id *string) (context.Context, target, *catalog.Version, error) {
	ctx, t, err := b.target(request, bucket, key, id)
	if err != nil {
		return nil, t, nil, err
	}
	v, err := b.objects.Version(ctx, t.path, t.key, t.which)
	if err != nil {
		if v != nil {
			tell(request, "x-amz-version-id", catalog.VersionID(v.Record))
		}
		return ctx, t, v, b.versionError(op, t, id, err)
	}
	return ctx, t, v, nil
}

// versionError is apiError, and names the version.
func (b *tenantBackend) versionError(op string, t target, id *string, err error) error {
	switch {
	case errors.Is(err, objects.ErrNoVersion):
		return s3err.GetNoSuchVersionErr(t.key, strings.Clone(str(id)))
	case errors.Is(err, objects.ErrDeleteMarker):
		return s3err.GetMethodNotAllowedErr(http.MethodGet, "DeleteMarker", []string{http.MethodDelete})
	}
	return b.apiError(op, t.path, t.key, err)
}

// versionID returns the version ID of a record as S3 tells it: nothing in a bucket
// that has never kept versions.
func (b *tenantBackend) versionID(path string, rec *catalogpb.Record) *string {
	if rec == nil || rec.GetVersioning() == catalogpb.Versioning_VERSIONING_NEVER && !b.objects.Versioned(path) {
		return nil
	}
	return ptr(catalog.VersionID(rec))
}

// The states of a bucket in S3's words.
var versioningStates = map[catalogpb.Versioning]types.BucketVersioningStatus{
	catalogpb.Versioning_VERSIONING_ENABLED:   types.BucketVersioningStatusEnabled,
	catalogpb.Versioning_VERSIONING_SUSPENDED: types.BucketVersioningStatusSuspended,
}

// GetBucketVersioning says whether a bucket keeps versions; nothing if it never did.
// versitygw asks before every write too, for its decision about locks, which is not
// taken there.
func (b *tenantBackend) GetBucketVersioning(request context.Context, bucket string) (s3response.GetBucketVersioningOutput, error) {
	if !reads(request) {
		return s3response.GetBucketVersioningOutput{}, nil
	}
	_, _, a, err := b.settings(request, "get bucket versioning", bucket)
	if err != nil {
		return s3response.GetBucketVersioningOutput{}, err
	}
	out := s3response.GetBucketVersioningOutput{}
	if status, ok := versioningStates[a.Versioning]; ok {
		out.Status = &status
	}
	return out, nil
}

// PutBucketVersioning turns the keeping of versions on, or suspends it.
func (b *tenantBackend) PutBucketVersioning(request context.Context, bucket string, status types.BucketVersioningStatus) error {
	const op = "put bucket versioning"
	ctx, path, a, err := b.settings(request, op, bucket)
	if err != nil {
		return err
	}
	if fast, ok := request.(*fasthttp.RequestCtx); ok {
		// versitygw does not hand on whether a second factor is to be demanded.
		var in struct{ MfaDelete types.MFADelete }
		if err := xml.Unmarshal(fast.Request.Body(), &in); err != nil || in.MfaDelete == types.MFADeleteEnabled {
			return s3err.GetAPIError(s3err.ErrNotImplemented)
		}
	}
	state := catalogpb.Versioning_VERSIONING_ENABLED
	if status == types.BucketVersioningStatusSuspended {
		if state = catalogpb.Versioning_VERSIONING_SUSPENDED; a.Lock.GetEnabled() {
			return s3err.GetAPIError(s3err.ErrSuspendedVersioningNotAllowed)
		}
	}
	if err := b.objects.SetVersioning(ctx, path, state); err != nil {
		return b.apiError(op, path, "", err)
	}
	return nil
}

// settings returns the settings of a bucket that the tenant has.
func (b *tenantBackend) settings(request context.Context, op, bucket string) (context.Context, string, *catalog.BucketAttributes, error) {
	ctx, path, err := b.bucketPath(request, bucket)
	if err != nil {
		return nil, "", nil, err
	}
	a, err := b.objects.BucketAttributes(ctx, path)
	if err != nil {
		return nil, "", nil, b.apiError(op, path, "", err)
	}
	return ctx, path, a, nil
}
