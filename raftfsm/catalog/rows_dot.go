package catalog

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// dotRow is the row that a kept record's name leads to.
type dotRow struct {
	seq uint64 // the record's last in the log
	row byte   // where the record lies: a kind of row
	key []byte
	// The row of a version with an id is found by these, if it is not the head.
	generation uint64
	time       int64
	// The row of a register or of attributes is found by this.
	target dotID
}

// dotExtended, in the first byte of a dot's row, says that the kind of row and what
// it is found by follow the sequence. Without it the record is of a null version.
const dotExtended = 0x80

// appendDotRow encodes the row of a record's name.
func appendDotRow(dst []byte, seq uint64, r *pb.Record) []byte {
	at := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, seq)
	row := rowOf(r)
	if row == rowVersion {
		return append(dst, r.GetKey()...)
	}
	dst[at] |= dotExtended
	dst = append(dst, row)
	switch row {
	case rowOwn:
		dst = binary.BigEndian.AppendUint64(dst, r.GetGeneration())
		dst = binary.BigEndian.AppendUint64(dst, uint64(r.GetTime()))
	case rowRegister, rowAttributes:
		dst = appendDot(dst, r.GetTarget())
	}
	return append(dst, r.GetKey()...)
}

// rowOf is the kind of row in which a record lies, unless it is a head.
func rowOf(r *pb.Record) byte {
	switch {
	case nullLane(r):
		return rowVersion
	case register(r):
		return rowRegister
	case r.GetKind() == pb.RecordKind_RECORD_ATTRIBUTE:
		return rowAttributes
	case r.GetKind() == pb.RecordKind_RECORD_BUCKET:
		return rowField
	}
	return rowOwn
}

var errDotRow = errors.New("decode dot: its row is damaged")

// decodeDotRow undoes appendDotRow.
func decodeDotRow(value []byte) (d dotRow, err error) {
	if len(value) <= 8 {
		return d, errDotRow
	}
	d.seq, d.row = binary.BigEndian.Uint64(value)&^(dotExtended<<56), rowVersion
	extended := value[0]&dotExtended != 0
	value = value[8:]
	if extended {
		d.row, value = value[0], value[1:]
		switch d.row {
		case rowOwn:
			if len(value) < 16 {
				return d, errDotRow
			}
			d.generation, d.time = binary.BigEndian.Uint64(value), int64(binary.BigEndian.Uint64(value[8:]))
			value = value[16:]
		case rowRegister, rowAttributes:
			if len(value) < dotLen {
				return d, errDotRow
			}
			if d.target, err = parseDot(value[:dotLen]); err != nil {
				return d, err
			}
			value = value[dotLen:]
		case rowField, rowConflict:
		default:
			return d, errDotRow
		}
	}
	d.key = bytes.Clone(value)
	return d, nil
}

// readDot returns the row of a record's name; kept is false when the record is not
// kept.
func readDot(r pebble.Reader, number uint64, d *pb.Dot) (row dotRow, kept bool, err error) {
	kept, err = read(r, dotKey(nil, number, d), func(value []byte) error {
		row, err = decodeDotRow(value)
		return err
	})
	return row, kept, err
}

// readRecord returns the record that a name leads to, nil if it is not there.
func readRecord(r pebble.Reader, number uint64, d *pb.Dot, at dotRow) (*pb.Record, error) {
	of := func(records []*pb.Record, err error) (*pb.Record, error) {
		for _, rec := range records {
			if rec != nil && sameDot(rec, d) {
				return rec, nil
			}
		}
		return nil, err
	}
	if at.row == rowField {
		return of(readFields(r, number))
	}
	m, head, _, err := readHead(r, number, at.key)
	if err != nil || head != nil && sameDot(head, d) {
		return head, err
	}
	switch at.row {
	case rowVersion:
		return of(readNulls(r, number, at.key, m, head))
	case rowRegister:
		rec, err := readRegister(r, number, at.key, m, at.target.dot())
		return of([]*pb.Record{rec}, err)
	case rowAttributes:
		return of(readAttributes(r, number, at.key, m, at.target.dot()))
	case rowConflict:
		return readAside(r, number, at.key, d)
	}
	rec := new(pb.Record)
	found, err := readMessage(r, orderedKey(nil, rowOwn, number, at.key, at.generation, at.time, d), rec)
	if err != nil || !found {
		return nil, err
	}
	return rec, nil
}
