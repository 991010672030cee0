package cluster

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/cluster/s3gate"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// front is the S3 endpoint of a node, or nothing when it has no listener.
type front struct {
	gate        *s3gate.Gate
	ln          net.Listener
	certificate *certificate // nil: it does not speak TLS
}

func newFront(s *site, ln net.Listener) (*front, error) {
	opts, log := s.node.opts, s.log.With("part", "s3")
	f := &front{ln: ln}
	o := s3gate.Options{
		Objects:      s.objects,
		Keys:         s.lookUpKey,
		Access:       s.bucketAccess,
		SetPolicy:    s.setBucketPolicy,
		SetOwnership: s.setBucketOwnership,
		Buckets:      s.bucketsOf,
		Named:        s.bucketsNamed,
		CreateBucket: s.createBucket,
		DeleteBucket: s.deleteBucket,
		Domains:      opts.S3Domains,
		Logger:       log,
	}
	var err error
	if opts.S3Cert != "" {
		if f.certificate, err = openCertificate(opts.S3Cert, opts.S3Key, log, opts.Clock); err != nil {
			return nil, err
		}
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: f.certificate.get}
	}
	f.gate, err = s3gate.New(o)
	return f, err
}

// run serves S3 until ctx ends, and lets requests under way finish.
func (f *front) run(ctx context.Context) error {
	if f.ln == nil {
		return nil
	}
	if f.certificate != nil {
		looking, end := context.WithCancel(ctx) // Serve ends early when the listener fails
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.certificate.run(looking)
		}()
		defer func() { end(); <-done }()
	}
	return f.gate.Serve(ctx, f.ln)
}

// problem says what an operator should mend, or nil.
func (f *front) problem() error {
	if f.certificate == nil {
		return nil
	}
	return f.certificate.problem()
}

// bucketsNamed returns the paths of all buckets with a last name.
func (s *site) bucketsNamed(name string) []string {
	var paths []string
	for _, b := range s.replica.Config().Buckets("") {
		if lastName(b.GetPath()) == name {
			paths = append(paths, b.GetPath())
		}
	}
	return paths
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
