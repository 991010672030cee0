package s3gate

import (
	"context"
	"strings"

	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
)

// maxTags is the greatest number of tags of an object.
const maxTags = 10

// parseTags reads the tags of a header, which are encoded as a query.
func parseTags(header *string) (map[string]string, error) {
	tags, err := backend.ParseObjectTags(strings.Clone(str(header)))
	if err != nil {
		return nil, err
	}
	if len(tags) > maxTags {
		return nil, s3err.GetAPIError(s3err.ErrObjectTaggingLimited)
	}
	return tags, ownTags(tags)
}

// systemTag begins the names of tags that nobody but the service may set.
const systemTag = "aws:"

// ownTags refuses tags that are not the client's to set.
func ownTags(tags map[string]string) error {
	for name := range tags {
		if strings.HasPrefix(name, systemTag) {
			return errSystemTag
		}
	}
	return nil
}

// GetObjectTagging returns the tags of a version.
func (b *tenantBackend) GetObjectTagging(request context.Context, bucket, key, id string) (map[string]string, error) {
	_, t, v, err := b.find(request, "get object tagging", &bucket, &key, &id)
	if err != nil {
		return nil, err
	}
	if id == "" {
		tell(request, "x-amz-version-id", str(b.versionID(t.path, v.Record)))
	}
	return v.Tags, nil
}

// PutObjectTagging replaces the tags of a version.
func (b *tenantBackend) PutObjectTagging(request context.Context, bucket, key, id string, tags map[string]string) error {
	return b.setTags(request, "put object tagging", bucket, key, id, cloneMap(tags))
}

// DeleteObjectTagging removes the tags of a version.
func (b *tenantBackend) DeleteObjectTagging(request context.Context, bucket, key, id string) error {
	return b.setTags(request, "delete object tagging", bucket, key, id, nil)
}

func (b *tenantBackend) setTags(request context.Context, op, bucket, key, id string, tags map[string]string) error {
	ctx, t, err := b.target(request, &bucket, &key, &id)
	if err == nil {
		err = ownTags(tags)
	}
	if err != nil {
		return err
	}
	if err := b.objects.SetTags(ctx, t.path, t.key, t.which, tags); err != nil {
		return b.versionError(op, t, &id, err)
	}
	return nil
}

// GetBucketTagging returns the tags of a bucket.
func (b *tenantBackend) GetBucketTagging(request context.Context, bucket string) (map[string]string, error) {
	_, _, a, err := b.settings(request, "get bucket tagging", bucket)
	if err != nil {
		return nil, err
	}
	if len(a.Tags) == 0 {
		return nil, s3err.GetAPIError(s3err.ErrBucketTaggingNotFound)
	}
	return a.Tags, nil
}

// PutBucketTagging replaces the tags of a bucket.
func (b *tenantBackend) PutBucketTagging(request context.Context, bucket string, tags map[string]string) error {
	return b.setBucketTags(request, "put bucket tagging", bucket, cloneMap(tags))
}

// DeleteBucketTagging removes the tags of a bucket.
func (b *tenantBackend) DeleteBucketTagging(request context.Context, bucket string) error {
	return b.setBucketTags(request, "delete bucket tagging", bucket, nil)
}

func (b *tenantBackend) setBucketTags(request context.Context, op, bucket string, tags map[string]string) error {
	ctx, path, err := b.bucketPath(request, bucket)
	if err == nil {
		err = ownTags(tags)
	}
	if err != nil {
		return err
	}
	if err := b.objects.SetBucketTags(ctx, path, tags); err != nil {
		return b.apiError(op, path, "", err)
	}
	return nil
}
