package testenv

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/tags"
)

// history is what S3 shows of a bucket at a site: every version and delete marker
// with its ID, its place, its tags and its locks, and the bucket's settings.
func (e *Env) history(s *Site) []string {
	e.t.Helper()
	cl, ctx := s.S3("Hawaii/Cola"), e.Context()
	var out []string
	for o := range cl.ListObjects(ctx, "bk1", minio.ListObjectsOptions{WithVersions: true, Recursive: true}) {
		if o.Err != nil {
			e.t.Fatalf("list versions at %s: %v", s.Name, o.Err)
		}
		line := fmt.Sprintf("%s %s latest=%v marker=%v %s %d bytes", o.Key, o.VersionID, o.IsLatest, o.IsDeleteMarker, o.ETag, o.Size)
		if !o.IsDeleteMarker {
			set, err := cl.GetObjectTagging(ctx, "bk1", o.Key, minio.GetObjectTaggingOptions{VersionID: o.VersionID})
			if err != nil {
				e.t.Fatalf("tags of %s at %s: %v", o.Key, s.Name, err)
			}
			m := set.ToMap()
			for _, key := range slices.Sorted(maps.Keys(m)) {
				line += " " + key + "=" + m[key]
			}
			info, err := cl.StatObject(ctx, "bk1", o.Key, minio.StatObjectOptions{VersionID: o.VersionID})
			if err != nil {
				e.t.Fatalf("stat of %s at %s: %v", o.Key, s.Name, err)
			}
			for _, name := range []string{"X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Retain-Until-Date", "X-Amz-Object-Lock-Legal-Hold"} {
				line += " " + info.Metadata.Get(name)
			}
		}
		out = append(out, line)
	}
	versioning, err := cl.GetBucketVersioning(ctx, "bk1")
	if err != nil {
		e.t.Fatal(err)
	}
	set, err := cl.GetBucketTagging(ctx, "bk1")
	if err != nil {
		e.t.Fatal(err)
	}
	return append(out, fmt.Sprint("versioning ", versioning.Status, " tags ", set))
}

