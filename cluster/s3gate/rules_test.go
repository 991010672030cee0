package s3gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/s3err"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

func status(err error) int {
	var s3e s3err.S3Error
	if errors.As(err, &s3e) {
		return s3e.StatusCode()
	}
	return 0
}

func TestReadConditionsTable(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	rec := &catalogpb.Record{Etag: "e", Time: at.Add(700 * time.Millisecond).UnixNano()}
	time1 := func(d time.Duration) *time.Time { return ptr(at.Add(d)) }
	for _, c := range []struct {
		name string
		c    conditions
		want int // 0 is no error
	}{
		{"none", conditions{}, 0},
		{"match", conditions{ifMatch: ptr("e")}, 0},
		{"match, quoted", conditions{ifMatch: ptr(`"e"`)}, 0},
		{"match, a list", conditions{ifMatch: ptr(`"x", W/"e"`)}, 0},
		{"match, any", conditions{ifMatch: ptr("*")}, 0},
		{"match fails", conditions{ifMatch: ptr("x")}, 412},
		{"match fails on a part of it", conditions{ifMatch: ptr("ee")}, 412},
		{"none match", conditions{ifNoneMatch: ptr("x")}, 0},
		{"none match fails", conditions{ifNoneMatch: ptr("e")}, 304},
		{"none match fails on any", conditions{ifNoneMatch: ptr("*")}, 304},
		{"modified since", conditions{ifModifiedSince: time1(-time.Second)}, 0},
		{"not modified since its second", conditions{ifModifiedSince: time1(0)}, 304},
		{"unmodified since its second", conditions{ifUnmodifedSince: time1(0)}, 0},
		{"modified since then", conditions{ifUnmodifedSince: time1(-time.Second)}, 412},
		{"a match replaces the time", conditions{ifMatch: ptr("e"), ifUnmodifedSince: time1(-time.Second)}, 0},
		{"a none match replaces the time", conditions{ifNoneMatch: ptr("x"), ifModifiedSince: time1(0)}, 0},
		{"412 comes before 304", conditions{ifMatch: ptr("x"), ifNoneMatch: ptr("e")}, 412},
	} {
		if got := status(readConditions(rec, c.c)); got != c.want {
			t.Errorf("%s: status %d, want %d", c.name, got, c.want)
		}
	}
}

func TestSelectPart(t *testing.T) {
	whole := &catalogpb.Record{Root: &catalogpb.Root{Size: 10}}
	parts := &catalogpb.Record{Root: &catalogpb.Root{Size: 10}, PartSizes: []uint64{6, 4, 0}}
	empty := &catalogpb.Record{Root: &catalogpb.Root{}}
	for _, c := range []struct {
		rec    *catalogpb.Record
		part   int32
		off, n int64
		header string
		want   int
	}{
		{whole, 1, 0, 10, "bytes 0-9/10", 0},
		{whole, 2, 0, 0, "", 416},
		{parts, 1, 0, 6, "bytes 0-5/10", 0},
		{parts, 2, 6, 4, "bytes 6-9/10", 0},
		{parts, 3, 10, 0, "", 0},
		{parts, 4, 0, 0, "", 416},
		{parts, 0, 0, 0, "", 416},
		{empty, 1, 0, 0, "", 0},
	} {
		sel, err := selectRange(c.rec, "", "", &c.part)
		if got := status(err); got != c.want || sel.off != c.off || sel.length != c.n || str(sel.header) != c.header {
			t.Errorf("part %d of %v: %+v, status %d", c.part, c.rec, sel, got)
		}
	}
}

