package chunks

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"github.com/zeebo/blake3"
)

// IDSize is the length of an ID in bytes.
const IDSize = 32

// MaxRaw is the largest raw length of a chunk in bytes. It is a constant of
// the wire protocol: the splitter's maximum, and the bound of a manifest node.
const MaxRaw = 256 << 10

// ID names a chunk: the BLAKE3-256 of its raw bytes.
type ID [IDSize]byte

// Sum returns the ID of raw bytes.
func Sum(raw []byte) ID { return blake3.Sum256(raw) }

// String returns the ID in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether id is the zero ID, which names no chunk.
func (id ID) IsZero() bool { return id == ID{} }

// Compare orders IDs by their bytes.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:], other[:]) }

// IDFromBytes copies an ID out of a byte slice of exactly IDSize bytes.
func IDFromBytes(b []byte) (ID, error) {
	if len(b) != IDSize {
		return ID{}, fmt.Errorf("read chunk ID: want %d bytes, have %d", IDSize, len(b))
	}
	return ID(b), nil
}

// Encoding says how the Data of a Chunk holds its raw bytes. The values are
// part of the on-disk and wire formats.
type Encoding uint8

const (
	// Raw data are the raw bytes themselves.
	Raw Encoding = 0
	// Zstd data are one zstd frame without a checksum.
	Zstd Encoding = 1
)

// Valid reports whether e is an encoding this version knows.
func (e Encoding) Valid() bool { return e <= Zstd }

// Chunk is a chunk in the form in which it is stored and travels.
type Chunk struct {
	// ID is the BLAKE3-256 of the raw bytes. A Chunk that came from outside
	// only claims it until Codec.Decode has checked it.
	ID ID
	// Encoding says how Data holds the raw bytes.
	Encoding Encoding
	// RawLen is the length of the raw bytes, 1 to MaxRaw.
	RawLen uint32
	// Data are the encoded bytes, never more than RawLen of them.
	Data []byte
}
