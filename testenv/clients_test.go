package testenv

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
)

// client finds a client program, or skips the test. Where skipping would hide
// that something is broken (ISGW_REQUIRE_CLIENTS), its absence is a failure.
func client(t *testing.T, name string) string {
	t.Helper()
	// The distribution's own program, not what some other manager put before it.
	for _, path := range []string{"/usr/bin/" + name, name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	if os.Getenv("ISGW_REQUIRE_CLIENTS") != "" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed: install it to run this test", name)
	return ""
}

// run runs a client with the key of a tenant at a site, and returns its output.
func (s *Site) run(program string, args ...string) string {
	t := s.env.t
	t.Helper()
	key := s.Key("Hawaii/Cola")
	cmd := exec.CommandContext(s.env.Context(), program, args...)
	cmd.Dir = s.env.dir
	for _, kv := range os.Environ() {
		// A bundle of certificates breaks clients on plain HTTP.
		if !strings.HasPrefix(kv, "AWS_") && !strings.HasPrefix(kv, "RCLONE_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env,
		"HOME="+s.env.dir,
		"AWS_ACCESS_KEY_ID="+key.GetAccessKey(), "AWS_SECRET_ACCESS_KEY="+key.GetSecretKey(),
		"AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
	)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s at %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), s.Name, err, out)
	}
	return string(out)
}

// rclone runs rclone with remotes named after both sites.
func (l *Link) rclone(program string, args ...string) string {
	t := l.env.t
	t.Helper()
	config := l.env.Dir("rclone.conf")
	var text strings.Builder
	for _, s := range l.Sites {
		key := s.Key("Hawaii/Cola")
		text.WriteString("[" + s.Name + "]\ntype = s3\nprovider = Other\nregion = us-east-1\nendpoint = http://" + s.S3Address() +
			"\naccess_key_id = " + key.GetAccessKey() + "\nsecret_access_key = " + key.GetSecretKey() + "\n")
	}
	if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return l.Sites[0].run(program, append([]string{"--config", config}, args...)...)
}

// TestRclone replicates a Go source tree and lets rclone compare both sites,
// byte for byte.
func TestRclone(t *testing.T) {
	t.Parallel() // it has programs, ports and folders of its own
	program := client(t, "rclone")
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("find the Go source tree: %v", err)
	}
	tree, net := filepath.Join(strings.TrimSpace(string(out)), "src"), "src/net"
	if !long() {
		tree, net = filepath.Join(tree, "net"), "src"
	}
	_, _, _, l := twoSites(t, SiteOptions{})
	l.rclone(program, "copy", "--transfers", "8", tree, "alpha:bk1/src")
	l.WaitSynced()
	l.rclone(program, "check", "--download", "--checkers", "8", "alpha:bk1", "beta:bk1")
	l.rclone(program, "check", "--checkers", "8", tree, "beta:bk1/src")

	// Both ways, with rclone's own changes: rename, delete, server-side copy.
	l.rclone(program, "moveto", "beta:bk1/"+net+"/http", "beta:bk1/moved")
	l.rclone(program, "copyto", "beta:bk1/moved/server.go", "beta:bk1/server.go")
	l.rclone(program, "delete", "beta:bk1/"+net+"/url")
	l.WaitSynced()
	l.rclone(program, "check", "--download", "--checkers", "8", "alpha:bk1", "beta:bk1")
	if list := l.rclone(program, "lsf", "-R", "alpha:bk1"); strings.Contains(list, net+"/http/") || !strings.Contains(list, "moved/server.go") {
		t.Errorf("alpha does not show what was moved at beta:\n%.2000s", list)
	}
}

func TestS3cmd(t *testing.T) {
	t.Parallel() // it has programs, ports and folders of its own
	program := client(t, "s3cmd")
	e, a, b, l := twoSites(t, SiteOptions{})
	content := randomBytes(1, 20<<20) // more than one part of s3cmd's 15 MiB
	file := e.Dir("file")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(s *Site, args ...string) string {
		key := s.Key("Hawaii/Cola")
		return s.run(program, append([]string{
			"--config", os.DevNull, "--no-ssl", "--host", s.S3Address(), "--host-bucket", s.S3Address(),
			"--access_key", key.GetAccessKey(), "--secret_key", key.GetSecretKey(), "--region", "us-east-1",
		}, args...)...)
	}
	if out := at(a, "ls"); !strings.Contains(out, "s3://bk1") {
		t.Errorf("s3cmd ls: %s", out)
	}
	at(a, "put", file, "s3://bk1/dir/a file with blanks & ümlauts")
	l.WaitSynced()
	got := e.Dir("got")
	at(b, "get", "s3://bk1/dir/a file with blanks & ümlauts", got)
	if read, err := os.ReadFile(got); err != nil || !bytes.Equal(read, content) {
		t.Errorf("s3cmd got %d bytes at beta, %v", len(read), err)
	}
	at(b, "cp", "s3://bk1/dir/a file with blanks & ümlauts", "s3://bk1/copy")
	at(b, "del", "s3://bk1/dir/a file with blanks & ümlauts")
	l.WaitSynced()
	if out := at(a, "ls", "--recursive", "s3://bk1"); !strings.Contains(out, "s3://bk1/copy") || strings.Contains(out, "blanks") {
		t.Errorf("s3cmd ls at alpha: %s", out)
	}
}

