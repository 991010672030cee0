package screen_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"edgefog.dev/isgw/tui/screen"
)

func TestClean(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain name", "plain name"},
		{"tab\there\n", `tab\x09here\x0a`},
		{"\x1b[31mred", `\x1b[31mred`},
		{"\xff\xfe", `\xff\xfe`},
		{"c1 \u009b31m", `c1 \u009b31m`},
		{"evil\u202egnp.exe", `evil\u202egnp.exe`},
		{"日本語", "日本語"},
		{"👩\u200d💻", "👩💻"},
		{"🇩🇪", "DE"},
		{"❤\ufe0f", "❤"},
		{"e\u0301", "e\u0301"},
		{"\u0301lost", "lost"},
		{"कि", "क·"},
		{"z" + strings.Repeat("\u0300", 50), "z\u0300\u0300"},
	} {
		if got := screen.Clean(c.in); got != c.want {
			t.Errorf("Clean(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestTruncateStart(t *testing.T) {
	for _, c := range []struct {
		in   string
		w    int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "…cd"}, {"abcd", 1, "…"}, {"abcd", 0, ""}, {"", 3, ""},
		{"a日本", 4, "…本"}, {"a日本", 5, "a日本"}, {"日本", 1, "…"},
		{"xe\u0301y", 2, "…y"}, {"a\nb", 9, `a\x0ab`}, {"a\nb", 3, "…ab"},
	} {
		got := screen.TruncateStart(c.in, c.w)
		if got != c.want || screen.Width(got) > max(c.w, 0) {
			t.Errorf("TruncateStart(%q, %d) = %q, want %q", c.in, c.w, got, c.want)
		}
	}
}

func TestTruncate(t *testing.T) {
	for _, c := range []struct {
		in   string
		w    int
		want string
	}{
		{"abcdef", 6, "abcdef"}, {"abcdef", 5, "abcd…"}, {"abcdef", 1, "…"}, {"abcdef", 0, ""},
		{"日本語", 6, "日本語"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"},
	} {
		got := screen.Truncate(c.in, c.w)
		if got != c.want || screen.Width(got) > c.w {
			t.Errorf("Truncate(%q, %d) = %q, want %q", c.in, c.w, got, c.want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		in   string
		w    int
		want string
	}{
		{"one two three", 7, "one two|three"},
		{"abcdefghij", 4, "abcd|efgh|ij"},
		{"a 日本語日本語 b", 5, "a|日本|語日|本語|b"},
		{"", 5, ""},
		{"a\nb", 5, "a|b"},
	} {
		if got := strings.Join(screen.Wrap(c.in, c.w), "|"); got != c.want {
			t.Errorf("Wrap(%q, %d) = %q, want %q", c.in, c.w, got, c.want)
		}
	}
}

func TestDrawingClips(t *testing.T) {
	c := screen.New(8, 3)
	r := c.All().Sub(2, 1, 4, 1)
	r.Text(0, 0, screen.Plain, "abcdefgh")
	r.Text(0, 1, screen.Plain, "below")
	r.Text(0, -1, screen.Plain, "above")
	if got, want := c.Encode(screen.Colourless()), "        \n  abcd  \n        "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r.Text(0, 0, screen.Plain, "日本") // wide over narrow
	r.Text(1, 0, screen.Plain, "x")  // narrow over half of a wide one
	if got, want := strings.Split(c.Encode(screen.Colourless()), "\n")[1], "   x本  "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r.Text(3, 0, screen.Plain, "日") // half of it is outside
	if got, want := strings.Split(c.Encode(screen.Colourless()), "\n")[1], "   x    "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestASCII(t *testing.T) {
	c := screen.New(12, 1)
	c.All().Text(0, 0, screen.Plain, "▸→▁█⣿日é─")
	got := c.Encode(screen.Theme{ASCII: true})
	if want := ">>_##???-   "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestThemes(t *testing.T) {
	c := screen.New(3, 1)
	c.All().Text(0, 0, screen.Bad, "X")
	for name, want := range map[string]bool{screen.Dark: true, screen.Light: true, screen.Mono: true} {
		theme, err := screen.NewTheme(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(c.Encode(theme), "\x1b["); got != want {
			t.Errorf("theme %s has escape sequences: %v", name, got)
		}
	}
	if got := c.Encode(screen.Colourless()); got != "X  " {
		t.Errorf("without colour: %q", got)
	}
	if _, err := screen.NewTheme("pink"); err == nil {
		t.Error("a theme that does not exist was accepted")
	}
}

// FuzzText draws any text at any place: the frame keeps its size by the measure
// of the terminal library, and nothing but our own escape sequences is in it.
func FuzzText(f *testing.F) {
	for _, s := range []string{"a", "日本語", "\x1b]52;c;AAAA\a", "e\u0301\u0301", "\u1100\u1161\u11a8", "क्षि", "\u093f", "👩🏽\u200d💻🇩🇪", "\xc3\x28", "\u0600\u0e33", "\u0d4e1"} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, s string, x int) {
		if x < -20 || x > 20 {
			x %= 20
		}
		c := screen.New(17, 2)
		c.All().Text(0, 0, screen.Plain, "zz zz zz zz zz zz")
		c.All().Sub(1, 0, 15, 2).Text(x, 0, screen.Plain, s)
		c.All().Fit(2, 1, 9, screen.Plain, s)
		lines := strings.Split(c.Encode(screen.Colourless()), "\n")
		if len(lines) != 2 {
			t.Fatalf("%d lines", len(lines))
		}
		for _, line := range lines {
			if !utf8.ValidString(line) || strings.ContainsAny(line, "\x1b\x07\r\t\x7f") {
				t.Fatalf("hostile characters came through: %q", line)
			}
			if got := ansi.StringWidth(line); got != 17 {
				t.Fatalf("the line %q has %d cells, want 17", line, got)
			}
		}
		for _, line := range screen.Wrap(s, 7) {
			if got := screen.Width(line); got > 7 {
				t.Fatalf("Wrap made a line of %d cells: %q", got, line)
			}
		}
	})
}

// Nothing is lost by folding, and no line is too wide.
func TestFold(t *testing.T) {
	for _, s := range []string{"", "a", "one two  three", "    - cause: no  room", "日本語の名前 and 日本", "e\u0301e\u0301e\u0301e\u0301e\u0301", strings.Repeat("x", 100), "tab\there\x1b[2J"} {
		for w := 1; w < 30; w++ {
			lines := screen.Fold(s, w)
			if strings.Join(lines, "") != screen.Clean(s) {
				t.Errorf("%q in %d cells is %q", s, w, lines)
			}
			for _, line := range lines {
				if screen.Width(line) > max(w, 2) {
					t.Errorf("%q in %d cells has the line %q", s, w, line)
				}
			}
		}
	}
	if got := screen.Fold("what the node says", 10); !slices.Equal(got, []string{"what the ", "node says"}) {
		t.Errorf("it is broken into %q", got)
	}
}
