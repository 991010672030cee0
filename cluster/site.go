package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync/atomic"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/store"
	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// site is what a node has open once its site is initialised.
type site struct {
	node *Node
	log  *slog.Logger

	id          state.SiteID
	identity    atomic.Pointer[identity.SiteIdentity]
	credentials *identity.Credentials

	replica *raftfsm.Replica
	chunks  *store.Store
	codec   *chunks.Codec
	objects *objects.Store
	links   *links
	front   *front
	history *history
	naming  *naming

	applying chan struct{} // holds one: whoever applies a plan

	authority *identity.Authority // of the admin API

	s3Address, linkAddress, adminAddress string // where they listen; empty when they do not
}

// electionTime bounds the wait for a leader when a site is opened or made.
const electionTime = 15 * time.Second

// listeners are bound before anything of a site is changed, so that an address
// in use is refused while nothing has happened yet.
type listeners struct{ s3, link, admin net.Listener }

func (n *Node) listen() (l listeners, err error) {
	bind := func(what, addr string) (net.Listener, error) {
		if addr == None {
			return nil, nil
		}
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("listen for %s: %w", what, err)
		}
		return ln, nil
	}
	if l.s3, err = bind("S3", n.opts.S3); err != nil {
		return l, err
	}
	if l.link, err = bind("links", n.opts.Link); err == nil {
		l.admin, err = bind("the admin API", n.opts.Admin)
	}
	if err != nil {
		l.close()
	}
	return l, err
}

func (l listeners) close() {
	for _, ln := range []net.Listener{l.s3, l.link, l.admin} {
		if ln != nil {
			ln.Close()
		}
	}
}

func addressOf(ln net.Listener) string {
	if ln == nil {
		return ""
	}
	return ln.Addr().String()
}

// openBytes have to be free on the disk before the databases of a node are opened:
// each writes out first what it had in memory, and does not end before it has.
const openBytes = 64 << 20

// checkDisk refuses a disk that is too full for that.
func checkDisk(o *Options) error {
	if capacity, free := o.disk(o.Dir); capacity > 0 && free < openBytes {
		return fmt.Errorf("%d MiB are free on the disk of %s, and a node needs %d to start: free space there and start it again",
			free>>20, o.Dir, openBytes>>20)
	}
	return nil
}

// openReplica opens the node's copy of the site's state, the first of its databases.
func (n *Node) openReplica(ctx context.Context) (*raftfsm.Replica, error) {
	if err := checkDisk(&n.opts); err != nil {
		return nil, err
	}
	return raftfsm.Open(ctx, raftfsm.Options{
		Dir:             filepath.Join(n.opts.Dir, "raft"),
		NodeID:          n.identity.ID(),
		Logger:          n.log.With("part", "raft"),
		Clock:           n.opts.Clock,
		SnapshotEntries: n.opts.SnapshotEntries,
		SnapshotBytes:   n.opts.SnapshotBytes,
	})
}

// openSite opens a site that was made before. An init that a crash cut short
// leaves the node as it was before it: init continues it.
func (n *Node) openSite(ctx context.Context) error {
	replica, err := n.openReplica(ctx)
	if err != nil {
		return err
	}
	if has, err := replica.HasState(); err != nil || !has {
		return errors.Join(err, replica.Close(ctx))
	}
	if err := ready(ctx, replica); err != nil {
		return errors.Join(err, replica.Close(ctx))
	}
	if _, _, ok := replica.Config().Site(); !ok {
		return replica.Close(ctx)
	}
	l, err := n.listen()
	if err != nil {
		return errors.Join(err, replica.Close(ctx))
	}
	return n.serveSite(ctx, replica, l)
}

