package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// TestHeldLog holds a log while a console has the terminal.
func TestHeldLog(t *testing.T) {
	var terminal bytes.Buffer
	l := &heldLog{to: &terminal}
	says := func(what, want string) {
		t.Helper()
		if got := terminal.String(); got != want {
			t.Errorf("%s: the terminal has %q, want %q", what, got, want)
		}
		terminal.Reset()
	}
	fmt.Fprintln(l, "before")
	says("before", "before\n")
	l.hold()
	fmt.Fprintln(l, "during")
	says("during", "")
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
	says("after", "during\n")
	fmt.Fprintln(l, "later")
	says("later", "later\n")

	l.hold()
	line := strings.Repeat("x", maxHeldLog/4)
	for range 6 {
		fmt.Fprint(l, line)
	}
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
	says("too much", strings.Repeat(line, 4)+"2 more lines of the log were not kept\n")
}
