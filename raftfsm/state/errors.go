package state

import (
	"errors"
	"fmt"
)

// The ways in which a command is refused. An [Error] carries one of them;
// test for them with errors.Is.
var (
	ErrConflict = errors.New("conflict")       // a check, condition or expected state did not hold
	ErrInvalid  = errors.New("invalid")        // a value is not legal
	ErrExists   = errors.New("exists already") // a thing to be made exists
	ErrNotFound = errors.New("not found")      // a thing that is needed does not exist
	ErrNotEmpty = errors.New("not empty")      // a thing to be deleted still holds others
)

// Error is a refusal: a kind for programs and a sentence for people.
type Error struct {
	Kind    error  // one of this package's Err values
	Message string // the whole sentence; it need not repeat the kind
}

// Error returns the sentence, or the kind's name if there is none.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Kind.Error()
	}
	return e.Message
}

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.Kind }

func refuse(kind error, format string, args ...any) error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error { return refuse(ErrInvalid, format, args...) }
