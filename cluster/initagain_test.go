package cluster

import (
	"os"
	"path/filepath"
	"testing"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestInitAfterFailure: an init that made the site and could not open what is beside
// it is taken up by the next one, without a restart of the node.
func TestInitAfterFailure(t *testing.T) {
	ctx := t.Context()
	n, err := Start(ctx, Options{Dir: t.TempDir(), Site: "alpha", Node: "alpha-1", S3: None, Link: None, Admin: None, Metrics: None})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	c, err := admin.Dial("unix:" + n.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	inTheWay := filepath.Join(n.opts.Dir, "chunks")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.System.Init(ctx, &adminpb.InitRequest{}); err == nil {
		t.Fatal("a site without room for chunks was opened")
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	if st, err := c.System.Init(ctx, &adminpb.InitRequest{}); err != nil || !st.GetInitialised() {
		t.Fatalf("init once more: %v, %v", st, err)
	}
	if _, err := c.Paths.Create(ctx, &adminpb.CreatePathRequest{Kind: adminpb.PathKind_PATH_KIND_NAMESPACE, Path: "Hawaii"}); err != nil {
		t.Error(err)
	}
	_, err = c.System.Init(ctx, &adminpb.InitRequest{})
	refusedWith(t, "a third init", err, admin.CodeExists, "initialised already")
}
