// Package chart draws series of numbers on a [screen.Rect]: sparklines, and line
// charts of braille dots with axes, units, times and a target line. A value
// that is not known is NaN and is drawn as a gap, never as zero.
package chart

import (
	"math"
	"time"

	"edgefog.dev/isgw/tui/screen"
)

var levels = []rune("▁▂▃▄▅▆▇█")

// Spark draws values as one row of w blocks that are scaled to the largest. More
// values than cells are combined by their maximum, so that no peak is lost. A
// gap is a blank.
func Spark(r screen.Rect, x, y, w int, role screen.Role, values []float64) {
	columns := Resample(values, w)
	top := 0.0
	for _, v := range columns {
		if !math.IsNaN(v) {
			top = max(top, v)
		}
	}
	for i, v := range columns {
		glyph := ' '
		switch {
		case math.IsNaN(v):
		case top <= 0 || v <= 0:
			glyph = levels[0]
		default:
			glyph = levels[min(int(v/top*float64(len(levels)-1)+0.5), len(levels)-1)]
		}
		r.Fill(x+i, y, 1, role, glyph)
	}
}

// Resample turns values into n columns. A column that several values fall into
// has their maximum; one between two values repeats the earlier; a column
// without any known value is NaN.
func Resample(values []float64, n int) []float64 {
	if n <= 0 {
		return nil
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
		if len(values) == 0 {
			continue
		}
		from, to := i*len(values)/n, (i+1)*len(values)/n
		if to == from {
			to = from + 1
		}
		for _, v := range values[from:to] {
			if !math.IsNaN(v) && (math.IsNaN(out[i]) || v > out[i]) {
				out[i] = v
			}
		}
	}
	return out
}

// Series is one line of a chart.
type Series struct {
	Name   string
	Role   screen.Role
	Values []float64 // at equal distances, the first at the chart's start
	Dotted bool      // told from the others without colour
}

// Chart is a line chart over time.
type Chart struct {
	Title      string // with the unit: "throughput MB/s"
	Series     []Series
	Target     float64 // a line that should not be crossed; 0 is none
	TargetName string
	Start, End time.Time
	Label      func(v float64) string // of the y axis; at most labelWidth cells
	Step       func(top float64) float64
	Times      bool   // write the times under the x axis
	Cross      int    // values are read off this many cells from the right, 1 being the last; 0: nowhere
	Empty      string // what is said when no value is known
}

// labelWidth is the room for the labels of the y axis.
const labelWidth = 6

// PlotWidth is how many cells the lines of a chart of w cells have.
func PlotWidth(w int) int { return max(w-labelWidth-2, 0) }

// Draw fills the rectangle. The first row is the title with the legend, the
// last ones are the axis and, with Times, the times. It needs four rows and 24
// columns; what is smaller stays blank.
func (c Chart) Draw(r screen.Rect) {
	foot := 1
	if c.Times {
		foot = 2
	}
	if r.W < 24 || r.H < 2+foot {
		return
	}
	c.legend(r.Sub(0, 0, r.W, 1), PlotWidth(r.W))
	rows := r.H - 1 - foot
	plot := r.Sub(labelWidth+1, 1, r.W-labelWidth-2, rows)
	top := c.top()
	c.axes(r, rows, top)
	if y := rowOf(c.Target, top, rows); c.Target > 0 && c.Target <= top {
		plot.Fill(0, y, plot.W, screen.Target, '┄')
		if y > 0 { // it says where the line is, also where the half is in the same row
			r.FitRight(0, 1+y, labelWidth, screen.Target, c.Label(c.Target))
			r.Text(labelWidth, 1+y, screen.Line, "┤")
		}
	}
	if x := c.column(plot.W); x >= 0 {
		for y := range rows {
			plot.Text(x, y, screen.Accent, "│")
		}
	}
	known := false
	for _, s := range c.Series {
		known = plotSeries(plot, s, top) || known
	}
	if !known && c.Empty != "" {
		text := screen.Truncate(c.Empty, plot.W)
		plot.Text((plot.W-screen.Width(text))/2, rows/2, screen.Dim, text)
	}
	if c.Times {
		c.times(r.Sub(labelWidth+1, r.H-1, r.W-labelWidth-2, 1))
	}
}

// levelOf is the row of dots, from below, of a value between 0 and top.
func levelOf(v, top float64, rows int) int {
	dots := rows * 4
	return min(max(int(v/top*float64(dots-1)+0.5), 0), dots-1)
}

// rowOf is the row of cells, from above, that the dots of a value are in.
func rowOf(v, top float64, rows int) int { return rows - 1 - levelOf(v, top, rows)/4 }

// column is where values are read, -1 for nowhere.
func (c Chart) column(w int) int {
	if c.Cross < 1 || c.Cross > w {
		return -1
	}
	return w - c.Cross
}

