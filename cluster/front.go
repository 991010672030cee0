package cluster

import (
	"context"
	"net"
	"time"

	"edgefog.dev/isgw/cluster/s3gate"
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
