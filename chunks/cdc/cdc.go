package cdc

import "edgefog.dev/isgw/chunks"

// The bounds of a chunk's length in bytes.
const (
	// MinSize is what every chunk but a content's last exceeds.
	MinSize = AvgSize / 2
	// AvgSize is the length at which a cut becomes likelier: the length that
	// the lengths are gathered around.
	AvgSize = 64 << 10
	// MaxSize is the greatest length; a chunk that reaches it is cut there.
	MaxSize = chunks.MaxRaw
)

const (
	// window is the number of bytes that a 64-bit gear hash depends on: each
	// byte shifts it by one bit.
	window = 64

	// A hash below the threshold has 16+2 or 16-2 leading zero bits; 2^16 is
	// AvgSize. The leading bits are the ones that depend on the whole window.
	thresholdBelowAvg = 1 << (64 - 18)
	thresholdAboveAvg = 1 << (64 - 14)
)

// Cut returns the length of the first chunk of p. It returns 0 when p does not
// hold that chunk's end: when p is empty, and when atEOF is false, p is shorter
// than MaxSize and no cut was found in it. With atEOF, p is all that is left of
// the content, and a rest without a cut is the last chunk.
//
// Cut is a pure function of p[:result], and of p's being the end, so more bytes
// after the cut never change it. It takes about 0.4 ns a byte, does not
// allocate, and may be called by any number of goroutines.
func Cut(p []byte, atEOF bool) int {
	if len(p) > MaxSize {
		p = p[:MaxSize]
	}
	if len(p) > MinSize {
		if n := scan(p); n != 0 {
			return n
		}
	}
	if atEOF || len(p) == MaxSize {
		return len(p)
	}
	return 0
}

// scan looks for a cut in p, which is longer than MinSize and not longer than
// MaxSize. It returns 0 when there is none.
func scan(p []byte) int {
	// The bytes below MinSize cannot be cut points; only those in the window
	// of the first candidate are hashed.
	var fp uint64
	for _, c := range p[MinSize-window : MinSize] {
		fp = fp<<1 + gear[c]
	}
	n, fp := search(p, MinSize, min(len(p), AvgSize), fp, thresholdBelowAvg)
	if n != 0 || len(p) <= AvgSize {
		return n
	}
	n, _ = search(p, AvgSize, len(p), fp, thresholdAboveAvg)
	return n
}

// search feeds p[from:to] to the hash fp and returns the length up to and with
// the first byte after which it is below threshold, or 0, and the hash.
func search(p []byte, from, to int, fp, threshold uint64) (int, uint64) {
	i := from
	// Eight bytes a turn, one branch a byte: the loop is bound by the chain
	// of additions and shifts, so the compares cost nothing.
	for ; i+8 <= to; i += 8 {
		b := (*[8]byte)(p[i:])
		if fp = fp<<1 + gear[b[0]]; fp < threshold {
			return i + 1, fp
		}
		if fp = fp<<1 + gear[b[1]]; fp < threshold {
			return i + 2, fp
		}
		if fp = fp<<1 + gear[b[2]]; fp < threshold {
			return i + 3, fp
		}
		if fp = fp<<1 + gear[b[3]]; fp < threshold {
			return i + 4, fp
		}
		if fp = fp<<1 + gear[b[4]]; fp < threshold {
			return i + 5, fp
		}
		if fp = fp<<1 + gear[b[5]]; fp < threshold {
			return i + 6, fp
		}
		if fp = fp<<1 + gear[b[6]]; fp < threshold {
			return i + 7, fp
		}
		if fp = fp<<1 + gear[b[7]]; fp < threshold {
			return i + 8, fp
		}
	}
	for ; i < to; i++ {
		if fp = fp<<1 + gear[p[i]]; fp < threshold {
			return i + 1, fp
		}
	}
	return 0, fp
}
