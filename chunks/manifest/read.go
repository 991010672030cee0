package manifest

import (
	"context"
	"fmt"
	"math"

	"edgefog.dev/isgw/chunks"
)

// Fetcher reads a chunk into b and verifies it against its ID, as
// chunks.Store.Get does, whose method value is a Fetcher.
type Fetcher func(ctx context.Context, id chunks.ID, b *chunks.Buffer) error

// Leaf is one chunk of a content.
type Leaf struct {
	// ID names the chunk.
	ID chunks.ID
	// Offset is where the chunk begins in the content, in bytes.
	Offset uint64
	// Size is the chunk's raw length in bytes.
	Size uint64
}

// Leaves calls fn for every chunk of the content ref that holds a byte of the
// range of length bytes from off, in the order of the content. A range beyond
// the end is cut there, so length may be math.MaxUint64. Only the nodes over
// the range are fetched. The memory is one decoded node for each level.
//
// An error of get is returned wrapped with the node's ID; a node that is not
// the one its parent declares, in level or size or form, is an error that wraps
// chunks.ErrCorrupt; an error of fn ends the iteration and is returned as it is.
func Leaves(ctx context.Context, get Fetcher, ref Ref, off, length uint64, fn func(Leaf) error) error {
	if err := ref.Validate(); err != nil {
		return err
	}
	if off >= ref.Size || length == 0 {
		return nil
	}
	end := ref.Size
	if length < ref.Size-off {
		end = off + length
	}
	r := ranger{reader: reader{get: get}, off: off, end: end, fn: fn}
	return r.visit(ctx, ref, Root, 0)
}

// Walk calls fn for every object of the tree of ref, nodes and chunks, each
// before what lies below it, in the order of the content. When fn returns false
// for a node, what lies below it is passed over and the node is not fetched. An
// object that occurs more than once is visited as often. Memory and errors are
// those of Leaves. An empty ref has no object.
func Walk(ctx context.Context, get Fetcher, ref Ref, fn func(Ref) (descend bool, err error)) error {
	if err := ref.Validate(); err != nil {
		return err
	}
	if ref.IsEmpty() {
		return nil
	}
	w := walker{reader: reader{get: get}, fn: fn}
	return w.visit(ctx, ref, Root)
}

// Has reports which chunks a store holds, as chunks.Store.Has does, whose
// method value is a Has.
type Has func(ctx context.Context, ids []chunks.ID, present []bool) error

// Missing appends to dst those of refs whose ID has reports absent, in order. A
// receiver of a tree starts with its root, and goes on with the Children of
// each node that it holds; that a node is present says nothing of what lies
// below it.
func Missing(ctx context.Context, has Has, refs, dst []Ref) ([]Ref, error) {
	ids := make([]chunks.ID, len(refs))
	for i := range refs {
		ids[i] = refs[i].ID
	}
	present := make([]bool, len(refs))
	if err := has(ctx, ids, present); err != nil {
		return dst, fmt.Errorf("look up %d objects of a manifest: %w", len(refs), err)
	}
	for i, p := range present {
		if !p {
			dst = append(dst, refs[i])
		}
	}
	return dst, nil
}

// All is a length for Leaves that reaches to the end of any content.
const All = math.MaxUint64

// reader fetches nodes, with memory for one at each level.
type reader struct {
	get   Fetcher
	buf   chunks.Buffer
	nodes [MaxLevel + 1]Node
}

// node fetches and checks the node ref, which stays valid until the next node
// of its level is fetched.
func (r *reader) node(ctx context.Context, ref Ref, place Place) (*Node, error) {
	if err := r.get(ctx, ref.ID, &r.buf); err != nil {
		return nil, fmt.Errorf("read manifest node %s: %w", ref.ID, err)
	}
	n := &r.nodes[ref.Level]
	if err := n.Decode(ref, place, r.buf.Raw); err != nil {
		return nil, err
	}
	return n, nil
}

type ranger struct {
	reader
	off, end uint64
	fn       func(Leaf) error
}

// visit goes through what lies below ref, which begins at start and shares at
// least one byte with the range.
func (r *ranger) visit(ctx context.Context, ref Ref, place Place, start uint64) error {
	if !ref.IsNode() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read manifest: %w", err)
		}
		return r.fn(Leaf{ID: ref.ID, Offset: start, Size: ref.Size})
	}
	n, err := r.node(ctx, ref, place)
	if err != nil {
		return err
	}
	for i := range n.Entries {
		child, childPlace := n.Child(i, place)
		if start >= r.end {
			return nil
		}
		if start+child.Size > r.off {
			if err := r.visit(ctx, child, childPlace, start); err != nil {
				return err
			}
		}
		start += child.Size
	}
	return nil
}

type walker struct {
	reader
	fn func(Ref) (bool, error)
}

func (w *walker) visit(ctx context.Context, ref Ref, place Place) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("walk manifest: %w", err)
	}
	descend, err := w.fn(ref)
	if err != nil || !descend || !ref.IsNode() {
		return err
	}
	n, err := w.node(ctx, ref, place)
	if err != nil {
		return err
	}
	for i := range n.Entries {
		child, childPlace := n.Child(i, place)
		if err := w.visit(ctx, child, childPlace); err != nil {
			return err
		}
	}
	return nil
}
