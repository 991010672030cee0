package s3gate

import (
	"bytes"
	"context"

	"github.com/versity/versitygw/s3err"
)

// What a bucket can be configured to in S3 and cannot here. Reading it answers
// as S3 does for a bucket that has no such configuration, since many clients ask;
// writing it is refused by backend.BackendUnsupported. Several of these are called
// before a request is authenticated and so answer alike for every bucket.

// GetBucketCors returns the CORS rules of a bucket. versitygw asks for them before
// a request is authenticated too, and then there is no tenant to look them up for.
func (b *tenantBackend) GetBucketCors(request context.Context, bucket string) ([]byte, error) {
	_, _, a, err := b.settings(request, "get bucket CORS", bucket)
	if err != nil || len(a.CORS) == 0 {
		return nil, s3err.GetAPIError(s3err.ErrNoSuchCORSConfiguration)
	}
	return a.CORS, nil
}

// PutBucketCors replaces the CORS rules of a bucket.
func (b *tenantBackend) PutBucketCors(request context.Context, bucket string, rules []byte) error {
	return b.setCORS(request, "put bucket CORS", bucket, bytes.Clone(rules))
}

// DeleteBucketCors removes the CORS rules of a bucket.
func (b *tenantBackend) DeleteBucketCors(request context.Context, bucket string) error {
	return b.setCORS(request, "delete bucket CORS", bucket, nil)
}

func (b *tenantBackend) setCORS(request context.Context, op, bucket string, rules []byte) error {
	ctx, path, err := b.bucketPath(request, bucket)
	if err != nil {
		return err
	}
	if err := b.objects.SetCORS(ctx, path, rules); err != nil {
		return b.apiError(op, path, "", err)
	}
	return nil
}

// GetBucketWebsite says that there is no website.
func (*tenantBackend) GetBucketWebsite(context.Context, string) ([]byte, error) {
	return nil, s3err.GetAPIError(s3err.ErrNoSuchWebsiteConfiguration)
}
