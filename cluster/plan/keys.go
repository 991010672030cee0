package plan

import (
	"time"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// CreateKey gives a tenant an access key; sealed is its secret under the site
// key.
func CreateKey(cfg *state.Config, tenant, accessKey string, sealed []byte, now time.Time) (*statepb.Txn, error) {
	p, err := ParseTenant(tenant)
	if err != nil {
		return nil, err
	}
	if err := PathExists(cfg, p); err != nil {
		return nil, err
	}
	return create(&statepb.Key{AccessKey: accessKey, SecretSealed: sealed, Tenant: p.String(), Created: now.UnixNano()})
}

// DeleteKey removes an access key.
func DeleteKey(cfg *state.Config, accessKey string) (*statepb.Txn, error) {
	_, revision, ok := cfg.Key(accessKey)
	if !ok {
		return nil, refuse(state.ErrNotFound, "access key %q does not exist", accessKey).
			next("see `isgwctl tenant key list`")
	}
	return remove(state.Key{Kind: statepb.Kind_KIND_KEY, Name: accessKey}, revision), nil
}
