// Package chunks holds what every part of isgw knows about content: the ID of a
// chunk, a chunk in the form in which it is stored and travels, the codec
// between that form and the raw bytes, and the Store interface.
//
// A chunk is an immutable piece of content of at most MaxRaw bytes. Its ID is
// the BLAKE3-256 of its raw (uncompressed) bytes. The same encoded form, with
// its declared raw length, lies in a store and crosses a link, so nothing is
// compressed twice. Whoever takes a chunk from a disk or from a peer decodes
// it with Codec.Decode, which trusts neither the declared length nor the bytes.
package chunks
