package store

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"edgefog.dev/isgw/chunks"
)

const (
	filterBlockWords = 8
	filterBlockBytes = 8 * filterBlockWords
)

// filter is a set of IDs that may hold more than was added: a split block Bloom
// filter (Putze, Sanders and Singler, 2007), with a block of one cache line and
// one bit in each of its eight words. An ID is a hash already, so its own bytes
// choose block and bits. Its size is fixed: as it fills it answers "maybe" more
// often. All methods may be called at once.
type filter struct {
	words []uint64 // accessed atomically
	// ready says that every chunk of the index was added. Until then the
	// filter answers "maybe".
	ready atomic.Bool
}

func newFilter(size int64) *filter {
	return &filter{words: make([]uint64, size/filterBlockBytes*filterBlockWords)}
}

// block returns the words that id's bits lie in.
func (f *filter) block(id *chunks.ID) []uint64 {
	n := uint64(len(f.words) / filterBlockWords)
	i, _ := bits.Mul64(binary.LittleEndian.Uint64(id[:8]), n)
	return f.words[i*filterBlockWords : (i+1)*filterBlockWords]
}

// add adds id.
func (f *filter) add(id *chunks.ID) {
	block := f.block(id)
	for i := range block {
		atomic.OrUint64(&block[i], 1<<(id[8+i]&63))
	}
}

// maybe reports false only when id was never added.
func (f *filter) maybe(id *chunks.ID) bool {
	if !f.ready.Load() {
		return true
	}
	block := f.block(id)
	for i := range block {
		if atomic.LoadUint64(&block[i])&(1<<(id[8+i]&63)) == 0 {
			return false
		}
	}
	return true
}
