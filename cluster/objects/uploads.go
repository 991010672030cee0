package objects

import (
	"context"
	"fmt"

	"edgefog.dev/isgw/raftfsm/catalog"
)

// ListUploads returns a page of the bucket's uploads, and whether there are more.
func (s *Store) ListUploads(ctx context.Context, bucket string, o catalog.ListUploadsOptions) (items []catalog.UploadsItem, more bool, err error) {
	if err := s.CheckBucket(ctx, bucket); err != nil {
		return nil, false, err
	}
	items, more, err = s.catalog.ListUploads(bucket, o)
	if err != nil {
		return nil, false, fmt.Errorf("list uploads: %w", readError(err))
	}
	return items, more, nil
}
