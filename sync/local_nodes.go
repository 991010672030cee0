package objsync

import (
	"context"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// maxPageNodes bounds the bytes of manifest nodes that go along with one page.
const maxPageNodes = 256 << 10

// upperNodes returns the manifest nodes with which the copy of a page's versions
// begins: of each the root and, below it, the first nodes down to those whose
// children are content, each once and after its parent. They have at most most bytes
// together, and are the first that fit. What cannot be read is left out: whoever
// asks for it by itself is told why.
func (l *Local) upperNodes(ctx context.Context, records []*catalogpb.Record, most int) []*linkpb.PageNode {
	if most <= 0 {
		return nil
	}
	buf := buffers.Get().(*chunks.Buffer)
	defer buffers.Put(buf)
	var out []*linkpb.PageNode
	left := most
	given := make(map[chunks.ID]bool) // versions share nodes; each goes once
	add := func(ref manifest.Ref) bool {
		if given[ref.ID] {
			return true
		}
		if l.o.Chunks.GetStored(ctx, ref.ID, buf) != nil || len(buf.Chunk.Data) > left {
			return false
		}
		given[ref.ID] = true
		c := &buf.Chunk
		left -= len(c.Data)
		out = append(out, &linkpb.PageNode{Id: ref.ID[:], Encoding: uint32(c.Encoding), RawLength: c.RawLen, Data: append([]byte(nil), c.Data...)})
		l.count.manifests.Add(1)
		l.count.bytes.Add(uint64(len(c.Data)))
		return true
	}
	for _, r := range records {
		ref, err := rootOf(r)
		if err != nil || !ref.IsNode() {
			continue
		}
		place := manifest.Root
		for fits := add(ref); ref.IsNode(); {
			if !fits {
				return out
			}
			node, err := l.node(ctx, ref, place, buf)
			if err != nil || node.Level == 1 {
				break
			}
			for i := range min(nodesAhead, len(node.Entries)) {
				child, _ := node.Child(i, place)
				fits = fits && add(child)
			}
			ref, place = node.Child(0, place)
		}
	}
	return out
}
