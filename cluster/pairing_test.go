package cluster

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/sync/link"
)

func TestPairingFailure(t *testing.T) {
	for _, c := range []struct {
		err  error
		code admin.Code
		says string
	}{
		{link.Refuse(link.CodeInvalid, "the token is not known here"), admin.CodeDenied, "the site at far:14000 refused to pair: the token is not known here"},
		{link.Refuse(link.CodeInternal, "it failed"), admin.CodeUnavailable, "refused to pair: it failed"},
		{&link.Fault{Kind: link.FaultUnreachable, Message: "connection refused"}, admin.CodeUnavailable, "pair with the site at far:14000: connection refused"},
		{&link.Fault{Kind: link.FaultIdentity, Message: "somebody else answers"}, admin.CodeDenied, "somebody else answers"},
	} {
		failure, ok := errors.AsType[*admin.Error](pairingFailure("far:14000", fmt.Errorf("pair: %w", c.err)))
		if !ok || failure.Code != c.code || !strings.Contains(failure.Message, c.says) || (failure.Hint == "") != (c.code == admin.CodeDenied && c.says == "somebody else answers") || !errors.Is(failure, c.err) {
			t.Errorf("%v: %#v", c.err, failure)
		}
	}
	other := errors.New("out of memory")
	if got := pairingFailure("far:14000", other); got != other {
		t.Errorf("another failure became %v", got)
	}
}
