package admin

import (
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// entryOf is the record of a change: who tried what, and what came of it. It
// has no secret, because it names objects and not what was said of them.
func entryOf(now time.Time, c Caller, requestID string, spec connect.Spec, object string, err error) *adminpb.AuditEntry {
	e := &adminpb.AuditEntry{
		Time: timestamppb.New(now), Principal: c.Principal, Role: c.Role.String(), RequestId: requestID,
		Procedure: procedureName(spec.Procedure), Object: clean(object), Result: "ok",
	}
	if err != nil {
		failure := Classify(err)
		e.Result, e.Message = wireCode(failure.Code).String(), clean(failure.Message)
	}
	return e
}

// onlyReads says of a message whose procedure may change something that it asks
// for no change.
func onlyReads(msg any) bool {
	m, ok := msg.(*adminpb.VerifyRequest)
	return ok && !m.GetRepair()
}

// objectOf names what a message is about.
func objectOf(msg any) string {
	switch m := msg.(type) {
	case *adminpb.ApplyRequest:
		return changeOf(m.GetPlan().GetChange())
	case *adminpb.PutObjectRequest:
		return m.GetHeader().GetBucket() + "/" + m.GetHeader().GetKey()
	case *adminpb.DeleteObjectRequest:
		return m.GetBucket() + "/" + m.GetKey()
	case *adminpb.PromoteVersionRequest:
		return m.GetBucket() + "/" + m.GetKey() + " " + m.GetVersion()
	case *adminpb.VerifyRequest: // to repair, or it is no change
		return faultsOf(m.GetName(), m.GetBucket(), nil) + " --repair"
	case *adminpb.DeleteKeyRequest:
		return m.GetAccessKey()
	case *adminpb.RetryFaultsRequest:
		return faultsOf(m.GetName(), m.GetBucket(), m.GetKeys())
	case *adminpb.SkipFaultsRequest:
		return faultsOf(m.GetName(), m.GetBucket(), m.GetKeys())
	}
	var words []string
	add := func(s string) {
		if s != "" {
			words = append(words, s)
		}
	}
	if m, ok := msg.(interface{ GetName() string }); ok {
		add(m.GetName())
	}
	if m, ok := msg.(interface{ GetPath() string }); ok {
		add(m.GetPath())
	}
	if m, ok := msg.(interface{ GetRole() string }); ok {
		add(m.GetRole())
	}
	if m, ok := msg.(interface{ GetTenant() string }); ok {
		add(m.GetTenant())
	}
	return strings.Join(words, " ")
}

func changeOf(req *adminpb.PlanRequest) string {
	switch c := req.GetChange().(type) {
	case *adminpb.PlanRequest_CreateService:
		return "create service " + c.CreateService.GetService().GetName()
	case *adminpb.PlanRequest_Serve:
		return "serve " + objectOf(c.Serve)
	case *adminpb.PlanRequest_Unserve:
		return "unserve " + objectOf(c.Unserve)
	case *adminpb.PlanRequest_Enable:
		return "enable " + objectOf(c.Enable)
	case *adminpb.PlanRequest_Disable:
		return "disable " + objectOf(c.Disable)
	case *adminpb.PlanRequest_Pause:
		return "pause " + objectOf(c.Pause)
	case *adminpb.PlanRequest_Resume:
		return "resume " + objectOf(c.Resume)
	case *adminpb.PlanRequest_Resync:
		return "resync " + objectOf(c.Resync)
	case *adminpb.PlanRequest_RetryFaults:
		return "retry " + objectOf(c.RetryFaults)
	case *adminpb.PlanRequest_SkipFaults:
		return "skip " + objectOf(c.SkipFaults)
	case *adminpb.PlanRequest_DeleteService:
		return "delete service " + objectOf(c.DeleteService)
	case *adminpb.PlanRequest_EditService:
		return "edit service " + c.EditService.GetName()
	case *adminpb.PlanRequest_EditSite:
		return "edit site"
	case *adminpb.PlanRequest_ApplyManifest:
		var names []string
		for _, s := range c.ApplyManifest.GetServices() {
			names = append(names, s.GetSettings().GetName())
		}
		return "apply service " + strings.Join(names, " ")
	}
	return ""
}

// faultsOf names the versions of a link that a change is about, the first of many.
func faultsOf(name, bucket string, keys []string) string {
	words := name
	if bucket != "" {
		words += " " + bucket
	}
	if len(keys) > 0 {
		words += "/" + keys[0]
	}
	if n := len(keys) - 1; n > 0 {
		words += fmt.Sprintf(" and %d more", n)
	}
	return words
}
