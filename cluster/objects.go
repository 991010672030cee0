package cluster

import (
	"context"
	"encoding/hex"
	"errors"
	"io"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// objectsAdmin is admin.Objects over a node.
type objectsAdmin struct{ *Node }

// bucket returns the site and the checked path of a bucket that exists.
func (a objectsAdmin) bucket(path string) (*site, string, error) {
	s, err := a.running()
	if err != nil {
		return nil, "", err
	}
	p, err := plan.ParseBucket(path)
	if err != nil {
		return nil, "", err
	}
	if err := plan.PathExists(s.replica.Config(), p); err != nil {
		return nil, "", err
	}
	return s, p.String(), nil
}

func (a objectsAdmin) List(ctx context.Context, req *adminpb.ListObjectsRequest) (*adminpb.ListObjectsResponse, error) {
	s, bucket, err := a.bucket(req.GetBucket())
	if err != nil {
		return nil, err
	}
	o := catalog.ListOptions{
		Prefix:    []byte(req.GetPrefix()),
		Delimiter: []byte(req.GetDelimiter()),
		After:     []byte(req.GetAfter()),
		Limit:     plan.PageLimit(req.GetLimit()),
	}
	page, err := s.objects.List(ctx, bucket, o)
	// The catalog's page may be empty where many keys are deleted, and its Next
	// is the first key to come, while a client goes on after the last name it got.
	for err == nil && page.Truncated && len(page.Items) == 0 {
		o.From = page.Next
		page, err = s.objects.List(ctx, bucket, o)
	}
	if err != nil {
		return nil, objectError(err)
	}
	res := &adminpb.ListObjectsResponse{More: page.Truncated}
	if page.Truncated {
		last := page.Items[len(page.Items)-1]
		res.Next = string(last.CommonPrefix)
		if last.Record != nil {
			res.Next = string(last.Record.GetKey())
		}
	}
	for _, item := range page.Items {
		if item.Record == nil {
			res.Items = append(res.Items, &adminpb.ObjectItem{Item: &adminpb.ObjectItem_Prefix{Prefix: string(item.CommonPrefix)}})
			continue
		}
		res.Items = append(res.Items, &adminpb.ObjectItem{Item: &adminpb.ObjectItem_Object{Object: describe(bucket, item.Record)}})
	}
	return res, nil
}

func (a objectsAdmin) Show(ctx context.Context, req *adminpb.ShowObjectRequest) (*adminpb.ShowObjectResponse, error) {
	s, bucket, err := a.bucket(req.GetBucket())
	if err != nil {
		return nil, err
	}
	head, err := s.objects.Head(ctx, bucket, req.GetKey())
	if err != nil {
		return nil, objectError(err)
	}
	res := &adminpb.ShowObjectResponse{Object: describe(bucket, head)}
	if req.GetVersions() {
		versions, err := s.replica.Catalog().Versions(bucket, []byte(req.GetKey()))
		if err != nil {
			return nil, objectError(err)
		}
		for _, v := range versions {
			res.Versions = append(res.Versions, describe(bucket, v))
		}
	}
	return res, nil
}

func (a objectsAdmin) Put(ctx context.Context, header *adminpb.PutObjectHeader, body io.Reader) (*adminpb.Object, error) {
	s, bucket, err := a.bucket(header.GetBucket())
	if err != nil {
		return nil, err
	}
	size := int64(-1)
	if header.Size != nil {
		size = int64(header.GetSize())
	}
	record, err := s.objects.Put(ctx, objects.PutRequest{
		Bucket: bucket, Key: header.GetKey(), Body: body, Size: size,
		Headers: header.GetHeaders(), Metadata: header.GetMetadata(),
	})
	if err != nil {
		return nil, objectError(err)
	}
	return describe(bucket, record), nil
}

func (a objectsAdmin) Get(ctx context.Context, path, key string) (*adminpb.Object, io.ReadCloser, error) {
	s, bucket, err := a.bucket(path)
	if err != nil {
		return nil, nil, err
	}
	object, err := s.objects.Get(ctx, bucket, key)
	if err != nil {
		return nil, nil, objectError(err)
	}
	body, err := object.Reader(ctx, 0, object.Size())
	if err != nil {
		return nil, nil, objectError(err)
	}
	return describe(bucket, object.Record), body, nil
}

func (a objectsAdmin) Delete(ctx context.Context, path, key string) error {
	s, bucket, err := a.bucket(path)
	if err != nil {
		return err
	}
	_, err = s.objects.Delete(ctx, bucket, key, objects.Conditions{})
	return objectError(err)
}

// describe turns a record into what an operator sees of it.
func describe(bucket string, r *catalogpb.Record) *adminpb.Object {
	o := &adminpb.Object{
		Bucket:     bucket,
		Key:        string(r.GetKey()),
		Size:       r.GetRoot().GetSize(),
		Etag:       r.GetEtag(),
		Modified:   plan.Timestamp(r.GetTime()),
		Deleted:    r.GetKind() == catalogpb.RecordKind_RECORD_TOMBSTONE,
		Generation: r.GetGeneration(),
		ContentId:  hex.EncodeToString(r.GetRoot().GetId()),
		Headers:    r.GetHeaders(),
		Metadata:   r.GetMetadata(),
	}
	if origin, err := state.SiteIDFromBytes(r.GetDot().GetOrigin()); err == nil {
		o.Origin = origin.String()
		o.VersionId = versionName(r.GetDot())
	}
	return o
}

// objectError gives the errors of the object path the code that commands exit with.
func objectError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, objects.ErrNoBucket), errors.Is(err, objects.ErrNoKey), errors.Is(err, catalog.ErrNoKey):
		return admin.Errorf(admin.CodeNotFound, "%w", err)
	case errors.Is(err, objects.ErrInvalidKey), errors.Is(err, objects.ErrInvalid), errors.Is(err, objects.ErrBodySize):
		return admin.Errorf(admin.CodeInvalid, "%w", err)
	case errors.Is(err, objects.ErrPrecondition), errors.Is(err, objects.ErrLocked), errors.Is(err, objects.ErrNoLock):
		return admin.Errorf(admin.CodeConflict, "%w", err)
	case errors.Is(err, objects.ErrQuota):
		return admin.Errorf(admin.CodeExhausted, "%w", err).WithHint("delete something, or raise the quota with `isgwctl bucket edit` or `isgwctl tenant edit`")
	case errors.Is(err, chunks.ErrNoSpace):
		return noSpace(err)
	}
	if failure := noQuorum(err); failure != nil {
		return failure
	}
	return err
}
