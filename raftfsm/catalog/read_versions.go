package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// View returns the head of a key with its attributes, or ErrNoKey when the key has
// none. The head may be a tombstone: a delete marker, or, where it
// was written before versioning was ever enabled, the plain deletion of the key.
// Of a key without attributes it costs what Head costs.
func (c *Catalog) View(path string, key []byte) (*Version, error) {
	c.swap.RLock()
	number, err := c.number(path)
	if err != nil {
		c.swap.RUnlock()
		return nil, err
	}
	m, head, _, err := readHead(c.db, number, key)
	c.swap.RUnlock()
	switch {
	case err != nil:
		return nil, err
	case !shown(head):
		return nil, ErrNoKey
	case m.attributes == 0:
		return newVersion(head, nil, true), nil
	}
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	if m, head, _, err = readHead(v.rows, v.number, key); err != nil {
		return nil, err
	}
	if !shown(head) {
		return nil, ErrNoKey
	}
	return v.version(m, head, head)
}

// Version returns a version of a key or a delete marker by its name, or the null
// version when dot is nil; ErrNoKey when the key has none such.
func (c *Catalog) Version(path string, key []byte, dot *pb.Dot) (*Version, error) {
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	m, head, _, err := readHead(v.rows, v.number, key)
	if err != nil {
		return nil, err
	}
	var r *pb.Record
	if dot == nil {
		r, err = v.visibleNull(key, m, head)
	} else {
		r, err = v.ownVersion(key, head, dot)
	}
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, fmt.Errorf("version of key %q: %w", key, ErrNoKey)
	}
	return v.version(m, head, r)
}

// version adds the attributes to a version of a key.
func (v *view) version(m keyMeta, head, r *pb.Record) (*Version, error) {
	attributes, err := readAttributes(v.rows, v.number, r.GetKey(), m, r.GetDot())
	if err != nil {
		return nil, err
	}
	return newVersion(r, attributes, head != nil && sameDot(head, r.GetDot())), nil
}

func newVersion(r *pb.Record, attributes []*pb.Record, latest bool) *Version {
	return &Version{Record: r, Tags: effectiveTags(r, attributes), Lock: EffectiveLock(r, attributes), Latest: latest}
}

// visibleNull returns the null version of a key, content or a delete marker; nil
// if it has none.
func (v *view) visibleNull(key []byte, m keyMeta, head *pb.Record) (*pb.Record, error) {
	null := head
	if head == nil || !nullLane(head) {
		if m.older == 0 {
			return nil, nil
		}
		nulls, err := readNulls(v.rows, v.number, key, m, head)
		if err != nil {
			return nil, err
		}
		null = nulls[0]
	}
	if !Visible(null) {
		return nil, nil
	}
	return null, nil
}

// ownVersion returns a version of a key by its id; nil if the key has none such.
func (v *view) ownVersion(key []byte, head *pb.Record, dot *pb.Dot) (*pb.Record, error) {
	if head != nil && sameDot(head, dot) {
		if HasID(head) {
			return head, nil
		}
		return nil, nil
	}
	if CheckDot(dot) != nil {
		return nil, nil
	}
	at, kept, err := readDot(v.rows, v.number, dot)
	if err != nil || !kept || at.row != rowOwn || string(at.key) != string(key) {
		return nil, err
	}
	return readRecord(v.rows, v.number, dot, at)
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
// one of those. Tags and Lock of the version are not read: a listing shows neither.
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
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	prefix := headKey(nil, v.number, o.Prefix)
	it, err := v.rows.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: successor(prefix)})
	if err != nil {
		return nil, fmt.Errorf("list versions of bucket %s: %w", path, err)
	}
	l := v.lister(o)
	err = l.list(it)
	if err := errors.Join(err, it.Error(), it.Close()); err != nil {
		return nil, fmt.Errorf("list versions of bucket %s: %w", path, err)
	}
	return l.page, nil
}

// versionsLister is a listing of versions under way.
type versionsLister struct {
	*view
	o     ListVersionsOptions
	keys  ListOptions // the keys' part of o
	limit int
	page  *VersionsPage
	size  int // of the records in the page
}

func (v *view) lister(o ListVersionsOptions) *versionsLister {
	return &versionsLister{
		view: v, o: o, keys: ListOptions{Prefix: o.Prefix, Delimiter: o.Delimiter, After: o.AfterKey}, limit: pageLimit(o.Limit), page: &VersionsPage{},
	}
}

// within reports whether the listing begins among the versions of its first key.
func (l *versionsLister) within() bool { return l.o.AfterVersion != nil || l.o.AfterNull }

