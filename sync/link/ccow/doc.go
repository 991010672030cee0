// Package ccow is the transport of links between sites: ccow://HOST:PORT.
//
// An [Endpoint] is one node's end of all its links. It accepts connections from
// paired sites and serves them the Source that its Resolve function names, and
// it makes [Client]s, each of which is the Source of one link at one peer. On
// every connection runs plain HTTP/1.1 with length-prefixed frames, over mutual
// TLS 1.3 in which both sides prove their identity (package identity); nothing
// is read from a peer that the handshake did not accept.
//
// Who dials and who asks are two questions. A client with an address dials its
// own connections. One without uses connections that the peer dials and then
// serves: the peer's client keeps as many of them open as it was asked to in
// the answer to Hello.
//
// A client keeps its connections apart: some for short requests, one for the
// change stream, several for chunks, because one connection's window bounds
// what it carries and because a large transfer must not hold up a small
// request. Deadlines are by progress: what moves may take as long as it takes.
//
// The protocol is described in docs/protocol.md.
package ccow
