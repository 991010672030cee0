package s3gate

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// readForm adds to a write what its form says and versitygw does not hand on: the lock
// of the version. What is not offered is refused, as in headers.
func readForm(request context.Context, in *s3response.PutObjectInput) error {
	form, ok := request.Value("object-post-result").(middlewares.PostObjectResult)
	if !ok {
		return nil
	}
	for name, value := range form.Fields {
		switch {
		case strings.HasPrefix(name, "x-amz-server-side-encryption"), name == "x-amz-storage-class" && value != "STANDARD":
			return s3err.GetNotImplementedErr(strings.Clone(name), "")
		}
	}
	return formLock(form.Fields["x-amz-object-lock-mode"], form.Fields["x-amz-object-lock-retain-until-date"],
		form.Fields["x-amz-object-lock-legal-hold"], time.Now(), in)
}

// formLock reads the lock of a form, as versitygw reads that of headers.
func formLock(mode, until, hold string, now time.Time, in *s3response.PutObjectInput) error {
	switch {
	case mode == "" && until != "":
		return s3err.GetInvalidArgumentErr(s3err.InvalidArgMissingObjectLockMode, "")
	case mode != "" && until == "":
		return s3err.GetInvalidArgumentErr(s3err.InvalidArgMissingObjectLockRetainDate, "")
	case mode != "" && retentionName(retentionMode(mode)) != mode:
		return s3err.GetInvalidArgumentErr(s3err.InvalidArgObjectLockMode, strings.Clone(mode))
	case hold != "" && hold != string(types.ObjectLockLegalHoldStatusOn) && hold != string(types.ObjectLockLegalHoldStatusOff):
		return s3err.GetInvalidArgumentErr(s3err.InvalidArgLegalHoldStatus, strings.Clone(hold))
	}
	if until != "" {
		at, err := time.Parse(time.RFC3339, until)
		if err != nil {
			return s3err.GetInvalidArgumentErr(s3err.InvalidArgRetainUntilDate, strings.Clone(until))
		}
		if at.Before(now) {
			return s3err.GetInvalidArgumentErr(s3err.InvalidArgPastObjectLockRetainDate, strings.Clone(until))
		}
		in.ObjectLockRetainUntilDate = &at
	}
	in.ObjectLockMode, in.ObjectLockLegalHoldStatus = types.ObjectLockMode(strings.Clone(mode)), types.ObjectLockLegalHoldStatus(strings.Clone(hold))
	return nil
}
