package s3gate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"

	"edgefog.dev/isgw/raftfsm/state"
)

// notPublic stands for any policy where versitygw derives its status from one:
// none is public, because no request without a signature is carried out.
var notPublic = []byte(`{"Version":"2012-10-17","Statement":[]}`)

// GetBucketPolicy returns the policy as it was put.
func (b *tenantBackend) GetBucketPolicy(request context.Context, bucket string) ([]byte, error) {
	_, path, err := b.existing(request, bucket)
	if err != nil {
		return nil, err
	}
	policy := b.access(path).Policy
	if len(policy) == 0 {
		return nil, s3err.GetAPIError(s3err.ErrNoSuchBucketPolicy)
	}
	return slices.Clone(policy), nil
}

// PutBucketPolicy sets the policy of a bucket. versitygw has validated it as far as
// one can who does not know the tenant.
func (b *tenantBackend) PutBucketPolicy(request context.Context, bucket string, policy []byte) error {
	ctx, path, err := b.existing(request, bucket)
	if err != nil {
		return err
	}
	_, tenant, err := b.tenant(request)
	if err != nil {
		return err
	}
	if err := checkPolicy(policy, func(principal string) bool {
		key, ok := b.keys(principal)
		return ok && key.Tenant == tenant
	}); err != nil {
		return err
	}
	return b.setPolicy(ctx, path, slices.Clone(policy))
}

// DeleteBucketPolicy removes the policy of a bucket, if it has one.
func (b *tenantBackend) DeleteBucketPolicy(request context.Context, bucket string) error {
	ctx, path, err := b.existing(request, bucket)
	if err != nil {
		return err
	}
	return b.setPolicy(ctx, path, nil)
}

func (b *tenantBackend) setPolicy(ctx context.Context, path string, policy []byte) error {
	if b.changePolicy == nil {
		return s3err.GetAPIError(s3err.ErrNotImplemented)
	}
	if err := b.changePolicy(ctx, path, policy); err != nil {
		return b.apiError("set bucket policy", path, "", err)
	}
	return nil
}

// checkPolicy refuses what versitygw would pass over in a policy, principals that
// are not the tenant's, and grants to everybody.
func checkPolicy(policy []byte, known func(principal string) bool) error {
	if len(policy) > state.MaxPolicySize {
		return malformedPolicy("the policy has %d bytes, more than %d", len(policy), state.MaxPolicySize)
	}
	if err := checkPolicyFields(policy); err != nil {
		return err
	}
	parsed, err := auth.ParsePolicyDocument(policy)
	if err != nil {
		return err
	}
	for _, s := range parsed.Statement {
		if len(s.Principals) == 0 || len(s.Actions) == 0 || len(s.Resources) == 0 {
			return malformedPolicy("a statement needs a Principal, an Action and a Resource")
		}
		for principal := range s.Principals {
			switch {
			case principal == "*" && s.Effect == auth.BucketPolicyAccessTypeAllow:
				return errPublicPolicy
			case principal != "*" && !known(principal):
				return malformedPolicy("Invalid principal in policy: %q is not an access key of the bucket's tenant", principal)
			}
		}
	}
	return nil
}

// errPublicPolicy is how S3 refuses a policy for everybody where public access is
// blocked.
var errPublicPolicy = s3err.APIError{
	Code: "AccessDenied",
	Description: "The policy would allow something to everybody. Access without a signature is blocked for all buckets: " +
		"name access keys of the tenant as principals.",
	HTTPStatusCode: http.StatusForbidden,
}

// checkPolicyFields refuses the fields that versitygw does not know: it would take a
// statement with NotAction for one that is about nothing.
func checkPolicyFields(policy []byte) error {
	var document map[string]json.RawMessage
	if err := json.Unmarshal(policy, &document); err != nil {
		return malformedPolicy("this policy contains invalid JSON")
	}
	if err := onlyFields("the policy", document, "Version", "Id", "Statement"); err != nil {
		return err
	}
	var statements []map[string]json.RawMessage
	if err := json.Unmarshal(document["Statement"], &statements); err != nil {
		return malformedPolicy("Statement is not a list of statements")
	}
	for _, s := range statements {
		if err := onlyFields("a statement", s, "Sid", "Effect", "Principal", "Action", "Resource", "Condition"); err != nil {
			return err
		}
		var principal map[string]json.RawMessage
		if json.Unmarshal(s["Principal"], &principal) == nil {
			if err := onlyFields("a Principal", principal, "AWS"); err != nil {
				return err
			}
		}
	}
	return nil
}

func onlyFields(what string, object map[string]json.RawMessage, names ...string) error {
	for name := range object {
		if !slices.Contains(names, name) {
			return malformedPolicy("%s has the field %q, which is not supported here", what, name)
		}
	}
	return nil
}

func malformedPolicy(format string, args ...any) error {
	return s3err.APIError{
		Code:           "MalformedPolicy",
		Description:    fmt.Sprintf(format, args...),
		HTTPStatusCode: http.StatusBadRequest,
	}
}

// GetBucketOwnershipControls says whether ACLs are of effect.
func (b *tenantBackend) GetBucketOwnershipControls(request context.Context, bucket string) (types.ObjectOwnership, error) {
	_, path, err := b.existing(request, bucket)
	if err != nil {
		return "", err
	}
	return types.ObjectOwnership(ownershipOf(b.access(path))), nil
}

// PutBucketOwnershipControls turns ACLs on or off.
func (b *tenantBackend) PutBucketOwnershipControls(request context.Context, bucket string, ownership types.ObjectOwnership) error {
	ctx, path, err := b.existing(request, bucket)
	if err != nil {
		return err
	}
	if b.changeOwnership == nil {
		return s3err.GetAPIError(s3err.ErrNotImplemented)
	}
	if err := b.changeOwnership(ctx, path, string(ownership)); err != nil {
		return b.apiError("set bucket ownership", path, "", err)
	}
	return nil
}

// DeleteBucketOwnershipControls returns to the default, which turns ACLs off.
func (b *tenantBackend) DeleteBucketOwnershipControls(request context.Context, bucket string) error {
	return b.PutBucketOwnershipControls(request, bucket, "")
}

// ownershipOf is a bucket's ownership, the default when it has none set.
func ownershipOf(a BucketAccess) string {
	if a.Ownership == "" {
		return state.OwnershipEnforced
	}
	return a.Ownership
}
