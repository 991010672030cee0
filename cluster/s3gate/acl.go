package s3gate

import (
	"context"
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3err"

	"edgefog.dev/isgw/raftfsm/state"
)

// An ACL says who may use a bucket or an object beside its owner, which is the
// tenant. There is nobody whom it could name: other tenants do not see the bucket,
// and nobody is let in without a signature. So where a bucket's ownership turns
// ACLs on, those are accepted that say what holds anyway, and the others are
// refused as S3 refuses them where public access is blocked; where it does not,
// which is the default, an ACL that says anything is not supported.

// errForeignACL refuses an ACL that names others than the owner.
var errForeignACL = s3err.APIError{
	Code:           "AccessDenied",
	Description:    "The ACL would grant something to others than the bucket's owner, which is blocked for all buckets.",
	HTTPStatusCode: http.StatusForbidden,
}

// judgeACL refuses a canned ACL, or grants in headers, that a bucket with the given
// ownership does not take. Grants are of the form of S3's headers: id="…", ….
func judgeACL(ownership, owner, canned string, grants []string) error {
	switch canned {
	case "", string(types.ObjectCannedACLPrivate), string(types.ObjectCannedACLBucketOwnerFullControl):
		if len(grants) == 0 {
			return nil
		}
	}
	if ownership == state.OwnershipEnforced {
		return s3err.GetAPIError(s3err.ErrAclNotSupported)
	}
	switch types.ObjectCannedACL(canned) {
	case "", types.ObjectCannedACLPrivate, types.ObjectCannedACLBucketOwnerFullControl, types.ObjectCannedACLBucketOwnerRead:
	default:
		return errForeignACL
	}
	for _, g := range grants {
		for one := range strings.SplitSeq(g, ",") {
			kind, who, _ := strings.Cut(strings.TrimSpace(one), "=")
			if !strings.EqualFold(kind, "id") || strings.Trim(who, `"`) != owner {
				return errForeignACL
			}
		}
	}
	return nil
}

// checkACL refuses a write that comes with an ACL which its bucket does not take.
func (b *tenantBackend) checkACL(request context.Context, bucket *string) error {
	_, path, err := b.bucketPath(request, str(bucket))
	if err != nil {
		return err
	}
	return b.checkACLFor(request, ownershipOf(b.access(path)))
}

func (b *tenantBackend) checkACLFor(request context.Context, ownership string) error {
	_, tenant, err := b.tenant(request)
	if err != nil {
		return err
	}
	fast, ok := request.(*fasthttp.RequestCtx)
	if !ok {
		return nil
	}
	canned := string(fast.Request.Header.Peek("X-Amz-Acl"))
	if form, ok := request.Value("object-post-result").(middlewares.PostObjectResult); ok && form.Fields["acl"] != "" {
		canned = form.Fields["acl"]
	}
	var grants []string
	for k, v := range fast.Request.Header.All() {
		if len(k) > len(grantHeader) && strings.EqualFold(string(k[:len(grantHeader)]), grantHeader) && len(v) > 0 {
			grants = append(grants, string(v))
		}
	}
	return judgeACL(ownership, tenant, canned, grants)
}

// grantHeader begins the names of the headers that grant something.
const grantHeader = "x-amz-grant-"

// accessControlPolicy is as much of an ACL as decides whether it says anything
// but that the owner may do everything.
type accessControlPolicy struct {
	Grants []struct {
		Grantee struct {
			ID string `xml:"ID"`
		} `xml:"Grantee"`
		Permission string `xml:"Permission"`
	} `xml:"AccessControlList>Grant"`
}

// ownersOnly says whether an ACL grants nothing to anybody but the owner.
func (p accessControlPolicy) ownersOnly(owner string) bool {
	for _, g := range p.Grants {
		if g.Grantee.ID != owner || g.Permission != string(types.PermissionFullControl) {
			return false
		}
	}
	return true
}

