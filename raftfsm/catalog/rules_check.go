package catalog

import (
	"bytes"
	"fmt"
	"google.golang.org/protobuf/proto"
	"unicode/utf8"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// Limits of what a record may hold. They are part of the link protocol: a
// record beyond them is quarantined by every site.
const (
	// MaxKey is the greatest length of a key in bytes.
	MaxKey = 1024
	// MaxGeneration is the greatest generation accepted from another site. Above
	// it a site could make its versions unbeatable.
	MaxGeneration = 1 << 62
	// MaxTime is the greatest time accepted from another site.
	MaxTime = 1 << 62
	// MaxRecordSize is the greatest encoded size of a record in bytes; the sizes
	// of 10,000 parts and all metadata that S3 allows fit in.
	MaxRecordSize = 96 << 10
	// MaxObjectSize is the greatest number of logical bytes of one version; sums
	// over a bucket cannot overflow.
	MaxObjectSize = 1 << 50
	// MaxOrigins is the greatest number of entries of a vector or a context.
	MaxOrigins = 4096
)

// CheckVector says what is wrong with a vector from outside, or nothing. The
// order of its entries does not matter.
func CheckVector(v *pb.Vector) error {
	if n := len(v.GetUpto()); n > MaxOrigins {
		return fmt.Errorf("check vector: %d entries, more than %d", n, MaxOrigins)
	}
	for _, d := range v.GetUpto() {
		if err := CheckDot(d); err != nil {
			return fmt.Errorf("check vector: %w", err)
		}
	}
	return nil
}

// CheckDot says what is wrong with a dot from outside, or nothing.
func CheckDot(d *pb.Dot) error {
	if _, err := state.SiteIDFromBytes(d.GetOrigin()); err != nil {
		return fmt.Errorf("check dot: origin: %w", err)
	}
	if d.GetSeq() == 0 {
		return fmt.Errorf("check dot: sequence is 0")
	}
	return nil
}

// CheckRecord says what is wrong with a record from outside, or nothing. A
// record that fails it while its dot passes [CheckDot] can be named, and so be
// quarantined; one whose dot is wrong too cannot be kept at all.
func CheckRecord(r *pb.Record) error {
	if err := CheckDot(r.GetDot()); err != nil {
		return err
	}
	switch {
	case r.GetKind() < pb.RecordKind_RECORD_VERSION || r.GetKind() > pb.RecordKind_RECORD_BUCKET:
		return fmt.Errorf("check record: kind %d is not known here; a newer release may know it", r.GetKind())
	case r.GetGeneration() == 0 || r.GetGeneration() > MaxGeneration:
		return fmt.Errorf("check record: generation %d is not between 1 and 2^62", r.GetGeneration())
	case outOfRange(r.GetTime()) || outOfRange(r.GetAt()):
		return fmt.Errorf("check record: time %d or %d is out of range", r.GetTime(), r.GetAt())
	case len(r.GetContext()) > MaxOrigins:
		return fmt.Errorf("check record: context of %d entries, more than %d", len(r.GetContext()), MaxOrigins)
	case r.GetRoot().GetSize() > MaxObjectSize:
		return fmt.Errorf("check record: size %d is above the limit of %d bytes", r.GetRoot().GetSize(), uint64(MaxObjectSize))
	}
	if n := len(r.GetRoot().GetId()); n != 0 && n != 32 {
		return fmt.Errorf("check record: root id of %d bytes, not 32", n)
	}
	for i, d := range r.GetContext() {
		if err := CheckDot(d); err != nil {
			return fmt.Errorf("check record: context: %w", err)
		}
		if i > 0 && bytes.Compare(r.GetContext()[i-1].GetOrigin(), d.GetOrigin()) >= 0 {
			return fmt.Errorf("check record: context is not ordered by origin")
		}
	}
	size, known := proto.Size(r), 0
	for _, k := range r.GetKnown() {
		known += proto.Size(k)
	}
	if size -= known; size > MaxRecordSize {
		return fmt.Errorf("check record: %d bytes, more than %d", size, MaxRecordSize)
	}
	if known > maxKnownSize {
		return fmt.Errorf("check record: %d bytes of what it knows of, more than %d", known, maxKnownSize)
	}
	return checkKind(r)
}

func outOfRange(time int64) bool { return time > MaxTime || time < -MaxTime }

// checkKind checks what a record of its kind must have and must not have.
func checkKind(r *pb.Record) error {
	if r.GetKind() == pb.RecordKind_RECORD_BUCKET {
		if len(r.GetKey()) > 0 || r.GetTarget() != nil {
			return fmt.Errorf("check record: the setting of a bucket names a key or a version")
		}
		return CheckBucketValue(r.GetField(), r.GetValue())
	}
	if err := CheckKey(r.GetKey()); err != nil {
		return err
	}
	if v := r.GetVersioning(); v < pb.Versioning_VERSIONING_NEVER || v > pb.Versioning_VERSIONING_SUSPENDED {
		return fmt.Errorf("check record: versioning %d is not known here; a newer release may know it", v)
	}
	switch r.GetKind() {
	case pb.RecordKind_RECORD_PURGE, pb.RecordKind_RECORD_ATTRIBUTE:
		if err := CheckDot(r.GetTarget()); err != nil {
			return fmt.Errorf("check record: target: %w", err)
		}
	default:
		if r.GetTarget() != nil {
			return fmt.Errorf("check record: content or a deletion has a target")
		}
	}
	if r.GetKind() == pb.RecordKind_RECORD_ATTRIBUTE {
		return CheckValue(r.GetField(), r.GetValue())
	}
	if r.GetField() != "" || r.GetValue() != nil {
		return fmt.Errorf("check record: it sets the field %q without being an attribute", r.GetField())
	}
	if err := checkKnown(r); err != nil {
		return err
	}
	if r.GetRevoked() && !register(r) {
		return fmt.Errorf("check record: only the purge of a version with an id can be revoked")
	}
	if err := checkTags(r.GetTags()); err != nil {
		return err
	}
	return checkLock(r.GetLock().GetMode(), r.GetLock().GetUntil())
}

// checkKnown checks what a purge says that its writer had, or what a version whose
// purge was revoked brings along.
func checkKnown(r *pb.Record) error {
	if len(r.GetKnown()) > maxFields+1 {
		return fmt.Errorf("check record: it knows of %d records, more than %d", len(r.GetKnown()), maxFields+1)
	}
	for _, k := range r.GetKnown() {
		if len(k.GetKnown()) > 0 {
			return fmt.Errorf("check record: what it knows of knows of more")
		}
		if r.GetKind() == pb.RecordKind_RECORD_PURGE {
			continue
		}
		about := k.GetKind() == pb.RecordKind_RECORD_ATTRIBUTE || register(k) && k.GetRevoked()
		if !HasID(r) || !about || !bytes.Equal(k.GetKey(), r.GetKey()) || !sameDot(r, k.GetTarget()) {
			return fmt.Errorf("check record: it brings along what is not about it")
		}
		if err := CheckRecord(k); err != nil {
			return err
		}
	}
	return nil
}

// Limits of attributes.
const (
	// MaxTags is the greatest number of tags; S3 servers allow 10 for a version and
	// 50 for a bucket.
	MaxTags = 50
	// MaxCORS is the greatest size of a bucket's CORS rules in bytes.
	MaxCORS = 64 << 10
	// MaxRetentionDays is the greatest retention that a bucket gives by default.
	MaxRetentionDays = 36_500
	maxFields        = 3 // of attributes of a version
	maxKnownSize     = 80 << 10
	maxTagName       = 128 * utf8.UTFMax
	maxTagValue      = 256 * utf8.UTFMax
)

// CheckValue says what is wrong with a field and a value for an attribute of a
// version, or nothing.
func CheckValue(field string, v *pb.Value) error {
	switch field {
	case FieldTags:
		return checkTags(v.GetTags())
	case FieldRetention:
		return checkLock(v.GetMode(), v.GetUntil())
	case FieldHold:
		return nil
	}
	return fmt.Errorf("check attribute: field %q is not known here; a newer release may know it", field)
}

// CheckBucketValue says what is wrong with a field and a value for a setting of a
// bucket, or nothing.
func CheckBucketValue(field string, v *pb.Value) error {
	switch field {
	case FieldTags:
		return checkTags(v.GetTags())
	case FieldCORS:
		if n := len(v.GetCors()); n > MaxCORS {
			return fmt.Errorf("check attribute: CORS rules have %d bytes, more than %d", n, MaxCORS)
		}
		return nil
	case FieldVersioning:
		if s := v.GetVersioning(); s != pb.Versioning_VERSIONING_ENABLED && s != pb.Versioning_VERSIONING_SUSPENDED {
			return fmt.Errorf("check attribute: versioning %d is neither enabled nor suspended", s)
		}
		return nil
	case FieldLock:
		l := v.GetLock()
		if !l.GetEnabled() {
			return fmt.Errorf("check attribute: object lock cannot be disabled")
		}
		if l.GetMode() == pb.RetentionMode_RETENTION_NONE {
			if l.GetDays() != 0 || l.GetYears() != 0 {
				return fmt.Errorf("check attribute: a default retention has a length, but no mode")
			}
			return nil
		}
		if err := checkLock(l.GetMode(), 1); err != nil {
			return err
		}
		if (l.GetDays() == 0) == (l.GetYears() == 0) {
			return fmt.Errorf("check attribute: a default retention has either days or years")
		}
		if uint64(l.GetDays())+365*uint64(l.GetYears()) > MaxRetentionDays {
			return fmt.Errorf("check attribute: a default retention of %d days and %d years is longer than %d days", l.GetDays(), l.GetYears(), MaxRetentionDays)
		}
		return nil
	}
	return fmt.Errorf("check attribute: field %q is not known here; a newer release may know it", field)
}

func checkTags(tags map[string]string) error {
	if len(tags) > MaxTags {
		return fmt.Errorf("check tags: %d, more than %d", len(tags), MaxTags)
	}
	bad, found := "", false
	for k, v := range tags {
		if k == "" || len(k) > maxTagName || len(v) > maxTagValue {
			// The first by name: what is wrong with a record is kept with it, and has to
			// be the same on all nodes of a site.
			if !found || k < bad {
				bad, found = k, true
			}
		}
	}
	if found {
		return fmt.Errorf("check tags: the name %.20q or its value is empty or too long", bad)
	}
	return nil
}

func checkLock(mode pb.RetentionMode, until int64) error {
	switch mode {
	case pb.RetentionMode_RETENTION_NONE:
		if until != 0 {
			return fmt.Errorf("check lock: a retention has an end, but no mode")
		}
		return nil
	case pb.RetentionMode_RETENTION_GOVERNANCE, pb.RetentionMode_RETENTION_COMPLIANCE:
		if until <= 0 || until > MaxTime {
			return fmt.Errorf("check lock: a retention ends at %d, which is no time", until)
		}
		return nil
	}
	return fmt.Errorf("check lock: mode %d is not known here; a newer release may know it", mode)
}

// CheckKey says what is wrong with an object key, or nothing.
func CheckKey(key []byte) error {
	switch {
	case len(key) == 0:
		return fmt.Errorf("check key: it is empty")
	case len(key) > MaxKey:
		return fmt.Errorf("check key: %d bytes, more than %d", len(key), MaxKey)
	case !utf8.Valid(key):
		return fmt.Errorf("check key: not UTF-8")
	}
	return nil
}
