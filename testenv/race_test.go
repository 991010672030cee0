//go:build race

package testenv

// raced says that memory is measured with the race detector's own in it.
const raced = true