// PutBucketAcl accepts an ACL that names the owner alone. versitygw has parsed it,
// and has refused it where the bucket's ownership turns ACLs off.
func (b *tenantBackend) PutBucketAcl(request context.Context, bucket string, raw []byte) error {
	if _, _, err := b.existing(request, bucket); err != nil {
		return err
	}
	_, tenant, err := b.tenant(request)
	if err != nil {
		return err
	}
	acl, err := auth.ParseACL(raw)
	if err != nil {
		return s3err.GetAPIError(s3err.ErrMalformedACL)
	}
	for _, g := range acl.Grantees {
		if g.Access != tenant && g.Access != `id="`+tenant+`"` && g.Access != "id="+tenant {
			return errForeignACL
		}
	}
	return nil
}

// aclAnswer is an ACL as S3 tells it. versitygw encodes that of an object without
// saying of what kind who is granted something.
type aclAnswer struct {
	XMLName xml.Name `xml:"AccessControlPolicy"`
	Xmlns   string   `xml:"xmlns,attr"`
	Owner   ownerEntry
	Grants  []grantEntry `xml:"AccessControlList>Grant"`
}

type grantEntry struct {
	Grantee struct {
		Schema string `xml:"xmlns:xsi,attr"`
		Type   string `xml:"xsi:type,attr"`
		ownerEntry
	}
	Permission types.Permission
}

// GetObjectAcl says that the object belongs to the tenant, which may do everything.
func (b *tenantBackend) GetObjectAcl(request context.Context, in *s3.GetObjectAclInput) (*s3.GetObjectAclOutput, error) {
	const op = "get object ACL"
	_, t, v, err := b.find(request, op, in.Bucket, in.Key, in.VersionId)
	if err != nil {
		return nil, err
	}
	_, tenant, err := b.tenant(request)
	if err != nil {
		return nil, err
	}
	tell(request, "x-amz-version-id", str(b.versionID(t.path, v.Record)))
	owner := ownerEntry{tenant, tenant}
	grant := grantEntry{Permission: types.PermissionFullControl}
	grant.Grantee.Schema, grant.Grantee.Type = "http://www.w3.org/2001/XMLSchema-instance", string(types.TypeCanonicalUser)
	grant.Grantee.ownerEntry = owner
	return &s3.GetObjectAclOutput{}, b.answer(request, op, t.path, aclAnswer{Xmlns: namespace, Owner: owner, Grants: []grantEntry{grant}})
}

// PutObjectAcl accepts the one ACL that every object has, also where ACLs are off,
// because clients such as s3cmd set it anew after a copy: the tenant may do
// everything, nobody else anything.
func (b *tenantBackend) PutObjectAcl(request context.Context, in *s3.PutObjectAclInput) error {
	_, path, err := b.bucketPath(request, str(in.Bucket))
	if err != nil {
		return err
	}
	if _, _, _, err := b.find(request, "put object ACL", in.Bucket, in.Key, in.VersionId); err != nil {
		return err
	}
	_, tenant, err := b.tenant(request)
	if err != nil {
		return err
	}
	ownership := ownershipOf(b.access(path))
	var grants []string
	for _, grant := range []*string{in.GrantFullControl, in.GrantRead, in.GrantReadACP, in.GrantWrite, in.GrantWriteACP} {
		if str(grant) != "" {
			grants = append(grants, *grant)
		}
	}
	if in.ACL != "" || len(grants) > 0 {
		return judgeACL(ownership, tenant, string(in.ACL), grants)
	}
	// versitygw does not hand on the body; its length was bounded before the routes.
	fast, ok := request.(*fasthttp.RequestCtx)
	if !ok {
		return s3err.GetAPIError(s3err.ErrAclNotSupported)
	}
	var policy accessControlPolicy
	if err := xml.Unmarshal(fast.Request.Body(), &policy); err != nil {
		return s3err.GetAPIError(s3err.ErrMalformedACL)
	}
	switch {
	case policy.ownersOnly(tenant):
		return nil
	case ownership == state.OwnershipEnforced:
		return s3err.GetAPIError(s3err.ErrAclNotSupported)
	}
	return errForeignACL
}
