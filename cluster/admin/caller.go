package admin

import (
	"context"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// Role is what a caller may do. A greater role may do all that a lesser one
// may, except that a tenant-admin is confined to its tenant.
type Role int

// The roles, from the least.
const (
	RoleNone Role = iota
	// RoleViewer reads config, status and history, but no object and no secret.
	RoleViewer
	// RoleTenantAdmin does everything inside one tenant: buckets, keys, objects.
	RoleTenantAdmin
	// RoleOperator changes links, tenants and buckets.
	RoleOperator
	// RoleSiteAdmin does everything.
	RoleSiteAdmin
)

var roleNames = [...]string{"none", "viewer", "tenant-admin", "operator", "site-admin"}

// String returns the role as commands write it.
func (r Role) String() string {
	if r < 0 || int(r) >= len(roleNames) {
		return roleNames[0]
	}
	return roleNames[r]
}

// ParseRole reads a role that somebody can have.
func ParseRole(s string) (Role, error) {
	for i, name := range roleNames[1:] {
		if s == name {
			return Role(i + 1), nil
		}
	}
	return RoleNone, Errorf(CodeInvalid, "there is no role %q", s).
		WithHint("a role is viewer, tenant-admin, operator or site-admin")
}

// Caller is who makes a call.
type Caller struct {
	Principal string // "local:UID", "token:NAME", "certificate:NAME"
	Role      Role
	Tenant    string // namespace/tenant of a tenant-admin
}

type callerKey struct{}

// CallerOf is who makes the call that a context belongs to; nobody, without any
// role, when the context belongs to none.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// withCaller sets who makes a call.
func withCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

func callerProto(c Caller) *adminpb.Caller {
	return &adminpb.Caller{Principal: c.Principal, Role: c.Role.String(), Tenant: c.Tenant}
}
