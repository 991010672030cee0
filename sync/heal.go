package objsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// This file looks at content: whether every object of a version's tree is in this
// site's store, and whether it is what it should be. What is not is fetched from
// the far end when that is asked for.

// tree is a walk of one version's tree.
type tree struct {
	x      *verification
	rec    *catalogpb.Record
	read   bool // read the leaves too; else look only whether they are there
	bad    int  // objects that are missing or damaged
	healed int
	first  string // what is wrong with the first of them
}

// content looks at the content of versions and says what of it is corrupt; with
// read it reads all of it, else only the nodes of the trees.
func (x *verification) content(ctx context.Context, versions []*catalogpb.Record, read bool) (out []Difference, err error) {
	for _, r := range versions {
		root, err := rootOf(r)
		if err != nil || !catalog.Live(r) || root.IsEmpty() {
			continue
		}
		t := &tree{x: x, rec: r, read: read}
		if err := t.visit(ctx, root, manifest.Root, nil, nil); err != nil {
			return nil, err
		}
		if t.bad == 0 {
			continue
		}
		d := Difference{Key: r.GetKey(), Version: catalog.VersionID(r), Kind: Corrupt, Cause: t.first}
		if t.bad > 1 {
			d.Cause = fmt.Sprintf("%s, and %d more", t.first, t.bad-1)
		}
		d.Repaired = t.healed == t.bad
		out = append(out, d)
	}
	return out, nil
}

// visit looks at an object of the tree and what is below it. nodes are the IDs from
// the root to its parent, children its position there; the root has neither.
func (t *tree) visit(ctx context.Context, ref manifest.Ref, place manifest.Place, nodes [][]byte, children []uint32) error {
	if !ref.IsNode() && !t.read {
		present := make([]bool, 1)
		if err := t.x.e.o.Chunks.Has(ctx, []chunks.ID{ref.ID}, present); err != nil {
			return &localError{err}
		}
		if present[0] {
			return nil
		}
	}
	var buf chunks.Buffer
	if err := t.get(ctx, ref.ID, &buf, nodes, children); err != nil || buf.Raw == nil {
		return err
	}
	t.x.out.Read++
	t.x.out.ReadBytes += uint64(len(buf.Raw))
	if !ref.IsNode() {
		return nil
	}
	node := new(manifest.Node)
	if err := node.Decode(ref, place, buf.Raw); err != nil {
		t.wrong(fmt.Sprintf("manifest node %s: %v", ref.ID, err))
		return nil
	}
	path := append(nodes[:len(nodes):len(nodes)], ref.ID[:])
	for i := range node.Entries {
		child, at := node.Child(i, place)
		if err := t.visit(ctx, child, at, path, []uint32{uint32(i)}); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) wrong(what string) {
	if t.bad++; t.bad == 1 {
		t.first = what
	}
}

// get reads an object. One that is missing or damaged is counted and, with a
// repair, fetched; without success buf.Raw is nil.
func (t *tree) get(ctx context.Context, id chunks.ID, buf *chunks.Buffer, nodes [][]byte, children []uint32) error {
	store := t.x.e.o.Chunks
	err := store.Get(ctx, id, buf)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, chunks.ErrNotFound):
		t.wrong(fmt.Sprintf("chunk %s is missing", id))
	case errors.Is(err, chunks.ErrCorrupt):
		t.wrong(fmt.Sprintf("chunk %s is damaged", id))
	default:
		return &localError{err}
	}
	buf.Raw = nil
	if !t.x.o.Repair {
		return nil
	}
	if err := t.fetch(ctx, id, nodes, children); err != nil {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case unanswered(err):
			return fmt.Errorf("fetch %s again: %w", id, err)
		case t.bad == 1:
			t.first += fmt.Sprintf(", and cannot be fetched again: %v", err)
		}
		return nil
	}
	if err := store.Get(ctx, id, buf); err != nil {
		return &localError{fmt.Errorf("read chunk that was fetched again: %w", err)}
	}
	t.healed++
	return nil
}

// unanswered reports whether a fetch failed for a reason that the next one would meet
// too: the line is broken, the far end answers no request, or this site's store fails.
func unanswered(err error) bool {
	return errors.As(err, new(*link.Fault)) || errors.As(err, new(*link.Refused)) || errors.As(err, new(*localError))
}

// fetch gets one object of the tree from the far end and stores it.
func (t *tree) fetch(ctx context.Context, id chunks.ID, nodes [][]byte, children []uint32) error {
	e := t.x.e
	got := false
	err := e.o.Source.Fetch(ctx, &linkpb.FetchRequest{Wants: []*linkpb.Want{{
		Path: t.x.path, Dot: t.rec.GetDot(), Nodes: nodes, Children: children,
	}}}, func(h *linkpb.ChunkHeader, body []byte) error {
		switch {
		case h.GetGone():
			return fmt.Errorf("%s does not keep the version", e.o.PeerName)
		case h.GetRefused() != "":
			return errors.New(clip(h.GetRefused()))
		case !bytes.Equal(h.GetId(), id[:]):
			return violated("chunk %x instead of %s", h.GetId(), id)
		}
		var buf chunks.Buffer
		buf.Chunk = chunks.Chunk{ID: id, Encoding: chunks.Encoding(h.GetEncoding()), RawLen: h.GetRawLength(), Data: body}
		if err := e.o.Codec.Decode(&buf); err != nil {
			return violated("chunk %s of %s: %w", id, e.o.PeerName, err)
		}
		if err := e.o.Chunks.Put(ctx, []chunks.Chunk{buf.Chunk}); err != nil {
			return &localError{err}
		}
		got = true
		return nil
	})
	if err == nil && !got {
		err = errors.New("it was not sent")
	}
	return err
}

// readAll reads the content of every version of a range of keys here.
func (x *verification) readAll(ctx context.Context, r catalog.KeyRange) error {
	for from := r.From; ; {
		page, err := x.e.o.Catalog.ScanKeys(x.path, from, 256)
		if err != nil {
			return &localError{err}
		}
		records := page.Records
		for len(records) > 0 {
			key := records[0].GetKey()
			n := 1
			for n < len(records) && bytes.Equal(records[n].GetKey(), key) {
				n++
			}
			if r.To != nil && bytes.Compare(key, r.To) >= 0 {
				return nil
			}
			broken, err := x.content(ctx, catalog.ShownOf(records[:n]), true)
			if err != nil {
				return err
			}
			for i := range broken {
				if err := x.tell(&broken[i]); err != nil {
					return err
				}
			}
			records = records[n:]
		}
		x.note()
		if page.Done {
			return nil
		}
		from = page.NextKey
	}
}
