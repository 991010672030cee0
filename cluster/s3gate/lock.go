package s3gate

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// Locks are decided where a deletion is committed. versitygw looks at them too,
// before it calls the backend: by what it asks for then it would refuse more than
// S3 does, and race with what is being committed. So whoever asks in a request
// that writes is told that nothing is locked, and the commit decides.

// maxUntil is the last time that a retention can end. The nanoseconds of a later one are
// no time to the catalog, and some hundred years on they are those of an earlier one.
var maxUntil = time.Unix(0, catalog.MaxTime).UTC()

// maxDefaultDays bounds the default retention of a bucket. With a longer one the day
// comes when no write of the bucket can be retained for as long, and all are refused.
const maxDefaultDays = 50 * 365

// checkUntil refuses a retention that ends later than can be.
func checkUntil(until time.Time) error {
	if !until.After(maxUntil) {
		return nil
	}
	return invalidArgument("RetainUntilDate", until.Format(time.RFC3339), "The retain until date must not be after "+maxUntil.Format(time.RFC3339))
}

// lockOf returns the lock that the headers of a write ask for; nil for none.
func lockOf(mode types.ObjectLockMode, until *time.Time, hold types.ObjectLockLegalHoldStatus) (*catalogpb.Lock, error) {
	if mode == "" && hold == "" {
		return nil, nil
	}
	l := &catalogpb.Lock{Mode: retentionMode(string(mode)), Hold: hold == types.ObjectLockLegalHoldStatusOn}
	if l.Mode != catalogpb.RetentionMode_RETENTION_NONE && until != nil {
		if err := checkUntil(*until); err != nil {
			return nil, err
		}
		l.Until = until.UnixNano()
	}
	return l, nil
}

// retentionMode reads a mode as S3 names it.
func retentionMode(name string) catalogpb.RetentionMode {
	switch name {
	case string(types.ObjectLockModeGovernance):
		return catalogpb.RetentionMode_RETENTION_GOVERNANCE
	case string(types.ObjectLockModeCompliance):
		return catalogpb.RetentionMode_RETENTION_COMPLIANCE
	}
	return catalogpb.RetentionMode_RETENTION_NONE
}

// retentionName is the inverse of retentionMode.
func retentionName(m catalogpb.RetentionMode) string {
	switch m {
	case catalogpb.RetentionMode_RETENTION_GOVERNANCE:
		return string(types.ObjectLockModeGovernance)
	case catalogpb.RetentionMode_RETENTION_COMPLIANCE:
		return string(types.ObjectLockModeCompliance)
	}
	return ""
}

// lockHeaders returns the lock of a version as answers to reads have it.
func lockHeaders(l catalog.Lock) (mode types.ObjectLockMode, until *time.Time, hold types.ObjectLockLegalHoldStatus) {
	if name := retentionName(l.Mode); name != "" {
		mode, until = types.ObjectLockMode(name), ptr(time.Unix(0, l.Until).UTC())
	}
	if l.Hold {
		hold = types.ObjectLockLegalHoldStatusOn
	}
	return mode, until, hold
}

// mayBypass reports whether a request asks to lift governance retention. Every key
// that may remove versions may.
func mayBypass(request context.Context) bool {
	return strings.EqualFold(asked(request, "X-Amz-Bypass-Governance-Retention"), "true")
}

// PutObjectLockConfiguration enables the object lock of a bucket, and sets or
// removes the default retention.
func (b *tenantBackend) PutObjectLockConfiguration(request context.Context, bucket string, config []byte) error {
	const op = "put object lock configuration"
	ctx, path, a, err := b.settings(request, op, bucket)
	if err != nil {
		return err
	}
	var in auth.BucketLockConfig
	if err := json.Unmarshal(config, &in); err != nil {
		return s3err.GetAPIError(s3err.ErrMalformedXML)
	}
	if a.Versioning != catalogpb.Versioning_VERSIONING_ENABLED {
		return s3err.GetAPIError(s3err.ErrObjectLockConfigurationNotAllowed)
	}
	lock := defaultLock(in)
	if days := uint64(lock.GetDays()) + 365*uint64(lock.GetYears()); days > maxDefaultDays {
		return invalidArgument("DefaultRetention", "", fmt.Sprintf("The default retention must not be longer than %d years, or %d days", maxDefaultDays/365, maxDefaultDays))
	}
	if err := b.objects.SetDefaultLock(ctx, path, lock); err != nil {
		return b.apiError(op, path, "", err)
	}
	return nil
}

