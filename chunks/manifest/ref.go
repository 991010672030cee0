package manifest

import (
	"encoding/binary"
	"fmt"
	"math"

	"edgefog.dev/isgw/chunks"
)

// MaxLevel is the highest level of a node. A tree of 64 entries a node, the
// fewest, reaches it with 2^48 chunks.
const MaxLevel = 8

// MaxSize is the greatest size of an object in bytes: sizes fit an int64.
const MaxSize = math.MaxInt64

// Ref names the content of one version: the root of its tree. The zero Ref is
// the empty content. Refs are values and compare with ==.
type Ref struct {
	// Level is 0 when the content is one chunk, and otherwise the level of
	// the manifest node that ID names, 1 to MaxLevel.
	Level uint8
	// ID names the chunk or the node, which is a chunk too.
	ID chunks.ID
	// Size is the length of the content in bytes.
	Size uint64
}

// IsEmpty reports whether r is the content of no bytes.
func (r Ref) IsEmpty() bool { return r == Ref{} }

// IsNode reports whether r's ID names a manifest node, not a piece of content.
func (r Ref) IsNode() bool { return r.Level > 0 }

// String returns the level, the ID and the size, for logs and screens.
func (r Ref) String() string { return fmt.Sprintf("%d:%s:%d", r.Level, r.ID, r.Size) }

// Validate reports whether a tree can have r for its root, as far as r alone
// can tell. The error wraps chunks.ErrCorrupt.
func (r Ref) Validate() error {
	if r.IsEmpty() {
		return nil
	}
	if err := checkEntry(r.Level, r.ID, r.Size); err != nil {
		return fmt.Errorf("check manifest reference %s: %w", r, err)
	}
	return nil
}

// checkEntry checks what a reference to an object of a level can say. A node
// holds at least one byte an entry, and a level bounds what lies below it.
func checkEntry(level uint8, id chunks.ID, size uint64) error {
	switch {
	case level > MaxLevel:
		return fmt.Errorf("level %d exceeds %d: %w", level, MaxLevel, chunks.ErrCorrupt)
	case id.IsZero():
		return fmt.Errorf("the ID is zero: %w", chunks.ErrCorrupt)
	case size == 0:
		return fmt.Errorf("the size is zero: %w", chunks.ErrCorrupt)
	case size > maxSizeAt(level):
		return fmt.Errorf("size %d exceeds the %d bytes of level %d: %w", size, maxSizeAt(level), level, chunks.ErrCorrupt)
	}
	return nil
}

// maxSizeAt returns the greatest size that an object of a level can have.
func maxSizeAt(level uint8) uint64 {
	size := uint64(chunks.MaxRaw)
	for range level {
		if size > MaxSize/MaxEntries {
			return MaxSize
		}
		size *= MaxEntries
	}
	return size
}

// maxRefLen is the length of the longest encoded Ref.
const maxRefLen = 1 + chunks.IDSize + binary.MaxVarintLen64

// Append appends r's canonical encoding to b: the level in one byte, the ID,
// the size as an unsigned varint.
func (r Ref) Append(b []byte) []byte {
	b = append(b, r.Level)
	b = append(b, r.ID[:]...)
	return binary.AppendUvarint(b, r.Size)
}

// DecodeRef reads the encoding that Append makes, and nothing else: b holds one
// Ref that Validate accepts. The error wraps chunks.ErrCorrupt.
func DecodeRef(b []byte) (Ref, error) {
	if len(b) < 1+chunks.IDSize+1 || len(b) > maxRefLen {
		return Ref{}, fmt.Errorf("decode manifest reference of %d bytes: %w", len(b), chunks.ErrCorrupt)
	}
	r := Ref{Level: b[0], ID: chunks.ID(b[1:])}
	size, n := uvarint(b[1+chunks.IDSize:])
	if n != len(b)-1-chunks.IDSize {
		return Ref{}, fmt.Errorf("decode manifest reference: size is malformed: %w", chunks.ErrCorrupt)
	}
	r.Size = size
	if err := r.Validate(); err != nil {
		return Ref{}, err
	}
	return r, nil
}

// uvarint reads an unsigned varint of the shortest form. It returns 0 bytes
// when b does not begin with one.
func uvarint(b []byte) (v uint64, n int) {
	v, n = binary.Uvarint(b)
	if n <= 0 || n > 1 && b[n-1] == 0 {
		return 0, 0
	}
	return v, n
}
