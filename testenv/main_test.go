package testenv

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"testing"
)

func TestMain(m *testing.M) { Main(m, removeBuilt) }

// long says whether the long forms run: the sizes of the promises themselves.
func long() bool { return os.Getenv("ISGW_LONG") != "" }

// size is the long form's figure, or the short one's.
func size(short, full int64) int64 {
	if long() {
		return full
	}
	return short
}

// randomBytes are the same for the same seed.
func randomBytes(seed uint64, n int64) []byte {
	out := make([]byte, n)
	if _, err := io.ReadFull(randomReader(seed), out); err != nil {
		panic(err)
	}
	return out
}

func randomReader(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}
