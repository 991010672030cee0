package catalog

import (
	"bytes"
	"fmt"

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

// Uploads returns the uploads under way of keys with a prefix, ordered by key and
// id, at most limit (1,000 when it is 0) and about 8 MiB. It begins after the upload afterID of
// afterKey; with an empty afterID all uploads of afterKey are passed over. more
// says that the page is not the last.
func (c *Catalog) Uploads(path string, prefix, afterKey []byte, afterID string, limit int) (uploads []*pb.Upload, more bool, err error) {
	limit = pageLimit(limit)
	v, err := c.view(path)
	if err != nil {
		return nil, false, err
	}
	defer v.close()
	// An escaped key begins with the escaped prefix without its end mark.
	lower := uploadByKeyKey(nil, v.number, prefix, "")
	lower = lower[:len(lower)-2]
	upper := successor(lower)
	if len(afterKey) > 0 {
		after := uploadByKeyKey(nil, v.number, afterKey, afterID)
		if afterID == "" {
			after = successor(after)
		} else {
			after = append(after, 0)
		}
		if bytes.Compare(after, lower) > 0 {
			lower = after
		}
	}
	if bytes.Compare(lower, upper) >= 0 {
		return nil, false, nil
	}
	size := 0
	err = scan(v.rows, lower, upper, func(key, _ []byte) (bool, error) {
		if more = len(uploads) == limit || size >= listBytes; more {
			return false, nil
		}
		_, id, err := cutEscaped(key[prefixLen:])
		if err != nil {
			return false, err
		}
		up, err := v.upload(string(id))
		if err != nil {
			return false, err
		}
		uploads = append(uploads, up)
		size += proto.Size(up)
		return true, nil
	})
	return uploads, more, err
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
