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
	e      *Env
	tmux   string
	name   string
	screen string // as it was last seen
}

// openTerminal runs a command in a terminal of 80x24, with a tmux server of its
// own. When the test fails, what it showed last is logged.
func (e *Env) openTerminal(tmux string, command ...string) *terminal {
	e.t.Helper()
	x := &terminal{e: e, tmux: tmux, name: filepath.Base(e.dir)}
	x.run(append([]string{"-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24"}, command...)...)
	e.t.Cleanup(func() {
		_ = exec.Command(tmux, "-L", x.name, "kill-server").Run() // it may have ended with its program
		_ = os.Remove(filepath.Join(socketDir(), x.name))
		if e.t.Failed() {
			e.t.Logf("the screen:\n%s", x.screen)
		}
	})
	return x
}

// socketDir is where tmux keeps the sockets of its servers.
func socketDir() string {
	dir := os.Getenv("TMUX_TMPDIR")
	if dir == "" {
		dir = "/tmp"
	}
	matches, _ := filepath.Glob(filepath.Join(dir, "tmux-*")) // the pattern is right
	if len(matches) == 0 {
		return dir
	}
	return matches[0]
}

func (x *terminal) run(args ...string) string {
	x.e.t.Helper()
	cmd := exec.Command(x.tmux, append([]string{"-u", "-L", x.name}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm-256color", "SSH_CONNECTION=", "NO_COLOR=") // whatever runs the test
	out, err := cmd.CombinedOutput()
	if err != nil {
		x.e.t.Fatalf("tmux %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// keys types keys, by the names that tmux gives them.
func (x *terminal) keys(keys ...string) {
	x.e.t.Helper()
	x.run(append([]string{"send-keys"}, keys...)...)
}

// text types a text as it is.
func (x *terminal) text(s string) {
	x.e.t.Helper()
	x.run("send-keys", "-l", s)
}

// look is the screen, without colours.
func (x *terminal) look() string {
	x.e.t.Helper()
	x.screen = x.run("capture-pane", "-p")
	return x.screen
}

// shows waits until the screen has all the texts.
func (x *terminal) shows(texts ...string) {
	x.e.t.Helper()
	x.e.Eventually("the terminal shows "+strings.Join(texts, ", "), func() bool {
		screen := x.look()
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				return false
			}
		}
		return true
	})
}

// entry is a field of a form: a part of what it says of itself, and what is typed.
type entry struct{ help, text string }

// fills types into the fields of a form, one after the other, and leaves the form
// open at the next one.
func (x *terminal) fills(title string, fields []entry) {
	x.e.t.Helper()
	x.shows(title)
	for _, f := range fields {
		x.shows(f.help)
		if f.text != "" {
			x.text(f.text)
		}
		x.keys("Enter")
	}
	x.e.Eventually("the form goes on to its next field", func() bool { return !strings.Contains(x.look(), fields[len(fields)-1].help) })
}

// apply applies the plan that the console shows, and waits until it says so.
func (x *terminal) apply(plan, done string) {
	x.e.t.Helper()
	x.shows("WHAT WILL HAPPEN", plan, "a apply")
	x.keys("a")
	x.shows(done)
}

// shell opens a terminal with a shell that has a short prompt and no history.
func (e *Env) shell(t *testing.T) *terminal {
	t.Helper()
	x := e.openTerminal(client(t, "tmux"), "env", "PS1=ready> ", "HISTFILE=", "XDG_CONFIG_HOME="+e.Dir("config"), "ISGW_CONNECT=", "TERM=xterm-256color", "bash", "--norc", "--noprofile")
	x.shows("ready>")
	return x
}

// prompt waits for a shell's prompt with nothing behind it, and says whether the
// terminal is as a shell needs it.
func (x *terminal) prompt(what string) {
	x.e.t.Helper()
	x.e.Eventually("the shell has its terminal back after "+what, func() bool {
		lines := strings.Split(strings.TrimRight(x.look(), "\n"), "\n")
		return strings.TrimRight(lines[len(lines)-1], " ") == "ready>"
	})
	x.text("stty -a | grep -o ' -\\?echo ' ; tput civis >/dev/null; echo done-" + what)
	x.keys("Enter")
	x.shows("\ndone-" + what)
	if !strings.Contains(x.screen, "\n echo") {
		x.e.t.Errorf("after %s the terminal does not echo:\n%s", what, x.screen)
	}
	if flags := x.run("display-message", "-p", "#{alternate_on} #{cursor_flag} #{mouse_any_flag}"); strings.TrimSpace(flags) != "0 1 0" {
		x.e.t.Errorf("after %s: alternate screen, cursor and mouse are %s, want 0 1 0", what, flags)
	}
	x.keys("C-l")
	x.e.Eventually("a clean screen", func() bool { return !strings.Contains(x.look(), "done-") })
}

// waitGone waits until the terminal's program has ended.
func (x *terminal) waitGone() {
	x.e.t.Helper()
	x.e.Eventually("the program ends", func() bool {
		return exec.Command(x.tmux, "-L", x.name, "has-session").Run() != nil
	})
}
