package objects

import "errors"

// What a call can fail with, for errors.Is. Other errors are failures of the
// store, of the proposer or of the body that was read, wrapped.
var (
	// ErrNoBucket says that the bucket does not exist.
	ErrNoBucket = errors.New("no such bucket")
	// ErrNoKey says that the bucket has no object of that key.
	ErrNoKey = errors.New("no such key")
	// ErrNoVersion says that the key has no such version.
	ErrNoVersion = errors.New("no such version")
	// ErrDeleteMarker says that the version that was named is a delete marker,
	// which has no content.
	ErrDeleteMarker = errors.New("the version is a delete marker")
	// ErrVersionID says that no version can have such an ID.
	ErrVersionID = errors.New("invalid version ID")
	// ErrLocked says that a legal hold or a retention forbids it.
	ErrLocked = errors.New("the version is locked")
	// ErrNoLock says that the bucket has no object lock, so that no version of it
	// can be locked.
	ErrNoLock = errors.New("the bucket has no object lock")
	// ErrQuota says that a write would exceed the quota of the bucket or of its
	// tenant.
	ErrQuota = errors.New("quota exceeded")
	// ErrPrecondition says that a condition did not hold. Nothing was changed.
	ErrPrecondition = errors.New("precondition failed")
	// ErrNoUpload says that the upload does not exist: it was completed or
	// aborted, or never begun.
	ErrNoUpload = errors.New("no such upload")
	// ErrInvalidPart says that a part of a completion was not uploaded, or has
	// another ETag.
	ErrInvalidPart = errors.New("invalid part")
	// ErrPartOrder says that the parts of a completion do not ascend.
	ErrPartOrder = errors.New("parts are not in ascending order")
	// ErrPartTooSmall says that a part other than the last has less than
	// MinPartSize bytes.
	ErrPartTooSmall = errors.New("part is too small")
	// ErrUploadChanged says that a part was uploaded again while the upload
	// was completed. Nothing was changed; completing again is right.
	ErrUploadChanged = errors.New("the upload changed while it was completed")
	// ErrInvalidKey says that a key is empty, too long or not UTF-8.
	ErrInvalidKey = errors.New("invalid key")
	// ErrBodySize says that a body had less or more bytes than announced.
	ErrBodySize = errors.New("body does not have the announced size")
	// ErrRange says that a range begins at or beyond the end of an object.
	ErrRange = errors.New("range is not within the object")
	// ErrInvalid says that the request breaks another rule, which it names.
	ErrInvalid = errors.New("invalid request")
)
