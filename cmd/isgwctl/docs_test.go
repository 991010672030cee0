package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/manifest"
)

var update = flag.Bool("update", false, "write docs/commands.md anew")

const commandsPage = "../../docs/commands.md"

// TestCommandsPage fails when docs/commands.md is not what the commands say of
// themselves. go test ./cmd/isgwctl -run TestCommandsPage -update writes it.
func TestCommandsPage(t *testing.T) {
	want := commandsReference((&app{}).root())
	if *update {
		if err := os.WriteFile(commandsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(commandsPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/commands.md is out of date: run go test ./cmd/isgwctl -run TestCommandsPage -update")
	}
}

// TestEveryStateIsDocumented wants a row of each state of a link in the words that
// operators see, each state of the metrics on the dashboard, and no row of a state
// that does not exist.
func TestEveryStateIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/links.md")
	if err != nil {
		t.Fatal(err)
	}
	dashboard, err := os.ReadFile("../../deploy/grafana/isgw.json")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| state | meaning | what to do |")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := map[string]bool{}
	for line := range strings.Lines(table) {
		if word, _, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` |"); ok {
			rows[word] = true
		}
	}
	for n, name := range adminpb.ServiceState_name {
		if adminpb.ServiceState(n) == adminpb.ServiceState_SERVICE_STATE_UNSPECIFIED {
			continue
		}
		word := manifest.Word(adminpb.ServiceState(n))
		if !rows[word] {
			t.Errorf("docs/links.md does not tell of the state %s", word)
		}
		delete(rows, word)
		if metric := strings.ToLower(strings.TrimPrefix(name, "SERVICE_STATE_")); !strings.Contains(string(dashboard), fmt.Sprintf(`state=\"%s\"`, metric)) {
			t.Errorf("the dashboard does not show the state %s", metric)
		}
	}
	for word := range rows {
		t.Errorf("docs/links.md tells of a state %q that no link is in", word)
	}
}

// TestEveryVerbIsDocumented wants a line and an example of each verb, and
// examples that the command itself understands.
func TestEveryVerbIsDocumented(t *testing.T) {
	root := (&app{}).root()
	leaves := 0
	each(root, func(cmd *cobra.Command) {
		if cmd.HasSubCommands() {
			if cmd.Long == "" {
				t.Errorf("%s has no explanation", cmd.CommandPath())
			}
			return
		}
		leaves++
		if cmd.Short == "" || cmd.Example == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short %q, example %q", cmd.CommandPath(), cmd.Short, cmd.Example)
		}
		if !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("the example of %s is of something else: %s", cmd.CommandPath(), cmd.Example)
		}
		for _, words := range commandsIn(cmd.Example) {
			// A root of its own for each: flags keep what they were given.
			found, rest, err := (&app{}).root().Find(words)
			if err == nil {
				err = found.ParseFlags(rest)
			}
			if err == nil {
				err = found.ValidateArgs(found.Flags().Args())
			}
			if err != nil {
				t.Errorf("the example isgwctl %q is not understood: %v", words, err)
			}
		}
		for _, line := range strings.Split(cmd.Example+"\n"+cmd.Long, "\n") {
			if len(line) > 80 {
				t.Errorf("%s: %d characters in %q", cmd.CommandPath(), len(line), line)
			}
		}
	})
	if leaves < 30 {
		t.Errorf("only %d verbs were looked at", leaves)
	}
}

// commandsIn is what follows each isgwctl in lines for a shell, without what the
// shell does with it.
func commandsIn(script string) [][]string {
	var commands [][]string
	in := false
	script = strings.ReplaceAll(script, "\\\n", " ")
	for _, word := range regexp.MustCompile(`\n|'[^']*'|"[^"]*"|\S+`).FindAllString(script, -1) {
		bare := strings.TrimRight(strings.TrimLeft(word, "<$("), ")")
		switch {
		case bare == "isgwctl" || strings.HasSuffix(bare, "=$(isgwctl"):
			commands, in = append(commands, nil), true
		case strings.Contains("\n | || > &&", word):
			in = false
		case in:
			last := len(commands) - 1
			commands[last] = append(commands[last], strings.Trim(bare, `'"`))
		}
	}
	return commands
}

func each(cmd *cobra.Command, fn func(*cobra.Command)) {
	fn(cmd)
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			each(c, fn)
		}
	}
}

// commandsReference is the whole page.
func commandsReference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Commands\n\n")
	b.WriteString("<!-- Made from the commands themselves; a test fails when it is out of date. -->\n\n")
	fmt.Fprintf(&b, "%s\n\n", root.Long)
	b.WriteString("Flags of every command:\n\n")
	writeFlags(&b, root.PersistentFlags())
	each(root, func(cmd *cobra.Command) {
		switch {
		case cmd == root:
		case cmd.HasSubCommands():
			fmt.Fprintf(&b, "%s %s\n\n%s\n\n", strings.Repeat("#", depth(cmd)+1), cmd.CommandPath(), cmd.Long)
		default:
			writeVerb(&b, cmd)
		}
	})
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func writeVerb(b *strings.Builder, cmd *cobra.Command) {
	fmt.Fprintf(b, "%s %s\n\n", strings.Repeat("#", depth(cmd)+1), cmd.CommandPath())
	fmt.Fprintf(b, "%s.\n\n", cmd.Short)
	use := strings.TrimSuffix(cmd.UseLine(), " [flags]")
	if cmd.LocalNonPersistentFlags().HasAvailableFlags() {
		use += " [flags]"
	}
	fmt.Fprintf(b, "```\n%s\n```\n\n", use)
	if cmd.Long != "" {
		fmt.Fprintf(b, "%s\n\n", cmd.Long)
	}
	writeFlags(b, cmd.LocalNonPersistentFlags())
	fmt.Fprintf(b, "Example:\n\n```\n%s\n```\n\n", cmd.Example)
}

func writeFlags(b *strings.Builder, flags *pflag.FlagSet) {
	wrote := false
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		wrote = true
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		kind, usage := pflag.UnquoteUsage(f)
		if kind != "" {
			name += " " + kind
		}
		fmt.Fprintf(b, "- `%s`: %s", name, usage)
		if f.DefValue != "" && f.DefValue != "0" && f.DefValue != "false" && f.DefValue != "[]" {
			fmt.Fprintf(b, " (default %s)", f.DefValue)
		}
		b.WriteString("\n")
	})
	if wrote {
		b.WriteString("\n")
	}
}

func depth(cmd *cobra.Command) int {
	n := 0
	for c := cmd; c.HasParent(); c = c.Parent() {
		n++
	}
	return n
}
