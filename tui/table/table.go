// Package table is a list of rows with columns on a [screen.Rect]: the selection
// belongs to the identity of a row and never moves to another one by sorting,
// filtering or refreshing; only the rows that are seen are rendered; a filter
// works as it is typed.
package table

import (
	"slices"
	"strings"

	"edgefog.dev/isgw/tui/screen"
)

// Column is one column of rows of type T.
type Column[T any] struct {
	Title    string
	Width    int // cells; of a flexible column, the least
	Flex     bool
	Right    bool
	Priority int // columns with the highest number are left out first; 0 stays
	// Draw writes the cell into r, which is one row high.
	Draw func(r screen.Rect, row T)
	// Compare orders rows by this column; nil when one cannot sort by it.
	Compare func(a, b T) int
}

// Text makes a Draw that writes a text and its role.
func Text[T any](right bool, cell func(T) (string, screen.Role)) func(screen.Rect, T) {
	return func(r screen.Rect, row T) {
		s, role := cell(row)
		if right {
			r.Right(r.W, 0, role, screen.Truncate(s, r.W))
		} else {
			r.Text(0, 0, role, screen.Truncate(s, r.W))
		}
	}
}

// Table is a table of rows of type T. Make it with [New]; it is not safe for
// concurrent use.
type Table[T any] struct {
	columns []Column[T]
	id      func(T) string
	match   func(T) string

	rows    []T
	folded  []string // what the filter looks at, in lower case
	visible []int    // rows that the filter lets through, in order
	filter  string
	sorted  int // index of a column, -1: as they came
	desc    bool

	selected string // identity
	cursor   int    // where it is in visible, and where it was when it is gone
	top      int
	height   int    // rows of the last rendering
	shown    []bool // columns of the last rendering; nil before it
	marks    map[string]bool
	passive  bool // no row is shown as selected
}

// New makes a table. id is the identity of a row, unique among the rows; match
// is what the filter searches.
func New[T any](id, match func(T) string, columns ...Column[T]) *Table[T] {
	return &Table[T]{columns: columns, id: id, match: match, sorted: -1, height: 1, marks: map[string]bool{}}
}

// Passive makes it a table without keys: no row is drawn as the selected one. It
// returns the table.
func (t *Table[T]) Passive() *Table[T] { t.passive = true; return t }

// SetColumns gives the table other columns. The order stays that of the column
// it was sorted by, if one of the same title is among them.
func (t *Table[T]) SetColumns(columns ...Column[T]) {
	title := ""
	if t.sorted >= 0 {
		title = t.columns[t.sorted].Title
	}
	t.columns, t.sorted, t.shown = columns, -1, nil
	for i, c := range columns {
		if title != "" && c.Title == title && c.Compare != nil {
			t.sorted = i
		}
	}
	t.arrange()
}

// SetRows gives the table new rows, which it keeps. Sort, filter, marks and
// selection stay; if the selected row is gone, its neighbour is selected.
func (t *Table[T]) SetRows(rows []T) {
	t.rows = rows
	t.folded = t.folded[:0]
	there := map[string]bool{}
	for _, r := range rows {
		t.folded = append(t.folded, strings.ToLower(t.match(r)))
		if len(t.marks) > 0 {
			there[t.id(r)] = true
		}
	}
	for id := range t.marks {
		if !there[id] {
			delete(t.marks, id)
		}
	}
	t.arrange()
}

// arrange filters and sorts again and finds the selection.
func (t *Table[T]) arrange() {
	t.visible = t.visible[:0]
	needle := strings.ToLower(t.filter)
	for i := range t.rows {
		if needle == "" || strings.Contains(t.folded[i], needle) {
			t.visible = append(t.visible, i)
		}
	}
	if t.sorted >= 0 {
		compare := t.columns[t.sorted].Compare
		slices.SortStableFunc(t.visible, func(a, b int) int {
			c := compare(t.rows[a], t.rows[b])
			if t.desc {
				return -c
			}
			return c
		})
	}
	for i, row := range t.visible {
		if t.id(t.rows[row]) == t.selected {
			t.moveTo(i)
			return
		}
	}
	t.moveTo(t.cursor)
}

func (t *Table[T]) moveTo(i int) {
	t.cursor = max(min(i, len(t.visible)-1), 0)
	if len(t.visible) > 0 {
		t.selected = t.id(t.rows[t.visible[t.cursor]])
	}
	t.top = max(min(t.top, t.cursor), t.cursor-t.height+1, 0)
}

// Move moves the selection by n rows, and stops at the ends.
func (t *Table[T]) Move(n int) { t.moveTo(t.cursor + n) }

// Page is how many rows were seen at the last rendering.
func (t *Table[T]) Page() int { return t.height }

// Window says which rows were seen at the last rendering, counted from 1; 0 and
// 0 when there are none.
func (t *Table[T]) Window() (first, last int) {
	return min(t.top+1, len(t.visible)), min(t.top+t.height, len(t.visible))
}

// First and Last select the ends.
func (t *Table[T]) First() { t.moveTo(0) }

// Last selects the last row.
func (t *Table[T]) Last() { t.moveTo(len(t.visible) - 1) }

// Select selects a row by its identity, if it is there.
func (t *Table[T]) Select(id string) bool {
	for i, row := range t.visible {
		if t.id(t.rows[row]) == id {
			t.moveTo(i)
			return true
		}
	}
	return false
}

