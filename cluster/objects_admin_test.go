package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm"
)

// TestObjectErrors: what the object path refuses is told as a refusal, and only what
// is a fault of the node as one.
func TestObjectErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		code admin.Code
	}{
		{objects.ErrNoBucket, admin.CodeNotFound},
		{objects.ErrQuota, admin.CodeExhausted},
		{chunks.ErrNoSpace, admin.CodeExhausted},
		{raftfsm.ErrNoSpace, admin.CodeExhausted},
		{objects.ErrLocked, admin.CodeConflict},
		{objects.ErrNoLock, admin.CodeConflict},
		{chunks.ErrCorrupt, admin.CodeFailed},
		{errors.New("disk"), admin.CodeFailed},
	} {
		if got := admin.Classify(objectError(fmt.Errorf("put object: %w", c.err))); got.Code != c.code || !strings.Contains(got.Message, c.err.Error()) {
			t.Errorf("%v: code %d, %q; want %d", c.err, got.Code, got.Message, c.code)
		}
	}

	_, local := startNode(t, nil)
	ctx := t.Context()
	quota := uint64(10)
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
	for _, key := range []string{"a/1", "a/2", "b", "c/1"} {
		if _, err := local.Objects.Put(ctx, &adminpb.PutObjectHeader{Bucket: "Hawaii/Cola/bk1", Key: key}, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	var seen []string
	for after := ""; ; {
		page, err := local.Objects.List(ctx, &adminpb.ListObjectsRequest{Bucket: "Hawaii/Cola/bk1", Delimiter: "/", Limit: 1, After: after})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page.GetItems() {
			seen = append(seen, i.GetPrefix()+i.GetObject().GetKey())
		}
		if after = page.GetNext(); !page.GetMore() || len(seen) > 9 {
			break
		}
	}
	if !slices.Equal(seen, []string{"a/", "b", "c/"}) {
		t.Errorf("pages of one have %v", seen)
	}
	if _, err := local.Paths.Edit(ctx, &adminpb.EditPathRequest{Kind: adminpb.PathKind_PATH_KIND_BUCKET, Path: "Hawaii/Cola/bk1", Quota: &quota}); err != nil {
		t.Fatal(err)
	}
	_, err := local.Objects.Put(ctx, &adminpb.PutObjectHeader{Bucket: "Hawaii/Cola/bk1", Key: "k"}, strings.NewReader("longer than that"))
	refusedWith(t, "a put above the quota", err, admin.CodeExhausted, "above its quota of 10")
}
