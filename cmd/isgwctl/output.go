package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"google.golang.org/protobuf/proto"
)

// structured says that the output is for programs: all of every message.
func (a *app) structured() bool { return a.form == formJSON }

// table writes rows in columns: a header, then one line for each row.
type table struct{ w *tabwriter.Writer }

func (a *app) table(header ...string) *table {
	t := &table{tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)}
	t.row(header...)
	return t
}

func (t *table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = plain(c)
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t *table) end() error { return t.w.Flush() }

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
	if a.form == formJSON {
		return a.json(m)
	}
	s := a.sheet()
	write(s)
	return s.err
}

// json writes one message as a JSON object.
func (a *app) json(m proto.Message, omit ...string) error {
	text, err := renderJSON(m, omit...)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s\n", text)
	return err
}

// made reports a thing that was made or changed: as JSON on stdout, or in words
// on stderr.
func (a *app) made(m proto.Message, format string, args ...any) error {
	if a.form == formJSON {
		return a.json(m)
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
	if l.app.form != formJSON {
		_, err := fmt.Fprintln(l.app.out, plain(l.text(m)))
		return err
	}
	text, err := renderJSON(m, l.omit...)
	if err != nil {
		return err
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
	if l.app.form != formJSON {
		return nil
	}
	end := "\n]\n"
	if l.count == 0 {
		end = "[]\n"
	}
	_, err := io.WriteString(l.app.out, end)
	return err
}

// listJSON writes a whole slice as a JSON array.
func listJSON[M proto.Message](a *app, all []M, omit ...string) error {
	l := &list[M]{app: a, omit: omit}
	for _, m := range all {
		if err := l.add(m); err != nil {
			return err
		}
	}
	return l.end()
}
