package cluster

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestViewersAreToldNoNames: a viewer sees how links do and that something was
// changed, and not the names of objects, of access keys or of tokens.
func TestViewersAreToldNoNames(t *testing.T) {
	n, local := startNode(t, func(o *Options) { o.Admin = "127.0.0.1:0" })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, p := range []struct {
		kind adminpb.PathKind
		path string
	}{
		{adminpb.PathKind_PATH_KIND_NAMESPACE, "Hawaii"}, {adminpb.PathKind_PATH_KIND_TENANT, "Hawaii/Cola"}, {adminpb.PathKind_PATH_KIND_BUCKET, "Hawaii/Cola/bk1"},
	} {
		if _, err := local.Paths.Create(ctx, &adminpb.CreatePathRequest{Kind: p.kind, Path: p.path}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := local.Services.Create(ctx, &adminpb.CreateServiceRequest{Type: "isgw", Name: "hawaii"}); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Services.Serve(ctx, "hawaii", "Hawaii/Cola/bk1"); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Objects.Put(ctx, &adminpb.PutObjectHeader{Bucket: "Hawaii/Cola/bk1", Key: "dir/canary-object"}, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	local.Keys.Delete(ctx, &adminpb.DeleteKeyRequest{AccessKey: "canary-key"})
	local.Faults.Skip(ctx, &adminpb.SkipFaultsRequest{Name: "hawaii", Bucket: "Hawaii/Cola/bk1", Keys: []string{"canary-fault"}})
	token := func(name, role string) *admin.Client {
		res, err := local.Access.CreateToken(ctx, &adminpb.CreateTokenRequest{Name: name, Role: role})
		if err != nil {
			t.Fatal(err)
		}
		return connectTo(t, admin.Target{Address: "https://" + n.AdminAddress(), CA: []byte(res.GetAuthorityPem()), Token: res.GetSecret()})
	}
	operator, viewer := token("canary-token", "operator"), token("eye", "viewer")
	canaries := []string{"canary-object", "canary-key", "canary-fault", "canary-token"}

	seen := func(c *admin.Client) string {
		var out strings.Builder
		enough := admin.Errorf(admin.CodeInterrupted, "enough")
		if err := c.Console.Watch(ctx, 100*time.Millisecond, 0, func(s *adminpb.ConsoleSnapshot) error {
			out.WriteString(protojson.Format(s))
			return enough
		}); err != enough {
			t.Fatal(err)
		}
		history, err := c.Console.History(ctx, &adminpb.HistoryRequest{Service: "hawaii"})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range history.GetEvents() {
			out.WriteString(protojson.Format(e))
		}
		return out.String()
	}
	all, few := seen(operator), seen(viewer)
	for _, canary := range canaries {
		if !strings.Contains(all, canary) {
			t.Errorf("an operator is not told of %s", canary)
		}
		if strings.Contains(few, canary) {
			t.Errorf("a viewer is told of %s", canary)
		}
	}
	for _, want := range []string{"put object Hawaii/Cola/bk1", "skip hawaii", "create token", "create service hawaii"} {
		if !strings.Contains(few, want) {
			t.Errorf("a viewer is not told %q:\n%s", want, few)
		}
	}
	if again := seen(operator); !strings.Contains(again, "canary-object") {
		t.Error("an operator is told what a viewer is")
	}
}

// TestWithoutKeys: what is shared with others is not changed.
func TestWithoutKeys(t *testing.T) {
	backlog := func() *adminpb.Backlog { return &adminpb.Backlog{OldestBucket: "b", OldestKey: "k"} }
	service := &adminpb.Service{Status: &adminpb.ServiceStatus{
		Send: &adminpb.DirectionStats{Backlog: backlog()}, Receive: &adminpb.DirectionStats{Backlog: backlog()},
		Buckets: []*adminpb.BucketStatus{{Send: backlog(), Receive: backlog()}},
	}}
	snapshot := &adminpb.ConsoleSnapshot{Links: []*adminpb.ConsoleLink{{Name: "l", OldestBucket: "b", OldestKey: "k"}}}
	for _, m := range []proto.Message{service, snapshot} {
		if out := protojson.Format(withoutKeys(m)); strings.Contains(out, `"k"`) || !strings.Contains(out, `"b"`) {
			t.Errorf("left: %s", out)
		}
		if !strings.Contains(protojson.Format(m), `"k"`) {
			t.Error("the message itself was changed")
		}
	}
}
