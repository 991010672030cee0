package testenv

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRestic keeps a repository of restic in a bucket while a link carries it and
// rclone writes beside it: backups of a tree that changes, checks of all data, what
// restic forgets and prunes. The other site restores the tree as it was.
func TestRestic(t *testing.T) {
	t.Parallel() // it has programs, ports and folders of its own
	restic, rclone := client(t, "restic"), client(t, "rclone")
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("find the Go source tree: %v", err)
	}
	source := filepath.Join(strings.TrimSpace(string(out)), "src")
	big := int64(64 << 20)
	if !long() {
		source, big = filepath.Join(source, "net"), 6<<20
	}
	e, a, b, l := twoSites(t, SiteOptions{})
	tree, password := e.Dir("tree"), e.Dir("password")
	if err := os.CopyFS(filepath.Join(tree, "src"), os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	write := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(password, []byte("secret\n"))
	write(filepath.Join(tree, "big"), randomBytes(1, big))
	at := func(s *Site, args ...string) string {
		t.Helper()
		return s.run(restic, append([]string{"--repo", "s3:http://" + s.S3Address() + "/bk1/restic", "--password-file", password, "--cache-dir", e.Dir("cache-" + s.Name), "--option", "s3.region=us-east-1"}, args...)...)
	}
	at(a, "init")
	at(a, "backup", tree)
	l.rclone(rclone, "sync", tree, "alpha:bk1/mirror")

	// The tree changes; restic stores what is new, rclone follows.
	write(filepath.Join(tree, "big"), append(randomBytes(2, 1<<20), randomBytes(1, big)...))
	write(filepath.Join(tree, "new"), []byte("new"))
	if err := os.RemoveAll(filepath.Join(tree, "src", "http")); err != nil {
		t.Fatal(err)
	}
	at(a, "backup", tree)
	l.rclone(rclone, "sync", tree, "alpha:bk1/mirror")
	at(a, "forget", "--keep-last", "1", "--prune")
	if out := at(a, "check", "--read-data"); !strings.Contains(out, "no errors were found") {
		t.Errorf("restic check at alpha: %s", out)
	}
	l.WaitSynced()

	if out := at(b, "check", "--read-data"); !strings.Contains(out, "no errors were found") {
		t.Errorf("restic check at beta: %s", out)
	}
	restored := e.Dir("restored")
	at(b, "restore", "latest", "--target", restored)
	sameTree(t, tree, filepath.Join(restored, tree))
	l.rclone(rclone, "check", "--download", tree, "beta:bk1/mirror")
	mirrored := e.Dir("mirrored")
	l.rclone(rclone, "sync", "beta:bk1/mirror", mirrored)
	sameTree(t, tree, mirrored)

	// A backup at the other site is one here.
	write(filepath.Join(tree, "new"), []byte("newer"))
	at(b, "backup", tree)
	l.WaitSynced()
	if err := os.RemoveAll(restored); err != nil {
		t.Fatal(err)
	}
	at(a, "restore", "latest", "--target", restored)
	sameTree(t, tree, filepath.Join(restored, tree))
}

// sameTree compares the files of two trees, byte for byte.
func sameTree(t *testing.T, want, got string) {
	t.Helper()
	files := map[string]bool{}
	walk := func(root string, fn func(name string)) {
		if err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				name, _ := filepath.Rel(root, path)
				fn(name)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	walk(want, func(name string) {
		files[name] = true
		left, err := os.ReadFile(filepath.Join(want, name))
		if err != nil {
			t.Fatal(err)
		}
		if right, err := os.ReadFile(filepath.Join(got, name)); err != nil || !bytes.Equal(left, right) {
			t.Errorf("%s has %d bytes, and in the copy %d that differ (%v)", name, len(left), len(right), err)
		}
	})
	walk(got, func(name string) {
		if !files[name] {
			t.Errorf("the copy has %s, which the tree has not", name)
		}
	})
	if len(files) < 10 {
		t.Errorf("the tree has %d files", len(files))
	}
}
