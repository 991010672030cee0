package cluster

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePair writes a certificate for the name and its key.
func writePair(t *testing.T, certFile, keyFile, name string, until time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCertificateFiles follows the files, keeps the certificate when what comes is
// none, and says so once.
func TestCertificateFiles(t *testing.T) {
	t.Parallel()
	cert, key := filepath.Join(t.TempDir(), "s3.pem"), filepath.Join(t.TempDir(), "s3.key")
	now := time.Now()
	writePair(t, cert, key, "one.test", now.Add(time.Hour))
	var log bytes.Buffer
	c, err := openCertificate(cert, key, slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	served := func() string {
		t.Helper()
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.Subject.CommonName
	}
	looks := func(want, said, problem string) {
		t.Helper()
		log.Reset()
		c.look()
		c.look()
		if got := served(); got != want {
			t.Errorf("served is %s, want %s", got, want)
		}
		if n := strings.Count(log.String(), "\n"); said == "" && n != 0 || said != "" && (n != 1 || !strings.Contains(log.String(), said)) {
			t.Errorf("log %q, want one line with %q", log.String(), said)
		}
		if fault := c.problem(); problem == "" && fault != nil || problem != "" && (fault == nil || !strings.Contains(fault.Error(), problem)) {
			t.Errorf("problem %v, want %q", fault, problem)
		}
	}
	looks("one.test", "", "")
	writePair(t, cert, key, "two.test", now.Add(time.Hour))
	looks("two.test", "is taken anew", "")
	if err := os.WriteFile(cert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	looks("two.test", "the one before is still served", "is not served")
	looks("two.test", "", "is not served")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	looks("two.test", "no such file", "no such file")
	writePair(t, cert, key, "three.test", now.Add(time.Hour))
	looks("three.test", "is taken anew", "")
	other := filepath.Join(t.TempDir(), "x")
	writePair(t, other, key, "four.test", now.Add(time.Hour)) // the key of another certificate
	looks("three.test", "the one before is still served", "does not match")
	if err := os.WriteFile(cert, bytes.Repeat([]byte("x"), maxCertificateFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	looks("three.test", "longer than", "longer than")
	writePair(t, cert, key, "five.test", now.Add(-time.Hour))
	looks("five.test", "is taken anew", "has expired")
}

func TestCheckCertificate(t *testing.T) {
	t.Parallel()
	cert, key := filepath.Join(t.TempDir(), "s3.pem"), filepath.Join(t.TempDir(), "s3.key")
	writePair(t, cert, key, "one.test", time.Now().Add(time.Hour))
	none := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct{ cert, key, want string }{
		{"", "", ""}, {cert, key, ""},
		{cert, "", "belong together"}, {"", key, "belong together"},
		{cert, cert, "use S3 certificate --s3-cert " + cert + " with --s3-key " + cert},
		{none, key, "--s3-cert: open " + none + ": no such file"},
		{cert, none, "--s3-key: open " + none + ": no such file"},
		{none, key, "give the PEM files"},
	} {
		err := checkCertificate(c.cert, c.key)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q and %q: %v, want %q", c.cert, c.key, err, c.want)
		}
	}
}
