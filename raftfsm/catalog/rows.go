package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"

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

// appendHead encodes a head's row: the number of older versions, which are rows
// of their own, and the head.
func appendHead(dst []byte, older int, head *pb.Record) ([]byte, error) {
	return marshal.MarshalAppend(binary.AppendUvarint(dst, uint64(older)), head)
}

// decodeHead undoes appendHead.
func decodeHead(value []byte) (older int, head *pb.Record, err error) {
	n, used := binary.Uvarint(value)
	if used <= 0 || n > 1<<31 {
		return 0, nil, errors.New("decode head: its count is damaged")
	}
	head = new(pb.Record)
	if err := proto.Unmarshal(value[used:], head); err != nil {
		return 0, nil, fmt.Errorf("decode head: %w", err)
	}
	return int(n), head, nil
}

// readHead returns the head of a key and the number of older versions; a nil
// head when no record of the key is kept.
func readHead(r pebble.Reader, number uint64, key []byte) (older int, head *pb.Record, err error) {
	_, err = read(r, headKey(nil, number, key), func(value []byte) (err error) {
		older, head, err = decodeHead(value)
		return err
	})
	return older, head, err
}

// readKey returns all records of a key, greatest first.
func readKey(r pebble.Reader, number uint64, key []byte) ([]*pb.Record, error) {
	older, head, err := readHead(r, number, key)
	if err != nil || head == nil {
		return nil, err
	}
	records := make([]*pb.Record, 1, 1+min(older, 1024))
	records[0] = head
	if older == 0 {
		return records, nil
	}
	prefix := versionPrefix(nil, number, key)
	err = scan(r, prefix, successor(prefix), func(_, value []byte) (bool, error) {
		rec := new(pb.Record)
		records = append(records, rec)
		return true, proto.Unmarshal(value, rec)
	})
	if err == nil && len(records) != 1+older {
		err = fmt.Errorf("read key %q: %d older versions, but its head says %d", key, len(records)-1, older)
	}
	return records, err
}

// readDot returns the key that a kept record belongs to, and the record's last
// sequence in the log; a nil key when the record is not kept.
func readDot(r pebble.Reader, number uint64, d *pb.Dot) (seq uint64, key []byte, err error) {
	_, err = read(r, dotKey(nil, number, d), func(value []byte) error {
		if len(value) <= 8 {
			return fmt.Errorf("decode dot: %d bytes are too few", len(value))
		}
		seq, key = binary.BigEndian.Uint64(value), append([]byte(nil), value[8:]...)
		return nil
	})
	return seq, key, err
}
