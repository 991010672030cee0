package plan

import (
	"slices"
	"strings"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// CreateKey gives a tenant an access key; sealed is its secret under the site
// key. The bucket that it may be restricted to need not exist yet.
func CreateKey(cfg *state.Config, req *adminpb.CreateKeyRequest, accessKey string, sealed []byte, now time.Time) (*statepb.Txn, error) {
	p, err := ParseTenant(req.GetTenant())
	if err != nil {
		return nil, err
	}
	if role := req.GetRole(); role != "" && !slices.Contains(state.KeyRoles, role) {
		return nil, invalid("unknown role %q of an S3 key", role).next("use one of %s", strings.Join(state.KeyRoles, ", "))
	}
	if prefix := req.GetPrefix(); prefix != "" {
		bucket, _ := state.SplitKeyPrefix(prefix)
		if _, err := ParseBucket(p.String() + "/" + bucket); err != nil {
			return nil, invalid("prefix %q does not begin with the last name of a bucket", prefix).
				next("give it as BUCKET or BUCKET/PREFIX, without namespace and tenant")
		}
	}
	if err := PathExists(cfg, p); err != nil {
		return nil, err
	}
	return create(&statepb.Key{
		AccessKey: accessKey, SecretSealed: sealed, Tenant: p.String(), Created: now.UnixNano(),
		Role: req.GetRole(), Prefix: req.GetPrefix(),
	})
}

// DeleteKey removes an access key. A key of another tenant than the request names
// is one that does not exist.
func DeleteKey(cfg *state.Config, req *adminpb.DeleteKeyRequest) (*statepb.Txn, error) {
	key, revision, ok := cfg.Key(req.GetAccessKey())
	if !ok || req.GetTenant() != "" && req.GetTenant() != key.GetTenant() {
		return nil, refuse(state.ErrNotFound, "access key %q does not exist", req.GetAccessKey()).
			next("see `isgwctl tenant key list`")
	}
	return remove(state.Key{Kind: statepb.Kind_KIND_KEY, Name: req.GetAccessKey()}, revision), nil
}
