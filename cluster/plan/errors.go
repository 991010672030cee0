package plan

import (
	"errors"
	"fmt"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// Error is a refusal: what is wrong, and what to do about it.
type Error struct {
	Kind    error  // one of the Err values of raftfsm/state
	Message string // one sentence, no full stop
	Next    string // what the operator can do; may be empty
}

// Error returns the sentence.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the kind, so that errors.Is finds it.
func (e *Error) Unwrap() error { return e.Kind }

// Hint returns what the operator can do.
func (e *Error) Hint() string { return e.Next }

func refuse(kind error, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) *Error { return refuse(state.ErrInvalid, format, args...) }

// next returns e with what to do about it.
func (e *Error) next(format string, args ...any) *Error {
	e.Next = fmt.Sprintf(format, args...)
	return e
}

// adopt turns an error of raftfsm/state into an *Error of the same kind, so
// that a hint can be added.
func adopt(err error) *Error {
	var known *state.Error
	if errors.As(err, &known) {
		return &Error{Kind: known.Kind, Message: known.Error()}
	}
	return invalid("%v", err)
}

// create is a transaction that makes one object.
func create[M state.Message](m M) (*statepb.Txn, error) {
	object := state.Wrap(m)
	key, err := state.KeyOf(object)
	if err != nil {
		return nil, fmt.Errorf("plan a new object: %w", err)
	}
	return &statepb.Txn{Checks: []*statepb.Check{key.Check(0)}, Puts: []*statepb.Object{object}}, nil
}

// replace is a transaction that puts an object in the place of its revision.
func replace[M state.Message](m M, revision uint64) (*statepb.Txn, error) {
	object := state.Wrap(m)
	key, err := state.KeyOf(object)
	if err != nil {
		return nil, fmt.Errorf("plan a changed object: %w", err)
	}
	return &statepb.Txn{Checks: []*statepb.Check{key.Check(revision)}, Puts: []*statepb.Object{object}}, nil
}

// remove is a transaction that deletes an object of that revision.
func remove(key state.Key, revision uint64) *statepb.Txn {
	return &statepb.Txn{Checks: []*statepb.Check{key.Check(revision)}, Deletes: []*statepb.ObjectKey{key.Proto()}}
}

// forget adds to a transaction that an object is deleted, if it is still the one
// that cfg has.
func forget(cfg *state.Config, txn *statepb.Txn, key state.Key) {
	if _, revision, ok := cfg.Get(key); ok {
		txn.Checks = append(txn.Checks, key.Check(revision))
		txn.Deletes = append(txn.Deletes, key.Proto())
	}
}