func (c Chart) legend(r screen.Rect, w int) {
	x := r.Text(1, 0, screen.Title, screen.Truncate(c.Title, r.W-2)) + 3
	at := c.column(w)
	for _, s := range c.Series {
		name := s.Name
		if at >= 0 { // the greatest of the two dots of the cell, as it is drawn
			text := "unknown"
			if v := Resample(s.Values, w)[at]; !math.IsNaN(v) {
				text = c.Label(v)
			}
			name += " " + text
		}
		if s.Name == "" || x+screen.Width(name)+3 > r.W {
			continue
		}
		glyph := "─ "
		if s.Dotted {
			glyph = "· "
		}
		x = r.Text(x, 0, s.Role, glyph)
		role := screen.Dim
		if at >= 0 {
			role = screen.Strong
		}
		x = r.Text(x, 0, role, name) + 2
	}
	if c.Target > 0 && x+screen.Width(c.TargetName)+3 <= r.W {
		x = r.Text(x, 0, screen.Target, "┄ ")
		x = r.Text(x, 0, screen.Dim, c.TargetName) + 2
	}
	if at >= 0 {
		moment := c.Start.Add(time.Duration(float64(c.End.Sub(c.Start)) * float64(at) / float64(max(w-1, 1)))).UTC().Format("15:04:05")
		if x+len(moment) < r.W {
			r.Right(r.W-1, 0, screen.Accent, moment)
		}
	}
}

// top is the value at the upper edge: everything and the target fit below it.
func (c Chart) top() float64 {
	top := c.Target
	for _, s := range c.Series {
		for _, v := range s.Values {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				top = max(top, v)
			}
		}
	}
	if c.Step != nil {
		return c.Step(top)
	}
	return Nice(top)
}

// Nice rounds up to 1, 2, 4, 5 or 8 times a power of ten, so that half of it is a
// short number too. It is 1 for zero and below.
func Nice(v float64) float64 {
	if !(v > 0) || math.IsInf(v, 0) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 4, 5, 8} {
		if v <= m*power*(1+1e-9) {
			return m * power
		}
	}
	return 10 * power
}

func (c Chart) axes(r screen.Rect, rows int, top float64) {
	label := func(y int, v float64) {
		r.FitRight(0, y, labelWidth, screen.Dim, c.Label(v))
		r.Text(labelWidth, y, screen.Line, "┤")
	}
	for y := 1; y <= rows; y++ {
		r.Text(labelWidth, y, screen.Line, "│")
	}
	label(1, top)
	if rows >= 4 {
		label(1+rowOf(top/2, top, rows), top/2)
	}
	r.FitRight(0, rows+1, labelWidth, screen.Dim, c.Label(0))
	r.Text(labelWidth, rows+1, screen.Line, "└")
	r.Fill(labelWidth+1, rows+1, r.W-labelWidth-2, screen.Line, '─')
}

func (c Chart) times(r screen.Rect) {
	span := c.End.Sub(c.Start)
	if span <= 0 {
		return
	}
	layout := "15:04"
	last := c.End.UTC().Format("15:04:05")
	edge := r.W - len(last)
	r.Text(edge, 0, screen.Dim, last)
	moment := func(x int) time.Time {
		return c.Start.Add(time.Duration(float64(span) * float64(x) / float64(max(r.W-1, 1)))).UTC()
	}
	every := max(r.W/6, 12)
	for x := 0; x+len(layout)+2 <= edge; x += every {
		r.Text(x, 0, screen.Dim, moment(x).Format(layout))
	}
}

// plotSeries draws a series with dots of half a cell's width and a quarter of
// its height, and says whether it has any known value.
func plotSeries(r screen.Rect, s Series, top float64) bool {
	columns := Resample(s.Values, r.W*2)
	height := r.H * 4
	dots := make([]uint8, r.W*r.H)
	put := func(x, level int) {
		y := height - 1 - level
		dots[y/4*r.W+x/2] |= dot(x%2, y%4)
	}
	known, previous := false, -1
	for x, v := range columns {
		if math.IsNaN(v) {
			previous = -1
			continue
		}
		known = true
		level := levelOf(v, top, r.H)
		if s.Dotted && x%2 == 1 {
			previous = level
			continue
		}
		put(x, level)
		if previous >= 0 && !s.Dotted { // a line has no holes where it is steep
			for y := min(previous, level) + 1; y < max(previous, level); y++ {
				put(x, y)
			}
		}
		previous = level
	}
	for i, d := range dots {
		if d != 0 {
			r.Fill(i%r.W, i/r.W, 1, s.Role, rune(0x2800+int(d)))
		}
	}
	return known
}

// dot is the bit of a braille cell's dot: column 0 or 1, row 0 to 3 from above.
func dot(x, y int) uint8 {
	if y == 3 {
		return 0x40 << x
	}
	return 1 << (y + 3*x)
}
