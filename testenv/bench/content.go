package main

import (
	"encoding/binary"
	"io"
	"math/bits"
)

// generator is xoshiro256**, by Blackman and Vigna: fast enough that making
// content costs little beside sending it, and the same bytes for the same seed
// everywhere. It is not for secrets.
type generator struct{ s [4]uint64 }

// newGenerator seeds with splitmix64, as the authors of xoshiro advise.
func newGenerator(seed uint64) *generator {
	g := &generator{}
	for i := range g.s {
		seed += 0x9e3779b97f4a7c15
		z := seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		g.s[i] = z ^ z>>31
	}
	return g
}

func (g *generator) next() uint64 {
	s := &g.s
	result := bits.RotateLeft64(s[1]*5, 7) * 9
	t := s[1] << 17
	s[2] ^= s[0]
	s[3] ^= s[1]
	s[1] ^= s[2]
	s[0] ^= s[3]
	s[2] ^= t
	s[3] = bits.RotateLeft64(s[3], 45)
	return result
}

// kind is what content is like.
type kind int

const (
	random kind = iota // no compressor gains anything
	text               // words and lines; compresses to about a third
)

// block is how much content is made at a time. A multiple of 8.
const block = 64 << 10

// content returns a reader of size bytes of one kind, the same for the same seed.
func content(k kind, seed uint64, size int64) io.Reader {
	r := &contentReader{kind: k, gen: newGenerator(seed), left: size}
	return r
}

type contentReader struct {
	kind kind
	gen  *generator
	left int64
	buf  [block]byte
	have []byte // the rest of buf
	word []byte // the rest of a word that the last block cut
}

func (r *contentReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if len(r.have) == 0 {
		if r.kind == text {
			r.fillText()
		} else {
			fillRandom(r.gen, r.buf[:])
		}
		r.have = r.buf[:min(int64(block), r.left)]
	}
	n := copy(p, r.have)
	r.have = r.have[n:]
	r.left -= int64(n)
	return n, nil
}

// fillRandom fills p, whose length is a multiple of 8.
func fillRandom(g *generator, p []byte) {
	for i := 0; i+8 <= len(p); i += 8 {
		binary.LittleEndian.PutUint64(p[i:], g.next())
	}
}

// fillText fills the block with words of a fixed dictionary, frequent ones more
// often, about twelve to a line.
func (r *contentReader) fillText() {
	n := copy(r.buf[:], r.word)
	r.word = r.word[:0]
	for {
		x := r.gen.next()
		for range 4 {
			// The product of two uniform numbers prefers small ones, as
			// languages prefer few words.
			w := dictionary[(x&0xff)*(x>>8&0xff)*uint64(len(dictionary))>>16]
			x >>= 16
			m := copy(r.buf[n:], w)
			n += m
			if n == block {
				r.word = append(r.word, w[m:]...)
				return
			}
		}
	}
}

// dictionary is a made-up language: 2,048 words of two to five syllables, each
// with the space or line break that follows it.
var dictionary = makeDictionary()

func makeDictionary() [][]byte {
	const consonants, vowels = "bcdfghklmnprstvz", "aeiou"
	g := newGenerator(1)
	words := make([][]byte, 2048)
	for i := range words {
		x := g.next()
		var w []byte
		for range 2 + x%4 {
			x = g.next()
			w = append(w, consonants[x%16], vowels[x>>8%5])
			if x>>16%4 == 0 {
				w = append(w, consonants[x>>24%16])
			}
		}
		end := byte(' ')
		if g.next()%12 == 0 {
			end = '\n'
		}
		words[i] = append(w, end)
	}
	return words
}

// fill fills p with incompressible content of a seed.
func fill(seed uint64, p []byte) {
	g := newGenerator(seed)
	whole := len(p) &^ 7
	fillRandom(g, p[:whole])
	var last [8]byte
	fillRandom(g, last[:])
	copy(p[whole:], last[:])
}
