package objsync

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// Bounds of one request for chunks.
const (
	maxWants    = 4096
	maxChildren = 8192
)

// Fetch implements link.Source. A chunk is given only to whoever names a
// version that is kept in a bucket served on this link, and the path of
// manifest nodes from that version's root to the chunk's parent: whoever may
// read one node may read its children, and nothing else. Chunks are answered in
// the order of the request, each verified when it is read from the store.
func (l *Local) Fetch(ctx context.Context, req *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
	l.touch()
	if len(req.GetWants()) > maxWants {
		return link.Refuse(link.CodeInvalid, "%d wants in one request exceed %d", len(req.GetWants()), maxWants)
	}
	children := 0
	for _, w := range req.GetWants() {
		children += len(w.GetChildren())
	}
	if children > maxChildren {
		return link.Refuse(link.CodeInvalid, "%d chunks in one request exceed %d", children, maxChildren)
	}
	if l.o.Settings().Paused {
		return l.paused()
	}
	buf := buffers.Get().(*chunks.Buffer)
	defer buffers.Put(buf)
	f := fetch{l: l, fn: fn, buf: buf}
	for i, w := range req.GetWants() {
		if err := f.want(ctx, uint32(i), w); err != nil {
			return err
		}
	}
	return nil
}

var buffers = sync.Pool{New: func() any { return new(chunks.Buffer) }}

// fetch answers one request.
type fetch struct {
	l   *Local
	fn  func(*linkpb.ChunkHeader, []byte) error
	buf *chunks.Buffer

	path   string // the last bucket asked about, and whether it is served
	served bool
}

// want answers one want: a header for each child, or one that says gone.
func (f *fetch) want(ctx context.Context, n uint32, w *linkpb.Want) error {
	// The root has no position; one answer stands for it.
	asked := max(1, len(w.GetChildren()))
	refuse := func(why string) error {
		for range asked {
			if err := f.refuse(n, nil, why); err != nil {
				return err
			}
		}
		return nil
	}
	if w.GetPath() != f.path {
		f.path, f.served = w.GetPath(), f.l.lets(w.GetPath())
	}
	if !f.served {
		return refuse(fmt.Sprintf("bucket %s is not served over link %s", w.GetPath(), f.l.o.Service))
	}
	if err := catalog.CheckDot(w.GetDot()); err != nil {
		return refuse(err.Error())
	}
	// Names of versions can be guessed: of what is left out of the bucket no more is
	// told than of what never was.
	unknown := fmt.Sprintf("the version is not known over link %s: it is not served, or this site was restored from a backup", f.l.o.Service)
	rec, err := f.l.o.Catalog.ByDot(w.GetPath(), w.GetDot())
	switch {
	case errors.Is(err, catalog.ErrNoBucket):
		return refuse(err.Error())
	case errors.Is(err, catalog.ErrNoRecord):
		seen, err := f.l.o.Catalog.Seen(w.GetPath())
		if err != nil || !catalog.Covers(seen, w.GetDot()) {
			// It was lost with a restore, not dropped on purpose: the receiver
			// keeps its name, for another site may still have it.
			return refuse(unknown)
		}
		f.l.count.gone.Add(1)
		return f.fn(&linkpb.ChunkHeader{Want: n, Gone: true}, nil)
	case err != nil:
		return f.l.readFailed("look up a version of", w.GetPath(), err)
	}
	if !f.l.o.Terms(w.GetPath()).Filter.admitsKey(rec.GetKey()) {
		return refuse(unknown)
	}
	root, err := rootOf(rec)
	if err != nil {
		return refuse(err.Error())
	}
	if root.IsEmpty() {
		return refuse("the version has no content")
	}
	if len(w.GetNodes()) == 0 {
		if len(w.GetChildren()) > 0 {
			return refuse("children are asked for without the node they belong to")
		}
		_, err := f.send(ctx, n, root, w, rec)
		return err
	}
	parent, place, err := f.parent(ctx, root, w.GetNodes())
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return refuse(err.Error())
	}
	for i, c := range w.GetChildren() {
		if i > 0 && w.GetChildren()[i-1] >= c || int(c) >= len(parent.Entries) {
			if err := f.refuse(n, nil, fmt.Sprintf("child %d of the node does not exist, or is out of order", c)); err != nil {
				return err
			}
			continue
		}
		ref, _ := parent.Child(int(c), place)
		if gone, err := f.send(ctx, n, ref, w, rec); err != nil || gone {
			return err
		}
	}
	return nil
}

// parent walks from the root down the path and returns its last node. Each ID
// must be a child of the node before it.
func (f *fetch) parent(ctx context.Context, root manifest.Ref, path [][]byte) (*manifest.Node, manifest.Place, error) {
	ref, place := root, manifest.Root
	var node *manifest.Node
	for depth, raw := range path {
		id, err := chunks.IDFromBytes(raw)
		if err != nil {
			return nil, 0, err
		}
		if depth == 0 {
			if id != root.ID {
				return nil, 0, fmt.Errorf("the path does not begin at the version's root")
			}
		} else {
			i := childOf(node, id)
			if i < 0 {
				return nil, 0, fmt.Errorf("node %d of the path is no child of the one before it", depth)
			}
			ref, place = node.Child(i, place)
		}
		if !ref.IsNode() {
			return nil, 0, fmt.Errorf("entry %d of the path is a chunk of content, not a node", depth)
		}
		if node, err = f.l.node(ctx, ref, place, f.buf); err != nil {
			return nil, 0, err
		}
	}
	return node, place, nil
}

