// Package link holds what every transport of a link has in common: the Source
// that a sender offers to one peer, the errors that cross a link, the
// negotiation of versions, and the wrappers that count.
//
// A link is pulled. The receiver calls the methods of a Source; the sender
// implements them over its catalog and chunks. Between the two stands a
// transport (package ccow), whose client is again a Source, so that the engine
// of a link does not know how far away the sender is. Every transport passes
// the conformance suite of package linktest.
//
// The messages are those of package linkpb. Nothing that arrives through a
// Source has been verified, except that the peer is the one the link names and
// that every length is within its bound: the receiver checks each chunk against
// its ID and each record against the rules before it keeps anything.
package link