// TestVersionsTravel keeps versions of one bucket at two sites: both write, delete,
// remove for good, tag, retain and hold, also what the other has made, and at the end
// S3 shows the same at both, IDs included. A lock that was set at one site holds at the
// other.
func TestVersionsTravel(t *testing.T) {
	e, a, b, l := twoSites(t, SiteOptions{})
	ctx, ca, cb := e.Context(), a.S3("Hawaii/Cola"), b.S3("Hawaii/Cola")
	e.mustPut(a, "old", []byte("before versions were kept"))
	if err := ca.EnableVersioning(ctx, "bk1"); err != nil {
		t.Fatal(err)
	}
	if err := ca.SetObjectLockConfig(ctx, "bk1", nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	set, err := tags.NewTags(map[string]string{"team": "gas"}, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.SetBucketTagging(ctx, "bk1", set); err != nil {
		t.Fatal(err)
	}
	l.WaitSynced()
	put := func(cl *minio.Client, key, content string) string {
		t.Helper()
		info, err := cl.PutObject(ctx, "bk1", key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{UserTags: map[string]string{"from": content}})
		if err != nil {
			t.Fatal(err)
		}
		if len(info.VersionID) != 45 {
			t.Fatalf("%s was written as version %q", key, info.VersionID)
		}
		return info.VersionID
	}
	tag := func(cl *minio.Client, key, id, value string) {
		t.Helper()
		set, err := tags.NewTags(map[string]string{"tag": value}, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := cl.PutObjectTagging(ctx, "bk1", key, set, minio.PutObjectTaggingOptions{VersionID: id}); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(cl *minio.Client, key, id string) error {
		return cl.RemoveObject(ctx, "bk1", key, minio.RemoveObjectOptions{VersionID: id})
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	hold := func(cl *minio.Client, key, id string, status minio.LegalHoldStatus) {
		t.Helper()
		must(cl.PutObjectLegalHold(ctx, "bk1", key, minio.PutObjectLegalHoldOptions{VersionID: id, Status: &status}))
	}
	// Each site writes keys of its own and one that both write at the same time.
	va, vb := put(ca, "a", "alpha 1"), put(cb, "b", "beta 1")
	put(ca, "a", "alpha 2")
	put(ca, "both", "alpha")
	put(cb, "both", "beta")
	must(remove(cb, "b", ""))
	gone := put(ca, "gone", "alpha")
	held := put(cb, "held", "beta")
	hold(cb, "held", held, minio.LegalHoldEnabled)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	later := until.Add(time.Hour)
	retain := func(cl *minio.Client, key, id string, mode minio.RetentionMode, until time.Time) error {
		return cl.PutObjectRetention(ctx, "bk1", key, minio.PutObjectRetentionOptions{VersionID: id, Mode: &mode, RetainUntilDate: &until, GovernanceBypass: true})
	}
	must(retain(ca, "a", va, minio.Governance, until))
	sealed := put(ca, "sealed", "alpha")
	must(retain(ca, "sealed", sealed, minio.Compliance, until))
	l.WaitSynced()

	// Then each changes what the other has made.
	tag(cb, "a", va, "by beta")
	tag(ca, "b", vb, "by alpha")
	must(remove(cb, "gone", gone))
	must(remove(ca, "old", ""))
	put(cb, "a", "beta over alpha")
	if err := remove(ca, "held", held); minio.ToErrorResponse(err).Code != "AccessDenied" {
		t.Errorf("a version that beta holds was removed at alpha: %v", err)
	}
	if err := remove(cb, "a", va); minio.ToErrorResponse(err).Code != "AccessDenied" {
		t.Errorf("a version that alpha retains was removed at beta: %v", err)
	}
	// What alpha seals nobody at beta can remove or shorten, only lengthen.
	if err := cb.RemoveObject(ctx, "bk1", "sealed", minio.RemoveObjectOptions{VersionID: sealed, GovernanceBypass: true}); minio.ToErrorResponse(err).Code != "AccessDenied" {
		t.Errorf("a version that alpha keeps for compliance was removed at beta: %v", err)
	}
	for mode, until := range map[minio.RetentionMode]time.Time{minio.Governance: later, minio.Compliance: until.Add(-time.Minute)} {
		if err := retain(cb, "sealed", sealed, mode, until); minio.ToErrorResponse(err).Code != "AccessDenied" {
			t.Errorf("compliance that alpha set became %v until %v at beta: %v", mode, until, err)
		}
	}
	must(retain(cb, "sealed", sealed, minio.Compliance, later))
	l.WaitSynced()
	hold(ca, "held", held, minio.LegalHoldDisabled)
	l.WaitSynced()
	must(remove(cb, "held", held))
	// While the line is down a version is removed at one site and tagged at the other,
	// and another is held at one and removed at the other: the hold wins.
	doomed, kept := put(ca, "doomed", "alpha"), put(ca, "kept", "alpha")
	l.WaitSynced()
	l.Cut()
	must(remove(ca, "doomed", doomed))
	tag(cb, "doomed", doomed, "too late")
	must(remove(ca, "kept", kept))
	hold(cb, "kept", kept, minio.LegalHoldEnabled)
	l.Restore()
	l.WaitSynced()

	var at, other []string
	defer func() {
		if t.Failed() {
			t.Logf("alpha:\n%s\nbeta:\n%s", strings.Join(at, "\n"), strings.Join(other, "\n"))
		}
	}()
	e.Eventually("both sites show the same", func() bool {
		at, other = e.history(a), e.history(b)
		return slices.Equal(at, other)
	})
	text := strings.Join(at, "\n")
	for _, want := range []string{"a " + va + " latest=false", "tag=by beta", "tag=by alpha", "old null latest=false", "kept " + kept + " latest=true", "COMPLIANCE " + later.Format(time.RFC3339), "versioning Enabled"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not among:\n%s", want, text)
		}
	}
	for _, lost := range []string{gone, held, doomed} {
		if strings.Contains(text, lost) {
			t.Errorf("version %s was removed and is there:\n%s", lost, text)
		}
	}
	if n := strings.Count(text, "both "); n != 2 {
		t.Errorf("%d versions of what both wrote, want 2:\n%s", n, text)
	}
}
