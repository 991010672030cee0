package objects

import (
	"context"
	"fmt"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// UploadsPage selects a page of the uploads under way.
type UploadsPage struct {
	Prefix string
	// AfterKey and AfterID are the last upload of the page before.
	AfterKey, AfterID string
	Limit             int
}

// Uploads returns a page of the bucket's uploads, ordered by key and ID, and
// whether there are more.
func (s *Store) Uploads(ctx context.Context, bucket string, p UploadsPage) (uploads []*catalogpb.Upload, more bool, err error) {
	if err := s.CheckBucket(ctx, bucket); err != nil {
		return nil, false, err
	}
	uploads, more, err = s.catalog.Uploads(bucket, []byte(p.Prefix), []byte(p.AfterKey), p.AfterID, p.Limit)
	if err != nil {
		return nil, false, fmt.Errorf("list uploads: %w", readError(err))
	}
	return uploads, more, nil
}
