package admin

import (
	"strings"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/adminpb/adminpbconnect"
)

// rule says who may make a call.
type rule struct {
	least Role
	// scope is the path that a message is about; a tenant-admin may make the
	// call when it lies in its tenant. Nil: the call is not for tenant-admins
	// that least does not admit.
	scope func(msg any) string
	// raise is a greater role that some messages of the call need; it may be nil.
	raise func(msg any) Role
	// open admits a tenant-admin whatever the message.
	open bool
}

// rules has every procedure of the API. It is the one place that says who may
// do what; a procedure that is not here is refused to everybody.
var rules = map[string]rule{
	adminpbconnect.SystemInitProcedure:   {least: RoleSiteAdmin},
	adminpbconnect.SystemStatusProcedure: {least: RoleViewer},

	adminpbconnect.PathsCreateProcedure: {least: RoleOperator, scope: bucketScope},
	adminpbconnect.PathsListProcedure:   {least: RoleViewer, scope: parentScope},
	adminpbconnect.PathsGetProcedure:    {least: RoleViewer, scope: pathScope},
	adminpbconnect.PathsDeleteProcedure: {least: RoleOperator, scope: bucketScope},
	// A tenant-admin decides about its buckets, not about its own quota.
	adminpbconnect.PathsEditProcedure: {least: RoleOperator, scope: bucketScope},

	adminpbconnect.KeysCreateProcedure: {least: RoleOperator, scope: tenantScope},
	adminpbconnect.KeysListProcedure:   {least: RoleOperator, scope: tenantScope},
	adminpbconnect.KeysDeleteProcedure: {least: RoleOperator, scope: tenantScope},

	adminpbconnect.SitesInviteProcedure:       {least: RoleSiteAdmin},
	adminpbconnect.SitesPairProcedure:         {least: RoleSiteAdmin},
	adminpbconnect.SitesListPairingsProcedure: {least: RoleViewer},

	adminpbconnect.ResyncsStartProcedure: {least: RoleOperator},

	adminpbconnect.PairingsRenameProcedure:      {least: RoleSiteAdmin},
	adminpbconnect.PairingsRevokeProcedure:      {least: RoleSiteAdmin},
	adminpbconnect.PairingsRotateProcedure:      {least: RoleSiteAdmin},
	adminpbconnect.PairingsFingerprintProcedure: {least: RoleViewer},

	adminpbconnect.ServicesCreateProcedure:  {least: RoleOperator},
	adminpbconnect.ServicesListProcedure:    {least: RoleViewer},
	adminpbconnect.ServicesGetProcedure:     {least: RoleViewer},
	adminpbconnect.ServicesServeProcedure:   {least: RoleOperator},
	adminpbconnect.ServicesUnserveProcedure: {least: RoleOperator},
	adminpbconnect.ServicesEnableProcedure:  {least: RoleOperator},
	adminpbconnect.ServicesDisableProcedure: {least: RoleOperator},
	adminpbconnect.ServicesDeleteProcedure:  {least: RoleOperator},
	adminpbconnect.ServicesWatchProcedure:   {least: RoleViewer},

	// Keys are named in them: see below.
	adminpbconnect.FaultsListProcedure:  {least: RoleOperator},
	adminpbconnect.FaultsRetryProcedure: {least: RoleOperator},
	adminpbconnect.FaultsSkipProcedure:  {least: RoleOperator},

	adminpbconnect.VerificationVerifyProcedure: {least: RoleOperator},

	// What is in a bucket is its tenant's: a viewer does not see it.
	adminpbconnect.ObjectsListProcedure:   {least: RoleOperator, scope: objectScope},
	adminpbconnect.ObjectsShowProcedure:   {least: RoleOperator, scope: objectScope},
	adminpbconnect.ObjectsPutProcedure:    {least: RoleOperator, scope: objectScope},
	adminpbconnect.ObjectsGetProcedure:    {least: RoleOperator, scope: objectScope},
	adminpbconnect.ObjectsDeleteProcedure: {least: RoleOperator, scope: objectScope},

	adminpbconnect.VersionsListProcedure:      {least: RoleOperator, scope: objectScope},
	adminpbconnect.VersionsConflictsProcedure: {least: RoleOperator, scope: objectScope},
	adminpbconnect.VersionsPromoteProcedure:   {least: RoleOperator, scope: objectScope},

	adminpbconnect.ConsoleWatchProcedure:   {least: RoleViewer},
	adminpbconnect.ConsoleHistoryProcedure: {least: RoleViewer},

	// A plan dials the address that it is to link with, so it is no viewer's.
	adminpbconnect.PlansPlanProcedure:  {least: RoleOperator, raise: pairingRole},
	adminpbconnect.PlansApplyProcedure: {least: RoleOperator, raise: pairingRole},

	adminpbconnect.AccessWhoAmIProcedure:           {least: RoleViewer, open: true},
	adminpbconnect.AccessCreateTokenProcedure:      {least: RoleSiteAdmin},
	adminpbconnect.AccessListTokensProcedure:       {least: RoleSiteAdmin},
	adminpbconnect.AccessRevokeTokenProcedure:      {least: RoleSiteAdmin},
	adminpbconnect.AccessIssueCertificateProcedure: {least: RoleSiteAdmin},
	adminpbconnect.AccessAuditProcedure:            {least: RoleSiteAdmin},
}

