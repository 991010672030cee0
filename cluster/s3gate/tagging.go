package s3gate

import (
	"context"
	"encoding/xml"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3err"
)

// The bounds of tags. Those of keys and values are in characters: versitygw counts bytes,
// of a header even the bytes of the encoded form, so tags are read here.
const (
	maxTags       = 10 // of an object
	maxBucketTags = 50
	maxTagKey     = 128
	maxTagValue   = 256
)

// tagText is what keys and values of tags may consist of.
var tagText = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// systemTag begins the names of tags that nobody but the service may set.
const systemTag = "aws:"

// checkTag refuses a tag that nobody may set.
func checkTag(key, value string) error {
	switch {
	case key == "" || utf8.RuneCountInString(key) > maxTagKey || !tagText.MatchString(key):
		return s3err.GetInvalidTagErr(s3err.ErrInvalidTagKey, key, "")
	case utf8.RuneCountInString(value) > maxTagValue || !tagText.MatchString(value):
		return s3err.GetInvalidTagErr(s3err.ErrInvalidTagValue, key, value)
	case strings.HasPrefix(key, systemTag):
		return errSystemTag
	}
	return nil
}

// parseTags reads the tags of a header, which are encoded as a query.
func parseTags(header *string) (map[string]string, error) {
	encoded := strings.Clone(str(header))
	tags := make(map[string]string)
	for tag := range strings.SplitSeq(encoded, "&") {
		if tag == "" {
			continue
		}
		name, text, _ := strings.Cut(tag, "=")
		key, err := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(text)
		if _, twice := tags[key]; twice || key == "" || err != nil || err2 != nil {
			return nil, s3err.GetInvalidArgumentErr(s3err.InvalidArgURLEncodedTagging, encoded)
		}
		if err := checkTag(key, value); err != nil {
			return nil, err
		}
		tags[key] = value
	}
	if len(tags) > maxTags {
		return nil, s3err.GetAPIError(s3err.ErrObjectTaggingLimited)
	}
	if len(tags) == 0 {
		return nil, nil
	}
	return tags, nil
}

// checkTags reads the tags of a body, of which there may be at most limit.
func checkTags(list []types.Tag, limit int) (map[string]string, error) {
	if len(list) > limit {
		if limit == maxTags {
			return nil, s3err.GetAPIError(s3err.ErrObjectTaggingLimited)
		}
		return nil, s3err.GetAPIError(s3err.ErrBucketTaggingLimited)
	}
	tags := make(map[string]string, len(list))
	for _, tag := range list {
		key, value := str(tag.Key), str(tag.Value)
		if err := checkTag(key, value); err != nil {
			return nil, err
		}
		if _, twice := tags[key]; twice {
			return nil, s3err.GetAPIError(s3err.ErrDuplicateTagKey)
		}
		tags[key] = value
	}
	return tags, nil
}

// tagsOfBody is the key of a request's value that is the tags of its body.
type tagsOfBody struct{}

// prepareTagging reads the tags that a request sets, and leaves versitygw none to read.
func prepareTagging(fast *fasthttp.RequestCtx) error {
	var in struct {
		XMLName xml.Name    `xml:"Tagging"`
		Tags    []types.Tag `xml:"TagSet>Tag"`
	}
	if err := xml.Unmarshal(fast.Request.Body(), &in); err != nil {
		return s3err.GetAPIError(s3err.ErrMalformedXML)
	}
	limit := maxTags
	if _, key, _ := cutPath(string(fast.URI().PathOriginal())); key == "" {
		limit = maxBucketTags
	}
	tags, err := checkTags(in.Tags, limit)
	if err != nil {
		return err
	}
	fast.SetUserValue(tagsOfBody{}, tags)
	fast.Request.SetBodyString("<Tagging><TagSet></TagSet></Tagging>")
	return nil
}

// bodyTags returns the tags of a request's body, which versitygw has not seen.
func bodyTags(request context.Context) map[string]string {
	tags, _ := request.Value(tagsOfBody{}).(map[string]string)
	return tags
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
func (b *tenantBackend) PutObjectTagging(request context.Context, bucket, key, id string, _ map[string]string) error {
	return b.setTags(request, "put object tagging", bucket, key, id, bodyTags(request))
}

// DeleteObjectTagging removes the tags of a version.
func (b *tenantBackend) DeleteObjectTagging(request context.Context, bucket, key, id string) error {
	return b.setTags(request, "delete object tagging", bucket, key, id, nil)
}

func (b *tenantBackend) setTags(request context.Context, op, bucket, key, id string, tags map[string]string) error {
	ctx, t, err := b.target(request, &bucket, &key, &id)
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
func (b *tenantBackend) PutBucketTagging(request context.Context, bucket string, _ map[string]string) error {
	return b.setBucketTags(request, "put bucket tagging", bucket, bodyTags(request))
}

// DeleteBucketTagging removes the tags of a bucket.
func (b *tenantBackend) DeleteBucketTagging(request context.Context, bucket string) error {
	return b.setBucketTags(request, "delete bucket tagging", bucket, nil)
}

func (b *tenantBackend) setBucketTags(request context.Context, op, bucket string, tags map[string]string) error {
	ctx, path, err := b.bucketPath(request, bucket)
	if err != nil {
		return err
	}
	if err := b.objects.SetBucketTags(ctx, path, tags); err != nil {
		return b.apiError(op, path, "", err)
	}
	return nil
}
