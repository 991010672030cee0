package testenv

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestConsole drives the console in a terminal against two real sites, through
// the whole of what it is for: connect, make the link with a token, serve a
// bucket, see the transfer and the lag, cut the link, read why, heal it and see
// it drain; then the death and the return of the node that is watched.
func TestConsole(t *testing.T) {
	t.Parallel() // it has programs, ports and folders of its own
	tmux := client(t, "tmux")
	e := New(t)
	binary := isgwctl(t)
	a, b := e.Start("alpha", SiteOptions{Process: true}), e.Start("beta", SiteOptions{})
	a.Create("Hawaii", "Hawaii/Cola", bucketPath)
	b.Create("Hawaii", "Hawaii/Cola")
	l := e.Line("hawaii", a, b, bucketPath)
	invitation, err := b.Admin.Sites.Invite(e.Context(), &adminpb.InviteRequest{Address: l.address(0)})
	if err != nil {
		t.Fatal(err)
	}

	// Connect: the site has no links, and says what the first step is.
	x := e.openTerminal(tmux, "env", "XDG_CONFIG_HOME="+e.Dir("config"), binary, "--connect", "unix:"+a.DataDir()+"/admin.sock")
	x.shows("ok HEALTHY: this site has no links yet", "No links yet", "alpha-1 ok", "[1 Home]")

	// The link: address, direction, replication, the token, the bucket, the target.
	x.keys("n")
	x.shows("new link", "NAME")
	for _, field := range []struct{ shows, text string }{
		{"a short name", "hawaii"},
		{"of the other site's link endpoint", l.address(0)},
		{"← → choose", ""},
		{"what is there already", ""},
		{"from isgwctl site invite", invitation.GetToken()},
		{"several with commas", bucketPath},
		{"further behind than this", "5s"},
	} {
		x.shows(field.shows)
		if field.text != "" {
			x.text(field.text)
		}
		x.keys("Enter")
	}
	x.shows("CONNECTIONS", "ctrl-s review the plan") // and more settings, which stay as they are
	x.keys("C-s")
	x.shows("WHAT WILL HAPPEN", "pairing", "link", "serve", "CHECKS")
	if strings.Contains(x.screen, invitation.GetToken()) {
		t.Error("the token is on the screen")
	}
	if links, err := a.Admin.Services.List(e.Context(), false); err != nil || len(links) != 0 {
		t.Fatalf("before the plan was applied there are the links %v, %v", links, err)
	}
	x.keys("a")
	x.shows("ok: new link hawaii", "hawaii")
	l.create(1)
	x.keys("2")
	x.shows("[2 Links]", "Links 1/1", "hawaii", "synced")
	x.keys("Enter")
	x.shows("Links ▸ hawaii", "throughput", "SYNCED", "lag s")

	// The transfer, on a narrow line: it is behind, by more than its target.
	l.Slow(32)
	content := randomBytes(1, 1<<20)
	e.mustPut(a, "slow", content)
	x.shows("behind", "oldest unsent: slow", "backlog 1 ")
	x.shows("LAGGING", "target 5s")
	l.Slow(0)
	x.shows("SYNCED", "backlog 0 ")
	e.mustHave(b, "slow", content)

	// Cut: the cause in words, here and on the first page.
	l.Cut()
	x.shows("DOWN", "refused")
	e.mustPut(a, "behind", []byte("value"))
	x.shows("oldest unsent: behind")
	x.keys("1")
	x.shows("NOT HEALTHY", "hawaii", "refused")
	l.Restore()
	x.shows("ok HEALTHY")
	l.WaitSynced()
	e.mustHave(b, "behind", []byte("value"))
	x.shows("ok HEALTHY: the link is in sync") // before the node is gone: it is what stays

	// The plan of a change says what --dry-run prints, and a plan that is
	// cancelled changes nothing.
	x.keys("2")
	x.shows("[2 Links]", "hawaii")
	x.keys("p")
	x.shows("WHAT WILL HAPPEN", "isgwctl link pause hawaii")
	dry, err := exec.Command(binary, "--connect", "unix:"+a.DataDir()+"/admin.sock", "link", "pause", "hawaii", "--dry-run").Output()
	if err != nil {
		t.Fatal(err)
	}
	shown := strings.Join(strings.FieldsFunc(x.screen, func(r rune) bool { return strings.ContainsRune(" \n│", r) }), " ")
	_, body, _ := strings.Cut(string(dry), "WHAT WILL HAPPEN") // after the plan's number
	for line := range strings.Lines(body) {
		line, _ = strings.CutPrefix(strings.TrimSpace(line), "same thing as a command")
		for word := range strings.FieldsSeq(line) {
			if !strings.Contains(shown, word) {
				t.Errorf("the plan on the screen lacks %q of\n%s\nit is\n%s", word, dry, x.screen)
			}
		}
	}
	x.keys("Escape")
	x.shows("[2 Links]", "o sort")
	if service := a.Status("hawaii"); !service.GetEnabled() || service.GetPaused() {
		t.Error("a plan that was cancelled was carried out")
	}
	x.keys("1")
	x.shows("[1 Home]", "ok HEALTHY: the link is in sync")

	// The node dies and comes back: nothing is cleared meanwhile, and nothing can
	// be changed.
	a.Kill()
	x.shows("stale", "the link is in sync", "beta", "nothing can be changed")
	x.keys("n")
	x.shows("changes wait until a node answers")
	a.Resume()
	x.shows("alpha-1 ok", "HEALTHY", "[1 Home]")
	x.keys("?")
	x.shows("keys that work on Home")
	x.keys("Escape", "q") // together, as a slow line delivers them
	x.waitGone()
}

