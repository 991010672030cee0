// Package term settles what the terminal's background is before any other
// package can ask the terminal for it.
//
// Bubble Tea asks the terminal for its background colour while it is
// initialised, and waits up to five seconds where nothing answers: behind a
// serial line, in a script with a terminal, in an old multiplexer. Every
// program that links the console would pay for it, even to print one line. Go
// initialises packages that do not depend on each other in the order of their
// import paths, so that this one, which sorts first, answers in the terminal's
// place. The console itself asks when it opens, with a bound on the wait.
package term

import "github.com/charmbracelet/lipgloss"

func init() { lipgloss.SetHasDarkBackground(true) }
