package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// TestFront serves S3 over TLS with keys of several roles, a policy and a quota; it
// takes a new certificate from the files.
func TestFront(t *testing.T) {
	os.Unsetenv("AWS_CA_BUNDLE")
	cert, keyFile := filepath.Join(t.TempDir(), "s3.pem"), filepath.Join(t.TempDir(), "s3.key")
	writePair(t, cert, keyFile, "bk1.s3.test", time.Now().Add(time.Hour))
	dir := t.TempDir()
	change := func(o *Options) {
		o.Dir, o.S3, o.S3Domains, o.S3Cert, o.S3Key, o.Admin = dir, "127.0.0.1:0", []string{"s3.test"}, cert, keyFile, "127.0.0.1:0"
	}
	n, local := startNode(t, change)
	ctx := t.Context()
	for _, path := range []*adminpb.CreatePathRequest{
		{Kind: adminpb.PathKind_PATH_KIND_NAMESPACE, Path: "Hawaii"}, {Kind: adminpb.PathKind_PATH_KIND_TENANT, Path: "Hawaii/Cola", Quota: 1 << 20},
		{Kind: adminpb.PathKind_PATH_KIND_BUCKET, Path: "Hawaii/Cola/bk1"},
	} {
		if _, err := local.Paths.Create(ctx, path); err != nil {
			t.Fatal(err)
		}
	}
	key := func(role, prefix string) *adminpb.Key {
		t.Helper()
		k, err := local.Keys.Create(ctx, &adminpb.CreateKeyRequest{Tenant: "Hawaii/Cola", Role: role, Prefix: prefix})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	// The client knows the host by the certificate's name, and the certificate by the file.
	client := func(k *adminpb.Key) *minio.Client {
		t.Helper()
		raw, err := os.ReadFile(cert)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(raw)
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "bk1.s3.test"}}
		t.Cleanup(tr.CloseIdleConnections)
		c, err := minio.New(n.S3Address(), &minio.Options{Creds: credentials.NewStaticV4(k.GetAccessKey(), k.GetSecretKey(), ""), Region: "us-east-1", Secure: true, Transport: tr, MaxRetries: 1})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	put := func(c *minio.Client, name, content string) string {
		_, err := c.PutObject(ctx, "bk1", name, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
		return minio.ToErrorResponse(err).Code
	}
	boss, reader, confined := key(state.KeyAdmin, ""), key(state.KeyReadOnly, ""), key("", "bk1/in/")
	if role := confined.GetRole(); role != state.KeyReadWrite {
		t.Errorf("a key without a role has %s", role)
	}
	wants := func(n int) {
		t.Helper()
		for what, got := range map[string][2]string{
			"admin": {put(client(boss), "k", "x"), ""}, "read-only": {put(client(reader), "k", "x"), "AccessDenied"},
			"confined": {put(client(confined), "in/k", "x"), ""}, "confined, outside": {put(client(confined), "out/k", "x"), "AccessDenied"},
			"quota": {put(client(boss), "big", strings.Repeat("x", n)), "QuotaExceeded"},
		} {
			if got[0] != got[1] {
				t.Errorf("%s: %q, want %q", what, got[0], got[1])
			}
		}
	}
	wants(1 << 20)
	if p, err := local.Paths.Get(ctx, &adminpb.GetPathRequest{Kind: adminpb.PathKind_PATH_KIND_TENANT, Path: "Hawaii/Cola"}); err != nil || p.GetStored() != 2 || p.GetQuota() != 1<<20 {
		t.Errorf("tenant %v, %v", p, err)
	}

	// A policy lets the reader write in one place.
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["` + reader.GetAccessKey() + `"]},"Action":"s3:PutObject","Resource":"arn:aws:s3:::bk1/drop/*"}]}`
	if err := client(boss).SetBucketPolicy(ctx, "bk1", policy); err != nil {
		t.Fatal(err)
	}
	if got := put(client(reader), "drop/k", "x"); got != "" {
		t.Errorf("a reader with a policy: %s", got)
	}

	// The tenant's admin deletes its tenant's keys, and no other's.
	token, err := local.Access.CreateToken(ctx, &adminpb.CreateTokenRequest{Name: "cola", Role: "tenant-admin", Tenant: "Hawaii/Cola"})
	if err != nil {
		t.Fatal(err)
	}
	cola := connectTo(t, admin.Target{Address: "https://" + n.AdminAddress(), CA: []byte(token.GetAuthorityPem()), Token: token.GetSecret()})
	if _, err := local.Paths.Create(ctx, &adminpb.CreatePathRequest{Kind: adminpb.PathKind_PATH_KIND_TENANT, Path: "Hawaii/Pepsi"}); err != nil {
		t.Fatal(err)
	}
	other, err := local.Keys.Create(ctx, &adminpb.CreateKeyRequest{Tenant: "Hawaii/Pepsi"})
	if err != nil {
		t.Fatal(err)
	}
	err = cola.Keys.Delete(ctx, &adminpb.DeleteKeyRequest{AccessKey: other.GetAccessKey(), Tenant: "Hawaii/Pepsi"})
	refusedWith(t, "delete another tenant's key", err, admin.CodeDenied, "outside tenant Hawaii/Cola")
	err = cola.Keys.Delete(ctx, &adminpb.DeleteKeyRequest{AccessKey: other.GetAccessKey(), Tenant: "Hawaii/Cola"})
	refusedWith(t, "delete another tenant's key as its own", err, admin.CodeNotFound, "does not exist")
	if err := cola.Keys.Delete(ctx, &adminpb.DeleteKeyRequest{AccessKey: confined.GetAccessKey(), Tenant: "Hawaii/Cola"}); err != nil {
		t.Error(err)
	}
	if got := put(client(confined), "in/k", "x"); got != "InvalidAccessKeyId" {
		t.Errorf("a deleted key: %q", got)
	}

	// Another certificate in the files is served before long; nonsense is a problem.
	before, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	writePair(t, cert, keyFile, "bk1.s3.test", time.Now().Add(2*time.Hour))
	waitFor(t, "the new certificate", func() bool {
		conn, err := tls.Dial("tcp", n.S3Address(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		served := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: conn.ConnectionState().PeerCertificates[0].Raw})
		return string(served) != string(before)
	})
	good, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cert, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the problem in the status", func() bool {
		st, err := local.System.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range st.GetProblems() {
			if strings.Contains(p.GetWhat(), "S3 certificate is not served") {
				return true
			}
		}
		return false
	})
	if err := os.WriteFile(cert, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := put(client(reader), "drop/k", "y"); got != "" {
		t.Errorf("after the certificates: %s", got)
	}
}

// waitFor waits until a condition holds.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
