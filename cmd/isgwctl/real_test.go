package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster"
)

// TestFromElsewhere goes the whole way of somebody who is let in: a real node,
// a token and a certificate made over its socket, and calls over TLS.
func TestFromElsewhere(t *testing.T) {
	dir := t.TempDir()
	n, err := cluster.Start(t.Context(), cluster.Options{
		Dir: filepath.Join(dir, "n"), Site: "alpha", Node: "alpha-1", S3: cluster.None, Link: cluster.None, Metrics: cluster.None, Admin: "127.0.0.1:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}()
	env := map[string]string{"XDG_CONFIG_HOME": filepath.Join(dir, "config"), connectVariable: "unix:" + n.Socket()}
	ctl := func(status int, args ...string) (stdout, stderr string) {
		t.Helper()
		var out, errs bytes.Buffer
		got := Main(context.Background(), args, strings.NewReader(""), &out, &errs, func(name string) string { return env[name] })
		if got != status {
			t.Fatalf("isgwctl %s: status %d, want %d\n%s%s", strings.Join(args, " "), got, status, out.String(), errs.String())
		}
		return out.String(), errs.String()
	}
	ctl(0, "status")
	ctl(8, "status", "--check") // not initialised
	ctl(0, "system", "init")
	ca, told := ctl(0, "admin", "ca")
	caFile, tokenFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "token")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(caFile, ca)
	fingerprint := strings.TrimSpace(strings.TrimPrefix(told, "fingerprint "))
	secret, _ := ctl(0, "admin", "token", "create", "eye", "--role", "viewer", "--ttl", "1h")
	write(tokenFile, secret)
	ctl(2, "admin", "token", "create", "x")
	ctl(2, "admin", "token", "create", "x", "--role", "king")
	ctl(5, "admin", "token", "create", "eye", "--role", "viewer")
	ctl(3, "admin", "token", "create", "x", "--role", "tenant-admin", "--tenant", "No/One")

	address := "https://" + n.AdminAddress()
	ctl(0, "profile", "add", "prod", "--connect", address, "--ca", caFile, "--token-file", tokenFile)
	env[connectVariable] = ""
	out, _ := ctl(0, "admin", "whoami")
	if !strings.Contains(out, "principal: token:eye\nrole: viewer\n") {
		t.Errorf("a viewer is %s", out)
	}
	if out, _ := ctl(0, "status", "--check"); !strings.HasPrefix(out, "alpha: HEALTHY: this site has no links yet") {
		t.Errorf("status: %s", out)
	}
	if _, errs := ctl(4, "cluster", "create", "Hawaii"); !strings.Contains(errs, "needs the role operator") {
		t.Errorf("a viewer makes a cluster: %s", errs)
	}
	ctl(4, "admin", "token", "list")
	ctl(4, "service", "create", "isgw", "hawaii", "--dry-run")

	// An operator by certificate; its link that is not paired makes the site unhealthy.
	cert, key := filepath.Join(dir, "ops.pem"), filepath.Join(dir, "ops.key")
	ctl(0, "--connect", "unix:"+n.Socket(), "admin", "certificate", "create", "ops", "--role", "operator", "--out-cert", cert, "--out-key", key)
	ctl(2, "--connect", "unix:"+n.Socket(), "admin", "certificate", "create", "ops2", "--role", "operator", "--out-cert", cert, "--out-key", key)
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info, err)
	}
	ops := []string{"--connect", address, "--fingerprint", fingerprint, "--cert", cert, "--key", key}
	ctl(0, append(ops, "service", "create", "isgw", "hawaii", "--remote", "ccow://127.0.0.1:1")...)
	plan, _ := ctl(0, append(ops, "service", "delete", "hawaii", "--dry-run")...)
	if !strings.Contains(plan, "- link     hawaii") {
		t.Errorf("the plan: %s", plan)
	}
	if _, errs := ctl(8, "status", "--check"); !strings.Contains(errs, "NOT HEALTHY: 1 link with a site that is not paired") {
		t.Errorf("status --check: %s", errs)
	}

	if out, _ := ctl(0, "system", "summary"); !strings.Contains(out, "NOT HEALTHY") || !strings.Contains(out, "alpha  yes   1/1    alpha-1") ||
		!strings.Contains(out, "certificate:ops create service hawaii") || !strings.Contains(out, "create Hawaii (refused)") {
		t.Errorf("the summary: %s", out)
	}
	env[connectVariable] = "unix:" + n.Socket()
	if out, _ := ctl(0, "admin", "audit"); !strings.Contains(out, "certificate:ops") || !strings.Contains(out, "Paths.Create") || strings.Contains(out, strings.TrimSpace(secret)) {
		t.Errorf("the record: %s", out)
	}
	if out, _ := ctl(0, "admin", "token", "list"); !strings.Contains(out, "certificate") {
		t.Errorf("the tokens: %s", out)
	}
	ctl(0, "admin", "token", "revoke", "eye")
	env[connectVariable] = ""
	if _, errs := ctl(4, "status"); !strings.Contains(errs, "the token is not known") {
		t.Errorf("a revoked token: %s", errs)
	}
}
