package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/sys/unix"
)

// console is a program in a terminal of 80x24 that answers nothing, and counts what
// is written to it.
type console struct {
	e      *Env
	cmd    *exec.Cmd
	master *os.File
	done   chan struct{} // closed when nothing comes any more
	ended  chan struct{} // closed when the program has ended

	mu    sync.Mutex
	bytes int64
	begun []byte // what was written first
	face  face
}

// maxBegun bounds what is kept of what was written first.
const maxBegun = 64 << 10

// built are the programs that were built, each once for all tests that start it.
var built struct {
	mu   sync.Mutex
	dir  string
	errs map[string]error // by name
}

// program builds a program of cmd as it is shipped.
func program(t testing.TB, name string) string {
	t.Helper()
	built.mu.Lock()
	defer built.mu.Unlock()
	if built.dir == "" {
		dir, err := os.MkdirTemp("", "isgw-built-")
		if err != nil {
			t.Fatal(err)
		}
		built.dir, built.errs = dir, map[string]error{}
	}
	path := filepath.Join(built.dir, name)
	err, done := built.errs[name]
	if !done {
		var out []byte
		if out, err = exec.Command("go", "build", "-o", path, "../cmd/"+name).CombinedOutput(); err != nil {
			err = fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
		built.errs[name] = err
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func isgwctl(t testing.TB) string {
	t.Helper()
	return program(t, "isgwctl")
}

// removeBuilt removes them when all tests have run.
func removeBuilt() {
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
}

// openPTY returns both ends of a new terminal.
func openPTY(t testing.TB, columns, rows uint16) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("this machine has no terminals: %v", err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows})
	}
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		t.Fatalf("open a terminal: %v", err)
	}
	return master, slave
}

// openConsole opens the console as somebody does who came over SSH.
func (e *Env) openConsole(env []string, args ...string) *console {
	e.t.Helper()
	return e.onTerminal(append([]string{"SSH_CONNECTION=10.0.0.1 50000 10.0.0.2 22"}, env...), isgwctl(e.t), append([]string{"--theme", "dark"}, args...)...)
}

// onTerminal runs a program in a terminal.
func (e *Env) onTerminal(env []string, name string, args ...string) *console {
	t := e.t
	t.Helper()
	master, slave := openPTY(t, 80, 24)
	c := &console{e: e, cmd: exec.Command(name, args...), master: master, done: make(chan struct{}), ended: make(chan struct{})}
	c.cmd.Env = append([]string{
		"TERM=xterm-256color", "LC_ALL=C.UTF-8", "HOME=" + e.dir, "XDG_CONFIG_HOME=" + e.Dir("config"), "PATH=" + os.Getenv("PATH"),
	}, env...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = slave, slave, slave
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		t.Fatalf("run %s in a terminal: %v", name, err)
	}
	slave.Close()
	go c.read()
	go func() {
		defer close(c.ended)
		_ = c.cmd.Wait() // what became of it is in its ProcessState
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the terminal:\n%s", c.text())
		}
		c.close()
	})
	return c
}

// read takes in what is written to the terminal until its other end is closed.
func (c *console) read() {
	defer close(c.done)
	buf := make([]byte, 64<<10)
	for {
		n, err := c.master.Read(buf)
		c.mu.Lock()
		c.bytes += int64(n)
		c.begun = append(c.begun, buf[:min(n, maxBegun-len(c.begun))]...)
		c.face.write(buf[:n])
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// close ends the program as a hang-up does, and waits for it.
func (c *console) close() {
	_ = c.cmd.Process.Signal(syscall.SIGHUP) // it may have ended already
	select {
	case <-c.ended:
	case <-time.After(Patience):
		c.e.t.Error("the program did not end on SIGHUP")
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
	c.master.Close()
	<-c.done
}

// status waits until the program has ended by itself and all that it wrote has come,
// and returns its exit status.
func (c *console) status() int {
	c.e.t.Helper()
	for _, over := range []chan struct{}{c.ended, c.done} {
		select {
		case <-over:
		case <-time.After(Patience):
			c.e.t.Fatal("the program does not end")
		}
	}
	return c.cmd.ProcessState.ExitCode()
}

// first is what was written first.
func (c *console) first() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.begun)
}

// keys types.
func (c *console) keys(text string) {
	c.e.t.Helper()
	if _, err := c.master.WriteString(text); err != nil {
		c.e.t.Fatalf("type into the console: %v", err)
	}
}

// text is what the screen shows.
func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.face.String()
}

