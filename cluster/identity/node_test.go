package identity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"edgefog.dev/isgw/raftfsm/state"
)

// fixed is a source of the same bytes each time.
type fixed byte

func (f fixed) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(f)
	}
	return len(p), nil
}

func open(t *testing.T, dir string) *Node {
	t.Helper()
	n, err := OpenNode(dir, NodeOptions{SiteName: "hilo"})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestMakeDirIsDurable makes a directory whose parents are missing, is interrupted at each
// step, and makes it again: in the end each of the names is durable.
func TestMakeDirIsDurable(t *testing.T) {
	interrupted := errors.New("interrupted")
	for steps, done := 0, false; !done; steps++ {
		root := t.TempDir()
		dir := filepath.Join(root, "a", "b", "c")
		durable := map[string]bool{}
		left := steps
		syncDir := func(dir string) error {
			if left--; left < 0 {
				return interrupted
			}
			entries, err := os.ReadDir(dir)
			for _, e := range entries {
				durable[filepath.Join(dir, e.Name())] = true
			}
			return err
		}
		err := makeDir(dir, syncDir)
		if done = err == nil; !done {
			if !errors.Is(err, interrupted) {
				t.Fatal(err)
			}
			left = 100
			if err := makeDir(dir, syncDir); err != nil {
				t.Fatal(err)
			}
		}
		for d := dir; d != root; d = filepath.Dir(d) {
			if !durable[d] {
				t.Errorf("interrupted after %d steps: the name of %s is not durable", steps, d)
			}
		}
	}
	for err, want := range map[error]error{fs.ErrPermission: nil, syscall.EINVAL: nil, syscall.EIO: syscall.EIO} {
		if got := makeDir(t.TempDir(), func(string) error { return err }); !errors.Is(got, want) {
			t.Errorf("a directory above that is not synced with %v: %v", err, got)
		}
	}
}

func TestNodeFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	n := open(t, dir)
	if id, key := n.Site(); !id.IsZero() || !key.IsZero() {
		t.Error("a new node has a site")
	}
	if len(n.ID()) != 32 || !strings.HasPrefix(n.Name(), "node-") || n.SiteName() != "hilo" {
		t.Errorf("new node %s %s %s", n.ID(), n.Name(), n.SiteName())
	}
	info, err := os.Stat(filepath.Join(dir, FileName))
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("identity file: %v, %v", info.Mode(), err)
	}
	again := open(t, dir)
	if again.ID() != n.ID() || again.Name() != n.Name() || !again.Key().Equal(n.Key()) {
		t.Error("the node has changed")
	}

	site, err := NewSiteIdentity(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewSiteKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // saying it twice is no error
		if err := again.SetSite(site.Site(), key); err != nil {
			t.Fatal(err)
		}
	}
	other, err := NewSiteKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.SetSite(site.Site(), other); err == nil {
		t.Error("a node's site key can be replaced")
	}
	third := open(t, dir)
	if id, k := third.Site(); id != site.Site() || !k.Equal(key) {
		t.Error("the site was not kept")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("files are left over: %v", entries)
	}

	// Rights that a copy has widened are narrowed.
	if err := os.Chmod(filepath.Join(dir, FileName), 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if info, _ := os.Stat(filepath.Join(dir, FileName)); info.Mode() != 0o600 {
		t.Errorf("the mode is %v", info.Mode())
	}
}

