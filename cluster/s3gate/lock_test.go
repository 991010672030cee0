package s3gate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"
)

// lockedBucket makes a bucket with object lock.
func (s *site) lockedBucket(t testing.TB) keeper {
	t.Helper()
	k := s.keeper(t, "")
	k.bucket = aws.String("locked")
	if _, err := k.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: k.bucket, ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	return k
}

// purge removes a version for good.
func (k keeper) purge(key, id string, bypass bool) error {
	_, err := k.DeleteObject(k.t.Context(), &s3.DeleteObjectInput{Bucket: k.bucket, Key: &key, VersionId: &id, BypassGovernanceRetention: &bypass})
	return err
}

func (k keeper) retain(key, id string, mode types.ObjectLockRetentionMode, until time.Time, bypass bool) error {
	_, err := k.PutObjectRetention(k.t.Context(), &s3.PutObjectRetentionInput{Bucket: k.bucket, Key: &key, VersionId: &id, BypassGovernanceRetention: &bypass,
		Retention: &types.ObjectLockRetention{Mode: mode, RetainUntilDate: &until}})
	return err
}

func (k keeper) hold(key, id string, status types.ObjectLockLegalHoldStatus) error {
	_, err := k.PutObjectLegalHold(k.t.Context(), &s3.PutObjectLegalHoldInput{Bucket: k.bucket, Key: &key, VersionId: &id, LegalHold: &types.ObjectLockLegalHold{Status: status}})
	return err
}

// TestRetention retains versions with a write and afterwards, in both modes.
func TestRetention(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.lockedBucket(t)
	soon, late := time.Now().Add(time.Hour).UTC().Truncate(time.Second), time.Now().Add(48*time.Hour).UTC().Truncate(time.Second)
	put, err := k.PutObject(t.Context(), &s3.PutObjectInput{Bucket: k.bucket, Key: aws.String("g"), Body: strings.NewReader("x"), ObjectLockMode: types.ObjectLockModeGovernance, ObjectLockRetainUntilDate: &late})
	if err != nil {
		t.Fatal(err)
	}
	g := *put.VersionId
	head, err := k.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: k.bucket, Key: aws.String("g")})
	if err != nil || head.ObjectLockMode != types.ObjectLockModeGovernance || !head.ObjectLockRetainUntilDate.Equal(late) || head.ObjectLockLegalHoldStatus != "" {
		t.Errorf("head %v, error %v", head, err)
	}
	got, err := k.GetObjectRetention(t.Context(), &s3.GetObjectRetentionInput{Bucket: k.bucket, Key: aws.String("g")})
	if err != nil || got.Retention.Mode != types.ObjectLockRetentionModeGovernance || !got.Retention.RetainUntilDate.Equal(late) {
		t.Errorf("retention %v, error %v", got, err)
	}
	wantCode(t, "purge under governance", k.purge("g", g, false), "AccessDenied")
	wantCode(t, "shorten governance", k.retain("g", g, types.ObjectLockRetentionModeGovernance, soon, false), "AccessDenied")
	if err := k.retain("g", g, types.ObjectLockRetentionModeGovernance, late.Add(time.Hour), false); err != nil {
		t.Errorf("extend governance: %v", err)
	}
	// A deletion hides a locked version and harms it not; an overwrite neither.
	if _, marker := k.remove("g", ""); !marker {
		t.Error("no delete marker was made")
	}
	k.put("g", "y")
	if content, _, err := k.get("g", g); err != nil || content != "x" {
		t.Errorf("the locked version has %q, %v", content, err)
	}
	if err := k.retain("g", g, types.ObjectLockRetentionModeGovernance, soon, true); err != nil {
		t.Errorf("shorten governance with a bypass: %v", err)
	}
	if err := k.purge("g", g, true); err != nil {
		t.Errorf("purge with a bypass: %v", err)
	}
	_, _, err = k.get("g", g)
	wantCode(t, "what was purged", err, "NoSuchVersion")

	c := k.put("c", "x")
	_, err = k.GetObjectRetention(t.Context(), &s3.GetObjectRetentionInput{Bucket: k.bucket, Key: aws.String("c")})
	wantCode(t, "no retention", err, "NoSuchObjectLockConfiguration")
	if err := k.retain("c", c, types.ObjectLockRetentionModeCompliance, late, false); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "purge under compliance", k.purge("c", c, true), "AccessDenied")
	wantCode(t, "shorten compliance", k.retain("c", c, types.ObjectLockRetentionModeCompliance, soon, true), "AccessDenied")
	wantCode(t, "weaken compliance", k.retain("c", c, types.ObjectLockRetentionModeGovernance, late, true), "AccessDenied")
	out, err := k.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: k.bucket, BypassGovernanceRetention: aws.Bool(true), Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("c"), VersionId: &c}, {Key: aws.String("d")}}}})
	if err != nil || len(out.Errors) != 1 || *out.Errors[0].Code != "AccessDenied" || *out.Errors[0].Key != "c" || len(out.Deleted) != 1 {
		t.Errorf("delete many: %+v, %v", out, err)
	}
	lift := func(key, id string, bypass bool) error {
		_, err := k.PutObjectRetention(k.t.Context(), &s3.PutObjectRetentionInput{Bucket: k.bucket, Key: &key, VersionId: &id, BypassGovernanceRetention: &bypass,
			Retention: &types.ObjectLockRetention{}})
		return err
	}
	wantCode(t, "end compliance", lift("c", c, true), "AccessDenied")
	l := k.put("l", "x")
	if err := k.retain("l", l, types.ObjectLockRetentionModeGovernance, late, false); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "end governance", lift("l", l, false), "AccessDenied")
	if err := lift("l", l, true); err != nil {
		t.Errorf("end governance with a bypass: %v", err)
	}
	_, err = k.GetObjectRetention(t.Context(), &s3.GetObjectRetentionInput{Bucket: k.bucket, Key: aws.String("l")})
	wantCode(t, "a retention that was ended", err, "NoSuchObjectLockConfiguration")
	if err := k.purge("l", l, false); err != nil {
		t.Errorf("purge after the retention was ended: %v", err)
	}
	wantCode(t, "a time that is over", k.retain("c", c, types.ObjectLockRetentionModeCompliance, time.Now().Add(-time.Hour), false), "InvalidArgument")
	_, err = k.PutObject(t.Context(), &s3.PutObjectInput{Bucket: k.bucket, Key: aws.String("x"), Body: strings.NewReader("x"), ObjectLockMode: types.ObjectLockModeGovernance})
	wantCode(t, "a mode without a time", err, "InvalidArgument")
	wantCode(t, "retention of a version that is not there", k.retain("c", "null", types.ObjectLockRetentionModeCompliance, late, false), "NoSuchVersion")
}

