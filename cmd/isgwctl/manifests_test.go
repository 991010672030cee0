package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/manifest"
)

const manifestsPage = "../../docs/manifests.md"

// examples are the blocks of a page that are fenced as what.
func examples(t *testing.T, page, what string) []string {
	t.Helper()
	var found []string
	inside := false
	for line := range strings.Lines(string(readAll(t, page))) {
		switch {
		case !inside && strings.TrimSpace(line) == "```"+what:
			inside = true
			found = append(found, "")
		case inside && strings.TrimSpace(line) == "```":
			inside = false
		case inside:
			found[len(found)-1] += line
		}
	}
	return found
}

// TestManifestsPage applies every example of docs/manifests.md to a node of its
// own, as --dry-run says, twice, and then what export writes of it. The second
// fence has what is refused, with the sentence beside it.
func TestManifestsPage(t *testing.T) {
	all := examples(t, manifestsPage, "yaml")
	if len(all) < 3 {
		t.Fatalf("only %d examples", len(all))
	}
	s := startSite(t, "alpha")
	s.ctl(0, "cluster", "create", "Hawaii")
	s.ctl(0, "tenant", "create", "Hawaii/Cola")
	s.ctl(0, "bucket", "create", "Hawaii/Cola/bk1")
	file := filepath.Join(t.TempDir(), "example.yaml")
	outside := regexp.MustCompile(`ccow://10\.[0-9.:]+`) // which tests do not dial
	write := func(text string) {
		t.Helper()
		text = outside.ReplaceAllString(text, "ccow://127.0.0.1:1")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range all {
		write(text)
		plan, _ := s.ctl(0, "apply", "-f", file, "--dry-run")
		_, told := s.ctl(0, "apply", "-f", file, "--yes")
		if !strings.HasPrefix(told, plan) || !strings.Contains(told, "\napplied: ") {
			t.Errorf("applying\n%swas planned as\n%sand told as\n%s", text, plan, told)
		}
		if _, told := s.ctl(0, "apply", "-f", file, "--yes"); !strings.HasPrefix(told, "nothing changes") {
			t.Errorf("applied twice:\n%s%s", text, told)
		}
		s.ctl(0, "diff", "-f", file)
		exported, _ := s.ctl(0, "export")
		write(exported)
		if _, told := s.ctl(0, "apply", "-f", file, "--yes"); !strings.HasPrefix(told, "nothing changes") {
			t.Errorf("what was exported is a change:\n%s%s", exported, told)
		}
	}
	// What was exported makes the same links elsewhere.
	exported := readAll(t, file)
	spare := startSite(t, "spare")
	spare.ctl(0, "cluster", "create", "Hawaii")
	spare.ctl(0, "apply", "-f", file, "--yes")
	if got, _ := spare.ctl(0, "export"); got != string(exported) {
		t.Errorf("at another site\n%s\nbecame\n%s", exported, got)
	}
	if out, _ := spare.ctl(0, "admin", "audit"); !strings.Contains(out, "apply service ") {
		t.Errorf("the record of changes lacks it:\n%s", out)
	}

	refused := examples(t, manifestsPage, "yaml refused")
	if len(refused) == 0 {
		t.Fatal("no example is refused")
	}
	for _, text := range refused {
		first, _, _ := strings.Cut(text, "\n")
		want := strings.TrimPrefix(first, "# ")
		write(text)
		if _, told := s.ctl(2, "apply", "-f", file, "--dry-run"); !strings.Contains(strings.ReplaceAll(told, file, "FILE"), want) {
			t.Errorf("%swas refused with\n%s", text, told)
		}
	}
}

// TestManifestsLinkSites: a manifest at each of two sites makes a link over which
// objects flow, and goes on flowing with settings that a later one changes.
func TestManifestsLinkSites(t *testing.T) {
	alpha, beta := startSite(t, "alpha"), startSite(t, "beta")
	for _, s := range []*realSite{alpha, beta} {
		s.ctl(0, "cluster", "create", "Hawaii")
		s.ctl(0, "tenant", "create", "Hawaii/Cola")
	}
	alpha.ctl(0, "bucket", "create", "Hawaii/Cola/bk1")
	token, _ := beta.ctl(0, "site", "invite", "--address", beta.node.LinkAddress(), "-o", "name")
	alpha.ctl(0, "site", "pair", strings.TrimSpace(token))
	dir := t.TempDir()
	apply := func(s *realSite, more string) {
		t.Helper()
		file := filepath.Join(dir, "link.yaml")
		if err := os.WriteFile(file, []byte("kind: ISGW\nname: hawaii\nserve: [Hawaii/Cola]\n"+more), 0o600); err != nil {
			t.Fatal(err)
		}
		s.ctl(0, "apply", "-f", file, "--yes")
	}
	apply(beta, "")
	apply(alpha, "remoteURL: ccow://"+beta.node.LinkAddress()+"\n")
	for _, key := range []string{"first", "second"} {
		content, copied := filepath.Join(dir, key), filepath.Join(dir, key+".copy")
		if err := os.WriteFile(content, []byte("aloha "+key), 0o600); err != nil {
			t.Fatal(err)
		}
		alpha.ctl(0, "object", "put", "Hawaii/Cola/bk1/"+key, content)
		for _, s := range []*realSite{alpha, beta} {
			s.ctl(0, "wait", "service/hawaii", "--timeout", "60s")
		}
		beta.ctl(0, "object", "get", "Hawaii/Cola/bk1/"+key, copied)
		if !bytes.Equal(readAll(t, content), readAll(t, copied)) {
			t.Errorf("%s arrived as %q", key, readAll(t, copied))
		}
		apply(alpha, "connections: 4\nlagTarget: 5m\n")
	}
	if out, _ := alpha.ctl(0, "export"); !strings.Contains(out, "remoteURL: ccow://"+beta.node.LinkAddress()) || !strings.Contains(out, "connections: 4") {
		t.Errorf("the link is\n%s", out)
	}
}

// TestManifestOvertaken: a plan that somebody overtakes is not applied, and
// one that is sent twice makes one change.
func TestManifestOvertaken(t *testing.T) {
	s := startSite(t, "alpha")
	s.ctl(0, "service", "create", "isgw", "hawaii")
	docs, err := manifest.Read("f", []byte("kind: ISGW\nname: hawaii\nconnections: 4\n---\nkind: ISGW\nname: maui\n"))
	if err != nil {
		t.Fatal(err)
	}
	c := s.client()
	a := &app{out: io.Discard, err: io.Discard, running: true}
	cmd := a.root()
	cmd.SetContext(t.Context())
	plan, err := a.planManifests(cmd, c, docs)
	if err != nil {
		t.Fatal(err)
	}
	s.ctl(0, "service", "edit", "hawaii", "--connections", "2")
	err = a.applyPlan(cmd, c, plan)
	if failure, ok := errors.AsType[*admin.Error](err); !ok || failure.Code != admin.CodeConflict || !strings.Contains(failure.Message, "service hawaii changed") {
		t.Errorf("a plan of before: %v", err)
	}
	if out, _ := s.ctl(0, "service", "list", "-o", "name"); out != "hawaii\n" {
		t.Errorf("half of it was made: %s", out)
	}
	if plan, err = a.planManifests(cmd, c, docs); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it was applied already
		if err := a.applyPlan(cmd, c, plan); err != nil {
			t.Error(err)
		}
	}
}