// list walks the keys of the prefix.
func (l *versionsLister) list(it *pebble.Iterator) error {
	start := l.keys.start()
	if l.within() && bytes.Compare(l.o.AfterKey, l.o.Prefix) >= 0 {
		start = l.o.AfterKey
	}
	valid := it.SeekGE(headKey(nil, l.number, start))
	var last []byte // key that was looked at
	for examined := 0; valid; examined++ {
		if len(l.page.Items) >= l.limit || examined >= maxListed || l.size >= listBytes {
			l.page.Truncated = true
			if l.page.NextKey == nil {
				l.page.NextKey = last
			}
			return nil
		}
		key := bytes.Clone(it.Key()[prefixLen:])
		last = key
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		m, head, err := decodeHead(value)
		if err != nil {
			return err
		}
		if head == nil || !Visible(head) {
			valid = it.Next()
			continue
		}
		if rolled := l.keys.commonPrefix(key); rolled != nil {
			l.page.Items = append(l.page.Items, VersionsItem{CommonPrefix: rolled})
			last = rolled
			next := successor(headKey(nil, l.number, rolled))
			valid = it.SeekGE(next)
			continue
		}
		more, err := l.key(key, m, head)
		if err != nil {
			return err
		}
		if more {
			return nil
		}
		valid = it.Next()
	}
	return nil
}

// key adds the versions of a key; more says that the page is full before the last
// of them.
func (l *versionsLister) key(key []byte, m keyMeta, head *pb.Record) (more bool, err error) {
	var after *pb.Record
	if l.within() && bytes.Equal(key, l.o.AfterKey) {
		if after, err = l.after(key, m, head); err != nil {
			return false, err
		}
	}
	records, more, err := l.visible(key, m, head, after)
	for _, r := range records {
		l.page.Items = append(l.page.Items, VersionsItem{Version: &Version{Record: r, Latest: r == head}})
		l.size += proto.Size(r)
	}
	if more {
		l.page.Truncated, l.page.NextKey = true, key
		if r := records[len(records)-1]; HasID(r) {
			l.page.NextVersion = r.GetDot()
		} else {
			l.page.NextNull = true
		}
	}
	return more, err
}

// after is the order of the version that the listing begins after; nil if nobody
// knows it any more, and all of what is left of the key is listed.
func (l *versionsLister) after(key []byte, m keyMeta, head *pb.Record) (*pb.Record, error) {
	if l.o.AfterNull {
		return l.visibleNull(key, m, head)
	}
	r, err := l.ownVersion(key, head, l.o.AfterVersion)
	if r != nil || err != nil {
		return r, err
	}
	return readRegister(l.rows, l.number, key, m, l.o.AfterVersion) // right above what it removed
}

// visible returns the versions and delete markers of a key that are below one, all
// of them when it is nil, as far as the page has room; more says that there is no
// room for all.
func (l *versionsLister) visible(key []byte, m keyMeta, head, after *pb.Record) (records []*pb.Record, more bool, err error) {
	if m.older == 0 && m.own == 0 && after == nil {
		return []*pb.Record{head}, false, nil
	}
	room := l.limit - len(l.page.Items)
	below := func(r *pb.Record) bool { return after == nil || Compare(r, after) < 0 }
	null, err := l.visibleNull(key, m, head)
	if err != nil {
		return nil, false, err
	}
	if null != nil && below(null) {
		records = append(records, null)
	}
	if !nullLane(head) && below(head) {
		records = append(records, head)
	}
	if m.own > 0 {
		from := after
		if from == nil {
			from = head // see scanOwn
		}
		lower := orderedKey(nil, rowOwn, l.number, key, from.GetGeneration(), from.GetTime(), from.GetDot())
		own, size := 0, 0
		err = scan(l.rows, lower, successor(ofKey(nil, rowOwn, l.number, key)), func(_, value []byte) (bool, error) {
			rec := new(pb.Record)
			if err := proto.Unmarshal(value, rec); err != nil {
				return false, err
			}
			if below(rec) {
				records = append(records, rec)
				own, size = own+1, size+len(value)
			}
			// Two more than there is room for may be missing: the head and the null one.
			return own <= room && size < listBytes, nil
		})
		if err != nil {
			return nil, false, err
		}
		more = size >= listBytes
	}
	slices.SortFunc(records, func(a, b *pb.Record) int { return Compare(b, a) })
	if len(records) > room {
		return records[:room], true, nil
	}
	return records, more && len(records) > 0, nil
}

// Versioning returns whether a bucket keeps versions, and its object lock, never nil,
// which is not to be changed. Nothing is read for it, unlike for BucketAttributes.
func (c *Catalog) Versioning(path string) (pb.Versioning, *pb.DefaultLock, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	b := c.buckets[path]
	if b == nil || b.state.GetDeleted() {
		return 0, nil, noBucket(path)
	}
	lock := b.state.GetLock()
	if lock == nil {
		lock = &pb.DefaultLock{}
	}
	return b.state.GetVersioning(), lock, nil
}

// BucketAttributes returns the settings of a bucket that all sites share.
func (c *Catalog) BucketAttributes(path string) (*BucketAttributes, error) {
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	fields, err := readFields(v.rows, v.number)
	if err != nil {
		return nil, err
	}
	out := &BucketAttributes{Lock: &pb.DefaultLock{}}
	versioning, lock := versioningOf(fields)
	out.Versioning = versioning
	if lock != nil {
		out.Lock = lock
	}
	for _, f := range fields {
		switch f.GetField() {
		case FieldTags:
			out.Tags = f.GetValue().GetTags()
		case FieldCORS:
			out.CORS = f.GetValue().GetCors()
		}
	}
	return out, nil
}
