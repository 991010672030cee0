package s3gate

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"

	"edgefog.dev/isgw/raftfsm/state"
)

// Key is what the config says of an access key.
type Key struct {
	Tenant string // the path of the tenant that owns it
	// Role is one of state.KeyRoles; empty is the default.
	Role string
	// Bucket is the last name of the bucket that the key is restricted to, and
	// Prefix what the keys of the objects in it begin with. An empty Bucket is no
	// restriction, an empty Prefix the whole bucket.
	Bucket, Prefix string
	// Secret opens the key's secret. Required.
	Secret func() (string, error)
}

// BucketAccess is what the config says of who may use a bucket.
type BucketAccess struct {
	Policy    []byte // as PutBucketPolicy gave it; empty: none
	Ownership string // one of state's; empty: state.OwnershipEnforced
}

// Who may do what is decided here and nowhere else, from three things:
//
//   - the key's restriction: nothing outside it is allowed, whatever a policy says;
//   - the key's role, which is what S3 calls an identity policy;
//   - the bucket's policy, whose principals are access keys of the tenant.
//
// As in S3, one Deny refuses, and else one Allow, of role or policy, is enough.
// versitygw evaluates the policy; what it would decide on its own is turned off by
// giving it every account as an administrator's (see identities).

// actionRoles has the least role that may do an action. What is not here needs an
// administrator's: who may use a bucket is decided by those alone.
var actionRoles = map[auth.Action]string{
	auth.ListAllMyBucketsAction:                 state.KeyReadOnly,
	auth.ListBucketAction:                       state.KeyReadOnly,
	auth.ListBucketVersionsAction:               state.KeyReadOnly,
	auth.ListBucketMultipartUploadsAction:       state.KeyReadOnly,
	auth.ListMultipartUploadPartsAction:         state.KeyReadOnly,
	auth.GetBucketLocationAction:                state.KeyReadOnly,
	auth.GetBucketAclAction:                     state.KeyReadOnly,
	auth.GetBucketVersioningAction:              state.KeyReadOnly,
	auth.GetBucketTaggingAction:                 state.KeyReadOnly,
	auth.GetBucketPolicyAction:                  state.KeyReadOnly,
	auth.GetBucketPolicyStatusAction:            state.KeyReadOnly,
	auth.GetBucketCorsAction:                    state.KeyReadOnly,
	auth.GetBucketWebsiteAction:                 state.KeyReadOnly,
	auth.GetBucketOwnershipControlsAction:       state.KeyReadOnly,
	auth.GetBucketObjectLockConfigurationAction: state.KeyReadOnly,
	auth.GetObjectAction:                        state.KeyReadOnly,
	auth.GetObjectVersionAction:                 state.KeyReadOnly,
	auth.GetObjectAclAction:                     state.KeyReadOnly,
	auth.GetObjectAttributesAction:              state.KeyReadOnly,
	auth.GetObjectVersionAttributesAction:       state.KeyReadOnly,
	auth.GetObjectTaggingAction:                 state.KeyReadOnly,
	auth.GetObjectVersionTaggingAction:          state.KeyReadOnly,
	auth.GetObjectRetentionAction:               state.KeyReadOnly,
	auth.GetObjectLegalHoldAction:               state.KeyReadOnly,

	auth.CreateBucketAction:                     state.KeyReadWrite,
	auth.DeleteBucketAction:                     state.KeyReadWrite,
	auth.PutBucketVersioningAction:              state.KeyReadWrite,
	auth.PutBucketTaggingAction:                 state.KeyReadWrite,
	auth.PutBucketCorsAction:                    state.KeyReadWrite,
	auth.PutBucketObjectLockConfigurationAction: state.KeyReadWrite,
	auth.PutObjectAction:                        state.KeyReadWrite,
	auth.PutObjectAclAction:                     state.KeyReadWrite,
	auth.PutObjectTaggingAction:                 state.KeyReadWrite,
	auth.PutObjectVersionTaggingAction:          state.KeyReadWrite,
	auth.PutObjectRetentionAction:               state.KeyReadWrite,
	auth.PutObjectLegalHoldAction:               state.KeyReadWrite,
	auth.DeleteObjectAction:                     state.KeyReadWrite,
	auth.DeleteObjectVersionAction:              state.KeyReadWrite,
	auth.DeleteObjectTaggingAction:              state.KeyReadWrite,
	auth.DeleteObjectVersionTaggingAction:       state.KeyReadWrite,
	auth.AbortMultipartUploadAction:             state.KeyReadWrite,
	auth.RestoreObjectAction:                    state.KeyReadWrite,
}

