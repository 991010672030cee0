package s3gate

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// The operations on objects and uploads, each with what it needs.

// writing returns the actions of a write: tags and locks that come with it need
// what setting them would need.
func writing(tagging *string, mode types.ObjectLockMode, hold types.ObjectLockLegalHoldStatus) []auth.Action {
	actions := []auth.Action{auth.PutObjectAction}
	if str(tagging) != "" {
		actions = append(actions, auth.PutObjectTaggingAction)
	}
	if mode != "" {
		actions = append(actions, auth.PutObjectRetentionAction)
	}
	if hold != "" {
		actions = append(actions, auth.PutObjectLegalHoldAction)
	}
	return actions
}

// PutObject implements backend.Backend.
func (g *guard) PutObject(request context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	if err := readForm(request, &in); err != nil {
		return s3response.PutObjectOutput{}, err
	}
	err := g.allow(request, in.Bucket, in.Key, writing(in.Tagging, in.ObjectLockMode, in.ObjectLockLegalHoldStatus)...)
	if err == nil {
		err = g.inner.checkACL(request, in.Bucket)
	}
	if err != nil {
		return s3response.PutObjectOutput{}, err
	}
	return g.inner.PutObject(request, in)
}

// HeadObject implements backend.Backend.
func (g *guard) HeadObject(request context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	if err := g.allow(request, in.Bucket, in.Key, versioned(in.VersionId, auth.GetObjectAction, auth.GetObjectVersionAction)); err != nil {
		return nil, err
	}
	return g.inner.HeadObject(request, in)
}

// GetObject implements backend.Backend.
func (g *guard) GetObject(request context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	if err := g.allow(request, in.Bucket, in.Key, versioned(in.VersionId, auth.GetObjectAction, auth.GetObjectVersionAction)); err != nil {
		return nil, err
	}
	return g.inner.GetObject(request, in)
}

// GetObjectAttributes implements backend.Backend.
func (g *guard) GetObjectAttributes(request context.Context, in *s3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	if err := g.allow(request, in.Bucket, in.Key,
		versioned(in.VersionId, auth.GetObjectAction, auth.GetObjectVersionAction),
		versioned(in.VersionId, auth.GetObjectAttributesAction, auth.GetObjectVersionAttributesAction)); err != nil {
		return s3response.GetObjectAttributesResponse{}, err
	}
	return g.inner.GetObjectAttributes(request, in)
}

// askedVersion returns the version that a request about an ACL names, which versitygw
// does not hand on; nil for none.
func askedVersion(request context.Context) *string {
	fast, ok := request.(*fasthttp.RequestCtx)
	if !ok || !fast.QueryArgs().Has("versionId") {
		return nil
	}
	return ptr(string(fast.QueryArgs().Peek("versionId")))
}

// GetObjectAcl implements backend.Backend.
func (g *guard) GetObjectAcl(request context.Context, in *s3.GetObjectAclInput) (*s3.GetObjectAclOutput, error) {
	in.VersionId = askedVersion(request)
	if err := g.allow(request, in.Bucket, in.Key, auth.GetObjectAclAction); err != nil {
		return nil, err
	}
	return g.inner.GetObjectAcl(request, in)
}

// PutObjectAcl implements backend.Backend.
func (g *guard) PutObjectAcl(request context.Context, in *s3.PutObjectAclInput) error {
	in.VersionId = askedVersion(request)
	if err := g.allow(request, in.Bucket, in.Key, auth.PutObjectAclAction); err != nil {
		return err
	}
	return g.inner.PutObjectAcl(request, in)
}

// allowCopy refuses a copy whose source the key may not read.
func (g *guard) allowCopy(request context.Context, source *string) error {
	bucket, object, version, err := backend.ParseCopySource(str(source))
	if err != nil {
		return err
	}
	return g.allow(request, &bucket, &object, versioned(&version, auth.GetObjectAction, auth.GetObjectVersionAction))
}

// CopyObject implements backend.Backend.
func (g *guard) CopyObject(request context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	err := g.allow(request, in.Bucket, in.Key, writing(in.Tagging, in.ObjectLockMode, in.ObjectLockLegalHoldStatus)...)
	if err == nil {
		err = g.allowCopy(request, in.CopySource)
	}
	if err == nil {
		err = g.inner.checkACL(request, in.Bucket)
	}
	if err != nil {
		return s3response.CopyObjectOutput{}, err
	}
	return g.inner.CopyObject(request, in)
}

