package catalog

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// maxListed bounds the keys that one page of a listing looks at: deleted ones
// cost as much as live ones and fill no page.
const maxListed = 4 * MaxPage

// ListOptions select a page of a listing. The zero value lists everything.
type ListOptions struct {
	Prefix []byte // only keys that have it
	// Delimiter rolls up all keys that have it after the prefix into one item, up
	// to and including its first occurrence there.
	Delimiter []byte
	// After passes over everything up to and including it. When it is a rolled-up
	// prefix, all that the prefix rolls up is passed over.
	After []byte
	From  []byte // where to begin, inclusive: the Next of the page before
	Limit int    // items; 1,000 when it is 0, at most MaxPage
}

// ListItem is a live head, or a prefix that rolls up at least one.
type ListItem struct {
	Record       *pb.Record
	CommonPrefix []byte
}

// ListPage is a page of live heads in the order of their keys.
type ListPage struct {
	Items []ListItem
	// Truncated says that there may be more, and Next is then the From to go on
	// with. A page may be truncated before its limit, even empty, where very many
	// deleted keys lie side by side or records are very large.
	Truncated bool
	Next      []byte
}

// List returns a page of the live heads of a bucket. The cost of a page does not
// depend on the number of keys in the bucket, nor on how many a common prefix
// rolls up.
func (c *Catalog) List(path string, o ListOptions) (*ListPage, error) {
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	prefix := headKey(nil, v.number, o.Prefix)
	it, err := v.rows.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: successor(prefix)})
	if err != nil {
		return nil, fmt.Errorf("list bucket %s: %w", path, err)
	}
	page, err := list(it, o)
	if err := errors.Join(err, it.Error(), it.Close()); err != nil {
		return nil, fmt.Errorf("list bucket %s: %w", path, err)
	}
	return page, nil
}

// start is the first key that a listing may return.
func (o *ListOptions) start() []byte {
	start := o.From
	if o.After != nil {
		after := append(bytes.Clone(o.After), 0)
		if rolled := o.commonPrefix(o.After); rolled != nil && len(rolled) == len(o.After) {
			after = successor(rolled)
		}
		if bytes.Compare(after, start) > 0 {
			start = after
		}
	}
	if bytes.Compare(o.Prefix, start) > 0 {
		start = o.Prefix
	}
	return start
}

// commonPrefix is what a key is rolled up into; nil if it is not.
func (o *ListOptions) commonPrefix(key []byte) []byte {
	if len(o.Delimiter) == 0 || !bytes.HasPrefix(key, o.Prefix) {
		return nil
	}
	i := bytes.Index(key[len(o.Prefix):], o.Delimiter)
	if i < 0 {
		return nil
	}
	return key[:len(o.Prefix)+i+len(o.Delimiter)]
}

// list walks the heads of the prefix.
func list(it *pebble.Iterator, o ListOptions) (*ListPage, error) {
	limit := pageLimit(o.Limit)
	page := &ListPage{}
	// Every row begins with the row byte and the bucket's number; take them from
	// the lower bound's row.
	if !it.First() {
		return page, nil
	}
	row := bytes.Clone(it.Key()[:prefixLen])
	valid := it.SeekGE(append(bytes.Clone(row), o.start()...))
	size := 0
	for examined := 0; valid; examined++ {
		key := it.Key()[prefixLen:]
		if len(page.Items) >= limit || examined >= maxListed || size >= listBytes {
			page.Truncated, page.Next = true, bytes.Clone(key)
			break
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		_, head, err := decodeHead(value)
		if err != nil {
			return nil, err
		}
		if !Live(head) {
			valid = it.Next()
			continue
		}
		rolled := o.commonPrefix(key)
		if rolled == nil {
			page.Items = append(page.Items, ListItem{Record: head})
			size += len(value)
			valid = it.Next()
			continue
		}
		rolled = bytes.Clone(rolled)
		page.Items = append(page.Items, ListItem{CommonPrefix: rolled})
		next := successor(append(bytes.Clone(row), rolled...))
		valid = it.SeekGE(next)
	}
	return page, nil
}
