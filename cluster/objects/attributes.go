package objects

import (
	"context"
	"errors"
	"fmt"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// SetTags replaces the tags of a version; none removes them. The errors are those
// of Version.
func (s *Store) SetTags(ctx context.Context, bucket, key string, w Which, tags map[string]string) error {
	return s.setAttribute(ctx, bucket, key, w, &catalogpb.SetAttribute{
		Field: catalog.FieldTags, Value: &catalogpb.Value{Tags: tags}})
}

// SetRetention retains a version until a time, or ends its retention with
// RETENTION_NONE. ErrLocked says that it would weaken a retention that this must
// not: one of compliance, or one of governance without bypass. ErrNoLock says that
// the bucket has no object lock.
func (s *Store) SetRetention(ctx context.Context, bucket, key string, w Which, mode catalogpb.RetentionMode, until time.Time, bypass bool) error {
	if err := s.checkTarget(ctx, bucket, &catalogpb.Lock{Mode: mode}); err != nil {
		return fmt.Errorf("set retention: %w", err)
	}
	value := &catalogpb.Value{Mode: mode}
	if mode != catalogpb.RetentionMode_RETENTION_NONE {
		value.Until = until.UnixNano()
	}
	return s.setAttribute(ctx, bucket, key, w, &catalogpb.SetAttribute{Field: catalog.FieldRetention, Value: value, Bypass: bypass})
}

// SetHold puts a version under legal hold, or ends it. The errors are those of
// SetRetention.
func (s *Store) SetHold(ctx context.Context, bucket, key string, w Which, on bool) error {
	if err := s.checkTarget(ctx, bucket, &catalogpb.Lock{Hold: true}); err != nil {
		return fmt.Errorf("set legal hold: %w", err)
	}
	return s.setAttribute(ctx, bucket, key, w, &catalogpb.SetAttribute{Field: catalog.FieldHold, Value: &catalogpb.Value{Hold: on}})
}

func (s *Store) setAttribute(ctx context.Context, bucket, key string, w Which, cmd *catalogpb.SetAttribute) error {
	// What the commit would refuse for want of a version has several reasons, which
	// a client is told apart.
	if _, err := s.Version(ctx, bucket, key, w); err != nil {
		return fmt.Errorf("set %s: %w", cmd.GetField(), err)
	}
	cmd.Bucket, cmd.Key, cmd.Target, cmd.Latest = bucket, []byte(key), w.Dot, w.Latest()
	res, err := s.propose(ctx, &raftfsmpb.Command{Command: &raftfsmpb.Command_SetAttribute{SetAttribute: cmd}})
	switch {
	case err != nil:
		err = fmt.Errorf("commit attribute: %w", err)
	case res.GetCode() == raftfsmpb.Code_NOT_FOUND:
		if _, err = s.catalog.Bucket(bucket); err != nil {
			err = readError(err)
		} else {
			err = fmt.Errorf("%s: %w", res.GetMessage(), ErrNoVersion)
		}
	case res.GetCode() != raftfsmpb.Code_OK:
		err = refused(res)
	}
	if err != nil {
		return fmt.Errorf("set %s of %s/%s: %w", cmd.GetField(), bucket, key, err)
	}
	return nil
}

// BucketAttributes returns the settings of a bucket that all sites share.
func (s *Store) BucketAttributes(ctx context.Context, bucket string) (*catalog.BucketAttributes, error) {
	if err := s.barrier(ctx); err != nil {
		return nil, fmt.Errorf("read settings of bucket %s: %w", bucket, err)
	}
	a, err := s.catalog.BucketAttributes(bucket)
	if err != nil {
		return nil, fmt.Errorf("read settings of bucket: %w", readError(err))
	}
	return a, nil
}

// CORS returns a bucket's CORS rules, or nothing, as this node has them: whoever asks
// shows no key and must not make the site's nodes talk to each other.
func (s *Store) CORS(bucket string) []byte {
	a, err := s.catalog.BucketAttributes(bucket)
	if err != nil {
		return nil
	}
	return a.CORS
}

// SetVersioning turns the keeping of versions on, or suspends it.
func (s *Store) SetVersioning(ctx context.Context, bucket string, v catalogpb.Versioning) error {
	return s.setBucket(ctx, bucket, catalog.FieldVersioning, &catalogpb.Value{Versioning: v})
}

// SetBucketTags replaces the tags of a bucket; none removes them.
func (s *Store) SetBucketTags(ctx context.Context, bucket string, tags map[string]string) error {
	return s.setBucket(ctx, bucket, catalog.FieldTags, &catalogpb.Value{Tags: tags})
}

// SetCORS replaces the CORS rules of a bucket, which nobody here reads; none
// removes them.
func (s *Store) SetCORS(ctx context.Context, bucket string, rules []byte) error {
	return s.setBucket(ctx, bucket, catalog.FieldCORS, &catalogpb.Value{Cors: rules})
}

// SetDefaultLock changes the object lock of a bucket where versions are kept. Once
// enabled it stays so.
func (s *Store) SetDefaultLock(ctx context.Context, bucket string, lock *catalogpb.DefaultLock) error {
	return s.setBucket(ctx, bucket, catalog.FieldLock, &catalogpb.Value{Lock: lock})
}

func (s *Store) setBucket(ctx context.Context, bucket, field string, v *catalogpb.Value) error {
	res, err := s.propose(ctx, &raftfsmpb.Command{Command: &raftfsmpb.Command_SetBucketAttribute{
		SetBucketAttribute: &catalogpb.SetBucketAttribute{Bucket: bucket, Field: field, Value: v}}})
	switch {
	case err != nil:
		err = fmt.Errorf("commit setting: %w", err)
	case res.GetCode() != raftfsmpb.Code_OK:
		err = refused(res)
	}
	if err != nil {
		return fmt.Errorf("set %s of bucket %s: %w", field, bucket, err)
	}
	return nil
}

// checkTarget is CheckBucket, and ErrNoLock when a version is to be locked in a
// bucket without object lock.
func (s *Store) checkTarget(ctx context.Context, bucket string, lock *catalogpb.Lock) error {
	if lock == nil {
		return s.CheckBucket(ctx, bucket)
	}
	_, has, err := s.catalog.Versioning(bucket)
	if errors.Is(err, catalog.ErrNoBucket) || err == nil && !has.GetEnabled() {
		// It may just have been made, or enabled.
		if err := s.barrier(ctx); err != nil {
			return fmt.Errorf("look up bucket %s: %w", bucket, err)
		}
		_, has, err = s.catalog.Versioning(bucket)
	}
	if err != nil {
		return fmt.Errorf("look up bucket: %w", readError(err))
	}
	if !has.GetEnabled() {
		return fmt.Errorf("look up bucket %s: %w", bucket, ErrNoLock)
	}
	return nil
}

// Versioned reports whether a bucket keeps versions, or did. One that was changed
// at another node a moment ago may still look as it was.
func (s *Store) Versioned(bucket string) bool {
	versioning, _, err := s.catalog.Versioning(bucket)
	return err == nil && versioning != catalogpb.Versioning_VERSIONING_NEVER
}
