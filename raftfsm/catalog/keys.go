package catalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// The first byte of a row's key says what the row is. Rows below a bucket go on
// with the bucket's number, 8 bytes big-endian. The rest of each is described in
// docs/format-catalog.md.
const (
	rowBucket      = 'b' // path -> BucketState
	rowHead        = 'r' // number key -> head of the key
	rowVersion     = 'v' // number escaped-key order -> record of the key's null version
	rowOwn         = 'w' // number escaped-key order -> version of the key with an id of its own
	rowRegister    = 'x' // number escaped-key dot -> PURGE of that version
	rowAttributes  = 'a' // number escaped-key dot -> Attributes of that version
	rowField       = 'f' // number field -> BUCKET
	rowDot         = 'd' // number dot -> sequence, key
	rowLog         = 'l' // number sequence -> LogEntry
	rowPending     = 'p' // number peer dot -> Pending
	rowCursor      = 'q' // number peer -> Cursor
	rowProgress    = 'g' // number peer -> PeerProgress
	rowUpload      = 'u' // number id -> Upload
	rowUploadByKey = 'i' // number escaped-key id -> nothing
	rowPart        = 'k' // number id 0 part-number -> Part
	rowConflict    = 'o' // number escaped-key dot -> nothing: that version lost without being known
	rowTree        = 'z' // number 0, 1 key or 2 -> sums of what keys show
)

// prefixLen is the length of the row byte and the bucket's number.
const prefixLen = 1 + 8

// below appends the prefix of a kind of row of one bucket.
func below(dst []byte, row byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, row), number)
}

// bounds returns the first key of a kind of row of one bucket, and the first
// key after them.
func bounds(row byte, number uint64) (lower, upper []byte) {
	lower = below(nil, row, number)
	return lower, successor(lower)
}

// successor is the least key greater than every key that has the prefix; nil if
// there is none.
func successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			out := bytes.Clone(prefix[:i+1])
			out[i]++
			return out
		}
	}
	return nil
}

func bucketKey(path string) []byte { return append([]byte{rowBucket}, path...) }

func headKey(dst []byte, number uint64, key []byte) []byte {
	return append(below(dst, rowHead, number), key...)
}

// ofKey is what the rows of one kind of a key begin with.
func ofKey(dst []byte, row byte, number uint64, key []byte) []byte {
	return appendEscaped(below(dst, row, number), key)
}

// versionRow is the kind of row in which a version that is not its key's head lies.
func versionRow(r *pb.Record) byte {
	if nullLane(r) {
		return rowVersion
	}
	return rowOwn
}

// versionKey is the row of a version that is not its key's head.
func versionKey(dst []byte, number uint64, r *pb.Record) []byte {
	return orderedKey(dst, versionRow(r), number, r.GetKey(), r.GetGeneration(), r.GetTime(), r.GetDot())
}

// orderedKey orders the versions of a key from the greatest down, as Compare does.
func orderedKey(dst []byte, row byte, number uint64, key []byte, generation uint64, time int64, d *pb.Dot) []byte {
	dst = ofKey(dst, row, number, key)
	dst = binary.BigEndian.AppendUint64(dst, ^generation)
	dst = binary.BigEndian.AppendUint64(dst, ^(uint64(time) ^ 1<<63))
	for _, c := range d.GetOrigin() {
		dst = append(dst, ^c)
	}
	dst = binary.BigEndian.AppendUint32(dst, ^d.GetEpoch())
	return binary.BigEndian.AppendUint64(dst, ^d.GetSeq())
}

// targetKey is the row of a version's register or attributes.
func targetKey(dst []byte, row byte, number uint64, key []byte, target *pb.Dot) []byte {
	return appendDot(ofKey(dst, row, number, key), target)
}

func fieldKey(dst []byte, number uint64, field string) []byte {
	return append(below(dst, rowField, number), field...)
}

