package tui

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"edgefog.dev/isgw/tui/screen"
)

// inked is a character of one cell with its colours.
type inked struct {
	char  rune
	style string // parameters of SGR; empty: none
}

// inkedLine reads a line of a frame. It fails on a line whose characters may
// take another room on the terminal than here, such as emoji, and on escape
// sequences that frames do not have: where a cell of such a line is cannot be
// known.
func inkedLine(line string) ([]inked, bool) {
	cells := make([]inked, 0, len(line))
	style := ""
	for len(line) > 0 {
		if rest, ok := strings.CutPrefix(line, "\x1b["); ok {
			code, after, ok := strings.Cut(rest, "m")
			switch {
			case !ok || strings.Trim(code, "0123456789;") != "":
				return nil, false // something else than colours
			case code == "0":
				style = ""
			case style == "" && code != "":
				style = code
			default:
				return nil, false // added to the colours there are
			}
			line = after
			continue
		}
		char, n := utf8.DecodeRuneInString(line)
		if !screen.OneCell(char) {
			return nil, false
		}
		cells = append(cells, inked{char, style})
		line = line[n:]
	}
	return cells, style == ""
}

// pen writes to a terminal and knows the colours it writes with.
type pen struct {
	strings.Builder
	style string
}

// ink takes colours.
func (p *pen) ink(style string) {
	switch {
	case style == p.style:
		return
	case style == "":
		p.WriteString("\x1b[0m")
	case p.style == "":
		p.WriteString("\x1b[" + style + "m")
	default:
		p.WriteString("\x1b[0;" + style + "m")
	}
	p.style = style
}

// whole writes a line of a frame at a row.
func (p *pen) whole(row int, line string) {
	p.ink("")
	p.WriteString(ansi.CursorPosition(0, row+1))
	p.WriteString(line) // ends without colours
}

// change writes what turns one line into another at a row, which has the first
// one: the cells that differ, or the whole line where that is shorter.
func (p *pen) change(row int, from, to string) {
	before, ok := inkedLine(from)
	after, ok2 := inkedLine(to)
	if !ok || !ok2 || len(before) != len(after) {
		p.whole(row, to)
		return
	}
	q := pen{style: p.style}
	at := -1 // where the cursor is; -1: in another row
	for x, c := range after {
		if c == before[x] {
			continue
		}
		switch {
		case at < 0:
			q.WriteString(ansi.CursorPosition(x+1, row+1))
		case at < x:
			q.skip(after[at:x])
		}
		q.ink(c.style)
		q.WriteRune(c.char)
		at = x + 1
	}
	if q.Len() > len(to)+len("\x1b[0m\x1b[24;H") {
		p.whole(row, to)
		return
	}
	p.WriteString(q.String())
	p.style = q.style
}

// skip moves over cells that are as they should be: by writing them once more
// where that is shorter.
func (p *pen) skip(cells []inked) {
	move := "\x1b[" + strconv.Itoa(len(cells)) + "C"
	var again strings.Builder
	for _, c := range cells {
		if c.style != p.style || again.Len() > len(move) {
			p.WriteString(move)
			return
		}
		again.WriteRune(c.char)
	}
	if again.Len() > len(move) {
		p.WriteString(move)
		return
	}
	p.WriteString(again.String())
}
