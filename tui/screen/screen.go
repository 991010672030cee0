package screen

import "strings"

// Role says what a cell means; a [Theme] says how that looks.
type Role uint8

// The roles.
const (
	Plain    Role = iota
	Dim           // secondary: units, labels, ages
	Strong        // what the eye should find first
	Title         // headings of columns and sections
	Accent        // where one is: the current tab, the pointer
	Good          // ok
	Warn          // !
	Bad           // X
	Selected      // the row that keys act on
	Key           // a key one can press
	Line          // frames, axes
	First         // the first series of a chart
	Second        // the second series
	Target        // the line that should not be crossed
	Off           // not possible here
	roles
)

type cell struct {
	text string // empty in the second half of a wide character
	role Role
}

// Canvas is one frame.
type Canvas struct {
	w, h  int
	cells []cell
}

// New returns a blank frame of w x h cells; neither is below zero.
func New(w, h int) *Canvas {
	w, h = max(w, 0), max(h, 0)
	c := &Canvas{w: w, h: h, cells: make([]cell, w*h)}
	for i := range c.cells {
		c.cells[i].text = " "
	}
	return c
}

// All is the whole frame.
func (c *Canvas) All() Rect { return Rect{c: c, W: c.w, H: c.h} }

// set puts a character of n cells at a place that is inside the frame.
func (c *Canvas) set(x, y int, text string, n int, role Role) {
	i := y*c.w + x
	c.break2(x, y)
	c.cells[i] = cell{text, role}
	if n == 2 {
		c.break2(x+1, y)
		c.cells[i+1] = cell{"", role}
	}
}

// break2 blanks the other half of a wide character that is to be overwritten.
func (c *Canvas) break2(x, y int) {
	i := y*c.w + x
	if c.cells[i].text == "" && x > 0 {
		c.cells[i-1].text = " "
	}
	if x+1 < c.w && c.cells[i+1].text == "" {
		c.cells[i+1].text = " "
	}
}

// Encode returns the frame as lines, with the theme's escape sequences. The
// last line has no newline.
func (c *Canvas) Encode(t Theme) string {
	var b strings.Builder
	b.Grow(c.w*c.h + c.h*16)
	for y := range c.h {
		if y > 0 {
			b.WriteByte('\n')
		}
		current := ""
		for _, cell := range c.cells[y*c.w : (y+1)*c.w] {
			if cell.text == "" {
				continue
			}
			if code := t.codes[cell.role]; code != current {
				if current != "" {
					b.WriteString("\x1b[0m")
				}
				if code != "" {
					b.WriteString("\x1b[" + code + "m")
				}
				current = code
			}
			if t.ASCII {
				writeASCII(&b, cell.text)
			} else {
				b.WriteString(cell.text)
			}
		}
		if current != "" {
			b.WriteString("\x1b[0m")
		}
	}
	return b.String()
}

// Rect is a rectangle of a frame. What is drawn outside it is cut off. Places
// are relative to its upper left corner.
type Rect struct {
	c    *Canvas
	x, y int
	W, H int
}

// Sub is the part of r at x, y with at most w x h cells.
func (r Rect) Sub(x, y, w, h int) Rect {
	if x < 0 {
		w, x = w+x, 0
	}
	if y < 0 {
		h, y = h+y, 0
	}
	x, y = min(x, r.W), min(y, r.H)
	return Rect{c: r.c, x: r.x + x, y: r.y + y, W: max(min(w, r.W-x), 0), H: max(min(h, r.H-y), 0)}
}

// Text draws s from x to the right and returns the place after it. It is cut
// off at the edge.
func (r Rect) Text(x, y int, role Role, s string) int {
	if y < 0 || y >= r.H {
		return x + Width(s)
	}
	row := r.y + y
	for i, ch := range Clean(s) {
		n := cells(ch)
		if n == 0 {
			if x > 0 && x <= r.W {
				r.mark(x-1, row, ch)
			}
			continue
		}
		switch {
		case x >= 0 && x+n <= r.W:
			r.c.set(r.x+x, row, string(ch), n, role)
		case n == 2 && x >= 0 && x < r.W:
			r.c.set(r.x+x, row, " ", 1, role)
		}
		x += n
		_ = i
	}
	return x
}

// mark adds a combining mark to the character that ends at x.
func (r Rect) mark(x, row int, ch rune) {
	i := row*r.c.w + r.x + x
	if r.c.cells[i].text == "" && i > 0 {
		i--
	}
	if text := r.c.cells[i].text; text != "" && text != " " {
		r.c.cells[i].text = text + string(ch)
	}
}

// Right draws s so that it ends before end, and returns where it begins.
func (r Rect) Right(end, y int, role Role, s string) int {
	x := end - Width(s)
	r.Text(x, y, role, s)
	return x
}

// Fit draws s in exactly w cells from x: shortened with an ellipsis, or padded.
func (r Rect) Fit(x, y, w int, role Role, s string) {
	r.Fill(x, y, w, role, ' ')
	r.Text(x, y, role, Truncate(s, w))
}

// FitRight is Fit with the text at the right.
func (r Rect) FitRight(x, y, w int, role Role, s string) {
	r.Fill(x, y, w, role, ' ')
	r.Right(x+w, y, role, Truncate(s, w))
}

// Fill repeats a character of one cell w times.
func (r Rect) Fill(x, y, w int, role Role, ch rune) {
	if y < 0 || y >= r.H {
		return
	}
	text := string(ch)
	for i := max(x, 0); i < min(x+w, r.W); i++ {
		r.c.set(r.x+i, r.y+y, text, 1, role)
	}
}

// Clear blanks the rectangle.
func (r Rect) Clear() {
	for y := range r.H {
		r.Fill(0, y, r.W, Plain, ' ')
	}
}

// Restyle gives every cell of the rectangle the role, so that what is drawn
// there says by itself that it is old, or beneath something else.
func (r Rect) Restyle(role Role) {
	for y := range r.H {
		for x := range r.W {
			r.c.cells[(r.y+y)*r.c.w+r.x+x].role = role
		}
	}
}

// Tint gives the cells of a row the role where they are plain or dim, so that a
// selected row keeps the colours of its states.
func (r Rect) Tint(y int, role Role) {
	if y < 0 || y >= r.H {
		return
	}
	for x := range r.W {
		c := &r.c.cells[(r.y+y)*r.c.w+r.x+x]
		if c.role == Plain || c.role == Dim || c.role == Strong {
			c.role = role
		}
	}
}

// Box clears the rectangle, draws a frame with a title and returns the inside.
func (r Rect) Box(title string) Rect {
	if r.W < 4 || r.H < 3 {
		r.Clear()
		return r.Sub(0, 0, r.W, r.H)
	}
	r.Clear()
	r.Text(0, 0, Line, "┌")
	r.Fill(1, 0, r.W-2, Line, '─')
	r.Text(r.W-1, 0, Line, "┐")
	for y := 1; y < r.H-1; y++ {
		r.Text(0, y, Line, "│")
		r.Text(r.W-1, y, Line, "│")
	}
	r.Text(0, r.H-1, Line, "└")
	r.Fill(1, r.H-1, r.W-2, Line, '─')
	r.Text(r.W-1, r.H-1, Line, "┘")
	if title != "" {
		r.Text(1, 0, Title, Truncate(" "+title+" ", r.W-2))
	}
	return r.Sub(1, 1, r.W-2, r.H-2)
}
