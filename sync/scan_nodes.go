package objsync

import (
	"context"
	"errors"
	"fmt"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// keepNodes stores the manifest nodes that came along with a page, so that their
// versions' walks find them here: on a long line each level that need not be asked for
// saves a round trip. Nothing is believed: every node is the root of a version of the
// page or the child of a node before it, has the bytes that its ID names, and is the
// node that its parent declares. It returns how many there were.
func (s *session) keepNodes(ctx context.Context, got *linkpb.ScanPage, most int) (int, error) {
	if len(got.GetNodes()) == 0 {
		return 0, nil
	}
	type spot struct {
		ref   manifest.Ref
		place manifest.Place
	}
	known := make(map[chunks.ID]spot)
	for _, r := range got.GetRecords() {
		if ref, err := rootOf(r); err == nil && ref.IsNode() {
			known[ref.ID] = spot{ref, manifest.Root}
		}
	}
	var (
		buf   chunks.Buffer
		node  manifest.Node
		batch []chunks.Chunk
		size  int
	)
	for _, n := range got.GetNodes() {
		id, err := chunks.IDFromBytes(n.GetId())
		if err != nil {
			return 0, err
		}
		at, ok := known[id]
		if size += len(n.GetData()); !ok || size > most || n.GetEncoding() > 255 {
			return 0, fmt.Errorf("manifest node %s came without having been asked for", id)
		}
		delete(known, id) // once is enough
		buf.Chunk = chunks.Chunk{ID: id, Encoding: chunks.Encoding(n.GetEncoding()), RawLen: n.GetRawLength(), Data: n.GetData()}
		if err := s.o.Codec.Decode(&buf); err != nil {
			return 0, err
		}
		if err := node.Decode(at.ref, at.place, buf.Raw); err != nil {
			return 0, err
		}
		batch = append(batch, buf.Chunk)
		for i := range node.Entries {
			if ref, place := node.Child(i, at.place); ref.IsNode() {
				known[ref.ID] = spot{ref, place}
			}
		}
	}
	err := s.o.Chunks.Put(ctx, batch)
	if err != nil && !errors.Is(err, chunks.ErrNoSpace) { // which is dealt with where content is put
		return 0, &localError{fmt.Errorf("store manifest nodes: %w", err)}
	}
	return len(batch), nil
}
