package objects

import (
	"context"
	"errors"
	"fmt"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// Which names a version of a key. The zero value is the latest.
type Which struct {
	Dot  *catalogpb.Dot // a version with an ID of its own
	Null bool           // the one that has none
}

// Latest reports whether no version is named.
func (w Which) Latest() bool { return w.Dot == nil && !w.Null }

// ParseVersionID returns the version that an S3 version ID names; none for an
// empty one. An ID that no site gives out is ErrVersionID.
func ParseVersionID(id string) (Which, error) {
	if id == "" {
		return Which{}, nil
	}
	dot, null, err := catalog.ParseVersionID(id)
	if err != nil {
		return Which{}, fmt.Errorf("%w: %w", ErrVersionID, err)
	}
	return Which{Dot: dot, Null: null}, nil
}

// IsMarker reports whether a record is a delete marker: a deletion that S3 lists.
func IsMarker(rec *catalogpb.Record) bool {
	return rec.GetKind() == catalogpb.RecordKind_RECORD_TOMBSTONE && rec.GetVersioning() != catalogpb.Versioning_VERSIONING_NEVER
}

// Version returns a version with its tags and its lock. Where it has no content
// the error is ErrNoKey, of the latest, ErrNoVersion, of one that was named, or
// ErrDeleteMarker, of one that was named and is a delete marker; when it is a
// delete marker that is in the way, the marker is returned beside the error.
func (s *Store) Version(ctx context.Context, bucket, key string, w Which) (*catalog.Version, error) {
	if err := checkKey(key); err != nil {
		return nil, fmt.Errorf("read object: %w", err)
	}
	if err := s.barrier(ctx); err != nil {
		return nil, fmt.Errorf("read object: %w", err)
	}
	var v *catalog.Version
	var err error
	if w.Latest() {
		v, err = s.catalog.View(bucket, []byte(key))
	} else {
		v, err = s.catalog.Version(bucket, []byte(key), w.Dot)
	}
	if err == nil && v.Record.GetKind() == catalogpb.RecordKind_RECORD_VERSION {
		return v, nil
	}
	marker := err == nil && (IsMarker(v.Record) || !v.Latest)
	switch {
	case err != nil && !errors.Is(err, catalog.ErrNoKey):
		err = readError(err)
	case w.Latest():
		err = ErrNoKey
	case marker:
		err = ErrDeleteMarker
	default:
		err = ErrNoVersion
	}
	if !marker {
		v = nil
	}
	return v, fmt.Errorf("read object %s/%s: %w", bucket, key, err)
}

// ListVersions returns one page of the bucket's versions and delete markers; see
// catalog.ListVersionsOptions.
func (s *Store) ListVersions(ctx context.Context, bucket string, o catalog.ListVersionsOptions) (*catalog.VersionsPage, error) {
	if err := s.barrier(ctx); err != nil {
		return nil, fmt.Errorf("list versions of bucket %s: %w", bucket, err)
	}
	page, err := s.catalog.ListVersions(bucket, o)
	if err != nil {
		return nil, fmt.Errorf("list versions of bucket: %w", readError(err))
	}
	return page, nil
}
