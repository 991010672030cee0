package plan

import (
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// EditPath changes the settings of a tenant or bucket that the request names.
func EditPath(cfg *state.Config, req *adminpb.EditPathRequest) (*statepb.Txn, error) {
	p, err := ParsePath(req.GetKind(), req.GetPath())
	if err != nil {
		return nil, err
	}
	if p.Depth() == 1 {
		return nil, invalid("a cluster has no settings").next("edit its tenants or buckets")
	}
	if req.Replicas == nil && req.Versions == nil && req.Quota == nil {
		return nil, invalid("nothing is to be changed").next("name a setting: replicas, versions or quota")
	}
	if err := checkStorage(req.GetKind(), req.GetReplicas(), req.GetVersions(), req.GetQuota()); err != nil {
		return nil, err
	}
	set := func(replicas, versions *uint32, quota *uint64) {
		if req.Replicas != nil {
			*replicas = req.GetReplicas()
		}
		if req.Versions != nil {
			*versions = req.GetVersions()
		}
		if req.Quota != nil {
			*quota = req.GetQuota()
		}
	}
	if p.Depth() == 2 {
		return EditTenant(cfg, p.String(), func(t *statepb.Tenant) { set(&t.Replicas, &t.Versions, &t.Quota) })
	}
	return EditBucket(cfg, p.String(), func(b *statepb.Bucket) { set(&b.Replicas, &b.Versions, &b.Quota) })
}

// EditBucket changes the config of a bucket as change does, which gets a copy that
// is its own. It returns nil when nothing is different afterwards.
func EditBucket(cfg *state.Config, path string, change func(*statepb.Bucket)) (*statepb.Txn, error) {
	p, err := ParseBucket(path)
	if err != nil {
		return nil, err
	}
	old, revision, ok := cfg.Bucket(p.String())
	if !ok {
		return nil, PathExists(cfg, p)
	}
	edited := proto.CloneOf(old)
	change(edited)
	if proto.Equal(old, edited) {
		return nil, nil
	}
	return replace(edited, revision)
}

// EditTenant is EditBucket for a tenant.
func EditTenant(cfg *state.Config, path string, change func(*statepb.Tenant)) (*statepb.Txn, error) {
	p, err := ParseTenant(path)
	if err != nil {
		return nil, err
	}
	old, revision, ok := cfg.Tenant(p.String())
	if !ok {
		return nil, PathExists(cfg, p)
	}
	edited := proto.CloneOf(old)
	change(edited)
	if proto.Equal(old, edited) {
		return nil, nil
	}
	return replace(edited, revision)
}
