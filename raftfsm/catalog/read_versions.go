package catalog

import (
	"fmt"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// View returns the head of a key with its attributes, or ErrNoKey when no record
// of the key is kept. The head may be a tombstone: a delete marker, or, where it
// was written before versioning was ever enabled, the plain deletion of the key.
func (c *Catalog) View(path string, key []byte) (*Version, error) {
	head, err := c.Head(path, key)
	if err != nil {
		return nil, err
	}
	return &Version{Record: head, Latest: true}, nil
}

// Version returns a version of a key or a delete marker by its name, or the null
// version when dot is nil; ErrNoKey when the key has none such.
func (c *Catalog) Version(path string, key []byte, dot *pb.Dot) (*Version, error) {
	records, err := c.Versions(path, key)
	if err != nil {
		return nil, err
	}
	for i, r := range records {
		if dot == nil && !hasID(r) || dot != nil && hasID(r) && sameDot(r, dot) {
			return &Version{Record: r, Latest: i == 0}, nil
		}
	}
	return nil, fmt.Errorf("version of key %q: %w", key, ErrNoKey)
}

// ListVersionsOptions select a page of a listing of versions. The zero value
// lists everything.
type ListVersionsOptions struct {
	Prefix []byte // only keys that have it
	// Delimiter rolls up all keys that have it after the prefix into one item, up
	// to and including its first occurrence there.
	Delimiter []byte
	// AfterKey passes over everything up to and including this key, or, with
	// AfterVersion or AfterNull, over its versions up to and including that one.
	// When it is a rolled-up prefix, all that the prefix rolls up is passed over.
	AfterKey     []byte
	AfterVersion *pb.Dot // of AfterKey
	AfterNull    bool    // of AfterKey: the null version
	Limit        int     // items; 1,000 when it is 0, at most MaxPage
}

// VersionsItem is a version, a delete marker, or a prefix that rolls up at least
// one of those. Attributes are not read for it: Version has neither Tags nor Lock
// of its own beyond what its record holds.
type VersionsItem struct {
	Version      *Version
	CommonPrefix []byte
}

// VersionsPage is a page of versions and delete markers, in the order of their
// keys, those of a key from the latest to the oldest.
type VersionsPage struct {
	Items []VersionsItem
	// Truncated says that there may be more. NextKey, and NextVersion or NextNull
	// unless the key has been listed whole, are then what to go on after. A page
	// may be truncated before its limit, even empty.
	Truncated   bool
	NextKey     []byte
	NextVersion *pb.Dot
	NextNull    bool
}

// ListVersions returns a page of all versions and delete markers of a bucket. Its
// cost depends neither on the number of keys in the bucket, nor on how many a
// common prefix rolls up, nor on the number of versions of a key.
func (c *Catalog) ListVersions(path string, o ListVersionsOptions) (*VersionsPage, error) {
	page, err := c.List(path, ListOptions{Prefix: o.Prefix, Delimiter: o.Delimiter, After: o.AfterKey, Limit: o.Limit})
	if err != nil {
		return nil, err
	}
	out := &VersionsPage{Truncated: page.Truncated}
	for _, item := range page.Items {
		if item.Record == nil {
			out.Items, out.NextKey = append(out.Items, VersionsItem{CommonPrefix: item.CommonPrefix}), item.CommonPrefix
			continue
		}
		out.Items, out.NextKey = append(out.Items, VersionsItem{Version: &Version{Record: item.Record, Latest: true}}), item.Record.GetKey()
	}
	return out, nil
}

// BucketAttributes returns the settings of a bucket that all sites share.
func (c *Catalog) BucketAttributes(path string) (*BucketAttributes, error) {
	s, err := c.Bucket(path)
	if err != nil {
		return nil, err
	}
	lock := s.GetLock()
	if lock == nil {
		lock = &pb.DefaultLock{}
	}
	return &BucketAttributes{Versioning: s.GetVersioning(), Lock: lock}, nil
}
