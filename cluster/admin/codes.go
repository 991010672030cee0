package admin

import (
	"context"
	"errors"
	"strings"

	"connectrpc.com/connect"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// codes pairs the kinds of failure with the codes of the wire. Where a code of
// the wire stands twice, the first is what a client makes of it.
var codes = []struct {
	code Code
	wire connect.Code
}{
	{CodeInvalid, connect.CodeInvalidArgument},
	{CodeInvalid, connect.CodeOutOfRange},
	{CodeNotFound, connect.CodeNotFound},
	{CodeDenied, connect.CodePermissionDenied},
	{CodeDenied, connect.CodeUnauthenticated},
	{CodeExists, connect.CodeAlreadyExists},
	{CodeConflict, connect.CodeFailedPrecondition},
	{CodeConflict, connect.CodeAborted},
	{CodeUnavailable, connect.CodeUnavailable},
	{CodeTimeout, connect.CodeDeadlineExceeded},
	{CodeUnsupported, connect.CodeUnimplemented},
	{CodeInterrupted, connect.CodeCanceled},
	{CodeExhausted, connect.CodeResourceExhausted},
	{CodeFailed, connect.CodeInternal},
	{CodeFailed, connect.CodeDataLoss},
	{CodeFailed, connect.CodeUnknown},
}

func wireCode(code Code) connect.Code {
	for _, c := range codes {
		if c.code == code {
			return c.wire
		}
	}
	return connect.CodeInternal
}

func codeOf(wire connect.Code) Code {
	for _, c := range codes {
		if c.wire == wire {
			return c.code
		}
	}
	return CodeFailed
}

// kinds says what the kinds of refusal of raftfsm/state mean to a caller.
var kinds = []struct {
	kind error
	code Code
}{
	{state.ErrInvalid, CodeInvalid},
	{state.ErrNotFound, CodeNotFound},
	{state.ErrExists, CodeExists},
	{state.ErrNotEmpty, CodeConflict},
	{state.ErrConflict, CodeConflict},
}

// Classify says what a failure of an implementation means to the caller. Typed
// errors keep their sentence, without what was wrapped around it.
func Classify(err error) *Error {
	var ours *Error
	if errors.As(err, &ours) {
		return ours
	}
	var wire *connect.Error // of the stream that an upload is read from
	if errors.As(err, &wire) {
		return &Error{Code: codeOf(wire.Code()), Message: wire.Message(), Err: err}
	}
	for _, k := range kinds {
		if errors.Is(err, k.kind) {
			sentence, hint := refusal(err)
			return &Error{Code: k.code, Message: sentence, Hint: hint, Err: err}
		}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: CodeTimeout, Message: "the node did not finish in time", Err: err}
	case errors.Is(err, context.Canceled):
		return &Error{Code: CodeInterrupted, Message: "the call was interrupted", Err: err}
	}
	return &Error{Code: CodeFailed, Message: "the node failed: " + err.Error(), Hint: "see the node's log for the request", Err: err}
}

// refusal finds the sentence and the hint of a typed refusal inside an error.
func refusal(err error) (sentence, hint string) {
	sentence = err.Error()
	var hinted interface {
		error
		Hint() string
	}
	var known *state.Error
	switch {
	case errors.As(err, &hinted):
		return hinted.Error(), hinted.Hint()
	case errors.As(err, &known):
		return known.Error(), ""
	}
	return sentence, ""
}

// wireError is the form of a failure on the wire.
func wireError(err error, node, requestID string) *connect.Error {
	var wire *connect.Error
	if !errors.As(err, &wire) { // connect's own refusals (too large, malformed) are that already
		failure := Classify(err)
		wire = connect.NewError(wireCode(failure.Code), errors.New(clean(failure.Message)))
		detail := &adminpb.ErrorDetail{Hint: clean(failure.Hint), RequestId: requestID, Node: clean(node)}
		if d, err := connect.NewErrorDetail(detail); err == nil {
			wire.AddDetail(d)
		}
	}
	wire.Meta().Set(requestHeader, requestID)
	return wire
}

// clean makes text that may come from outside fit for a message: valid UTF-8
// of bounded length. Control characters are for whoever prints it.
func clean(s string) string {
	const most = 4 << 10
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
