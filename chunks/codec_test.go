package chunks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

var testCodec = sync.OnceValue(func() *Codec {
	c, err := NewCodec()
	if err != nil {
		panic(err)
	}
	return c
})

// random returns bytes that do not compress, the same in every run.
func random(seed uint64, n int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	p := make([]byte, n)
	rand.NewChaCha8(key).Read(p)
	return p
}

func text(n int) []byte {
	return bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog; "), n/45+1)[:n]
}

func TestCodecRoundTrip(t *testing.T) {
	c := testCodec()
	var b Buffer
	for _, n := range []int{1, 2, 100, 4096, 65536, MaxRaw - 1, MaxRaw} {
		for name, raw := range map[string][]byte{
			"random": random(uint64(n), n), "text": text(n), "zeros": make([]byte, n),
			"half": append(random(1, n/2), make([]byte, n-n/2)...),
		} {
			ch := c.Encode(Sum(raw), raw, nil)
			if len(ch.Data) > len(raw) || ch.RawLen != uint32(n) {
				t.Errorf("%s of %d bytes: %d encoded, raw length %d", name, n, len(ch.Data), ch.RawLen)
			}
			b.Chunk = ch
			if err := c.Decode(&b); err != nil {
				t.Fatalf("%s of %d bytes: %v", name, n, err)
			}
			if !bytes.Equal(b.Raw, raw) {
				t.Fatalf("%s of %d bytes came back as others", name, n)
			}
		}
	}
}

func TestIncompressibleStaysRaw(t *testing.T) {
	c := testCodec()
	raw := random(1, 65536)
	ch := c.Encode(Sum(raw), raw, make([]byte, 0, 1<<17))
	if ch.Encoding != Raw || &ch.Data[0] != &raw[0] {
		t.Errorf("random bytes are encoded as %d, or copied", ch.Encoding)
	}
	if ch := c.Encode(Sum(text(65536)), text(65536), nil); ch.Encoding != Zstd || len(ch.Data) > 6553 {
		t.Errorf("text is encoded as %d in %d bytes", ch.Encoding, len(ch.Data))
	}
	// 3 % of the bytes compress: too little to be worth decoding.
	raw = append(random(2, 63550), make([]byte, 1986)...)
	if ch := c.Encode(Sum(raw), raw, nil); ch.Encoding != Raw {
		t.Errorf("a saving of 3 %% is taken: %d of %d bytes", len(ch.Data), len(raw))
	}
}

func TestEncodePanicsOutsideItsBounds(t *testing.T) {
	for _, n := range []int{0, MaxRaw + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d bytes are encoded", n)
				}
			}()
			testCodec().Encode(ID{1}, make([]byte, n), nil)
		}()
	}
}

