// Package objsync moves versions between two sites over one link.
//
// The receiver pulls. Local is what a sender offers to one peer: the logs of
// the buckets it serves, pages of their catalog for an initial copy, and the
// chunks of the versions in them. Engine is the receiving end: it follows the
// far end's Local, fetches what its own chunk store lacks, and commits records
// together with the cursor that says how far it is. A link whose direction is
// send+receive has a Local and an Engine at both ends.
//
// What holds at every moment, and after a crash of either end:
//
//   - A version is visible only when all its chunks are durable here.
//   - Every record of the sender's log at or below the cursor is applied,
//     superseded, or in the pending table by name with a reason.
//   - A chunk that arrived and was stored is not asked for again.
//   - Nothing that a peer says is believed without a check: chunks are hashed,
//     manifest nodes are decoded as canonical trees, entitlement is proved by
//     the path from a kept version's root.
//
// The rules about records (order, conflict, seen vectors, echo) are those of
// raftfsm/catalog; the decisions of an Engine are pure functions in decide.go.
package objsync