// appendDot names a dot in a row's key.
func appendDot(dst []byte, d *pb.Dot) []byte {
	dst = append(dst, d.GetOrigin()...)
	dst = binary.BigEndian.AppendUint32(dst, d.GetEpoch())
	return binary.BigEndian.AppendUint64(dst, d.GetSeq())
}

func dotKey(dst []byte, number uint64, d *pb.Dot) []byte {
	return appendDot(below(dst, rowDot, number), d)
}

func logKey(dst []byte, number, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(below(dst, rowLog, number), seq)
}

func pendingPrefix(dst []byte, number uint64, peer state.SiteID) []byte {
	return append(below(dst, rowPending, number), peer[:]...)
}

func pendingKey(dst []byte, number uint64, peer state.SiteID, d *pb.Dot) []byte {
	return appendDot(pendingPrefix(dst, number, peer), d)
}

func cursorKey(dst []byte, number uint64, peer state.SiteID) []byte {
	return append(below(dst, rowCursor, number), peer[:]...)
}

func progressKey(dst []byte, number uint64, peer state.SiteID) []byte {
	return append(below(dst, rowProgress, number), peer[:]...)
}

func uploadKey(dst []byte, number uint64, id string) []byte {
	return append(below(dst, rowUpload, number), id...)
}

func uploadByKeyKey(dst []byte, number uint64, key []byte, id string) []byte {
	return append(appendEscaped(below(dst, rowUploadByKey, number), key), id...)
}

// partPrefix is what the rows of all parts of an upload begin with; an id holds
// no zero byte.
func partPrefix(dst []byte, number uint64, id string) []byte {
	return append(append(below(dst, rowPart, number), id...), 0)
}

func partKey(dst []byte, number uint64, id string, part uint32) []byte {
	return binary.BigEndian.AppendUint32(partPrefix(dst, number, id), part)
}

// appendEscaped appends an object key so that what follows it cannot be mistaken
// for a part of it, and so that the order of keys is kept: a zero byte becomes
// 00 FF, and 00 01 ends the key.
func appendEscaped(dst, key []byte) []byte {
	for {
		i := bytes.IndexByte(key, 0)
		if i < 0 {
			break
		}
		dst = append(append(dst, key[:i]...), 0, 0xff)
		key = key[i+1:]
	}
	return append(append(dst, key...), 0, 1)
}

var errEscape = errors.New("escaped key is damaged")

// cutEscaped undoes appendEscaped and returns what follows the key.
func cutEscaped(b []byte) (key, rest []byte, err error) {
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 || i+1 >= len(b) {
			return nil, nil, errEscape
		}
		key = append(key, b[:i]...)
		switch b[i+1] {
		case 1:
			return key, b[i+2:], nil
		case 0xff:
			key = append(key, 0)
			b = b[i+2:]
		default:
			return nil, nil, errEscape
		}
	}
}

// dotID is a dot as a map key.
type dotID struct {
	origin state.SiteID
	epoch  uint32
	seq    uint64
}

// idOf returns the dot as a map key; the dot has passed CheckDot.
func idOf(d *pb.Dot) dotID {
	return dotID{state.SiteID(d.GetOrigin()), d.GetEpoch(), d.GetSeq()}
}

func (d dotID) dot() *pb.Dot {
	return &pb.Dot{Origin: d.origin.Bytes(), Epoch: d.epoch, Seq: d.seq}
}

// siteOf is the site that a dot names as its origin; the dot has passed CheckDot.
func siteOf(d *pb.Dot) state.SiteID { return state.SiteID(d.GetOrigin()) }

// dotLen is the length of a dot in a row's key.
const dotLen = 16 + 4 + 8

func parseDot(b []byte) (dotID, error) {
	if len(b) != dotLen {
		return dotID{}, fmt.Errorf("parse dot: %d bytes, not %d", len(b), dotLen)
	}
	return dotID{state.SiteID(b[:16]), binary.BigEndian.Uint32(b[16:20]), binary.BigEndian.Uint64(b[20:])}, nil
}
