package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// linkedSites are two sites with a link over which one bucket flows.
func linkedSites(t *testing.T) (alpha, beta *realSite) {
	t.Helper()
	alpha, beta = startSite(t, "alpha", "type=isgw", "dedicated=links:NoSchedule"), startSite(t, "beta")
	token, _ := beta.ctl(0, "site", "invite", "--address", beta.node.LinkAddress(), "-o", "name")
	alpha.ctl(0, "site", "pair", strings.TrimSpace(token))
	for _, s := range []*realSite{alpha, beta} {
		s.ctl(0, "cluster", "create", "Hawaii")
		s.ctl(0, "tenant", "create", "Hawaii/Cola")
		s.ctl(0, "service", "create", "isgw", "hawaii", "--serve", "Hawaii/Cola")
		s.ctl(0, "service", "create", "isgw", "base")
	}
	alpha.ctl(0, "bucket", "create", "Hawaii/Cola/bk1")
	alpha.ctl(0, "service", "edit", "hawaii", "--remote", "ccow://"+beta.node.LinkAddress())
	return alpha, beta
}

// TestEverySettingWhileObjectsFlow changes each setting of a link that runs, and
// back by the command that the plan names for it. With each, an object arrives;
// the setting is shown; and in the end every object is there, and no setting left.
func TestEverySettingWhileObjectsFlow(t *testing.T) {
	t.Parallel()
	alpha, beta := linkedSites(t)
	free, err := net.Listen("tcp", "127.0.0.2:0") // nobody else listens there
	if err != nil {
		t.Fatal(err)
	}
	local := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	content := filepath.Join(t.TempDir(), "content")
	var keys []string
	arrives := func(why string) {
		t.Helper()
		key := fmt.Sprintf("key-%02d", len(keys))
		keys = append(keys, key)
		if err := os.WriteFile(content, []byte(why), 0o600); err != nil {
			t.Fatal(err)
		}
		alpha.ctl(0, "object", "put", "Hawaii/Cola/bk1/"+key, content)
		for _, s := range []*realSite{alpha, beta} {
			s.ctl(0, "wait", "service/hawaii", "--timeout", "60s")
		}
		copied := content + ".copy"
		beta.ctl(0, "object", "get", "Hawaii/Cola/bk1/"+key, copied)
		if got := string(readAll(t, copied)); got != why {
			t.Fatalf("%s: %q arrived", why, got)
		}
	}
	arrives("before all")
	before, _ := alpha.ctl(0, "export", "hawaii")
	for _, c := range []struct{ flag, value, shown string }{
		{"direction", "send", "direction: send"},
		{"replication", "continuous", "replication: continuous"},
		{"connections", "3", "connections: 3"},
		{"lag-target", "1m", "lag target: 1m0s"},
		{"tunnel", "true", "tunnel: yes"},
		{"local", local, "local address: " + local},
		{"chunk-cache", "64Mi", "chunk cache: 67108864"},
		{"resource-profile", "embedded", "resource profile: embedded"},
		{"send-limit", "8MiB/s", "send limit: 8MiB/s"},
		{"receive-limit", "1GiB/s,8MiB/s@00:00-23:59", "receive limit: 1GiB/s,8MiB/s@00:00-23:59"},
		{"server", "base", "server: base"},
		{"annotations", "team=cola", "annotation: team=cola"},
		{"resources", "{limits: {cpu: 2, memory: 2Gi}}", "limits: cpu 2, memory 2Gi"},
		{"placement", "{nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: type, operator: In, values: [isgw]}]}]}}, tolerations: [{operator: Exists}]}", "may run on: alpha-1"},
	} {
		text, _ := alpha.ctl(0, "service", "edit", "hawaii", "--"+c.flag, c.value, "--dry-run", "-o", "json")
		var plan struct{ Undo, Impact string }
		if err := json.Unmarshal([]byte(text), &plan); err != nil {
			t.Fatal(err)
		}
		alpha.ctl(0, "service", "edit", "hawaii", "--"+c.flag, c.value)
		if shown, _ := alpha.ctl(0, "service", "show", "hawaii"); !strings.Contains(shown, "\n"+c.shown) {
			t.Errorf("%s is shown as\n%s", c.flag, shown)
		}
		arrives("with " + c.flag)
		alpha.ctl(0, unquoted(plan.Undo)...)
	}
	arrives("after all")
	if now, _ := alpha.ctl(0, "export", "hawaii"); now != before {
		t.Errorf("the link was\n%s\nand is\n%s", before, now)
	}
	for _, s := range []*realSite{alpha, beta} {
		listed, _ := s.ctl(0, "object", "list", "Hawaii/Cola/bk1", "-o", "name")
		if got := strings.Fields(listed); !slices.Equal(got, keys) {
			t.Errorf("at one site there are %q, want %q", got, keys)
		}
	}
}