// TestByteRange reads ranges as RFC 9110 and S3 do.
func TestByteRange(t *testing.T) {
	for _, c := range []struct {
		header string
		size   int64
		off, n int64
		ok     bool
		want   int
	}{
		{"bytes=0-3", 10, 0, 4, true, 0},
		{"bytes=5-", 10, 5, 5, true, 0},
		{"bytes=5-100", 10, 5, 5, true, 0},
		{"bytes=9-9", 10, 9, 1, true, 0},
		{"bytes=-4", 10, 6, 4, true, 0},
		{"bytes=-100", 10, 0, 10, true, 0},
		{"bytes=5-99999999999999999999", 10, 5, 5, true, 0},
		{"bytes=-99999999999999999999", 10, 0, 10, true, 0},
		{"bytes=0-9223372036854775807", 10, 0, 10, true, 0},
		{"bytes=99999999999999999999-", 10, 0, 0, false, 416},
		{"bytes=10-", 10, 0, 0, false, 416},
		{"bytes=10-20", 10, 0, 0, false, 416},
		{"bytes=-0", 10, 0, 0, false, 416},
		{"bytes=0-", 0, 0, 0, false, 416},
		{"bytes=-1", 0, 0, 0, false, 0},
		{"bytes=-0", 0, 0, 0, false, 416},
		{"bytes=5-3", 10, 0, 0, false, 0},
		{"bytes=-", 10, 0, 0, false, 0},
		{"bytes=", 10, 0, 0, false, 0},
		{"bytes=0-1,3-4", 10, 0, 0, false, 0},
		{"bytes= 1-2", 10, 0, 0, false, 0},
		{"bytes=+1-2", 10, 0, 0, false, 0},
		{"bytes=a-b", 10, 0, 0, false, 0},
		{"lines=1-2", 10, 0, 0, false, 0},
		{"0-1", 10, 0, 0, false, 0},
	} {
		off, n, ok, err := byteRange(c.header, c.size)
		if off != c.off || n != c.n || ok != c.ok || status(err) != c.want {
			t.Errorf("%s of %d bytes: %d at %d, %v, status %d", c.header, c.size, n, off, ok, status(err))
		}
	}
}

// FuzzByteRange checks that a range is within the object.
func FuzzByteRange(f *testing.F) {
	for _, h := range []string{"bytes=0-0", "bytes=3-9", "bytes=3-", "bytes=-3", "bytes=9-3", "bytes=1-2x", "bytes=0-99999999999999999999"} {
		f.Add(h, int64(10))
	}
	f.Fuzz(func(t *testing.T, h string, size int64) {
		if size < 0 {
			return
		}
		off, n, ok, err := byteRange(h, size)
		if ok && (err != nil || off < 0 || n < 1 || off > size-n) || !ok && (off != 0 || n != 0) {
			t.Fatalf("%q of %d bytes: %d at %d, %v, %v", h, size, n, off, ok, err)
		}
	})
}

// TestIfRange judges whether a range may be joined to what a client has.
func TestIfRange(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	rec := &catalogpb.Record{Etag: "e", Time: at.UnixNano(), Root: &catalogpb.Root{Size: 10}}
	for ifRange, partial := range map[string]bool{
		"": true, `"e"`: true, "e": true, `"x"`: false, `W/"e"`: false, "junk": false,
		at.Format(http.TimeFormat): true, at.Add(time.Hour).Format(http.TimeFormat): false, at.Add(-time.Hour).Format(http.TimeFormat): false,
	} {
		sel, err := selectRange(rec, "bytes=2-3", ifRange, nil)
		if err != nil || sel.whole == partial || partial && (sel.off != 2 || sel.length != 2) || !partial && sel.length != 10 {
			t.Errorf("If-Range %s: %+v, %v", ifRange, sel, err)
		}
	}
	if _, err := selectRange(rec, "bytes=20-", `"x"`, nil); err != nil {
		t.Errorf("a range that is not to be kept: %v", err)
	}
}

// FuzzCopyRange checks that a range is within the object, or refused.
func FuzzCopyRange(f *testing.F) {
	for _, h := range []string{"", "bytes=0-0", "bytes=3-9", "bytes=3-", "bytes=-3", "bytes=9-3", "bytes=0-10", "bytes= 1-2", "bytes=+1-2", "bytes=01-2", "bytes=1-2x", "bytes=0-99999999999999999999"} {
		f.Add(h, int64(10))
	}
	f.Fuzz(func(t *testing.T, h string, size int64) {
		off, n, err := copyRange(size, h)
		if err != nil {
			if status(err) != http.StatusBadRequest {
				t.Fatalf("%q: %v", h, err)
			}
			return
		}
		if h == "" {
			return
		}
		if off < 0 || n < 1 || off > size-n || h != fmt.Sprintf("bytes=%d-%d", off, off+n-1) {
			t.Fatalf("%q of %d bytes: %d at %d", h, size, n, off)
		}
	})
}

