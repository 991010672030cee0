package s3gate

import (
	"testing"
	"time"

	"github.com/versity/versitygw/s3response"
)

// TestFormLock reads the locks of forms.
func TestFormLock(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		mode, until, hold string
		want              int
	}{
		{"", "", "", 0},
		{"", "", "ON", 0},
		{"", "", "OFF", 0},
		{"GOVERNANCE", "2026-01-02T00:00:00Z", "", 0},
		{"COMPLIANCE", "2026-01-02T00:00:00Z", "ON", 0},
		{"GOVERNANCE", "", "", 400},
		{"", "2026-01-02T00:00:00Z", "", 400},
		{"governance", "2026-01-02T00:00:00Z", "", 400},
		{"GOVERNANCE", "tomorrow", "", 400},
		{"GOVERNANCE", "2025-12-31T00:00:00Z", "", 400},
		{"", "", "yes", 400},
	} {
		var in s3response.PutObjectInput
		err := formLock(c.mode, c.until, c.hold, now, &in)
		if status(err) != c.want || err == nil && (string(in.ObjectLockMode) != c.mode || string(in.ObjectLockLegalHoldStatus) != c.hold || (in.ObjectLockRetainUntilDate != nil) != (c.until != "")) {
			t.Errorf("%+v: %v, error %v", c, in, err)
		}
	}
}