// unquoted are the arguments of a command that a plan names for its way back,
// whose values have no spaces.
func unquoted(undo string) []string {
	words := strings.Fields(strings.Trim(strings.TrimSuffix(undo, "."), "`"))
	for i := range words {
		words[i] = strings.Trim(words[i], `'"`)
	}
	return words[1:] // without isgwctl
}

// TestSiteSettings: the labels that a node was started with and the profile of the
// site are shown, and what a placement makes of the labels.
func TestSiteSettings(t *testing.T) {
	t.Parallel()
	s := startSite(t, "alpha", "type=isgw", "dedicated=links:NoSchedule")
	s.ctl(0, "service", "create", "isgw", "hawaii")
	if out, _ := s.ctl(0, "system", "status"); !strings.Contains(out, "resource profile: performance\nlabel: dedicated=links:NoSchedule\nlabel: type=isgw\n") {
		t.Errorf("the node is\n%s", out)
	}
	plan, _ := s.ctl(0, "service", "edit", "hawaii", "--placement", "{nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: type, operator: Exists}]}]}}}", "--dry-run")
	if flat := strings.Join(strings.Fields(plan), " "); !strings.Contains(flat, "the taint dedicated=links:NoSchedule is not tolerated; it runs there all the same") {
		t.Errorf("planned as\n%s", plan)
	}
	s.ctl(0, "system", "edit", "--resource-profile", "embedded")
	if out, _ := s.ctl(0, "service", "show", "hawaii"); !strings.Contains(out, "resource profile: embedded (the site's)") {
		t.Errorf("the link is\n%s", out)
	}
	if out, _ := s.ctl(0, "admin", "audit"); !strings.Contains(out, "edit site") {
		t.Errorf("the record of changes lacks it:\n%s", out)
	}
}

// TestGroupOfManifests: the manifests of a group, as export writes them, make the
// same group at a site that is made anew.
func TestGroupOfManifests(t *testing.T) {
	t.Parallel()
	s := startSite(t, "alpha")
	file := filepath.Join(t.TempDir(), "group.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`kind: ISGW
name: isgw01
config:
   server: "isgws"
   clients: ["isgwc1", "isgwc2"]
---
kind: ISGW
name: isgws
---
{kind: ISGW, name: isgwc1}
---
{kind: ISGW, name: isgwc2}
`)
	s.ctl(0, "apply", "-f", file, "--yes")
	if out, _ := s.ctl(0, "service", "show", "isgws"); !strings.Contains(out, "clients: isgw01 isgwc1 isgwc2\n") {
		t.Errorf("the server is\n%s", out)
	}
	s.ctl(0, "diff", "-f", file)
	exported, _ := s.ctl(0, "export")
	write(exported)
	s.ctl(0, "diff", "-f", file)
	spare := startSite(t, "spare")
	spare.ctl(0, "apply", "-f", file, "--yes")
	if again, _ := spare.ctl(0, "export"); again != exported {
		t.Errorf("at another site\n%s\nbecame\n%s", exported, again)
	}
	one, _ := s.ctl(0, "export", "isgwc1")
	write(one)
	s.ctl(0, "diff", "-f", file)
}
