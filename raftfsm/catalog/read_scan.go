package catalog

import (
	"bytes"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// ScanPage holds the records of a range of keys.
type ScanPage struct {
	// Records are whole keys in order. Those of a key are its purges, its attributes,
	// and then its versions and deletions, so that what a version depends on comes
	// before it. The settings of the bucket, whose key is empty, come first.
	Records []*pb.Record
	NextKey []byte // where the next page begins
	Done    bool   // there is no next page; NextKey is nil
	// Seq and Seen are as in LogPage. They are not newer than the records: a scan
	// that notes those of its first page, and then follows the log from that
	// sequence, misses nothing.
	Seq         uint64
	Seen        *pb.Vector
	Incarnation []byte
	Epoch       uint32
}

// LongKey says that the records of one key are more than a page may have. It names
// the key.
type LongKey struct {
	Key  []byte
	Most int // bytes that the page may have
}

func (l *LongKey) Error() string {
	return fmt.Sprintf("the history of key %q has more than %d bytes", l.Key, l.Most)
}

// ScanKeys returns the records of the keys from a key on, at most limit (1,000
// when it is 0) and about 1 MiB, and always whole keys. Of a deleted key it
// returns the tombstone alone, for the reason that LogItem gives.
func (c *Catalog) ScanKeys(path string, from []byte, limit int) (*ScanPage, error) {
	return c.ScanKeysWithin(path, from, limit, 0)
}

// ScanKeysWithin is ScanKeys of which no page has much more than 2 MiB, unless a single
// key does: that is a page of its own, up to most bytes of records, and beyond the error
// is a *LongKey. With 0 there is no bound.
func (c *Catalog) ScanKeysWithin(path string, from []byte, limit, most int) (*ScanPage, error) {
	limit = pageLimit(limit)
	v, err := c.viewSeen(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	page := v.page()
	size := 0
	if len(from) == 0 {
		if page.Records, err = readFields(v.rows, v.number); err != nil {
			return nil, err
		}
	}
	_, upper := bounds(rowHead, v.number)
	err = scan(v.rows, headKey(nil, v.number, from), upper, func(key, value []byte) (bool, error) {
		key = key[prefixLen:]
		if len(page.Records) >= limit || size >= pageBytes {
			page.endBefore(key)
			return false, nil
		}
		m, head, err := decodeHead(value)
		if err != nil {
			return false, err
		}
		if m == (keyMeta{}) && head != nil {
			size += len(value)
			page.Records = append(page.Records, head)
			return true, nil
		}
		n, fits, err := v.addKey(page, key, m, head, most)
		size += n
		return fits, err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// ScanThese is ScanKeys of some keys, which are in order: those that fit into a
// page, and where it goes on if there is one more. A key that is not there has no
// records; the empty key stands for the bucket's settings.
func (c *Catalog) ScanThese(path string, keys [][]byte) (*ScanPage, error) {
	return c.ScanTheseWithin(path, keys, 0)
}

// ScanTheseWithin is to ScanThese what ScanKeysWithin is to ScanKeys.
func (c *Catalog) ScanTheseWithin(path string, keys [][]byte, most int) (*ScanPage, error) {
	v, err := c.viewSeen(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	page := v.page()
	size := 0
	for i, key := range keys {
		if i > 0 && bytes.Compare(keys[i-1], key) >= 0 {
			return nil, fmt.Errorf("scan keys: key %q is out of order", key)
		}
		if len(page.Records) >= MaxPage || size >= pageBytes {
			page.endBefore(key)
			return page, nil
		}
		if len(key) == 0 {
			if page.Records, err = readFields(v.rows, v.number); err != nil {
				return nil, err
			}
			continue
		}
		m, head, exists, err := readHead(v.rows, v.number, key)
		if err != nil {
			return nil, err
		}
		if !exists {
			continue
		}
		n, fits, err := v.addKey(page, key, m, head, most)
		if err != nil {
			return nil, err
		}
		if size += n; !fits {
			return page, nil
		}
	}
	return page, nil
}

// NextKey returns the first key from one on that anything is kept of; nil when there
// is none.
func (c *Catalog) NextKey(path string, from []byte) (next []byte, err error) {
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	_, upper := bounds(rowHead, v.number)
	err = scan(v.rows, headKey(nil, v.number, from), upper, func(key, _ []byte) (bool, error) {
		next = bytes.Clone(key[prefixLen:])
		return false, nil
	})
	return next, err
}

// page is one without records, of which none follows.
func (v *view) page() *ScanPage {
	return &ScanPage{
		Seq: v.state.GetSeq(), Seen: v.seen, Incarnation: bytes.Clone(v.state.GetIncarnation()), Epoch: v.epoch,
		Done: true,
	}
}

// endBefore says that the next page begins with a key.
func (p *ScanPage) endBefore(key []byte) { p.NextKey, p.Done = bytes.Clone(key), false }

// addKey adds the records of a key to a page and returns their size. Where most is not 0
// and they are too many beside what the page has, it ends before the key; a key that is
// too long for a page of its own is a *LongKey.
func (v *view) addKey(page *ScanPage, key []byte, m keyMeta, head *pb.Record, most int) (size int, fits bool, err error) {
	room := most
	if most > 0 && len(page.Records) > 0 {
		room = min(most, pageBytes)
	}
	records, size, err := v.scanKey(key, m, head, room)
	switch {
	case err != nil:
		return 0, false, err
	case room == 0 || size <= room:
		page.Records = append(page.Records, records...)
		return size, true, nil
	case len(page.Records) > 0:
		page.endBefore(key)
		return 0, false, nil
	}
	return 0, false, &LongKey{Key: bytes.Clone(key), Most: most}
}

// scanKey returns what a scan gives of a key, and its size. Beyond room bytes, unless
// that is 0, it stops, and what it returns is of no use.
func (v *view) scanKey(key []byte, m keyMeta, head *pb.Record, room int) (out []*pb.Record, size int, err error) {
	take := func(records ...*pb.Record) bool {
		for _, r := range records {
			size += proto.Size(r)
		}
		out = append(out, records...)
		return room == 0 || size <= room
	}
	if m.registers > 0 {
		prefix := ofKey(nil, rowRegister, v.number, key)
		err := scan(v.rows, prefix, successor(prefix), func(_, value []byte) (bool, error) {
			rec := new(pb.Record)
			err := proto.Unmarshal(value, rec)
			return take(rec), err
		})
		if err != nil || room > 0 && size > room {
			return nil, size, err
		}
	}
	if m.attributes > 0 {
		prefix := ofKey(nil, rowAttributes, v.number, key)
		err := scan(v.rows, prefix, successor(prefix), func(_, value []byte) (bool, error) {
			var a pb.Attributes
			err := proto.Unmarshal(value, &a)
			return take(a.GetRecords()...), err
		})
		if err != nil || room > 0 && size > room {
			return nil, size, err
		}
	}
	nulls, err := readNulls(v.rows, v.number, key, m, head)
	if err != nil {
		return nil, 0, err
	}
	if len(nulls) > 1 && !Live(nulls[0]) {
		nulls = nulls[:1]
	}
	at := len(out)
	take(nulls...)
	if head != nil && !nullLane(head) {
		take(head)
	}
	err = scanOwn(v.rows, v.number, key, m, head, func(rec *pb.Record) (bool, error) {
		return take(rec), nil
	})
	if err != nil || room > 0 && size > room {
		return nil, size, err
	}
	slices.SortFunc(out[at:], func(a, b *pb.Record) int { return Compare(b, a) })
	for i := at; i < len(out) && m.registers > 0; i++ {
		size -= proto.Size(out[i])
		if out[i], err = travelling(v.rows, v.number, m, out[i]); err != nil {
			return nil, 0, err
		}
		size += proto.Size(out[i])
	}
	return out, size, nil
}

// DroppedThere compares this site with a page of a sender's scan: it returns the
// local versions and delete markers of keys from fromKey (inclusive) up to nextKey
// (exclusive, nil for the end) that the sender has dropped on purpose, by the rules
// DroppedThere and PurgedThere. senderRecords are the page's records in any order,
// and senderSeen the page's vector. It looks at a bounded number of keys; when some
// are left, resume is the fromKey to go on with. The caller carries out what
// [Follow] makes of each.
func (c *Catalog) DroppedThere(path string, fromKey, nextKey []byte, senderRecords []*pb.Record, senderSeen *pb.Vector) (dropped []*pb.Record, resume []byte, err error) {
	v, err := c.view(path)
	if err != nil {
		return nil, nil, err
	}
	defer v.close()
	_, upper := bounds(rowHead, v.number)
	if nextKey != nil {
		upper = headKey(nil, v.number, nextKey)
	}
	lower := headKey(nil, v.number, fromKey)
	if bytes.Compare(lower, upper) >= 0 {
		return nil, nil, nil
	}
	there := newThere(senderRecords, senderSeen)
	examined, size := 0, 0
	err = scan(v.rows, lower, upper, func(key, value []byte) (bool, error) {
		if examined++; examined > MaxPage || len(dropped) >= defaultPage || size >= listBytes {
			resume = bytes.Clone(key[prefixLen:])
			return false, nil
		}
		m, head, err := decodeHead(value)
		if err != nil {
			return false, err
		}
		n := len(dropped)
		if dropped, err = v.droppedOf(dropped, key[prefixLen:], m, head, there); err != nil {
			return false, err
		}
		for _, r := range dropped[n:] {
			size += proto.Size(r)
		}
		return true, nil
	})
	if err != nil {
		return nil, nil, err
	}
	return dropped, resume, nil
}

// there is what a page of a sender's scan says.
type there struct {
	seen      *pb.Vector            // ordered
	nulls     map[string]*pb.Record // by key: the greatest of the null version
	own       map[dotID]struct{}    // versions with an id of their own
	registers map[dotID]struct{}    // by their versions
}

func newThere(records []*pb.Record, seen *pb.Vector) *there {
	t := &there{seen: MergeVector(nil, seen), nulls: make(map[string]*pb.Record),
		own: make(map[dotID]struct{}), registers: make(map[dotID]struct{})}
	for _, r := range records {
		switch {
		case nullLane(r):
			if h := t.nulls[string(r.GetKey())]; h == nil || Compare(h, r) < 0 {
				t.nulls[string(r.GetKey())] = r
			}
		case register(r) && CheckDot(r.GetTarget()) == nil:
			t.registers[idOf(r.GetTarget())] = struct{}{}
		case rowOf(r) == rowOwn && CheckDot(r.GetDot()) == nil:
			t.own[idOf(r.GetDot())] = struct{}{}
		}
	}
	return t
}

// droppedOf appends what a key here has and the sender has dropped.
func (v *view) droppedOf(out []*pb.Record, key []byte, m keyMeta, head *pb.Record, there *there) ([]*pb.Record, error) {
	null := head
	if m.older > 0 && (head == nil || !nullLane(head)) {
		nulls, err := readNulls(v.rows, v.number, key, m, head)
		if err != nil {
			return nil, err
		}
		null = nulls[0]
	}
	if null != nil && nullLane(null) && DroppedThere(null, there.nulls[string(key)], there.seen) {
		out = append(out, null)
	}
	own := func(r *pb.Record) (bool, error) {
		d := idOf(r.GetDot())
		_, kept := there.own[d]
		_, known := there.registers[d]
		if kept || known || there.seen.GetSparse() {
			return true, nil
		}
		reg, err := readRegister(v.rows, v.number, key, m, r.GetDot())
		if err == nil && PurgedThere(r, reg, kept, known, there.seen) {
			out = append(out, r)
		}
		return true, err
	}
	if head != nil && !nullLane(head) {
		if _, err := own(head); err != nil {
			return nil, err
		}
	}
	return out, scanOwn(v.rows, v.number, key, m, head, own)
}

// Follow is the command by which a site follows a peer that has dropped a record
// on purpose, as DroppedThere found. Where a lock forbids it, the record stays and
// is offered to the peer again.
func Follow(path string, dropped *pb.Record) *raftfsmpb.Command {
	return &raftfsmpb.Command{Command: &raftfsmpb.Command_Purge{Purge: &pb.Purge{
		Bucket: path, Key: dropped.GetKey(), Target: dropped.GetDot(), Inferred: true,
	}}}
}