// TestLegalHold holds versions with a write and afterwards.
func TestLegalHold(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.lockedBucket(t)
	id := k.put("k", "x")
	status := func() types.ObjectLockLegalHoldStatus {
		out, err := k.GetObjectLegalHold(t.Context(), &s3.GetObjectLegalHoldInput{Bucket: k.bucket, Key: aws.String("k")})
		if err != nil {
			t.Fatal(err)
		}
		return out.LegalHold.Status
	}
	if got := status(); got != types.ObjectLockLegalHoldStatusOff {
		t.Errorf("hold is %q", got)
	}
	if err := k.hold("k", id, types.ObjectLockLegalHoldStatusOn); err != nil {
		t.Fatal(err)
	}
	if got := status(); got != types.ObjectLockLegalHoldStatusOn {
		t.Errorf("hold is %q", got)
	}
	if head, err := k.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: k.bucket, Key: aws.String("k")}); err != nil || head.ObjectLockLegalHoldStatus != types.ObjectLockLegalHoldStatusOn {
		t.Errorf("head %v, %v", head, err)
	}
	wantCode(t, "purge under hold", k.purge("k", id, true), "AccessDenied")
	if err := k.hold("k", id, types.ObjectLockLegalHoldStatusOff); err != nil {
		t.Fatal(err)
	}
	if err := k.purge("k", id, false); err != nil {
		t.Errorf("purge after the hold: %v", err)
	}
	put, err := k.PutObject(t.Context(), &s3.PutObjectInput{Bucket: k.bucket, Key: aws.String("k"), Body: strings.NewReader("x"), ObjectLockLegalHoldStatus: types.ObjectLockLegalHoldStatusOn})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, "purge of what was held with its write", k.purge("k", *put.VersionId, true), "AccessDenied")
	cp, err := k.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: k.bucket, Key: aws.String("copy"), CopySource: aws.String("locked/k")})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.purge("copy", *cp.VersionId, false); err != nil {
		t.Errorf("a copy took the hold along: %v", err)
	}
	create, err := k.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: k.bucket, Key: aws.String("parts"), ObjectLockLegalHoldStatus: types.ObjectLockLegalHoldStatusOn})
	if err != nil {
		t.Fatal(err)
	}
	part, err := k.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: k.bucket, Key: aws.String("parts"), UploadId: create.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
	if err != nil {
		t.Fatal(err)
	}
	done, err := k.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: k.bucket, Key: aws.String("parts"), UploadId: create.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32}}}})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, "purge of parts that were held with their creation", k.purge("parts", *done.VersionId, true), "AccessDenied")
}

