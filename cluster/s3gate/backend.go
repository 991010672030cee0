package s3gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// tenantBackend is versitygw's backend over the site's objects. What it does not
// define is refused with NotImplemented by the embedded one.
//
// The contexts that it is given are fasthttp's request contexts, and the strings
// share memory with the request: both are used again for the next one. So a
// request goes on with the gate's own context, and whatever is kept is cloned.
type tenantBackend struct {
	backend.BackendUnsupported

	objects         *objects.Store
	keys            func(accessKey string) (Key, bool)
	access          func(path string) BucketAccess
	buckets         func(tenant string) []Bucket
	createBucket    func(ctx context.Context, path string, access BucketAccess) error
	deleteBucket    func(ctx context.Context, path string) error
	changePolicy    func(ctx context.Context, path string, policy []byte) error
	changeOwnership func(ctx context.Context, path, ownership string) error
	logger          *slog.Logger
	cors            corsCache

	base atomic.Pointer[context.Context] // of Serve; ends when requests are cut off
}

var _ backend.Backend = (*tenantBackend)(nil)

func newTenantBackend(o Options) *tenantBackend {
	return &tenantBackend{
		objects: o.Objects, keys: o.Keys, access: o.Access, buckets: o.Buckets,
		createBucket: o.CreateBucket, deleteBucket: o.DeleteBucket,
		changePolicy: o.SetPolicy, changeOwnership: o.SetOwnership,
		logger: o.Logger,
	}
}

// String names the backend.
func (*tenantBackend) String() string { return "isgw" }

// NormalizeObjectKey returns the key that policies are about.
func (*tenantBackend) NormalizeObjectKey(_, name string) string { return realKey(name) }

