package objects

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// manyAtOnce is how many deletions of one call are proposed at a time; the
// proposer commits those that wait together.
const manyAtOnce = 64

// Deletion is one of DeleteMany.
type Deletion struct {
	Key        string
	Conditions Conditions
}

// DeleteMany deletes several keys and returns an error for each, nil where it
// was deleted or was not there. One failure does not stop the others.
func (s *Store) DeleteMany(ctx context.Context, bucket string, list []Deletion) []error {
	errs := make([]error, len(list))
	var g errgroup.Group
	g.SetLimit(manyAtOnce)
	for i, d := range list {
		g.Go(func() error {
			_, errs[i] = s.Delete(ctx, bucket, d.Key, d.Conditions)
			return nil
		})
	}
	_ = g.Wait() // the functions return nil
	return errs
}

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
