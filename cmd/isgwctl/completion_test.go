package main

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// unoffered are the words of usage lines that name something new, a secret, or a
// version, which is copied from a list.
var unoffered = []string{"TOKEN", "[VERB]...", "VALUE", "NEWNAME", "VERSION"}

// TestEveryArgumentIsOffered wants of each word of each usage line that it is
// completed, or that somebody decided that it cannot be.
func TestEveryArgumentIsOffered(t *testing.T) {
	a := &app{}
	root := a.root()
	words := 0
	eachVerb(root, func(cmd *cobra.Command) {
		if cmd.Hidden || !cmd.HasParent() {
			return
		}
		for _, word := range strings.Fields(cmd.Use)[1:] {
			if strings.HasPrefix(word, "-") || slices.Contains(unoffered, word) {
				break // flags that are needed, and their values, come last
			}
			words++
			fresh := cmd.Name() == "create" || cmd.Name() == "add"
			if offerOf(a, cmd, word) == nil && !(fresh && (strings.HasPrefix(word, "NAME") || word == "[NAME]")) {
				t.Errorf("%s: nothing is offered for %s", cmd.CommandPath(), word)
			}
		}
	})
	if words < 30 {
		t.Errorf("only %d words were looked at", words)
	}
}

// TestCompletionIsShort completes against a node that takes connections and says
// nothing.
func TestCompletionIsShort(t *testing.T) {
	dir := t.TempDir()
	ln, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Skip(err) // the folder's name is too long for a socket here
	}
	defer ln.Close()
	var out, errs strings.Builder
	begun := time.Now()
	status := Main(context.Background(), []string{"--connect", "unix:" + filepath.Join(dir, "s"), "__complete", "service", "show", ""},
		strings.NewReader(""), &out, &errs, func(string) string { return "" })
	if status != 0 || out.String() != ":4\n" {
		t.Errorf("status %d, %q, %q", status, out.String(), errs.String())
	}
	if passed := time.Since(begun); passed > 10*completionTime {
		t.Errorf("it took %v", passed)
	}
}
