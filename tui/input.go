package tui

import (
	"fmt"
	"strings"
	"unicode"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/tui/screen"
)

// maxInput bounds what is typed or pasted into one field.
const maxInput = 4096

// input is one line of text that is typed.
type input struct {
	runes  []rune
	cursor int
	secret bool   // shown as dots
	empty  string // what stands there while nothing is typed: what no text means
}

func newInput(s string, secret bool) *input {
	i := &input{secret: secret}
	i.set(s)
	return i
}

func (i *input) set(s string) { i.runes = []rune(s); i.cursor = len(i.runes) }
func (i *input) text() string { return string(i.runes) }

// typed edits the text. It says whether there was room for what was typed.
func (i *input) typed(msg tea.KeyMsg) bool {
	switch msg.String() {
	case "backspace", "ctrl+h":
		if i.cursor > 0 {
			i.runes = append(i.runes[:i.cursor-1:i.cursor-1], i.runes[i.cursor:]...)
			i.cursor--
		}
		return true
	case "delete":
		if i.cursor < len(i.runes) {
			i.runes = append(i.runes[:i.cursor:i.cursor], i.runes[i.cursor+1:]...)
		}
		return true
	case "left", "ctrl+b":
		i.cursor = max(i.cursor-1, 0)
		return true
	case "right", "ctrl+f":
		i.cursor = min(i.cursor+1, len(i.runes))
		return true
	case "home", "ctrl+a":
		i.cursor = 0
		return true
	case "end", "ctrl+e":
		i.cursor = len(i.runes)
		return true
	case "ctrl+u":
		i.runes, i.cursor = append([]rune(nil), i.runes[i.cursor:]...), 0
		return true
	case "ctrl+w":
		before := strings.TrimRightFunc(string(i.runes[:i.cursor]), unicode.IsSpace)
		cut := strings.LastIndexFunc(before, unicode.IsSpace) + 1
		kept := []rune(before[:cut])
		i.runes, i.cursor = append(kept, i.runes[i.cursor:]...), len([]rune(before[:cut]))
		return true
	}
	if msg.Type != tea.KeyRunes && msg.Type != tea.KeySpace || msg.Alt {
		return true
	}
	var typed []rune
	for _, r := range msg.Runes {
		if unicode.IsPrint(r) {
			typed = append(typed, r)
		}
	}
	if len(i.runes)+len(typed) > maxInput {
		return false
	}
	i.runes = append(i.runes[:i.cursor:i.cursor], append(typed, i.runes[i.cursor:]...)...)
	i.cursor += len(typed)
	return true
}

// edit types into a field. What is too long for it is left out, and that is said.
func (m *Model) edit(in *input, msg tea.KeyMsg) {
	if !in.typed(msg) {
		m.complain(fmt.Errorf("what was pasted is too long and was left out: %d characters fit", maxInput))
	}
}

// render draws the text in w cells so that the cursor is seen; without the
// focus there is none.
func (i *input) render(r screen.Rect, x, y, w int, focus bool) {
	before, after := string(i.runes[:i.cursor]), string(i.runes[i.cursor:])
	if i.secret {
		before, after = strings.Repeat("·", i.cursor), strings.Repeat("·", len(i.runes)-i.cursor)
	}
	field := r.Sub(x, y, w, 1)
	if len(i.runes) == 0 && i.empty != "" {
		at := 0
		if focus {
			at = field.Text(0, 0, screen.Accent, "▏")
		}
		field.Text(at, 0, screen.Dim, screen.Truncate(i.empty, w-at))
		return
	}
	if !focus {
		field.Text(0, 0, screen.Plain, screen.Truncate(before+after, w))
		return
	}
	shift := max(screen.Width(before)-(w-2), 0)
	at := field.Text(-shift, 0, screen.Plain, before)
	field.Text(at, 0, screen.Accent, "▏")
	field.Text(at+1, 0, screen.Plain, after)
	if shift > 0 {
		field.Text(0, 0, screen.Dim, "…")
	}
}
