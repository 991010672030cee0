package cluster

import (
	"errors"
	"fmt"
	"testing"

	objsync "edgefog.dev/isgw/sync"
	"edgefog.dev/isgw/sync/link"
)

// TestVerifyFailureSaysWhatToDo lists what an operator is told when a bucket cannot be
// compared.
func TestVerifyFailureSaysWhatToDo(t *testing.T) {
	off := objsync.Status{State: objsync.StateOff, Cause: "nothing is received: the direction here is send"}
	notServed := link.Refuse(link.CodeNotServed, "bucket H/C/b is not served over link hawaii at beta")
	for _, c := range []struct {
		err  error
		st   objsync.Status
		want string
	}{
		{link.Refuse(link.CodeVersion, "no"), objsync.Status{}, "the release at beta cannot compare buckets: upgrade it"},
		{link.Refuse(link.CodePaused, "link hawaii is paused at beta"), objsync.Status{State: objsync.StatePaused},
			"link hawaii is paused at beta, which lets nothing out meanwhile: resume it there, or compare from there: run `isgwctl link verify hawaii H/C/b` at beta"},
		{fmt.Errorf("verify bucket H/C/b: %w", notServed), off,
			"nothing is received: the direction here is send, so beta answers for nothing: compare where the bucket is received: run `isgwctl link verify hawaii H/C/b` at beta"},
		{notServed, objsync.Status{State: objsync.StateInSync},
			"bucket H/C/b is not served over link hawaii at beta; if it is only received there, run `isgwctl link verify hawaii H/C/b` at beta"},
		{link.Refuse(link.CodeStarting, "service hawaii of site beta is being started"), objsync.Status{}, "service hawaii of site beta is being started"},
		{errors.New("verify bucket H/C/b: the connection to site beta was lost"), objsync.Status{}, "verify bucket H/C/b: the connection to site beta was lost"},
	} {
		if got := verifyFailure(c.err, "hawaii", "H/C/b", "beta", &c.st); got != c.want {
			t.Errorf("%v in state %q:\n%s, want\n%s", c.err, c.st.State, got, c.want)
		}
	}
}
