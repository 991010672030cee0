package s3gate

import (
	"context"

	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// What a bucket can be configured to in S3 and cannot here. Reading it answers
// as S3 does for a bucket that has no such configuration, since many clients ask;
// writing it is refused by backend.BackendUnsupported. Several of these are called
// before a request is authenticated and so answer alike for every bucket.

// GetBucketCors says that there is no CORS configuration.
func (*tenantBackend) GetBucketCors(context.Context, string) ([]byte, error) {
	return nil, s3err.GetAPIError(s3err.ErrNoSuchCORSConfiguration)
}

// GetBucketWebsite says that there is no website.
func (*tenantBackend) GetBucketWebsite(context.Context, string) ([]byte, error) {
	return nil, s3err.GetAPIError(s3err.ErrNoSuchWebsiteConfiguration)
}

// GetBucketTagging says that the bucket has no tags.
func (*tenantBackend) GetBucketTagging(context.Context, string) (map[string]string, error) {
	return nil, s3err.GetAPIError(s3err.ErrBucketTaggingNotFound)
}

// GetBucketVersioning says that versioning was never turned on.
func (*tenantBackend) GetBucketVersioning(context.Context, string) (s3response.GetBucketVersioningOutput, error) {
	return s3response.GetBucketVersioningOutput{}, nil
}

// GetObjectLockConfiguration says that objects are not locked.
func (*tenantBackend) GetObjectLockConfiguration(context.Context, string) ([]byte, error) {
	return nil, s3err.GetAPIError(s3err.ErrObjectLockConfigurationNotFound)
}

// GetObjectRetention says that the object has no retention.
func (*tenantBackend) GetObjectRetention(context.Context, string, string, string) ([]byte, error) {
	return nil, s3err.GetAPIError(s3err.ErrNoSuchObjectLockConfiguration)
}

// GetObjectLegalHold says that the object has no legal hold.
func (*tenantBackend) GetObjectLegalHold(context.Context, string, string, string) (*bool, error) {
	return nil, s3err.GetAPIError(s3err.ErrNoSuchObjectLockConfiguration)
}

// GetObjectTagging says that an object has no tags.
func (b *tenantBackend) GetObjectTagging(request context.Context, bucket, key, version string) (map[string]string, error) {
	if _, _, err := b.head(request, "get object tagging", &bucket, &key, &version); err != nil {
		return nil, err
	}
	return map[string]string{}, nil
}
