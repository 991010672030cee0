package admin

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// procedures are all that the contract has, read from the contract itself.
func procedures() map[string]protoreflect.MethodDescriptor {
	out := map[string]protoreflect.MethodDescriptor{}
	protoregistry.GlobalFiles.RangeFilesByPackage("isgw.admin.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				out["/"+string(service.FullName())+"/"+string(method.Name())] = method
			}
		}
		return true
	})
	return out
}

// TestEveryProcedureHasARule fails when a call is added that the table forgets.
func TestEveryProcedureHasARule(t *testing.T) {
	all := procedures()
	if len(all) < 36 {
		t.Fatalf("only %d procedures were found", len(all))
	}
	for procedure := range all {
		if r, ok := rules[procedure]; !ok || r.least < RoleViewer {
			t.Errorf("%s has no rule", procedure)
		}
	}
	for procedure := range rules {
		if all[procedure] == nil {
			t.Errorf("there is a rule of %s, which is no procedure", procedure)
		}
	}
	if err := mayCall(Caller{Role: RoleSiteAdmin}, "/isgw.admin.v1.System/Format"); err == nil {
		t.Error("a procedure that nobody knows is allowed")
	}
}

// TestViewersChangeNothing: no call with side effects admits a viewer or
// somebody without a role, and every refusal names the role needed.
func TestViewersChangeNothing(t *testing.T) {
	for procedure, method := range procedures() {
		options, _ := method.Options().(*descriptorpb.MethodOptions)
		reads := options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
		for _, c := range []Caller{{Principal: "nobody"}, {Principal: "token:eye", Role: RoleViewer}} {
			err := mayCall(c, procedure)
			if !reads && err == nil {
				t.Errorf("%s may call %s", c.Role, procedure)
			}
			if err != nil && !strings.Contains(err.Error(), "needs the role "+rules[procedure].least.String()) {
				t.Errorf("%s: %v", procedure, err)
			}
			if c.Role == RoleNone && err == nil {
				t.Errorf("somebody without a role may call %s", procedure)
			}
		}
		if err := mayCall(Caller{Role: RoleSiteAdmin}, procedure); err != nil {
			t.Errorf("a site-admin may not call %s: %v", procedure, err)
		}
	}
}

