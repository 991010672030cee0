package catalog

import (
	"bytes"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// ScanPage holds the records of a range of keys.
type ScanPage struct {
	Records []*pb.Record // whole keys in order, the records of a key greatest first
	NextKey []byte       // where the next page begins
	Done    bool         // there is no next page; NextKey is nil
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
	_, upper := bounds(rowHead, v.number)
	err = scan(v.rows, headKey(nil, v.number, from), upper, func(key, value []byte) (bool, error) {
		key = key[prefixLen:]
		if len(page.Records) >= limit || size >= pageBytes {
			page.NextKey, page.Done = bytes.Clone(key), false
			return false, nil
		}
		older, head, err := decodeHead(value)
		if err != nil {
			return false, err
		}
		page.Records = append(page.Records, head)
		size += len(value)
		if older == 0 || !Live(head) {
			return true, nil
		}
		prefix := versionPrefix(nil, v.number, key)
		return true, scan(v.rows, prefix, successor(prefix), func(_, value []byte) (bool, error) {
			rec := new(pb.Record)
			page.Records = append(page.Records, rec)
			size += len(value)
			return true, proto.Unmarshal(value, rec)
		})
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// DroppedThere compares this site with a page of a sender's scan: it returns the
// local live heads of keys from fromKey (inclusive) up to nextKey (exclusive, nil
// for the end) that the sender has dropped on purpose, by the rule of the same
// name. senderRecords are the page's records in any order, and senderSeen the
// page's vector. It looks at a bounded number of keys; when some are left, resume
// is the fromKey to go on with. The caller deletes each key with the condition
// that the record still is its head.
func (c *Catalog) DroppedThere(path string, fromKey, nextKey []byte, senderRecords []*pb.Record, senderSeen *pb.Vector) (dropped []*pb.Record, resume []byte, err error) {
	heads := make(map[string]*pb.Record, len(senderRecords))
	for _, r := range senderRecords {
		if h := heads[string(r.GetKey())]; h == nil || Compare(h, r) < 0 {
			heads[string(r.GetKey())] = r
		}
	}
	v, err := c.view(path)
	if err != nil {
		return nil, nil, err
	}
	defer v.close()
	senderSeen = MergeVector(nil, senderSeen) // ordered
	_, upper := bounds(rowHead, v.number)
	if nextKey != nil {
		upper = headKey(nil, v.number, nextKey)
	}
	lower := headKey(nil, v.number, fromKey)
	if bytes.Compare(lower, upper) >= 0 {
		return nil, nil, nil
	}
	examined, size := 0, 0
	err = scan(v.rows, lower, upper, func(key, value []byte) (bool, error) {
		if examined++; examined > MaxPage || len(dropped) >= defaultPage || size >= listBytes {
			resume = bytes.Clone(key[prefixLen:])
			return false, nil
		}
		_, head, err := decodeHead(value)
		if err == nil && DroppedThere(head, heads[string(head.GetKey())], senderSeen) {
			dropped = append(dropped, head)
			size += len(value)
		}
		return true, err
	})
	if err != nil {
		return nil, nil, err
	}
	return dropped, resume, nil
}