// frame compresses without the codec's limits.
func frame(t testing.TB, raw []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, append([]zstd.EOption{zstd.WithEncoderConcurrency(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(raw, nil)
}

func TestDecodeRefusesDamage(t *testing.T) {
	c := testCodec()
	raw := text(50_000)
	good := c.Encode(Sum(raw), raw, nil)
	plain := Chunk{ID: Sum(raw[:100]), RawLen: 100, Data: raw[:100]}
	bomb := frame(t, make([]byte, 64<<20))
	for name, ch := range map[string]Chunk{
		"nothing":             {},
		"no raw length":       {ID: good.ID, Encoding: Zstd, Data: good.Data},
		"absurd raw length":   {ID: good.ID, Encoding: Zstd, RawLen: 1 << 31, Data: good.Data},
		"just too long":       {ID: good.ID, Encoding: Zstd, RawLen: MaxRaw + 1, Data: good.Data},
		"raw length too much": {ID: good.ID, Encoding: Zstd, RawLen: good.RawLen + 1, Data: good.Data},
		"raw length too low":  {ID: good.ID, Encoding: Zstd, RawLen: good.RawLen - 1, Data: good.Data},
		"wrong ID":            {ID: ID{1}, Encoding: Zstd, RawLen: good.RawLen, Data: good.Data},
		"unknown encoding":    {ID: good.ID, Encoding: 2, RawLen: good.RawLen, Data: good.Data},
		"encoded as raw":      {ID: good.ID, Encoding: Raw, RawLen: good.RawLen, Data: good.Data},
		"raw as encoded":      {ID: plain.ID, Encoding: Zstd, RawLen: 100, Data: plain.Data},
		"cut short":           {ID: good.ID, Encoding: Zstd, RawLen: good.RawLen, Data: good.Data[:len(good.Data)-1]},
		"no data":             {ID: good.ID, Encoding: Zstd, RawLen: good.RawLen},
		"more data than raw":  {ID: good.ID, Encoding: Raw, RawLen: 10, Data: good.Data},
		"garbage":             {ID: good.ID, Encoding: Zstd, RawLen: good.RawLen, Data: random(1, 1000)},
		"bomb":                {ID: good.ID, Encoding: Zstd, RawLen: MaxRaw, Data: bomb},
		"many frames":         {ID: good.ID, Encoding: Zstd, RawLen: MaxRaw, Data: bytes.Repeat(frame(t, make([]byte, 100_000)), 100)},
		"flipped raw":         {ID: plain.ID, RawLen: 100, Data: append([]byte{'!'}, raw[1:100]...)},
	} {
		b := Buffer{Chunk: ch, Raw: raw}
		if err := c.Decode(&b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if b.Raw != nil {
			t.Errorf("%s: bytes are given in spite of the error", name)
		}
	}
	for i := range good.Data {
		data := bytes.Clone(good.Data)
		data[i] ^= 0x40
		b := Buffer{Chunk: Chunk{ID: good.ID, Encoding: Zstd, RawLen: good.RawLen, Data: data}}
		if err := c.Decode(&b); err == nil && !bytes.Equal(b.Raw, raw) {
			t.Fatalf("other bytes pass with byte %d flipped", i)
		} else if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	}
}

// allocated returns the bytes that do allocates.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestHostileLengthsTakeNoMemory decodes what claims or unfolds into far more
// than a chunk.
func TestHostileLengthsTakeNoMemory(t *testing.T) {
	c := testCodec()
	bomb := frame(t, make([]byte, 256<<20))
	// No declared size: the decoder finds out as it goes.
	var streamed bytes.Buffer
	w, err := zstd.NewWriter(&streamed, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	for range 64 {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	wide := frame(t, random(1, 4<<20), zstd.WithWindowSize(64<<20))[:MaxRaw/2]
	for name, ch := range map[string]Chunk{
		"absurd raw length": {ID: ID{1}, Encoding: Zstd, RawLen: 1<<32 - 1, Data: text(100)},
		"bomb":              {ID: ID{1}, Encoding: Zstd, RawLen: MaxRaw, Data: bomb},
		"streamed bomb":     {ID: ID{1}, Encoding: Zstd, RawLen: MaxRaw, Data: streamed.Bytes()},
		"small claim":       {ID: ID{1}, Encoding: Zstd, RawLen: uint32(streamed.Len()), Data: streamed.Bytes()},
		"wide window":       {ID: ID{1}, Encoding: Zstd, RawLen: MaxRaw, Data: wide},
	} {
		if len(ch.Data) > MaxRaw {
			t.Fatalf("%s: %d bytes are no chunk", name, len(ch.Data))
		}
		// The decoder's own state is made before, and kept.
		for range 4 {
			_ = c.Decode(&Buffer{Chunk: ch})
		}
		var err error
		n := allocated(func() { err = c.Decode(&Buffer{Chunk: ch}) })
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if n > 2*MaxRaw {
			t.Errorf("%s: %d bytes were allocated", name, n)
		}
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	c := testCodec()
	var b Buffer
	var dst []byte
	raws := [][]byte{text(65536), random(1, 65536), text(MaxRaw), random(2, MaxRaw), text(10_000)}
	var ids []ID
	for _, raw := range raws {
		ids = append(ids, Sum(raw))
	}
	round := func() {
		for i, raw := range raws {
			ch := c.Encode(ids[i], raw, dst)
			if ch.Encoding == Zstd {
				dst = ch.Data
			}
			data := b.Data(len(ch.Data))
			copy(data, ch.Data)
			ch.Data = data
			b.Chunk = ch
			if err := c.Decode(&b); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What Encode needs at most for random bytes, so that dst need not grow.
	dst = make([]byte, 0, MaxRaw+1<<10)
	round()
	if n := testing.AllocsPerRun(50, round); n > 0 && !raceEnabled {
		t.Errorf("%v allocations for %d chunks", n, len(raws))
	}
}

func TestIDs(t *testing.T) {
	id := Sum([]byte("abc"))
	// From the test vectors of BLAKE3's reference implementation.
	if got := id.String(); got != "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85" {
		t.Errorf("hash of abc is %s", got)
	}
	if got, err := IDFromBytes(id[:]); err != nil || got != id {
		t.Errorf("read as %s, %v", got, err)
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := IDFromBytes(make([]byte, n)); err == nil {
			t.Errorf("%d bytes read as an ID", n)
		}
	}
	if id.IsZero() || !(ID{}).IsZero() || id.Compare(id) != 0 || (ID{}).Compare(id) >= 0 || id.Compare(ID{}) <= 0 {
		t.Error("IDs compare wrongly")
	}
	if !Raw.Valid() || !Zstd.Valid() || Encoding(2).Valid() {
		t.Error("encodings are judged wrongly")
	}
}

// FuzzDecode checks that whatever passes is the chunk it names, in the bounds.
func FuzzDecode(f *testing.F) {
	c := testCodec()
	for _, raw := range [][]byte{text(300), random(1, 64), make([]byte, MaxRaw)} {
		ch := c.Encode(Sum(raw), raw, nil)
		f.Add(byte(ch.Encoding), ch.RawLen, ch.ID[:], ch.Data)
	}
	f.Add(byte(Zstd), uint32(MaxRaw), make([]byte, IDSize), frame(f, make([]byte, 16<<20)))
	f.Fuzz(func(t *testing.T, encoding byte, rawLen uint32, id, data []byte) {
		ch := Chunk{Encoding: Encoding(encoding), RawLen: rawLen, Data: data}
		copy(ch.ID[:], id)
		b := Buffer{Chunk: ch}
		if err := testCodec().Decode(&b); err != nil {
			if !errors.Is(err, ErrCorrupt) || b.Raw != nil {
				t.Fatalf("%d bytes with error %v", len(b.Raw), err)
			}
			return
		}
		if len(b.Raw) != int(rawLen) || len(b.Raw) > MaxRaw || Sum(b.Raw) != ch.ID {
			t.Fatalf("%d bytes pass as chunk %s of %d", len(b.Raw), ch.ID, rawLen)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	for name, raw := range map[string][]byte{"text": text(65536), "random": random(1, 65536)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			dst := make([]byte, 0, MaxRaw)
			id := Sum(raw)
			for b.Loop() {
				testCodec().Encode(id, raw, dst)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, raw := range map[string][]byte{"text": text(65536), "random": random(1, 65536)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			buf := Buffer{Chunk: testCodec().Encode(Sum(raw), raw, nil)}
			for b.Loop() {
				if err := testCodec().Decode(&buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
