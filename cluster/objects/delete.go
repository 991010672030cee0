package objects

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// manyAtOnce is how many deletions of one call are proposed at a time; the
// proposer commits those that wait together.
const manyAtOnce = 64

// Deletion is one of DeleteMany, and what DeleteVersion is asked for.
type Deletion struct {
	Key string
	// Version is removed for good. When none is named the key is deleted: its
	// versions stay where versions are kept.
	Version    Which
	Conditions Conditions
	// Bypass says that who asks may lift governance retention.
	Bypass bool
}

// Deleted is what a deletion did.
type Deleted struct {
	// Record is the tombstone or the purge that was made; nil if there was
	// nothing to delete.
	Record *catalogpb.Record
	// Marker says that what was made, or what was removed for good, is a delete
	// marker.
	Marker bool
}

// Delete deletes the key's content and returns the tombstone, or nil when
// there was none, which is no error.
func (s *Store) Delete(ctx context.Context, bucket, key string, c Conditions) (*catalogpb.Record, error) {
	d, err := s.DeleteVersion(ctx, bucket, Deletion{Key: key, Conditions: c})
	return d.Record, err
}

// DeleteVersion deletes a key, or removes one of its versions. What is not there
// is no error. ErrLocked says that a lock forbids it.
func (s *Store) DeleteVersion(ctx context.Context, bucket string, d Deletion) (Deleted, error) {
	if err := checkKey(d.Key); err != nil {
		return Deleted{}, fmt.Errorf("delete object: %w", err)
	}
	if d.Version.Latest() {
		rec, err := s.write(ctx, &catalogpb.Write{
			Bucket:     bucket,
			Record:     &catalogpb.Record{Key: []byte(d.Key), Kind: catalogpb.RecordKind_RECORD_TOMBSTONE},
			Conditions: d.Conditions.message(),
		})
		if err != nil {
			return Deleted{}, fmt.Errorf("delete object %s/%s: %w", bucket, d.Key, err)
		}
		return Deleted{Record: rec, Marker: IsMarker(rec)}, nil
	}
	purge := &catalogpb.Purge{
		Bucket: bucket, Key: []byte(d.Key), Target: d.Version.Dot, Bypass: d.Bypass, Conditions: d.Conditions.message(),
	}
	res, err := s.propose(ctx, &raftfsmpb.Command{Command: &raftfsmpb.Command_Purge{Purge: purge}})
	switch {
	case err != nil:
		err = fmt.Errorf("commit purge: %w", err)
	case res.GetCode() == raftfsmpb.Code_CONFLICT:
		err = conflict(purge.GetConditions(), res)
	case res.GetCode() != raftfsmpb.Code_OK:
		err = refused(res)
	}
	if err != nil {
		return Deleted{}, fmt.Errorf("delete version of %s/%s: %w", bucket, d.Key, err)
	}
	return Deleted{Record: res.GetRecord(), Marker: res.GetMarker()}, nil
}

// DeleteMany makes several deletions and returns what each did, and an error for
// each that failed. One failure does not stop the others.
func (s *Store) DeleteMany(ctx context.Context, bucket string, list []Deletion) ([]Deleted, []error) {
	done, errs := make([]Deleted, len(list)), make([]error, len(list))
	var g errgroup.Group
	g.SetLimit(manyAtOnce)
	for i, d := range list {
		g.Go(func() error {
			done[i], errs[i] = s.DeleteVersion(ctx, bucket, d)
			return nil
		})
	}
	_ = g.Wait() // the functions return nil
	return done, errs
}
