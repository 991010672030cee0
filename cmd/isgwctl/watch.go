package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
)

const (
	watchInterval = 2 * time.Second
	leastInterval = 100 * time.Millisecond // as the node has it for its streams
)

// watched adds --watch to a command that shows something: with it the command
// shows it again and again until it is interrupted.
func (a *app) watched(cmd *cobra.Command) *cobra.Command {
	watch, every := false, time.Duration(0)
	show := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case every < leastInterval:
			return usage("--interval is %v or more, not %v", leastInterval, every)
		case !watch && cmd.Flags().Changed("interval"):
			return usage("--interval needs --watch")
		case !watch:
			return show(cmd, args)
		}
		return a.watch(cmd.Context(), every, func() error { return show(cmd, args) })
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again and again until ctrl-c; with -o json one object a line, of a list those that are new or have changed")
	cmd.Flags().DurationVar(&every, "interval", watchInterval, "with --watch, the `DURATION` between two looks")
	return cmd
}

// watch calls show until the context ends, which is no failure, or show fails. A
// node that was there and goes away is waited for: it may be restarting.
func (a *app) watch(ctx context.Context, every time.Duration, show func() error) error {
	out, errs := a.out, a.err
	defer func() { a.out, a.err = out, errs }()
	r := &rounds{app: a, out: out, err: errs, every: every}
	for there := false; ; there = true {
		var shown, told bytes.Buffer
		a.out, a.err = &shown, &told
		err := show()
		a.out, a.err = out, errs
		if ctx.Err() != nil {
			return nil
		}
		gone := there && err != nil && a.classify(err).Code == admin.CodeUnavailable
		if gone {
			fmt.Fprintln(&told, plain(oneSentence(err)))
		}
		if written := r.write(shown.Bytes(), told.String()); written != nil {
			return written
		}
		if err != nil && !gone {
			return err
		}
		timer := time.NewTimer(every)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// rounds writes what a command shows again and again.
type rounds struct {
	app      *app
	out, err io.Writer
	every    time.Duration
	count    int
	told     string          // on stderr the last time
	lines    map[string]bool // of the round before, where lists are written by what is new
}

// write writes one round: what was shown on stdout, and what was told on stderr.
func (r *rounds) write(shown []byte, told string) error {
	r.count++
	if screen, ok := r.out.(*os.File); ok && !r.app.listed() && term.IsTerminal(screen.Fd()) && escapes(r.app.getenv) {
		width, height, err := term.GetSize(screen.Fd())
		if err == nil && width > 0 && height > 2 {
			title := fmt.Sprintf("%s  every %v, ctrl-c ends it", time.Now().UTC().Format(time.RFC3339), r.every)
			_, err = io.WriteString(r.out, frame(title+"\n\n"+string(shown)+told, width, height, r.count == 1))
			return err
		}
	}
	if told != r.told { // not the same again and again
		r.told = told
		if _, err := io.WriteString(r.err, told); err != nil {
			return err
		}
	}
	return r.plain(shown)
}

// plain writes a round where there is no screen to draw on.
func (r *rounds) plain(shown []byte) error {
	var text string
	var err error
	switch {
	case len(shown) == 0:
	case r.app.form == formJSON:
		text, err = r.objects(shown)
	case r.app.form == formName:
		text = r.fresh(strings.SplitAfter(string(shown), "\n"))
	case r.count == 1:
		text = string(shown)
	case r.app.form == formYAML:
		text = "---\n" + string(shown)
	default:
		text = "\n" + string(shown)
	}
	if err == nil {
		_, err = io.WriteString(r.out, text)
	}
	return err
}

// objects writes JSON with one object a line: a thing each time, and of a list
// what is new or has changed.
func (r *rounds) objects(shown []byte) (string, error) {
	var lines []string
	list := false
	decoder := json.NewDecoder(bytes.NewReader(shown))
	for {
		var value json.RawMessage
		err := decoder.Decode(&value)
		if errors.Is(err, io.EOF) {
			break
		}
		all := []json.RawMessage{value}
		if err == nil && value[0] == '[' {
			list = true
			err = json.Unmarshal(value, &all)
		}
		if err != nil {
			return "", fmt.Errorf("write JSON: %w", err)
		}
		for _, one := range all {
			var line bytes.Buffer
			if err := json.Compact(&line, one); err != nil {
				return "", fmt.Errorf("write JSON: %w", err)
			}
			lines = append(lines, line.String()+"\n")
		}
	}
	if list {
		return r.fresh(lines), nil
	}
	return strings.Join(lines, ""), nil
}

// fresh returns the lines that the round before did not have.
func (r *rounds) fresh(lines []string) string {
	var b strings.Builder
	now := make(map[string]bool, len(lines))
	for _, line := range lines {
		now[line] = true
		if !r.lines[line] {
			b.WriteString(line)
		}
	}
	r.lines = now
	return b.String()
}

// escapes says whether the terminal knows the sequences that move the cursor.
func escapes(getenv func(string) string) bool {
	name := getenv("TERM")
	return name != "" && name != "dumb"
}

// frame draws a text over the one before, cut to the screen: what does not fit is
// counted.
func frame(text string, width, height int, begin bool) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if room := height - 1; len(lines) > room { // the cursor takes one
		lines = append(lines[:room-1:room-1], fmt.Sprintf("and %d lines more: the screen is too small", len(lines)-room+1))
	}
	var b strings.Builder
	if begin {
		b.WriteString(ansi.EraseEntireScreen)
	}
	b.WriteString(ansi.CursorHomePosition)
	for _, line := range lines {
		b.WriteString(ansi.Truncate(line, width-1, "") + ansi.EraseLineRight + "\n")
	}
	b.WriteString(ansi.EraseScreenBelow)
	return b.String()
}
