package catalog

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// Upload returns an upload under way, or ErrNoUpload.
func (c *Catalog) Upload(path, id string) (*pb.Upload, error) {
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	return v.upload(id)
}

func (v *view) upload(id string) (*pb.Upload, error) {
	up := new(pb.Upload)
	if checkUploadID(id) != nil {
		return nil, fmt.Errorf("upload %q: %w", id, ErrNoUpload)
	}
	found, err := readMessage(v.rows, uploadKey(nil, v.number, id), up)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("upload %s: %w", id, ErrNoUpload)
	}
	return up, nil
}

// ListUploadsOptions select a page of the uploads under way. The zero value lists
// everything.
type ListUploadsOptions struct {
	Prefix []byte // only uploads of keys that have it
	// Delimiter rolls up the uploads of all keys that have it after the prefix into one
	// item, up to and including its first occurrence there.
	Delimiter []byte
	// AfterKey passes over everything up to and including the uploads of it, or, with
	// AfterID, up to and including that upload of it. When it is a rolled-up prefix, all
	// that the prefix rolls up is passed over.
	AfterKey []byte
	AfterID  string
	Limit    int // items; 1,000 when it is 0, at most MaxPage
}

// UploadsItem is an upload under way, or a prefix that rolls up at least one.
type UploadsItem struct {
	Upload       *pb.Upload
	CommonPrefix []byte
}

// ListUploads returns a page of the uploads under way, ordered by key and id, of at
// most about 8 MiB. more says that it is not the last. Its cost does not depend on how
// many a common prefix rolls up.
func (c *Catalog) ListUploads(path string, o ListUploadsOptions) (items []UploadsItem, more bool, err error) {
	v, err := c.view(path)
	if err != nil {
		return nil, false, err
	}
	defer v.close()
	prefix := uploadsFrom(v.number, o.Prefix)
	it, err := v.rows.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: successor(prefix)})
	if err != nil {
		return nil, false, fmt.Errorf("list uploads of bucket %s: %w", path, err)
	}
	items, more, err = v.listUploads(it, o)
	if err := errors.Join(err, it.Error(), it.Close()); err != nil {
		return nil, false, fmt.Errorf("list uploads of bucket %s: %w", path, err)
	}
	return items, more, nil
}

// uploadsFrom is what the rows of all uploads begin with whose keys begin so.
func uploadsFrom(number uint64, key []byte) []byte {
	row := uploadByKeyKey(nil, number, key, "")
	return row[:len(row)-2] // an escaped key without its end mark
}

// listUploads walks the uploads of the prefix.
func (v *view) listUploads(it *pebble.Iterator, o ListUploadsOptions) (items []UploadsItem, more bool, err error) {
	limit := pageLimit(o.Limit)
	keys := ListOptions{Prefix: o.Prefix, Delimiter: o.Delimiter, After: o.AfterKey}
	start := uploadsFrom(v.number, keys.start())
	if o.AfterID != "" && len(keys.commonPrefix(o.AfterKey)) != len(o.AfterKey) {
		start = append(uploadByKeyKey(nil, v.number, o.AfterKey, o.AfterID), 0)
	}
	size := 0
	for valid := it.SeekGE(start); valid; {
		if len(items) >= limit || size >= listBytes {
			return items, true, nil
		}
		key, id, err := cutEscaped(it.Key()[prefixLen:])
		if err != nil {
			return nil, false, err
		}
		if rolled := keys.commonPrefix(key); rolled != nil {
			items = append(items, UploadsItem{CommonPrefix: rolled})
			valid = it.SeekGE(successor(uploadsFrom(v.number, rolled)))
			continue
		}
		up, err := v.upload(string(id))
		if err != nil {
			return nil, false, err
		}
		items = append(items, UploadsItem{Upload: up})
		size += proto.Size(up)
		valid = it.Next()
	}
	return items, false, nil
}

// Parts returns the parts of an upload, ordered by number, after a number, at
// most limit (1,000 when it is 0). more says that the page is not the last.
func (c *Catalog) Parts(path, id string, after uint32, limit int) (parts []*pb.Part, more bool, err error) {
	limit = pageLimit(limit)
	v, err := c.view(path)
	if err != nil {
		return nil, false, err
	}
	defer v.close()
	if _, err := v.upload(id); err != nil {
		return nil, false, err
	}
	if after >= maxParts {
		return nil, false, nil
	}
	lower := partKey(nil, v.number, id, after+1)
	err = scan(v.rows, lower, successor(partPrefix(nil, v.number, id)), func(_, value []byte) (bool, error) {
		if more = len(parts) == limit; more {
			return false, nil
		}
		p := new(pb.Part)
		parts = append(parts, p)
		return true, proto.Unmarshal(value, p)
	})
	return parts, more, err
}
