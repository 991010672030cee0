package cdc

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/zeebo/blake3"
	"pgregory.net/rapid"
)

// random returns n bytes that are the same on every machine and in every run.
func random(seed byte, n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(p)
	return p
}

// golden returns n bytes of BLAKE3's extended output, so that another
// implementation of the format can make the same content.
func golden(t *testing.T, label string, n int) []byte {
	t.Helper()
	h := blake3.New()
	h.WriteString(label)
	p := make([]byte, n)
	if _, err := io.ReadFull(h.Digest(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

// lengths splits the whole of p.
func lengths(p []byte) []int {
	var out []int
	for len(p) > 0 {
		n := Cut(p, true)
		out, p = append(out, n), p[n:]
	}
	return out
}

// TestGoldenCuts freezes the protocol: these numbers never change.
func TestGoldenCuts(t *testing.T) {
	ramp := make([]byte, 1<<20)
	for i := range ramp {
		ramp[i] = byte(i * i >> 8)
	}
	for _, c := range []struct {
		name    string
		content []byte
		want    []int
	}{
		{"empty", nil, nil},
		{"one byte", []byte{7}, []int{1}},
		{"shortest", random(1, MinSize), []int{MinSize}},
		{"zeros", make([]byte, 600_000), []int{262144, 262144, 75712}},
		{"ramp", ramp, []int{
			78888, 69729, 94111, 69729, 94111, 69729, 94111, 69729, 94111, 69729, 94111, 69729, 80759,
		}},
		{"random", golden(t, "isgw golden content 1", 2<<20), []int{
			68444, 99135, 38708, 75631, 66783, 69123, 89507, 68127, 39061, 75423, 39147, 91334, 66141, 83812, 77050,
			84150, 68069, 70243, 79328, 67134, 101258, 67362, 69966, 86982, 66664, 75730, 72088, 67476, 73276,
		}},
		{"four letters", letters(golden(t, "isgw golden content 2", 1<<20)), []int{
			69475, 36143, 85967, 65572, 67475, 78657, 91609, 125007, 66544, 79929, 77551, 75605, 81687, 47355,
		}},
	} {
		if got := lengths(c.content); !slices.Equal(got, c.want) {
			t.Errorf("%s: cuts %v, want %v", c.name, got, c.want)
		}
	}
}

// letters maps p onto an alphabet of four.
func letters(p []byte) []byte {
	for i := range p {
		p[i] = "ACGT"[p[i]&3]
	}
	return p
}

// simpleCut is the definition of a cut, without the speed.
func simpleCut(p []byte, atEOF bool) int {
	for n := MinSize + 1; n <= min(len(p), MaxSize); n++ {
		var fp uint64
		for _, c := range p[n-window : n] {
			fp = fp<<1 + gear[c]
		}
		zeros := 18
		if n > AvgSize {
			zeros = 14
		}
		if fp>>(64-zeros) == 0 || n == MaxSize {
			return n
		}
	}
	if atEOF {
		return len(p)
	}
	return 0
}

func TestCutAgainstDefinition(t *testing.T) {
	content := slices.Concat(random(3, 1<<20), make([]byte, MaxSize+100), letters(random(4, 1<<20)))
	for rest := content; len(rest) > 0; {
		n := Cut(rest, true)
		if want := simpleCut(rest, true); n != want {
			t.Fatalf("Cut %d bytes before the end: %d, definition says %d", len(rest), n, want)
		}
		rest = rest[n:]
	}
}

func TestCutNeedsMore(t *testing.T) {
	p := random(5, MaxSize)
	n := Cut(p, false)
	if n <= MinSize || n > MaxSize {
		t.Fatalf("Cut = %d", n)
	}
	for _, have := range []int{0, 1, MinSize, MinSize + 1, n - 1} {
		if got := Cut(p[:have], false); got != 0 {
			t.Errorf("Cut of %d bytes that hold no cut = %d", have, got)
		}
		if got := Cut(p[:have], true); got != have {
			t.Errorf("Cut of the last %d bytes = %d", have, got)
		}
	}
	for _, have := range []int{n, n + 1, MaxSize} {
		if got := Cut(p[:have], false); got != n {
			t.Errorf("Cut with %d bytes = %d, want %d", have, got, n)
		}
	}
	if got := Cut(make([]byte, MaxSize), false); got != MaxSize {
		t.Errorf("Cut of zeros = %d, want the maximum", got)
	}
}

// contents draws content with stretches that compress, repeat and do not.
func contents(maxLen int) *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		var out []byte
		for range rapid.IntRange(0, 4).Draw(t, "stretches") {
			// Steps and a rest, because drawn integers are mostly small.
			n := rapid.IntRange(0, 15).Draw(t, "steps")*(maxLen/64) + rapid.IntRange(1, maxLen/64).Draw(t, "rest")
			seed := rapid.Byte().Draw(t, "seed")
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				out = append(out, bytes.Repeat([]byte{seed}, n)...)
			case 1:
				out = append(out, letters(random(seed, n))...)
			default:
				out = append(out, random(seed, n)...)
			}
		}
		return out
	})
}