func TestMayAsk(t *testing.T) {
	tenant := Caller{Principal: "token:cola", Role: RoleTenantAdmin, Tenant: "Hawaii/Cola"}
	operator := Caller{Principal: "token:op", Role: RoleOperator}
	viewer := Caller{Principal: "token:eye", Role: RoleViewer}
	admin := Caller{Principal: "local:0", Role: RoleSiteAdmin}
	const at = "/isgw.admin.v1."
	pairing := &adminpb.PlanRequest{Change: &adminpb.PlanRequest_CreateService{CreateService: &adminpb.PlanCreateService{Token: "secret"}}}
	for _, c := range []struct {
		caller    Caller
		procedure string
		msg       any
		needs     string // empty: allowed
	}{
		{tenant, "Paths/Create", &adminpb.CreatePathRequest{Path: "Hawaii/Cola/bk1"}, ""},
		{tenant, "Paths/Create", &adminpb.CreatePathRequest{Path: "Hawaii/Cola"}, "operator"},
		{tenant, "Paths/Create", &adminpb.CreatePathRequest{Path: "Hawaii/Colada/bk1"}, "operator"},
		{tenant, "Paths/Delete", &adminpb.DeletePathRequest{Path: "Hawaii/Cola/bk1"}, ""},
		{tenant, "Paths/Delete", &adminpb.DeletePathRequest{Path: "Hawaii/Cola"}, "operator"},
		{tenant, "Paths/List", &adminpb.ListPathsRequest{Parent: "Hawaii/Cola"}, ""},
		{tenant, "Paths/List", &adminpb.ListPathsRequest{Parent: "Hawaii"}, "viewer"},
		{tenant, "Paths/List", &adminpb.ListPathsRequest{}, "viewer"},
		{tenant, "Paths/Get", &adminpb.GetPathRequest{Path: "Hawaii/Cola"}, ""},
		{tenant, "Keys/Create", &adminpb.CreateKeyRequest{Tenant: "Hawaii/Cola"}, ""},
		{tenant, "Keys/Create", &adminpb.CreateKeyRequest{Tenant: "Hawaii/Pepsi"}, "operator"},
		{tenant, "Keys/Delete", &adminpb.DeleteKeyRequest{AccessKey: "AK", Tenant: "Hawaii/Cola"}, ""},
		{tenant, "Keys/Delete", &adminpb.DeleteKeyRequest{AccessKey: "AK", Tenant: "Hawaii/Pepsi"}, "operator"},
		{tenant, "Keys/Delete", &adminpb.DeleteKeyRequest{AccessKey: "AK"}, "operator"},
		{viewer, "Keys/Delete", &adminpb.DeleteKeyRequest{AccessKey: "AK"}, "operator"},
		{operator, "Keys/Delete", &adminpb.DeleteKeyRequest{AccessKey: "AK"}, ""},
		{tenant, "Paths/Edit", &adminpb.EditPathRequest{Path: "Hawaii/Cola/bk1"}, ""},
		{tenant, "Paths/Edit", &adminpb.EditPathRequest{Path: "Hawaii/Cola"}, "operator"},
		{tenant, "Paths/Edit", &adminpb.EditPathRequest{Path: "Hawaii/Pepsi/bk1"}, "operator"},
		{tenant, "Keys/List", &adminpb.ListKeysRequest{}, "operator"},
		{tenant, "Objects/Get", &adminpb.GetObjectRequest{Bucket: "Hawaii/Cola/bk1"}, ""},
		{tenant, "Objects/Get", &adminpb.GetObjectRequest{Bucket: "Hawaii/Pepsi/bk1"}, "operator"},
		{tenant, "Objects/Put", &adminpb.PutObjectRequest{Part: &adminpb.PutObjectRequest_Header{Header: &adminpb.PutObjectHeader{Bucket: "Hawaii/Cola/bk1"}}}, ""},
		{tenant, "Objects/Put", &adminpb.PutObjectRequest{Part: &adminpb.PutObjectRequest_Data{Data: []byte("x")}}, "operator"},
		{tenant, "Access/WhoAmI", &adminpb.WhoAmIRequest{}, ""},
		{tenant, "Console/Watch", &adminpb.WatchConsoleRequest{}, "viewer"},
		{Caller{Principal: "token:lost", Role: RoleTenantAdmin}, "Keys/List", &adminpb.ListKeysRequest{}, "operator"},
		{viewer, "Console/Watch", &adminpb.WatchConsoleRequest{}, ""},
		{viewer, "Objects/List", &adminpb.ListObjectsRequest{}, "operator"},
		{viewer, "Plans/Plan", &adminpb.PlanRequest{}, "operator"},
		{operator, "Plans/Plan", &adminpb.PlanRequest{}, ""},
		{operator, "Plans/Plan", pairing, "site-admin"},
		{operator, "Plans/Apply", &adminpb.ApplyRequest{Plan: &adminpb.Plan{Change: pairing}}, "site-admin"},
		{operator, "Sites/Pair", &adminpb.PairRequest{}, "site-admin"},
		{operator, "Access/CreateToken", &adminpb.CreateTokenRequest{}, "site-admin"},
		{admin, "Plans/Apply", &adminpb.ApplyRequest{Plan: &adminpb.Plan{Change: pairing}}, ""},
	} {
		err := mayAsk(c.caller, at+c.procedure, c.msg)
		var refused *Error
		switch {
		case c.needs == "" && err != nil:
			t.Errorf("%s %s %v: %v", c.caller.Role, c.procedure, c.msg, err)
		case c.needs != "" && (!errors.As(err, &refused) || refused.Code != CodeDenied || !strings.Contains(refused.Message, "needs the role "+c.needs)):
			t.Errorf("%s %s %v: %v, want it to need %s", c.caller.Role, c.procedure, c.msg, err, c.needs)
		}
	}
}

