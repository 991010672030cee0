package cluster

import (
	"context"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/cluster/s3gate"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// keysAdmin is admin.Keys over a node.
type keysAdmin struct{ *Node }

func (a keysAdmin) Create(ctx context.Context, req *adminpb.CreateKeyRequest) (*adminpb.Key, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	access, secret, err := identity.NewS3Key(a.opts.Rand)
	if err != nil {
		return nil, err
	}
	_, siteKey := a.identity.Site()
	sealed, err := siteKey.Seal(a.opts.Rand, identity.SealForS3Key(s.id, access), []byte(secret))
	if err != nil {
		return nil, err
	}
	now := a.opts.Clock()
	if err := s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.CreateKey(cfg, req, access, sealed, now)
	}); err != nil {
		return nil, err
	}
	return &adminpb.Key{
		AccessKey: access, SecretKey: secret, Tenant: req.GetTenant(), Created: plan.Timestamp(now.UnixNano()),
		Role: state.KeyRole(&statepb.Key{Role: req.GetRole()}), Prefix: req.GetPrefix(),
	}, nil
}

func (a keysAdmin) List(ctx context.Context, tenant string) ([]*adminpb.Key, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	return plan.ListKeys(s.replica.Config(), tenant)
}

func (a keysAdmin) Delete(ctx context.Context, req *adminpb.DeleteKeyRequest) error {
	s, err := a.running()
	if err != nil {
		return err
	}
	return s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.DeleteKey(cfg, req)
	})
}

// lookUpKey tells the S3 front of an access key.
func (s *site) lookUpKey(accessKey string) (s3gate.Key, bool) {
	key, _, ok := s.replica.Config().Key(accessKey)
	if !ok {
		return s3gate.Key{}, false
	}
	bucket, prefix := state.SplitKeyPrefix(key.GetPrefix())
	return s3gate.Key{
		Tenant: key.GetTenant(), Role: key.GetRole(), Bucket: bucket, Prefix: prefix,
		Secret: func() (string, error) {
			_, siteKey := s.node.identity.Site()
			plain, err := siteKey.Open(identity.SealForS3Key(s.id, accessKey), key.GetSecretSealed())
			return string(plain), err
		},
	}, true
}
