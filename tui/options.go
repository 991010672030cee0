package tui

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"edgefog.dev/isgw/tui/screen"
)

// Endpoint is one node that the console may speak to.
type Endpoint struct {
	Name   string // what the operator calls it; empty: the target
	Target string // as admin.Dial takes it
}

// label is how the endpoint is shown.
func (e Endpoint) label() string {
	if e.Name != "" {
		return e.Name
	}
	return e.Target
}

// short is how the endpoint is shown where there is little room: a socket by
// the name of its directory, a host without the scheme.
func (e Endpoint) short() string {
	if path, ok := strings.CutPrefix(e.label(), "unix:"); ok {
		return filepath.Base(filepath.Dir(path))
	}
	return strings.TrimPrefix(e.label(), "https://")
}

// Options are what the console is opened with.
type Options struct {
	// Profiles are the sites that can be chosen. The console connects to the
	// first one at once when Connect is set.
	Profiles []Profile
	Connect  bool
	// Dial makes a client of a node. It may read files and must not wait for
	// the node.
	Dial func(Endpoint) (Node, error)
	// Keeper keeps the profiles that are added, edited and forgotten on the
	// console; nil says that they cannot be.
	Keeper Keeper
	// Clock tells the time; nil is time.Now.
	Clock func() time.Time
	// Interval is how often the screen may change; 0 is a second, and two over SSH.
	Interval time.Duration
	// Theme is one of the themes of package screen; empty is auto.
	Theme string
	// ASCII draws with ASCII alone.
	ASCII bool
	// ReadOnly opens the console unable to change anything until ctrl-t.
	ReadOnly bool
	// Version is of the program.
	Version string
	// Getenv reads the environment: NO_COLOR, TERM, SSH_CONNECTION, COLORFGBG,
	// LC_ALL, LC_CTYPE and LANG. Nil is an empty environment.
	Getenv func(string) string
	// Clipboard sends a text to the terminal's clipboard; nil says that there is none.
	Clipboard func(text string) error
	// background asks the terminal for the colour of its background and returns
	// its answer, "" when none came in time. [Run] sets it.
	background func(context.Context) string
	// Save writes a file for the operator and returns its whole path; nil says
	// that files cannot be written. It never overwrites.
	Save func(name string, data []byte) (string, error)
}

// settle fills in defaults and reports every fault at once.
func (o Options) settle() (Options, screen.Theme, error) {
	var faults []error
	if o.Dial == nil {
		faults = append(faults, errors.New("there is no way to reach a node"))
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	if o.Interval == 0 {
		o.Interval = time.Second
		if o.Getenv("SSH_CONNECTION") != "" {
			o.Interval = 2 * time.Second
		}
	}
	theme, err := resolveTheme(o.Theme, o.Getenv)
	if err != nil {
		faults = append(faults, err)
	}
	theme.ASCII = o.ASCII || plainTerminal(o.Getenv)
	if !askable(o.Theme, o.Getenv) {
		o.background = nil
	}
	return o, theme, errors.Join(faults...)
}

// askable says whether the theme depends on the terminal's background, and the
// terminal is one that can be asked for it without showing the question.
func askable(theme string, getenv func(string) string) bool {
	if theme != "" && theme != screen.Auto || getenv("NO_COLOR") != "" {
		return false
	}
	term, _, _ := strings.Cut(getenv("TERM"), "-")
	switch term {
	case "", "dumb", "unknown", "linux", "cons25", "ansi", "cygwin", "Eterm", "screen":
		return false
	}
	return !strings.HasPrefix(term, "vt")
}

// lightBackground reads a terminal's answer: "rgb:RRRR/GGGG/BBBB" in one to four
// hexadecimal digits each. What it cannot read is not known.
func lightBackground(answer string) (light, known bool) {
	answer = strings.TrimRight(answer, "\a\x1b\\")
	_, colours, ok := strings.Cut(answer, ":")
	if !ok || !strings.HasPrefix(answer, "rgb") {
		return false, false
	}
	parts := strings.Split(colours, "/")
	if len(parts) < 3 {
		return false, false
	}
	// What the eye makes of red, green and blue: ITU-R BT.601.
	sum := 0.0
	for i, weight := range []float64{0.299, 0.587, 0.114} {
		v, err := strconv.ParseUint(parts[i], 16, 16)
		if err != nil {
			return false, false
		}
		sum += weight * float64(v) / float64(uint64(1)<<(4*len(parts[i]))-1)
	}
	return sum > 0.5, true
}

// resolveTheme picks the theme by name, environment and terminal.
func resolveTheme(name string, getenv func(string) string) (screen.Theme, error) {
	if name == "" {
		name = screen.Auto
	}
	if name != screen.Auto { // asked for by name: what the environment says is overruled
		return screen.NewTheme(name)
	}
	switch term := getenv("TERM"); {
	case getenv("NO_COLOR") != "":
		return screen.Colourless(), nil
	case strings.HasPrefix(term, "vt1"), strings.HasPrefix(term, "vt2"):
		return screen.NewTheme(screen.Mono)
	}
	// "15;0" is light on black; the background is the last number.
	if _, background, ok := strings.Cut(getenv("COLORFGBG"), ";"); ok {
		if i := strings.LastIndexByte(background, ';'); i >= 0 {
			background = background[i+1:]
		}
		if background == "7" || background == "15" {
			return screen.NewTheme(screen.Light)
		}
	}
	return screen.NewTheme(screen.Dark)
}

// plainTerminal says whether the terminal is known to show ASCII only.
func plainTerminal(getenv func(string) string) bool {
	if strings.HasPrefix(getenv("TERM"), "vt") {
		return true
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} { // the first that is set counts
		if locale := strings.ToLower(getenv(name)); locale != "" {
			return locale == "c" || locale == "posix" || strings.Contains(locale, "8859")
		}
	}
	return false
}

// Usable says why a terminal cannot show the console, or nil.
func Usable(getenv func(string) string) error {
	switch term := getenv("TERM"); term {
	case "", "dumb", "unknown":
		return fmt.Errorf("the console needs a terminal that can place its cursor, and TERM is %q; use isgwctl with a verb, see isgwctl --help", term)
	}
	return nil
}
