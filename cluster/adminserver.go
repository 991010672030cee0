package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"edgefog.dev/isgw/cluster/admin"
)

// SocketName is the name of the admin socket in the data directory.
const SocketName = "admin.sock"

// serveAdmin serves the admin API on the socket in the data directory. Who may
// open the socket may do everything, so only the node's own user may.
func (n *Node) serveAdmin() error {
	server, err := admin.NewServer(admin.Options{
		System:   systemAdmin{n},
		Paths:    pathsAdmin{n},
		Keys:     keysAdmin{n},
		Sites:    sitesAdmin{n},
		Services: servicesAdmin{n},
		Objects:  objectsAdmin{n},
		Node:     n.identity.Name(),
		Logger:   n.log.With("part", "admin"),
		Clock:    n.opts.Clock,
		Rand:     n.opts.Rand,
	})
	if err != nil {
		return err
	}
	path := filepath.Join(n.opts.Dir, SocketName)
	ln, err := listenSocket(path)
	if err != nil {
		return err
	}
	n.socket = path
	n.group.Go(func() error { return server.Serve(n.ctx, ln) })
	n.log.Info("admin API is served", "socket", path)
	return nil
}

// listenSocket listens on a socket that only this user may open. The lock on
// the data directory is held, so a socket that is there is of a dead process.
func listenSocket(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove old admin socket: %w", err)
	}
	if len(path) > 100 {
		return nil, fmt.Errorf("listen on admin socket %s: the path is longer than the 100 characters that a socket may have: choose a shorter data directory", path)
	}
	// The directory is 0700 when this program made it; the mask covers one
	// that was there before, between bind and chmod.
	old := syscall.Umask(0o177)
	ln, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen on admin socket: %w", err)
	}
	return ln, nil
}
