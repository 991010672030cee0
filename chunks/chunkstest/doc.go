// Package chunkstest holds what tests of chunk stores share: the conformance
// suite that every implementation of chunks.Store runs, a store in memory that
// says what is right, and a wrapper that fails as planned.
package chunkstest