func childOf(node *manifest.Node, id chunks.ID) int {
	for i := range node.Entries {
		if node.Entries[i].ID == id {
			return i
		}
	}
	return -1
}

// send answers with one chunk. gone says that the version went meanwhile, which
// answers the rest of the want too.
func (f *fetch) send(ctx context.Context, n uint32, ref manifest.Ref, w *linkpb.Want, rec *catalogpb.Record) (gone bool, err error) {
	// The receiver decodes the chunk against its ID; here it need not be.
	if err := f.l.o.Chunks.GetStored(ctx, ref.ID, f.buf); err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		// Collection may have been faster than the answer.
		if _, kept := f.l.o.Catalog.ByDot(w.GetPath(), w.GetDot()); errors.Is(kept, catalog.ErrNoRecord) {
			f.l.count.gone.Add(1)
			return true, f.fn(&linkpb.ChunkHeader{Want: n, Gone: true}, nil)
		}
		f.l.count.readError.Add(1)
		f.l.o.Logger.Error("link: a chunk of a kept version cannot be read",
			"bucket", w.GetPath(), "key", string(rec.GetKey()), "chunk", ref.ID, "error", err)
		return false, f.refuse(n, &ref.ID, fmt.Sprintf("chunk %s cannot be read at %s: %v", ref.ID, f.l.o.Name, err))
	}
	c := &f.buf.Chunk
	if err := f.l.o.Limit.Wait(ctx, chunkCost(c.Data)); err != nil {
		return false, err
	}
	if ref.IsNode() {
		f.l.count.manifests.Add(1)
	} else {
		f.l.count.chunks.Add(1)
	}
	f.l.count.bytes.Add(uint64(len(c.Data)))
	return false, f.fn(&linkpb.ChunkHeader{
		Id:        ref.ID[:],
		Encoding:  uint32(c.Encoding),
		RawLength: c.RawLen,
		Length:    uint32(len(c.Data)),
		Want:      n,
	}, c.Data)
}

func (f *fetch) refuse(n uint32, id *chunks.ID, why string) error {
	f.l.count.refused.Add(1)
	h := &linkpb.ChunkHeader{Want: n, Refused: why}
	if id != nil {
		h.Id = id[:]
	}
	return f.fn(h, nil)
}

// node reads and decodes a manifest node, or finds it in the cache. The node is
// shared and must not be changed.
func (l *Local) node(ctx context.Context, ref manifest.Ref, place manifest.Place, buf *chunks.Buffer) (*manifest.Node, error) {
	key := nodeKey{ref: ref, place: place}
	if n := l.nodes.get(key); n != nil {
		return n, nil
	}
	if err := l.o.Chunks.Get(ctx, ref.ID, buf); err != nil {
		return nil, fmt.Errorf("read manifest node %s: %w", ref.ID, err)
	}
	n := new(manifest.Node)
	if err := n.Decode(ref, place, buf.Raw); err != nil {
		return nil, err
	}
	l.nodes.put(key, n)
	return n, nil
}

// nodeKey names a node in its tree: the same bytes at another place, or below
// another parent, have to be checked anew.
type nodeKey struct {
	ref   manifest.Ref
	place manifest.Place
}

// nodeCache keeps the decoded nodes that were used last: between most/2 and
// most of them. Two generations do what a list in order of use would, for the
// price of two maps.
type nodeCache struct {
	most int

	mu       sync.Mutex
	cur, old map[nodeKey]*manifest.Node
}

func (c *nodeCache) get(k nodeKey) *manifest.Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.cur[k]; n != nil {
		return n
	}
	n := c.old[k]
	if n != nil {
		c.add(k, n)
	}
	return n
}

func (c *nodeCache) put(k nodeKey, n *manifest.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(k, n)
}

func (c *nodeCache) add(k nodeKey, n *manifest.Node) {
	if c.cur == nil || len(c.cur) >= max(1, c.most/2) {
		c.cur, c.old = make(map[nodeKey]*manifest.Node), c.cur
	}
	c.cur[k] = n
}

// readFailed logs a failure of this site and says so to the peer.
func (l *Local) readFailed(what, path string, err error) error {
	if errors.Is(err, catalog.ErrNoBucket) {
		return link.Refuse(link.CodeNotServed, "bucket %s does not exist at %s", path, l.o.Name)
	}
	l.o.Logger.Error("link: the catalog cannot be read", "bucket", path, "error", err)
	return link.Refuse(link.CodeInternal, "%s could not %s bucket %s; its log says why", l.o.Name, what, path)
}