// Selected is the row that keys act on; false when no row is seen.
func (t *Table[T]) Selected() (T, bool) {
	if len(t.visible) == 0 {
		var none T
		return none, false
	}
	return t.rows[t.visible[t.cursor]], true
}

// SetFilter shows only rows that contain the text, in whatever case.
func (t *Table[T]) SetFilter(s string) { t.filter = s; t.arrange() }

// Filter is the text of the filter.
func (t *Table[T]) Filter() string { return t.filter }

// Counts says how many rows are seen and how many there are.
func (t *Table[T]) Counts() (seen, all int) { return len(t.visible), len(t.rows) }

// NextSort sorts by the next column that can be sorted and was seen at the last
// rendering, and after the last one by none.
func (t *Table[T]) NextSort() {
	for t.sorted++; t.sorted < len(t.columns); t.sorted++ {
		if t.columns[t.sorted].Compare != nil && (t.shown == nil || t.shown[t.sorted]) {
			t.desc = false
			t.arrange()
			return
		}
	}
	t.sorted, t.desc = -1, false
	t.arrange()
}

// Reverse turns the order round, once there is one.
func (t *Table[T]) Reverse() {
	if t.sorted >= 0 {
		t.desc = !t.desc
		t.arrange()
	}
}

// SortBy sorts by the column with the title.
func (t *Table[T]) SortBy(title string, desc bool) {
	for i, c := range t.columns {
		if c.Title == title && c.Compare != nil {
			t.sorted, t.desc = i, desc
		}
	}
	t.arrange()
}

// Mark marks or unmarks the selected row and moves on.
func (t *Table[T]) Mark() {
	if len(t.visible) == 0 {
		return
	}
	if t.marks[t.selected] {
		delete(t.marks, t.selected)
	} else {
		t.marks[t.selected] = true
	}
	t.Move(1)
}

// Marked returns the identities of the marked rows, ordered.
func (t *Table[T]) Marked() []string {
	out := make([]string, 0, len(t.marks))
	for id := range t.marks {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// Seen returns the rows that the filter lets through, in the order shown.
func (t *Table[T]) Seen() []T {
	out := make([]T, len(t.visible))
	for i, row := range t.visible {
		out[i] = t.rows[row]
	}
	return out
}

// Render draws a row of titles and then the rows. The selected row has a
// pointer before it, a marked one an asterisk.
func (t *Table[T]) Render(r screen.Rect) {
	if r.H < 2 || r.W < 4 {
		return
	}
	t.height = r.H - 1
	t.moveTo(t.cursor) // the height may have changed
	t.top = max(min(t.top, len(t.visible)-t.height), 0)
	places := t.layout(r.W)
	t.shown = make([]bool, len(places))
	for i, p := range places {
		if t.shown[i] = p.w > 0; p.w == 0 {
			continue
		}
		title, role, w := t.columns[i].Title, screen.Title, p.w
		if i == t.sorted {
			role, w = screen.Accent, w+1 // the arrow may be in the gap beside the column
			if t.desc {
				title += "▼"
			} else {
				title += "▲"
			}
		}
		if t.columns[i].Right {
			r.Right(p.x+p.w, 0, role, screen.Truncate(title, w))
		} else {
			r.Text(p.x, 0, role, screen.Truncate(title, w))
		}
	}
	for y := range t.height {
		i := t.top + y
		if i >= len(t.visible) {
			return
		}
		row := t.rows[t.visible[i]]
		for c, p := range places {
			if p.w > 0 {
				t.columns[c].Draw(r.Sub(p.x, y+1, p.w, 1), row)
			}
		}
		if len(t.marks) > 0 && t.marks[t.id(row)] {
			r.Text(1, y+1, screen.Accent, "*")
		}
		if i == t.cursor && !t.passive {
			r.Sub(0, y+1, r.W, 1).Tint(0, screen.Selected)
			r.Text(0, y+1, screen.Accent, "▸")
		}
	}
}

type place struct{ x, w int }

// layout gives columns their places: those of low priority are left out until
// the others fit, and flexible ones share what remains.
func (t *Table[T]) layout(w int) []place {
	const margin, between = 2, 2
	out := make([]place, len(t.columns))
	in := make([]bool, len(t.columns))
	for i := range in {
		in[i] = true
	}
	free := 0
	for {
		need, count := margin, 0
		for i, c := range t.columns {
			if in[i] {
				need += c.Width
				count++
			}
		}
		free = w - need - between*max(count-1, 0)
		worst := -1
		for i, c := range t.columns {
			if in[i] && c.Priority > 0 && (worst < 0 || c.Priority >= t.columns[worst].Priority) {
				worst = i
			}
		}
		if free >= 0 || worst < 0 {
			break
		}
		in[worst] = false
	}
	flexible := 0
	for i, c := range t.columns {
		if in[i] && c.Flex {
			flexible++
		}
	}
	x := margin
	for i, c := range t.columns {
		if !in[i] {
			continue
		}
		width := c.Width
		if c.Flex && free > 0 {
			more := free / flexible
			width += more
			free -= more
			flexible--
		}
		out[i] = place{x, max(min(width, w-x), 0)}
		x += width + between
	}
	return out
}
