package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// marshal is used for all values. Deterministic, so that nodes of one release
// hold the same bytes; nothing relies on it.
var marshal = proto.MarshalOptions{Deterministic: true}

// read calls fn with the value of a row, which is valid during the call only. It
// reports whether the row exists.
func read(r pebble.Reader, key []byte, fn func(value []byte) error) (bool, error) {
	value, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read row %q: %w", key, err)
	}
	if err := errors.Join(fn(value), closer.Close()); err != nil {
		return false, fmt.Errorf("read row %q: %w", key, err)
	}
	return true, nil
}

// readMessage reads a row that holds a message.
func readMessage(r pebble.Reader, key []byte, m proto.Message) (bool, error) {
	return read(r, key, func(value []byte) error { return proto.Unmarshal(value, m) })
}

// scan calls fn with each row from lower (inclusive) to upper (exclusive; nil for
// no bound), until fn returns false. Key and value are valid during the call only.
func scan(r pebble.Reader, lower, upper []byte, fn func(key, value []byte) (bool, error)) error {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("scan rows from %q: %w", lower, err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		var value []byte
		if value, err = it.ValueAndErr(); err != nil {
			break
		}
		var more bool
		if more, err = fn(it.Key(), value); err != nil || !more {
			break
		}
	}
	if err := errors.Join(err, it.Error(), it.Close()); err != nil {
		return fmt.Errorf("scan rows from %q: %w", lower, err)
	}
	return nil
}

// keyMeta is what a key's row says beside its head.
type keyMeta struct {
	older      int    // rows of its null version, besides the head
	own        int    // rows of versions with an id of their own, besides the head
	registers  int    // rows of registers
	attributes int    // rows of attributes
	contended  int    // rows of conflicts
	floor      uint64 // generation that the next write must be above, whatever the head's
}

// metaExtended, added to the number of older versions, says that the rest of the
// meta follows; it does not for a key that never had another version than null.
const metaExtended = 1 << 32

// metaContended, added as well, says that the number of conflicts is part of it.
const metaContended = 1 << 33

// appendHead encodes a key's row: what other rows the key has, and the head, which
// is nothing when all of its versions are gone or still to come.
func appendHead(dst []byte, m keyMeta, head *pb.Record) ([]byte, error) {
	if m == (keyMeta{older: m.older}) && head != nil {
		dst = binary.AppendUvarint(dst, uint64(m.older))
		return marshal.MarshalAppend(dst, head)
	}
	first := uint64(m.older) | metaExtended
	if m.contended > 0 {
		first |= metaContended
	}
	dst = binary.AppendUvarint(dst, first)
	for _, n := range [...]uint64{uint64(m.own), uint64(m.registers), uint64(m.attributes), m.floor} {
		dst = binary.AppendUvarint(dst, n)
	}
	if m.contended > 0 {
		dst = binary.AppendUvarint(dst, uint64(m.contended))
	}
	if head == nil {
		return dst, nil
	}
	return marshal.MarshalAppend(dst, head)
}

var errMeta = errors.New("decode head: its counts are damaged")

// decodeMeta reads what precedes the head in a key's row.
func decodeMeta(value []byte) (m keyMeta, head []byte, err error) {
	n, used := binary.Uvarint(value)
	if used <= 0 || n >= 2*metaContended || n&(metaExtended-1) > 1<<31 || n&metaContended != 0 && n&metaExtended == 0 {
		return m, nil, errMeta
	}
	value = value[used:]
	m.older = int(n & (metaExtended - 1))
	if n < metaExtended {
		return m, value, nil
	}
	more := make([]uint64, 4, 5)
	if n&metaContended != 0 {
		more = more[:5]
	}
	for i := range more {
		if more[i], used = binary.Uvarint(value); used <= 0 || i != 3 && more[i] > 1<<31 {
			return m, nil, errMeta
		}
		value = value[used:]
	}
	m.own, m.registers, m.attributes, m.floor = int(more[0]), int(more[1]), int(more[2]), more[3]
	if len(more) > 4 {
		m.contended = int(more[4])
	}
	return m, value, nil
}

// decodeHead undoes appendHead; the head is nil when the key has none.
func decodeHead(value []byte) (m keyMeta, head *pb.Record, err error) {
	m, value, err = decodeMeta(value)
	if err != nil || len(value) == 0 {
		return m, nil, err
	}
	head = new(pb.Record)
	if err := proto.Unmarshal(value, head); err != nil {
		return m, nil, fmt.Errorf("decode head: %w", err)
	}
	return m, head, nil
}

