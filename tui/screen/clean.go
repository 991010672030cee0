package screen

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
	"github.com/mattn/go-runewidth"
)

// widths counts an ambiguous character as one cell, whatever the locale says:
// the renderer below does the same, and terminals nearly always do.
var widths = &runewidth.Condition{EastAsianWidth: false, StrictEmojiNeutral: true}

// maxMarks bounds the combining marks on one character: a name cannot pile them
// over its neighbours.
const maxMarks = 2

// Clean returns s as it may be shown. Control characters, bytes that are no
// text and characters that change the direction of writing appear as \xNN or
// \uNNNN; what would make terminals disagree about the width (joiners,
// selectors, flags) is taken apart. The result has no character that moves a
// cursor, and [Width] of it is what every terminal makes of it.
func Clean(s string) string {
	if printableASCII(s) {
		return s
	}
	out := clean(s, false)
	if ansi.StringWidth(out) != sum(out) {
		out = clean(s, true)
	}
	return out
}

func printableASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// clean does the work of Clean; with strict, only ASCII is left as it is.
func clean(s string, strict bool) string {
	var b strings.Builder
	marks := maxMarks // none before the first character
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		raw := s[i : i+size]
		i += size
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, raw[0])
			marks = 0
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
			marks = 0
		case r < 0x7f:
			b.WriteByte(byte(r))
			marks = 0
		case strict:
			b.WriteString("?")
		case r >= 0x1F1E6 && r <= 0x1F1FF: // half a flag: its letter
			b.WriteByte(byte('A' + r - 0x1F1E6))
			marks = 0
		case r == 0x200d, r >= 0xfe00 && r <= 0xfe0f, r >= 0x1f3fb && r <= 0x1f3ff, r >= 0xe0000 && r <= 0xe0fff:
			// Joiners, selectors and skin tones: what they join is shown apart.
		case unicode.In(r, unicode.Mn):
			if marks < maxMarks {
				b.WriteString(raw)
				marks++
			}
		case unicode.In(r, unicode.Mc): // some make it a cell of its own, some do not
			b.WriteString("·")
			marks = 0
		case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs), !unicode.IsGraphic(r):
			fmt.Fprintf(&b, `\u%04x`, r)
			marks = 0
		case widths.RuneWidth(r) < 1:
			// Takes no room by itself and marks nothing.
		default:
			b.WriteString(raw)
			marks = 0
		}
	}
	return b.String()
}

func sum(s string) int {
	n := 0
	for _, r := range s {
		n += cells(r)
	}
	return n
}

// cells is the width of a character of a clean string.
func cells(r rune) int {
	if r >= 0x20 && r < 0x7f {
		return 1
	}
	return widths.RuneWidth(r)
}

// Width is the number of cells that a string takes when it is drawn.
func Width(s string) int {
	if printableASCII(s) {
		return len(s)
	}
	return sum(Clean(s))
}

// Truncate shortens a string to at most w cells, with an ellipsis in its last
// cell when something is missing. The result is clean.
func Truncate(s string, w int) string {
	s = Clean(s)
	if w <= 0 {
		return ""
	}
	if sum(s) <= w {
		return s
	}
	n := 0
	for i, r := range s {
		c := cells(r)
		if n+c > w-1 {
			return s[:i] + "…"
		}
		n += c
	}
	return s
}

// TruncateStart is Truncate for names that differ at their ends, as paths do: what is
// missing is missing at the beginning.
func TruncateStart(s string, w int) string {
	s = Clean(s)
	if w <= 0 {
		return ""
	}
	n := sum(s)
	if n <= w {
		return s
	}
	for i, r := range s {
		// A mark belongs to the character before it, which is gone.
		if n <= w-1 && cells(r) > 0 {
			return "…" + s[i:]
		}
		n -= cells(r)
	}
	return "…"
}

// Wrap breaks a text into lines of at most w cells, at spaces where there are
// any. It returns at least one line.
func Wrap(s string, w int) []string {
	if w < 1 {
		return []string{""}
	}
	var lines []string
	for paragraph := range strings.SplitSeq(s, "\n") {
		line := ""
		for word := range strings.FieldsSeq(Clean(paragraph)) {
			for {
				room := w - sum(line)
				if line != "" {
					room--
				}
				if sum(word) <= room {
					if line != "" {
						line += " "
					}
					line += word
					break
				}
				if line != "" {
					lines = append(lines, line)
					line = ""
					continue
				}
				head := cut(word, w)
				lines = append(lines, head)
				word = word[len(head):]
				if word == "" {
					break
				}
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// Fold breaks a text into lines of at most w cells and loses nothing of it, no space
// either: together the lines are the text, cleaned. A line ends after a space where
// there is one in its second half. It returns at least one line.
func Fold(s string, w int) []string {
	s, w = Clean(s), max(w, 1)
	var lines []string
	for sum(s) > w {
		head := cut(s, w)
		if i := strings.LastIndexByte(head, ' ') + 1; i > len(head)/2 {
			head = head[:i]
		}
		lines, s = append(lines, head), s[len(head):]
		if s == "" { // a wide character in one cell
			return lines
		}
	}
	return append(lines, s)
}

// cut is the longest beginning of a clean word of at most w cells, and at least
// one character.
func cut(word string, w int) string {
	n := 0
	for i, r := range word {
		c := cells(r)
		if n+c > w && i > 0 {
			return word[:i]
		}
		n += c
	}
	return word
}
