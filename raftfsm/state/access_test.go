package state

import (
	"errors"
	"strings"
	"testing"

	pb "edgefog.dev/isgw/raftfsm/state/statepb"
)

func TestKeyRights(t *testing.T) {
	for _, c := range []struct {
		role, prefix, want string
	}{
		{"", "", ""},
		{KeyReadOnly, "", ""},
		{KeyReadWrite, "bk1", ""},
		{KeyAdmin, "bk1/a/b", ""},
		{"", "bk1/", ""},
		{"", "not-there-yet/x", ""},
		{"root", "", `unknown role "root"`},
		{"", "/x", "does not begin with the last name of a bucket"},
		{"", "Hawaii/Cola", "does not begin with the last name of a bucket"},
		{"", "bk1/" + strings.Repeat("x", 1100), "longer than"},
		{"", "bk1/\xff", "no UTF-8"},
	} {
		_, err := populated(t).Apply(put(Wrap(&pb.Key{
			AccessKey: "AKIA9", SecretSealed: []byte("x"), Tenant: "Hawaii/Cola", Role: c.role, Prefix: c.prefix,
		})), 2)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("role %q, prefix %q: %v", c.role, c.prefix, err)
		case c.want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("role %q, prefix %q: error %v, want %q", c.role, c.prefix, err, c.want)
		}
	}
	if got := KeyRole(&pb.Key{}); got != KeyReadWrite {
		t.Errorf("role of a key that names none: %s", got)
	}
	for prefix, want := range map[string][2]string{"": {"", ""}, "b": {"b", ""}, "b/": {"b", ""}, "b/p/q": {"b", "p/q"}} {
		if bucket, objects := SplitKeyPrefix(prefix); bucket != want[0] || objects != want[1] {
			t.Errorf("prefix %q is of bucket %q, objects %q", prefix, bucket, objects)
		}
	}
}

func TestBucketAccess(t *testing.T) {
	for _, c := range []struct {
		policy    int
		ownership string
		want      string
	}{
		{0, "", ""},
		{MaxPolicySize, OwnershipWriter, ""},
		{1, OwnershipPreferred, ""},
		{1, OwnershipEnforced, ""},
		{MaxPolicySize + 1, "", "its policy has"},
		{0, "Nobody", "unknown object ownership"},
	} {
		_, err := populated(t).Apply(put(Wrap(&pb.Bucket{
			Path: "Hawaii/Cola/bk1", Incarnation: life, Policy: make([]byte, c.policy), Ownership: c.ownership,
		})), 2)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("policy of %d bytes, ownership %q: %v", c.policy, c.ownership, err)
		case c.want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("policy of %d bytes, ownership %q: error %v, want %q", c.policy, c.ownership, err, c.want)
		}
	}
}

// TestTokensOfTenants: a token that outlived its tenant would open a later tenant of
// that name, as a key would.
func TestTokensOfTenants(t *testing.T) {
	token := func(name, role, tenant string) *pb.Object {
		return Wrap(&pb.Token{Name: name, Role: role, Tenant: tenant, SecretHash: public})
	}
	c := populated(t)
	if _, err := c.Apply(put(token("cola", RoleTenantAdmin, "Hawaii/Fanta")), 2); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "tenant Hawaii/Fanta does not exist") {
		t.Errorf("a token of a tenant that is not there: %v", err)
	}
	if _, err := c.Apply(join(put(tenant("Hawaii/Fanta"), token("fanta", RoleTenantAdmin, "Hawaii/Fanta"), token("all", RoleViewer, ""))), 2); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Apply(del(pb.Kind_KIND_TENANT, "Hawaii/Fanta"), 3); !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), "tenant Hawaii/Fanta still has token fanta") {
		t.Errorf("a tenant with a token is deleted: %v", err)
	}
	if _, err := c.Apply(join(del(pb.Kind_KIND_TENANT, "Hawaii/Fanta"), del(pb.Kind_KIND_TOKEN, "fanta")), 3); err != nil {
		t.Errorf("a tenant is deleted with its token: %v", err)
	}
}