func TestAWSCommandLine(t *testing.T) {
	t.Parallel() // it has programs, ports and folders of its own
	program := client(t, "aws")
	e, a, b, l := twoSites(t, SiteOptions{})
	content := randomBytes(2, 20<<20) // more than one part of 8 MiB
	file := e.Dir("file")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(s *Site, args ...string) string {
		return s.run(program, append([]string{"--endpoint-url", "http://" + s.S3Address()}, args...)...)
	}
	at(a, "s3", "cp", "--no-progress", "--metadata", "colour=blue", file, "s3://bk1/big")
	at(a, "s3api", "put-object", "--bucket", "bk1", "--key", "small", "--body", file, "--content-type", "text/x-isgw")
	l.WaitSynced()
	got := e.Dir("got")
	at(b, "s3", "cp", "--no-progress", "s3://bk1/big", got)
	if read, err := os.ReadFile(got); err != nil || !bytes.Equal(read, content) {
		t.Errorf("aws got %d bytes at beta, %v", len(read), err)
	}
	if out := at(b, "s3api", "head-object", "--bucket", "bk1", "--key", "big"); !strings.Contains(out, `"colour": "blue"`) {
		t.Errorf("user metadata did not travel: %s", out)
	}
	if out := at(b, "s3api", "head-object", "--bucket", "bk1", "--key", "small"); !strings.Contains(out, "text/x-isgw") {
		t.Errorf("content type did not travel: %s", out)
	}
	at(b, "s3", "mv", "--no-progress", "s3://bk1/big", "s3://bk1/moved/big")
	at(b, "s3api", "delete-objects", "--bucket", "bk1", "--delete", "Objects=[{Key=small},{Key=not-there}]")
	l.WaitSynced()
	if out := at(a, "s3", "ls", "--recursive", "s3://bk1"); !strings.Contains(out, "moved/big") || strings.Contains(out, "small") {
		t.Errorf("aws s3 ls at alpha: %s", out)
	}
}

// TestHardNamesTravel writes keys that are hard for paths, URLs and XML at either site;
// both list and give all of them, and forget what the other deletes.
func TestHardNamesTravel(t *testing.T) {
	t.Parallel() // it has ports and folders of its own
	e, a, _, l := twoSites(t, SiteOptions{})
	e.mustPut(a, "plain", []byte("plain"))
	l.WaitSynced()
	keys := []string{
		".", "..", "...", "/", "//", "./", "../a", "a/..", "a/../../b", "/../", "/leading", "a//b", "trailing//", "dir/", "\x01\x7f", "tab\tnewline\n",
		"100%", "%2F", "a b+c", "a&b<c>\"'", "q?x=y#z", "ümläut/日本/🙂", "~isgw~2e2e", "plain",
		strings.Repeat("x", 1024), strings.Repeat("é", 512), strings.Repeat("d/", 512), strings.Repeat("../", 341),
	}
	slices.Sort(keys)
	for i, key := range keys {
		e.mustPut(l.Sites[i%2], key, []byte("content of "+key))
	}
	l.WaitSynced()
	same := func(want []string) {
		t.Helper()
		for _, s := range l.Sites {
			var got []string
			for o := range s.S3("Hawaii/Cola").ListObjects(e.Context(), "bk1", minio.ListObjectsOptions{Recursive: true}) {
				if o.Err != nil {
					t.Fatalf("list at %s: %v", s.Name, o.Err)
				}
				got = append(got, o.Key)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s lists %q, want %q", s.Name, got, want)
			}
			for _, key := range want {
				e.mustHave(s, key, []byte("content of "+key))
			}
		}
	}
	same(keys)
	var left []string
	for i, key := range keys {
		if i%4 < 2 { // of what each wrote, half is deleted by the other
			e.mustDelete(l.Sites[1-i%2], key)
		} else {
			left = append(left, key)
		}
	}
	l.WaitSynced()
	same(left)
}

// TestWrongSignature shows the error that clients see, and that nothing changes.
func TestWrongSignature(t *testing.T) {
	t.Parallel() // it has programs, ports and folders of its own
	program := client(t, "aws")
	e := New(t)
	a := e.Start("alpha", SiteOptions{})
	a.Create("Hawaii", "Hawaii/Cola", bucketPath)
	e.mustPut(a, "key", []byte("value"))
	key := a.Key("Hawaii/Cola")
	cmd := exec.CommandContext(context.Background(), program, "--endpoint-url", "http://"+a.S3Address(), "s3api", "delete-object", "--bucket", "bk1", "--key", "key")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + e.dir, "AWS_ACCESS_KEY_ID=" + key.GetAccessKey(), "AWS_SECRET_ACCESS_KEY=wrong", "AWS_DEFAULT_REGION=us-east-1"}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "SignatureDoesNotMatch") {
		t.Errorf("delete with a wrong secret: %v %s", err, out)
	}
	e.mustHave(a, "key", []byte("value"))
}
