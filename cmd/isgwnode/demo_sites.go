package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"edgefog.dev/isgw/cluster"
	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// The names of the walk-through in the EdgeFS document.
const (
	demoNamespace = "Hawaii"
	demoLink      = "hawaii"
	demoBucket    = "bk1"
)

var demoTenants = []string{"Cola", "Pepsi"}

type demoOptions struct {
	dir, source string
	once, plain bool
	console     bool // open the console instead of printing lines
	logger      *slog.Logger
	log         *heldLog // where logger writes
}

type demo struct {
	demoOptions
	out           io.Writer
	first, second *demoSite
}

// demoSite is a site as its operator and its clients see it.
type demoSite struct {
	name   string
	node   *cluster.Node
	admin  *admin.Client
	client map[string]*minio.Client // by tenant
}

func (d *demo) sites() []*demoSite { return []*demoSite{d.first, d.second} }

// start brings two sites to the point where their buckets replicate, with the
// calls that isgwctl would make.
func (d *demo) start(ctx context.Context) error {
	var err error
	if d.first, err = d.startSite(ctx, "oahu"); err != nil {
		return err
	}
	if d.second, err = d.startSite(ctx, "maui"); err != nil {
		return err
	}
	a, b := d.first.admin, d.second.admin
	for _, s := range d.sites() {
		if err := create(ctx, s.admin, adminpb.PathKind_PATH_KIND_NAMESPACE, demoNamespace, 0); err != nil {
			return err
		}
	}
	for _, tenant := range demoTenants {
		path := demoNamespace + "/" + tenant
		if err := errors.Join(
			create(ctx, a, adminpb.PathKind_PATH_KIND_TENANT, path, 0),
			create(ctx, a, adminpb.PathKind_PATH_KIND_BUCKET, path+"/"+demoBucket, 0),
			create(ctx, b, adminpb.PathKind_PATH_KIND_TENANT, path, 2),
		); err != nil {
			return err
		}
	}
	invitation, err := a.Sites.Invite(ctx, &adminpb.InviteRequest{})
	if err != nil {
		return fmt.Errorf("invite: %w", err)
	}
	if _, err := b.Sites.Pair(ctx, invitation.GetToken()); err != nil {
		return fmt.Errorf("pair: %w", err)
	}
	// The second site waits to be dialled, and the first one dials when all is
	// there: a link that is refused at first would be the first thing to be seen.
	for _, s := range []*demoSite{d.second, d.first} {
		link := &adminpb.CreateServiceRequest{Type: "isgw", Name: demoLink}
		if s == d.first {
			link.Remote = "ccow://" + d.second.node.LinkAddress()
		}
		if _, err := s.admin.Services.Create(ctx, link); err != nil {
			return fmt.Errorf("create link at %s: %w", s.name, err)
		}
		for _, tenant := range demoTenants {
			if _, err := s.admin.Services.Serve(ctx, demoLink, demoNamespace+"/"+tenant+"/"+demoBucket); err != nil {
				return fmt.Errorf("serve at %s: %w", s.name, err)
			}
		}
		if err := s.connect(ctx); err != nil {
			return err
		}
	}
	return d.first.waitLinked(ctx)
}

// linkTime bounds how long a demo waits for its link before it shows how that is.
const linkTime = 10 * time.Second

// waitLinked waits until a site's link does what it is there for, and at most
// [linkTime]: what is wrong with it then is seen in what the demo shows.
func (s *demoSite) waitLinked(ctx context.Context) error {
	linked := errors.New("linked")
	bounded, cancel := context.WithTimeout(ctx, linkTime)
	defer cancel()
	err := s.admin.Services.Watch(bounded, demoLink, 100*time.Millisecond, func(service *adminpb.Service) error {
		if working(service.GetStatus().GetState()) {
			return linked
		}
		return nil
	})
	if err == nil || errors.Is(err, linked) || bounded.Err() != nil && ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("wait for the link of %s: %w", s.name, err)
}

// working says whether a link in a state has a session and something to serve.
func working(state adminpb.ServiceState) bool {
	switch state {
	case adminpb.ServiceState_SERVICE_STATE_COPYING, adminpb.ServiceState_SERVICE_STATE_BEHIND, adminpb.ServiceState_SERVICE_STATE_LAGGING,
		adminpb.ServiceState_SERVICE_STATE_SYNCED, adminpb.ServiceState_SERVICE_STATE_COPIED:
		return true
	}
	return false
}

func create(ctx context.Context, c *admin.Client, kind adminpb.PathKind, path string, replicas uint32) error {
	_, err := c.Paths.Create(ctx, &adminpb.CreatePathRequest{Kind: kind, Path: path, Replicas: replicas})
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	return nil
}

// startSite starts a node of a new site on free ports and initialises it.
func (d *demo) startSite(ctx context.Context, name string) (*demoSite, error) {
	const free = "127.0.0.1:0"
	node, err := cluster.Start(ctx, cluster.Options{
		Dir: filepath.Join(d.dir, name), Site: name,
		S3: free, Link: free, Admin: cluster.None, Metrics: cluster.None,
		Logger: d.logger,
	})
	if err != nil {
		return nil, fmt.Errorf("start site %s: %w", name, err)
	}
	s := &demoSite{name: name, node: node, client: map[string]*minio.Client{}}
	if s.admin, err = admin.Dial("unix:" + node.Socket()); err != nil {
		return s, err
	}
	if _, err := s.admin.System.Init(ctx, &adminpb.InitRequest{Force: true}); err != nil {
		return s, fmt.Errorf("initialise site %s: %w", name, err)
	}
	return s, nil
}

// connect makes an S3 client with a key of its own for each tenant.
func (s *demoSite) connect(ctx context.Context) error {
	for _, tenant := range demoTenants {
		key, err := s.admin.Keys.Create(ctx, &adminpb.CreateKeyRequest{Tenant: demoNamespace + "/" + tenant, Role: state.KeyAdmin})
		if err != nil {
			return fmt.Errorf("create key at %s: %w", s.name, err)
		}
		client, err := minio.New(s.node.S3Address(), &minio.Options{
			Creds: credentials.NewStaticV4(key.GetAccessKey(), key.GetSecretKey(), ""),
		})
		if err != nil {
			return fmt.Errorf("make S3 client of %s: %w", s.name, err)
		}
		s.client[tenant] = client
	}
	return nil
}

func (d *demo) close() error {
	var errs []error
	for _, s := range d.sites() {
		if s == nil {
			continue
		}
		if s.admin != nil {
			s.admin.Close()
		}
		errs = append(errs, s.node.Close())
	}
	return errors.Join(errs...)
}

// waitSynced waits until both sites say that everything is at both.
func (d *demo) waitSynced(ctx context.Context) error {
	for _, s := range d.sites() {
		done := errors.New("synced")
		err := s.admin.Services.Watch(ctx, demoLink, 100*time.Millisecond, func(service *adminpb.Service) error {
			if service.GetStatus().GetSynced() {
				return done
			}
			return nil
		})
		if err != nil && !errors.Is(err, done) {
			return fmt.Errorf("wait until %s is in sync: %w", s.name, err)
		}
	}
	return nil
}
