package ccow

import (
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// unsent returns how many bytes the peer has not acknowledged yet, or -1 when
// that cannot be known.
func unsent(c net.Conn) int {
	tcp := beneath(c)
	if tcp == nil {
		return -1
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return -1
	}
	n := -1
	if err := raw.Control(func(fd uintptr) {
		if v, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			n = v
		}
	}); err != nil {
		return -1
	}
	return n
}

// sendBufferAllowed reports whether the kernel grants a send buffer of n bytes.
// Asking for one that it cuts down would be worse than not asking, because it
// also ends the kernel's own tuning of the buffer.
func sendBufferAllowed(n int) bool { return sendBufferMax() >= n }

var sendBufferMax = sync.OnceValue(func() int {
	raw, err := os.ReadFile("/proc/sys/net/core/wmem_max")
	if err != nil {
		return 0
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return 0
	}
	return v
})