// mayCall refuses a call that the caller's role does not admit, whatever its
// message.
func mayCall(c Caller, procedure string) error {
	r, ok := rules[procedure]
	switch {
	case !ok:
		return Errorf(CodeDenied, "nobody may call %s: this node does not know who needs what for it", procedureName(procedure))
	case c.Role == RoleTenantAdmin && (r.open || r.scope != nil):
		return nil // mayAsk decides by the message
	case c.Role == RoleTenantAdmin:
		return confined(c, procedure, r.least)
	case c.Role < r.least:
		return needs(c, procedure, r.least)
	}
	return nil
}

// mayAsk refuses a message that the caller's role does not admit.
func mayAsk(c Caller, procedure string, msg any) error {
	if err := mayCall(c, procedure); err != nil {
		return err
	}
	r := rules[procedure]
	if r.raise != nil {
		if role := r.raise(msg); c.Role < role {
			return needs(c, procedure, role)
		}
	}
	if c.Role != RoleTenantAdmin || r.open {
		return nil
	}
	if path := r.scope(msg); c.Tenant == "" || path != c.Tenant && !strings.HasPrefix(path, c.Tenant+"/") {
		refusal := confined(c, procedure, r.least)
		if does := insteadOf(msg, c.Tenant); does != "" {
			refusal = refusal.WithHint("a tenant-admin names its tenant: `%s`", does)
		}
		return refusal
	}
	return nil
}

// insteadOf is the command by which a tenant-admin sees its part of a list that goes
// beyond its tenant, or nothing when no part of the list is its own.
func insteadOf(msg any, tenant string) string {
	above := func(path string) bool { return path == "" || strings.HasPrefix(tenant, path+"/") }
	switch m := msg.(type) {
	case *adminpb.ListPathsRequest:
		switch kind := m.GetKind(); {
		case tenant == "" || !above(m.GetParent()):
		case kind == adminpb.PathKind_PATH_KIND_BUCKET:
			return "isgwctl bucket list " + tenant
		case kind == adminpb.PathKind_PATH_KIND_TENANT:
			return "isgwctl tenant show " + tenant
		}
	case *adminpb.ListKeysRequest:
		if tenant != "" && above(m.GetTenant()) {
			return "isgwctl tenant key list " + tenant
		}
	}
	return ""
}

func needs(c Caller, procedure string, role Role) error {
	return Errorf(CodeDenied, "%s has the role %s and cannot call %s: that needs the role %s", c.Principal, c.Role, procedureName(procedure), role).
		WithHint("ask a site-admin for a token of that role: `isgwctl admin token create --role %s`", role)
}

func confined(c Caller, procedure string, role Role) *Error {
	return Errorf(CodeDenied, "%s has the role %s and cannot call %s outside tenant %s: that needs the role %s", c.Principal, c.Role, procedureName(procedure), c.Tenant, role).
		WithHint("ask a site-admin for a token of that role: `isgwctl admin token create --role %s`", role)
}

// procedureName is what people call a procedure: "Services.Serve".
func procedureName(procedure string) string {
	name := strings.TrimPrefix(procedure, "/isgw.admin.v1.")
	return strings.Replace(name, "/", ".", 1)
}

// bucketScope is the path of a bucket to be made or deleted; a tenant itself is
// not its tenant-admin's.
func bucketScope(msg any) string {
	if m, ok := msg.(interface{ GetPath() string }); ok && strings.Count(m.GetPath(), "/") == 2 {
		return m.GetPath()
	}
	return ""
}

func pathScope(msg any) string {
	if m, ok := msg.(interface{ GetPath() string }); ok {
		return m.GetPath()
	}
	return ""
}

func parentScope(msg any) string {
	if m, ok := msg.(interface{ GetParent() string }); ok {
		return m.GetParent()
	}
	return ""
}

func tenantScope(msg any) string {
	if m, ok := msg.(interface{ GetTenant() string }); ok {
		return m.GetTenant()
	}
	return ""
}

func objectScope(msg any) string {
	switch m := msg.(type) {
	case *adminpb.PutObjectRequest:
		return m.GetHeader().GetBucket()
	case interface{ GetBucket() string }:
		return m.GetBucket()
	}
	return ""
}

// pairingRole is what a change needs that pairs sites: as much as pairing does.
func pairingRole(msg any) Role {
	var change *adminpb.PlanRequest
	switch m := msg.(type) {
	case *adminpb.PlanRequest:
		change = m
	case *adminpb.ApplyRequest:
		change = m.GetPlan().GetChange()
	}
	if change.GetCreateService().GetToken() != "" {
		return RoleSiteAdmin
	}
	return RoleNone
}
