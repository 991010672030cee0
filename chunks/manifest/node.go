package manifest

import (
	"encoding/binary"
	"fmt"
	"math"

	"edgefog.dev/isgw/chunks"
)

// The numbers of entries of a node. On average a node has about 255.
const (
	// MinEntries is the fewest in a node, unless it is the last of its level.
	MinEntries = 64
	// MaxEntries is the most.
	MaxEntries = 1024
)

// endBelow ends a node at one entry in 192, once it has MinEntries of them.
const endBelow = math.MaxUint64 / 192

// A node's encoding begins with the magic, the version, the level and the
// number of entries (little-endian, two bytes).
const (
	magic      = "isgm"
	version    = 1
	headerSize = len(magic) + 4
	// maxNodeSize is the length of the longest encoded node.
	maxNodeSize = headerSize + MaxEntries*(chunks.IDSize+binary.MaxVarintLen64)
)

// A node is a chunk: it must not be longer than one.
const _ = uint(chunks.MaxRaw - maxNodeSize)

// Entry is one child of a node.
type Entry struct {
	// ID names a chunk of content in a node of level 1, and a node of the
	// level below in any other.
	ID chunks.ID
	// Size is the number of the content's bytes below it.
	Size uint64
}

// Place says where in its level a node stands, because that decides which
// lengths the canonical tree allows it.
type Place uint8

const (
	// Root is the one node of the highest level.
	Root Place = iota
	// Last is the last node of a level that has more than one.
	Last
	// Inner is any other node.
	Inner
)

// Node is a decoded manifest node. Its zero value is ready for Decode, which
// keeps its memory for the next. It must not be used by two goroutines at once.
type Node struct {
	// Level is 1 to MaxLevel.
	Level uint8
	// Entries are the children in the order of the content.
	Entries []Entry

	size uint64
}

// Size returns the number of the content's bytes below the node.
func (n *Node) Size() uint64 { return n.size }

// Child returns the i-th child as the root of its own subtree, and its place
// when n's own is place.
func (n *Node) Child(i int, place Place) (Ref, Place) {
	e := &n.Entries[i]
	childPlace := Inner
	if i == len(n.Entries)-1 && place != Inner {
		childPlace = Last
	}
	return Ref{Level: n.Level - 1, ID: e.ID, Size: e.Size}, childPlace
}

// Children appends the children to dst, in the order of the content, and leaves
// out those that repeat the one before them, of which a sparse file has many.
func (n *Node) Children(dst []Ref) []Ref {
	for i := range n.Entries {
		e := &n.Entries[i]
		if i > 0 && e.ID == n.Entries[i-1].ID {
			continue
		}
		dst = append(dst, Ref{Level: n.Level - 1, ID: e.ID, Size: e.Size})
	}
	return dst
}

// ends reports whether a node of count entries ends with the entry id.
func ends(id *chunks.ID, count int) bool {
	return count >= MaxEntries ||
		count >= MinEntries && binary.LittleEndian.Uint64(id[:8]) < endBelow
}

// appendHeader appends a node's header.
func appendHeader(b []byte, level uint8, count int) []byte {
	b = append(b, magic...)
	b = append(b, version, level)
	return binary.LittleEndian.AppendUint16(b, uint16(count))
}

// appendEntry appends an entry's encoding.
func appendEntry(b []byte, id *chunks.ID, size uint64) []byte {
	b = append(b, id[:]...)
	return binary.AppendUvarint(b, size)
}

// Decode reads a node's raw bytes, which are those of the chunk ref.ID: the
// caller has verified that (as chunks.Store.Get does). It accepts exactly what
// a Builder emits for a node of ref's level and size at place, and keeps
// nothing of raw. After an error, which wraps chunks.ErrCorrupt, n holds
// nothing. It allocates nothing when n's memory suffices.
func (n *Node) Decode(ref Ref, place Place, raw []byte) error {
	err := n.decode(raw)
	if err == nil {
		err = n.match(ref, place)
	}
	if err != nil {
		*n = Node{Entries: n.Entries[:0]}
		return fmt.Errorf("decode manifest node %s: %w", ref.ID, err)
	}
	return nil
}

// match checks the node against what its parent, or the record, says of it.
func (n *Node) match(ref Ref, place Place) error {
	count := len(n.Entries)
	switch {
	case n.Level != ref.Level:
		return fmt.Errorf("level %d, want %d: %w", n.Level, ref.Level, chunks.ErrCorrupt)
	case n.size != ref.Size:
		return fmt.Errorf("%d bytes, want %d: %w", n.size, ref.Size, chunks.ErrCorrupt)
	case place == Root && count < 2:
		return fmt.Errorf("a root of one entry is not canonical: %w", chunks.ErrCorrupt)
	case place == Inner && !ends(&n.Entries[count-1].ID, count):
		return fmt.Errorf("an inner node of %d entries ends too early: %w", count, chunks.ErrCorrupt)
	}
	return nil
}

// decode reads what the bytes alone can tell.
func (n *Node) decode(raw []byte) error {
	n.size, n.Entries = 0, n.Entries[:0]
	if len(raw) < headerSize || string(raw[:len(magic)]) != magic {
		return fmt.Errorf("no manifest node: %w", chunks.ErrCorrupt)
	}
	if v := raw[len(magic)]; v != version {
		return fmt.Errorf("unknown version %d: %w", v, chunks.ErrCorrupt)
	}
	n.Level = raw[len(magic)+1]
	if n.Level == 0 || n.Level > MaxLevel {
		return fmt.Errorf("level %d is not within 1 to %d: %w", n.Level, MaxLevel, chunks.ErrCorrupt)
	}
	count := int(binary.LittleEndian.Uint16(raw[len(magic)+2:]))
	if count == 0 || count > MaxEntries {
		return fmt.Errorf("%d entries are not within 1 to %d: %w", count, MaxEntries, chunks.ErrCorrupt)
	}
	rest := raw[headerSize:]
	// Checked before memory is taken: an entry has at least one byte of size.
	if len(rest) < count*(chunks.IDSize+1) {
		return fmt.Errorf("%d bytes cannot hold %d entries: %w", len(rest), count, chunks.ErrCorrupt)
	}
	if cap(n.Entries) < count {
		n.Entries = make([]Entry, 0, count)
	}
	for i := range count {
		if len(rest) < chunks.IDSize+1 {
			return fmt.Errorf("entry %d of %d is cut short: %w", i, count, chunks.ErrCorrupt)
		}
		e := Entry{ID: chunks.ID(rest)}
		size, used := uvarint(rest[chunks.IDSize:])
		if used == 0 {
			return fmt.Errorf("size of entry %d is malformed: %w", i, chunks.ErrCorrupt)
		}
		e.Size = size
		if err := checkEntry(n.Level-1, e.ID, e.Size); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		if n.size > MaxSize-e.Size {
			return fmt.Errorf("sizes exceed %d: %w", int64(MaxSize), chunks.ErrCorrupt)
		}
		if i < count-1 && ends(&e.ID, i+1) {
			return fmt.Errorf("the node should end at entry %d of %d: %w", i, count, chunks.ErrCorrupt)
		}
		n.size += e.Size
		n.Entries = append(n.Entries, e)
		rest = rest[chunks.IDSize+used:]
	}
	if len(rest) != 0 {
		return fmt.Errorf("%d bytes follow the last entry: %w", len(rest), chunks.ErrCorrupt)
	}
	return nil
}
