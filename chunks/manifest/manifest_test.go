package manifest

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"edgefog.dev/isgw/chunks"
	"pgregory.net/rapid"
)

// nodeMap keeps emitted nodes and is a Fetcher's source.
type nodeMap map[chunks.ID][]byte

func (m nodeMap) emit(id chunks.ID, raw []byte) error {
	if id != chunks.Sum(raw) {
		return fmt.Errorf("node %s emitted with another ID", id)
	}
	m[id] = slices.Clone(raw)
	return nil
}

func (m nodeMap) get(ctx context.Context, id chunks.ID, b *chunks.Buffer) error {
	raw, ok := m[id]
	if !ok {
		return chunks.ErrNotFound
	}
	b.Raw = append(b.Data(len(raw))[:0], raw...)
	return ctx.Err()
}

// sequence returns n chunks that are the same in every run.
func sequence(seed uint64, n int) []Entry {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([]Entry, n)
	for i := range out {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], rng.Uint64())
		out[i] = Entry{ID: chunks.Sum(b[:]), Size: 32<<10 + rng.Uint64N(64<<10)}
	}
	return out
}

// build makes the tree of a sequence.
func build(t testing.TB, leaves []Entry, nodes nodeMap) Ref {
	t.Helper()
	b := NewBuilder(nodes.emit)
	for _, l := range leaves {
		if err := b.Add(l.ID, int(l.Size)); err != nil {
			t.Fatal(err)
		}
	}
	ref, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func collect(t testing.TB, nodes nodeMap, ref Ref, off, length uint64) []Leaf {
	t.Helper()
	var out []Leaf
	err := Leaves(t.Context(), nodes.get, ref, off, length, func(l Leaf) error {
		out = append(out, l)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// naive makes the tree level by level, as the format's page defines it.
func naive(leaves []Entry) (Ref, nodeMap) {
	nodes := nodeMap{}
	if len(leaves) == 0 {
		return Ref{}, nodes
	}
	for l := uint8(1); len(leaves) > 1; l++ {
		var parents []Entry
		for len(leaves) > 0 {
			n := 1
			for n < len(leaves) && n < 1024 &&
				(n < 64 || binary.LittleEndian.Uint64(leaves[n-1].ID[:8]) >= math.MaxUint64/192) {
				n++
			}
			raw := []byte{'i', 's', 'g', 'm', 1, l, byte(n), byte(n >> 8)}
			var size uint64
			for _, e := range leaves[:n] {
				raw = binary.AppendUvarint(append(raw, e.ID[:]...), e.Size)
				size += e.Size
			}
			nodes[chunks.Sum(raw)] = raw
			parents = append(parents, Entry{ID: chunks.Sum(raw), Size: size})
			leaves = leaves[n:]
		}
		leaves = parents
		if len(leaves) == 1 {
			return Ref{Level: l, ID: leaves[0].ID, Size: leaves[0].Size}, nodes
		}
	}
	return Ref{ID: leaves[0].ID, Size: leaves[0].Size}, nodes
}

func TestTreeAgainstDefinition(t *testing.T) {
	for _, n := range []int{0, 1, 2, 63, 64, 65, 127, 255, 1023, 1024, 1025, 5000, 70_000} {
		leaves := sequence(uint64(n), n)
		nodes := nodeMap{}
		ref := build(t, leaves, nodes)
		want, wantNodes := naive(leaves)
		if ref != want {
			t.Errorf("%d chunks: root %v, definition says %v", n, ref, want)
		}
		// No node is emitted that is not of the tree.
		if len(nodes) != len(wantNodes) {
			t.Errorf("%d chunks: %d nodes, definition says %d", n, len(nodes), len(wantNodes))
		}
		checkLeaves(t, leaves, collect(t, nodes, ref, 0, All))
	}
}

func checkLeaves(t *testing.T, want []Entry, got []Leaf) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d leaves, want %d", len(got), len(want))
	}
	var off uint64
	for i, l := range got {
		if l != (Leaf{ID: want[i].ID, Offset: off, Size: want[i].Size}) {
			t.Fatalf("leaf %d is %v, want %v at %d", i, l, want[i], off)
		}
		off += l.Size
	}
}

// TestEqualChunks builds what a sparse file gives: nodes of 64 equal entries or
// of 1024, as the ID says.
func TestEqualChunks(t *testing.T) {
	var low, high chunks.ID
	for i := range high {
		low[i], high[i] = 0, 255
	}
	low[31] = 1
	for _, c := range []struct {
		id    chunks.ID
		first int
	}{{low, MinEntries}, {high, MaxEntries}} {
		leaves := slices.Repeat([]Entry{{ID: c.id, Size: chunks.MaxRaw}}, 4096)
		nodes := nodeMap{}
		ref := build(t, leaves, nodes)
		if len(nodes) > 3 {
			t.Errorf("%d nodes for equal chunks", len(nodes))
		}
		checkLeaves(t, leaves, collect(t, nodes, ref, 0, All))
		var root Node
		if err := root.Decode(ref, Root, nodes[ref.ID]); err != nil {
			t.Fatal(err)
		}
		if got := root.Entries[0].Size / chunks.MaxRaw; got != uint64(c.first) {
			t.Errorf("first node has %d entries, want %d", got, c.first)
		}
		if got := root.Children(nil); len(got) > 2 {
			t.Errorf("%d distinct children", len(got))
		}
	}
}

// TestGoldenVectors freezes the protocol: these values never change.
func TestGoldenVectors(t *testing.T) {
	leaf := func(i int) Entry {
		return Entry{ID: chunks.Sum(fmt.Appendf(nil, "chunk %d", i)), Size: uint64(32<<10 + i)}
	}
	for _, c := range []struct {
		n    int
		want string
	}{
		{0, "0:0000000000000000000000000000000000000000000000000000000000000000:0"},
		{1, "0:e04e88a9fe2a1a4ed7d4f11df264f6a77b45327218a06506890ca80c4515b76c:32768"},
		{2, "1:6da1c732922ff3769e5fa1dd27434950870c48a96d3ec85a14a9871f842116f7:65537"},
		{1000, "2:1265bd08394b0b9475f7445901a229e5e06d66d830d399552550438fa45fe13b:33267500"},
		{100_000, "3:23e8b7e53e6693cfcaa15068d6f6383bc4cde41a42eda2577e57312be2e5e66e:8276750000"},
	} {
		var leaves []Entry
		for i := range c.n {
			leaves = append(leaves, leaf(i))
		}
		if got := build(t, leaves, nodeMap{}).String(); got != c.want {
			t.Errorf("%d chunks: root %s, want %s", c.n, got, c.want)
		}
	}
	nodes := nodeMap{}
	ref := build(t, []Entry{leaf(0), leaf(1)}, nodes)
	const node = "6973676d01010200" +
		"e04e88a9fe2a1a4ed7d4f11df264f6a77b45327218a06506890ca80c4515b76c808002" +
		"30d81dba31cd3e3c3dfebe0dff57bbd5fd72b7ba95edaddbe4ccce34565063dc818002"
	if got := hex.EncodeToString(nodes[ref.ID]); got != node {
		t.Errorf("node of two chunks: %s", got)
	}
	const encoded = "016da1c732922ff3769e5fa1dd27434950870c48a96d3ec85a14a9871f842116f7818004"
	if got := hex.EncodeToString(ref.Append(nil)); got != encoded {
		t.Errorf("reference: %s", got)
	}
}

func TestFanOut(t *testing.T) {
	nodes := nodeMap{}
	build(t, sequence(1, 200_000), nodes)
	if mean := 200_000 / len(nodes); mean < 230 || mean > 280 {
		t.Errorf("%d entries a node, want about 255", mean)
	}
	longest := 0
	for _, raw := range nodes {
		longest = max(longest, len(raw))
	}
	if longest > maxNodeSize {
		t.Errorf("a node of %d bytes", longest)
	}
}

// TestInsertionChangesFewNodes inserts 1 MiB into the middle of 1 GiB.
func TestInsertionChangesFewNodes(t *testing.T) {
	const leavesOfGiB, leavesOfMiB = 16384, 16
	worst, sum := 0, 0
	const runs = 20
	for seed := range uint64(runs) {
		leaves := sequence(seed, leavesOfGiB)
		before, after := nodeMap{}, nodeMap{}
		build(t, leaves, before)
		inserted := slices.Concat(leaves[:leavesOfGiB/2], sequence(seed+1000, leavesOfMiB), leaves[leavesOfGiB/2:])
		build(t, inserted, after)
		fresh := 0
		for id := range after {
			if before[id] == nil {
				fresh++
			}
		}
		worst, sum = max(worst, fresh), sum+fresh
	}
	t.Logf("new nodes: %.1f on average, %d at worst, of about %d", float64(sum)/runs, worst, leavesOfGiB/255)
	if worst > 8 || sum > 4*runs {
		t.Errorf("an insertion of 1 MiB makes %d new nodes at worst, %d in %d runs", worst, sum, runs)
	}
}

func TestLeavesOfRange(t *testing.T) {
	leaves := sequence(3, 3000)
	nodes := nodeMap{}
	ref := build(t, leaves, nodes)
	all := collect(t, nodes, ref, 0, All)
	rapid.Check(t, func(rt *rapid.T) {
		off := rapid.Uint64Range(0, ref.Size+10).Draw(rt, "off")
		length := rapid.OneOf(rapid.Uint64Range(0, 1<<20), rapid.Uint64()).Draw(rt, "length")
		if rapid.Bool().Draw(rt, "at a cut") {
			off = all[off%uint64(len(all))].Offset
		}
		var want []Leaf
		for _, l := range all {
			if length > 0 && l.Offset+l.Size > off && (length > math.MaxUint64-off || l.Offset < off+length) {
				want = append(want, l)
			}
		}
		if got := collect(t, nodes, ref, off, length); !slices.Equal(got, want) {
			rt.Fatalf("range %d+%d: %d leaves, want %d", off, length, len(got), len(want))
		}
	})
}

func TestLeavesFetchesOnlyTheRange(t *testing.T) {
	leaves := sequence(4, 100_000)
	nodes := nodeMap{}
	ref := build(t, leaves, nodes)
	fetched := 0
	get := func(ctx context.Context, id chunks.ID, b *chunks.Buffer) error {
		fetched++
		return nodes.get(ctx, id, b)
	}
	if err := Leaves(t.Context(), get, ref, ref.Size/2, 1, func(Leaf) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if fetched != int(ref.Level) {
		t.Errorf("%d nodes fetched for one byte in a tree of level %d", fetched, ref.Level)
	}
}

func TestLeavesErrors(t *testing.T) {
	nodes := nodeMap{}
	ref := build(t, sequence(5, 2000), nodes)
	discard := func(Leaf) error { return nil }

	stop := errors.New("enough")
	if err := Leaves(t.Context(), nodes.get, ref, 0, All, func(Leaf) error { return stop }); err != stop {
		t.Errorf("error of fn: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Leaves(ctx, nodes.get, ref, 0, All, discard); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	single := Ref{ID: chunks.Sum([]byte("x")), Size: 1}
	if err := Leaves(ctx, nil, single, 0, All, discard); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context, one chunk: %v", err)
	}
	if err := Leaves(t.Context(), nodeMap{}.get, ref, 0, All, discard); !errors.Is(err, chunks.ErrNotFound) {
		t.Errorf("missing node: %v", err)
	}
	for name, wrong := range map[string]Ref{
		"size":       {Level: ref.Level, ID: ref.ID, Size: ref.Size + 1},
		"level":      {Level: ref.Level + 1, ID: ref.ID, Size: ref.Size},
		"high level": {Level: MaxLevel + 1, ID: ref.ID, Size: ref.Size},
		"zero ID":    {Level: 1, Size: 5},
		"zero size":  {Level: 1, ID: ref.ID},
		"one chunk":  {ID: ref.ID, Size: chunks.MaxRaw + 1},
		"too large":  {Level: 8, ID: ref.ID, Size: math.MaxUint64},
	} {
		if err := Leaves(t.Context(), nodes.get, wrong, 0, All, discard); !errors.Is(err, chunks.ErrCorrupt) {
			t.Errorf("wrong %s: %v", name, err)
		}
	}
}

func TestWalkAndMissing(t *testing.T) {
	leaves := sequence(6, 3000)
	nodes := nodeMap{}
	ref := build(t, leaves, nodes)
	var got []Ref
	walk := func(descend func(Ref) bool) {
		t.Helper()
		got = nil
		err := Walk(t.Context(), nodes.get, ref, func(r Ref) (bool, error) {
			got = append(got, r)
			return descend(r), nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	walk(func(Ref) bool { return true })
	if len(got) != len(leaves)+len(nodes) || got[0] != ref {
		t.Errorf("%d objects, want %d nodes and %d chunks", len(got), len(nodes), len(leaves))
	}
	walk(func(r Ref) bool { return r.Level > 1 })
	if len(got) != len(nodes) {
		t.Errorf("%d objects without the chunks, want %d", len(got), len(nodes))
	}
	if err := Walk(t.Context(), nodes.get, Ref{}, nil); err != nil {
		t.Errorf("empty content: %v", err)
	}

	var root Node
	if err := root.Decode(ref, Root, nodes[ref.ID]); err != nil {
		t.Fatal(err)
	}
	children := root.Children(nil)
	has := func(_ context.Context, ids []chunks.ID, present []bool) error {
		for i := range ids {
			present[i] = i%2 == 0
		}
		return nil
	}
	missing, err := Missing(t.Context(), has, children, nil)
	if err != nil || len(missing) != len(children)/2 || missing[0] != children[1] {
		t.Errorf("missing %d of %d children: %v", len(missing), len(children), err)
	}
	broken := errors.New("disk on fire")
	_, err = Missing(t.Context(), func(context.Context, []chunks.ID, []bool) error { return broken }, children, nil)
	if !errors.Is(err, broken) {
		t.Errorf("error of the look-up: %v", err)
	}
}

func TestBuilderErrors(t *testing.T) {
	id := chunks.Sum([]byte("x"))
	for _, c := range []struct {
		id   chunks.ID
		size int
	}{{id, 0}, {id, -1}, {id, chunks.MaxRaw + 1}, {chunks.ID{}, 1}} {
		b := NewBuilder(nodeMap{}.emit)
		if b.Add(c.id, c.size) == nil {
			t.Errorf("chunk %v of %d bytes accepted", c.id, c.size)
		}
		if _, err := b.Finish(); err == nil {
			t.Errorf("finished after an error")
		}
		b.Reset()
		if err := b.Add(id, 1); err != nil {
			t.Errorf("after Reset: %v", err)
		}
	}
	full := errors.New("disk full")
	b := NewBuilder(func(chunks.ID, []byte) error { return full })
	for range 2 {
		if err := b.Add(id, 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Finish(); !errors.Is(err, full) {
		t.Errorf("error of emit: %v", err)
	}
	if err := b.Add(id, 1); !errors.Is(err, full) {
		t.Errorf("the error is forgotten: %v", err)
	}
	b = NewBuilder(nodeMap{}.emit)
	b.size = MaxSize
	if err := b.Add(id, 1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("size overflow: %v", err)
	}
	b.Reset()
	if _, err := b.Finish(); err != nil {
		t.Error(err)
	}
	if b.Add(id, 1) == nil {
		t.Error("added after Finish")
	}
}

func TestBuilderDoesNotAllocate(t *testing.T) {
	leaves := sequence(7, 5000)
	b := NewBuilder(func(chunks.ID, []byte) error { return nil })
	n := testing.AllocsPerRun(5, func() {
		b.Reset()
		for _, l := range leaves {
			if err := b.Add(l.ID, int(l.Size)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Finish(); err != nil {
			t.Fatal(err)
		}
	})
	if n > 2 {
		t.Errorf("building 5,000 leaves allocates %v times", n)
	}
}

func BenchmarkBuild(b *testing.B) {
	leaves := sequence(8, 16384)
	bu := NewBuilder(func(chunks.ID, []byte) error { return nil })
	b.ReportAllocs()
	for b.Loop() {
		bu.Reset()
		for _, l := range leaves {
			if err := bu.Add(l.ID, int(l.Size)); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := bu.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLeaves(b *testing.B) {
	nodes := nodeMap{}
	ref := build(b, sequence(9, 16384), nodes)
	b.ReportAllocs()
	for b.Loop() {
		if err := Leaves(b.Context(), nodes.get, ref, 0, All, func(Leaf) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
