package s3gate

import (
	"context"
	"encoding/xml"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3err"
)

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

// PutObjectAcl accepts the one ACL that every object has, because clients such
// as s3cmd set it anew after a copy: the tenant may do everything, nobody else
// anything. Any other is refused: access is by tenant.
func (b *tenantBackend) PutObjectAcl(request context.Context, in *s3.PutObjectAclInput) error {
	if _, _, err := b.head(request, "put object ACL", in.Bucket, in.Key, in.VersionId); err != nil {
		return err
	}
	_, tenant, err := b.tenant(request)
	if err != nil {
		return err
	}
	refused := s3err.GetAPIError(s3err.ErrAclNotSupported)
	for _, grant := range []*string{in.GrantFullControl, in.GrantRead, in.GrantReadACP, in.GrantWrite, in.GrantWriteACP} {
		if str(grant) != "" {
			return refused
		}
	}
	switch in.ACL {
	case types.ObjectCannedACLPrivate, types.ObjectCannedACLBucketOwnerFullControl:
		return nil
	case "":
	default:
		return refused
	}
	// versitygw does not hand on the body; its length was bounded before the routes.
	fast, ok := request.(*fasthttp.RequestCtx)
	if !ok {
		return refused
	}
	var policy accessControlPolicy
	if err := xml.Unmarshal(fast.Request.Body(), &policy); err != nil {
		return s3err.GetAPIError(s3err.ErrMalformedACL)
	}
	if !policy.ownersOnly(tenant) {
		return refused
	}
	return nil
}
