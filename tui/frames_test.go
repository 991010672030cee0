package tui

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"

	"edgefog.dev/isgw/tui/screen"
)

// glass is a terminal as far as frames use one. It keeps each cell with its
// colours, and counts what it is sent.
type glass struct {
	w, h  int
	cells []string
	x, y  int
	style string
	bytes int
	fault error // what it did not understand
	fails bool  // the next write is lost
}

func newGlass(w, h int) *glass {
	g := &glass{w: w, h: h, cells: make([]string, w*h)}
	return g
}

func (g *glass) Write(p []byte) (int, error) {
	if g.fails {
		g.fails = false
		return 0, errors.New("the line is gone")
	}
	g.bytes += len(p)
	for s := string(p); len(s) > 0; {
		if rest, ok := strings.CutPrefix(s, "\x1b["); ok {
			end := strings.IndexFunc(rest, func(r rune) bool { return r >= '@' && r <= '~' })
			if end < 0 {
				g.fault = fmt.Errorf("an escape sequence does not end: %q", s)
				return len(p), nil
			}
			g.command(rest[end], rest[:end])
			s = rest[end+1:]
			continue
		}
		if rest, ok := strings.CutPrefix(s, "\x1b]"); ok { // a text for the terminal, not for the screen
			_, s, _ = strings.Cut(rest, "\x07")
			continue
		}
		r, n := utf8.DecodeRuneInString(s)
		g.put(r)
		s = s[n:]
	}
	return len(p), nil
}

func (g *glass) put(r rune) {
	switch n := ansi.StringWidth(string(r)); {
	case r == '\r':
		g.x = 0
	case r == '\n':
		g.y = min(g.y+1, g.h-1)
	case n == 0 || g.x+n > g.w:
	default:
		for i := range n {
			g.cells[g.y*g.w+g.x+i] = ""
		}
		g.cells[g.y*g.w+g.x] = g.style + ":" + string(r)
		g.x += n
	}
}

func (g *glass) command(final byte, params string) {
	first, second, _ := strings.Cut(params, ";")
	number := func(s string) int { n, _ := strconv.Atoi(s); return max(n, 1) } // none is 1
	switch {
	case final == 'm' && (params == "0" || params == ""):
		g.style = ""
	case final == 'm':
		if rest, ok := strings.CutPrefix(params, "0;"); ok {
			g.style, params = "", rest
		}
		if g.style != "" {
			params = g.style + ";" + params
		}
		g.style = params
	case final == 'H':
		g.y, g.x = min(number(first), g.h)-1, min(number(second), g.w)-1
	case final == 'C':
		g.x = min(g.x+number(params), g.w-1)
	case final == 'K' && params == "2":
		clear(g.cells[g.y*g.w : (g.y+1)*g.w])
	case final == 'J' && params == "2":
		clear(g.cells)
	case strings.HasPrefix(params, "?"): // the cursor, pasting and the like
	default:
		g.fault = fmt.Errorf("it cannot do %q", params+string(final))
	}
}

// teaFrame is what Bubble Tea writes to show a frame where another one is; nil
// is none. TestQuietSession has the real one.
func teaFrame(before, after []string) string {
	var b strings.Builder
	b.WriteString(ansi.CursorHomePosition)
	for y, line := range after {
		if before == nil && y == 0 {
			b.WriteByte('\r')
		}
		written := before == nil || before[y] != line
		if written {
			b.WriteString(line)
		}
		if y < len(after)-1 {
			if written {
				b.WriteByte('\r')
			}
			b.WriteByte('\n')
		}
	}
	return b.String() + ansi.CursorPosition(0, len(after))
}

