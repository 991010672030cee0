package tui

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// How long a read waits for the rest of what has begun. Between a key of several
// bytes and ESC followed by another key only time can tell.
const (
	keyTime    = 25 * time.Millisecond  // for the rest of a key after its ESC
	answerTime = 250 * time.Millisecond // for the rest of a terminal's answer
)

// keyboard is the terminal's input without what the terminal says by itself:
// its answers to questions are taken out, whenever they come, and never reach
// the program as keys. A key that the line delivered in two parts is put
// together again. It is read by one goroutine at a time.
type keyboard struct {
	*os.File
	in answerFilter

	mu      sync.Mutex
	asked   time.Time   // of the last question; zero: none, or answered
	answers chan string // what the terminal said its background is
}

func newKeyboard(f *os.File) *keyboard { return &keyboard{File: f, answers: make(chan string, 1)} }

// Read reads keys. It may return 0 and no error, when there was nothing but an answer.
func (k *keyboard) Read(p []byte) (int, error) {
	n, err := k.File.Read(p)
	for err == nil && n > 0 && n < len(p) {
		wait := k.in.rest(p[:n])
		if wait == 0 || !readable(k.Fd(), wait) {
			break
		}
		var more int
		more, err = k.File.Read(p[n:])
		n += more
	}
	if n > 0 {
		err = nil // the next read meets it again
	}
	kept, answers := k.in.take(p[:n])
	for _, a := range answers {
		k.answered(a)
	}
	return len(kept), err
}

// questions ask for the background's colour, and then who the terminal is: that
// every terminal answers, so that one knows when the first is not coming.
const questions = "\x1b]11;?\x1b\\\x1b[c"

// ask writes the questions.
func (k *keyboard) ask(write func(string) error) error {
	k.mu.Lock()
	k.asked = time.Now()
	k.mu.Unlock()
	return write(questions)
}

func (k *keyboard) answered(a string) {
	switch {
	case a[1] == '[' && a[len(a)-1] == 'c': // the last one
		k.mu.Lock()
		k.asked = time.Time{}
		k.mu.Unlock()
		a = ""
	case len(a) < 5 || a[:5] != "\x1b]11;":
		return
	default:
		a = a[5:]
	}
	select {
	case k.answers <- a:
	default:
	}
}

// outstanding is how much longer an answer may be on its way; 0: none is.
func (k *keyboard) outstanding() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.asked.IsZero() {
		return 0
	}
	return max(time.Until(k.asked.Add(time.Second)), 0)
}

// drain takes answers that are still on their way out of the input, so that the
// shell does not get them. It waits a moment at most, and only after a question
// that was not answered. The terminal is in raw mode.
func (k *keyboard) drain() {
	var buf [256]byte
	deadline := time.Now().Add(min(k.outstanding(), answerTime))
	for k.outstanding() > 0 {
		left := time.Until(deadline)
		if left <= 0 || !readable(k.Fd(), left) {
			return
		}
		if _, err := k.Read(buf[:]); err != nil {
			return
		}
	}
}

// readable waits until there is something to read.
func readable(fd uintptr, d time.Duration) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(d.Milliseconds()))
	return err == nil && n > 0
}

// answerFilter tells keys from answers in what comes from a terminal. What it
// holds back of an answer that is not whole yet is bounded.
type answerFilter struct {
	held []byte // the beginning of an answer
}

// maxAnswer bounds an answer; what is longer is none.
const maxAnswer = 256

// An answer is ESC ] up to BEL or ESC \, or ESC [ ? up to a letter: no key
// begins like that.
func answerBegins(b []byte) bool {
	return len(b) >= 2 && b[0] == 0x1b && b[1] == ']' || len(b) >= 3 && b[0] == 0x1b && b[1] == '[' && b[2] == '?'
}

// answerEnd is the length of the answer that b begins with, 0 while it is not whole.
func answerEnd(b []byte) int {
	for i := 2; i < len(b); i++ {
		switch {
		case b[1] == ']' && b[i] == 0x07:
			return i + 1
		case b[1] == ']' && b[i] == '\\' && b[i-1] == 0x1b:
			return i + 1
		case b[1] == '[' && i > 2 && b[i] >= 0x40 && b[i] <= 0x7e:
			return i + 1
		}
	}
	return 0
}

// rest says how long to wait for more after b, 0 when b ends where a key ends.
func (f *answerFilter) rest(b []byte) time.Duration {
	all := append(append([]byte(nil), f.held...), b...)
	for i := 0; i < len(all); i++ {
		if all[i] != 0x1b {
			continue
		}
		switch tail := all[i:]; {
		case answerBegins(tail):
			n := answerEnd(tail)
			if n == 0 {
				return answerTime
			}
			i += n - 1
		case len(tail) == 1, len(tail) == 2 && (tail[1] == '[' || tail[1] == 'O'):
			return keyTime
		case tail[1] == '[':
			n := 2
			for n < len(tail) && tail[n] >= 0x20 && tail[n] <= 0x3f {
				n++
			}
			if n == len(tail) {
				return keyTime
			}
			i += n
		}
	}
	return 0
}

// take removes the answers from b, in place, and returns what are keys.
func (f *answerFilter) take(b []byte) (keys []byte, answers []string) {
	all := append(f.held, b...)
	f.held = nil
	keys = b[:0]
	for i := 0; i < len(all); i++ {
		tail := all[i:]
		if !answerBegins(tail) {
			keys = append(keys, all[i])
			continue
		}
		n := answerEnd(tail)
		switch {
		case n > 0:
			answers = append(answers, string(tail[:n]))
			i += n - 1
		case len(tail) <= maxAnswer:
			f.held = append([]byte(nil), tail...)
			return keys, answers
		default: // it does not end: drop it
			return keys, answers
		}
	}
	return keys, answers
}
