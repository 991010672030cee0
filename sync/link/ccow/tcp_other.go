//go:build !linux

package ccow

import "net"

// unsent returns how many bytes the peer has not acknowledged yet, or -1 when
// that cannot be known: on these systems.
func unsent(net.Conn) int { return -1 }

// sendBufferAllowed leaves the send buffer to the kernel.
func sendBufferAllowed(int) bool { return false }
