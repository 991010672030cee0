package catalog

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// LogItem is an entry of a bucket's log.
type LogItem struct {
	Seq   uint64
	Entry *pb.LogEntry
	// Record is nil when it is not kept any more, or is history of a deleted key,
	// which is not sent: to a site that has forgotten the deletion it would look
	// like news. What took its place has an entry of its own.
	Record *pb.Record
}

// LogPage is a run of a bucket's log.
type LogPage struct {
	From, To uint64 // the sequences accounted for; To is From-1 in an empty page
	Entries  []LogItem
	// AtEnd says that To is the log's last sequence. Seen is then what this site
	// has seen, its own origin included, without what is pending: whoever has
	// taken the log up to To may claim it. It is nil before the end.
	AtEnd bool
	Seen  *pb.Vector
	// Incarnation and Epoch are the bucket's and the site's; a cursor holds for
	// them only.
	Incarnation []byte
	Epoch       uint32
}

// Log returns the entries after a sequence, at most limit (1,000 when it is 0)
// and about 1 MiB of records. It fails with ErrTrimmed or ErrAhead when the log
// cannot go on after that sequence.
func (c *Catalog) Log(path string, after uint64, limit int) (*LogPage, error) {
	limit = pageLimit(limit)
	v, err := c.viewSeen(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	end := v.state.GetSeq()
	switch {
	case after < v.state.GetTrimmed():
		return nil, v.trimmed(after)
	case after > end:
		return nil, fmt.Errorf("log of bucket %s ends at %d, below %d: %w", path, end, after, ErrAhead)
	}
	page := &LogPage{From: after + 1, To: after, Incarnation: bytes.Clone(v.state.GetIncarnation()), Epoch: v.epoch}
	size := 0
	err = scan(v.rows, logKey(nil, v.number, after+1), logKey(nil, v.number, end+1), func(key, value []byte) (bool, error) {
		item := LogItem{Seq: binary.BigEndian.Uint64(key[prefixLen:]), Entry: new(pb.LogEntry)}
		if item.Seq != page.To+1 {
			return false, v.trimmed(after) // the rows are newer than the state
		}
		if err := proto.Unmarshal(value, item.Entry); err != nil {
			return false, err
		}
		n, err := v.logged(&item)
		if err != nil {
			return false, err
		}
		page.Entries = append(page.Entries, item)
		page.To = item.Seq
		size += n + len(value)
		return len(page.Entries) < limit && size < pageBytes, nil
	})
	if err != nil {
		return nil, err
	}
	if page.To < end && len(page.Entries) == 0 {
		return nil, v.trimmed(after)
	}
	if page.To == end {
		page.AtEnd, page.Seen = true, v.seen
	}
	return page, nil
}

func (v *view) trimmed(after uint64) error {
	return fmt.Errorf("log of bucket %s after sequence %d: %w", v.state.GetPath(), after, ErrTrimmed)
}

// logged finds the record of a log entry, if it is kept and worth sending, and
// returns its size.
func (v *view) logged(item *LogItem) (size int, err error) {
	e := item.Entry
	if e.GetKind() == pb.RecordKind_RECORD_BUCKET {
		item.Record, size, err = v.loggedField(e)
		return size, err
	}
	var m keyMeta
	var head *pb.Record
	exists, err := read(v.rows, headKey(nil, v.number, e.GetKey()), func(value []byte) (err error) {
		m, head, err = decodeHead(value)
		size = len(value)
		return err
	})
	switch {
	case err != nil || !exists:
		return 0, err
	case head != nil && sameDot(head, e.GetDot()):
		item.Record, err = travelling(v.rows, v.number, m, head)
		return size, err
	case e.GetTarget() != nil && e.GetKind() == pb.RecordKind_RECORD_ATTRIBUTE:
		all, err := readAttributes(v.rows, v.number, e.GetKey(), m, e.GetTarget())
		item.Record = named(all, e.GetDot())
		return proto.Size(item.Record), err
	case e.GetTarget() != nil:
		reg, err := readRegister(v.rows, v.number, e.GetKey(), m, e.GetTarget())
		if err != nil {
			return 0, err
		}
		if reg != nil && sameDot(reg, e.GetDot()) {
			item.Record = reg
			return proto.Size(reg), nil
		}
	}
	for _, row := range [...]byte{rowOwn, rowVersion} {
		if row == rowOwn && m.own == 0 || row == rowVersion && m.older == 0 {
			continue
		}
		rec := new(pb.Record)
		found, err := read(v.rows, orderedKey(nil, row, v.number, e.GetKey(), e.GetGeneration(), e.GetTime(), e.GetDot()), func(value []byte) error {
			size = len(value)
			return proto.Unmarshal(value, rec)
		})
		if err != nil {
			return 0, err
		}
		if !found {
			continue
		}
		if row == rowVersion {
			if hidden, err := v.deletedBelow(e.GetKey(), m, head, rec); hidden || err != nil {
				return 0, err
			}
		}
		item.Record, err = travelling(v.rows, v.number, m, rec)
		return size, err
	}
	if m.contended == 0 || e.GetKind() != pb.RecordKind_RECORD_VERSION {
		return 0, nil
	}
	rec, err := readAside(v.rows, v.number, e.GetKey(), e.GetDot())
	if err != nil || rec == nil {
		return 0, err
	}
	if hidden, err := v.deletedBelow(e.GetKey(), m, head, rec); hidden || err != nil {
		return 0, err
	}
	item.Record = rec
	return proto.Size(rec), nil
}

// travelling is a version as it goes to another site: one whose purge was revoked
// takes the revocation and its attributes along. Those are news on their own too,
// but where the purge was carried out they count only together, in whatever order
// they are looked at.
func travelling(rows pebble.Reader, number uint64, m keyMeta, r *pb.Record) (*pb.Record, error) {
	if m.registers == 0 || !HasID(r) {
		return r, nil
	}
	reg, err := readRegister(rows, number, r.GetKey(), m, r.GetDot())
	if err != nil || !reg.GetRevoked() {
		return r, err
	}
	r.Known, err = readAttributes(rows, number, r.GetKey(), m, r.GetDot())
	r.Known = append(r.Known, reg)
	return r, err
}

// deletedBelow reports whether a record of a null version lies below the deletion
// of that, and so is history that is not sent.
func (v *view) deletedBelow(key []byte, m keyMeta, head, rec *pb.Record) (bool, error) {
	if head != nil && nullLane(head) {
		return !Live(head), nil
	}
	nulls, err := readNulls(v.rows, v.number, key, m, head)
	return err == nil && !Live(nulls[0]) && !sameDot(rec, nulls[0].GetDot()), err
}

// loggedField finds the setting of a log entry, if it still is one.
func (v *view) loggedField(e *pb.LogEntry) (*pb.Record, int, error) {
	fields, err := readFields(v.rows, v.number)
	rec := named(fields, e.GetDot())
	return rec, proto.Size(rec), err
}

// named finds a record by its name; nil if it is not there.
func named(records []*pb.Record, d *pb.Dot) *pb.Record {
	for _, r := range records {
		if sameDot(r, d) {
			return r
		}
	}
	return nil
}