// bypasses says whether a request asks for the bypass of governance.
func bypasses(request context.Context) bool {
	fast, ok := request.(*fasthttp.RequestCtx)
	return ok && len(fast.Request.Header.Peek(bypassHeader)) > 0
}

const bypassHeader = "X-Amz-Bypass-Governance-Retention"

// limitBypass takes the bypass of governance out of a request whose key may not use
// it for an object: then a lock holds as it does for everybody.
func (g *guard) limitBypass(request context.Context, bucket, object *string) error {
	if !bypasses(request) {
		return nil
	}
	err := g.allow(request, bucket, object, auth.BypassGovernanceRetentionAction)
	if err != nil {
		request.(*fasthttp.RequestCtx).Request.Header.Del(bypassHeader)
	}
	return err
}

// DeleteObject implements backend.Backend.
func (g *guard) DeleteObject(request context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	if err := g.allow(request, in.Bucket, in.Key, versioned(in.VersionId, auth.DeleteObjectAction, auth.DeleteObjectVersionAction)); err != nil {
		return nil, err
	}
	if g.limitBypass(request, in.Bucket, in.Key) != nil {
		in.BypassGovernanceRetention = nil
	}
	return g.inner.DeleteObject(request, in)
}

// DeleteObjects deletes those of many objects that the key may delete, and says of
// the others that it may not. The bypass of governance must be allowed for all.
func (g *guard) DeleteObjects(request context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	if _, _, err := g.caller(request); err != nil {
		return s3response.DeleteResult{}, err
	}
	if in.Delete == nil {
		return s3response.DeleteResult{}, s3err.GetAPIError(s3err.ErrMalformedXML)
	}
	var refused s3response.DeleteResult
	var allowed []types.ObjectIdentifier
	for _, o := range in.Delete.Objects {
		err := g.allow(request, in.Bucket, o.Key, versioned(o.VersionId, auth.DeleteObjectAction, auth.DeleteObjectVersionAction))
		if err != nil {
			refused.Error = append(refused.Error, s3err.ObjectDeleteError(o.Key, o.VersionId, err))
			continue
		}
		if g.limitBypass(request, in.Bucket, o.Key) != nil {
			in.BypassGovernanceRetention = nil
		}
		allowed = append(allowed, o)
	}
	if len(allowed) == 0 && len(in.Delete.Objects) > 0 {
		return refused, nil
	}
	in.Delete.Objects = allowed
	out, err := g.inner.DeleteObjects(request, in)
	out.Error = append(out.Error, refused.Error...)
	return out, err
}

// CreateMultipartUpload implements backend.Backend.
func (g *guard) CreateMultipartUpload(request context.Context, in s3response.CreateMultipartUploadInput) (s3response.InitiateMultipartUploadResult, error) {
	err := g.allow(request, in.Bucket, in.Key, writing(in.Tagging, in.ObjectLockMode, in.ObjectLockLegalHoldStatus)...)
	if err == nil {
		err = g.inner.checkACL(request, in.Bucket)
	}
	if err != nil {
		return s3response.InitiateMultipartUploadResult{}, err
	}
	return g.inner.CreateMultipartUpload(request, in)
}

// UploadPart implements backend.Backend.
func (g *guard) UploadPart(request context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	if err := g.allow(request, in.Bucket, in.Key, auth.PutObjectAction); err != nil {
		return nil, err
	}
	return g.inner.UploadPart(request, in)
}

// UploadPartCopy implements backend.Backend.
func (g *guard) UploadPartCopy(request context.Context, in *s3.UploadPartCopyInput) (s3response.CopyPartResult, error) {
	err := g.allow(request, in.Bucket, in.Key, auth.PutObjectAction)
	if err == nil {
		err = g.allowCopy(request, in.CopySource)
	}
	if err != nil {
		return s3response.CopyPartResult{}, err
	}
	return g.inner.UploadPartCopy(request, in)
}

