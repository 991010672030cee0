package main

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestArgumentsThatAreNotThere calls each verb that wants arguments without any,
// and with empty ones, as a script does whose variables are not set: each refuses
// in one sentence that names it, before it looks for a node.
func TestArgumentsThatAreNotThere(t *testing.T) {
	root := (&app{}).root()
	refused := 0
	call := func(cmd *cobra.Command, args []string) {
		t.Helper()
		refused++
		var out, errs strings.Builder
		all := append(strings.Fields(cmd.CommandPath())[1:], args...)
		status := Main(context.Background(), all, strings.NewReader(""), &out, &errs, func(string) string { return "" })
		if status != 2 || out.Len() > 0 || strings.Count(errs.String(), "\n") != 1 || !strings.Contains(errs.String(), cmd.CommandPath()) {
			t.Errorf("isgwctl %q: status %d, %s%s", all, status, out.String(), errs.String())
		}
	}
	eachVerb(root, func(cmd *cobra.Command) {
		words := strings.Fields(cmd.Use)[1:]
		if i := slices.IndexFunc(words, func(word string) bool { return strings.HasPrefix(word, "-") || strings.HasSuffix(word, "...") }); i >= 0 {
			words = words[:i] // flags, or as many as one likes
		}
		if cmd.Hidden || len(words) == 0 || cmd.Parent() == root && cmd.Name() == "help" {
			return
		}
		if !optional(words[0]) {
			call(cmd, nil)
		}
		if !slices.Contains(strings.Fields(cmd.Use), "isgw") { // whose type is no name
			call(cmd, slices.Repeat([]string{""}, len(words)))
		}
	})
	if refused < 60 {
		t.Errorf("only %d calls were made", refused)
	}
}

func TestOptional(t *testing.T) {
	for name, want := range map[string]bool{
		"NAME": false, "[NAME]": true, "[service/]NAME": false, "NAMESPACE/TENANT[/BUCKET]": false, "[NAMESPACE[/TENANT]]": true,
	} {
		if optional(name) != want {
			t.Errorf("optional(%q) is %v", name, !want)
		}
	}
}
