package plan

import (
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

func keyFor(tenant string) *adminpb.CreateKeyRequest {
	return &adminpb.CreateKeyRequest{Tenant: tenant}
}

// TestEditPath changes what is named and leaves the rest.
func TestEditPath(t *testing.T) {
	s := newSite(t)
	s.walkThrough()
	tenant := func(r *adminpb.EditPathRequest) *adminpb.EditPathRequest {
		r.Kind, r.Path = adminpb.PathKind_PATH_KIND_TENANT, "Hawaii/Cola"
		return r
	}
	bucket := func(r *adminpb.EditPathRequest) *adminpb.EditPathRequest {
		r.Kind, r.Path = adminpb.PathKind_PATH_KIND_BUCKET, "Hawaii/Cola/bk1"
		return r
	}
	n := func(n uint32) *uint32 { return &n }
	q := func(n uint64) *uint64 { return &n }
	s.must(EditPath(s.Config, tenant(&adminpb.EditPathRequest{Quota: q(1 << 30), Versions: n(5)})))
	s.must(EditPath(s.Config, tenant(&adminpb.EditPathRequest{Replicas: n(2)})))
	s.must(EditPath(s.Config, bucket(&adminpb.EditPathRequest{Quota: q(7)})))
	got, _, _ := s.Tenant("Hawaii/Cola")
	if got.GetQuota() != 1<<30 || got.GetVersions() != 5 || got.GetReplicas() != 2 {
		t.Errorf("tenant %v", got)
	}
	if b, _, _ := s.Bucket("Hawaii/Cola/bk1"); b.GetQuota() != 7 || len(b.GetIncarnation()) != 16 {
		t.Errorf("bucket %v", b)
	}
	if p, err := GetPath(s.Config, adminpb.PathKind_PATH_KIND_BUCKET, "Hawaii/Cola/bk1"); err != nil || p.GetQuota() != 7 || p.GetEffectiveVersions() != 5 {
		t.Errorf("path %v, %v", p, err)
	}
	if txn, err := EditPath(s.Config, bucket(&adminpb.EditPathRequest{Quota: q(7)})); txn != nil || err != nil {
		t.Errorf("a change of nothing: %v, %v", txn, err)
	}
	s.must(EditPath(s.Config, bucket(&adminpb.EditPathRequest{Quota: q(0)})))
	if b, _, _ := s.Bucket("Hawaii/Cola/bk1"); b.GetQuota() != 0 {
		t.Errorf("bucket %v", b)
	}
	for name, c := range map[string]struct {
		req  *adminpb.EditPathRequest
		want refusal
	}{
		"nothing": {tenant(&adminpb.EditPathRequest{}), refusal{state.ErrInvalid, "nothing is to be changed", "quota"}},
		"cluster": {&adminpb.EditPathRequest{Kind: adminpb.PathKind_PATH_KIND_NAMESPACE, Path: "Hawaii", Quota: q(1)}, refusal{state.ErrInvalid, "a cluster has no settings", "tenants"}},
		"absent":  {&adminpb.EditPathRequest{Kind: adminpb.PathKind_PATH_KIND_TENANT, Path: "Hawaii/Coke", Quota: q(1)}, refusal{state.ErrNotFound, "tenant Hawaii/Coke does not exist", ""}},
		"huge":    {tenant(&adminpb.EditPathRequest{Quota: q(1 << 63)}), refusal{state.ErrInvalid, "a quota is at most", ""}},
		"many":    {tenant(&adminpb.EditPathRequest{Replicas: n(9)}), refusal{state.ErrInvalid, "replicas are 1 to 4", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			txn, err := EditPath(s.Config, c.req)
			c.want.check(t, txn, err)
		})
	}
}

// TestKeyRequests makes keys with rights, and deletes only the tenant's own.
func TestKeyRequests(t *testing.T) {
	s := newSite(t)
	s.walkThrough()
	s.must(CreateKey(s.Config, &adminpb.CreateKeyRequest{Tenant: "Hawaii/Cola", Role: state.KeyReadOnly, Prefix: "bk1/a/"}, "AK1", []byte("s"), now))
	if k, _, _ := s.Key("AK1"); k.GetRole() != state.KeyReadOnly || k.GetPrefix() != "bk1/a/" {
		t.Errorf("key %v", k)
	}
	for name, c := range map[string]struct {
		make func() (*statepb.Txn, error)
		want refusal
	}{
		"role": {func() (*statepb.Txn, error) {
			return CreateKey(s.Config, &adminpb.CreateKeyRequest{Tenant: "Hawaii/Cola", Role: "root"}, "AK2", []byte("s"), now)
		}, refusal{state.ErrInvalid, `unknown role "root"`, "read-only, read-write, admin"}},
		"prefix": {func() (*statepb.Txn, error) {
			return CreateKey(s.Config, &adminpb.CreateKeyRequest{Tenant: "Hawaii/Cola", Prefix: "/a"}, "AK2", []byte("s"), now)
		}, refusal{state.ErrInvalid, "does not begin with the last name of a bucket", "BUCKET/PREFIX"}},
		"another tenant's": {func() (*statepb.Txn, error) {
			return DeleteKey(s.Config, &adminpb.DeleteKeyRequest{AccessKey: "AK1", Tenant: "Hawaii/Pepsi"})
		}, refusal{state.ErrNotFound, `access key "AK1" does not exist`, "key list"}},
	} {
		t.Run(name, func(t *testing.T) {
			txn, err := c.make()
			c.want.check(t, txn, err)
		})
	}
	s.must(DeleteKey(s.Config, &adminpb.DeleteKeyRequest{AccessKey: "AK1", Tenant: "Hawaii/Cola"}))
}
