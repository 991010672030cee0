package cluster

import (
	"context"
	"path/filepath"

	"edgefog.dev/isgw/cluster/admin"
)

// SocketName is the name of the admin socket in the data directory.
const SocketName = "admin.sock"

// serveAdmin serves the admin API on the socket in the data directory. Who may
// open the socket may do everything, so only the node's own user may.
func (n *Node) serveAdmin(ctx context.Context) error {
	server, err := admin.NewServer(admin.Options{
		System:   systemAdmin{n},
		Paths:    pathsAdmin{n},
		Keys:     keysAdmin{n},
		Sites:    sitesAdmin{n},
		Services: servicesAdmin{n},
		Objects:  objectsAdmin{n},
		Console:  consoleAdmin{n},
		Plans:    plansAdmin{n},
		Node:     n.identity.Name(),
		Logger:   n.log.With("part", "admin"),
		Clock:    n.opts.Clock,
		Rand:     n.opts.Rand,
	})
	if err != nil {
		return err
	}
	path := filepath.Join(n.opts.Dir, SocketName)
	ln, err := admin.ListenUnix(ctx, path)
	if err != nil {
		return err
	}
	n.socket = path
	n.group.Go(func() error { return server.Serve(n.ctx, ln) })
	n.log.Info("admin API is served", "socket", path)
	return nil
}
