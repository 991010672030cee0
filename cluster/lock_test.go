package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLockComesFirst: a node that is started where another one is starting changes
// nothing there. Of two that both made an identity one would run under a name that
// is in no file.
func TestLockComesFirst(t *testing.T) {
	dir := t.TempDir()
	other, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	unfinished := filepath.Join(dir, ".node.identity-1") // as the other writes it now
	for _, file := range []string{"", unfinished} {
		if file != "" {
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		n, err := Start(context.Background(), Options{Dir: dir, Site: "alpha", S3: None, Link: None, Admin: None, Metrics: None})
		if err == nil || !strings.Contains(err.Error(), "another node uses it") {
			t.Fatalf("started: %v, %v", n, err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if want := min(len(file), 1); len(entries) != want {
			t.Errorf("the directory has %v, want %d entries", entries, want)
		}
	}
}
