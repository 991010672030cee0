package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/term"
)

const (
	reportEvery = 10 * time.Second       // a line on stderr that is no terminal
	drawEvery   = 200 * time.Millisecond // the bar on one that is
	drawAfter   = time.Second            // what is done sooner needs no bar
)

// progress is how far something is.
type progress struct {
	text  string  // empty: nothing is known yet
	share float64 // of all, 0 to 1
	known bool    // share is
}

// meter tells how far long work is while it goes on: on a terminal's stderr by one
// line that is drawn anew, with a bar where the end is known, elsewhere by a line
// every ten seconds.
type meter struct {
	err   io.Writer
	width func() int // of the terminal; nil: there is none
	look  func() progress

	mu    sync.Mutex // of everything that is written to the terminal
	drawn bool
	end   chan struct{}
	ended chan struct{}
}

// meter begins to tell what look says. It is called by another goroutine, until stop.
func (a *app) meter(look func() progress) *meter {
	m := &meter{err: a.err, look: look, end: make(chan struct{}), ended: make(chan struct{})}
	if file, ok := a.err.(*os.File); ok && term.IsTerminal(file.Fd()) && escapes(a.getenv) {
		m.width = func() int {
			width, _, err := term.GetSize(file.Fd())
			if err != nil {
				return 80
			}
			return width
		}
	}
	go m.run()
	return m
}

func (m *meter) run() {
	defer close(m.ended)
	wait, every := reportEvery, reportEvery
	if m.width != nil {
		wait, every = drawAfter, drawEvery
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-m.end:
			return
		case <-timer.C:
			m.tell()
			timer.Reset(every)
		}
	}
}

func (m *meter) tell() {
	p := m.look()
	if p.text == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// That a line of progress cannot be written is no reason to end the work.
	if m.width == nil {
		if p.known {
			p.text += fmt.Sprintf(", %.0f %%", 100*p.share)
		}
		fmt.Fprintln(m.err, plain(p.text))
		return
	}
	m.drawn = true
	fmt.Fprint(m.err, "\r"+barLine(p, m.width()-1)+ansi.EraseLineRight)
}

// barLine is a line with a bar of at most so many places.
func barLine(p progress, width int) string {
	line := plain(p.text)
	if p.known {
		const places = 20
		share := min(max(p.share, 0), 1)
		full := int(share * places)
		line = fmt.Sprintf("[%s%s] %3.0f %%  %s", strings.Repeat("#", full), strings.Repeat(".", places-full), 100*share, line)
	}
	return ansi.Truncate(line, max(width, 0), "")
}

// aside writes something else, which the bar must not stand in the middle of.
func (m *meter) aside(write func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wipe()
	return write()
}

func (m *meter) wipe() {
	if m.drawn {
		m.drawn = false
		fmt.Fprint(m.err, "\r"+ansi.EraseLineRight)
	}
}

// stop ends the meter; what it drew is gone.
func (m *meter) stop() {
	close(m.end)
	<-m.ended
	m.wipe()
}

// transfer counts the bytes that are read from a body.
type transfer struct {
	body  io.Reader
	name  string
	total *uint64 // nil: not known
	began time.Time
	done  atomic.Uint64
}

// Read implements io.Reader.
func (t *transfer) Read(p []byte) (int, error) {
	n, err := t.body.Read(p)
	t.done.Add(uint64(n))
	return n, err
}

// progress is how much was read, at which pace, and how long the rest takes at it.
func (t *transfer) progress() progress {
	done := t.done.Load()
	pace := float64(done) / max(time.Since(t.began).Seconds(), 1e-3)
	if t.total == nil {
		return progress{text: fmt.Sprintf("%s: %s so far, %s/s", t.name, roundBytes(float64(done)), roundBytes(pace))}
	}
	total := *t.total
	p := progress{text: fmt.Sprintf("%s: %s of %s, %s/s", t.name, roundBytes(float64(done)), roundBytes(float64(total)), roundBytes(pace))}
	switch {
	case total == 0:
		return p
	case done >= total: // of an upload the node has it, and makes it durable
		p.text += ", waiting for the end"
	case done > 0:
		p.text += ", " + time.Duration(float64(total-done)/pace*float64(time.Second)).Round(time.Second).String() + " left"
	}
	p.share, p.known = float64(done)/float64(total), true
	return p
}

// transferred is a body whose way is told while it is read.
func (a *app) transferred(name string, body io.Reader, total *uint64) (io.Reader, *meter) {
	t := &transfer{body: body, name: name, total: total, began: time.Now()}
	return t, a.meter(t.progress)
}
