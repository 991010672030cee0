// Package tunnel carries connections inside SSH.
//
// A [Dialer] makes them, with the signature of a DialContext, and a [Listener]
// takes them from a net.Listener, on which plain connections go on to arrive
// beside them: the first byte tells which is which. Whatever runs over a
// net.Conn runs through a tunnel without knowing.
//
// A tunnel is one TCP connection, one SSH connection on it and one channel on
// that: bulk data in one tunnel never stands before another's. Both sides prove
// an ed25519 key, with a certificate that carries what ties the key to
// somebody who is known ([Options].Verify decides). There is one type of
// channel; nothing can be run, forwarded or asked for. Ciphers are AES-GCM only.
//
// An SSH channel's window is 2 MiB, which bounds what one tunnel carries in a
// round trip; whoever has to fill a long line opens several.
//
// How a tunnel is made is described in docs/protocol.md.
package tunnel
