package s3gate

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/versity/versitygw/s3err"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm"
	"edgefog.dev/isgw/raftfsm/state"
)

// Errors of S3 that versitygw has no name for.
var (
	errUnavailable = s3err.APIError{
		Code:           "ServiceUnavailable",
		Description:    "The server cannot do this now. Please try again.",
		HTTPStatusCode: http.StatusServiceUnavailable,
	}
	errChanged = s3err.APIError{
		Code:           "OperationAborted",
		Description:    "A part was uploaded again while the upload was completed. Please try again.",
		HTTPStatusCode: http.StatusConflict,
	}
	errCopyOfMarker = s3err.APIError{
		Code:           "InvalidRequest",
		Description:    "The source of a copy request may not specifically refer to a delete marker by version id.",
		HTTPStatusCode: http.StatusBadRequest,
	}
	errSystemTag = s3err.APIError{
		Code:           "InvalidTag",
		Description:    "System tags cannot be added/updated by requester",
		HTTPStatusCode: http.StatusBadRequest,
	}
	errTimeout = s3err.APIError{
		Code:           "RequestTimeout",
		Description:    "Your socket connection to the server was not read from or written to within the timeout period.",
		HTTPStatusCode: http.StatusBadRequest,
	}
)

// apiError returns the S3 error for a failure of op. Failures that are the
// site's and not the client's are logged and answered as internal errors, which
// tell nothing.
func (b *tenantBackend) apiError(op, bucket, key string, err error) error {
	name := bucket[strings.LastIndexByte(bucket, '/')+1:]
	var s3e s3err.S3Error
	switch {
	case errors.As(err, &s3e):
		return s3e // of the body: a wrong signature, digest or framing
	case errors.Is(err, objects.ErrNoBucket), errors.Is(err, state.ErrNotFound):
		return s3err.GetBucketErr(s3err.ErrNoSuchBucket, name)
	case errors.Is(err, objects.ErrNoKey):
		return noSuchKey(key)
	case errors.Is(err, objects.ErrNoVersion):
		return s3err.GetAPIError(s3err.ErrNoSuchVersion)
	case errors.Is(err, objects.ErrDeleteMarker):
		return s3err.GetAPIError(s3err.ErrMethodNotAllowed)
	case errors.Is(err, objects.ErrVersionID):
		return s3err.GetAPIError(s3err.ErrInvalidRequest)
	case errors.Is(err, objects.ErrLocked):
		return s3err.GetAPIError(s3err.ErrObjectLocked)
	case errors.Is(err, objects.ErrNoLock):
		return s3err.GetAPIError(s3err.ErrMissingObjectLockConfiguration)
	case errors.Is(err, objects.ErrQuota):
		return s3err.GetAPIError(s3err.ErrQuotaExceeded)
	case errors.Is(err, objects.ErrPrecondition):
		return s3err.GetAPIError(s3err.ErrPreconditionFailed)
	case errors.Is(err, objects.ErrNoUpload):
		return s3err.GetAPIError(s3err.ErrNoSuchUpload)
	case errors.Is(err, objects.ErrInvalidPart):
		return s3err.GetAPIError(s3err.ErrInvalidPart)
	case errors.Is(err, objects.ErrPartOrder):
		return s3err.GetAPIError(s3err.ErrInvalidPartOrder)
	case errors.Is(err, objects.ErrPartTooSmall):
		return s3err.GetAPIError(s3err.ErrEntityTooSmall)
	case errors.Is(err, objects.ErrUploadChanged):
		return errChanged
	case errors.Is(err, objects.ErrInvalidKey):
		if len(key) > objects.MaxKeySize {
			return s3err.GetKeyTooLongErr(int64(len(key)), objects.MaxKeySize)
		}
		return s3err.GetAPIError(s3err.ErrInvalidURI)
	case errors.Is(err, objects.ErrRange):
		return s3err.GetAPIError(s3err.ErrInvalidRange)
	case errors.Is(err, objects.ErrInvalid):
		return s3err.GetAPIError(s3err.ErrInvalidRequest)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errTimeout
	case errors.Is(err, objects.ErrBodySize), errors.Is(err, io.ErrUnexpectedEOF):
		return s3err.GetAPIError(s3err.ErrIncompleteBody)
	case errors.Is(err, state.ErrExists):
		return s3err.GetBucketErr(s3err.ErrBucketAlreadyOwnedByYou, name)
	case errors.Is(err, state.ErrNotEmpty):
		return s3err.GetBucketErr(s3err.ErrBucketNotEmpty, name)
	case errors.Is(err, state.ErrInvalid):
		return s3err.GetBucketErr(s3err.ErrInvalidBucketName, name)
	case errors.Is(err, context.Canceled), errors.Is(err, raftfsm.ErrNotLeader), errors.Is(err, raftfsm.ErrClosed):
		return errUnavailable // nothing was changed, and another try may succeed
	case errors.Is(err, chunks.ErrNoSpace), errors.Is(err, raftfsm.ErrNoSpace):
		b.logger.Error("S3 request failed: the node's disk is full", "operation", op, "bucket", bucket, "key", key, "error", err)
		return s3err.GetAPIError(s3err.ErrNoSpaceLeftOnDevice)
	}
	b.logger.Error("S3 request failed", "operation", op, "bucket", bucket, "key", key, "error", err)
	return s3err.GetAPIError(s3err.ErrInternalError)
}

// noSuchKey says which key there is not. The type is that of versitygw whose body has a
// key, and no version if that is empty.
func noSuchKey(key string) error {
	return s3err.NoSuchVersionError{APIError: s3err.GetAPIError(s3err.ErrNoSuchKey), Key: key}
}

// invalidArgument refuses the value of one argument of a request.
func invalidArgument(name, value, description string) error {
	return s3err.InvalidArgumentError{Description: description, ArgumentName: name, ArgumentValue: strings.Clone(value)}
}
