// Package objects is the one path on which a site's objects are written and
// read: by the S3 endpoint, by the commands, and by whatever comes later.
//
// Writing splits a body into chunks, stores those that are missing, builds the
// manifest, stores its nodes, and proposes one record. The order is the promise:
// when a write returns without an error, every chunk of the version is durable
// and its record is committed; when it returns an error no record of it was
// made, except that an error of the proposer itself (see Options.Propose) may
// leave open whether it was. Chunks of a write that failed stay in the store,
// where collection finds them.
//
// Reading verifies every chunk, gives the bytes in order, and either gives all
// of the range or an error: never a short body that looks whole.
//
// The content of a version depends on its bytes alone. An object uploaded in
// parts is split again across the seams of its parts, so it has the same chunks
// and the same manifest as if it had come in one piece; see join.go.
//
// Memory is bounded by Options.MemoryBytes for all writes together and again
// for all reads together, whatever the number and the size of the objects.
package objects