func TestContentHeaders(t *testing.T) {
	for in, want := range map[string]string{"": "", "gzip": "gzip", "aws-chunked": "", "aws-chunked,gzip": "gzip", "gzip, aws-chunked": "gzip", "aws-chunked, br, gzip": "br,gzip"} {
		if got := contentHeaders(contentFields{encoding: &in})["content-encoding"]; got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestPageBuckets(t *testing.T) {
	all := []Bucket{{Name: "b2"}, {Name: "a"}, {Name: "b1"}, {Name: "b3"}}
	for _, c := range []struct {
		prefix, after string
		limit         int
		want, next    string
	}{
		{"", "", 0, "a b1 b2 b3", ""}, {"b", "", 2, "b1 b2", "b2"}, {"b", "b2", 2, "b3", ""}, {"b", "", 3, "b1 b2 b3", ""}, {"x", "", 1, "", ""},
	} {
		page, next := pageBuckets(all, c.prefix, c.after, c.limit)
		var names []string
		for _, b := range page {
			names = append(names, b.Name)
		}
		if got := strings.Join(names, " "); got != c.want || next != c.next {
			t.Errorf("%+v: %q, next %q", c, got, next)
		}
	}
}

// TestAPIErrors names the S3 error of every failure that is promised; what is
// not known is an internal error, logged.
func TestAPIErrors(t *testing.T) {
	var log strings.Builder
	b := &tenantBackend{logger: slog.New(slog.NewTextHandler(&log, nil))}
	for err, want := range map[error]string{
		objects.ErrNoBucket:                          "NoSuchBucket",
		objects.ErrNoKey:                             "NoSuchKey",
		objects.ErrPrecondition:                      "PreconditionFailed",
		objects.ErrNoUpload:                          "NoSuchUpload",
		objects.ErrInvalidPart:                       "InvalidPart",
		objects.ErrPartOrder:                         "InvalidPartOrder",
		objects.ErrPartTooSmall:                      "EntityTooSmall",
		objects.ErrUploadChanged:                     "OperationAborted",
		objects.ErrNoVersion:                         "NoSuchVersion",
		objects.ErrDeleteMarker:                      "MethodNotAllowed",
		objects.ErrVersionID:                         "InvalidRequest",
		objects.ErrLocked:                            "AccessDenied",
		objects.ErrNoLock:                            "InvalidRequest",
		objects.ErrQuota:                             "QuotaExceeded",
		objects.ErrInvalidKey:                        "InvalidURI",
		objects.ErrRange:                             "InvalidRange",
		objects.ErrInvalid:                           "InvalidRequest",
		objects.ErrBodySize:                          "IncompleteBody",
		io.ErrUnexpectedEOF:                          "IncompleteBody",
		os.ErrDeadlineExceeded:                       "RequestTimeout",
		state.ErrExists:                              "BucketAlreadyOwnedByYou",
		state.ErrNotFound:                            "NoSuchBucket",
		state.ErrNotEmpty:                            "BucketNotEmpty",
		state.ErrInvalid:                             "InvalidBucketName",
		context.Canceled:                             "ServiceUnavailable",
		raftfsm.ErrNotLeader:                         "ServiceUnavailable",
		raftfsm.ErrUnknownOutcome:                    "InternalError",
		chunks.ErrNoSpace:                            "InsufficientStorage",
		raftfsm.ErrNoSpace:                           "InsufficientStorage",
		chunks.ErrCorrupt:                            "InternalError",
		s3err.GetAPIError(s3err.ErrMalformedTrailer): "MalformedTrailerError",
	} {
		got := b.apiError("test", "Hawaii/Cola/bk1", "k", fmt.Errorf("do something: %w", err))
		var s3e s3err.S3Error
		if !errors.As(got, &s3e) || s3e.BaseError().Code != want {
			t.Errorf("%v: %v, want %s", err, got, want)
		}
		if logged := log.Len() > 0; logged != (want == "InternalError" || want == "InsufficientStorage") {
			t.Errorf("%v: logged %q", err, log.String())
		}
		log.Reset()
	}
	if got := b.apiError("test", "", strings.Repeat("k", 2000), objects.ErrInvalidKey); status(got) != http.StatusBadRequest || !strings.Contains(got.Error(), "KeyTooLong") {
		t.Errorf("a long key: %v", got)
	}
}

// TestNoAccount gives nothing to a request that nobody signed, whatever it
// calls, and to an account that is no tenant.
func TestNoAccount(t *testing.T) {
	b := &tenantBackend{}
	for name, err := range map[string]error{
		"head bucket": func() error {
			_, err := b.HeadBucket(context.Background(), &s3.HeadBucketInput{Bucket: ptr("bk1")})
			return err
		}(),
		"ACL": func() error {
			_, err := b.GetBucketAcl(context.Background(), &s3.GetBucketAclInput{Bucket: ptr("bk1")})
			return err
		}(),
		"get": func() error { _, err := b.GetObject(context.Background(), &s3.GetObjectInput{}); return err }(),
	} {
		if status(err) != http.StatusForbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
}