// defaultLock reads a bucket's configuration, which versitygw has checked.
func defaultLock(in auth.BucketLockConfig) *catalogpb.DefaultLock {
	lock := &catalogpb.DefaultLock{Enabled: true}
	if r := in.DefaultRetention; r != nil {
		lock.Mode = retentionMode(string(r.Mode))
		if r.Days != nil {
			lock.Days = uint32(*r.Days)
		}
		if r.Years != nil {
			lock.Years = uint32(*r.Years)
		}
	}
	return lock
}

// GetObjectLockConfiguration returns the object lock of a bucket, in the form that
// versitygw keeps.
func (b *tenantBackend) GetObjectLockConfiguration(request context.Context, bucket string) ([]byte, error) {
	const op = "get object lock configuration"
	if !reads(request) {
		return nil, s3err.GetAPIError(s3err.ErrObjectLockConfigurationNotFound)
	}
	_, path, a, err := b.settings(request, op, bucket)
	if err != nil {
		return nil, err
	}
	if !a.Lock.GetEnabled() {
		return nil, s3err.GetAPIError(s3err.ErrObjectLockConfigurationNotFound)
	}
	out := auth.BucketLockConfig{Enabled: true}
	if name := retentionName(a.Lock.GetMode()); name != "" {
		out.DefaultRetention = &types.DefaultRetention{Mode: types.ObjectLockRetentionMode(name)}
		if n := a.Lock.GetDays(); n > 0 {
			out.DefaultRetention.Days = ptr(int32(n))
		}
		if n := a.Lock.GetYears(); n > 0 {
			out.DefaultRetention.Years = ptr(int32(n))
		}
	}
	config, err := json.Marshal(out)
	if err != nil {
		return nil, b.apiError(op, path, "", err)
	}
	return config, nil
}

// locked returns a version for a request about its lock.
func (b *tenantBackend) locked(request context.Context, op, bucket, key, id string) (target, *catalog.Version, error) {
	if !reads(request) {
		return target{}, nil, s3err.GetAPIError(s3err.ErrNoSuchObjectLockConfiguration)
	}
	_, path, a, err := b.settings(request, op, bucket)
	if err != nil {
		return target{}, nil, err
	}
	if !a.Lock.GetEnabled() {
		return target{}, nil, s3err.GetAPIError(s3err.ErrMissingObjectLockConfiguration)
	}
	_, t, v, err := b.find(request, op, &bucket, &key, &id)
	t.path = path
	return t, v, err
}

// GetObjectRetention returns the retention of a version, as JSON.
func (b *tenantBackend) GetObjectRetention(request context.Context, bucket, key, id string) ([]byte, error) {
	const op = "get object retention"
	t, v, err := b.locked(request, op, bucket, key, id)
	if err != nil {
		return nil, err
	}
	mode, until, _ := lockHeaders(v.Lock)
	if mode == "" {
		return nil, s3err.GetAPIError(s3err.ErrNoSuchObjectLockConfiguration)
	}
	out, err := json.Marshal(types.ObjectLockRetention{Mode: types.ObjectLockRetentionMode(mode), RetainUntilDate: until})
	if err != nil {
		return nil, b.apiError(op, t.path, t.key, err)
	}
	return out, nil
}

// PutObjectRetention sets the retention of a version, which comes as JSON, or ends it.
func (b *tenantBackend) PutObjectRetention(request context.Context, bucket, key, id string, retention []byte) error {
	ctx, t, err := b.target(request, &bucket, &key, &id)
	if err != nil {
		return err
	}
	in, err := auth.ParseObjectLockRetentionOutput(retention)
	if err != nil || in.RetainUntilDate == nil {
		return s3err.GetAPIError(s3err.ErrMalformedXML)
	}
	mode := retentionMode(string(in.Mode))
	if lifts(request) {
		mode = catalogpb.RetentionMode_RETENTION_NONE
	} else if err := checkUntil(*in.RetainUntilDate); err != nil {
		return err
	}
	err = b.objects.SetRetention(ctx, t.path, t.key, t.which, mode, *in.RetainUntilDate, mayBypass(request))
	if err != nil {
		return b.versionError("put object retention", t, &id, err)
	}
	return nil
}

// GetObjectLegalHold says whether a version is under legal hold.
func (b *tenantBackend) GetObjectLegalHold(request context.Context, bucket, key, id string) (*bool, error) {
	_, v, err := b.locked(request, "get object legal hold", bucket, key, id)
	if err != nil {
		return nil, err
	}
	return &v.Lock.Hold, nil
}

// PutObjectLegalHold puts a version under legal hold, or ends it.
func (b *tenantBackend) PutObjectLegalHold(request context.Context, bucket, key, id string, on bool) error {
	ctx, t, err := b.target(request, &bucket, &key, &id)
	if err != nil {
		return err
	}
	if err := b.objects.SetHold(ctx, t.path, t.key, t.which, on); err != nil {
		return b.versionError("put object legal hold", t, &id, err)
	}
	return nil
}