// TestTenantAdminsAreToldWhatTheyCanDo: who asks for more than its tenant, and has a
// part in it, is told how to ask for that part; else which role it takes.
func TestTenantAdminsAreToldWhatTheyCanDo(t *testing.T) {
	const bucket, tenant, namespace = adminpb.PathKind_PATH_KIND_BUCKET, adminpb.PathKind_PATH_KIND_TENANT, adminpb.PathKind_PATH_KIND_NAMESPACE
	for _, c := range []struct {
		tenant, procedure string
		msg               any
		hint              string
	}{
		{"Hawaii/Cola", "Paths/List", &adminpb.ListPathsRequest{Kind: bucket}, "`isgwctl bucket list Hawaii/Cola`"},
		{"Hawaii/Cola", "Paths/List", &adminpb.ListPathsRequest{Kind: bucket, Parent: "Hawaii"}, "`isgwctl bucket list Hawaii/Cola`"},
		{"Hawaii/Cola", "Paths/List", &adminpb.ListPathsRequest{Kind: bucket, Parent: "Hawaii/Pepsi"}, "--role viewer"},
		{"Hawaii/Cola", "Paths/List", &adminpb.ListPathsRequest{Kind: bucket, Parent: "Haw"}, "--role viewer"},
		{"Hawaii/Cola", "Paths/List", &adminpb.ListPathsRequest{Kind: tenant}, "`isgwctl tenant show Hawaii/Cola`"},
		{"Hawaii/Cola", "Paths/List", &adminpb.ListPathsRequest{Kind: namespace}, "--role viewer"},
		{"", "Paths/List", &adminpb.ListPathsRequest{Kind: bucket}, "--role viewer"},
		{"Hawaii/Cola", "Keys/List", &adminpb.ListKeysRequest{}, "`isgwctl tenant key list Hawaii/Cola`"},
		{"Hawaii/Cola", "Keys/List", &adminpb.ListKeysRequest{Tenant: "Hawaii/Pepsi"}, "--role operator"},
		{"Hawaii/Cola", "Paths/Create", &adminpb.CreatePathRequest{Path: "Hawaii/Cola"}, "--role operator"},
	} {
		err := mayAsk(Caller{Principal: "token:cola", Role: RoleTenantAdmin, Tenant: c.tenant}, "/isgw.admin.v1."+c.procedure, c.msg)
		var refused *Error
		if !errors.As(err, &refused) || !strings.Contains(refused.Hint, c.hint) {
			t.Errorf("%s of %q, %v: %#v, want a hint with %s", c.procedure, c.tenant, c.msg, err, c.hint)
		}
	}
}

// TestObjectsOfChanges: the record names what was changed, and no secret.
func TestObjectsOfChanges(t *testing.T) {
	for _, c := range []struct {
		msg  any
		want string
	}{
		{&adminpb.ServeRequest{Name: "hawaii", Path: "Hawaii/Cola"}, "hawaii Hawaii/Cola"},
		{&adminpb.PairRequest{Token: "secret"}, ""},
		{&adminpb.CreateTokenRequest{Name: "eye", Role: "viewer"}, "eye viewer"},
		{&adminpb.DeleteKeyRequest{AccessKey: "AK"}, "AK"},
		{&adminpb.DeleteObjectRequest{Bucket: "a/b/c", Key: "k"}, "a/b/c/k"},
		{&adminpb.ApplyRequest{Plan: &adminpb.Plan{Command: "lies", Change: &adminpb.PlanRequest{Change: &adminpb.PlanRequest_CreateService{CreateService: &adminpb.PlanCreateService{
			Service: &adminpb.CreateServiceRequest{Name: "hawaii"}, Token: "secret",
		}}}}}, "create service hawaii"},
	} {
		if got := objectOf(c.msg); got != c.want {
			t.Errorf("%v is about %q, want %q", c.msg, got, c.want)
		}
	}
}
