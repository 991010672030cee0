package tui

import (
	"io"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// frames passes on what is written to a terminal, and of each frame only the
// cells that changed. Bubble Tea writes every line anew in which a cell differs:
// a clock that moves on costs the line it is in, and a chart its whole height.
// Over SSH that is nearly all that a console writes.
//
// It knows what the rows of the terminal have from what went through it. What
// it cannot read it passes on as it is, and then knows nothing until the rows
// are written again. The zero value knows nothing. It is not safe for concurrent
// use.
type frames struct {
	rows []string // with their escape sequences; empty: not known
}

// write passes on one write of Bubble Tea, which is a whole frame or a command
// to the terminal. Like an io.Writer it returns how much of p was taken.
func (f *frames) write(out io.Writer, p []byte) (int, error) {
	rows, ok := splitFrame(string(p))
	switch {
	case !ok:
		if !strings.HasPrefix(string(p), "\x1b]") { // those do not touch the screen
			f.rows = nil
		}
		return out.Write(p)
	case len(rows) != len(f.rows):
		f.rows = make([]string, len(rows))
	}
	if !slices.Contains(rows, "") {
		// Everything is drawn anew: at the beginning, after a change of the size,
		// or because whatever else wrote to the terminal should go.
		f.rows = rows
		n, err := out.Write(p)
		if err != nil {
			f.rows = nil
		}
		return n, err
	}
	var to pen
	for y, row := range rows {
		switch {
		case row == "":
		case f.rows[y] == "":
			to.whole(y, row)
		default:
			to.change(y, f.rows[y], row)
		}
		if row != "" {
			f.rows[y] = row
		}
	}
	to.ink("")
	to.WriteString(ansi.CursorPosition(0, len(rows))) // where Bubble Tea leaves it
	if _, err := io.WriteString(out, to.String()); err != nil {
		f.rows = nil
		return 0, err
	}
	return len(p), nil
}

// splitFrame takes a frame of Bubble Tea's renderer on an alternate screen apart
// into its rows. A row that is not written, because it is as it was, is empty.
func splitFrame(p string) ([]string, bool) {
	body, ok := strings.CutPrefix(p, ansi.CursorHomePosition)
	if !ok {
		return nil, false
	}
	rows := strings.Split(body, "\n")
	last := len(rows) - 1
	if rows[last], ok = strings.CutSuffix(rows[last], ansi.CursorPosition(0, len(rows))); !ok {
		return nil, false
	}
	for y, row := range rows {
		row = strings.TrimPrefix(row, "\r") // before the first row of all
		if y < last && row != "" {
			if row, ok = strings.CutSuffix(row, "\r"); !ok {
				return nil, false
			}
		}
		if strings.Contains(row, "\r") {
			return nil, false
		}
		rows[y] = row
	}
	return rows, true
}
