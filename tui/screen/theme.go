package screen

import (
	"fmt"
	"math/bits"
	"strings"
)

// Theme says how roles look. The zero theme has no escape sequences at all,
// which is what NO_COLOR asks for; states are told by glyph and word anyway.
type Theme struct {
	// ASCII draws every character that is not ASCII as one that is, in the
	// same number of cells.
	ASCII bool

	codes [roles]string
}

// The names of the themes.
const (
	Auto  = "auto"
	Dark  = "dark"
	Light = "light"
	Mono  = "mono"
)

// NewTheme returns a theme by name; Auto is resolved by the caller. It fails
// for a name that is not one of the constants.
func NewTheme(name string) (Theme, error) {
	var t Theme
	switch name {
	case Dark, Auto:
		t.codes = [roles]string{
			Dim: "90", Strong: "1", Title: "36", Accent: "1;36", Good: "32", Warn: "33", Bad: "1;31",
			Selected: "1;97", Key: "36", Line: "90", First: "36", Second: "35", Target: "33", Off: "90",
		}
	case Light:
		t.codes = [roles]string{
			Dim: "90", Strong: "1", Title: "34", Accent: "1;34", Good: "32", Warn: "35", Bad: "1;31",
			Selected: "1;30", Key: "34", Line: "90", First: "34", Second: "35", Target: "31", Off: "90",
		}
	case Mono:
		t.codes = [roles]string{
			Dim: "2", Strong: "1", Title: "1", Accent: "1;7", Good: "", Warn: "1", Bad: "1;7",
			Selected: "7", Key: "1", Line: "2", First: "", Second: "", Target: "2", Off: "2",
		}
	default:
		return t, fmt.Errorf("there is no theme %q; the themes are %s, %s, %s and %s", name, Auto, Dark, Light, Mono)
	}
	return t, nil
}

// Colourless is the theme of NO_COLOR.
func Colourless() Theme { return Theme{} }

// asciiFor says what stands for a glyph of the console on an ASCII terminal.
var asciiFor = map[rune]byte{
	'▸': '>', '→': '>', '←': '<', '↵': '^', '↑': '^', '↓': 'v', '…': '~', '·': '.', '×': 'x',
	'─': '-', '│': '|', '┌': '+', '┐': '+', '└': '+', '┘': '+', '├': '+', '┤': '+', '┬': '+', '┴': '+',
	'┄': '-', '▲': '^', '▼': 'v', '✓': 'v', '▏': '|', '●': '*',
	'▁': '_', '▂': '.', '▃': '-', '▄': '=', '▅': '+', '▆': '*', '▇': '%', '█': '#',
}

// OneCell says whether a character is known to take one cell, as those of ASCII
// and the glyphs that the console draws with do. Of others, which come with
// names, terminals have their own opinions.
func OneCell(r rune) bool {
	return r >= ' ' && r < 0x7f || asciiFor[r] != 0 || r >= 0x2800 && r <= 0x28ff
}

func writeASCII(b *strings.Builder, text string) {
	for _, r := range text {
		switch n := cells(r); {
		case r < 0x7f:
			b.WriteRune(r)
		case asciiFor[r] != 0:
			b.WriteByte(asciiFor[r])
		case r >= 0x2800 && r <= 0x28ff: // braille: the more dots, the darker
			b.WriteByte(" ..::**##"[bits.OnesCount8(uint8(r-0x2800))])
		default:
			b.WriteString("??"[:n])
		}
	}
}
