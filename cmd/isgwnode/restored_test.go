package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRestoredIsRunByTheOwner refuses a data directory of somebody else: root would
// leave files in it that the node cannot read.
func TestRestoredIsRunByTheOwner(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, dir string
		uid       int
		want      string
	}{
		{"its own", dir, os.Geteuid(), ""},
		{"not there", filepath.Join(dir, "missing"), os.Geteuid(), ""},
		{"of another", dir, os.Geteuid() + 1, dir + " belongs to user"},
	} {
		switch err := ownedHere(c.dir, c.uid); {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "runuser -u ")):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