// initSite makes the site and opens it. Each step can be repeated after a crash.
func (n *Node) initSite(ctx context.Context) error {
	l, err := n.listen()
	if err != nil {
		return err
	}
	id, err := n.siteIdentity()
	if err != nil {
		l.close()
		return err
	}
	replica, err := n.openReplica(ctx)
	if err != nil {
		l.close()
		return err
	}
	if err := n.makeSite(ctx, replica, id, addressOf(l.link)); err != nil {
		l.close()
		return errors.Join(err, replica.Close(ctx))
	}
	n.log.Info("site is initialised", "id", id.Site())
	return n.serveSite(ctx, replica, l)
}

// siteIdentity draws the site's id, key and identity. The id and the key are
// durable before the site is.
func (n *Node) siteIdentity() (*identity.SiteIdentity, error) {
	if site, _ := n.identity.Site(); site != (state.SiteID{}) {
		return identity.NewSiteIdentityFor(site, n.opts.Rand)
	}
	id, err := identity.NewSiteIdentity(n.opts.Rand)
	if err != nil {
		return nil, err
	}
	key, err := identity.NewSiteKey(n.opts.Rand)
	if err != nil {
		return nil, err
	}
	return id, n.identity.SetSite(id.Site(), key)
}

func (n *Node) makeSite(ctx context.Context, replica *raftfsm.Replica, id *identity.SiteIdentity, linkAddress string) error {
	has, err := replica.HasState()
	if err == nil && !has {
		err = replica.Bootstrap(ctx)
	}
	if err == nil {
		err = ready(ctx, replica)
	}
	if err != nil {
		return err
	}
	_, siteKey := n.identity.Site()
	sealed, err := id.Seal(siteKey, n.opts.Rand)
	if err != nil {
		return err
	}
	now := n.opts.Clock().UnixNano()
	siteID := id.Site()
	s := &site{node: n, replica: replica}
	return s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		if cfg.SiteID() == siteID {
			return nil, nil // an init before made it, and could not open what is beside it
		}
		return plan.Init(cfg, &statepb.Site{
			Id: siteID.Bytes(), Name: n.opts.Site, Created: now, Epoch: 1,
			IdentityPublic: id.Public(), IdentitySealed: sealed, RosterNumber: 1,
		}, &statepb.Node{
			Id: n.identity.ID(), Name: n.identity.Name(), PublicKey: n.identity.Public(),
			LinkAddress: linkAddress, Created: now,
		})
	})
}

// ready waits until reads and writes are served.
func ready(ctx context.Context, replica *raftfsm.Replica) error {
	ctx, cancel := context.WithTimeout(ctx, electionTime)
	defer cancel()
	return replica.Ready(ctx)
}

// serveSite opens what a site has beside its replica, and serves it. It owns
// the replica and the listeners from the call on.
func (n *Node) serveSite(ctx context.Context, replica *raftfsm.Replica, l listeners) (err error) {
	s := &site{node: n, log: n.log, replica: replica, applying: make(chan struct{}, 1), history: newHistory(), s3Address: addressOf(l.s3), linkAddress: addressOf(l.link), adminAddress: addressOf(l.admin)}
	defer func() {
		if err != nil {
			l.close()
			err = errors.Join(err, s.close())
		}
	}()
	if err := s.openIdentity(); err != nil {
		return err
	}
	if err := s.openAuthority(ctx); err != nil {
		return err
	}
	if err := s.labelNode(ctx); err != nil {
		return err
	}
	s.naming = newNaming(sending(replica.Config()))
	if s.codec, err = chunks.NewCodec(); err != nil {
		return err
	}
	if s.chunks, err = store.Open(ctx, store.Options{
		Dir: filepath.Join(n.opts.Dir, "chunks"), Codec: s.codec, Logger: n.log.With("part", "chunks"),
	}); err != nil {
		return err
	}
	if s.objects, err = objects.New(objects.Options{
		Chunks: s.chunks, Codec: s.codec, Catalog: replica.Catalog(),
		Propose: s.proposeNamed, Barrier: replica.Barrier, Clock: n.opts.Clock, Rand: n.opts.Rand,
	}); err != nil {
		return err
	}
	if s.links, err = newLinks(s, l.link); err != nil {
		return err
	}
	if s.front, err = newFront(s, l.s3); err != nil {
		return err
	}
	if err := s.serveAdminTLS(l.admin); err != nil {
		return err
	}
	n.mu.Lock()
	n.site = s
	n.mu.Unlock()

	n.group.Go(func() error {
		s.naming.run(n.ctx, s.goOn)
		return nil
	})
	n.group.Go(func() error { return s.links.run(n.ctx) })
	n.group.Go(func() error { return s.front.run(n.ctx) })
	n.group.Go(func() error { return s.trim(n.ctx) })
	n.group.Go(func() error {
		select {
		case <-n.ctx.Done():
			return nil
		case <-replica.Done():
			return fmt.Errorf("node stops: %w", replica.Err())
		}
	})
	n.log.Info("site is served", "id", s.id, "s3", or(s.s3Address, None), "link", or(s.linkAddress, None), "admin", or(s.adminAddress, None))
	return nil
}

