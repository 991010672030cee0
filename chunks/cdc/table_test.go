package cdc

import (
	"encoding/binary"
	"testing"

	"github.com/zeebo/blake3"
)

// gearLabel is the content, followed by the entry's number in one byte, that
// each entry of the gear table is the BLAKE3 of.
const gearLabel = "isgw content-defined chunking: gear table 1"

// TestGearTable derives the table anew: nobody chose its numbers.
func TestGearTable(t *testing.T) {
	for i := range gear {
		sum := blake3.Sum256(append([]byte(gearLabel), byte(i)))
		if want := binary.LittleEndian.Uint64(sum[:8]); gear[i] != want {
			t.Fatalf("gear[%d] = %#016x, derived %#016x", i, gear[i], want)
		}
	}
}
