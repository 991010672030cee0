package deploy_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// unit is a unit file: section, name, and the values in their order.
type unit map[string]map[string][]string

func readUnit(t *testing.T, name string) unit {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	u, section := unit{}, ""
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		switch {
		case line == "", line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
			u[section] = map[string][]string{}
		case ok && section != "":
			u[section][name] = append(u[section][name], value)
		default:
			t.Fatalf("%s: %q", name, line)
		}
	}
	return u
}

func (u unit) all(section, name string) []string { return u[section][name] }

// one is the last value, which is the one that counts of most settings.
func (u unit) one(section, name string) string {
	values := u[section][name]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

const serviceFile = "systemd/isgwnode.service"

// exposure is the greatest that systemd-analyze security may find, in tenths.
const exposure = "20"

func TestUnitIsSafe(t *testing.T) {
	analyze := tool(t, "systemd-analyze", "systemd")
	report := func(file string) (string, error) {
		out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", "--threshold="+exposure, file).CombinedOutput()
		return string(out), err
	}
	if out, err := report(serviceFile); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	// The same unit without its sandbox has to fail, or the threshold says nothing.
	raw, err := os.ReadFile(serviceFile)
	if err != nil {
		t.Fatal(err)
	}
	bare := filepath.Join(t.TempDir(), "isgwnode.service")
	stripped := bytes.Buffer{}
	for line := range strings.Lines(string(raw)) {
		if name, _, _ := strings.Cut(line, "="); strings.HasPrefix(name, "SystemCall") || strings.HasPrefix(name, "Private") || strings.HasPrefix(name, "Capability") {
			continue
		}
		stripped.WriteString(line)
	}
	if err := os.WriteFile(bare, stripped.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := report(bare); err == nil {
		t.Errorf("a unit without filter, capabilities and private things passes:\n%s", out)
	}
}

// TestUnitIsRight has systemd read the unit, with the program where it is here.
func TestUnitIsRight(t *testing.T) {
	analyze := tool(t, "systemd-analyze", "systemd")
	raw, err := os.ReadFile(serviceFile)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	verify := func(text string) string {
		t.Helper()
		file := filepath.Join(dir, "isgwnode.service")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(analyze, "verify", "--man=no", file).CombinedOutput()
		if err != nil && len(out) == 0 {
			t.Fatal(err)
		}
		return string(out)
	}
	text := strings.ReplaceAll(string(raw), "/usr/bin/isgwnode", filepath.Join(programs(t), "isgwnode"))
	if out := verify(text); strings.Contains(out, "isgwnode.service") {
		t.Errorf("systemd says:\n%s", out)
	}
	if out := verify(strings.Replace(text, "PrivateTmp=", "PrivatTmp=", 1)); !strings.Contains(out, "PrivatTmp") {
		t.Errorf("systemd finds nothing wrong with PrivatTmp: %s", out)
	}
	user := tool(t, "systemd-sysusers", "systemd")
	sysusers, err := filepath.Abs("systemd/isgw.sysusers.conf")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(user, "--dry-run", "--root="+dir, sysusers).CombinedOutput()
	if err != nil || strings.Contains(string(out), "Unknown") || !strings.Contains(string(out), "isgw") {
		t.Errorf("systemd-sysusers: %v\n%s", err, out)
	}
}

// TestUnitRuns runs two nodes as the unit does: its command line and example
// settings, a user without rights, its resource limits, and the filters of
// system calls that its sandbox comes to. They are initialised, paired and
// linked, an object crosses, and they drain. What only a service manager can do
// (mounts, user name spaces, cgroups) is left out; docs/install.md says what it
// relies on.
func TestUnitRuns(t *testing.T) {
	u := readUnit(t, serviceFile)
	j := jailOf(t, u)
	if len(j.Allowed) < 150 || len(j.Allowed) > 320 {
		t.Fatalf("%d system calls are allowed", len(j.Allowed))
	}
	sites := map[string]string{}
	services := map[string]*service{}
	for _, name := range []string{"alpha", "beta"} {
		dir := shortDir(t)
		state, notify := filepath.Join(dir, "isgw"), filepath.Join(dir, "notify")
		config := filepath.Join(dir, "isgwnode.yaml")
		writeConfig(t, config, name)
		if err := os.Mkdir(state, 0o700); err != nil {
			t.Fatal(err)
		}
		manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer manager.Close()
		var args []string
		for _, word := range strings.Fields(u.one("Service", "ExecStart")) {
			word = strings.ReplaceAll(word, "%S/isgw", state)
			word = strings.ReplaceAll(word, "/etc/isgw/isgwnode.yaml", config)
			args = append(args, strings.ReplaceAll(word, "/usr/bin", programs(t)))
		}
		if os.Getuid() == 0 {
			const nobody = 65534
			j.User = nobody
			for _, path := range []string{dir, state, notify} {
				if err := os.Chown(path, nobody, nobody); err != nil {
					t.Fatal(err)
				}
			}
		}
		cmd := j.command(t, args[0], args[1:]...)
		cmd.Dir = state
		cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+notify, "WATCHDOG_USEC=1000000")
		s := start(t, cmd)
		raw := make([]byte, 100)
		n, err := manager.Read(raw)
		if err != nil || string(raw[:n]) != "READY=1" {
			t.Fatalf("the node says %q, %v", raw[:n], err)
		}
		sites[name], services[name] = state, s
	}
	a, b := sites["alpha"], sites["beta"]
	output(t, ctl(t, a, "system", "init"))
	output(t, ctl(t, b, "system", "init"))
	for _, args := range [][]string{{"cluster", "create", "Hawaii"}, {"tenant", "create", "Hawaii/Cola"}} {
		output(t, ctl(t, a, args...))
		output(t, ctl(t, b, args...))
	}
	output(t, ctl(t, a, "bucket", "create", "Hawaii/Cola/bk1"))
	token := strings.TrimSpace(output(t, ctl(t, a, "site", "invite")))
	output(t, ctl(t, b, "site", "pair", token))
	output(t, ctl(t, a, "service", "create", "isgw", "hawaii", "--serve", "Hawaii/Cola/bk1"))
	remote := strings.TrimSpace(output(t, ctl(t, a, "site", "list", "-o", "name")))
	if remote != "beta" {
		t.Errorf("alpha is paired with %q", remote)
	}
	address := linkAddress(t, a)
	output(t, ctl(t, b, "service", "create", "isgw", "hawaii", "--remote", "ccow://"+address, "--serve", "Hawaii/Cola/bk1"))
	put := ctl(t, a, "object", "put", "Hawaii/Cola/bk1/key", "-")
	content := strings.Repeat("what is to be stored, and to cross\n", 50_000)
	put.Stdin = strings.NewReader(content)
	output(t, put)
	output(t, ctl(t, a, "wait", "service/hawaii", "--for=synced"))
	if got := output(t, ctl(t, b, "object", "get", "Hawaii/Cola/bk1/key")); got != content {
		t.Errorf("%d bytes arrived, not the %d that were stored", len(got), len(content))
	}
	for _, s := range services {
		s.stop()
		for _, word := range []string{"operation not permitted", "level=ERROR"} {
			if strings.Contains(s.log.String(), word) {
				t.Errorf("the log has %q:\n%s", word, s.log.String())
			}
		}
	}
}

// writeConfig writes the example settings for a site, with free ports.
func writeConfig(t *testing.T, file, site string) {
	t.Helper()
	raw, err := os.ReadFile("systemd/isgwnode.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(raw)) {
		switch name, value, _ := strings.Cut(line, ": "); name {
		case "site":
			line = "site: " + site + "\n"
		case "s3", "link", "admin", "metrics":
			if _, _, err := net.SplitHostPort(strings.TrimSpace(value)); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			line = name + ": 127.0.0.1:0\n"
		}
		out.WriteString(line)
	}
	if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// linkAddress is where a node listens for links.
func linkAddress(t *testing.T, dataDir string) string {
	t.Helper()
	for line := range strings.Lines(output(t, ctl(t, dataDir, "system", "status"))) {
		if address, ok := strings.CutPrefix(line, "link endpoint: "); ok {
			return strings.TrimSpace(address)
		}
	}
	t.Fatal("the node has no link endpoint")
	return ""
}

// TestFilterFilters shows that the jail of the other test keeps something out.
func TestFilterFilters(t *testing.T) {
	j := jailOf(t, readUnit(t, serviceFile))
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	probe := func(j jail, script string) error {
		out, err := j.command(t, shell, "-c", script).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	}
	if err := probe(j, ":"); err != nil {
		t.Fatalf("a shell does not run in the jail: %v", err)
	}
	if os.Getuid() != 0 {
		t.Skip("what else is tried needs root")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := probe(j, "echo > "+file+" && ! chown 1 "+file+" 2>/dev/null"); err != nil {
		t.Errorf("chown is let through: %v", err)
	}
	j.Allowed = append(j.Allowed, syscallNumbers(t)["fchownat"])
	if err := probe(j, "chown 1 "+file); err != nil {
		t.Errorf("chown fails even where it is allowed: %v", err)
	}
}