// readHead returns the head of a key, nil if it has none, and what other rows it
// has. exists says that it has a row.
func readHead(r pebble.Reader, number uint64, key []byte) (m keyMeta, head *pb.Record, exists bool, err error) {
	exists, err = read(r, headKey(nil, number, key), func(value []byte) (err error) {
		m, head, err = decodeHead(value)
		return err
	})
	return m, head, exists, err
}

// readNulls returns the records of a key's null version, greatest first.
func readNulls(r pebble.Reader, number uint64, key []byte, m keyMeta, head *pb.Record) ([]*pb.Record, error) {
	var records []*pb.Record
	if head != nil && nullLane(head) {
		records = append(make([]*pb.Record, 0, 1+min(m.older, 1024)), head)
	}
	if m.older == 0 {
		return records, nil
	}
	want := len(records) + m.older
	prefix := ofKey(nil, rowVersion, number, key)
	err := scan(r, prefix, successor(prefix), func(_, value []byte) (bool, error) {
		rec := new(pb.Record)
		records = append(records, rec)
		return true, proto.Unmarshal(value, rec)
	})
	if err == nil && len(records) != want {
		err = fmt.Errorf("read key %q: %d records of its null version, but its row says %d", key, len(records), want)
	}
	return records, err
}

// scanOwn calls fn with the versions of a key that have an id of their own and are
// not its head, greatest first, until fn returns false. All of them are below the
// head; where that is, rows may lie before it that are deleted but still take time
// to pass over, because versions are mostly purged from the latest on.
func scanOwn(r pebble.Reader, number uint64, key []byte, m keyMeta, head *pb.Record, fn func(*pb.Record) (bool, error)) error {
	if m.own == 0 || head == nil {
		return nil
	}
	lower := orderedKey(nil, rowOwn, number, key, head.GetGeneration(), head.GetTime(), head.GetDot())
	return scan(r, lower, successor(ofKey(nil, rowOwn, number, key)), func(_, value []byte) (bool, error) {
		rec := new(pb.Record)
		if err := proto.Unmarshal(value, rec); err != nil {
			return false, err
		}
		return fn(rec)
	})
}

// readKey returns all versions, delete markers and records of the null version of
// a key, greatest first.
func readKey(r pebble.Reader, number uint64, key []byte) ([]*pb.Record, error) {
	m, head, _, err := readHead(r, number, key)
	if err != nil {
		return nil, err
	}
	records, err := readNulls(r, number, key, m, head)
	if err != nil {
		return nil, err
	}
	if head != nil && !nullLane(head) {
		records = append(records, head)
	}
	err = scanOwn(r, number, key, m, head, func(rec *pb.Record) (bool, error) {
		records = append(records, rec)
		return true, nil
	})
	slices.SortFunc(records, func(a, b *pb.Record) int { return Compare(b, a) })
	return records, err
}

// readRegister returns what became of a version with an id of its own, nil if
// nothing did.
func readRegister(r pebble.Reader, number uint64, key []byte, m keyMeta, target *pb.Dot) (*pb.Record, error) {
	if m.registers == 0 {
		return nil, nil
	}
	rec := new(pb.Record)
	found, err := readMessage(r, targetKey(nil, rowRegister, number, key, target), rec)
	if err != nil || !found {
		return nil, err
	}
	return rec, nil
}

// readAttributes returns the attributes of a version, ordered by field.
func readAttributes(r pebble.Reader, number uint64, key []byte, m keyMeta, target *pb.Dot) ([]*pb.Record, error) {
	if m.attributes == 0 {
		return nil, nil
	}
	var a pb.Attributes
	_, err := readMessage(r, targetKey(nil, rowAttributes, number, key, target), &a)
	return a.GetRecords(), err
}

// readField returns a setting of a bucket, nil if there is none.
func readField(r pebble.Reader, number uint64, field string) (*pb.Record, error) {
	rec := new(pb.Record)
	found, err := readMessage(r, fieldKey(nil, number, field), rec)
	if err != nil || !found {
		return nil, err
	}
	return rec, nil
}

// readFields returns the settings of a bucket, ordered by field.
func readFields(r pebble.Reader, number uint64) (fields []*pb.Record, err error) {
	lower, upper := bounds(rowField, number)
	err = scan(r, lower, upper, func(_, value []byte) (bool, error) {
		rec := new(pb.Record)
		fields = append(fields, rec)
		return true, proto.Unmarshal(value, rec)
	})
	return fields, err
}
