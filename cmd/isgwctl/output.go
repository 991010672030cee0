package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"edgefog.dev/isgw/cluster/admin/manifest"
)

// structured says that the output is for programs: all of every message.
func (a *app) structured() bool { return a.form == formJSON || a.form == formYAML }

// listed says that a list is written item by item, and not as a table.
func (a *app) listed() bool { return a.structured() || a.form == formName }

// columnGap separates the columns of a table.
const columnGap = "  "

// table writes rows in columns: a header, then one line for each row. A column is as
// wide as its widest cell is on a terminal, where a character takes no, one or two places.
type table struct {
	out  io.Writer
	rows [][]string
}

func (a *app) table(header ...string) *table {
	t := &table{out: a.out}
	t.row(header...)
	return t
}

func (t *table) row(cells ...string) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = plain(c)
	}
	t.rows = append(t.rows, row)
}

// end writes the table. The last cell of a row is not filled up.
func (t *table) end() error {
	var widths []int
	for _, cells := range t.rows {
		for i, c := range cells[:len(cells)-1] {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], ansi.StringWidth(c))
		}
	}
	var b strings.Builder
	for _, cells := range t.rows {
		last := len(cells) - 1
		for i, c := range cells[:last] {
			b.WriteString(c + strings.Repeat(" ", widths[i]-ansi.StringWidth(c)) + columnGap)
		}
		b.WriteString(cells[last] + "\n")
	}
	_, err := io.WriteString(t.out, b.String())
	return err
}

// sheet writes what one thing has, as "key: value" lines.
type sheet struct {
	w   io.Writer
	err error
}

func (a *app) sheet() *sheet { return &sheet{w: a.out} }

func (s *sheet) line(key, value string) {
	if s.err == nil {
		_, s.err = fmt.Fprintf(s.w, "%s: %s\n", key, plain(value))
	}
}

// some writes a line only when there is a value.
func (s *sheet) some(key, value string) {
	if value != "" {
		s.line(key, value)
	}
}

// show writes one thing, as JSON or as its sheet.
func (a *app) show(m proto.Message, write func(*sheet)) error {
	if a.structured() {
		return a.json(m)
	}
	if a.form == formName {
		_, err := fmt.Fprintln(a.out, plain(nameOf(m)))
		return err
	}
	s := a.sheet()
	write(s)
	return s.err
}

// json writes one message as a JSON object, or as YAML of the same names.
func (a *app) json(m proto.Message, omit ...string) error {
	text, err := manifest.JSON(m, omit...)
	if err != nil {
		return err
	}
	if a.form == formYAML {
		return a.yaml(text)
	}
	_, err = fmt.Fprintf(a.out, "%s\n", text)
	return err
}

// value writes what is no message of the API as json does.
func (a *app) value(v any) error {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	if a.form == formYAML {
		return a.yaml(text.String())
	}
	_, err := io.WriteString(a.out, text.String())
	return err
}

// yaml writes JSON as YAML, in the same order.
func (a *app) yaml(text string) error { return manifest.WriteYAML(a.out, text) }

// nameOf is what a thing is called by the commands: its path, or its name, or
// what else names it.
func nameOf(m proto.Message) string {
	fields := m.ProtoReflect().Descriptor().Fields()
	for _, name := range []protoreflect.Name{"path", "key", "name", "access_key", "node_name", "site_name", "token", "prefix", "request_id", "principal"} {
		if f := fields.ByName(name); f != nil && f.Kind() == protoreflect.StringKind && !f.IsList() {
			if s := m.ProtoReflect().Get(f).String(); s != "" {
				return s
			}
		}
	}
	// A message that only wraps another is called as that one.
	for i := range fields.Len() {
		if f := fields.Get(i); f.Kind() == protoreflect.MessageKind && !f.IsList() && !f.IsMap() && m.ProtoReflect().Has(f) {
			if s := nameOf(m.ProtoReflect().Get(f).Message().Interface()); s != "" {
				return s
			}
		}
	}
	return ""
}

// made reports a thing that was made or changed: as JSON on stdout, or in words
// on stderr.
func (a *app) made(m proto.Message, format string, args ...any) error {
	if a.structured() {
		return a.json(m)
	}
	if a.form == formName {
		_, err := fmt.Fprintln(a.out, plain(nameOf(m)))
		return err
	}
	a.done(format, args...)
	return nil
}

// did reports what has no answer, as that a thing is gone: its name on stdout
// with -o name, and in words on stderr.
func (a *app) did(name, format string, args ...any) error {
	if a.form == formName {
		_, err := fmt.Fprintln(a.out, plain(name))
		return err
	}
	a.done(format, args...)
	return nil
}

// list writes things one after the other, as they come: as the elements of a
// JSON array, or each as a line that text makes of it.
type list[M proto.Message] struct {
	app   *app
	text  func(M) string
	omit  []string
	count int
}

func (l *list[M]) add(m M) error {
	if !l.app.structured() {
		text := nameOf(m)
		if l.app.form != formName {
			text = l.text(m)
		}
		_, err := fmt.Fprintln(l.app.out, plain(text))
		return err
	}
	text, err := manifest.JSON(m, l.omit...)
	if err != nil {
		return err
	}
	if l.app.form == formYAML {
		l.count++
		return l.app.yaml("[" + text + "]")
	}
	before := ",\n"
	if l.count == 0 {
		before = "[\n"
	}
	l.count++
	_, err = fmt.Fprintf(l.app.out, "%s  %s", before, strings.ReplaceAll(text, "\n", "\n  "))
	return err
}

func (l *list[M]) end() error {
	if !l.app.structured() || l.app.form == formYAML && l.count > 0 {
		return nil
	}
	end := "\n]\n"
	if l.count == 0 {
		end = "[]\n"
	}
	_, err := io.WriteString(l.app.out, end)
	return err
}

// listJSON writes a whole slice: as a JSON array, as YAML, or as names.
func listJSON[M proto.Message](a *app, all []M, omit ...string) error {
	l := &list[M]{app: a, omit: omit}
	for _, m := range all {
		if err := l.add(m); err != nil {
			return err
		}
	}
	return l.end()
}
