package catalog

import (
	"bytes"
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

// ScanKeys returns the records of the keys from a key on, at most limit (1,000
// when it is 0) and about 1 MiB, and always whole keys. Of a deleted key it
// returns the tombstone alone, for the reason that LogItem gives.
func (c *Catalog) ScanKeys(path string, from []byte, limit int) (*ScanPage, error) {
	limit = pageLimit(limit)
	v, err := c.viewSeen(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	page := &ScanPage{
		Seq: v.state.GetSeq(), Seen: v.seen, Incarnation: bytes.Clone(v.state.GetIncarnation()), Epoch: v.epoch,
		Done: true,
	}
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
			page.NextKey, page.Done = bytes.Clone(key), false
			return false, nil
		}
		m, head, err := decodeHead(value)
		if err != nil {
			return false, err
		}
		size += len(value)
		if m == (keyMeta{}) && head != nil {
			page.Records = append(page.Records, head)
			return true, nil
		}
		n := len(page.Records)
		page.Records, err = v.scanKey(page.Records, key, m, head)
		for _, r := range page.Records[n:] {
			size += proto.Size(r)
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// scanKey appends what a scan gives of a key.
func (v *view) scanKey(out []*pb.Record, key []byte, m keyMeta, head *pb.Record) ([]*pb.Record, error) {
	if m.registers > 0 {
		prefix := ofKey(nil, rowRegister, v.number, key)
		err := scan(v.rows, prefix, successor(prefix), func(_, value []byte) (bool, error) {
			rec := new(pb.Record)
			out = append(out, rec)
			return true, proto.Unmarshal(value, rec)
		})
		if err != nil {
			return nil, err
		}
	}
	if m.attributes > 0 {
		prefix := ofKey(nil, rowAttributes, v.number, key)
		err := scan(v.rows, prefix, successor(prefix), func(_, value []byte) (bool, error) {
			var a pb.Attributes
			err := proto.Unmarshal(value, &a)
			out = append(out, a.GetRecords()...)
			return true, err
		})
		if err != nil {
			return nil, err
		}
	}
	nulls, err := readNulls(v.rows, v.number, key, m, head)
	if err != nil {
		return nil, err
	}
	if len(nulls) > 1 && !Live(nulls[0]) {
		nulls = nulls[:1]
	}
	at := len(out)
	out = append(out, nulls...)
	if head != nil && !nullLane(head) {
		out = append(out, head)
	}
	err = scanOwn(v.rows, v.number, key, m, head, func(rec *pb.Record) (bool, error) {
		out = append(out, rec)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out[at:], func(a, b *pb.Record) int { return Compare(b, a) })
	for i := at; i < len(out); i++ {
		if out[i], err = travelling(v.rows, v.number, m, out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
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
