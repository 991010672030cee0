package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestFromFile(t *testing.T) {
	for _, c := range []struct {
		name, text string
		faults     []string // parts of the error; none: it is taken
	}{
		{"settings", "# a node\nsite: alpha\ns3: 127.0.0.1:9000\nlog-keep: 24h\ns3-domain: [a.test, b.test]\n", nil},
		{"a list for one value", "site: [alpha, beta]\n", []string{"line 1", "takes one value"}},
		{"a list of lists", "s3-domain: [[a.test]]\n", []string{"line 1", "takes one value"}},
		{"nothing", "# nothing\n", nil},
		{"a marked document", "---\nsite: alpha\n...\n", nil},
		{"two documents", "site: alpha\n---\n# more\ns3: 127.0.0.1:9000\n", []string{"node.yaml: line 2", "second YAML document", "into one"}},
		{"a broken second document", "site: alpha\n---\ns3: [\n", []string{"node.yaml", "line"}},
		{"unknown", "site: alpha\n\nlinks: 127.0.0.1:1\n", []string{"line 3", `no setting "links"`}},
		{"itself", "config: other.yaml\n", []string{"line 1", `no setting "config"`}},
		{"wrong value", "site: alpha\nlog-keep: soon\n", []string{"line 2", "log-keep"}},
		{"nested", "site:\n  name: alpha\n", []string{"line 1", "takes one value"}},
		{"twice", "site: alpha\nsite: beta\n", []string{"line 2", "set twice"}},
		{"a list", "- site\n", []string{"line 1", "NAME: VALUE"}},
		{"no YAML", "site: [\n", []string{"line"}},
		{"two faults", "linkz: a\ns4: b\n", []string{`"linkz"`, `"s4"`}},
		{"too long", strings.Repeat("#", maxConfigFile+1), []string{"longer than"}},
	} {
		file := filepath.Join(t.TempDir(), "node.yaml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
		site := flags.String("site", "none", "")
		s3 := flags.String("s3", "default", "")
		keep := flags.Duration("log-keep", time.Hour, "")
		domains := flags.StringSlice("s3-domain", nil, "")
		flags.String(configFlag, "", "")
		if err := flags.Set("s3", "given"); err != nil {
			t.Fatal(err)
		}
		err := fromFile(flags, file)
		if (err != nil) != (len(c.faults) > 0) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, part := range c.faults {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v lacks %q", c.name, err, part)
			}
		}
		if c.name == "settings" && (*site != "alpha" || *s3 != "given" || *keep != 24*time.Hour || strings.Join(*domains, " ") != "a.test b.test") {
			t.Errorf("site %s, s3 %s, log-keep %v, domains %v", *site, *s3, *keep, *domains)
		}
	}
	if err := fromFile(nil, filepath.Join(t.TempDir(), "absent.yaml")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("an absent file: %v", err)
	}
	if err := fromFile(nil, ""); err != nil {
		t.Error(err)
	}
}
