package cluster

import (
	"context"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// A viewer sees config, status and history, and neither objects nor keys nor
// tokens. Some of what it may call has names of these beside what it is for: of
// the oldest version that waits, and in the record of changes. They are taken out
// here.

// views says whether a call is a viewer's.
func views(ctx context.Context) bool { return admin.CallerOf(ctx).Role == admin.RoleViewer }

// withoutKeys is a copy of a message in which no oldest version is named; its bucket
// still is.
func withoutKeys[M proto.Message](m M) M {
	out := proto.CloneOf(m)
	clearKeys(out.ProtoReflect())
	return out
}

func clearKeys(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Name() == "oldest_key":
			m.Clear(f)
		case f.Kind() != protoreflect.MessageKind || f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				clearKeys(v.List().Get(i).Message())
			}
		default:
			clearKeys(v.Message())
		}
		return true
	})
}

// withoutNames is a change with what it was about as far as a viewer may know.
func withoutNames(e *adminpb.AuditEntry) *adminpb.AuditEntry {
	kind, _, _ := strings.Cut(e.GetProcedure(), ".")
	object := e.GetObject()
	words := strings.Fields(object)
	switch {
	case kind == "Objects" || kind == "Versions": // NAMESPACE/TENANT/BUCKET/KEY
		parts := strings.SplitN(object, "/", 4)
		object = strings.Join(parts[:min(len(parts), 3)], "/")
	case kind == "Keys" || kind == "Access":
		object = ""
	case kind == "Faults": // LINK BUCKET/KEY
		object = strings.Join(words[:min(len(words), 1)], " ")
	case e.GetProcedure() == "Plans.Apply" && (strings.HasPrefix(object, "skip ") || strings.HasPrefix(object, "retry ")):
		object = strings.Join(words[:min(len(words), 2)], " ")
	}
	return &adminpb.AuditEntry{
		Time: e.GetTime(), Principal: e.GetPrincipal(), Role: e.GetRole(), RequestId: e.GetRequestId(),
		Procedure: e.GetProcedure(), Object: object, Result: e.GetResult(),
	}
}

// changesFor are changes as a caller may see them.
func changesFor(ctx context.Context, changes []*adminpb.AuditEntry) []*adminpb.AuditEntry {
	if !views(ctx) {
		return changes
	}
	out := make([]*adminpb.AuditEntry, len(changes))
	for i, e := range changes {
		out[i] = withoutNames(e)
	}
	return out
}