// TestFramesShowTheSame draws frames that change a little on one terminal as
// they are and on another one through frames: they show the same cells in the
// same colours, and the second one is sent no more, but for what moves the cursor.
func TestFramesShowTheSame(t *testing.T) {
	words := []string{"lag 41s", "▁▂▃▄▅▆▇█", "⣀⣤⠤⠒", "─┄│┤", "   ", "0", "q", "é", "火山", "e\u0301", "👩\u200d🔬", "oahu ▸ maui", "\x1b[31mred"}
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(2, 40).Draw(t, "w"), rapid.IntRange(2, 8).Draw(t, "h")
		theme, err := screen.NewTheme(rapid.SampledFrom([]string{screen.Dark, screen.Light, screen.Mono}).Draw(t, "theme"))
		if err != nil {
			t.Fatal(err)
		}
		plain, less, f := newGlass(w, h), newGlass(w, h), frames{}
		canvas := screen.New(w, h)
		var before []string
		for range rapid.IntRange(1, 12).Draw(t, "frames") {
			switch rapid.IntRange(0, 12).Draw(t, "what") {
			case 0: // what is not a frame
				command := rapid.SampledFrom([]string{"\x1b[2J", "\x1b[2K", "\r", "\x1b[?25l", "\x1b]52;c;aGk=\x07"}).Draw(t, "command")
				_, _ = plain.Write([]byte(command))
				if _, err := f.write(less, []byte(command)); err != nil {
					t.Fatal(err)
				}
				if command == "\x1b[2J" {
					before = nil
				}
			case 1: // Bubble Tea draws all of it anew
				before = nil
			}
			for range rapid.IntRange(0, 6).Draw(t, "changes") {
				role := screen.Role(rapid.IntRange(0, int(screen.Off)).Draw(t, "role"))
				canvas.All().Text(rapid.IntRange(0, w).Draw(t, "x"), rapid.IntRange(0, h-1).Draw(t, "y"), role, rapid.SampledFrom(words).Draw(t, "word"))
			}
			after := strings.Split(canvas.Encode(theme), "\n")
			frame := teaFrame(before, after)
			_, _ = plain.Write([]byte(frame))
			was := less.bytes
			if n, err := f.write(less, []byte(frame)); n != len(frame) || err != nil {
				t.Fatalf("write takes %d of %d bytes: %v", n, len(frame), err)
			}
			if sent, most := less.bytes-was, len(frame)+h*len("\x1b[0m\x1b[00;00H"); sent > most {
				t.Errorf("%d bytes are sent of a frame of %d", sent, len(frame))
			}
			before = after
			if plain.fault != nil || less.fault != nil {
				t.Fatal(plain.fault, less.fault)
			}
			for i := range plain.cells {
				if plain.cells[i] != less.cells[i] {
					t.Fatalf("the cell %d,%d is %q, want %q", i%w, i/w, less.cells[i], plain.cells[i])
				}
			}
			if plain.x != less.x || plain.y != less.y || less.style != "" {
				t.Fatalf("the cursor is at %d,%d with %q, want %d,%d", less.x, less.y, less.style, plain.x, plain.y)
			}
		}
	})
}

// TestFrameBytes says what a change costs.
func TestFrameBytes(t *testing.T) {
	const tail = "\x1b[2;H"
	for _, c := range []struct{ name, from, to, want string }{
		{"a digit of a clock", "12:04:31Z \x1b[32mok\x1b[0m", "12:04:33Z \x1b[32mok\x1b[0m", "\x1b[1;8H3"},
		{"two places near each other", "12:04:39Z", "12:05:30Z", "\x1b[1;5H5:30"},
		{"two places far from each other", "1 far away 1", "2 far away 2", "\x1b[H2\x1b[10C2"},
		{"a coloured one", "\x1b[90mage 1s\x1b[0m", "\x1b[90mage 2s\x1b[0m", "\x1b[1;5H\x1b[90m2\x1b[0m"},
		{"a colour alone", "\x1b[32mok\x1b[0m ", "\x1b[33mok\x1b[0m ", "\x1b[H\x1b[33mok\x1b[0m"},
		{"a line that is another one", "a b c d e f g h i j", "k l m n o p q r s t", "\x1b[Hk l m n o p q r s t"},
		{"a name of another room", "火 1", "火 2", "\x1b[H火 2"},
	} {
		g, f := newGlass(20, 2), frames{}
		first := []string{c.from, "the second line"}
		if _, err := f.write(g, []byte(teaFrame(nil, first))); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if _, err := f.write(&b, []byte(teaFrame(first, []string{c.to, first[1]}))); err != nil {
			t.Fatal(err)
		}
		if b.String() != c.want+tail {
			t.Errorf("%s is %q, want %q", c.name, b.String(), c.want+tail)
		}
	}
}

// What a terminal has after a write that failed is not known: the next frame's
// rows are written whole.
func TestFramesAfterAFault(t *testing.T) {
	g, f := newGlass(8, 2), frames{}
	first, second, third := []string{"one 1   ", "two 1   "}, []string{"one 2   ", "two 1   "}, []string{"one 3   ", "two 1   "}
	_, _ = f.write(g, []byte(teaFrame(nil, first)))
	g.fails = true
	if n, err := f.write(g, []byte(teaFrame(first, second))); err == nil || n != 0 {
		t.Errorf("a write that failed took %d bytes: %v", n, err)
	}
	g.bytes = 0
	_, _ = f.write(g, []byte(teaFrame(second, third)))
	if g.bytes < len(third[0]) {
		t.Errorf("after a fault %d bytes are sent for a row", g.bytes)
	}
}
