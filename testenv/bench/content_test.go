package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
)

func read(t *testing.T, r io.Reader) []byte {
	t.Helper()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestContentIsFixed holds the content of a seed, so that figures of different
// versions are of the same bytes.
func TestContentIsFixed(t *testing.T) {
	const size = 3*block + 1001
	for _, c := range []struct {
		kind kind
		want string
	}{
		{random, "e5923baadc3da27a"},
		{text, "c2179ee36a58ca73"},
	} {
		data := read(t, content(c.kind, 7, size))
		if len(data) != size {
			t.Errorf("kind %d: %d bytes, want %d", c.kind, len(data), size)
		}
		sum := sha256.Sum256(data)
		if got := hex.EncodeToString(sum[:8]); got != c.want {
			t.Errorf("kind %d: content of seed 7 has hash %s, want %s", c.kind, got, c.want)
		}
		if again := read(t, iotest.HalfReader(content(c.kind, 7, size))); !bytes.Equal(again, data) {
			t.Errorf("kind %d: smaller reads give other bytes", c.kind)
		}
		if other := read(t, content(c.kind, 8, size)); bytes.Equal(other, data) {
			t.Errorf("kind %d: another seed gives the same bytes", c.kind)
		}
	}
}

// TestKindsCompress checks that one kind is what its name says and the other too.
func TestKindsCompress(t *testing.T) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	const size = 1 << 20
	for _, c := range []struct {
		kind        kind
		least, most float64
	}{{random, 0.999, 1.01}, {text, 0.2, 0.5}} {
		data := read(t, content(c.kind, 1, size))
		if part := float64(len(encoder.EncodeAll(data, nil))) / size; part < c.least || part > c.most {
			t.Errorf("kind %d compresses to %.3f of its size, want %.3f to %.3f", c.kind, part, c.least, c.most)
		}
	}
}

func TestFillTakesAnyLength(t *testing.T) {
	long := make([]byte, 64)
	fill(3, long)
	for n := range len(long) {
		short := make([]byte, n)
		fill(3, short)
		if !bytes.Equal(short, long[:n]) {
			t.Errorf("%d bytes of a seed are not the first of 64", n)
		}
	}
}
