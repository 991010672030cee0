package objects

import (
	"context"
	"fmt"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/cdc"
	"edgefog.dev/isgw/chunks/manifest"
)

// Joining parts.
//
// A cut depends only on the bytes since the cut before it (cdc.Cut). So when a
// chunk of a part begins where the whole content has a cut, it is a chunk of
// the whole, and the next one begins at a cut again: everything in a part after
// the first coincidence is taken over by its ID, without being read. Only the
// last chunk of a part cannot be: it ended because the part did. It is read
// together with the beginning of the next part and split again, until a cut
// falls on the end of one of that part's chunks. That takes a few chunks on
// average; the chunks in between are stored as new ones where they are new.

// join returns the root of the content that the parts make one after the
// other. New chunks and the manifest's nodes are durable when it returns.
func (s *Store) join(ctx context.Context, parts []manifest.Ref) (manifest.Ref, error) {
	last := -1
	filled := 0
	for i, p := range parts {
		if !p.IsEmpty() {
			last = i
			filled++
		}
	}
	if filled < 2 {
		if last < 0 {
			return manifest.Ref{}, nil
		}
		return parts[last], nil
	}
	j := joiner{s: s, ctx: ctx, out: gather{store: s}}
	defer j.out.release()
	j.builder = manifest.NewBuilder(func(id chunks.ID, raw []byte) error { return j.out.add(ctx, id, raw) })
	for i, p := range parts {
		err := manifest.Leaves(ctx, s.chunks.Get, p, 0, manifest.All, func(l manifest.Leaf) error {
			ends := l.Offset+l.Size == p.Size
			return j.feed(l, ends, ends && i == last)
		})
		if err != nil {
			return manifest.Ref{}, fmt.Errorf("join part at position %d: %w", i+1, err)
		}
	}
	root, err := j.builder.Finish()
	if err != nil {
		return manifest.Ref{}, fmt.Errorf("join parts: %w", err)
	}
	if err := j.out.flush(ctx); err != nil {
		return manifest.Ref{}, fmt.Errorf("join parts: %w", err)
	}
	return root, nil
}

// joiner takes the chunks of the parts in order and makes those of the whole.
type joiner struct {
	s       *Store
	ctx     context.Context
	builder *manifest.Builder
	out     gather
	open    []byte        // bytes since the last cut; empty at a cut
	buf     chunks.Buffer // of the chunk being read
}

// feed takes one chunk of a part: whether it is the part's last, and whether
// it is the last of all.
func (j *joiner) feed(l manifest.Leaf, endsPart, endsAll bool) error {
	if len(j.open) == 0 && (!endsPart || endsAll) {
		return j.builder.Add(l.ID, int(l.Size))
	}
	if err := j.s.chunks.Get(j.ctx, l.ID, &j.buf); err != nil {
		return fmt.Errorf("read chunk at a seam: %w", err)
	}
	if uint64(len(j.buf.Raw)) != l.Size {
		return fmt.Errorf("read chunk %s at a seam: %d bytes, want %d: %w", l.ID, len(j.buf.Raw), l.Size, chunks.ErrCorrupt)
	}
	j.open = append(j.open, j.buf.Raw...)
	rest := j.open
	for {
		n := cdc.Cut(rest, endsAll)
		if n == 0 {
			break
		}
		id := chunks.Sum(rest[:n])
		if err := j.out.add(j.ctx, id, rest[:n]); err != nil {
			return err
		}
		if err := j.builder.Add(id, n); err != nil {
			return err
		}
		rest = rest[n:]
	}
	j.open = append(j.open[:0], rest...)
	return nil
}
