package tui

import (
	"errors"

	tea "github.com/charmbracelet/bubbletea"
)

// doneMsg says what became of a copy or a file.
type doneMsg struct {
	text string
	err  error
}

func (msg doneMsg) deliver(m *Model) tea.Cmd {
	if msg.err != nil {
		m.complain(msg.err)
	} else {
		m.say(msg.text)
	}
	return nil
}

// copy sends a text to the terminal's clipboard. Whether the terminal took it
// cannot be known.
func (m *Model) copy(text string) tea.Cmd {
	send := m.opts.Clipboard
	return func() tea.Msg {
		if send == nil {
			return doneMsg{err: errors.New("this terminal has no clipboard; x writes a file")}
		}
		return doneMsg{"sent to clipboard; if the terminal did not take it, x writes a file", send(text)}
	}
}

// save writes a file.
func (m *Model) save(name, text string) tea.Cmd {
	write := m.opts.Save
	return func() tea.Msg {
		if write == nil {
			return doneMsg{err: errors.New("files cannot be written from here")}
		}
		path, err := write(name, []byte(text))
		return doneMsg{"written to " + path, err}
	}
}
