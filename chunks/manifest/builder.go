package manifest

import (
	"errors"
	"fmt"

	"edgefog.dev/isgw/chunks"
)

// Emit takes a node that a Builder has completed: the raw bytes of a chunk and
// their ID. The bytes are valid until Emit returns. A node is emitted after its
// children.
type Emit func(id chunks.ID, raw []byte) error

// ErrTooLarge says that a content exceeds MaxSize or MaxLevel.
var ErrTooLarge = errors.New("content is too large for a manifest")

// Builder makes the tree of one content from its chunks. Its memory is one node
// for each level, at most 42 KiB each; in steady state it does not allocate. It
// must not be used by two goroutines at once.
type Builder struct {
	emit   Emit
	levels [MaxLevel + 1]level // levels[l] gathers the node of level l; 0 is unused
	size   uint64
	err    error
}

// level is the node of one level that is not complete yet.
type level struct {
	raw    []byte // encoded entries, after room for the header
	count  int
	size   uint64
	last   Entry
	closed bool // an earlier node of this level was completed
}

// NewBuilder returns a builder that hands complete nodes to emit.
func NewBuilder(emit Emit) *Builder { return &Builder{emit: emit} }

// Reset drops what was added and makes the builder ready for another content.
func (b *Builder) Reset() {
	for l := range b.levels {
		lv := &b.levels[l]
		*lv = level{raw: lv.raw[:0]}
	}
	b.size, b.err = 0, nil
}

// Add appends a chunk of the content, of size raw bytes (1 to chunks.MaxRaw). A
// chunk outside these bounds, or with the zero ID, is refused. An error of Emit
// is returned (wrapped). After an error every call returns it until Reset.
func (b *Builder) Add(id chunks.ID, size int) error {
	if b.err != nil {
		return b.err
	}
	if size <= 0 || size > chunks.MaxRaw || id.IsZero() {
		b.err = fmt.Errorf("add chunk %s to manifest: size %d is not within 1 to %d, or the ID is zero", id, size, chunks.MaxRaw)
		return b.err
	}
	if b.size > MaxSize-uint64(size) {
		b.err = fmt.Errorf("add chunk %s to manifest: %w", id, ErrTooLarge)
		return b.err
	}
	b.size += uint64(size)
	b.err = b.add(1, Entry{ID: id, Size: uint64(size)})
	return b.err
}

// Finish completes the tree and returns its root. Without a chunk that is the
// empty Ref. The builder is then of no use until Reset.
func (b *Builder) Finish() (Ref, error) {
	if b.err != nil {
		return Ref{}, b.err
	}
	ref, err := b.finish()
	b.err = err
	if err == nil {
		b.err = errors.New("add chunk to manifest: it is finished")
	}
	return ref, err
}

func (b *Builder) finish() (Ref, error) {
	for l := 1; l < len(b.levels); l++ {
		lv := &b.levels[l]
		if lv.count == 0 {
			if !lv.closed {
				return Ref{}, nil // only at level 1: nothing was added
			}
			continue
		}
		if lv.count == 1 && !lv.closed {
			// All that lies below is one entry: it is the root.
			return Ref{Level: uint8(l - 1), ID: lv.last.ID, Size: lv.last.Size}, nil
		}
		if l == MaxLevel && !lv.closed {
			e, err := b.close(l)
			return Ref{Level: MaxLevel, ID: e.ID, Size: e.Size}, err
		}
		e, err := b.close(l)
		if err != nil {
			return Ref{}, err
		}
		if err := b.add(l+1, e); err != nil {
			return Ref{}, err
		}
	}
	return Ref{}, fmt.Errorf("finish manifest: %w", ErrTooLarge)
}

// add appends an entry to the node of level l, and completes the node when the
// entry ends it.
func (b *Builder) add(l int, e Entry) error {
	if l > MaxLevel {
		return fmt.Errorf("add to manifest: %w", ErrTooLarge)
	}
	lv := &b.levels[l]
	if lv.count == 0 {
		lv.raw = append(lv.raw[:0], make([]byte, headerSize)...)
	}
	lv.raw = appendEntry(lv.raw, &e.ID, e.Size)
	lv.count++
	lv.size += e.Size
	lv.last = e
	if !ends(&e.ID, lv.count) {
		return nil
	}
	parent, err := b.close(l)
	if err != nil {
		return err
	}
	return b.add(l+1, parent)
}

// close emits the node of level l and returns the entry that names it.
func (b *Builder) close(l int) (Entry, error) {
	lv := &b.levels[l]
	appendHeader(lv.raw[:0], uint8(l), lv.count)
	e := Entry{ID: chunks.Sum(lv.raw), Size: lv.size}
	if err := b.emit(e.ID, lv.raw); err != nil {
		return Entry{}, fmt.Errorf("emit manifest node %s: %w", e.ID, err)
	}
	*lv = level{raw: lv.raw[:0], closed: true}
	return e, nil
}
