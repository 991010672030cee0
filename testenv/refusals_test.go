package testenv

import (
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// wantRefusal checks the code and a part of the sentence of a refused call.
func wantRefusal(t *testing.T, what string, err error, code admin.Code, sentence string) {
	t.Helper()
	var refused *admin.Error
	if !errors.As(err, &refused) {
		t.Errorf("%s: %v, want a refusal", what, err)
		return
	}
	if refused.Code != code || !strings.Contains(refused.Message+" "+refused.Hint, sentence) {
		t.Errorf("%s: code %d, %q, hint %q; want code %d and %q", what, refused.Code, refused.Message, refused.Hint, code, sentence)
	}
}

func TestTokenRefusals(t *testing.T) {
	var ahead atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	e := New(t)
	a := e.Start("alpha", SiteOptions{Clock: clock})
	b, c := e.Start("beta", SiteOptions{}), e.Start("gamma", SiteOptions{})
	invite := func() string {
		res, err := a.Admin.Sites.Invite(e.Context(), &adminpb.InviteRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return res.GetToken()
	}
	pair := func(s *Site, token string) error {
		_, err := s.Admin.Sites.Pair(e.Context(), token)
		return err
	}

	token := invite()
	wantRefusal(t, "a word", pair(b, "sesame"), admin.CodeInvalid, "site invite")
	middle := len(token) / 2
	mistyped := token[:middle] + string(rune('A'+(token[middle]-'A'+1)%26)) + token[middle+1:]
	wantRefusal(t, "a mistyped token", pair(b, mistyped), admin.CodeInvalid, "site invite")
	wantRefusal(t, "its own token", pair(a, token), admin.CodeDenied, "of this site itself")

	ahead.Store(int64(16 * time.Minute))
	wantRefusal(t, "an expired token", pair(b, token), admin.CodeDenied, "the token expired")
	ahead.Store(0)

	token = invite()
	if err := pair(b, token); err != nil {
		t.Fatalf("pair: %v", err)
	}
	wantRefusal(t, "a used token", pair(c, token), admin.CodeDenied, "used already")

	// A refusal has changed nothing anywhere.
	for _, s := range []*Site{a, b, c} {
		pairings, err := s.Admin.Sites.Pairings(e.Context())
		want := 1
		if s == c {
			want = 0
		}
		if err != nil || len(pairings) != want {
			t.Errorf("site %s has the pairings %v, %v", s.Name, pairings, err)
		}
	}
}

func TestAdminRefusals(t *testing.T) {
	e := New(t)
	a := e.Start("alpha", SiteOptions{})
	ctx := e.Context()
	_, err := a.Admin.System.Init(ctx, &adminpb.InitRequest{Force: true})
	wantRefusal(t, "a second init", err, admin.CodeExists, "initialised already")

	_, err = a.Admin.Paths.Create(ctx, &adminpb.CreatePathRequest{Kind: adminpb.PathKind_PATH_KIND_TENANT, Path: "Nowhere/Cola"})
	wantRefusal(t, "a tenant of an unknown namespace", err, admin.CodeNotFound, "Nowhere does not exist")

	for _, remote := range []string{"http://host:1", "ccow://host", "ccow://", "s3://bucket", "file:///x", "host:14000"} {
		_, err = a.Admin.Services.Create(ctx, &adminpb.CreateServiceRequest{Type: "isgw", Name: "hawaii", Remote: remote})
		wantRefusal(t, "remote "+remote, err, admin.CodeInvalid, "ccow://HOST:PORT")
	}
	a.Create("Hawaii", "Hawaii/Cola", bucketPath)
	e.mustPut(a, "key", []byte("value"))
	err = a.Admin.Paths.Delete(ctx, &adminpb.DeletePathRequest{Kind: adminpb.PathKind_PATH_KIND_BUCKET, Path: bucketPath})
	wantRefusal(t, "deleting a bucket with objects", err, admin.CodeConflict, "not empty")
	err = a.Admin.Paths.Delete(ctx, &adminpb.DeletePathRequest{Kind: adminpb.PathKind_PATH_KIND_NAMESPACE, Path: "Hawaii"})
	wantRefusal(t, "deleting a cluster with tenants", err, admin.CodeConflict, "not empty")
	e.mustHave(a, "key", []byte("value"))
	services, err := a.Admin.Services.List(ctx, false)
	if err != nil || len(services) != 0 {
		t.Errorf("refused services are there: %v, %v", services, err)
	}
}

// TestGarbageAtTheLinkEndpoint sends what no peer sends; the node drops it and
// goes on.
func TestGarbageAtTheLinkEndpoint(t *testing.T) {
	e, a, b, l := twoSites(t, SiteOptions{})
	for _, garbage := range [][]byte{
		[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		{0x16, 0x03, 0x01, 0xff, 0xff},
		make([]byte, 1<<20),
		[]byte(rand.Text()),
	} {
		conn, err := net.Dial("tcp", a.options.Link)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(garbage) // the node may have closed it already
		if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		answer, err := io.ReadAll(io.LimitReader(conn, 1<<16))
		if netErr, ok := err.(net.Error); ok && netErr.Timeout() {
			t.Error("a connection with garbage is kept open")
		}
		if len(answer) > 200 {
			t.Errorf("garbage was answered with %d bytes", len(answer))
		}
		conn.Close()
	}
	e.mustPut(a, "key", []byte("value"))
	l.WaitSynced()
	e.mustHave(b, "key", []byte("value"))
}
