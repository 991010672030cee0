package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asProgram makes the test binary the program itself.
const asProgram = "ISGWNODE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr, os.Environ()))
	}
	os.Exit(m.Run())
}

func program(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Env = append(append(os.Environ(), asProgram+"=1"), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// free are flags that take no fixed port.
var free = []string{"--s3", "127.0.0.1:0", "--link", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--admin", "none"}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	// A directory of another site, and one whose identity file is damaged.
	other, damaged := filepath.Join(dir, "other"), filepath.Join(dir, "damaged")
	for _, d := range []string{other, damaged} {
		startAndStop(t, append([]string{"run", "--data", d, "--site", "alpha"}, free...)...)
	}
	identityFiles, err := filepath.Glob(filepath.Join(damaged, "*identity*"))
	if err != nil || len(identityFiles) != 1 {
		t.Fatalf("identity file: %v %v", identityFiles, err)
	}
	content, err := os.ReadFile(identityFiles[0])
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(identityFiles[0], content, 0o600); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		name string
		env  []string
		args []string
		exit int
		want []string // all of these on stderr
	}{
		{"nothing", nil, nil, 2, []string{"run, restored, demo or version"}},
		{"unknown command", nil, []string{"fly"}, 2, []string{"fly"}},
		{"unknown flag", nil, []string{"run", "--wings"}, 2, []string{"--wings"}},
		{"every fault at once", nil, []string{"run", "--s3", "nowhere", "--log-level", "loud"}, 2,
			[]string{"--data", "--site", "--s3 nowhere: want HOST:PORT", "--log-level loud"}},
		{"data is a file", nil, append([]string{"run", "--data", file, "--site", "alpha"}, free...), 2, []string{file + " is a file"}},
		{"address in use", nil, append([]string{"run", "--data", filepath.Join(dir, "new"), "--site", "alpha"},
			append(free[2:len(free):len(free)], "--s3", taken.Addr().String())...), 2, []string{"--s3 " + taken.Addr().String(), "address already in use"}},
		{"address twice", nil, append([]string{"run", "--data", filepath.Join(dir, "new"), "--site", "alpha"},
			"--s3", "127.0.0.1:4711", "--link", "127.0.0.1:4711", "--metrics", "none", "--admin", "none"), 2, []string{"the same address as --s3"}},
		{"profiles for everybody", nil, append([]string{"run", "--data", filepath.Join(dir, "new"), "--site", "alpha", "--debug", "0.0.0.0:0"}, free...), 2,
			[]string{"--debug 0.0.0.0:0", "only on 127.0.0.1"}},
		{"bad environment", []string{"ISGW_LOG_KEEP=soon"}, append([]string{"run", "--data", filepath.Join(dir, "new"), "--site", "alpha"}, free...), 2,
			[]string{"ISGW_LOG_KEEP=soon"}},
		{"certificate without key", nil, append([]string{"run", "--data", filepath.Join(dir, "new"), "--site", "alpha", "--s3-cert", "x.pem", "--s3-domain", "a.test:9000"}, free...), 2,
			[]string{"--s3-cert and --s3-key belong together", `S3 domain "a.test:9000"`}},
		{"no certificate", nil, append([]string{"run", "--data", filepath.Join(dir, "new"), "--site", "alpha", "--s3-cert", filepath.Join(dir, "x.pem"), "--s3-key", file}, free...), 2,
			[]string{"--s3-cert: open " + filepath.Join(dir, "x.pem"), "give the PEM files"}},
		{"log kept too short", []string{"ISGW_LOG_KEEP=10ms"}, append([]string{"run", "--data", filepath.Join(dir, "new"), "--site", "alpha"}, free...), 2,
			[]string{"--log-keep 10ms", "at least 1s", "such as 168h"}},
		{"raft listener", nil, append([]string{"run", "--data", filepath.Join(dir, "new"), "--site", "alpha", "--raft", "127.0.0.1:1"}, free...), 2,
			[]string{"several nodes are not available yet"}},
		{"another site's directory", nil, append([]string{"run", "--data", other, "--site", "beta"}, free...), 1, []string{"belongs to site alpha"}},
		{"damaged identity", nil, append([]string{"run", "--data", damaged, "--site", "alpha"}, free...), 1, []string{identityFiles[0], "damaged"}},
		{"demo of nothing", nil, []string{"demo", "--once", "--source", filepath.Join(dir, "missing")}, 2, []string{"--source"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := program(t, c.env, c.args...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != c.exit {
				t.Errorf("ended with %v, want exit code %d; %s", err, c.exit, stderr.String())
			}
			if stdout.Len() > 0 {
				t.Errorf("wrote to stdout: %s", stdout.String())
			}
			for _, want := range c.want {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("stderr lacks %q: %s", want, stderr.String())
				}
			}
			if _, err := os.Stat(filepath.Join(dir, "new")); !errors.Is(err, os.ErrNotExist) {
				t.Error("a refused start made the data directory")
			}
		})
	}
}

// startAndStop runs a node until it says that it waits for init, and ends it as
// an operator does; it must exit with 0.
func startAndStop(t *testing.T, args ...string) {
	t.Helper()
	cmd := program(t, nil, args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	log := bufio.NewScanner(stderr)
	said := false
	for !said && log.Scan() {
		said = strings.Contains(log.Text(), "not initialised")
	}
	if !said {
		t.Fatalf("node ended early: %v", cmd.Wait())
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, stderr); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("SIGTERM: %v, want exit code 0", err)
	}
}

func TestEnvironmentSetsFlags(t *testing.T) {
	t.Setenv("ISGW_SITE", "alpha")
	startAndStop(t, append([]string{"run", "--data", filepath.Join(t.TempDir(), "d")}, free...)...)
}

// TestDemoOnce runs the demo on a small tree.
func TestDemoOnce(t *testing.T) {
	source := t.TempDir()
	for name, content := range map[string]string{"a.go": "package a", "dir/b_test.go": "package b", "dir/empty": "", "c d/ü": strings.Repeat("x", 300_000)} {
		path := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := program(t, nil, "demo", "--once", "--source", source)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "equal: 4 objects") {
		t.Errorf("demo --once: %v\n%s", err, out)
	}
}

// TestDemoStops interrupts the demo while it runs.
func TestDemoStops(t *testing.T) {
	source := t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "file"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "kept")
	cmd := program(t, nil, "demo", "--source", source, "--dir", dir)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(3*time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewScanner(stdout)
	var said []string
	synced := false
	for !synced && lines.Scan() {
		said = append(said, lines.Text())
		synced = strings.Count(lines.Text(), "synced") == 2
	}
	if !synced {
		err := cmd.Wait()
		t.Fatalf("the demo never showed both sites in sync (%v):\n%s\n%s", err, strings.Join(said, "\n"), stderr.String())
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, stdout); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ctrl-c: %v, want exit code 0\n%s", err, stderr.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "oahu")); err != nil {
		t.Errorf("--dir was not kept: %v", err)
	}
}
