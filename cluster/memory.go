package cluster

import "runtime/debug"

// MemoryLimit is what a node's heap is kept below, in bytes. The bounds of its
// parts add up to less; the limit makes the collector work harder when a burst
// comes near it, instead of letting garbage double the heap.
const MemoryLimit = 400 << 20

// LimitMemory tells the runtime of MemoryLimit, unless GOMEMLIMIT is set. It is
// for programs whose process is one node.
func LimitMemory() {
	if debug.SetMemoryLimit(-1) > MemoryLimit {
		debug.SetMemoryLimit(MemoryLimit)
	}
}
