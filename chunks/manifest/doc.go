// Package manifest holds the tree of chunk IDs of one version of an object.
//
// A Ref is the root of a tree, and enough to read the object. The leaves are
// the chunks of the content in order. Over them lie nodes of level 1, whose
// entries are leaves; over these nodes of level 2, whose entries are nodes of
// level 1; and so on, until one entry is left: that is the Ref. A node is
// itself a chunk: its raw bytes are its encoding and its ID is their hash, so
// nodes are stored, sent and deduplicated as content is. An object of one chunk
// has no node, and the empty object has nothing at all.
//
// A node ends where its entries' IDs say so, not after a fixed number of them,
// so that inserting into the content changes the node at that place and the
// ones above it: about as many nodes as the tree has levels.
//
// The tree is canonical: it is a function of the sequence of chunk IDs and
// lengths alone, and every reader here refuses a tree that is not the one that
// a Builder makes. Equal contents have equal Refs, and Refs may be compared.
//
// The encoding, the fan-out and the rule that ends a node are constants of
// isgw's protocol, described in docs/format-chunks.md and frozen by the golden
// vectors of this package's tests.
package manifest