// TestManyLinks: a file with as many links as one site has is one plan, and one
// that no node would read is refused before it is sent.
func TestManyLinks(t *testing.T) {
	s := startSite(t, "alpha")
	s.ctl(0, "cluster", "create", "Hawaii")
	file := filepath.Join(t.TempDir(), "many.yaml")
	write := func(links, paths int) {
		t.Helper()
		var text strings.Builder
		for i := range links {
			text.WriteString("---\nkind: ISGW\nname: link-" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + strings.Repeat("y", i/26) + "\nenabled: false\nserve:\n")
			for j := range paths {
				text.WriteString("- Hawaii/tenant-" + strings.Repeat("t", j%40) + string(rune('a'+j/40)) + "\n")
			}
		}
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(500, 6)
	if _, told := s.ctl(0, "apply", "-f", file, "--yes"); !strings.Contains(told, "applied: 3500 added") {
		t.Errorf("told %.2000s", told)
	}
	exported, _ := s.ctl(0, "export")
	if err := os.WriteFile(file, []byte(exported), 0o600); err != nil {
		t.Fatal(err)
	}
	s.ctl(0, "diff", "-f", file)
	write(20, 400)
	if _, told := s.ctl(2, "apply", "-f", file, "--yes"); !strings.Contains(told, "apply them in parts") {
		t.Errorf("told %s", told)
	}
}

// TestAgreed: only a yes is one, and nobody waits for an answer when the command
// is interrupted.
func TestAgreed(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "YES\n": true, " yes \n": true, "n\n": false, "\n": false, "": false, "yesterday\n": false} {
		var asked bytes.Buffer
		a := &app{in: strings.NewReader(answer), err: &asked}
		if got, err := a.agreed(t.Context(), "apply this plan?"); got != want || err != nil || asked.String() != "\napply this plan? [y/N] " {
			t.Errorf("%q is %v, %v after %q", answer, got, err, asked.String())
		}
	}
	in, out := io.Pipe()
	defer out.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := &app{in: in, err: io.Discard}
	if got, err := a.agreed(ctx, "apply this plan?"); got || !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v, %v", got, err)
	}
}
