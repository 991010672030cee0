package s3gate

import (
	"context"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// The settings of buckets, each with what reading and writing it needs. versitygw
// reads several of them for its own decisions, some of them before a request is
// authenticated; those answers are those of a bucket without the setting, alike for
// every bucket, or need a signature.

// PutBucketAcl implements backend.Backend.
func (g *guard) PutBucketAcl(request context.Context, bucket string, acl []byte) error {
	if err := g.allow(request, &bucket, nil, auth.PutBucketAclAction); err != nil {
		return err
	}
	return g.inner.PutBucketAcl(request, bucket, acl)
}

// GetBucketVersioning is also called by versitygw before it writes or deletes.
func (g *guard) GetBucketVersioning(request context.Context, bucket string) (s3response.GetBucketVersioningOutput, error) {
	_, _, err := g.caller(request)
	if err == nil && asks(request, "versioning") {
		err = g.allow(request, &bucket, nil, auth.GetBucketVersioningAction)
	}
	if err != nil {
		return s3response.GetBucketVersioningOutput{}, err
	}
	return g.inner.GetBucketVersioning(request, bucket)
}

// PutBucketVersioning implements backend.Backend.
func (g *guard) PutBucketVersioning(request context.Context, bucket string, status types.BucketVersioningStatus) error {
	if err := g.allow(request, &bucket, nil, auth.PutBucketVersioningAction); err != nil {
		return err
	}
	return g.inner.PutBucketVersioning(request, bucket, status)
}

// GetBucketPolicy gives the policy to who asks for it, and to versitygw none:
// guard evaluates it.
func (g *guard) GetBucketPolicy(request context.Context, bucket string) ([]byte, error) {
	switch {
	case asks(request, "policy"):
		if err := g.allow(request, &bucket, nil, auth.GetBucketPolicyAction); err != nil {
			return nil, err
		}
		return g.inner.GetBucketPolicy(request, bucket)
	case asks(request, "policyStatus"):
		if err := g.allow(request, &bucket, nil, auth.GetBucketPolicyStatusAction); err != nil {
			return nil, err
		}
		if _, err := g.inner.GetBucketPolicy(request, bucket); err != nil {
			return nil, err
		}
		return notPublic, nil
	}
	return nil, s3err.GetAPIError(s3err.ErrNoSuchBucketPolicy)
}

// PutBucketPolicy implements backend.Backend.
func (g *guard) PutBucketPolicy(request context.Context, bucket string, policy []byte) error {
	if err := g.allow(request, &bucket, nil, auth.PutBucketPolicyAction); err != nil {
		return err
	}
	return g.inner.PutBucketPolicy(request, bucket, policy)
}

// DeleteBucketPolicy implements backend.Backend.
func (g *guard) DeleteBucketPolicy(request context.Context, bucket string) error {
	if err := g.allow(request, &bucket, nil, auth.DeleteBucketPolicyAction); err != nil {
		return err
	}
	return g.inner.DeleteBucketPolicy(request, bucket)
}

// GetBucketOwnershipControls is also called by versitygw when an ACL is set, which
// it may refuse by what it reads.
func (g *guard) GetBucketOwnershipControls(request context.Context, bucket string) (types.ObjectOwnership, error) {
	_, _, err := g.caller(request)
	switch {
	case err != nil:
	case asks(request, "ownershipControls"):
		err = g.allow(request, &bucket, nil, auth.GetBucketOwnershipControlsAction)
	case asksTo(request, http.MethodPut, "acl"):
		err = g.allow(request, &bucket, nil, auth.PutBucketAclAction)
	}
	if err != nil {
		return "", err
	}
	return g.inner.GetBucketOwnershipControls(request, bucket)
}

// PutBucketOwnershipControls implements backend.Backend.
func (g *guard) PutBucketOwnershipControls(request context.Context, bucket string, ownership types.ObjectOwnership) error {
	if err := g.allow(request, &bucket, nil, auth.PutBucketOwnershipControlsAction); err != nil {
		return err
	}
	return g.inner.PutBucketOwnershipControls(request, bucket, ownership)
}

// DeleteBucketOwnershipControls implements backend.Backend.
func (g *guard) DeleteBucketOwnershipControls(request context.Context, bucket string) error {
	if err := g.allow(request, &bucket, nil, auth.PutBucketOwnershipControlsAction); err != nil {
		return err
	}
	return g.inner.DeleteBucketOwnershipControls(request, bucket)
}

// GetBucketCors gives the configuration to who asks for it, and to versitygw none:
// the gate answers preflights and adds the headers itself.
func (g *guard) GetBucketCors(request context.Context, bucket string) ([]byte, error) {
	if !asks(request, "cors") {
		return nil, s3err.GetAPIError(s3err.ErrNoSuchCORSConfiguration)
	}
	if err := g.allow(request, &bucket, nil, auth.GetBucketCorsAction); err != nil {
		return nil, err
	}
	return g.inner.GetBucketCors(request, bucket)
}

// PutBucketCors implements backend.Backend.
func (g *guard) PutBucketCors(request context.Context, bucket string, cors []byte) error {
	if err := g.allow(request, &bucket, nil, auth.PutBucketCorsAction); err != nil {
		return err
	}
	return g.inner.PutBucketCors(request, bucket, cors)
}

// DeleteBucketCors implements backend.Backend.
func (g *guard) DeleteBucketCors(request context.Context, bucket string) error {
	if err := g.allow(request, &bucket, nil, auth.PutBucketCorsAction); err != nil {
		return err
	}
	return g.inner.DeleteBucketCors(request, bucket)
}

// GetBucketWebsite implements backend.Backend.
func (g *guard) GetBucketWebsite(request context.Context, bucket string) ([]byte, error) {
	if err := g.allow(request, &bucket, nil, auth.GetBucketWebsiteAction); err != nil {
		return nil, err
	}
	return g.inner.GetBucketWebsite(request, bucket)
}

// GetBucketTagging implements backend.Backend.
func (g *guard) GetBucketTagging(request context.Context, bucket string) (map[string]string, error) {
	if err := g.allow(request, &bucket, nil, auth.GetBucketTaggingAction); err != nil {
		return nil, err
	}
	return g.inner.GetBucketTagging(request, bucket)
}

// PutBucketTagging implements backend.Backend.
func (g *guard) PutBucketTagging(request context.Context, bucket string, tags map[string]string) error {
	if err := g.allow(request, &bucket, nil, auth.PutBucketTaggingAction); err != nil {
		return err
	}
	return g.inner.PutBucketTagging(request, bucket, tags)
}

// DeleteBucketTagging implements backend.Backend.
func (g *guard) DeleteBucketTagging(request context.Context, bucket string) error {
	if err := g.allow(request, &bucket, nil, auth.PutBucketTaggingAction); err != nil {
		return err
	}
	return g.inner.DeleteBucketTagging(request, bucket)
}

// GetObjectLockConfiguration is also called by versitygw before it writes or
// deletes.
func (g *guard) GetObjectLockConfiguration(request context.Context, bucket string) ([]byte, error) {
	_, _, err := g.caller(request)
	if err == nil && asks(request, "object-lock") {
		err = g.allow(request, &bucket, nil, auth.GetBucketObjectLockConfigurationAction)
	}
	if err != nil {
		return nil, err
	}
	return g.inner.GetObjectLockConfiguration(request, bucket)
}

// PutObjectLockConfiguration implements backend.Backend.
func (g *guard) PutObjectLockConfiguration(request context.Context, bucket string, config []byte) error {
	if err := g.allow(request, &bucket, nil, auth.PutBucketObjectLockConfigurationAction); err != nil {
		return err
	}
	return g.inner.PutObjectLockConfiguration(request, bucket, config)
}