// tenant returns the tenant that signed the request, and the context that the
// request goes on with.
func (b *tenantBackend) tenant(request context.Context) (context.Context, string, error) {
	account, _ := request.Value("account").(auth.Account)
	if p, err := state.ParsePath(account.Access); err != nil || p.Depth() != 2 {
		return nil, "", s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	base := b.base.Load()
	if base == nil {
		return nil, "", errUnavailable
	}
	return *base, account.Access, nil
}

// bucketPath returns the path of a bucket of the tenant that signed the request.
// It does not look whether the bucket exists.
func (b *tenantBackend) bucketPath(request context.Context, bucket string) (context.Context, string, error) {
	ctx, tenant, err := b.tenant(request)
	if err != nil {
		return nil, "", err
	}
	path := tenant + "/" + bucket
	if p, err := state.ParsePath(path); err != nil || p.Depth() != 3 {
		return nil, "", s3err.GetBucketErr(s3err.ErrNoSuchBucket, strings.Clone(bucket))
	}
	return ctx, path, nil
}

// existing is bucketPath for a bucket that exists.
func (b *tenantBackend) existing(request context.Context, bucket string) (context.Context, string, error) {
	ctx, path, err := b.bucketPath(request, bucket)
	if err != nil {
		return nil, "", err
	}
	if err := b.objects.CheckBucket(ctx, path); err != nil {
		return nil, "", b.apiError("look up bucket", path, "", err)
	}
	return ctx, path, nil
}

// listBuckets lists the tenant's buckets in the order of their names, or only one
// when it is named.
func (b *tenantBackend) listBuckets(request context.Context, in s3response.ListBucketsInput, only string) (s3response.ListAllMyBucketsResult, error) {
	_, tenant, err := b.tenant(request)
	if err != nil {
		return s3response.ListAllMyBucketsResult{}, err
	}
	all := b.buckets(tenant)
	if only != "" {
		all = slices.DeleteFunc(all, func(bucket Bucket) bool { return bucket.Name != only })
	}
	list, token := pageBuckets(all, in.Prefix, in.ContinuationToken, int(in.MaxBuckets))
	out := s3response.ListAllMyBucketsResult{
		Owner:             s3response.CanonicalUser{ID: tenant, DisplayName: tenant},
		Prefix:            in.Prefix,
		ContinuationToken: token,
	}
	for _, bucket := range list {
		out.Buckets.Bucket = append(out.Buckets.Bucket, s3response.ListAllMyBucketsEntry{Name: bucket.Name, CreationDate: bucket.Created})
	}
	return out, nil
}

// HeadBucket says whether the tenant has the bucket.
func (b *tenantBackend) HeadBucket(request context.Context, in *s3.HeadBucketInput) (*s3.HeadBucketOutput, error) {
	if _, _, err := b.existing(request, str(in.Bucket)); err != nil {
		return nil, err
	}
	return &s3.HeadBucketOutput{}, nil
}

// GetBucketAcl returns who may use a bucket: its tenant. It is called for every
// request about a bucket, once the request is authenticated, and so is where a
// bucket that does not exist is found out. Of requests without a signature it
// tells nothing.
func (b *tenantBackend) GetBucketAcl(request context.Context, in *s3.GetBucketAclInput) ([]byte, error) {
	if _, _, err := b.existing(request, str(in.Bucket)); err != nil {
		return nil, err
	}
	if err := prepare(request); err != nil {
		return nil, err
	}
	account, _ := request.Value("account").(auth.Account)
	acl, err := json.Marshal(auth.ACL{Owner: account.Access, Grantees: []auth.Grantee{
		{Access: account.Access, Permission: auth.PermissionFullControl, Type: types.TypeCanonicalUser}}})
	if err != nil {
		return nil, fmt.Errorf("encode bucket ACL: %w", err)
	}
	return acl, nil
}

// CreateBucket makes a bucket of the tenant.
func (b *tenantBackend) CreateBucket(request context.Context, in *s3.CreateBucketInput, _ []byte) error {
	if b.createBucket == nil {
		return s3err.GetAPIError(s3err.ErrNotImplemented)
	}
	var tags map[string]string
	if c := in.CreateBucketConfiguration; c != nil {
		var err error
		if tags, err = checkTags(c.Tags, maxBucketTags); err != nil {
			return err
		}
	}
	ctx, tenant, err := b.tenant(request)
	if err != nil {
		return err
	}
	name := strings.Clone(str(in.Bucket))
	path := tenant + "/" + name
	if _, err := state.ParsePath(path); err != nil {
		return s3err.GetBucketErr(s3err.ErrInvalidBucketName, name)
	}
	ownership := string(in.ObjectOwnership)
	if fast, ok := request.(*fasthttp.RequestCtx); !ok || len(fast.Request.Header.Peek("X-Amz-Object-Ownership")) == 0 {
		ownership = "" // versitygw derives one from the ACL, which says nothing
	}
	if err := b.checkACLFor(request, ownershipOf(BucketAccess{Ownership: ownership})); err != nil {
		return err
	}
	if err := b.createBucket(ctx, path, BucketAccess{Ownership: ownership}); err != nil {
		return b.apiError("create bucket", path, "", err)
	}
	if err := b.furnish(ctx, path, cloneMap(tags), in.ObjectLockEnabledForBucket != nil && *in.ObjectLockEnabledForBucket); err != nil {
		// Half a bucket is none.
		if b.deleteBucket != nil {
			err = errors.Join(err, b.deleteBucket(ctx, path))
		}
		return b.apiError("create bucket", path, "", err)
	}
	return nil
}

// furnish gives a new bucket what its creation asked for.
func (b *tenantBackend) furnish(ctx context.Context, path string, tags map[string]string, lock bool) error {
	if len(tags) > 0 {
		if err := b.objects.SetBucketTags(ctx, path, tags); err != nil {
			return err
		}
	}
	if !lock {
		return nil
	}
	if err := b.objects.SetVersioning(ctx, path, catalogpb.Versioning_VERSIONING_ENABLED); err != nil {
		return err
	}
	return b.objects.SetDefaultLock(ctx, path, &catalogpb.DefaultLock{Enabled: true})
}

// DeleteBucket deletes an empty bucket of the tenant.
func (b *tenantBackend) DeleteBucket(request context.Context, bucket string) error {
	if b.deleteBucket == nil {
		return s3err.GetAPIError(s3err.ErrNotImplemented)
	}
	ctx, path, err := b.existing(request, bucket)
	if err != nil {
		return err
	}
	if err := b.deleteBucket(ctx, path); err != nil {
		return b.apiError("delete bucket", path, "", err)
	}
	return nil
}

// str returns what a pointer of an input points to, or "".
func str(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// ptr returns a pointer to v.
func ptr[T any](v T) *T { return &v }

// quoted returns an ETag as HTTP wants it.
func quoted(etag string) *string { return ptr(`"` + etag + `"`) }

// modified returns a record's time as HTTP can tell it, in whole seconds.
func modified(nanoseconds int64) time.Time {
	return time.Unix(0, nanoseconds).UTC().Truncate(time.Second)
}
