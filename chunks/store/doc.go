// Package store keeps chunks in the files of a local directory.
//
// Chunks are appended to segments: files of 256 MiB whose records describe
// themselves. A Pebble database beside them, the index, holds where each chunk
// lies. Its content can be made again from the segments, and it is, when it is
// lost or damaged.
//
// # What is promised
//
// When Put returns nil, the batch survives a power cut: its records were synced
// in their segment before the index knew of them. A chunk that Has reports was
// durable when it was reported. Get verifies every byte it returns against the
// ID. The index itself is synced seldom. After a crash, the records of the last
// segment that it does not know are verified and indexed by the next Open, and
// a torn end is cut off.
//
// A failed write or sync fails the batches of its group, of which nothing is
// then visible, and ends the segment: a sync that failed once is never tried
// again, because the kernel may have dropped the data it could not write. The
// next Put starts another segment, so a disk that was full and has room again
// needs no restart; reads go on throughout. If the index itself cannot be
// written, Put and Has fail until the store is opened again, and Get goes on.
//
// A chunk whose bytes turn out damaged, or that lies in a segment that is gone,
// is marked in the index: Has reports it absent, Get still tries it, and a Put
// replaces it. So a damaged chunk is repaired by storing it again.
//
// # How it is fast
//
// One goroutine commits. While it writes and syncs one group, the batches that
// arrive gather into the next, up to Options.GroupBytes; when it is idle a batch
// is committed at once. A filter in memory, of fixed size, answers most
// look-ups of unknown chunks without the index; it never decides that a chunk is
// present.
//
// The files are described in docs/format-chunks.md.
package store
