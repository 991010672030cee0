package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// terminal is a program in a terminal of tmux.
type terminal struct {
	e    *Env
	tmux string
	name string
}

// openTerminal runs a command in a terminal of 80x24, with a tmux server of its own.
func (e *Env) openTerminal(tmux string, command ...string) *terminal {
	e.t.Helper()
	x := &terminal{e: e, tmux: tmux, name: filepath.Base(e.dir)}
	x.run(append([]string{"-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24"}, command...)...)
	e.t.Cleanup(func() { _ = exec.Command(tmux, "-L", x.name, "kill-server").Run() }) // it may have ended with its program
	return x
}

func (x *terminal) run(args ...string) string {
	x.e.t.Helper()
	cmd := exec.Command(x.tmux, append([]string{"-u", "-L", x.name}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm-256color") // whatever runs the test
	out, err := cmd.CombinedOutput()
	if err != nil {
		x.e.t.Fatalf("tmux %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (x *terminal) keys(keys ...string) {
	x.e.t.Helper()
	x.run(append([]string{"send-keys"}, keys...)...)
}

// shows waits until the screen has all the texts.
func (x *terminal) shows(texts ...string) {
	x.e.t.Helper()
	var screen string
	defer func() {
		if x.e.t.Failed() {
			x.e.t.Logf("the screen:\n%s", screen)
		}
	}()
	x.e.Eventually("the console shows "+strings.Join(texts, ", "), func() bool {
		screen = x.run("capture-pane", "-p")
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				return false
			}
		}
		return true
	})
}

// TestConsole drives the console in a terminal against two real sites: what is
// healthy, a link that is cut and healed, and the death and the return of the
// node that is watched.
func TestConsole(t *testing.T) {
	if !long() {
		t.Skip("driving the console in a terminal is a long form: set ISGW_LONG=1")
	}
	tmux := client(t, "tmux")
	e, a, b, l := twoSites(t, SiteOptions{Process: true})
	binary := e.Dir("isgwctl")
	if out, err := exec.Command("go", "build", "-o", binary, "../cmd/isgwctl").CombinedOutput(); err != nil {
		t.Fatalf("build isgwctl: %v\n%s", err, out)
	}
	e.mustPut(a, "key", []byte("value"))
	l.WaitSynced()

	x := e.openTerminal(tmux, binary, "--connect", "unix:"+a.DataDir()+"/admin.sock")
	x.shows("HEALTHY", "alpha", "[1 Home]")
	x.keys("2")
	x.shows("[2 Links]", "hawaii", "synced")
	x.keys("Enter")
	x.shows("Links ▸ hawaii", "throughput", bucketPath)

	l.Cut()
	x.shows("DOWN", "refused")
	e.mustPut(a, "behind", []byte("value"))
	x.keys("Escape")
	x.keys("1")
	x.shows("NOT HEALTHY", "hawaii", "refused")
	l.Restore()
	x.shows("ok HEALTHY")
	l.WaitSynced()
	e.mustHave(b, "behind", []byte("value"))

	a.Kill()
	x.shows("stale", "[1 Home]") // nothing is cleared
	a.Resume()
	x.shows("alpha-1 ok", "HEALTHY")
	x.keys("?")
	x.shows("help")
	x.keys("Escape")
	x.keys("q")
	e.Eventually("the console ends", func() bool {
		return exec.Command(tmux, "-L", x.name, "has-session").Run() != nil
	})
}
