// Package deploy_test checks what is in deploy: that units, images, manifests,
// rules and dashboards are right in themselves, and that the flags, ports,
// paths and metrics that they name are those of the programs.
package deploy_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that has to happen.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	if spec := os.Getenv(jailVariable); spec != "" {
		os.Exit(enterJail(spec, os.Args[1:]))
	}
	code := 1
	func() {
		defer removeDist()
		code = m.Run()
	}()
	os.Exit(code)
}

// tool finds a program that a test needs. Without it the test is skipped, or
// fails where ISGW_REQUIRE_CLIENTS says that everything is installed.
func tool(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("ISGW_REQUIRE_CLIENTS") != "" {
		t.Fatalf("%s is not installed (Debian: %s)", name, debian)
	}
	t.Skipf("%s is not installed (Debian: %s)", name, debian)
	return ""
}

var built struct {
	sync.Mutex
	dir string
}

// dist is a folder as .ci/dist makes it: the one that ISGW_DIST names, or one
// made now, for this machine's architecture.
func dist(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("ISGW_DIST"); dir != "" {
		return dir
	}
	built.Lock()
	defer built.Unlock()
	if built.dir != "" {
		return built.dir
	}
	dir, err := os.MkdirTemp("", "isgw-dist-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // others run what is in it
		t.Fatal(err)
	}
	if out, err := exec.Command("bash", "../.ci/dist", dir, runtime.GOARCH).CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		t.Fatalf(".ci/dist: %v\n%s", err, out)
	}
	built.dir = dir
	return dir
}

func removeDist() {
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
}

// programs is the folder with isgwnode and isgwctl, as they are released.
func programs(t *testing.T) string {
	t.Helper()
	return filepath.Join(dist(t), "linux_"+runtime.GOARCH)
}

var flagLine = regexp.MustCompile(`(?m)^ +(?:-\w, +)?--([a-z0-9-]+)`)

// nodeFlags are the flags of isgwnode run.
func nodeFlags(t *testing.T) []string {
	t.Helper()
	var flags []string
	for _, m := range flagLine.FindAllStringSubmatch(output(t, exec.Command(filepath.Join(programs(t), "isgwnode"), "run", "--help")), -1) {
		flags = append(flags, m[1])
	}
	if len(flags) < 10 {
		t.Fatalf("isgwnode run --help has only %v", flags)
	}
	return flags
}

// output runs a command and returns what it wrote to stdout; it has to end with 0.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// service is a process of isgwnode that a test started.
type service struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  strings.Builder
	done chan error
}

// start starts a node, which dies with the test.
func start(t *testing.T, cmd *exec.Cmd) *service {
	t.Helper()
	s := &service{t: t, cmd: cmd, done: make(chan error, 1)}
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	// The death of the thread that started it would be its own death.
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		s.done <- cmd.Wait()
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	t.Cleanup(func() {
		if s.done != nil {
			_ = cmd.Process.Kill() // fails when it has ended
			<-s.done
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", strings.Join(cmd.Args, " "), s.log.String())
		}
	})
	return s
}

// stop ends the node as a service manager does; it has to end with 0.
func (s *service) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case err := <-s.done:
		s.done = nil
		if err != nil {
			s.t.Errorf("SIGTERM: %v", err)
		}
	case <-time.After(patience):
		s.t.Fatal("SIGTERM did not end it")
	}
}

// eventually polls until ok, while the process runs.
func (s *service) eventually(what string, ok func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		select {
		case err := <-s.done:
			s.done = nil
			s.t.Fatalf("not %s: it ended: %v", what, err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("after %v: not %s", patience, what)
		}
	}
}

// ctl returns a command of isgwctl to the node with that data directory.
func ctl(t *testing.T, dataDir string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, filepath.Join(programs(t), "isgwctl"), append([]string{"--connect", "unix:" + dataDir + "/admin.sock"}, args...)...)
}

// shortDir is a folder that its owner alone may enter and whose name leaves room
// for a socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "isgw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
