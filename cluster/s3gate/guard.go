package s3gate

import (
	"context"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// guard stands between versitygw and the tenants' backend and lets through what
// the access key may do. It sees each operation with the bucket, key and version
// that the backend will use, so that what is checked is what is done. It has a
// method for every operation that is offered: one that it does not name cannot be
// reached.
type guard struct {
	backend.BackendUnsupported

	inner *tenantBackend
	keys  func(accessKey string) (Key, bool)
}

var _ backend.Backend = (*guard)(nil)

// String names the backend.
func (g *guard) String() string { return g.inner.String() }

// NormalizeObjectKey implements backend.Backend.
func (g *guard) NormalizeObjectKey(bucket, name string) string {
	return g.inner.NormalizeObjectKey(bucket, name)
}

// fiberContext is where a request keeps its fiber context, which the conditions of
// policies need.
type fiberContext struct{}

// heldContext keeps fasthttp from closing what it finds among a request's values.
type heldContext struct{ ctx fiber.Ctx }

// caller returns the access key that signed a request, and its name. A request
// that was not authenticated, and a key that has gone since, are refused.
func (g *guard) caller(request context.Context) (name string, key Key, err error) {
	account, _ := request.Value("account").(auth.Account)
	if account.Arn == "" {
		return "", Key{}, s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	key, ok := g.keys(account.Arn)
	if !ok || key.Tenant != account.Access {
		return "", Key{}, s3err.GetInvalidAccessKeyIdErr(account.Arn)
	}
	return account.Arn, key, nil
}

// allow refuses what the access key may not do with a bucket, or with an object of
// it. The name of the object is as versitygw gives it.
func (g *guard) allow(request context.Context, bucket, object *string, actions ...auth.Action) error {
	return g.decide(request, access{bucket: str(bucket), object: realKey(str(object)), actions: actions})
}

// allowListing is allow for a listing.
func (g *guard) allowListing(request context.Context, bucket, prefix *string, action auth.Action) error {
	return g.decide(request, access{bucket: str(bucket), listing: true, prefix: str(prefix), actions: []auth.Action{action}})
}

// decide refuses what the access key may not do.
func (g *guard) decide(request context.Context, a access) error {
	name, key, err := g.caller(request)
	if err != nil {
		return err
	}
	var policy []byte
	if a.bucket != "" {
		policy = g.inner.access(key.Tenant + "/" + a.bucket).Policy
	}
	held, ok := request.Value(fiberContext{}).(heldContext)
	if !ok && len(policy) > 0 {
		return g.inner.apiError("decide access", key.Tenant+"/"+a.bucket, a.object, errNoContext)
	}
	return decide(held.ctx, name, key, policy, a)
}

// asks says whether the request itself is the reading of one of a bucket's or an
// object's settings. versitygw also reads them on its own account, for every
// request and before some are authenticated.
func asks(request context.Context, query string) bool { return asksTo(request, http.MethodGet, query) }

func asksTo(request context.Context, method, query string) bool {
	fast, ok := request.(*fasthttp.RequestCtx)
	return ok && string(fast.Method()) == method && fast.QueryArgs().Has(query)
}

// versioned chooses the action by whether a version is named.
func versioned(version *string, of, ofVersion auth.Action) auth.Action {
	if str(version) != "" {
		return ofVersion
	}
	return of
}

// ListBuckets lists those that the key may use.
func (g *guard) ListBuckets(request context.Context, in s3response.ListBucketsInput) (s3response.ListAllMyBucketsResult, error) {
	_, key, err := g.caller(request)
	if err == nil {
		err = g.allow(request, nil, nil, auth.ListAllMyBucketsAction)
	}
	if err != nil {
		return s3response.ListAllMyBucketsResult{}, err
	}
	return g.inner.listBuckets(request, in, key.Bucket)
}

// HeadBucket implements backend.Backend. It lists nothing, so that a key which is
// restricted to a prefix may ask for it.
func (g *guard) HeadBucket(request context.Context, in *s3.HeadBucketInput) (*s3.HeadBucketOutput, error) {
	_, key, err := g.caller(request)
	if err == nil {
		err = g.allowListing(request, in.Bucket, &key.Prefix, auth.ListBucketAction)
	}
	if err != nil {
		return nil, err
	}
	return g.inner.HeadBucket(request, in)
}

// GetBucketAcl is what versitygw calls for every request about a bucket, once it
// is authenticated.
func (g *guard) GetBucketAcl(request context.Context, in *s3.GetBucketAclInput) ([]byte, error) {
	name, key, err := g.caller(request)
	if err != nil {
		return nil, err
	}
	authenticated(request)
	switch {
	case key.Bucket != "" && key.Bucket != str(in.Bucket):
		return nil, denied(name, auth.ListBucketAction, "is outside of what the key is restricted to")
	case asks(request, "location"):
		err = g.allow(request, in.Bucket, nil, auth.GetBucketLocationAction)
	case asks(request, "acl") && !aboutObject(request, str(in.Bucket)):
		err = g.allow(request, in.Bucket, nil, auth.GetBucketAclAction)
	}
	if err != nil {
		return nil, err
	}
	acl, err := g.inner.GetBucketAcl(request, in)
	if err == nil && (asksTo(request, http.MethodPost, "restore") || asksTo(request, http.MethodPost, "select") || asksTo(request, http.MethodPut, "website")) {
		// They are not offered. versitygw would look for faults in the body first, and
		// answer a selection with success and the error within.
		return nil, s3err.GetAPIError(s3err.ErrNotImplemented)
	}
	return acl, err
}

// aboutObject says whether the path of a request names an object of the bucket.
func aboutObject(request context.Context, bucket string) bool {
	fast, ok := request.(*fasthttp.RequestCtx)
	return ok && strings.TrimPrefix(string(fast.Request.URI().PathOriginal()), "/"+bucket+"/") != "" &&
		strings.HasPrefix(string(fast.Request.URI().PathOriginal()), "/"+bucket+"/")
}

// CreateBucket implements backend.Backend.
func (g *guard) CreateBucket(request context.Context, in *s3.CreateBucketInput, acl []byte) error {
	actions := []auth.Action{auth.CreateBucketAction}
	if in.ObjectLockEnabledForBucket != nil && *in.ObjectLockEnabledForBucket {
		actions = append(actions, auth.PutBucketObjectLockConfigurationAction, auth.PutBucketVersioningAction)
	}
	if in.ObjectOwnership != "" && in.ObjectOwnership != types.ObjectOwnershipBucketOwnerEnforced {
		actions = append(actions, auth.PutBucketOwnershipControlsAction)
	}
	if err := g.allow(request, in.Bucket, nil, actions...); err != nil {
		return err
	}
	return g.inner.CreateBucket(request, in, acl)
}

// DeleteBucket implements backend.Backend.
func (g *guard) DeleteBucket(request context.Context, bucket string) error {
	if err := g.allow(request, &bucket, nil, auth.DeleteBucketAction); err != nil {
		return err
	}
	return g.inner.DeleteBucket(request, bucket)
}

// ListObjects implements backend.Backend.
func (g *guard) ListObjects(request context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	if err := g.allowListing(request, in.Bucket, in.Prefix, auth.ListBucketAction); err != nil {
		return s3response.ListObjectsResult{}, err
	}
	return g.inner.ListObjects(request, in)
}

// ListObjectsV2 implements backend.Backend.
func (g *guard) ListObjectsV2(request context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	if err := g.allowListing(request, in.Bucket, in.Prefix, auth.ListBucketAction); err != nil {
		return s3response.ListObjectsV2Result{}, err
	}
	return g.inner.ListObjectsV2(request, in)
}

// ListObjectVersions implements backend.Backend.
func (g *guard) ListObjectVersions(request context.Context, in *s3.ListObjectVersionsInput) (s3response.ListVersionsResult, error) {
	if err := g.allowListing(request, in.Bucket, in.Prefix, auth.ListBucketVersionsAction); err != nil {
		return s3response.ListVersionsResult{}, err
	}
	return g.inner.ListObjectVersions(request, in)
}

// ListMultipartUploads implements backend.Backend.
func (g *guard) ListMultipartUploads(request context.Context, in *s3.ListMultipartUploadsInput) (s3response.ListMultipartUploadsResult, error) {
	if err := g.allowListing(request, in.Bucket, in.Prefix, auth.ListBucketMultipartUploadsAction); err != nil {
		return s3response.ListMultipartUploadsResult{}, err
	}
	return g.inner.ListMultipartUploads(request, in)
}
