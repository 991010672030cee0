package tui

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// What the terminal answers is taken out, in however many parts it comes.
func TestAnswersAreNoKeys(t *testing.T) {
	const colour, who = "\x1b]11;rgb:ffff/ffff/eeee\x1b\\", "\x1b[?64;1;2c"
	for _, c := range []struct{ in, keys, answers string }{
		{"q", "q", ""},
		{"a" + colour + "b" + who + "c", "abc", colour + "|" + who},
		{"\x1b]11;rgb:00/00/00\x07j", "j", "\x1b]11;rgb:00/00/00\x07"},
		{"\x1b[A\x1b[1;5C\x1bOP\x1b", "\x1b[A\x1b[1;5C\x1bOP\x1b", ""},
		{"\x1b[200~日本\x1b[201~", "\x1b[200~日本\x1b[201~", ""},
		{"\x1b]11;never ends" + strings.Repeat("x", 2*maxAnswer), "", ""},
	} {
		for size := 1; size <= len(c.in); size++ {
			if size > 8 && size < len(c.in) {
				continue
			}
			var f answerFilter
			var keys []byte
			var answers []string
			for part := range slices.Chunk([]byte(c.in), size) {
				k, a := f.take(slices.Clone(part))
				keys, answers = append(keys, k...), append(answers, a...)
			}
			whole := size == len(c.in)
			if whole && (string(keys) != c.keys || strings.Join(answers, "|") != c.answers) {
				t.Errorf("%q: keys %q and answers %q, want %q and %q", c.in, keys, answers, c.keys, c.answers)
			}
		}
	}
}

// TestKeyboard: a key that comes in two parts is one key, an answer is none, and
// what is left at the end is drained.
func TestKeyboard(t *testing.T) {
	var r, w *os.File
	var k *keyboard
	write := func(s string) {
		t.Helper()
		if _, err := w.WriteString(s); err != nil {
			t.Fatal(err)
		}
	}
	read := func() string {
		t.Helper()
		var buf [256]byte
		n, err := k.Read(buf[:])
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	// answer asks, has the answer come in parts after a key, and returns what was
	// read as keys. Between ESC and the beginning of an answer only time can tell:
	// late says that a busy machine has written the rest too late.
	answer := func() (keys string, late bool) {
		var err error
		if r, w, err = os.Pipe(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		k = newKeyboard(r)
		var asked bytes.Buffer
		began := time.Now()
		if err := k.ask(func(s string) error { asked.WriteString(s); return nil }); err != nil || asked.String() != questions {
			t.Fatalf("asked %q: %v", asked.String(), err)
		}
		took, to := make(chan time.Duration, 1), w
		go func() {
			began := time.Now()
			_, _ = to.WriteString("j\x1b")
			_, _ = to.WriteString("]11;rgb:ff")
			took <- time.Since(began)
			_, _ = to.WriteString("ff/ffff/ffff\x1b\\")
			_, _ = to.WriteString("\x1b[?62c")
		}()
		for k.outstanding() > 0 {
			keys += read()
		}
		return keys, <-took >= keyTime || time.Since(began) >= time.Second // and none is outstanding any more
	}
	got, late := answer()
	for range 100 {
		if !late {
			break
		}
		got, late = answer()
	}
	if got != "j" {
		t.Fatalf("read %q, want j", got)
	}
	if light, known := lightBackground(<-k.answers); !light || !known {
		t.Error("the background is not known to be light")
	}
	write("\x1b[A")
	if got := read(); got != "\x1b[A" {
		t.Errorf("an arrow key is %q", got)
	}

	// The program ends before the answer comes.
	if err := k.ask(func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	write("\x1b]11;rgb:0000/0000/0000\x07\x1b[?6c")
	k.drain()
	if readable(r.Fd(), time.Millisecond) || k.outstanding() > 0 {
		t.Error("an answer is left for the shell")
	}
	w.Close()
	if _, err := k.Read(make([]byte, 8)); err == nil {
		t.Error("the end of the input is not told")
	}
}

func TestLightBackground(t *testing.T) {
	for in, want := range map[string][2]bool{
		"rgb:ffff/ffff/ffff\x1b\\": {true, true},
		"rgb:0/0/0\x07":            {false, true},
		"rgb:fd/f6/e3":             {true, true},
		"rgba:1e1e/1e1e/2e2e/ffff": {false, true},
		"rgb:00/00/ff":             {false, true}, // blue is dark
		"":                         {false, false},
		"#ffffff":                  {false, false},
		"rgb:1/2":                  {false, false},
		"rgb:x/y/z":                {false, false},
		"rgb:fffff/0/0":            {false, false},
	} {
		if light, known := lightBackground(in); light != want[0] || known != want[1] {
			t.Errorf("%q: light %v, known %v", in, light, known)
		}
	}
	s := newStill(t, unhealthy(), Options{Getenv: func(k string) string { return map[string]string{"TERM": "xterm"}[k] }})
	dark := s.View()
	_, _ = s.Update(backgroundMsg("rgb:ffff/ffff/ffff"))
	light := s.View()
	if light == dark {
		t.Error("a light background does not change the colours")
	}
	if _, _ = s.Update(backgroundMsg("")); s.View() != light {
		t.Error("no answer changes the colours")
	}
	if _, _ = s.Update(backgroundMsg("rgb:0000/0000/0000")); s.View() != dark {
		t.Error("a dark background does not have the dark theme")
	}
	for term, want := range map[string]bool{"xterm-256color": true, "tmux-256color": true, "linux": false, "vt220": false, "screen": false, "dumb": false} {
		for _, c := range []struct {
			theme, noColor string
			want           bool
		}{{"", "", want}, {"auto", "", want}, {"dark", "", false}, {"", "1", false}} {
			if got := askable(c.theme, func(k string) string { return map[string]string{"TERM": term, "NO_COLOR": c.noColor}[k] }); got != c.want {
				t.Errorf("askable with theme %q, TERM %s and NO_COLOR %q: %v", c.theme, term, c.noColor, got)
			}
		}
	}
}

// FuzzAnswers: whatever comes, in whatever parts, no answer gets through and no
// key is made up.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte("a\x1b]11;rgb:0/0/0\x07b"), uint8(3))
	f.Add([]byte("\x1b[?1;2c\x1b[A\x1b"), uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, size uint8) {
		var filter answerFilter
		var keys []byte
		n := 0
		for part := range slices.Chunk(in, max(int(size), 1)) {
			if wait := filter.rest(part); wait < 0 || wait > answerTime {
				t.Fatalf("waits %v", wait)
			}
			k, answers := filter.take(slices.Clone(part))
			keys = append(keys, k...)
			for _, a := range answers {
				n += len(a)
			}
			if len(filter.held) > maxAnswer {
				t.Fatalf("%d bytes are held", len(filter.held))
			}
		}
		if len(keys)+n > len(in) {
			t.Fatalf("%d bytes came out of %d", len(keys)+n, len(in))
		}
		if len(in) <= int(size) && (bytes.Contains(keys, []byte("\x1b[?")) || bytes.Contains(keys, []byte("\x1b]"))) && !bytes.Contains(in, []byte("\x1b\x1b")) {
			t.Fatalf("an answer got through in %q", keys)
		}
	})
}