func TestBoundsAndMemorylessness(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := contents(2<<20).Draw(t, "content")
		all := lengths(p)
		sum := 0
		for i, n := range all {
			if n > MaxSize || n < 1 || n <= MinSize && i != len(all)-1 {
				t.Fatalf("chunk %d of %d has %d bytes", i, len(all), n)
			}
			// From any cut on, the splitter finds what it found from the start.
			if i == len(all)/2 {
				if got := lengths(p[sum:]); !slices.Equal(got, all[i:]) {
					t.Fatalf("from the cut at %d: %v, want %v", sum, got, all[i:])
				}
			}
			sum += n
		}
		if sum != len(p) {
			t.Fatalf("chunks hold %d bytes of %d", sum, len(p))
		}
	})
}

// piecewise gives content in pieces of drawn lengths.
type piecewise struct {
	rest  []byte
	sizes []int
	turn  int
}

func (r *piecewise) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := min(r.sizes[r.turn%len(r.sizes)], len(p), len(r.rest))
	r.turn++
	copy(p, r.rest[:n])
	r.rest = r.rest[n:]
	if len(r.rest) == 0 && r.turn%2 == 0 {
		return n, io.EOF // both ways of ending are legal
	}
	return n, nil
}

func TestSplitterDoesNotDependOnReads(t *testing.T) {
	s := NewSplitter(nil)
	rapid.Check(t, func(t *rapid.T) {
		p := contents(6<<20).Draw(t, "content")
		sizes := rapid.SliceOfN(rapid.IntRange(0, 300_000), 1, 6).Draw(t, "reads")
		sizes = append(sizes, 70_001)
		s.Reset(&piecewise{rest: p, sizes: sizes})
		rest := p
		for i, want := range lengths(p) {
			got, err := s.Next()
			if err != nil {
				t.Fatalf("chunk %d: %v", i, err)
			}
			if !bytes.Equal(got, rest[:want]) {
				t.Fatalf("chunk %d has %d bytes, want %d", i, len(got), want)
			}
			rest = rest[want:]
		}
		for range 2 {
			if got, err := s.Next(); err != io.EOF || got != nil {
				t.Fatalf("after the last chunk: %d bytes, %v", len(got), err)
			}
		}
	})
}

// TestBuffered gathers chunks as Buffered promises and looks at them late.
func TestBuffered(t *testing.T) {
	p := random(6, 7<<20+12345)
	s := NewSplitter(bytes.NewReader(p))
	var joined []byte
	var batch [][]byte
	batches := 0
	for {
		if !s.Buffered() {
			for _, c := range batch {
				joined = append(joined, c...)
			}
			batches, batch = batches+1, batch[:0]
		}
		c, err := s.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, c)
	}
	if !bytes.Equal(joined, p) {
		t.Fatalf("gathered chunks hold %d bytes, want %d, or others", len(joined), len(p))
	}
	if batches > 8 {
		t.Errorf("%d batches for 7 MiB: Buffered is too timid", batches)
	}
}

func TestSplitterReportsReadErrors(t *testing.T) {
	broken := errors.New("line went dead")
	p := random(7, 1<<20)
	for _, err := range []error{broken, io.ErrUnexpectedEOF} {
		s := NewSplitter(io.MultiReader(bytes.NewReader(p), iotest.ErrReader(err)))
		n := 0
		var got error
		for got == nil {
			var c []byte
			c, got = s.Next()
			n += len(c)
		}
		if !errors.Is(got, err) {
			t.Errorf("error %v, want %v", got, err)
		}
		if n == 0 || n > len(p) || s.Buffered() && n <= len(p)-MaxSize {
			t.Errorf("%d bytes of %d before the error", n, len(p))
		}
		if _, again := s.Next(); !errors.Is(again, err) {
			t.Errorf("the error is forgotten: %v", again)
		}
	}
	s := NewSplitter(&piecewise{rest: p, sizes: []int{0}})
	if _, err := s.Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: %v", err)
	}
}

// TestResynchronisation inserts bytes and counts the chunks that are new.
func TestResynchronisation(t *testing.T) {
	p := random(8, 6<<20)
	old := make(map[string]bool)
	for rest := p; len(rest) > 0; {
		n := Cut(rest, true)
		old[string(rest[:n])] = true
		rest = rest[n:]
	}
	rng := rand.New(rand.NewPCG(1, 2))
	fresh, edits := 0, 20
	for range edits {
		at := rng.IntN(len(p))
		edited := slices.Concat(p[:at], random(9, 1+rng.IntN(1000)), p[at:])
		for rest := edited; len(rest) > 0; {
			n := Cut(rest, true)
			if !old[string(rest[:n])] {
				fresh++
			}
			rest = rest[n:]
		}
	}
	perEdit := float64(fresh) / float64(edits)
	t.Logf("%.2f new chunks an edit", perEdit)
	if perEdit > 2 {
		t.Errorf("an insertion makes %.2f new chunks, want fewer than 2", perEdit)
	}
}

func TestNoAllocation(t *testing.T) {
	p := random(10, 8<<20)
	if n := testing.AllocsPerRun(5, func() { Cut(p, true) }); n != 0 {
		t.Errorf("Cut allocates %v times", n)
	}
	r := bytes.NewReader(p)
	s := NewSplitter(r)
	n := testing.AllocsPerRun(5, func() {
		r.Reset(p)
		s.Reset(r)
		for {
			if _, err := s.Next(); err == io.EOF {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	})
	if n != 0 {
		t.Errorf("splitting 8 MiB allocates %v times", n)
	}
}
