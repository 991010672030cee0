package cluster

import (
	"context"
	"fmt"
	"net"
	"path/filepath"

	"edgefog.dev/isgw/cluster/admin"
)

// SocketName is the name of the admin socket in the data directory.
const SocketName = "admin.sock"

// serveAdmin serves the admin API on the socket in the data directory. Who may
// open the socket may do everything, so only the node's own user may.
func (n *Node) serveAdmin(ctx context.Context) error {
	ln, err := admin.ListenUnix(ctx, n.socket)
	if err != nil {
		return err
	}
	n.group.Go(func() error { return n.admin.Serve(n.ctx, ln) })
	n.log.Info("admin API is served", "socket", n.socket)
	return nil
}

// newAdmin makes the server of the admin API, for every way it is reached.
func (n *Node) newAdmin() (err error) {
	if n.audit, err = openAudit(filepath.Join(n.opts.Dir, auditName), n.log); err != nil {
		return err
	}
	n.admin, err = admin.NewServer(admin.Options{
		System:       systemAdmin{n},
		Paths:        pathsAdmin{n},
		Keys:         keysAdmin{n},
		Sites:        sitesAdmin{n},
		Pairings:     pairingsAdmin{n},
		Resyncs:      resyncsAdmin{n},
		Faults:       faultsAdmin{n},
		Verification: verificationAdmin{n},
		Services:     servicesAdmin{n},
		Objects:      objectsAdmin{n},
		Versions:     versionsAdmin{n},
		Console:      consoleAdmin{n},
		Plans:        plansAdmin{n},
		Access:       accessAdmin{n},
		Authenticate: n.authenticate,
		Audit:        n.audit.add,
		Node:         n.identity.Name(),
		Logger:       n.log.With("part", "admin"),
		Clock:        n.opts.Clock,
		Rand:         n.opts.Rand,
	})
	return err
}

// serveAdminTLS serves the admin API to callers from elsewhere, once the site
// has an authority.
func (s *site) serveAdminTLS(ln net.Listener) error {
	if ln == nil {
		return nil
	}
	config, err := s.adminTLS(ln.Addr())
	if err != nil {
		return fmt.Errorf("serve admin API on %s: %w", ln.Addr(), err)
	}
	n := s.node
	n.group.Go(func() error { return n.admin.ServeTLS(n.ctx, ln, config) })
	n.log.Info("admin API is served", "address", ln.Addr().String(), "authority", s.authority.Fingerprint())
	return nil
}
