package main

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// maxHeldLog bounds what a heldLog keeps.
const maxHeldLog = 256 << 10

// heldLog passes a log on, except while it is held because a console has the
// terminal: what comes then is passed on when that is left. It may be used by any
// number of goroutines.
type heldLog struct {
	to io.Writer

	mu   sync.Mutex
	held bool
	kept []byte
	more int // writes for which there was no room
}

// Write implements io.Writer.
func (l *heldLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.held:
		return l.to.Write(p)
	case len(l.kept)+len(p) > maxHeldLog:
		l.more++
	default:
		l.kept = append(l.kept, p...)
	}
	return len(p), nil
}

// hold keeps what is written from now on, until release.
func (l *heldLog) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = true
}

// release passes on what was kept.
func (l *heldLog) release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.to.Write(l.kept)
	if l.more > 0 {
		_, moreErr := fmt.Fprintf(l.to, "%d more lines of the log were not kept\n", l.more)
		err = errors.Join(err, moreErr)
	}
	l.held, l.kept, l.more = false, nil, 0
	return err
}
