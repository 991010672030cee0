package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edgefog.dev/isgw/cluster/admin"
)

// TestWatch shows something again and again: what each form writes, that a node which
// went away is waited for, and what ends it.
func TestWatch(t *testing.T) {
	gone := admin.Errorf(admin.CodeUnavailable, "no node answers at unix:/x").WithHint("is it running?")
	denied := admin.Errorf(admin.CodeDenied, "not any more")
	type look struct {
		shown, told string
		err         error
	}
	for _, c := range []struct {
		name, form string
		looks      []look // the context ends with the last
		out, err   string
		fails      error
	}{
		{"tables", formTable, []look{{"A\n", "", nil}, {"A\n", "", nil}, {"B\n", "", nil}}, "A\n\nA\n\nB\n", "", nil},
		{"things", formJSON, []look{{"{\n  \"a\": 1\n}\n", "", nil}, {"{\n  \"a\": 1\n}\n{\"b\": \"x  y\"}\n", "", nil}}, "{\"a\":1}\n{\"a\":1}\n{\"b\":\"x  y\"}\n", "", nil},
		{"lists", formJSON, []look{
			{"[\n  {\"a\": 1},\n  {\"b\": 2}\n]\n", "", nil}, {"[{\"a\": 1}, {\"b\": 3}]\n", "", nil}, {"[]\n", "", nil}, {"[{\"a\": 1}]\n", "", nil},
		}, "{\"a\":1}\n{\"b\":2}\n{\"b\":3}\n{\"a\":1}\n", "", nil},
		{"names", formName, []look{{"a\nb\n", "", nil}, {"b\nc\n", "", nil}}, "a\nb\nc\n", "", nil},
		{"documents", formYAML, []look{{"a: 1\n", "", nil}, {"a: 2\n", "", nil}}, "a: 1\n---\na: 2\n", "", nil},
		{"remarks", formTable, []look{{"A\n", "1 skipped\n", nil}, {"A\n", "1 skipped\n", nil}, {"A\n", "2 skipped\n", nil}}, "A\n\nA\n\nA\n", "1 skipped\n2 skipped\n", nil},
		{"a node that goes and comes", formTable, []look{{"A\n", "", nil}, {"", "", gone}, {"", "", gone}, {"B\n", "", nil}, {"", "", gone}}, "A\n\nB\n",
			"no node answers at unix:/x; is it running?\nno node answers at unix:/x; is it running?\n", nil},
		{"a node that never came", formTable, []look{{"", "", gone}}, "", "", gone},
		{"the end of a role", formTable, []look{{"A\n", "", nil}, {"B\n", "", denied}}, "A\n\nB\n", "", denied},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out, errs strings.Builder
				a := &app{out: &out, err: &errs, form: c.form, running: true, getenv: func(string) string { return "" }}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				began, looks := time.Now(), 0
				err := a.watch(ctx, 3*time.Second, func() error {
					if want := time.Duration(looks) * 3 * time.Second; time.Since(began) != want {
						t.Errorf("look %d after %v", looks, time.Since(began))
					}
					l := c.looks[looks]
					if looks++; looks == len(c.looks) {
						time.AfterFunc(time.Second, cancel) // between two looks
					}
					a.out.Write([]byte(l.shown))
					a.err.Write([]byte(l.told))
					return l.err
				})
				if !errors.Is(err, c.fails) || c.fails == nil && err != nil || looks != len(c.looks) {
					t.Errorf("it ended with %v after %d looks", err, looks)
				}
				if out.String() != c.out || errs.String() != c.err {
					t.Errorf("stdout %q, want %q; stderr %q, want %q", out.String(), c.out, errs.String(), c.err)
				}
				if a.out != &out || a.err != &errs {
					t.Error("what follows is written elsewhere")
				}
			})
		})
	}
}

// TestWatchInterrupted: an interrupt while a node is asked is no failure either.
func TestWatchInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := &app{form: formTable, running: true}
	if err := a.watch(ctx, time.Hour, func() error { cancel(); return ctx.Err() }); err != nil {
		t.Error(err)
	}
}

// TestWatchBeginsAnew: a list that comes in pages is whole each time.
func TestWatchBeginsAnew(t *testing.T) {
	n := newTestNode(&federation{tokens: map[string]*node{}}, "north", 1, t.TempDir())
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	defer n.stop()
	var tables []string
	ctx, cancel := context.WithCancel(t.Context())
	out := writes(func(text string) {
		if tables = append(tables, strings.TrimPrefix(text, "\n")); len(tables) == 2 {
			cancel()
		}
	})
	env := func(name string) string { return map[string]string{connectVariable: "unix:" + n.socket}[name] }
	for _, line := range []string{"system init", "service create isgw hawaii", "link failed hawaii --watch --interval 100ms"} {
		if status := Main(ctx, strings.Fields(line), strings.NewReader(""), out, io.Discard, env); status != 0 {
			t.Fatalf("isgwctl %s: exit status %d", line, status)
		}
	}
	if len(tables) != 2 || tables[0] != tables[1] || strings.Count(tables[0], "\n") != 3 {
		t.Errorf("the tables are %q", tables)
	}
}

// writes is called with everything that is written.
type writes func(text string)

func (w writes) Write(p []byte) (int, error) {
	w(string(p))
	return len(p), nil
}

// TestFrame: a screen is drawn over the one before, whole and no larger than it is.
func TestFrame(t *testing.T) {
	for _, c := range []struct {
		text          string
		width, height int
		begin         bool
		want          string
	}{
		{"one\ntwo\n", 80, 24, true, "\x1b[2J\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J"},
		{"1234567890\n日本語日本語\n", 9, 24, false, "\x1b[H12345678\x1b[K\n日本語日\x1b[K\n\x1b[J"},
		{"1\n2\n3\n", 80, 4, false, "\x1b[H1\x1b[K\n2\x1b[K\n3\x1b[K\n\x1b[J"},
		{"1\n2\n3\n4\n", 80, 4, false, "\x1b[H1\x1b[K\n2\x1b[K\nand 2 lines more: the screen is too small\x1b[K\n\x1b[J"},
	} {
		if got := frame(c.text, c.width, c.height, c.begin); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}