// TestOpenNodeRefuses checks the sentence for each thing that can be wrong, and
// that nothing is changed.
func TestOpenNodeRefuses(t *testing.T) {
	good := t.TempDir()
	open(t, good)
	raw, err := os.ReadFile(filepath.Join(good, FileName))
	if err != nil {
		t.Fatal(err)
	}
	edit := func(f func([]byte) []byte) func(string) error {
		return func(dir string) error {
			return os.WriteFile(filepath.Join(dir, FileName), f(bytes.Clone(raw)), 0o600)
		}
	}
	for _, c := range []struct {
		name  string
		setup func(dir string) error
		o     NodeOptions
		want  string
	}{
		{"flipped bit", edit(func(b []byte) []byte { b[60] ^= 1; return b }), NodeOptions{}, "is damaged (its checksum is wrong): restore it from a backup"},
		{"truncated", edit(func(b []byte) []byte { return b[:len(b)-20] }), NodeOptions{}, "is damaged"},
		{"cut to half", edit(func(b []byte) []byte { return b[:len(b)/2] }), NodeOptions{}, "is damaged (its end is missing)"},
		{"empty", edit(func([]byte) []byte { return nil }), NodeOptions{}, "is damaged (its first line is wrong)"},
		{"zeroes", edit(func(b []byte) []byte { clear(b); return b }), NodeOptions{}, "is damaged"},
		{"something else", edit(func([]byte) []byte { return []byte("#!/bin/sh\n") }), NodeOptions{}, "is damaged"},
		{"more after the end", edit(func(b []byte) []byte { return append(b, 'x') }), NodeOptions{}, "is damaged"},
		{"huge", edit(func([]byte) []byte { return make([]byte, 1<<20) }), NodeOptions{}, "is damaged (it has 1048576 bytes)"},
		{"a directory", func(dir string) error { return os.Mkdir(filepath.Join(dir, FileName), 0o700) }, NodeOptions{}, "is not a regular file"},
		{"another site", edit(func(b []byte) []byte { return b }), NodeOptions{SiteName: "kona"}, "belongs to site hilo, not to kona: start the node with that site name"},
		{"another node", edit(func(b []byte) []byte { return b }), NodeOptions{NodeName: "n2"}, "not to node n2"},
		{"lost", func(dir string) error { return os.Mkdir(filepath.Join(dir, "raft"), 0o700) }, NodeOptions{}, "holds raft but no identity file node.identity: restore that file from a backup"},
		{"bad site name", nil, NodeOptions{SiteName: "a b"}, `site name "a b" is not made of`},
		{"bad node name", nil, NodeOptions{NodeName: "/"}, `node name "/" is not made of`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if c.setup != nil {
				if err := c.setup(dir); err != nil {
					t.Fatal(err)
				}
			}
			before := listing(t, dir)
			if c.o.SiteName == "" {
				c.o.SiteName = "hilo"
			}
			_, err := OpenNode(dir, c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
				t.Fatalf("the error is %v, want %q and the path", err, c.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has several lines: %v", err)
			}
			if after := listing(t, dir); after != before {
				t.Errorf("the directory was changed from %s to %s", before, after)
			}
		})
	}
	t.Run("a file for a directory", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "data")
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{path, filepath.Join(path, "below")} {
			if _, err := OpenNode(p, NodeOptions{SiteName: "hilo"}); err == nil || !strings.Contains(err.Error(), p) {
				t.Errorf("%s: %v", p, err)
			}
		}
	})
	t.Run("no rights", func(t *testing.T) {
		if os.Getuid() == 0 {
			t.Skip("root may read everything")
		}
		dir := t.TempDir()
		open(t, dir)
		if err := os.Chmod(filepath.Join(dir, FileName), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenNode(dir, NodeOptions{SiteName: "hilo"}); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("the error is %v", err)
		}
	})
}

// listing shows what is in a directory, with its content.
func listing(t *testing.T, dir string) string {
	var b strings.Builder
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&b, path, info.Mode(), info.ModTime())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestUnfinishedFile leaves behind what a crash in the middle of writing does.
func TestUnfinishedFile(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, tempPrefix+"123")
	for _, existing := range []bool{false, true} {
		if err := os.WriteFile(left, []byte("isgw node id"), 0o600); err != nil {
			t.Fatal(err)
		}
		open(t, dir)
		if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("existing %v: the unfinished file is still there: %v", existing, err)
		}
	}
}

// TestEveryFlippedBit damages an identity file in every bit: none goes unseen.
func TestEveryFlippedBit(t *testing.T) {
	n := &Node{id: strings.Repeat("ab", 16), name: "n1", siteName: "hilo"}
	key, err := newKey(fixed(7))
	if err != nil {
		t.Fatal(err)
	}
	n.key = hide(key)
	n.site = state.SiteID{1}
	if n.siteKey, err = NewSiteKey(fixed(8)); err != nil {
		t.Fatal(err)
	}
	raw := n.encode()
	back, err := decodeNode(raw)
	if err != nil || back.id != n.id || !back.siteKey.Equal(n.siteKey) || back.site != n.site || !back.Key().Equal(n.Key()) {
		t.Fatalf("decoded %v, %v", back, err)
	}
	for i := range len(raw) * 8 {
		bad := bytes.Clone(raw)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := decodeNode(bad); err == nil {
			t.Fatalf("bit %d flipped, and nobody sees it", i)
		}
	}
}

// ids yields 16 bytes for an id and then the canary of TestSecretsDoNotPrint.
func ids(id byte) io.Reader {
	return io.MultiReader(bytes.NewReader(bytes.Repeat([]byte{id}, 16)), fixed(0xee))
}

// TestSecretsDoNotPrint prints everything that holds a secret in every way.
func TestSecretsDoNotPrint(t *testing.T) {
	dir := t.TempDir()
	n, err := OpenNode(dir, NodeOptions{SiteName: "hilo", Rand: ids(0x22)})
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewSiteKey(fixed(0xee))
	if err != nil {
		t.Fatal(err)
	}
	site, err := NewSiteIdentity(ids(0x11))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.SetSite(state.SiteID{1}, key); err != nil {
		t.Fatal(err)
	}
	token, err := NewToken(site.Site(), site.Public(), "h:1", testTime, fixed(0xee))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{n, *token, token, key, &key, site, struct{ K SiteKey }{key}, struct{ t *Token }{token}, struct{ t Token }{*token}, struct{ k SiteKey }{key}, struct{ n *Node }{n}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			out := fmt.Sprintf(verb, v)
			if strings.Contains(out, "eeeeee") || strings.Contains(out, "238 238 238") || strings.Contains(out, "0xee, 0xee") || strings.Contains(out, "\xee\xee") {
				t.Errorf("%T with %s prints %s", v, verb, out)
			}
		}
	}
}
