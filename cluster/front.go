package cluster

import (
	"context"
	"net"
	"time"

	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/cluster/s3gate"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// front is the S3 endpoint of a node, or nothing when it has no listener.
type front struct {
	gate *s3gate.Gate
	ln   net.Listener
}

func newFront(s *site, ln net.Listener) (*front, error) {
	gate, err := s3gate.New(s3gate.Options{
		Objects:      s.objects,
		Keys:         s.lookUpKey,
		Access:       s.bucketAccess,
		SetPolicy:    s.setBucketPolicy,
		SetOwnership: s.setBucketOwnership,
		Buckets:      s.bucketsOf,
		CreateBucket: s.createBucket,
		DeleteBucket: s.deleteBucket,
		Logger:       s.log.With("part", "s3"),
	})
	return &front{gate: gate, ln: ln}, err
}

// run serves S3 until ctx ends, and lets requests under way finish.
func (f *front) run(ctx context.Context) error {
	if f.ln == nil {
		return nil
	}
	return f.gate.Serve(ctx, f.ln)
}

// bucketsOf lists a tenant's buckets for its S3 clients.
func (s *site) bucketsOf(tenant string) []s3gate.Bucket {
	configured := s.replica.Config().Buckets(tenant)
	out := make([]s3gate.Bucket, len(configured))
	for i, b := range configured {
		out[i] = s3gate.Bucket{Name: lastName(b.GetPath()), Created: time.Unix(0, b.GetCreated()).UTC()}
	}
	return out
}

// bucketAccess tells the S3 front who may use a bucket.
func (s *site) bucketAccess(path string) s3gate.BucketAccess {
	b, _, _ := s.replica.Config().Bucket(path)
	return s3gate.BucketAccess{Policy: b.GetPolicy(), Ownership: b.GetOwnership()}
}

func (s *site) setBucketPolicy(ctx context.Context, path string, policy []byte) error {
	return s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.EditBucket(cfg, path, func(b *statepb.Bucket) { b.Policy = policy })
	})
}

func (s *site) setBucketOwnership(ctx context.Context, path, ownership string) error {
	return s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.EditBucket(cfg, path, func(b *statepb.Bucket) { b.Ownership = ownership })
	})
}
