package cluster

import (
	"errors"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/sync/link"
)

// pairingFailure says to an operator why the site at an address did not pair:
// it refused, it was not reached, or somebody else answered there.
func pairingFailure(address string, err error) error {
	if refused, ok := errors.AsType[*link.Refused](err); ok {
		code, hint := admin.CodeDenied, "make a new token there with `isgwctl site invite`"
		if !refused.Code.Lasts() {
			code, hint = admin.CodeUnavailable, "see the log of that site's node, then try again"
		}
		return &admin.Error{Code: code, Message: "the site at " + address + " refused to pair: " + refused.Message, Hint: hint, Err: err}
	}
	if fault, ok := errors.AsType[*link.Fault](err); ok {
		code, hint := admin.CodeUnavailable, "check that its node runs and that --address of `isgwctl site invite` can be reached from here"
		if fault.Kind == link.FaultIdentity || fault.Kind == link.FaultNotPaired {
			code, hint = admin.CodeDenied, "" // the fault says who answered and what to do
		}
		return &admin.Error{Code: code, Message: "pair with the site at " + address + ": " + fault.Message, Hint: hint, Err: err}
	}
	return err
}
