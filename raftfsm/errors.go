package raftfsm

import (
	"errors"
	"fmt"

	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// The refusals of a command, as [ResultError] returns them; test with errors.Is.
// They are state's own, so that a refusal means the same wherever it is met.
var (
	ErrConflict = state.ErrConflict
	ErrNotFound = state.ErrNotFound
	ErrExists   = state.ErrExists
	ErrInvalid  = state.ErrInvalid
	ErrNotEmpty = state.ErrNotEmpty
)

var (
	// ErrNotLeader is what every [NotLeaderError] is.
	ErrNotLeader = errors.New("this node does not lead the site")

	// ErrUnknownOutcome says that a command may have been applied, or may yet
	// be. Reading the state tells which, once a new leader has committed.
	ErrUnknownOutcome = errors.New("outcome unknown: the command may have been applied")

	// ErrNoSpace says that the disk is nearly full. Nothing was changed.
	ErrNoSpace = errors.New("no space left for the site's state")

	// ErrClosed says that the replica was closed before the command entered the log.
	ErrClosed = errors.New("replica is closed")

	// ErrHalted says that the node has stopped applying; [Replica.Err] has the cause.
	ErrHalted = errors.New("node has stopped applying the log")
)

// NotLeaderError says that this node cannot propose or serve linearisable
// reads, and which node can. Nothing was changed.
type NotLeaderError struct {
	Leader string // id of the leading node, empty when there is none at the moment
}

func (e *NotLeaderError) Error() string {
	if e.Leader == "" {
		return ErrNotLeader.Error() + ", and no other does at the moment"
	}
	return fmt.Sprintf("%v: node %s does", ErrNotLeader, e.Leader)
}

// Unwrap returns ErrNotLeader.
func (e *NotLeaderError) Unwrap() error { return ErrNotLeader }

// ResultError turns a result's code into an error: nil for OK, else a
// *[state.Error] with the result's sentence that is one of ErrConflict,
// ErrNotFound, ErrExists, ErrInvalid and ErrNotEmpty.
func ResultError(res *raftfsmpb.Result) error {
	var kind error
	switch res.GetCode() {
	case raftfsmpb.Code_OK:
		return nil
	case raftfsmpb.Code_CONFLICT:
		kind = ErrConflict
	case raftfsmpb.Code_NOT_FOUND:
		kind = ErrNotFound
	case raftfsmpb.Code_EXISTS:
		kind = ErrExists
	case raftfsmpb.Code_INVALID:
		kind = ErrInvalid
	case raftfsmpb.Code_NOT_EMPTY:
		kind = ErrNotEmpty
	default:
		return fmt.Errorf("command was refused with the unexpected code %v: %s", res.GetCode(), res.GetMessage())
	}
	return &state.Error{Kind: kind, Message: res.GetMessage()}
}

// refusal makes the result of a command from an error of the state packages.
func refusal(err error) *raftfsmpb.Result {
	code := raftfsmpb.Code_INVALID
	switch {
	case errors.Is(err, ErrConflict):
		code = raftfsmpb.Code_CONFLICT
	case errors.Is(err, ErrNotFound):
		code = raftfsmpb.Code_NOT_FOUND
	case errors.Is(err, ErrExists):
		code = raftfsmpb.Code_EXISTS
	case errors.Is(err, ErrNotEmpty):
		code = raftfsmpb.Code_NOT_EMPTY
	}
	return &raftfsmpb.Result{Code: code, Message: err.Error()}
}