// isgwctl is the console's process below the shell of a terminal.
func (x *terminal) isgwctl() int {
	x.e.t.Helper()
	pid := 0
	x.e.Eventually("the console runs", func() bool {
		out, err := exec.Command("pgrep", "-P", strings.TrimSpace(x.run("display-message", "-p", "#{pane_pid}"))).Output()
		if err != nil {
			return false
		}
		_, err = fmt.Sscan(string(out), &pid)
		return err == nil
	})
	return pid
}

// TestConsoleGivesTheTerminalBack: however the console ends, and while it is
// suspended, the shell has its terminal as it was.
func TestConsoleGivesTheTerminalBack(t *testing.T) {
	t.Parallel() // it has programs, ports and folders of its own
	e := New(t)
	binary := isgwctl(t)
	x := e.shell(t)
	open := func() {
		t.Helper()
		x.text(binary + " --connect unix:" + e.Dir("nobody.sock"))
		x.keys("Enter")
		x.shows("Connect to a node", "there is no such socket")
	}
	for what, end := range map[string]func(){
		"q":       func() { x.keys("q") },
		"ctrl-c":  func() { x.keys("C-c") },
		"sigterm": func() { kill(t, x.isgwctl(), syscall.SIGTERM) },
		"sighup":  func() { kill(t, x.isgwctl(), syscall.SIGHUP) },
	} {
		open()
		end()
		x.prompt(what)
	}

	open()
	x.keys("C-z")
	x.shows("Stopped")
	x.prompt("suspend")
	x.text("fg")
	x.keys("Enter")
	x.shows("Connect to a node", "there is no such socket", "quit")

	// Fifty resizes leave no debris: what is there is what a new drawing shows.
	for i := range 50 {
		x.run("resize-window", "-x", fmt.Sprint(41+i*37%120), "-y", fmt.Sprint(11+i*13%40))
	}
	x.run("resize-window", "-x", "80", "-y", "24")
	x.shows("Connect to a node", "PROFILE", "quit")
	settled := func() string { // without the clock and what an attempt shows in passing
		lines := strings.Split(x.look(), "\n")
		return strings.Join(append(lines[1:5:5], lines[12:]...), "\n")
	}
	resized := ""
	e.Eventually("the screen stands still", func() bool {
		was := resized
		resized = settled()
		return was == resized
	})
	x.keys("C-z")
	x.shows("Stopped")
	x.text("fg")
	x.keys("Enter")
	x.shows("Connect to a node", "quit")
	e.Eventually("a new drawing looks the same", func() bool { return settled() == resized })
	x.keys("q")
	x.prompt("resizes")

	// The terminal says that its background is light: the theme follows, and the
	// answer is nobody's keys, also when the console ends at once.
	x.run("set-option", "-g", "window-style", "bg=#ffffff,fg=#000000")
	open()
	e.Eventually("the light theme", func() bool { return strings.Contains(x.run("capture-pane", "-p", "-e"), "\x1b[34mPROFILE") })
	x.keys("q")
	x.prompt("light")
	for range 3 {
		x.text(binary + " --connect unix:" + e.Dir("nobody.sock"))
		x.keys("Enter", "q")
		e.Eventually("the prompt is back", func() bool {
			return strings.HasSuffix(strings.TrimSpace(x.look()), "ready>") && strings.Count(x.screen, "ready>") > 1
		})
		if strings.Contains(x.screen, "rgb:") || strings.Contains(x.screen, "[?") {
			t.Errorf("an answer of the terminal was typed into the shell:\n%s", x.screen)
		}
		x.keys("C-l")
		e.Eventually("a clean screen", func() bool { return strings.Count(x.look(), "ready>") == 1 })
	}

	// A terminal that cannot place its cursor is refused, one that has ASCII and
	// no colours is not.
	x.text("TERM=dumb " + binary + " --connect unix:/none; echo status $?")
	x.keys("Enter")
	x.shows("the console needs a terminal that can place its cursor", "status 2")
	x.keys("C-l")
	for _, term := range []string{"vt100", "xterm", "linux"} {
		x.text("TERM=" + term + " " + binary + " --connect unix:" + e.Dir("nobody.sock"))
		x.keys("Enter")
		x.shows("PROFILE", "there is no such socket")
		if strings.ContainsFunc(x.screen, func(r rune) bool { return r > 126 }) && term == "vt100" {
			t.Errorf("a vt100 is shown more than ASCII:\n%s", x.screen)
		}
		x.keys("q")
		x.prompt(term)
	}
}

func kill(t *testing.T, pid int, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, signal); err != nil {
		t.Fatal(err)
	}
}
