package testenv

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadme does by hand what README.md says under "Two sites by hand", on
// free ports and in a temporary folder.
func TestReadme(t *testing.T) {
	t.Parallel() // it has programs, ports and folders of its own
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "isgw-readme-") // sockets need a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "## Two sites by hand\n")
	if !ok {
		t.Fatal("README.md has no walk-through")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	script := []string{"set -euo pipefail", "shopt -s expand_aliases"}
	for line := range strings.Lines(section) {
		command, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		if ok {
			script = append(script, command)
		}
	}
	body := strings.Join(script, "\n")
	for _, want := range []string{"go build", "isgwnode run", "system init", "site pair", "service create", "service show hawaii -s"} {
		if !strings.Contains(body, want) {
			t.Fatalf("the walk-through lacks %q", want)
		}
	}

	// The first node takes the default addresses, which a test must not use.
	firstLink := freeAddress(t)
	body = strings.ReplaceAll(body, "bin/isgwnode run --data /tmp/isgw-a --site alpha",
		"bin/isgwnode run --data /tmp/isgw-a --site alpha --admin none --s3 "+freeAddress(t)+" --link "+firstLink+" --metrics none")
	for old, replacement := range map[string]string{
		"127.0.0.1:14000": firstLink,
		"127.0.0.1:9001":  freeAddress(t),
		"127.0.0.1:14001": freeAddress(t),
		"127.0.0.1:9465":  freeAddress(t),
		"/tmp/isgw-":      dir + "/",
		"bin/":            dir + "/bin/",
		"\\\n":            "",
	} {
		body = strings.ReplaceAll(body, old, replacement)
	}
	// The nodes run in terminals of their own.
	lines := strings.Split(body, "\n")
	for i, line := range lines {
		if strings.Contains(line, "isgwnode run") {
			socket := dir + "/a/admin.sock"
			if strings.Contains(line, "--site beta") {
				socket = dir + "/b/admin.sock"
			}
			lines[i] = line + " 2>>" + dir + "/log &\nuntil [ -S " + socket + " ]; do kill -0 $!; sleep 0.05; done"
		}
	}
	lines = append(lines, "kill -TERM $(jobs -p)", "wait") // wait returns 0 only with no argument; the nodes' codes are below
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", strings.Join(lines, "\n"))
	cmd.Dir = root
	// The nodes are of the script's own group, which goes as a whole.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // whatever is left of it
	}
	if err != nil {
		log, _ := os.ReadFile(dir + "/log")
		t.Fatalf("the walk-through of README.md fails: %v\n%s\nnodes:\n%s", err, out, log)
	}
	for _, want := range []string{"synced", "send", "receive"} {
		if !strings.Contains(strings.ToLower(string(out)), want) {
			t.Errorf("service show -s lacks %q:\n%s", want, out)
		}
	}
}
