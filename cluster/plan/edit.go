package plan

import (
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

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
