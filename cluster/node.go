package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/state"
)

// Node is a running node. Its methods may be called at any time from any
// goroutine.
type Node struct {
	opts     Options
	log      *slog.Logger
	identity *identity.Node
	dir      *os.File // holds the lock on the data directory
	started  time.Time
	socket   string
	admin    *admin.Server
	audit    *auditLog

	metricsAddress string // where metrics are served; empty when they are not
	debugAddress   string // where profiles are served; empty when they are not

	ctx    context.Context // ends when the node drains
	cancel context.CancelCauseFunc
	group  *errgroup.Group

	initMu    sync.Mutex // one init at a time
	snapshots snapshots

	mu   sync.Mutex
	site *site // nil until the site is initialised and open
}

// Run starts a node, waits until ctx ends or the node cannot go on, and drains
// it. The error is nil after a clean end.
func Run(ctx context.Context, opts Options) error {
	n, err := Start(ctx, opts)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		n.log.Info("draining")
	case <-n.ctx.Done():
	}
	return n.Close()
}

// Start opens the data directory, serves the admin socket, and, when the site
// is initialised, everything else. ctx bounds the start only. The caller
// closes the node.
func Start(ctx context.Context, opts Options) (*Node, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	id, dir, err := openDir(opts)
	if err != nil {
		return nil, err
	}
	n := &Node{
		opts:     opts,
		log:      opts.Logger.With("site", opts.Site, "node", id.Name()),
		identity: id,
		dir:      dir,
		started:  opts.Clock(),
	}
	base, cancel := context.WithCancelCause(context.Background())
	n.cancel = cancel
	n.group, n.ctx = errgroup.WithContext(base)
	if err := n.start(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) start(ctx context.Context) error {
	// What a call of the admin API tells is set before the first can come.
	n.socket = filepath.Join(n.opts.Dir, SocketName)
	if err := n.serveMetrics(); err != nil {
		return err
	}
	if err := n.serveDebug(); err != nil {
		return err
	}
	if err := n.newAdmin(); err != nil {
		return err
	}
	if siteID, _ := n.identity.Site(); siteID != (state.SiteID{}) {
		if err := n.openSite(ctx); err != nil {
			return err
		}
	}
	if err := n.serveAdmin(ctx); err != nil {
		return err
	}
	if n.current() == nil {
		n.log.Info("not initialised: only the admin socket is served",
			"next", "isgwctl --connect unix:"+n.socket+" system init")
	}
	return nil
}

// Close drains the node: nothing new is accepted, what runs is finished, and
// everything is closed in order. It returns what went wrong while it ran or
// was closed. A second call returns nil.
func (n *Node) Close() error {
	n.cancel(nil)
	err := n.group.Wait()
	n.mu.Lock()
	s := n.site
	n.site = nil
	dir := n.dir
	n.dir = nil
	n.mu.Unlock()
	if s != nil {
		err = errors.Join(err, s.close())
	}
	if dir != nil {
		if n.audit != nil {
			err = errors.Join(err, n.audit.close())
		}
		err = errors.Join(err, dir.Close())
		if n.socket != "" {
			if rmErr := os.Remove(n.socket); rmErr != nil && !errors.Is(rmErr, os.ErrNotExist) {
				err = errors.Join(err, rmErr)
			}
		}
		n.log.Info("stopped")
	}
	return err
}

// Done is closed when the node cannot go on and has to be closed; Close then
// says why.
func (n *Node) Done() <-chan struct{} { return n.ctx.Done() }

// current is the open site, or nil.
func (n *Node) current() *site {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.site
}

// running is the open site, or an error that tells an operator what is missing.
func (n *Node) running() (*site, error) {
	if s := n.current(); s != nil {
		return s, nil
	}
	return nil, admin.Errorf(admin.CodeConflict, "node %s is not initialised", n.identity.Name()).
		WithHint("run `isgwctl system init`")
}

// Socket is the path of the admin socket.
func (n *Node) Socket() string { return n.socket }

// S3Address is where S3 is served, or empty when it is not.
func (n *Node) S3Address() string {
	if s := n.current(); s != nil {
		return s.s3Address
	}
	return ""
}

// LinkAddress is where other sites reach this one, or empty when they do not.
func (n *Node) LinkAddress() string {
	if s := n.current(); s != nil {
		return s.linkAddress
	}
	return ""
}

// AdminAddress is where the admin API is served over TLS, or empty when it is not.
func (n *Node) AdminAddress() string {
	if s := n.current(); s != nil {
		return s.adminAddress
	}
	return ""
}

// openDir makes the data directory where there is none, locks it and finds out who
// the node is, in this order: what is in the directory belongs to whoever holds the
// lock, also while it is being made.
func openDir(opts Options) (*identity.Node, *os.File, error) {
	if err := identity.MakeDir(opts.Dir); err != nil {
		return nil, nil, err
	}
	dir, err := lockDir(opts.Dir)
	if err != nil {
		return nil, nil, err
	}
	id, err := identity.OpenNode(opts.Dir, identity.NodeOptions{SiteName: opts.Site, NodeName: opts.Node, Rand: opts.Rand})
	if err != nil {
		return nil, nil, errors.Join(err, dir.Close())
	}
	return id, dir, nil
}

// lockDir makes sure that one process at a time uses a data directory. The
// lock goes with the process, whatever ends it.
func lockDir(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		dir.Close()
		return nil, fmt.Errorf("lock data directory %s: another node uses it (%w)", path, err)
	}
	return dir, nil
}
