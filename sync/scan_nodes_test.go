package objsync

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// deep is content whose manifest has a root above the nodes that name its chunks.
func deep() []byte {
	content := make([]byte, 40<<20)
	_, _ = rand.NewChaCha8([32]byte{11}).Read(content)
	return content
}

// TestPagesBringUpperNodes copies a large object: the nodes with which its copy begins
// come with the page and are not fetched.
func TestPagesBringUpperNodes(t *testing.T) {
	content := deep()
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		rec := x.site.put(bk1, "large", content)
		x.site.put(bk1, "the same", content)
		var along []chunks.ID
		y.wire.page = func(p *linkpb.ScanPage) {
			for _, n := range p.GetNodes() {
				along = append(along, chunks.ID(n.GetId()))
			}
		}
		x.start()
		y.start()
		synced(t, 60*time.Second, x, y)
		sameHeads(t, bk1, x.site, y.site)
		if len(along) < 2 || along[0] != chunks.ID(rec.GetRoot().GetId()) {
			t.Fatalf("%d nodes came along, %v", len(along), along)
		}
		y.wire.mu.Lock()
		defer y.wire.mu.Unlock()
		for _, id := range along {
			if n := y.wire.fetched[id]; n > 0 {
				t.Errorf("node %s came with the page and was fetched %d times", id, n)
			}
		}
		if n := y.engine.Status().Counters.Manifests; n < uint64(len(along)) {
			t.Errorf("%d manifest nodes were counted, %d came with the page", n, len(along))
		}
	})
}

// TestUpperNodesAreBounded checks what a sender gives of nodes when little is wanted.
func TestUpperNodesAreBounded(t *testing.T) {
	s := newTestSite(t, 1)
	defer s.close()
	s.ensureBucket(bk1)
	s.put(bk1, "large", deep())
	l, err := NewLocal(LocalOptions{Site: s.site(), Service: "hawaii", Peer: newTestSite(t, 2).id, Served: func() []string { return []string{bk1} }})
	if err != nil {
		t.Fatal(err)
	}
	of := func(nodes uint32) (n, size int) {
		t.Helper()
		p, err := l.Scan(context.Background(), &linkpb.ScanRequest{Path: bk1, Nodes: nodes})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range p.GetNodes() {
			size += len(n.GetData())
		}
		return len(p.GetNodes()), size
	}
	all, size := of(1 << 31)
	if all < 3 || all > 1+nodesAhead || size > maxPageNodes {
		t.Errorf("%d nodes of %d bytes without a bound", all, size)
	}
	if n, _ := of(0); n != 0 {
		t.Errorf("%d nodes came unasked", n)
	}
	if n, got := of(uint32(size - 1)); n != all-1 || got >= size {
		t.Errorf("%d nodes of %d bytes for at most %d", n, got, size-1)
	}
}

// TestFalseUpperNodesAreRefused has a sender whose pages bring other nodes than their
// versions have: nothing of them is stored, and the session ends.
func TestFalseUpperNodesAreRefused(t *testing.T) {
	content := deep()
	alien := random(77, 5000)
	for name, change := range map[string]func(p *linkpb.ScanPage){
		"a chunk of nothing": func(p *linkpb.ScanPage) {
			id := chunks.Sum(alien)
			p.Nodes = append(p.Nodes, &linkpb.PageNode{Id: id[:], RawLength: uint32(len(alien)), Data: alien})
		},
		"other bytes":       func(p *linkpb.ScanPage) { p.Nodes[0].Data = alien },
		"a child first":     func(p *linkpb.ScanPage) { p.Nodes[0], p.Nodes[1] = p.Nodes[1], p.Nodes[0] },
		"twice":             func(p *linkpb.ScanPage) { p.Nodes = append(p.Nodes, p.Nodes[0]) },
		"no ID":             func(p *linkpb.ScanPage) { p.Nodes[0].Id = nil },
		"a strange coding":  func(p *linkpb.ScanPage) { p.Nodes[0].Encoding = 1 << 20 },
		"without its owner": func(p *linkpb.ScanPage) { p.Records = nil },
	} {
		t.Run(name, func(t *testing.T) {
			pair(t, nil, func(t *testing.T, x, y *half) {
				x.site.makeBucket(bk1, 1)
				x.site.put(bk1, "large", content)
				done := false
				y.wire.page = func(p *linkpb.ScanPage) {
					if !done {
						done = true
						change(p)
					}
				}
				x.start()
				y.start()
				until(t, 30*time.Second, "dropped", func() bool { return y.engine.Status().Counters.IntegrityErrors == 1 })
				synced(t, 60*time.Second, x, y)
				sameHeads(t, bk1, x.site, y.site)
				present := make([]bool, 1)
				if err := y.site.chunks.Has(context.Background(), []chunks.ID{chunks.Sum(alien)}, present); err != nil || present[0] {
					t.Errorf("the false chunk is stored: %v, %v", present[0], err)
				}
			})
		})
	}
}