// TestDefaultRetention has a bucket retain what is written.
func TestDefaultRetention(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.lockedBucket(t)
	before := k.put("before", "x")
	set := func(bucket *string, rule *types.ObjectLockRule) error {
		_, err := k.PutObjectLockConfiguration(t.Context(), &s3.PutObjectLockConfigurationInput{Bucket: bucket,
			ObjectLockConfiguration: &types.ObjectLockConfiguration{ObjectLockEnabled: types.ObjectLockEnabledEnabled, Rule: rule}})
		return err
	}
	if err := set(k.bucket, &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{Mode: types.ObjectLockRetentionModeGovernance, Days: aws.Int32(2)}}); err != nil {
		t.Fatal(err)
	}
	got, err := k.GetObjectLockConfiguration(t.Context(), &s3.GetObjectLockConfigurationInput{Bucket: k.bucket})
	if err != nil || got.ObjectLockConfiguration.ObjectLockEnabled != types.ObjectLockEnabledEnabled ||
		got.ObjectLockConfiguration.Rule.DefaultRetention.Mode != types.ObjectLockRetentionModeGovernance || *got.ObjectLockConfiguration.Rule.DefaultRetention.Days != 2 {
		t.Errorf("configuration %v, error %v", got, err)
	}
	after := k.put("after", "x")
	head, err := k.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: k.bucket, Key: aws.String("after")})
	if err != nil || head.ObjectLockMode != types.ObjectLockModeGovernance {
		t.Fatalf("head %v, error %v", head, err)
	}
	if d := time.Until(*head.ObjectLockRetainUntilDate); d < 47*time.Hour || d > 49*time.Hour {
		t.Errorf("retained for %v", d)
	}
	wantCode(t, "purge of what the default retains", k.purge("after", after, false), "AccessDenied")
	held, err := k.PutObject(t.Context(), &s3.PutObjectInput{Bucket: k.bucket, Key: aws.String("held"), Body: strings.NewReader("x"), ObjectLockLegalHoldStatus: types.ObjectLockLegalHoldStatusOff})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, "purge of what the default retains, written without a hold", k.purge("held", *held.VersionId, false), "AccessDenied")
	if err := k.purge("before", before, false); err != nil {
		t.Errorf("purge of what was there before: %v", err)
	}
	if err := set(k.bucket, nil); err != nil {
		t.Fatal(err)
	}
	free := k.put("free", "x")
	if err := k.purge("free", free, false); err != nil {
		t.Errorf("purge after the default ended: %v", err)
	}
	wantCode(t, "locks without versions", set(aws.String("bk1"), nil), "InvalidBucketState")
	_, err = k.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{Bucket: k.bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusSuspended}})
	wantCode(t, "suspension under locks", err, "InvalidBucketState")
	wantCode(t, "days that are none", set(k.bucket, &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{Mode: types.ObjectLockRetentionModeGovernance, Days: aws.Int32(0)}}), "InvalidArgument")
	// A bucket that keeps versions can be given locks later.
	k.bucket = aws.String("bk1")
	k.versioning(types.BucketVersioningStatusEnabled)
	if err := set(k.bucket, &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{Mode: types.ObjectLockRetentionModeCompliance, Years: aws.Int32(1)}}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "purge under compliance by default", k.purge("y", k.put("y", "x"), true), "AccessDenied")

	mode, validity, unit, err := s.minio(t, colaKey, colaSecret).GetBucketObjectLockConfig(t.Context(), "bk1")
	if err != nil || *mode != minio.Compliance || *validity != 1 || *unit != minio.Years {
		t.Errorf("minio-go reads %v %v %v, error %v", mode, validity, unit, err)
	}
}

// TestRetentionBounds refuses a retention whose end the catalog cannot hold, which would
// be an earlier one, and a default that no write could be given one day.
func TestRetentionBounds(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.lockedBucket(t)
	id := k.put("k", "x")
	compliance := types.ObjectLockRetentionModeCompliance
	for _, year := range []int{2117, 2262, 2400, 2640, 2999, 9999} {
		until := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		wantCode(t, fmt.Sprint("a retention until ", year), k.retain("k", id, compliance, until, false), "InvalidArgument")
		_, err := k.PutObject(t.Context(), &s3.PutObjectInput{Bucket: k.bucket, Key: aws.String("k"), ObjectLockMode: types.ObjectLockModeCompliance, ObjectLockRetainUntilDate: &until})
		wantCode(t, fmt.Sprint("a write that is retained until ", year), err, "InvalidArgument")
	}
	last := time.Date(2116, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := k.retain("k", id, compliance, last, false); err != nil {
		t.Error(err)
	}
	head, err := k.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: k.bucket, Key: aws.String("k"), VersionId: &id})
	if err != nil || head.ObjectLockRetainUntilDate == nil || !head.ObjectLockRetainUntilDate.Equal(last) {
		t.Errorf("retained until %v, error %v", head, err)
	}
	byDefault := func(r types.DefaultRetention) error {
		r.Mode = compliance
		_, err := k.PutObjectLockConfiguration(t.Context(), &s3.PutObjectLockConfigurationInput{Bucket: k.bucket, ObjectLockConfiguration: &types.ObjectLockConfiguration{
			ObjectLockEnabled: types.ObjectLockEnabledEnabled, Rule: &types.ObjectLockRule{DefaultRetention: &r}}})
		return err
	}
	wantCode(t, "a default of 100 years", byDefault(types.DefaultRetention{Years: aws.Int32(100)}), "InvalidArgument")
	wantCode(t, "a default of 18,251 days", byDefault(types.DefaultRetention{Days: aws.Int32(18_251)}), "InvalidArgument")
	if err := byDefault(types.DefaultRetention{Years: aws.Int32(50)}); err != nil {
		t.Error(err)
	}
	k.put("by default", "x")
}