// written is how many bytes the console has written so far.
func (c *console) written() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// shows waits until the screen has all the texts.
func (c *console) shows(texts ...string) {
	c.e.t.Helper()
	c.e.Eventually("the console shows "+strings.Join(texts, ", "), func() bool { return c.has(texts...) })
}

func (c *console) has(texts ...string) bool {
	screen := c.text()
	for _, text := range texts {
		if !strings.Contains(screen, text) {
			return false
		}
	}
	return true
}

// steady waits until the console writes no more than it does when nothing
// happens.
func (c *console) steady() {
	c.e.t.Helper()
	last, since := c.written(), time.Now()
	c.e.Eventually("the console is steady", func() bool {
		if now := c.written(); now-last > 600 {
			last, since = now, time.Now()
		}
		return time.Since(since) > 3*time.Second
	})
}

// memory is the resident size of the console's process, in bytes: now, and the
// greatest so far.
func (c *console) memory() (now, peak int64) {
	c.e.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		c.e.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			now = kib << 10
		}
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			peak = kib << 10
		}
	}
	if now == 0 || peak == 0 {
		c.e.t.Fatal(errors.New("the system does not tell the size of a process"))
	}
	return now, peak
}

// face is the screen of a terminal, as far as the console uses one.
type face struct {
	cells  [24][80]string
	x, y   int
	parser *ansi.Parser
}

// write draws what comes.
func (f *face) write(p []byte) {
	if f.parser == nil {
		f.parser = ansi.NewParser()
		f.parser.SetHandler(ansi.Handler{
			Print:     f.put,
			Execute:   f.control,
			HandleCsi: func(cmd ansi.Cmd, params ansi.Params) { f.command(cmd, params) },
		})
	}
	for _, b := range p {
		f.parser.Advance(b)
	}
}

func (f *face) put(r rune) {
	width := max(ansi.StringWidth(string(r)), 0)
	if width == 0 || f.x >= 80 {
		return
	}
	f.cells[f.y][f.x] = string(r)
	for i := 1; i < width && f.x+i < 80; i++ {
		f.cells[f.y][f.x+i] = "\x00" // the second half of a wide character
	}
	f.x += width
}

func (f *face) control(b byte) {
	switch b {
	case '\r':
		f.x = 0
	case '\n':
		f.y = min(f.y+1, 23)
	case '\b':
		f.x = max(f.x-1, 0)
	}
}

func (f *face) command(cmd ansi.Cmd, params ansi.Params) {
	n := func(i, fallback int) int {
		v, _, _ := params.Param(i, fallback)
		return v
	}
	switch cmd.Final() {
	case 'A':
		f.y = max(f.y-max(n(0, 1), 1), 0)
	case 'B':
		f.y = min(f.y+max(n(0, 1), 1), 23)
	case 'C':
		f.x = min(f.x+max(n(0, 1), 1), 79)
	case 'D':
		f.x = max(f.x-max(n(0, 1), 1), 0)
	case 'H', 'f':
		f.y, f.x = min(max(n(0, 1), 1), 24)-1, min(max(n(1, 1), 1), 80)-1
	case 'K':
		f.erase(f.y, f.x, 80)
	case 'J':
		from := f.y + 1
		if n(0, 0) == 2 {
			from = 0
		} else {
			f.erase(f.y, f.x, 80)
		}
		for y := from; y < 24; y++ {
			f.erase(y, 0, 80)
		}
	}
}

func (f *face) erase(y, from, to int) {
	for x := from; x < to; x++ {
		f.cells[y][x] = ""
	}
}

// String is the screen as text, a line each row.
func (f *face) String() string {
	var b strings.Builder
	for _, row := range f.cells {
		var line strings.Builder
		for _, cell := range row {
			switch cell {
			case "":
				line.WriteByte(' ')
			case "\x00":
			default:
				line.WriteString(cell)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}