// close closes what is open, the users of a thing before the thing.
func (s *site) close() error {
	var errs []error
	if s.chunks != nil {
		errs = append(errs, s.chunks.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	errs = append(errs, s.replica.Close(ctx))
	return errors.Join(errs...)
}

// trim drops what the buckets' logs have held for longer than they keep.
func (s *site) trim(ctx context.Context) error {
	const batch = 2000
	keep := s.node.opts.LogKeep
	every := min(max(keep/20, 100*time.Millisecond), 10*time.Minute)
	// The site's clock says when it is time, which may be set.
	ticker := time.NewTicker(min(every, time.Second))
	defer ticker.Stop()
	trimmed := s.node.opts.Clock()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if now := s.node.opts.Clock(); now.Sub(trimmed).Abs() >= every {
			trimmed = now
		} else {
			continue
		}
		for _, bucket := range s.replica.Catalog().Buckets() {
			before := s.node.opts.Clock().Add(-keep).UnixNano()
			for {
				older, err := hasOlder(s.replica.Catalog(), bucket.GetPath(), before)
				if err != nil {
					s.log.Warn("log of bucket is not trimmed: its beginning cannot be read", "bucket", bucket.GetPath(), "error", err)
				}
				if !older {
					break
				}
				res, err := s.proposeNamed(ctx, &raftfsmpb.Command{Command: &raftfsmpb.Command_Trim{Trim: &catalogpb.Trim{
					Bucket: bucket.GetPath(), Before: before, Horizon: before, Limit: batch,
				}}})
				if err == nil {
					err = raftfsm.ResultError(res)
				}
				if err != nil {
					if ctx.Err() == nil && !errors.Is(err, raftfsm.ErrNotFound) {
						s.log.Warn("log of bucket is not trimmed", "bucket", bucket.GetPath(), "error", err)
					}
					break
				}
				if res.GetApplied() < batch {
					break
				}
			}
		}
	}
}

// logReader reads the logs of buckets: it is a catalog.
type logReader interface {
	Bucket(path string) (*catalogpb.BucketState, error)
	Log(path string, after uint64, limit int) (*catalog.LogPage, error)
}

// hasOlder says whether a bucket's log begins before a time, so that an idle
// bucket costs no raft entry. One that is deleted or trimmed meanwhile has nothing.
func hasOlder(logs logReader, bucket string, before int64) (bool, error) {
	state, err := logs.Bucket(bucket)
	if err != nil {
		return false, nil
	}
	page, err := logs.Log(bucket, state.GetTrimmed(), 1)
	switch {
	case errors.Is(err, catalog.ErrNoBucket), errors.Is(err, catalog.ErrTrimmed):
		return false, nil
	case err != nil:
		return false, err
	}
	return len(page.Entries) > 0 && page.Entries[0].Entry.GetCommitted() < before, nil
}
