package cluster

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestRevokedTokensEndStreams: a call that lasts does not outlive what admitted it.
// Each stream is well under way when its token is revoked, and another one goes on.
func TestRevokedTokensEndStreams(t *testing.T) {
	var ahead atomic.Int64
	n, local := startNode(t, func(o *Options) {
		o.Admin = "127.0.0.1:0"
		o.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
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
	const large = 24 << 20 // more than both ends hold on the way
	if _, err := local.Objects.Put(ctx, &adminpb.PutObjectHeader{Bucket: "Hawaii/Cola/bk1", Key: "large"}, bytes.NewReader(make([]byte, large))); err != nil {
		t.Fatal(err)
	}
	as := func(name string) *admin.Client {
		res, err := local.Access.CreateToken(ctx, &adminpb.CreateTokenRequest{Name: name, Role: "operator"})
		if err != nil {
			t.Fatal(err)
		}
		return connectTo(t, admin.Target{Address: "https://" + n.AdminAddress(), CA: []byte(res.GetAuthorityPem()), Token: res.GetSecret()})
	}
	revoke := func(name string) {
		if err := local.Access.RevokeToken(ctx, name); err != nil {
			t.Error(err)
		}
		ahead.Add(int64(time.Minute))
	}
	stays := as("stays")

	for name, watch := range map[string]func(c *admin.Client, fn func() error) error{
		"console": func(c *admin.Client, fn func() error) error {
			return c.Console.Watch(ctx, 100*time.Millisecond, 0, func(*adminpb.ConsoleSnapshot) error { return fn() })
		},
		"service": func(c *admin.Client, fn func() error) error {
			return c.Services.Watch(ctx, "hawaii", 100*time.Millisecond, func(*adminpb.Service) error { return fn() })
		},
	} {
		seen := 0
		err := watch(as(name), func() error {
			if seen++; seen == 2 {
				revoke(name)
			}
			return nil
		})
		refusedWith(t, "a watch of the "+name, err, admin.CodeDenied, "the token is not known")
		enough := admin.Errorf(admin.CodeInterrupted, "enough")
		if err := watch(stays, func() error {
			ahead.Add(int64(time.Minute))
			if seen++; seen > 6 {
				return enough
			}
			return nil
		}); err != enough {
			t.Errorf("a watch of the %s whose token stays: %v", name, err)
		}
	}

	_, body, err := as("download").Objects.Get(ctx, "Hawaii/Cola/bk1", "large")
	if err != nil {
		t.Fatal(err)
	}
	revoke("download")
	got, err := io.Copy(io.Discard, body)
	refusedWith(t, "a download", err, admin.CodeDenied, "the token is not known")
	if got == large {
		t.Error("a download went on to its end")
	}
	body.Close()

	r, w := io.Pipe()
	put := make(chan error, 1)
	uploader := as("upload")
	go func() {
		_, err := uploader.Objects.Put(ctx, &adminpb.PutObjectHeader{Bucket: "Hawaii/Cola/bk1", Key: "late"}, r)
		r.CloseWithError(err)
		put <- err
	}()
	if _, err := w.Write(make([]byte, large)); err != nil {
		t.Fatal(err)
	}
	revoke("upload")
	w.Close()
	refusedWith(t, "an upload", <-put, admin.CodeDenied, "the token is not known")
	_, err = local.Objects.Show(ctx, &adminpb.ShowObjectRequest{Bucket: "Hawaii/Cola/bk1", Key: "late"})
	refusedWith(t, "what was uploaded", err, admin.CodeNotFound, "late")
}
