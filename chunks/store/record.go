package store

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"edgefog.dev/isgw/chunks"
)

// The layouts below are frozen: docs/format-chunks.md describes them, and the
// golden vectors of the tests hold them. Numbers are little-endian.
const (
	segmentMagic      = "isgwseg\x01"
	segmentHeaderSize = 16

	recordMagic      = "ICK\x01"
	recordHeaderSize = 52
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendSegmentHeader appends what a segment begins with: the magic, its number
// and the CRC32C of both.
func appendSegmentHeader(b []byte, no uint32) []byte {
	start := len(b)
	b = append(b, segmentMagic...)
	b = binary.LittleEndian.AppendUint32(b, no)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// validSegmentHeader reports whether b begins with the header of segment no.
func validSegmentHeader(b []byte, no uint32) bool {
	var want [segmentHeaderSize]byte
	return bytes.HasPrefix(b, appendSegmentHeader(want[:0], no))
}

// record is what the header of a chunk in a segment says.
type record struct {
	id        chunks.ID
	encoding  chunks.Encoding
	rawLen    uint32
	storedLen uint32
	check     uint32 // of the stored bytes, or 0 when it is not known
}

// checkOf is what a record says of its stored bytes: 24 bits of their CRC32C,
// and never 0. It is for whoever passes the bytes on to a place that compares
// them with the ID, which costs thirty times as much.
func checkOf(stored []byte) uint32 {
	const bits = 1<<24 - 1
	if check := crc32.Checksum(stored, castagnoli) & bits; check != 0 {
		return check
	}
	return bits
}

// appendRecordHeader appends a record's header, which the stored bytes follow.
//
//	 0  magic         4 bytes
//	 4  encoding      1 byte
//	 5  check         3 bytes; zero in records of the first versions
//	 8  raw length    4 bytes
//	12  stored length 4 bytes
//	16  ID           32 bytes
//	48  CRC32C        4 bytes, of the 48 before it
func appendRecordHeader(b []byte, c *chunks.Chunk) []byte {
	start := len(b)
	b = append(b, recordMagic...)
	check := checkOf(c.Data)
	b = append(b, byte(c.Encoding), byte(check), byte(check>>8), byte(check>>16))
	b = binary.LittleEndian.AppendUint32(b, c.RawLen)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.Data)))
	b = append(b, c.ID[:]...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseRecordHeader reads a header. It reports false unless every field can be
// that of a record; whether the bytes after it are the chunk is for the caller
// to verify.
func parseRecordHeader(b []byte) (record, bool) {
	if len(b) < recordHeaderSize || string(b[:len(recordMagic)]) != recordMagic ||
		binary.LittleEndian.Uint32(b[48:]) != crc32.Checksum(b[:48], castagnoli) {
		return record{}, false
	}
	r := record{
		id:        chunks.ID(b[16:48]),
		encoding:  chunks.Encoding(b[4]),
		rawLen:    binary.LittleEndian.Uint32(b[8:]),
		storedLen: binary.LittleEndian.Uint32(b[12:]),
		check:     uint32(b[5]) | uint32(b[6])<<8 | uint32(b[7])<<16,
	}
	ok := r.encoding.Valid() && !r.id.IsZero() &&
		r.rawLen > 0 && r.rawLen <= chunks.MaxRaw && r.storedLen > 0 && r.storedLen <= r.rawLen
	return r, ok
}

// location is where a chunk lies, in 16 bytes of the index.
type location struct {
	segment   uint32
	offset    uint32 // of the stored bytes, after the header
	storedLen uint32
	rawLen    uint32
	encoding  chunks.Encoding
	// damaged says that the bytes were found not to be the chunk.
	damaged bool
}

const (
	locationSize = 16
	rawLenBits   = 20 // MaxRaw is 2^18
	encodingBits = 8
	damagedBit   = 1 << 31
)

// appendTo appends the location: segment, offset and stored length in 4 bytes
// each, and 4 bytes of raw length (20 bits), encoding (8 bits), three zero bits
// and the mark of damage.
func (l location) appendTo(b []byte) []byte {
	last := l.rawLen | uint32(l.encoding)<<rawLenBits
	if l.damaged {
		last |= damagedBit
	}
	b = binary.LittleEndian.AppendUint32(b, l.segment)
	b = binary.LittleEndian.AppendUint32(b, l.offset)
	b = binary.LittleEndian.AppendUint32(b, l.storedLen)
	return binary.LittleEndian.AppendUint32(b, last)
}

// parseLocation reads what appendTo makes and reports false for anything that
// cannot be a chunk's place, so that no length from a damaged index is trusted.
func parseLocation(b []byte) (location, bool) {
	if len(b) != locationSize {
		return location{}, false
	}
	last := binary.LittleEndian.Uint32(b[12:])
	l := location{
		segment:   binary.LittleEndian.Uint32(b),
		offset:    binary.LittleEndian.Uint32(b[4:]),
		storedLen: binary.LittleEndian.Uint32(b[8:]),
		rawLen:    last & (1<<rawLenBits - 1),
		encoding:  chunks.Encoding(last >> rawLenBits),
		damaged:   last&damagedBit != 0,
	}
	ok := l.encoding.Valid() && last&^damagedBit>>(rawLenBits+encodingBits) == 0 &&
		l.rawLen > 0 && l.rawLen <= chunks.MaxRaw && l.storedLen > 0 && l.storedLen <= l.rawLen
	return l, ok
}
