// Package catalog is a site's index of objects: the versions of every key of
// every bucket, the buckets' logs, what is known of other sites' logs, and
// multipart uploads under way. It is the larger part of the state of the site's
// raft FSM and lies in a Pebble that the FSM owns and shares with it.
//
// The package has three parts.
//
// The rules (rules.go) are pure functions about records: which of two versions
// wins, whether they conflict, whether a record that arrives is news, what is
// kept, what is offered to whom. Every site decides by them alone, so sites that
// know the same records agree, in whatever order the records came.
//
// The apply side ([Batch]) carries out the commands of the raft log. It reads
// the catalog and the command and nothing else, so that every node of the site
// comes to the same state; [Catalog.Digest] proves it.
//
// The read side is the other methods of [Catalog]. Each takes a bounded page of
// a consistent view and holds nothing afterwards: no iterator, no snapshot.
//
// The layout of the keys and values is in docs/format-catalog.md.
package catalog
