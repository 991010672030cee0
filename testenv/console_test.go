package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestConsole drives the console in a terminal against two real sites, through
// the whole of what it is for: make a profile and connect by it, make the link with
// a token, give it a target and a bucket, see the transfer and the lag, pause it and
// let it go on, cut it, read why, heal it and see it drain; then the death and the
// return of the node that is watched. Of each change the node is asked whether it has
// been made.
func TestConsole(t *testing.T) {
	t.Parallel() // it has programs, ports and folders of its own
	tmux := client(t, "tmux")
	e := New(t)
	binary := isgwctl(t)
	a, b := e.Start("alpha", SiteOptions{Process: true, AdminTLS: true}), e.Start("beta", SiteOptions{})
	a.Create("Hawaii", "Hawaii/Cola", bucketPath)
	b.Create("Hawaii", "Hawaii/Cola")
	l := e.Line("hawaii", a, b, bucketPath)
	invitation, err := b.Admin.Sites.Invite(e.Context(), &adminpb.InviteRequest{Address: l.address(0)})
	if err != nil {
		t.Fatal(err)
	}
	token, err := a.Admin.Access.CreateToken(e.Context(), &adminpb.CreateTokenRequest{Name: "ops", Role: "site-admin"})
	if err != nil {
		t.Fatal(err)
	}

	// Connect: there are no profiles, and a makes the first, by which the site is
	// reached. The site has no links, and says what the first step is.
	x := e.openTerminal(tmux, "env", "XDG_CONFIG_HOME="+e.Dir("config"), "ISGW_CONNECT=", "ISGW_PROFILE=", binary)
	x.shows("No profiles yet", "a adds one")
	x.keys("a")
	x.fills("new profile", []entry{
		{"what you call the site", "prod"},
		{"https://HOST:PORT of its --admin", "https://" + a.AdminAddress()},
		{"SHA-256 of the site's authority", token.GetAuthorityFingerprint()},
		{"file with the authority's certificate", ""},
		{"from isgwctl admin token create", token.GetSecret()},
	})
	if strings.Contains(x.screen, token.GetSecret()) {
		t.Error("the token of the profile is on the screen")
	}
	x.keys("C-s")
	x.shows("profile prod is kept", "prod", "never")
	x.keys("Enter")
	x.shows("ok HEALTHY: this site has no links yet", "No links yet", "alpha-1 ok", "[1 Home]")

	// The link: address, direction, replication and the token.
	x.keys("n")
	x.fills("new link", []entry{
		{"a short name", "hawaii"},
		{"of the other site's link endpoint", l.address(0)},
		{"← → choose", ""},
		{"what is there already", ""},
		{"from isgwctl site invite", invitation.GetToken()},
	})
	x.keys("C-s")
	x.shows("WHAT WILL HAPPEN", "pairing", "link", "CHECKS")
	if strings.Contains(x.screen, invitation.GetToken()) {
		t.Error("the token is on the screen")
	}
	if links, err := a.Admin.Services.List(e.Context(), false); err != nil || len(links) != 0 {
		t.Fatalf("before the plan was applied there are the links %v, %v", links, err)
	}
	x.keys("a")
	x.shows("ok: new link hawaii", "hawaii")
	made := func(what string, ok func(*adminpb.Service) bool) {
		t.Helper()
		if service := a.Status("hawaii"); !ok(service) {
			t.Errorf("the console says that it is done, and %s: %v", what, service)
		}
	}
	x.keys("2")
	x.shows("[2 Links]", "Links 1/1", "hawaii")

	// Its lag target, and what it serves: off again as well.
	x.keys("e")
	x.fills("edit hawaii", []entry{{"further behind than this", "5s"}})
	x.keys("C-s")
	x.apply("lag target", "ok: edit hawaii")
	made("the target is another", func(s *adminpb.Service) bool { return s.GetLagTargetSeconds() == 5 })
	serve := func() {
		t.Helper()
		x.keys("s")
		x.shows("serve on hawaii", bucketPath)
		x.text(bucketPath)
		x.shows("/" + bucketPath)
		x.keys("Enter")
		x.apply("over link hawaii", "ok: serve "+bucketPath)
		made("it serves something else", func(s *adminpb.Service) bool { return slices.Equal(s.GetServes(), l.Buckets) })
	}
	serve()
	x.shows("u unserve") // the console has heard what the link serves
	x.keys("u")
	x.shows("stop serving on hawaii", bucketPath)
	x.keys("Enter")
	x.apply("off link hawaii", "ok: stop serving "+bucketPath)
	made("it serves something", func(s *adminpb.Service) bool { return len(s.GetServes()) == 0 })
	serve()
	l.create(1)
	x.shows("synced")
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
	x.shows("[2 Links]", "BACKLOG")
	if service := a.Status("hawaii"); !service.GetEnabled() || service.GetPaused() {
		t.Error("a plan that was cancelled was carried out")
	}

	// One that is applied does: nothing crosses the link until it is resumed.
	x.keys("p")
	x.apply("running → paused", "ok: pause hawaii")
	made("it is not paused", (*adminpb.Service).GetPaused)
	x.shows("[2 Links]", "paused")
	e.mustPut(a, "while paused", []byte("value"))
	e.Eventually("the node counts what waits", func() bool { return a.Status("hawaii").GetStatus().GetSend().GetBacklog().GetVersions() == 1 })
	e.mustLack(b, "while paused")
	x.keys("p")
	x.apply("paused → running", "ok: resume hawaii")
	made("it is paused", func(s *adminpb.Service) bool { return s.GetEnabled() && !s.GetPaused() })
	l.WaitSynced()
	e.mustHave(b, "while paused", []byte("value"))
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

// TestPausedSite stops the process of a site as a debugger or a hypervisor does, so
// that nobody says goodbye: at the other site the console shows within ten seconds that
// the lag rises, and why. When the process goes on so does the link.
func TestPausedSite(t *testing.T) {
	t.Parallel() // it mostly waits
	e := New(t)
	a, b := e.Start("alpha", SiteOptions{}), e.Start("beta", SiteOptions{Process: true})
	a.Create("Hawaii", "Hawaii/Cola", bucketPath)
	b.Create("Hawaii", "Hawaii/Cola")
	l := e.Link("hawaii", a, b, bucketPath)
	e.mustPut(a, "before", []byte("value"))
	l.WaitSynced()
	c := e.openConsole([]string{"SSH_CONNECTION="}, "--connect", "unix:"+a.DataDir()+"/admin.sock")
	c.shows("HEALTHY")
	c.keys("2")
	c.shows("[2 Links]", "ok  hawaii")
	why := regexp.MustCompile(`(?m)^ X (stalled|down) +\S.*$`)
	for try := range 3 { // the machine may be busy
		b.Pause()
		began := time.Now()
		key := fmt.Sprintf("behind-%d", try)
		e.mustPut(a, key, []byte("value"))
		lags := []float64{0}
		took, ok := e.soon(began, 10*time.Second, func() bool {
			if lag := c.figures()["LAG"]; lag > lags[len(lags)-1] {
				lags = append(lags, lag)
			}
			return len(lags) > 2 && why.MatchString(c.text())
		})
		t.Logf("after %s the console has shown a lag of %v and the cause %q", took.Round(100*time.Millisecond), lags, strings.TrimSpace(why.FindString(c.text())))
		b.Continue()
		c.shows("[2 Links]", "ok  hawaii")
		l.WaitSynced()
		e.mustHave(b, key, []byte("value"))
		if ok {
			return
		}
	}
	t.Error("the console does not show within ten seconds that a site stands still, and why")
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

// TestPlainCommandsAskTheTerminalNothing: what the console is made of would ask a
// terminal for its colours as soon as a program begins, and wait for seconds where there
// is no answer. Of a plain command neither program does.
func TestPlainCommandsAskTheTerminalNothing(t *testing.T) {
	t.Parallel()
	e := New(t)
	for _, command := range [][]string{{"isgwctl", "version"}, {"isgwctl", "--help"}, {"isgwnode", "version"}, {"isgwnode", "demo", "--help"}} {
		x := e.onTerminal(nil, program(t, command[0]), command[1:]...)
		status := x.status()
		if out := x.first(); status != 0 || out == "" || strings.Contains(out, "\x1b") {
			t.Errorf("%v: exit status %d, and to a terminal it writes %q", command, status, out)
		}
	}
}

// TestDemoOnATerminal runs the demo as somebody does who tries it: it opens the console,
// q ends it, and nothing is left of it. With --plain it writes lines, until ctrl-c.
func TestDemoOnATerminal(t *testing.T) {
	t.Parallel()
	e := New(t)
	source, tmp := e.Dir("source"), e.Dir("tmp")
	for _, dir := range []string{source, tmp} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(source, "file"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	demo := func(args ...string) *console {
		return e.onTerminal([]string{"TMPDIR=" + tmp}, program(t, "isgwnode"), append([]string{"demo", "--source", source}, args...)...)
	}
	ended := func(x *console) {
		t.Helper()
		if status := x.status(); status != 0 {
			t.Errorf("the demo ends with status %d:\n%s", status, x.text())
		}
		if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
			t.Errorf("the demo has left %v, %v", left, err)
		}
	}
	x := demo()
	x.shows("[1 Home]", "HEALTHY", "oahu", "maui")
	x.keys("2")
	x.shows("[2 Links]", "Links 1/1", "hawaii")
	x.keys("q")
	ended(x)

	x = demo("--plain")
	e.Eventually("both sites are in sync", func() bool {
		for line := range strings.Lines(x.first()) {
			if strings.Count(line, "synced") == 2 {
				return true
			}
		}
		return false
	})
	x.keys("\x03")
	ended(x)
	if out := x.first(); strings.Contains(out, "\x1b") || !strings.Contains(out, "two sites, one link") {
		t.Errorf("with --plain the demo writes %q", out)
	}
}

func kill(t *testing.T, pid int, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, signal); err != nil {
		t.Fatal(err)
	}
}
