package admin

import (
	"errors"
	"fmt"
)

// Code is the kind of a failure. Its numbers are the exit codes of isgwctl.
type Code int

// The kinds of failure.
const (
	CodeFailed       Code = 1 // anything else, an internal error
	CodeInvalid      Code = 2 // the request can never succeed as it is
	CodeNotFound     Code = 3
	CodeDenied       Code = 4 // not allowed
	CodeConflict     Code = 5 // the state of the site forbids it: not empty, changed meanwhile, not initialised
	CodeUnavailable  Code = 6 // no node answers, or there is no quorum
	CodeTimeout      Code = 7 // waited for something that did not come
	CodeUnhealthy    Code = 8
	CodeExists       Code = 9  // a conflict with something that is there; exits as CodeConflict
	CodeUnsupported  Code = 10 // not there yet, or not at the other end; exits as CodeFailed
	CodeInterrupted  Code = 11 // the caller gave up; exits as CodeFailed
	CodeExhausted    Code = 12 // a bound was met, no space left; exits as CodeFailed
	highestExitValue      = CodeUnhealthy
)

// Exit returns the exit status of a command that ends with the code.
func (c Code) Exit() int {
	switch {
	case c >= CodeFailed && c <= highestExitValue:
		return int(c)
	case c == CodeExists:
		return int(CodeConflict)
	}
	return int(CodeFailed)
}

// Error is a failure that an operator is told about.
type Error struct {
	Code      Code
	Message   string // what happened and where: one sentence, no full stop
	Hint      string // what to do about it; may be empty
	RequestID string // of the call, on the client's side
	Node      string // the node that refused, on the client's side
	Err       error  // the cause, if any; it is logged and not told
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an *Error with a message; an error among args given to %w
// becomes its cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

// WithHint returns a copy of e that says what to do.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}
