package manifest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	"edgefog.dev/isgw/chunks"
)

// encode makes a node's bytes without the checks of a Builder.
func encode(level uint8, entries []Entry) []byte {
	raw := appendHeader(nil, level, len(entries))
	for _, e := range entries {
		raw = appendEntry(raw, &e.ID, e.Size)
	}
	return raw
}

// total is the sum of the sizes.
func total(entries []Entry) (sum uint64) {
	for _, e := range entries {
		sum += e.Size
	}
	return sum
}

// quiet returns n entries that do not end a node, and loud one that does.
func quiet(n int) []Entry {
	out := sequence(11, n)
	for i := range out {
		out[i].ID[7] = 0xff // the leading byte of the number that decides
	}
	return out
}

func loud() Entry {
	e := Entry{Size: 5}
	e.ID[31] = 1
	return e
}

func TestDecodeRefusesWhatIsNotCanonical(t *testing.T) {
	good := quiet(100)
	change := func(f func(e []Entry) []Entry) []byte { return encode(1, f(slices.Clone(good))) }
	for name, c := range map[string]struct {
		raw   []byte
		place Place
	}{
		"empty":           {nil, Last},
		"header only":     {encode(1, nil), Last},
		"magic":           {append([]byte("isgn"), encode(1, good)[4:]...), Last},
		"version":         {append([]byte("isgm\x02"), encode(1, good)[5:]...), Last},
		"level 0":         {encode(0, good), Last},
		"level 9":         {encode(9, good), Last},
		"trailing byte":   {append(encode(1, good), 0), Last},
		"cut short":       {encode(1, good)[:2000], Last},
		"cut by one":      {encode(1, good)[:len(encode(1, good))-1], Last},
		"count too large": {encode(1, quiet(MaxEntries+1)), Last},
		"count lies":      {append([]byte{'i', 's', 'g', 'm', 1, 1, 101, 0}, encode(1, good)[8:]...), Last},
		"root of one":     {encode(1, good[:1]), Root},
		"short inner":     {encode(1, good), Inner},
		"tiny inner":      {encode(1, []Entry{loud()}), Inner},
		"past its end":    {change(func(e []Entry) []Entry { e[80] = loud(); return e }), Last},
		"zero size":       {change(func(e []Entry) []Entry { e[3].Size = 0; return e }), Last},
		"zero ID":         {change(func(e []Entry) []Entry { e[3].ID = chunks.ID{}; return e }), Last},
		"chunk too long":  {change(func(e []Entry) []Entry { e[3].Size = chunks.MaxRaw + 1; return e }), Last},
		"sum overflows": {encode(8, []Entry{
			{ID: good[0].ID, Size: math.MaxInt64}, {ID: good[1].ID, Size: math.MaxInt64},
		}), Last},
		"overlong size": {func() []byte {
			raw := encode(1, good[:2])
			raw[len(raw)-1] |= 0x80
			return append(raw, 0)
		}(), Last},
		"endless size": {func() []byte {
			raw := append(appendHeader(nil, 1, 1), good[0].ID[:]...)
			return append(raw, bytes.Repeat([]byte{0xff}, 11)...)
		}(), Last},
	} {
		// What the parent says agrees wherever it can.
		ref := Ref{Level: 1, ID: chunks.Sum(c.raw), Size: total(good)}
		if len(c.raw) > 8 && c.raw[5] >= 1 {
			ref.Level = c.raw[5]
		}
		var n Node
		err := n.decode(c.raw)
		if err == nil {
			ref.Size = n.Size()
		}
		if err := n.Decode(ref, c.place, c.raw); !errors.Is(err, chunks.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if len(n.Entries) != 0 || n.Size() != 0 {
			t.Errorf("%s: the node holds something after an error", name)
		}
	}
	for name, c := range map[string]struct {
		entries []Entry
		place   Place
	}{
		"root":            {good, Root},
		"last":            {good, Last},
		"last of one":     {good[:1], Last},
		"inner":           {append(slices.Clone(good), loud()), Inner},
		"inner, earliest": {append(slices.Clone(good[:63]), loud()), Inner},
		"early end":       {append(append(slices.Clone(good[:62]), loud()), good[70]), Last},
		"inner, full":     {quiet(MaxEntries), Inner},
	} {
		raw := encode(1, c.entries)
		var n Node
		if err := n.Decode(Ref{Level: 1, ID: chunks.Sum(raw), Size: total(c.entries)}, c.place, raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.Equal(n.Entries, c.entries) {
			t.Errorf("%s: other entries came back", name)
		}
	}
}

// TestForeignTreeRefused stores trees that hold the right chunks in a form that
// no Builder makes, and reads them whole.
func TestForeignTreeRefused(t *testing.T) {
	leaves := sequence(12, 600)
	add := func(nodes nodeMap, level uint8, e []Entry) Entry {
		raw := encode(level, e)
		nodes[chunks.Sum(raw)] = raw
		return Entry{ID: chunks.Sum(raw), Size: total(e)}
	}
	nodes := nodeMap{}
	short := add(nodes, 2, []Entry{add(nodes, 1, leaves[:30]), add(nodes, 1, leaves[30:60])})
	skips := add(nodes, 3, []Entry{add(nodes, 1, leaves[:30]), add(nodes, 1, leaves[30:60])})
	lies := add(nodes, 1, leaves[:30])
	lies.Size++
	wrapped := add(nodes, 2, []Entry{lies, add(nodes, 1, leaves[30:60])})
	for name, ref := range map[string]Ref{
		"short inner node": {Level: 2, ID: short.ID, Size: short.Size},
		"level left out":   {Level: 3, ID: skips.ID, Size: skips.Size},
		"child's size":     {Level: 2, ID: wrapped.ID, Size: wrapped.Size},
	} {
		err := Leaves(t.Context(), nodes.get, ref, 0, All, func(Leaf) error { return nil })
		if !errors.Is(err, chunks.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		err = Walk(t.Context(), nodes.get, ref, func(Ref) (bool, error) { return true, nil })
		if !errors.Is(err, chunks.ErrCorrupt) {
			t.Errorf("%s, walked: %v", name, err)
		}
	}
}

func TestRefEncoding(t *testing.T) {
	id := chunks.Sum([]byte("x"))
	for _, r := range []Ref{
		{}, {ID: id, Size: 1}, {ID: id, Size: chunks.MaxRaw}, {Level: 1, ID: id, Size: 300}, {Level: 8, ID: id, Size: MaxSize},
	} {
		b := r.Append(nil)
		if len(b) > maxRefLen {
			t.Errorf("%v: %d bytes", r, len(b))
		}
		got, err := DecodeRef(b)
		if err != nil || got != r {
			t.Errorf("%v came back as %v, %v", r, got, err)
		}
	}
	valid := Ref{Level: 1, ID: id, Size: 300}.Append(nil)
	for name, b := range map[string][]byte{
		"nothing":       nil,
		"cut short":     valid[:len(valid)-1],
		"trailing byte": append(slices.Clone(valid), 0),
		"overlong":      append(append(slices.Clone(valid[:33]), 0xac, 0x82), 0),
		"level 9":       Ref{Level: 9, ID: id, Size: 1}.Append(nil),
		"zero ID":       Ref{Level: 1, Size: 1}.Append(nil),
		"zero size":     Ref{Level: 1, ID: id}.Append(nil),
		"too long":      Ref{ID: id, Size: chunks.MaxRaw + 1}.Append(nil),
		"overflow":      Ref{Level: 8, ID: id, Size: math.MaxUint64}.Append(nil),
	} {
		if r, err := DecodeRef(b); !errors.Is(err, chunks.ErrCorrupt) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
}

// FuzzDecode checks that what is accepted encodes to the same bytes, so that no
// two encodings of a node pass, and that memory follows the input's length.
func FuzzDecode(f *testing.F) {
	f.Add(encode(1, quiet(3)))
	f.Add(encode(2, append(quiet(70), loud())))
	f.Add([]byte("isgm\x01\x01\xff\x03"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var n Node
		if err := n.decode(raw); err != nil {
			if !errors.Is(err, chunks.ErrCorrupt) {
				t.Fatalf("error without ErrCorrupt: %v", err)
			}
			if cap(n.Entries) > len(raw) {
				t.Fatalf("%d bytes made it take memory for %d entries", len(raw), cap(n.Entries))
			}
			return
		}
		if got := encode(n.Level, n.Entries); !bytes.Equal(got, raw) {
			t.Fatalf("accepted %x, encodes as %x", raw, got)
		}
		if n.Size() != total(n.Entries) || n.Size() > MaxSize {
			t.Fatalf("size %d of entries with %d", n.Size(), total(n.Entries))
		}
		for i := range n.Entries {
			if r, _ := n.Child(i, Last); r.Validate() != nil {
				t.Fatalf("child %d is invalid: %v", i, r.Validate())
			}
		}
	})
}

func FuzzDecodeRef(f *testing.F) {
	f.Add(Ref{Level: 1, ID: chunks.Sum([]byte("x")), Size: 300}.Append(nil))
	f.Add(binary.AppendUvarint(make([]byte, 33), 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRef(b)
		if err == nil && !bytes.Equal(r.Append(nil), b) {
			t.Fatalf("accepted %x, encodes as %x", b, r.Append(nil))
		}
	})
}
