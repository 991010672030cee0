package link

import (
	"context"
	"errors"
	"fmt"
)

// Code says in one word why a sender refused a request. The values travel.
type Code string

// The codes that this version sends. A receiver treats one it does not know
// like CodeInternal.
const (
	CodeUnpaired  Code = "unpaired"   // the sites are not paired, or no longer
	CodeNoService Code = "no-service" // no link of that name with this peer
	CodeDisabled  Code = "disabled"   // the link is disabled at the sender
	CodeTunnel    Code = "tunnel"     // the link is carried inside a tunnel only
	CodeNotServed Code = "not-served" // the bucket is not let out over this link
	CodeVersion   Code = "version"    // no protocol version in common
	CodePaused    Code = "paused"     // the link is paused at the sender
	CodeInvalid   Code = "invalid"    // the request breaks the protocol
	CodeStarting  Code = "starting"   // the link is not up at the sender yet; ask again soon
	CodeBusy      Code = "busy"       // a bound is reached; ask again later
	CodeLarge     Code = "large"      // the records of one key are more than the request allows
	CodeInternal  Code = "internal"   // the sender failed; its log says how
)

// Lasts reports whether the refusal stands until somebody changes something at one
// of the sites. The others pass by themselves, as far as this version knows.
func (c Code) Lasts() bool {
	switch c {
	case CodeUnpaired, CodeNoService, CodeDisabled, CodeTunnel, CodeNotServed, CodeVersion, CodePaused, CodeInvalid, CodeLarge:
		return true
	}
	return false
}

// Refused is the answer of a sender that does not serve a request.
type Refused struct {
	Code    Code
	Message string // a sentence for the receiver's operator
}

// Error gives the message with its code.
func (r *Refused) Error() string { return fmt.Sprintf("refused (%s): %s", r.Code, r.Message) }

// Refuse makes a *Refused with a formatted message.
func Refuse(code Code, format string, args ...any) error {
	return &Refused{Code: code, Message: fmt.Sprintf(format, args...)}
}

// FaultKind says in one word how the way to a peer failed. Screens and metrics
// show it.
type FaultKind string

// The kinds of faults.
const (
	FaultUnreachable  FaultKind = "unreachable"   // no connection: refused, no route, no such host
	FaultTimeout      FaultKind = "timeout"       // nobody answered in time
	FaultIdentity     FaultKind = "identity"      // somebody else answered
	FaultNotPaired    FaultKind = "not-paired"    // the peer is not pinned here, or we are not pinned there
	FaultNoConnection FaultKind = "no-connection" // the peer has to dial, and has not
	FaultStalled      FaultKind = "stalled"       // the peer stopped moving
	FaultBroken       FaultKind = "broken"        // the connection was lost
	FaultProtocol     FaultKind = "protocol"      // the peer sent what the protocol forbids
	FaultClosed       FaultKind = "closed"        // this side closed the client
)

// Fault is a failure of the way to a peer, in words for an operator.
type Fault struct {
	Kind    FaultKind
	Message string // a sentence without the kind
	Err     error  // the cause, if there is one
}

// Error gives the message, which says what happened, where, and why.
func (f *Fault) Error() string { return f.Message }

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.Err }

// Cause puts an error of a Source in one word: a FaultKind, a Code, "canceled"
// or "failed"; "" for nil.
func Cause(err error) string {
	if err == nil {
		return ""
	}
	if f, ok := errors.AsType[*Fault](err); ok {
		return string(f.Kind)
	}
	if r, ok := errors.AsType[*Refused](err); ok {
		return string(r.Code)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return "canceled"
	}
	return "failed"
}