// CompleteMultipartUpload implements backend.Backend.
func (g *guard) CompleteMultipartUpload(request context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	if err := g.allow(request, in.Bucket, in.Key, auth.PutObjectAction); err != nil {
		return s3response.CompleteMultipartUploadResult{}, "", err
	}
	return g.inner.CompleteMultipartUpload(request, in)
}

// AbortMultipartUpload implements backend.Backend.
func (g *guard) AbortMultipartUpload(request context.Context, in *s3.AbortMultipartUploadInput) error {
	if err := g.allow(request, in.Bucket, in.Key, auth.AbortMultipartUploadAction); err != nil {
		return err
	}
	return g.inner.AbortMultipartUpload(request, in)
}

// ListParts implements backend.Backend.
func (g *guard) ListParts(request context.Context, in *s3.ListPartsInput) (s3response.ListPartsResult, error) {
	if err := g.allow(request, in.Bucket, in.Key, auth.ListMultipartUploadPartsAction); err != nil {
		return s3response.ListPartsResult{}, err
	}
	return g.inner.ListParts(request, in)
}

// GetObjectTagging implements backend.Backend.
func (g *guard) GetObjectTagging(request context.Context, bucket, object, version string) (map[string]string, error) {
	if err := g.allow(request, &bucket, &object, versioned(&version, auth.GetObjectTaggingAction, auth.GetObjectVersionTaggingAction)); err != nil {
		return nil, err
	}
	return g.inner.GetObjectTagging(request, bucket, object, version)
}

// PutObjectTagging implements backend.Backend.
func (g *guard) PutObjectTagging(request context.Context, bucket, object, version string, tags map[string]string) error {
	if err := g.allow(request, &bucket, &object, versioned(&version, auth.PutObjectTaggingAction, auth.PutObjectVersionTaggingAction)); err != nil {
		return err
	}
	return g.inner.PutObjectTagging(request, bucket, object, version, tags)
}

// DeleteObjectTagging implements backend.Backend.
func (g *guard) DeleteObjectTagging(request context.Context, bucket, object, version string) error {
	if err := g.allow(request, &bucket, &object, versioned(&version, auth.DeleteObjectTaggingAction, auth.DeleteObjectVersionTaggingAction)); err != nil {
		return err
	}
	return g.inner.DeleteObjectTagging(request, bucket, object, version)
}

// GetObjectRetention is also called by versitygw before it writes or deletes.
func (g *guard) GetObjectRetention(request context.Context, bucket, object, version string) ([]byte, error) {
	if _, _, err := g.caller(request); err != nil {
		return nil, err
	}
	if asks(request, "retention") {
		if err := g.allow(request, &bucket, &object, auth.GetObjectRetentionAction); err != nil {
			return nil, err
		}
	}
	return g.inner.GetObjectRetention(request, bucket, object, version)
}

// PutObjectRetention implements backend.Backend. versitygw leaves it to the backend
// to judge what a bypass is used for.
func (g *guard) PutObjectRetention(request context.Context, bucket, object, version string, retention []byte) error {
	if err := g.allow(request, &bucket, &object, auth.PutObjectRetentionAction); err != nil {
		return err
	}
	if err := g.limitBypass(request, &bucket, &object); err != nil {
		return err
	}
	return g.inner.PutObjectRetention(request, bucket, object, version, retention)
}

// GetObjectLegalHold is also called by versitygw before it writes or deletes.
func (g *guard) GetObjectLegalHold(request context.Context, bucket, object, version string) (*bool, error) {
	if _, _, err := g.caller(request); err != nil {
		return nil, err
	}
	if asks(request, "legal-hold") {
		if err := g.allow(request, &bucket, &object, auth.GetObjectLegalHoldAction); err != nil {
			return nil, err
		}
	}
	return g.inner.GetObjectLegalHold(request, bucket, object, version)
}

// PutObjectLegalHold implements backend.Backend.
func (g *guard) PutObjectLegalHold(request context.Context, bucket, object, version string, hold bool) error {
	if err := g.allow(request, &bucket, &object, auth.PutObjectLegalHoldAction); err != nil {
		return err
	}
	return g.inner.PutObjectLegalHold(request, bucket, object, version, hold)
}