// roleAllows says whether a role may do an action where no policy speaks.
func roleAllows(role string, action auth.Action) bool {
	switch role {
	case state.KeyAdmin:
		return true
	case state.KeyReadWrite, "":
		return actionRoles[action] != ""
	case state.KeyReadOnly:
		return actionRoles[action] == state.KeyReadOnly
	}
	return false
}

// bucketWide are the actions on a bucket that a key may do which is restricted to
// some of its objects: clients ask for them before they do anything else, and they
// tell nothing of other objects. Listings are confined by their prefix.
var bucketWide = map[auth.Action]bool{
	auth.GetBucketLocationAction:                true,
	auth.GetBucketVersioningAction:              true,
	auth.GetBucketObjectLockConfigurationAction: true,
}

// access is what is asked for: actions on a bucket, on an object of it, or the
// listing of what begins with a prefix.
type access struct {
	bucket, object string
	listing        bool
	prefix         string // of the listing
	actions        []auth.Action
}

// covers says whether an action lies within a key's restriction.
func (k Key) covers(action auth.Action, a access) bool {
	switch {
	case k.Bucket == "" || action == auth.ListAllMyBucketsAction: // which lists what it may use
		return true
	case k.Bucket != a.bucket:
		return false
	case k.Prefix == "":
		return true
	case a.listing:
		return strings.HasPrefix(a.prefix, k.Prefix)
	case a.object == "":
		return bucketWide[action]
	}
	return strings.HasPrefix(a.object, k.Prefix)
}

// decide evaluates restriction, role and policy; every one of the actions must be
// allowed. ctx is needed for the conditions of a policy alone.
func decide(ctx fiber.Ctx, name string, key Key, policy []byte, a access) error {
	for _, action := range a.actions {
		if !key.covers(action, a) {
			return denied(name, action, "is outside of what the key is restricted to")
		}
	}
	if len(policy) == 0 || key.Role == state.KeyAdmin && aboutPolicy(a.actions) {
		for _, action := range a.actions {
			if !roleAllows(key.Role, action) {
				return denied(name, action, "is not allowed by the key's role, "+roleName(key.Role))
			}
		}
		return nil
	}
	return auth.VerifyAccess(ctx, policySource{policy: policy}, auth.AccessOptions{
		Acc:     auth.Account{Access: name, Role: auth.RoleUser},
		Bucket:  a.bucket,
		Object:  a.object,
		Actions: a.actions,
		Iam:     roleIdentity{name: name, role: key.Role},
	})
}

// aboutPolicy says whether actions are about a bucket's policy alone. None keeps
// an administrator from mending it, or nobody could.
func aboutPolicy(actions []auth.Action) bool {
	for _, a := range actions {
		switch a {
		case auth.GetBucketPolicyAction, auth.GetBucketPolicyStatusAction, auth.PutBucketPolicyAction, auth.DeleteBucketPolicyAction:
		default:
			return false
		}
	}
	return true
}

func roleName(role string) string {
	if role == "" {
		return state.KeyReadWrite
	}
	return role
}

// denied is AccessDenied with the reason, which a holder of the key may know.
func denied(name string, action auth.Action, why string) error {
	return s3err.APIError{
		Code:           "AccessDenied",
		Description:    "Access denied to " + name + ": " + string(action) + " " + why + ".",
		HTTPStatusCode: http.StatusForbidden,
	}
}

// policySource gives versitygw's evaluation the policy of one bucket.
type policySource struct {
	backend.BackendUnsupported
	policy []byte
}

// GetBucketPolicy implements backend.Backend.
func (s policySource) GetBucketPolicy(context.Context, string) ([]byte, error) { return s.policy, nil }

// roleIdentity is the role of one key as versitygw's evaluation takes it: as its
// identity policy.
type roleIdentity struct {
	*identities // nothing of which is asked
	name, role  string
}

var _ auth.PolicyEvaluator = roleIdentity{}

// EvaluatePolicy implements auth.PolicyEvaluator. A role allows or says nothing;
// it denies nothing, so that a policy can allow more.
func (r roleIdentity) EvaluatePolicy(_, _ string, actions []auth.Action, resources []string, _ map[string][]string) (auth.PolicyEvaluation, error) {
	e := auth.PolicyEvaluation{PrincipalArn: r.name}
	for range resources {
		e.Decisions = appendDecisions(e.Decisions, len(actions), func(i int) bool { return roleAllows(r.role, actions[i]) })
	}
	return e, nil
}

// appendDecisions appends one row of decisions, whose type versitygw keeps to
// itself: its zero value says nothing, and 1 allows.
func appendDecisions[D ~int](rows [][]D, n int, allowed func(int) bool) [][]D {
	row := make([]D, n)
	for i := range row {
		if allowed(i) {
			row[i] = 1
		}
	}
	return append(rows, row)
}

// errNoContext is a fault of the gate itself.
var errNoContext = errors.New("the request did not come through the gate's own handlers")
