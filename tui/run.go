package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/term"

	_ "edgefog.dev/isgw/tui/term" // before Bubble Tea can ask the terminal
)

// Run opens the console on a terminal until the operator leaves it, ctx ends
// or a signal comes. The terminal is as it was before, however it ends; a panic
// is returned as an error.
func Run(ctx context.Context, in, out *os.File, o Options) error {
	screen := &terminal{File: out}
	if o.Clipboard == nil {
		o.Clipboard = func(text string) error {
			_, err := io.WriteString(screen, ansi.SetSystemClipboard(text))
			return err
		}
	}
	if o.Save == nil {
		o.Save = saveFile
	}
	// Signals end the context and nothing else: Bubble Tea's own handler hangs
	// when it gets the signal that ended the context as well.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	keys := newKeyboard(in)
	o.background = func(ctx context.Context) string {
		err := keys.ask(func(text string) error { _, err := screen.WriteString(text); return err })
		if err != nil {
			return "" // the frames meet the same fault
		}
		select {
		case answer := <-keys.answers:
			return answer
		case <-ctx.Done():
			return ""
		}
	}
	m, err := NewModel(ctx, o)
	if err != nil {
		return err
	}
	_, err = tea.NewProgram(m, tea.WithContext(ctx), tea.WithoutSignalHandler(), tea.WithAltScreen(), tea.WithInput(keys), tea.WithOutput(screen)).Run()
	if keys.outstanding() > 0 {
		if state, err := term.MakeRaw(in.Fd()); err == nil {
			keys.drain()
			_ = term.Restore(in.Fd(), state) // as it was: nothing more can be done
		}
	}
	m.conn.drop()
	switch {
	case err == nil, errors.Is(err, tea.ErrInterrupted):
		return nil
	case ctx.Err() != nil && !errors.Is(err, tea.ErrProgramPanic):
		return nil // asked to end
	}
	return fmt.Errorf("run the console: %w", err)
}

// terminal is a file that several write to: frames, and what is copied. A write
// is not torn by another. Of frames it is sent what changed.
type terminal struct {
	*os.File
	mu     sync.Mutex
	frames frames
}

func (t *terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.frames.write(t.File, p)
}

// WriteString is Write.
func (t *terminal) WriteString(s string) (int, error) { return t.Write([]byte(s)) }

// maxSaved bounds how many files of one name a directory may have.
const maxSaved = 1000

// saveFile writes a file into the working directory that only the operator can
// read. It takes the next free name and overwrites nothing.
func saveFile(name string, data []byte) (string, error) {
	base, ext := strings.TrimSuffix(name, filepath.Ext(name)), filepath.Ext(name)
	for i := 1; i <= maxSaved; i++ {
		path := "isgw-" + base + ext
		if i > 1 {
			path = fmt.Sprintf("isgw-%s-%d%s", base, i, ext)
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("write a file: %w", err)
		}
		_, err = f.Write(data)
		if err = errors.Join(err, f.Close()); err != nil {
			return "", fmt.Errorf("write %s: %w", path, err)
		}
		if whole, err := filepath.Abs(path); err == nil {
			path = whole
		}
		return path, nil
	}
	return "", fmt.Errorf("write %s: there are %d files of this name already", name, maxSaved)
}
