package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/cluster/s3gate"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// pathsAdmin is admin.Paths over a node.
type pathsAdmin struct{ *Node }

func (a pathsAdmin) Create(ctx context.Context, req *adminpb.CreatePathRequest) (*adminpb.Path, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	if err := s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.CreatePath(cfg, req, a.opts.Clock(), a.random())
	}); err != nil {
		return nil, err
	}
	return s.path(req.GetKind(), req.GetPath())
}

func (a pathsAdmin) List(ctx context.Context, req *adminpb.ListPathsRequest) (*adminpb.ListPathsResponse, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	res, err := plan.ListPaths(s.replica.Config(), req, s.replica.Catalog().Size)
	if err != nil {
		return nil, err
	}
	for _, p := range res.GetPaths() {
		if err := s.addStorage(p); err != nil {
			return nil, err
		}
	}
	return res, nil
}

func (a pathsAdmin) Get(ctx context.Context, req *adminpb.GetPathRequest) (*adminpb.Path, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	return s.path(req.GetKind(), req.GetPath())
}

func (a pathsAdmin) Edit(ctx context.Context, req *adminpb.EditPathRequest) (*adminpb.Path, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	if err := s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.EditPath(cfg, req)
	}); err != nil {
		return nil, err
	}
	return s.path(req.GetKind(), req.GetPath())
}

func (a pathsAdmin) Delete(ctx context.Context, req *adminpb.DeletePathRequest) error {
	s, err := a.running()
	if err != nil {
		return err
	}
	return s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.DeletePath(cfg, req)
	})
}

func (s *site) path(kind adminpb.PathKind, path string) (*adminpb.Path, error) {
	p, err := plan.GetPath(s.replica.Config(), kind, path)
	if err != nil {
		return nil, err
	}
	return p, s.addStorage(p)
}

// addStorage adds to the config of a bucket or tenant what the catalog counts.
func (s *site) addStorage(p *adminpb.Path) error {
	switch p.GetKind() {
	case adminpb.PathKind_PATH_KIND_TENANT:
		for _, bucket := range s.replica.Config().Buckets(p.GetPath()) {
			b, err := s.replica.Catalog().Bucket(bucket.GetPath())
			if err != nil && !errors.Is(err, catalog.ErrNoBucket) {
				return err
			}
			p.Stored += b.GetStored()
		}
	case adminpb.PathKind_PATH_KIND_BUCKET:
		b, err := s.replica.Catalog().Bucket(p.GetPath())
		if err != nil && !errors.Is(err, catalog.ErrNoBucket) { // deleted since the config was read
			return err
		}
		p.Objects, p.Bytes, p.Stored = b.GetObjects(), b.GetBytes(), b.GetStored()
	}
	return nil
}

// createBucket makes a bucket for an S3 client.
func (s *site) createBucket(ctx context.Context, path string, access s3gate.BucketAccess) error {
	return s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		txn, err := plan.CreatePath(cfg, &adminpb.CreatePathRequest{
			Kind: adminpb.PathKind_PATH_KIND_BUCKET, Path: path,
		}, s.node.opts.Clock(), s.node.random())
		if err != nil {
			return nil, err
		}
		for _, put := range txn.GetPuts() {
			if b := put.GetBucket(); b != nil {
				b.Policy, b.Ownership = access.Policy, access.Ownership
			}
		}
		return txn, nil
	})
}

// deleteBucket removes an empty bucket for an S3 client.
func (s *site) deleteBucket(ctx context.Context, path string) error {
	return s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.DeletePath(cfg, &adminpb.DeletePathRequest{
			Kind: adminpb.PathKind_PATH_KIND_BUCKET, Path: path,
		})
	})
}

func (n *Node) random() io.Reader {
	if n.opts.Rand != nil {
		return n.opts.Rand
	}
	return rand.Reader
}

// lastName is the part of a path after its last slash.
func lastName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
