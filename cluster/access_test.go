package cluster

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// refusedWith fails unless err has the code and the words.
func refusedWith(t *testing.T, what string, err error, code admin.Code, words string) {
	t.Helper()
	var refused *admin.Error
	if !errors.As(err, &refused) || refused.Code != code || !strings.Contains(refused.Message, words) {
		t.Errorf("%s: %v, want code %d and %q", what, err, code, words)
	}
}

func connectTo(t *testing.T, target admin.Target) *admin.Client {
	t.Helper()
	c, err := admin.Connect(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAccessOverTLS(t *testing.T) {
	var ahead atomic.Int64
	n, local := startNode(t, func(o *Options) {
		o.Admin, o.Link = "127.0.0.1:0", "127.0.0.1:0"
		o.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	ctx := t.Context()
	for _, path := range []struct {
		kind adminpb.PathKind
		path string
	}{
		{adminpb.PathKind_PATH_KIND_NAMESPACE, "Hawaii"}, {adminpb.PathKind_PATH_KIND_TENANT, "Hawaii/Cola"}, {adminpb.PathKind_PATH_KIND_BUCKET, "Hawaii/Cola/bk1"},
	} {
		if _, err := local.Paths.Create(ctx, &adminpb.CreatePathRequest{Kind: path.kind, Path: path.path}); err != nil {
			t.Fatal(err)
		}
	}
	token := func(name, role, tenant string, ttl uint64) *adminpb.CreateTokenResponse {
		t.Helper()
		res, err := local.Access.CreateToken(ctx, &adminpb.CreateTokenRequest{Name: name, Role: role, Tenant: tenant, TtlSeconds: ttl})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	eye := token("eye", "viewer", "", 3600)
	address := "https://" + n.AdminAddress()
	if eye.GetAddress() != n.AdminAddress() || eye.GetToken().GetCreatedBy() == "" {
		t.Errorf("the token came with %v", eye)
	}

	// A viewer sees, and changes nothing; by CA file and by fingerprint.
	for _, target := range []admin.Target{
		{Address: address, CA: []byte(eye.GetAuthorityPem()), Token: eye.GetSecret()},
		{Address: address, Fingerprint: eye.GetAuthorityFingerprint(), Token: eye.GetSecret()},
	} {
		viewer := connectTo(t, target)
		who, err := viewer.Access.WhoAmI(ctx)
		if err != nil || who.GetCaller().GetPrincipal() != "token:eye" || who.GetCaller().GetRole() != "viewer" {
			t.Fatalf("a viewer is %v, %v", who, err)
		}
		if _, err := viewer.Services.List(ctx, true); err != nil {
			t.Error(err)
		}
		_, err = viewer.Services.Create(ctx, &adminpb.CreateServiceRequest{Type: "isgw", Name: "mine"})
		refusedWith(t, "a viewer makes a link", err, admin.CodeDenied, "needs the role operator")
		_, err = viewer.Objects.Put(ctx, &adminpb.PutObjectHeader{Bucket: "Hawaii/Cola/bk1", Key: "k"}, strings.NewReader("x"))
		refusedWith(t, "a viewer puts an object", err, admin.CodeDenied, "needs the role operator")
	}
	if all, err := local.Services.List(ctx, false); err != nil || len(all) != 0 {
		t.Errorf("a viewer made %v, %v", all, err)
	}

	// A tenant's admin stays in the tenant, in streams too.
	cola := connectTo(t, admin.Target{Address: address, CA: []byte(eye.GetAuthorityPem()), Token: token("cola", "tenant-admin", "Hawaii/Cola", 0).GetSecret()})
	if _, err := cola.Objects.Put(ctx, &adminpb.PutObjectHeader{Bucket: "Hawaii/Cola/bk1", Key: "k"}, strings.NewReader("x")); err != nil {
		t.Error(err)
	}
	_, err := cola.Objects.Put(ctx, &adminpb.PutObjectHeader{Bucket: "Hawaii/Pepsi/bk1", Key: "k"}, strings.NewReader("x"))
	refusedWith(t, "a put outside the tenant", err, admin.CodeDenied, "outside tenant Hawaii/Cola: that needs the role operator")
	_, _, err = cola.Objects.Get(ctx, "Hawaii/Pepsi/bk1", "k")
	refusedWith(t, "a get outside the tenant", err, admin.CodeDenied, "outside tenant Hawaii/Cola")

	// A client certificate, issued for a key that never left the client.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := local.Access.IssueCertificate(ctx, &adminpb.IssueCertificateRequest{RequestDer: request, Name: "ops", Role: "operator"})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair([]byte(issued.GetCertificatePem()), keyPEM(t, key))
	if err != nil {
		t.Fatal(err)
	}
	ops := connectTo(t, admin.Target{Address: address, Fingerprint: issued.GetAuthorityFingerprint(), Certificate: &pair})
	if _, err := ops.Services.Create(ctx, &adminpb.CreateServiceRequest{Type: "isgw", Name: "hawaii"}); err != nil {
		t.Errorf("an operator by certificate: %v", err)
	}
	_, err = ops.Access.ListTokens(ctx)
	refusedWith(t, "an operator lists tokens", err, admin.CodeDenied, "needs the role site-admin")

	// Everything that is wrong has its own sentence.
	ask := func(target admin.Target) error {
		_, err := connectTo(t, target).System.Status(ctx)
		return err
	}
	good := admin.Target{Address: address, CA: []byte(eye.GetAuthorityPem()), Token: eye.GetSecret()}
	with := func(change func(*admin.Target)) admin.Target {
		c := good
		change(&c)
		return c
	}
	refusedWith(t, "no token", ask(with(func(c *admin.Target) { c.Token = "" })), admin.CodeDenied, "neither a token nor a client certificate")
	refusedWith(t, "a wrong token", ask(with(func(c *admin.Target) { c.Token = "isgw1_guess" })), admin.CodeDenied, "the token is not known at site alpha")
	other, otherLocal := startNode(t, func(o *Options) { o.Site, o.Admin = "beta", "127.0.0.1:0" })
	foreign, err := otherLocal.Access.WhoAmI(ctx)
	if err != nil {
		t.Fatal(err)
	}
	refusedWith(t, "a wrong CA", ask(with(func(c *admin.Target) { c.CA = []byte(foreign.GetAuthorityPem()) })), admin.CodeDenied, "from another authority")
	refusedWith(t, "a wrong fingerprint", ask(with(func(c *admin.Target) { c.CA, c.Fingerprint = nil, foreign.GetAuthorityFingerprint() })), admin.CodeDenied, "from another authority")
	refusedWith(t, "another site's node", ask(with(func(c *admin.Target) { c.Address = "https://" + other.AdminAddress() })), admin.CodeDenied, "from another authority")
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	refusedWith(t, "a closed port", ask(with(func(c *admin.Target) { c.Address = "https://" + closed.Addr().String() })), admin.CodeUnavailable, "nothing listens at")
	refusedWith(t, "the link's port", ask(with(func(c *admin.Target) { c.Address = "https://" + n.LinkAddress() })), admin.CodeUnavailable, "is no admin API")
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	refusedWith(t, "a port without TLS", ask(with(func(c *admin.Target) { c.Address = "https://" + plain.Listener.Addr().String() })), admin.CodeUnavailable, "does not speak TLS")
	pairWrong := pair
	refusedWith(t, "a certificate of another site", ask(admin.Target{Address: "https://" + other.AdminAddress(), CA: []byte(foreign.GetAuthorityPem()), Certificate: &pairWrong}), admin.CodeDenied, "not from the authority of site beta")

	// Revoked and expired: refused from the next call on, on open connections too.
	viewer := connectTo(t, good)
	if _, err := viewer.System.Status(ctx); err != nil {
		t.Error(err)
	}
	ahead.Store(int64(2 * time.Hour))
	_, err = viewer.System.Status(ctx)
	refusedWith(t, "an expired token", err, admin.CodeDenied, "token eye expired at")
	ahead.Store(0)
	if err := local.Access.RevokeToken(ctx, "ops"); err != nil {
		t.Error(err)
	}
	_, err = ops.System.Status(ctx)
	refusedWith(t, "a revoked certificate", err, admin.CodeDenied, "the certificate is not known")

	// The record has who did what, also in vain, and no secret.
	entries, err := local.Access.Audit(ctx, 100)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range entries {
		lines = append(lines, strings.Join([]string{e.GetPrincipal(), e.GetRole(), e.GetProcedure(), e.GetObject(), e.GetResult()}, " "))
		if e.GetRequestId() == "" || e.GetTime() == nil {
			t.Errorf("an entry without request id or time: %v", e)
		}
	}
	record := strings.Join(lines, "\n")
	for _, want := range []string{
		"token:eye viewer Services.Create mine permission_denied", "certificate:ops operator Services.Create hawaii ok",
		"token:cola tenant-admin Objects.Put Hawaii/Cola/bk1/k ok", "site-admin Access.RevokeToken ops ok",
	} {
		if !strings.Contains(record, want) {
			t.Errorf("the record lacks %q:\n%s", want, record)
		}
	}
	raw, err := os.ReadFile(filepath.Join(n.opts.Dir, auditName))
	if err != nil || !strings.Contains(string(raw), "certificate:ops") {
		t.Errorf("the record on disk: %v", err)
	}
	for _, secret := range []string{eye.GetSecret(), strings.TrimPrefix(eye.GetSecret(), tokenPrefix)} {
		if strings.Contains(string(raw), secret) || strings.Contains(record, secret) {
			t.Error("the record has a secret")
		}
	}
}

func keyPEM(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// TestAuthorityStays: a node that is started again has the same authority, its
// tokens and its record.
func TestAuthorityStays(t *testing.T) {
	ctx := context.Background()
	opts := Options{Dir: t.TempDir(), Site: "alpha", Node: "alpha-1", S3: None, Link: None, Admin: "127.0.0.1:0", Metrics: None}
	var secret, fingerprint string
	for round := range 2 {
		n, err := Start(ctx, opts)
		if err != nil {
			t.Fatal(err)
		}
		local, err := admin.Dial("unix:" + n.Socket())
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			if _, err := local.System.Init(ctx, &adminpb.InitRequest{}); err != nil {
				t.Fatal(err)
			}
			made, err := local.Access.CreateToken(ctx, &adminpb.CreateTokenRequest{Role: "site-admin"})
			if err != nil {
				t.Fatal(err)
			}
			secret, fingerprint = made.GetSecret(), made.GetAuthorityFingerprint()
		}
		c := connectTo(t, admin.Target{Address: "https://" + n.AdminAddress(), Fingerprint: fingerprint, Token: secret})
		if entries, err := c.Access.Audit(ctx, 10); err != nil || len(entries) != 2 {
			t.Errorf("round %d: record %v, %v", round, entries, err)
		}
		local.Close()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAuditLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), auditName)
	a, err := openAudit(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 4000)
	for range 3 * auditBytes / len(long) {
		a.add(&adminpb.AuditEntry{Procedure: "Paths.Create", Object: long, Result: "ok"})
	}
	a.add(&adminpb.AuditEntry{Procedure: "the last"})
	for _, name := range []string{path, path + ".1"} {
		info, err := os.Stat(name)
		if err != nil || info.Size() > auditBytes+2*int64(len(long)) || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if got := a.last(1 << 30); len(got) != auditMost || got[0].GetProcedure() != "the last" {
		t.Errorf("%d entries in memory, the last is %v", len(got), got[0])
	}
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(read(t, path), "{\"cut"...), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := openAudit(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer again.close()
	if got := again.last(1); len(got) != 1 || got[0].GetProcedure() != "the last" {
		t.Errorf("after a cut line: %v", got)
	}
}

// TestAuditLogThatIsNotBegunAnew: while the file that is full cannot be moved away, it is
// written on.
func TestAuditLogThatIsNotBegunAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), auditName)
	a, err := openAudit(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	inTheWay := filepath.Join(path+".1", "a file")
	if err := os.MkdirAll(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 60<<10)
	for range auditBytes/len(long) + 5 {
		a.add(&adminpb.AuditEntry{Procedure: "Paths.Create", Object: long})
	}
	a.add(&adminpb.AuditEntry{Procedure: "the last"})
	if raw := read(t, path); len(raw) <= auditBytes || !bytes.Contains(raw[len(raw)-100:], []byte("the last")) {
		t.Errorf("the file has %d bytes and ends with %q", len(raw), raw[max(0, len(raw)-100):])
	}
	if err := os.RemoveAll(path + ".1"); err != nil {
		t.Fatal(err)
	}
	a.add(&adminpb.AuditEntry{Procedure: "anew"})
	if now, before := read(t, path), read(t, path+".1"); len(now) > 1000 || !bytes.Contains(now, []byte("anew")) || len(before) <= auditBytes {
		t.Errorf("it was not begun anew: %d bytes, %d before", len(now), len(before))
	}
}

// TestAuditLogIsReadAgain: nothing that was recorded hides what was recorded after
// it, when the node starts again.
func TestAuditLogIsReadAgain(t *testing.T) {
	for what, before := range map[string]func(t *testing.T, a *auditLog){
		"a line that a crash cut short": func(t *testing.T, a *auditLog) {
			if _, err := a.file.WriteString("{\"cut"); err != nil {
				t.Fatal(err)
			}
		},
		"names of control characters": func(_ *testing.T, a *auditLog) {
			long := strings.Repeat("\x01", 4<<10) // the most that the admin API lets in
			a.add(&adminpb.AuditEntry{Procedure: "Services.Create", Object: long, Message: long, Result: "permission_denied"})
		},
		"a line of no end": func(t *testing.T, a *auditLog) {
			if _, err := a.file.WriteString(strings.Repeat("x", 1<<20) + "\n"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		path := filepath.Join(t.TempDir(), auditName)
		for round := range 2 {
			a, err := openAudit(path, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			if round == 0 {
				a.add(&adminpb.AuditEntry{Procedure: "the first"})
				before(t, a)
				if err := a.close(); err != nil {
					t.Fatal(err)
				}
				if a, err = openAudit(path, slog.New(slog.DiscardHandler)); err != nil {
					t.Fatal(err)
				}
				a.add(&adminpb.AuditEntry{Procedure: "the last"})
			} else if all := a.last(10); len(all) < 2 || all[0].GetProcedure() != "the last" || all[len(all)-1].GetProcedure() != "the first" {
				t.Errorf("after %s, %d entries: %.200v", what, len(all), all)
			}
			if err := a.close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
